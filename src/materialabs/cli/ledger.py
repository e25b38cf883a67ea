"""``materialabs ledger``: the signed log of a store."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from materialabs.cli import keys
from materialabs.cli.options import Json, StorePlace
from materialabs.cli.output import note, print_json, print_rows, write_text
from materialabs.cli.store import make_store, open_store

app = typer.Typer(no_args_is_help=True, help="The signed log of a store.", rich_markup_mode=None)

app.add_typer(keys.app, name="key")

PROBLEMS_SHOWN = 20


@app.command("verify")
def verify(
    store: StorePlace = "lab.db",
    key: Annotated[
        str | None,
        typer.Option(help="The log's public key, from a source that you trust."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Check all signatures again, not only new ones.")
    ] = False,
    tiles: Annotated[Path | None, typer.Option(help="Folder of the log's tiles.")] = None,
    json: Json = False,
) -> None:
    """Check records, crystals, signatures and derived values; name the first thing wrong."""
    from materialabs.cli.inputs import settings
    from materialabs.ledger.notes import Verifier
    from materialabs.store.verify import verify as check

    with open_store(store) as opened:
        verdict = check(
            opened,
            verifier=None if key is None else Verifier.parse(key),
            keys=settings().keys,
            everything=everything,
            tiles=tiles,
            most=PROBLEMS_SHOWN,
        )
    if json:
        print_json(
            {
                "origin": verdict.origin,
                "size": verdict.size,
                "checked": verdict.checked,
                "good": verdict.good,
                "problems": [vars(problem) for problem in verdict.problems],
            }
        )
    elif verdict.good:
        typer.echo(f"{verdict.origin}: {verdict.size} entries, all is well.")
    else:
        print_rows([vars(problem) for problem in verdict.problems], title="NOT verified")
    if not verdict.good:
        raise typer.Exit(1)


@app.command("show")
def show(
    store: StorePlace = "lab.db",
    last: Annotated[int, typer.Option(help="Entries to show, the newest.", min=1)] = 20,
    json: Json = False,
) -> None:
    """Show the newest entries of the log and its signed checkpoint."""
    with open_store(store) as opened:
        size = int(opened.checkpoint.split("\n")[1]) if opened.checkpoint else 0
        first = max(size - last, 0)
        rows = [
            {
                "entry": index,
                "kind": entry.kind,
                "contributor": entry.contributor,
                "time": entry.time,
                "record": entry.record,
            }
            for index, entry in enumerate(opened.entries(first), first)
        ]
        note_text = opened.checkpoint
    if json:
        print_json({"checkpoint": note_text, "entries": rows})
        return
    print_rows(rows, title=f"{size} entries")
    typer.echo(note_text)


@app.command("bundle")
def bundle(
    records: Annotated[list[str], typer.Argument(help="Ids of records.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")],
    store: StorePlace = "lab.db",
) -> None:
    """Write records with their proofs, and the program that checks them, for a reviewer."""
    from importlib import resources

    from materialabs.errors import ResourceError
    from materialabs.store.bundle import bundle as collect
    from materialabs.store.identity import log_verifier

    with open_store(store) as opened:
        document = collect(opened, records)
        verifier = log_verifier(opened.engine)
    program = resources.files("materialabs.ledger").joinpath("verify_bundle.py").read_text()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{output} cannot be made: {error.strerror}.") from error
    write_text(output / "bundle.json", json_module.dumps(document, indent=1))
    write_text(output / "verify_bundle.py", program)
    note(f"{len(records)} records in {output}. To check them:")
    typer.echo(
        f"python verify_bundle.py bundle.json --key '{verifier.to_text() if verifier else ''}'"
    )


@app.command("withdraw")
def withdraw(
    record: Annotated[str, typer.Argument(help="Id of the record.")],
    reason: Annotated[str, typer.Option(help="Why, in one line that everybody may read.")],
    store: StorePlace = "lab.db",
) -> None:
    """Withdraw a record's content; its id and who signed it stay in the log."""
    from materialabs.store.withdraw import withdraw as take_back

    with make_store(store) as opened:
        take_back(opened, record, reason)
    note(f"The record {record} is withdrawn.")


@app.command("tiles")
def tiles(
    folder: Annotated[Path, typer.Argument(help="Folder to write to, made when missing.")],
    store: StorePlace = "lab.db",
) -> None:
    """Write the log as static files that any web server can publish (C2SP tlog-tiles)."""
    from materialabs.store.tile_files import write_tiles

    with open_store(store) as opened:
        size = write_tiles(opened, folder)
    note(f"{size} entries in {folder}.")


@app.command("access-key")
def access_key(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[str, typer.Option(help="read, write or admin.")] = "write",
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take all keys of this name back instead.")
    ] = False,
    store: StorePlace = "lab.db",
) -> None:
    """Make an API key for the store's server; it is shown once and kept hashed."""
    from materialabs.server.access import new_key, revoke_key

    with make_store(store) as opened:
        if revoke:
            note(f"{revoke_key(opened.engine, name)} keys of {name} were taken back.")
            return
        typer.echo(new_key(opened.engine, name, scope))
    note(f"An API key for {name}, scope {scope}. It cannot be shown again.")
