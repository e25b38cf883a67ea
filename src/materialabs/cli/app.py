"""The verbs and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from materialabs.cli import (
    campaign,
    convert,
    discover,
    doctor,
    exchange,
    generate,
    hull,
    inspect,
    ledger,
    mirror,
    predict,
    store,
    train,
    transfer,
    worker,
)

app = typer.Typer(
    name="materialabs",
    help="Discover materials: generate crystals, judge them against the convex hull, record all.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from materialabs import __version__

        typer.echo(f"materialabs {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Discover materials: generate crystals, judge them against the convex hull, record all."""


app.command("discover")(discover.discover)
app.add_typer(campaign.app, name="campaign")
app.command("worker")(worker.worker)
app.command("predict")(predict.predict)
app.command("train")(train.train)
app.add_typer(transfer.app, name="transfer")
app.command("hull")(hull.hull)
app.add_typer(generate.app, name="generate")
app.command("inspect")(inspect.inspect)
app.command("convert")(convert.convert)
app.command("ingest")(store.ingest)
app.command("query")(store.query)
app.command("export")(exchange.export)
app.command("import")(exchange.import_)
app.command("serve")(store.serve)
app.add_typer(ledger.app, name="ledger")
app.add_typer(mirror.app, name="mirror")
app.command("doctor")(doctor.doctor)
