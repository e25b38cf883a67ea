"""``materialabs convert``: from any file kind that is read to any that is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from materialabs.cli.output import note, print_rows

Paths = Annotated[list[str], typer.Argument(help="Files, folders or patterns such as '*.cif'.")]


def convert(
    paths: Paths,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="File to write, or a folder for one file a crystal."),
    ],
    format: Annotated[
        str | None, typer.Option(help="File kind; by default told by the name.")
    ] = None,
    ordered: Annotated[bool, typer.Option(help="Take ordered approximants.")] = False,
) -> None:
    """Read crystals and write them in another form."""
    from materialabs.cli.inputs import read_crystals, refusals, show_notes
    from materialabs.crystals.files import write
    from materialabs.crystals.files.writing import require_writable

    require_writable(output, format=format)
    crystals, report = read_crystals(paths, ordered=ordered)
    written = write(crystals, output, format=format)
    show_notes(report)
    refused = refusals(report)
    if refused:
        print_rows(refused, title=f"{len(refused)} refused")
    place = written[0] if len(written) == 1 else f"{len(written)} files in {output}"
    note(f"{len(crystals)} crystals written to {place}")
