"""``materialabs ledger key``: contributors' signing keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from materialabs.cli.options import Json, StorePlace
from materialabs.cli.output import note, print_json, print_rows
from materialabs.cli.store import make_store, open_store

app = typer.Typer(no_args_is_help=True, help="Contributors' signing keys.", rich_markup_mode=None)


def _folder() -> Path:
    from materialabs.cli.inputs import settings
    from materialabs.store.identity import key_folder

    return settings().keys or key_folder()


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Who you are, for readers.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Make another key; the old one is kept aside.")
    ] = False,
) -> None:
    """Make your signing key under a name of your own."""
    from materialabs.store.key_events import new_key, replace_key

    key = (replace_key if replace else new_key)(_folder(), name)
    note(f"The key {key.id} of {key.name} is in {_folder()}. Keep a copy; only you can read it.")


@app.command("export")
def export(
    output: Annotated[Path, typer.Argument(help="New file; nothing in it is secret.")],
) -> None:
    """Write what the owner of a log needs to admit your key."""
    from materialabs.store.key_events import export_key

    document = export_key(_folder(), output)
    note(f"The public key of {document['name']} is in {output}.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `ledger key export` wrote.")],
    store: StorePlace = "lab.db",
) -> None:
    """Admit another contributor's key to the store's log."""
    from materialabs.store.key_events import import_key, read_exported

    document = read_exported(file)
    with make_store(store) as opened:
        import_key(opened, document)
    note(f"{document.get('name')} may now sign records of {store}.")


@app.command("rotate")
def rotate(store: StorePlace = "lab.db") -> None:
    """Change your key for a fresh one; what the old one signed still counts."""
    from materialabs.store.key_events import rotate_key

    with make_store(store) as opened:
        key = rotate_key(opened)
    note(f"The key of {key.name} is now {key.id}.")


@app.command("revoke")
def revoke(
    identity: Annotated[str, typer.Argument(help="Id of the key.")],
    store: StorePlace = "lab.db",
) -> None:
    """Let a key count no more from here on; what it signed before stays valid."""
    from materialabs.store.key_events import revoke_key

    with make_store(store) as opened:
        revoke_key(opened, identity)
    note(f"The key {identity} counts no more.")


@app.command("list")
def list_(store: StorePlace = "lab.db", json: Json = False) -> None:
    """Show the keys that the store's log knows."""
    from materialabs.store.key_events import contributors

    with open_store(store) as opened:
        rows = [vars(one) for one in contributors(opened)]
    if json:
        print_json(rows)
    else:
        print_rows(rows)
