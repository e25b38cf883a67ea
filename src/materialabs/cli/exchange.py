"""``materialabs export`` and ``import``: data out of a store, and in from other databases."""

from __future__ import annotations

from typing import Annotated

import typer

from materialabs.cli.options import Json, StorePlace
from materialabs.cli.output import note, print_json
from materialabs.cli.store import make_store, method_asked, open_store, print_refusals


def export(
    output: Annotated[
        str,
        typer.Argument(
            help="File (.csv, .jsonl, .extxyz, .parquet, .optimade.jsonl), or a new folder of CIFs."
        ),
    ],
    filter: Annotated[
        str, typer.Argument(help="OPTIMADE filter, as for query; everything by default.")
    ] = "",
    store: StorePlace = "lab.db",
    format: Annotated[
        str,
        typer.Option(
            help="cif, extxyz, csv, jsonl (records with their ids), parquet, optimade-jsonl or "
            "ro-crate; by default told by the file's ending."
        ),
    ] = "",
    sort: Annotated[
        str, typer.Option(help="Properties joined by commas, a minus before those that fall.")
    ] = "",
    predicted: Annotated[
        bool, typer.Option("--predicted", help="Count models' values for bare property names.")
    ] = False,
    licence: Annotated[
        str, typer.Option(help="Of an RO-Crate as a whole; by default those of its records.")
    ] = "",
    json: Json = False,
) -> None:
    """Write structures and values to files, each value with its method and level."""
    from materialabs.cli.inputs import settings
    from materialabs.store.export import export as write

    with open_store(store) as opened:
        done = write(
            opened, output, filter=filter, sort=sort, predicted=predicted, format=format,
            licence=licence, progress=None if settings().progress else False,
        )  # fmt: skip
    if json:
        print_json(
            {
                "files": [str(path) for path in done.files],
                "structures": done.structures,
                "records": done.records,
                "left_out": done.left_out,
            }
        )
        return
    note(f"{done.structures} structures and {done.records} records written to {output}.")
    print_refusals(done.left_out, "left out")


def import_(
    url: Annotated[str, typer.Argument(help="Base URL of an OPTIMADE provider.")],
    filter: Annotated[
        str, typer.Argument(help="OPTIMADE filter; everything that it has by default.")
    ] = "",
    store: StorePlace = "lab.db",
    method: Annotated[
        str | None,
        typer.Option(help="Origin of values in fields that are not known here, such as dft."),
    ] = None,
    program: Annotated[str, typer.Option(help="Program, potential or instrument.")] = "",
    level: Annotated[str | None, typer.Option(help="Level of theory of those values.")] = None,
    doi: Annotated[str, typer.Option(help="Where the data were published.")] = "",
    licence: Annotated[
        str, typer.Option(help="Of the data; by default what the provider states.")
    ] = "",
    page: Annotated[int, typer.Option(help="Structures on a page.", min=1)] = 100,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin at the first page again.")
    ] = False,
    json: Json = False,
) -> None:
    """Store the structures of an OPTIMADE provider; run again, it goes on where it stopped."""
    from materialabs.cli.inputs import settings
    from materialabs.store.providers import import_optimade

    with make_store(store) as opened:
        done = import_optimade(
            opened, url, filter, method=method_asked(method, program, level), doi=doi,
            licence=licence, page_limit=page, restart=restart,
            progress=None if settings().progress else False,
        )  # fmt: skip
    if json:
        print_json({**vars(done), "written": vars(done.written)})
        return
    written = done.written
    note(
        f"{written.records} records and {written.crystals} crystals stored, {written.known} known "
        f"already, from {done.pages} pages of {done.provider or url}."
    )
    note(f"Licence: {done.licence or 'not stated; ask the provider before you pass data on'}.")
    for name, reason in sorted(done.left_out.items()):
        note(f"{name} was left out: {reason}.")
    print_refusals(done.refused, "refused")
