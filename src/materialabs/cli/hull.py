"""``materialabs hull``: the phase diagram of a system, as a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from materialabs.cli.options import Json
from materialabs.cli.output import ENERGY_DECIMALS, note, print_json, print_rows


def hull(
    source: Annotated[
        str, typer.Argument(help="A file of entries, or a chemical system such as Li-P-S.")
    ],
    entries: Annotated[
        str | None,
        typer.Option(
            "--entries", help="File or folder of entries, where SOURCE is a chemical system."
        ),
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
    json: Json = False,
) -> None:
    """Judge phases against the convex hull: distance, decomposition, and a phase diagram."""
    from materialabs.hull import Hull
    from materialabs.hull.table import summary_of
    from materialabs.levels import Level

    diagram = Hull.of(
        source,
        entries=entries,
        system=system,
        kind=kind,
        level=None if level is None else Level.parse(level),
    )
    summary = summary_of(diagram)
    if json:
        print_json(summary)
    else:
        _print(summary, above)
    if html is not None:
        note(f"Phase diagram: {diagram.html(html)}")


def _print(summary: dict[str, Any], above: float) -> None:
    rows = [row for row in summary["rows"] if row["stable"] or row["distance"] <= above]
    print_rows(
        [
            {
                "formula": row["formula"],
                "id": row["id"],
                "formation energy": row["formation_energy"],
                "above hull": max(row["distance"], 0.0),
                "decomposes into": "stable" if row["stable"] else row["decomposition"],
            }
            for row in rows
        ],
        title=f"{summary['system']}, {summary['kind']} energies at {summary['level']}: "
        f"{summary['stable']} of {summary['entries']} entries on the hull (eV/atom)",
        decimals=ENERGY_DECIMALS,
    )
    hidden = len(summary["rows"]) - len(rows)
    if hidden:
        note(f"... and {hidden} more than {above:g} eV/atom above the hull; --above prints more.")
