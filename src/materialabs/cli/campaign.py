"""``materialabs campaign``: list, show, resume, report and export campaigns."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materialabs.cli.output import ENERGY_DECIMALS, note, print_json, print_rows, write_text

if TYPE_CHECKING:
    from materialabs.discovery.campaign import Campaign
    from materialabs.store.store import Store

app = typer.Typer(
    no_args_is_help=True, help="Look at campaigns, go on with them.", rich_markup_mode=None
)

StorePlace = Annotated[
    str,
    typer.Option(
        "--store", help="SQLite file, or a postgresql:// URL.", envvar="MATERIALABS_STORE"
    ),
]
Name = Annotated[str, typer.Argument(help="Id of the campaign, or its beginning.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(store: StorePlace = "lab.db", json: Json = False) -> None:
    """List the campaigns of a store."""
    from materialabs.cli.store import open_store
    from materialabs.discovery.archive import listed

    with open_store(store) as opened:
        rows = [
            {
                "id": row.id,
                "system": row.request.system,
                "level": str(row.request.hull_level),
                "state": row.state,
                "budget": str(row.budget),
                "begun": datetime.fromtimestamp(row.created / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
                "verifies": row.verifies,
            }
            for row in listed(opened, refused=note)
        ]
    if json:
        print_json(rows)
    elif not rows:
        note(f"There is no campaign in {store}: `materialabs discover` begins one.")
    else:
        print_rows(rows, title=f"{len(rows)} campaign{'' if len(rows) == 1 else 's'}")


@app.command("show")
def show(campaign: Name, store: StorePlace = "lab.db", json: Json = False) -> None:
    """Show the rounds and relaxations of a campaign."""
    from materialabs.cli.store import open_store
    from materialabs.discovery.report import summary

    with open_store(store) as opened:
        found = _campaign(opened, campaign)
        if json:
            print_json(summary(found))
            return
        rounds = [
            {name: one.get(name) for name in
             ("number", "candidates", "relaxed", "failed", "stable", "found", "error")}
            for one in found.rounds
        ]  # fmt: skip
        print_rows(rounds, title=repr(found), decimals=ENERGY_DECIMALS)
        names = ("name", "formula", "status", "formation energy", "above hull", "same as", "origin")
        rows = [{name: row[name] for name in names} for row in found.table()]
        print_rows(rows, decimals=ENERGY_DECIMALS)


@app.command("resume")
def resume(
    campaign: Name,
    store: StorePlace = "lab.db",
    oracle: Annotated[str, typer.Option(help="Oracle, where the campaign's had no name.")] = "",
    model: Annotated[str | None, typer.Option(help="What predicts.")] = None,
    processes: Annotated[int, typer.Option(help="Processes that relax.")] = 1,
    report: Annotated[Path | None, typer.Option(help="HTML file of the report.")] = None,
    json: Json = False,
) -> None:
    """Go on with a campaign that was stopped."""
    from materialabs.cli import discover as printing
    from materialabs.cli.store import make_store, open_store
    from materialabs.discovery import archive
    from materialabs.discovery import campaign as campaigns

    with open_store(store) as there:
        row = archive.find(there, campaign)
    with make_store(store) as opened:
        with printing.watching(row.request.system, row.budget.calls) as watcher:
            found = campaigns.resume(
                opened, row.id, oracle=oracle, model=model, processes=processes, watcher=watcher
            )
        printing.show(found, report or Path(f"{found.system}.html"), json=json)


@app.command("report")
def report(
    campaign: Name,
    store: StorePlace = "lab.db",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file; SYSTEM.html by default.")
    ] = None,
) -> None:
    """Write the report of a campaign and the folders of its stable compounds."""
    from materialabs.cli.store import open_store

    with open_store(store) as opened:
        found = _campaign(opened, campaign)
        note(f"Report: {found.report(output or Path(f'{found.system}.html'))}")


@app.command("export")
def export(
    campaign: Name,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="JSON for all, or a format of crystals."),
    ],
    store: StorePlace = "lab.db",
) -> None:
    """Write a campaign as JSON, or its relaxed crystals in any format that is known."""
    import json as encoder

    from materialabs.cli.store import open_store
    from materialabs.crystals.files import write
    from materialabs.discovery.report import summary

    with open_store(store) as opened:
        found = _campaign(opened, campaign)
        if output.suffix == ".json":
            write_text(output, encoder.dumps(summary(found), indent=1, default=str) + "\n")
        else:
            findings = found.findings
            rows = {row["name"]: row for row in found.table()}
            crystals = findings.crystals(findings.good)
            names = [one.name for one in findings.good]
            write(
                crystals.with_columns(
                    formation_energy=[rows[name]["formation energy"] for name in names],
                    hull_distance=[rows[name]["above hull"] for name in names],
                ),
                output,
            )
    note(f"Written: {output}")


def _campaign(store: Store, name: str) -> Campaign:
    from materialabs.discovery.archive import find
    from materialabs.discovery.campaign import Campaign

    return Campaign(store, find(store, name))
