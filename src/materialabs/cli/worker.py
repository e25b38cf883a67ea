"""``materialabs worker``: join a running campaign."""

from __future__ import annotations

from typing import Annotated

import typer

from materialabs.cli.output import note, print_json


def worker(
    campaign: Annotated[
        str, typer.Argument(help="Id of the campaign; the newest that runs by default.")
    ] = "",
    store: Annotated[
        str,
        typer.Option(
            "--store", help="SQLite file, or a postgresql:// URL.", envvar="MATERIALABS_STORE"
        ),
    ] = "lab.db",
    oracle: Annotated[
        str, typer.Option(help="Oracle, where the campaign's does not ship with the program.")
    ] = "",
    wait: Annotated[
        float, typer.Option(help="Seconds without work after which the worker ends.", min=0)
    ] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Relax tasks of a running campaign, here or on another node; the campaign signs them."""
    from materialabs.cli.store import open_store
    from materialabs.discovery.worker import work

    with open_store(store) as opened:
        done = work(opened, campaign, oracle=oracle, idle_seconds=wait)
    if json:
        print_json(vars(done))
    else:
        note(f"{done.relaxations} relaxations for campaign {done.campaign}, as {done.name}.")
