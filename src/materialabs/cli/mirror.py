"""``materialabs mirror``: copies of other nodes' logs."""

from __future__ import annotations

from typing import Annotated

import typer

from materialabs.cli.options import Json, StorePlace
from materialabs.cli.output import note, print_json, print_rows
from materialabs.cli.store import make_store, open_store

app = typer.Typer(no_args_is_help=True, help="Copies of other nodes' logs.", rich_markup_mode=None)

SHOWN = 20
"""Records set aside that are printed."""

Url = Annotated[str, typer.Argument(help="Address of the node, such as http://host:5000.")]


@app.command("add")
def add(
    url: Url,
    key: Annotated[
        str | None, typer.Option(help="The log's public key, from a source that you trust.")
    ] = None,
    store: StorePlace = "lab.db",
) -> None:
    """Take up another node's log; `mirror sync` pulls it."""
    from materialabs.ledger.notes import Verifier
    from materialabs.store.mirrors import mirror_add

    with make_store(store) as opened:
        made = mirror_add(opened, url, None if key is None else Verifier.parse(key))
    note(f"{made.url} is mirrored as {made.verifier.name}; its key is trusted by {made.trust}.")
    if key is None:
        note(f"Compare it with its owner: {made.verifier.to_text()}")


@app.command("sync")
def sync(
    url: Annotated[str | None, typer.Argument(help="One node; all by default.")] = None,
    store: StorePlace = "lab.db",
) -> None:
    """Pull what other logs have grown by; refuse whatever contradicts what was seen before."""
    from materialabs.errors import IntegrityError, NotFound
    from materialabs.store.mirrors import mirror_sync, mirrors

    caught = []
    with make_store(store) as opened:
        chosen = [url] if url else [one.url for one in mirrors(opened)]
        if not chosen:
            raise NotFound("Nothing is mirrored: run `materialabs mirror add URL` first.")
        for address in chosen:
            try:
                done = mirror_sync(opened, address)
            except IntegrityError as error:
                caught.append(str(error))
                note(f"REFUSED {address}: {error}")
                continue
            note(f"{done.origin}: {done.entries} new entries, {done.records} new records")
            for record, reason in done.set_aside[:SHOWN]:
                note(f"Record {record[:16]} is kept, but its value is set aside: {reason}")
            if len(done.set_aside) > SHOWN:
                note(f"... and {len(done.set_aside) - SHOWN} more.")
    if caught:
        raise typer.Exit(1)


@app.command("list")
def list_(store: StorePlace = "lab.db", json: Json = False) -> None:
    """Show the nodes that are mirrored, and what was caught against them."""
    from materialabs.store.mirrors import mirrors

    with open_store(store) as opened:
        rows = [
            {
                "url": one.url,
                "log": one.verifier.name,
                "trust": one.trust,
                "entries": one.size,
                "evidence": "; ".join(item.message for item in one.evidence),
            }
            for one in mirrors(opened)
        ]
    if json:
        print_json(rows)
    else:
        print_rows(rows)


@app.command("remove")
def remove(url: Url, store: StorePlace = "lab.db") -> None:
    """Pull from this address no more; what was pulled stays."""
    from materialabs.store.mirrors import mirror_remove

    with make_store(store) as opened:
        mirror_remove(opened, url)
    note(f"{url} is mirrored no more.")
