"""``materialabs inspect``: what files hold, and what was refused and why."""

from __future__ import annotations

from typing import Annotated

import typer

from materialabs.cli.options import Json, Paths, Rows
from materialabs.cli.output import note, print_json, print_rows


def inspect(
    paths: Paths,
    tolerance: Annotated[float, typer.Option(help="Symmetry tolerance, angstrom.")] = 0.01,
    rows: Rows = 20,
    ordered: Annotated[bool, typer.Option(help="Take ordered approximants.")] = False,
    json: Json = False,
) -> None:
    """Show the crystals in files: formula, space group, prototype, volume, density.

    Files that cannot be read are listed with the reason; they never stop the rest.
    """
    from materialabs.cli.inputs import read_crystals, refusals, said_of, show_notes
    from materialabs.crystals.listing import listing

    crystals, report = read_crystals(paths, ordered=ordered)
    shown = crystals if json or rows == 0 else crystals[:rows]
    table = listing(shown, tolerance=tolerance)
    refused = refusals(report)
    if json:
        print_json(
            {
                "crystals": table,
                "count": len(crystals),
                "refused": refused,
                "notes": said_of(report),
            }
        )
        return
    print_rows(table, title=f"{len(crystals)} crystals")
    if len(shown) < len(crystals):
        note(f"... and {len(crystals) - len(shown)} more; --rows 0 prints all.")
    show_notes(report)
    print_rows(refused, title=f"{len(refused)} refused")
