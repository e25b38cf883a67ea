"""``materialabs hull``: the phase diagram of a system, as a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from materialabs.cli.output import note, print_json, print_rows


def hull(
    source: Annotated[
        str, typer.Argument(help="A file of entries, or a chemical system such as Li-P-S.")
    ],
    entries: Annotated[
        str | None,
        typer.Option("--entries", help="File of entries, where SOURCE is a chemical system."),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="Only this chemical system of the file, such as Li-P-S.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Of a plain table's energies: total or formation.")
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="Level of theory of a plain table, for example PBE.")
    ] = None,
    above: Annotated[
        float, typer.Option(help="Print phases up to this far above the hull, eV/atom.", min=0)
    ] = 0.1,
    html: Annotated[
        Path | None, typer.Option(help="Write the phase diagram as one HTML file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge phases against the convex hull: distance, decomposition, and a phase diagram."""
    from materialabs.errors import InputError
    from materialabs.hull import Hull

    if Path(source).exists() or entries is None:
        path, chosen = source, system
        if not Path(source).exists() and "-" in source and "." not in source:
            raise InputError(
                f"To draw {source}, name the file that holds its phases: "
                f"materialabs hull {source} --entries FILE"
            )
    else:
        path, chosen = entries, source
    diagram = Hull.of(path, system=chosen, kind=kind, level=level)
    rows = diagram.table(above=above)
    if json:
        print_json(diagram.document())
    else:
        print_rows(rows, title=diagram.title())
        hidden = len(diagram) - len(rows)
        if hidden:
            note(f"... and {hidden} phases more than {above:g} eV/atom above the hull (--above).")
    if html is not None:
        note(f"Phase diagram: {diagram.html(html)}")
