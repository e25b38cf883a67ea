"""``materialabs predict``: energies, gaps, moduli ... of crystals, with their uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materialabs.cli.options import Json, Rows
from materialabs.cli.output import csv_text, note, print_json, print_rows, write_text

if TYPE_CHECKING:
    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.files import ReadReport
    from materialabs.networks.models import Model
    from materialabs.predictions import Prediction

VALUES = ("class", "probability", "mean", "low", "high", "std")
"""Fields of a prediction that are told, where it has them."""

PARTIAL = "has partial occupancies: `materialabs convert --ordered` makes it whole"
"""Why a disordered crystal is not predicted."""


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders or patterns; formulas for a model that reads them."),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="energy, gap, ... or a folder that train wrote.")
    ] = "energy",
    head: Annotated[
        str | None, typer.Option(help="Which of the model's quantities, where it has several.")
    ] = None,
    unrelaxed: Annotated[
        bool, typer.Option("--unrelaxed", help="The geometries are guesses, not relaxed.")
    ] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write all rows to a CSV file.")] = None,
    rows: Rows = 20,
    json: Json = False,
) -> None:
    """Predict a property of crystals, with 90 % intervals and warnings."""
    from materialabs.cli.inputs import refusals
    from materialabs.crystals.files import ReadReport
    from materialabs.errors import FileError, InputError
    from materialabs.networks.models import load_model

    asked = load_model(model, head)
    report = ReadReport()
    if asked.reads == "crystals":
        found = list(_of_files(asked, paths, report, unrelaxed))
    elif unrelaxed:
        raise InputError(f"The model {asked.name!r} reads formulas, which are not relaxed.")
    else:
        found = [_of_formulas(asked, paths)]
    if not found:
        raise FileError(_nothing(report))
    told = [row for part in found for row in part]
    if csv is not None:
        write_text(csv, csv_text(told))
    if json:
        print_json(
            {
                "model": asked.model_id, "head": asked.head, "unit": asked.heads[asked.head].unit,
                "level": _level(asked), "predictions": told, "refused": refusals(report),
            }
        )  # fmt: skip
        return
    _print(asked, told, rows, report)
    if csv is not None:
        note(f"{len(told)} rows written to {csv}")


def _of_files(
    model: Model, paths: list[str], report: ReadReport, unrelaxed: bool
) -> Iterator[list[dict[str, Any]]]:
    """Rows of batch after batch of files; what cannot be read or predicted goes to the report."""
    import numpy as np

    from materialabs.cli.inputs import settings
    from materialabs.crystals.files import Refusal

    chosen = settings()
    for files, batch in _batches(paths, report, None if chosen.progress else False):
        partial = batch.disordered()
        ids = batch.ids()
        report.entries += [
            Refusal(files[row], ids[row], PARTIAL) for row in np.flatnonzero(partial)
        ]
        kept = np.flatnonzero(~partial)
        if len(kept):
            whole = batch.take(kept)
            told = model.predict(whole, relaxed=not unrelaxed, threads=chosen.threads)
            rows = _rows(model, told, whole.reduced_formulas())
            yield [{"file": files[row]} | one for row, one in zip(kept, rows, strict=True)]


def _batches(
    paths: list[str], report: ReadReport, show: bool | None
) -> Iterator[tuple[list[str], Crystals]]:
    """Batches of crystals, with the file of each: a crystal's own ``source`` may be another."""
    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.files import Refusal, stream
    from materialabs.crystals.files.finding import find_files
    from materialabs.crystals.files.reading import CHUNK
    from materialabs.errors import FileError
    from materialabs.progress import track

    found, missing = find_files(paths)
    report.entries += [Refusal(name, "", reason) for name, reason in missing]
    many = len(found) > 1
    files: list[str] = []
    pending: list[Crystals] = []
    for path in track(found, label="reading", show=show if many else False):
        with suppress(FileError):  # the report says why a file gives nothing
            for part in stream(path, report=report, progress=False if many else show):
                pending.append(part.replace(columns={"id": part.ids()}, site_columns=None))
                files += [str(path)] * len(part)
                if len(files) >= CHUNK:
                    yield files, Crystals.concat(pending)
                    files, pending = [], []
    if pending:
        yield files, Crystals.concat(pending)


def _nothing(report: ReadReport) -> str:
    """Why no crystal was predicted: the first reason, and how many there are."""
    if not report.entries:
        return "No crystal was found in these files."
    what = "No crystal could be predicted" if report.read else "Nothing could be read"
    more = f" ({report.refused - 1:,} more refused)" if report.refused > 1 else ""
    return f"{what}: {report.entries[0]}{more}."


def _of_formulas(model: Model, formulas: list[str]) -> list[dict[str, Any]]:
    return _rows(model, model.predict(formulas).replace(ids=tuple(formulas)), formulas)


def _rows(model: Model, told: Prediction, formulas: list[str]) -> list[dict[str, Any]]:
    """One row for each crystal, values in the quantity's own unit."""
    logarithm = model.heads[model.head].logarithm
    rows = []
    for formula, row in zip(formulas, told.table(), strict=True):
        value: dict[str, Any] = {name: row[name] for name in VALUES if name in row}
        if logarithm:
            value = {name: 10.0 ** value[name] for name in ("mean", "low", "high")}
        rows.append({
            "id": row["id"], "formula": formula, **value, "in_domain": row["in_domain"],
            "warning": "unlike what was learned" if row["out_of_domain"] else "",
        })  # fmt: skip
    return rows


def _print(model: Model, told: list[dict[str, Any]], rows: int, report: ReadReport) -> None:
    from materialabs.cli.inputs import refusals

    head = model.heads[model.head]
    shown = told if rows == 0 else told[:rows]
    names = {"mean": f"{head.title} ({head.unit})", "low": "90 % from", "high": "to"}
    hidden = ("std", "in_domain", *(() if _alike(told) else ("file",)))
    print_rows(
        [
            {names.get(name, name): value for name, value in row.items() if name not in hidden}
            for row in shown
        ],
        title=f"{head.title} by {model.model_id}" + (f" at {_level(model)}" if head.level else ""),
    )
    if len(shown) < len(told):
        note(f"... and {len(told) - len(shown)} more; --rows 0 prints all, --csv keeps them.")
    odd = sum(bool(row["warning"]) for row in told)
    if odd:
        note(f"{odd} of {len(told)} are unlike what the model has learned from.")
    refused = refusals(report)
    print_rows(refused, title=f"{len(refused)} refused")


def _alike(told: list[dict[str, Any]]) -> bool:
    """Whether crystals of several files bear the same id: then the table names the files."""
    files = {row.get("file") for row in told}
    return len(files) > 1 and len({row["id"] for row in told}) < len(told)


def _level(model: Model) -> str | None:
    level = model.heads[model.head].level
    return None if level is None else str(level)
