"""``materialabs ingest``, ``query`` and ``serve``: the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materialabs.cli.options import Json, Rows, StorePlace
from materialabs.cli.output import note, print_json, print_rows

if TYPE_CHECKING:
    from materialabs.store.ingest import Ingested
    from materialabs.store.records import Method
    from materialabs.store.store import Store

SHOWN_REFUSALS = 20
"""Refusals that are printed."""


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Crystal files, folders, patterns, tables.")],
    store: StorePlace = "lab.db",
    method: Annotated[
        str | None,
        typer.Option(help="Origin of values: experiment, beyond-dft, dft, potential or model."),
    ] = None,
    program: Annotated[str, typer.Option(help="Program, potential or instrument.")] = "",
    level: Annotated[
        str | None, typer.Option(help="Level of theory of energies, such as MP2020 or PBE.")
    ] = None,
    crystals_only: Annotated[
        bool, typer.Option("--crystals-only", help="Store crystals without their properties.")
    ] = False,
    formula: Annotated[str | None, typer.Option(help="Of a table: the column of formulas.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Of a table: HEADER=PROPERTY:UNIT; may be repeated."),
    ] = None,
    doi: Annotated[str, typer.Option(help="Where the values were published.")] = "",
    licence: Annotated[
        str, typer.Option(help="Under which the data are given, such as CC-BY-4.0.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what a table's columns mean; store nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Store crystals and tables of values as signed records; what is known already stays."""
    from materialabs.store.tables import holds_crystals, is_table

    tables = [path for path in paths if is_table(path) and not holds_crystals(path)]
    files = [path for path in paths if path not in tables]
    how = method_asked(method, program, level)
    if dry_run:
        for path in tables:
            _show_meanings(path, formula, column)
        return
    with make_store(store) as opened:
        done = _ingest(opened, files, tables, how, crystals_only, formula, column, doi, licence)
    if json:
        print_json({**vars(done.written), "refused": done.refused, "left_out": done.left_out})
        return
    written = done.written
    note(
        f"{written.records} records and {written.crystals} crystals stored, "
        f"{written.known} known already; the log has {written.size} entries."
    )
    if done.left_out:
        note(f"Left out, name them with --column to keep them: {', '.join(sorted(done.left_out))}")
    print_refusals(done.refused, "refused")


def print_refusals(refused: list[tuple[str, str]], what: str) -> None:
    """Print the first places with their reasons, and how many there are."""
    shown = [{"place": place, "reason": reason} for place, reason in refused[:SHOWN_REFUSALS]]
    print_rows(shown, title=f"{len(refused)} {what}")


def _ingest(
    store: Store,
    files: list[str],
    tables: list[str],
    how: Method | None,
    crystals_only: bool,
    formula: str | None,
    column: list[str] | None,
    doi: str,
    licence: str,
) -> Ingested:
    from materialabs.cli.inputs import settings
    from materialabs.errors import InputError
    from materialabs.store.ingest import Ingested, ingest_crystals, ingest_table
    from materialabs.store.tables import open_table

    done = Ingested()
    if files:
        show = None if settings().progress else False
        part = ingest_crystals(
            store,
            files,
            method=how,
            columns=column or (),
            crystals_only=crystals_only,
            doi=doi,
            licence=licence,
            progress=show,
        )
        done.count(part.written)
        done.refused += part.refused
        done.left_out |= part.left_out
    for path in tables:
        if how is None:
            raise InputError(f"Say how the values of {path} were obtained: --method experiment.")
        table = open_table(path)
        meanings = _meanings(path, formula, column)
        part = ingest_table(store, table, meanings, method=how, doi=doi, licence=licence)
        done.count(part.written)
        done.refused += part.refused
        done.left_out |= part.left_out
    return done


def method_asked(kind: str | None, program: str, level: str | None) -> Method | None:
    """The method that the options name; nothing where they name none."""
    from materialabs.store.ingest import method_of

    return None if kind is None else method_of(kind, program, level=level or "")


def _meanings(path: str, formula: str | None, column: list[str] | None) -> list[Any]:
    from materialabs.store.mapping import meanings_of
    from materialabs.store.tables import open_table

    table = open_table(path)
    return list(
        meanings_of(table.headers, table.first_rows(), formula=formula or "", columns=column or ())
    )


def _show_meanings(path: str, formula: str | None, column: list[str] | None) -> None:
    rows = [
        {
            "column": one.header,
            "meaning": one.role,
            "property": one.name,
            "unit": one.unit,
            "why not": one.reason,
        }
        for one in _meanings(path, formula, column)
    ]
    print_rows(rows, title=path)


def query(
    filter: Annotated[
        str, typer.Argument(help="OPTIMADE filter, such as 'elements HAS \"Li\" AND band_gap>=1'.")
    ] = "",
    store: StorePlace = "lab.db",
    sort: Annotated[
        str, typer.Option(help="Properties joined by commas, a minus before those that fall.")
    ] = "",
    limit: Rows = 20,
    predicted: Annotated[
        bool, typer.Option("--predicted", help="Count models' values for bare property names.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the crystals there.")
    ] = None,
    json: Json = False,
) -> None:
    """Find crystals by composition, symmetry and properties."""
    from itertools import islice

    with open_store(store) as opened:
        results = opened.query(filter, sort=sort, predicted=predicted)
        count = results.count()
        for warning in results.warnings:
            note(warning)
        rows = list(islice(results, limit or None))
        if json:
            print_json({"count": count, "structures": rows})
        else:
            print_rows([_row(row) for row in rows], title=f"{count} structures")
            if len(rows) < count:
                note(f"... and {count - len(rows)} more; --limit 0 prints all.")
        if output is not None:
            _write(opened, [row["id"] for row in results], output)


def _row(row: Any) -> dict[str, Any]:
    names = ("name", "source", "formula", "nsites", "space_group", "band_gap", "formation_energy",
             "hull_distance")  # fmt: skip
    return {name.replace("_", " "): row[name] for name in names}


def _write(store: Store, ids: list[int], output: Path) -> None:
    from materialabs.crystals.files import write
    from materialabs.errors import NotFound

    if not ids:
        raise NotFound("The filter selects nothing, so that nothing was written.")
    written = write(store.crystals(ids), output)
    note(f"{len(ids)} crystals written to {written[0] if len(written) == 1 else output}")


def serve(
    store: StorePlace = "lab.db",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 5000,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log warnings only.")] = False,
) -> None:
    """Serve the store: web pages, OPTIMADE at /optimade/v1, uploads, proofs and the log."""
    from materialabs.server.app import serve as run

    with make_store(store) as opened:
        note(f"Pages at http://{host}:{port}/, OPTIMADE at http://{host}:{port}/optimade/v1")
        run(opened, host=host, port=port, quiet=quiet)


def open_store(place: str) -> Store:
    """Open a store to read from."""
    from materialabs.cli.inputs import settings
    from materialabs.errors import NotFound
    from materialabs.store.store import Store

    if "://" not in place and not Path(place).exists():
        raise NotFound(f"There is no store at {place}; `materialabs ingest` makes one.")
    return Store(place, keys=settings().keys)


def make_store(place: str) -> Store:
    """Open a store to write to, made where there is none; say once when keys were made."""
    from materialabs.cli.inputs import settings
    from materialabs.store.store import Store

    store = Store(place, keys=settings().keys)
    for path in store.identity.made:
        note(f"A signing key was made: {path}. Keep a copy; only you can read it.")
    return store
