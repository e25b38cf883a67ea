"""``materialabs convert``: from any file kind that is read to any that is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from materialabs.cli.options import Paths
from materialabs.cli.output import note, print_rows


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
    from materialabs.cli.inputs import read_crystals, refusals, show_notes, write_crystals
    from materialabs.crystals.files.writing import require_writable

    require_writable(output, format=format)
    crystals, report = read_crystals(paths, ordered=ordered)
    place = write_crystals(crystals, output, format=format)
    show_notes(report)
    refused = refusals(report)
    print_rows(refused, title=f"{len(refused)} refused")
    note(f"{len(crystals)} crystals written to {place}")
