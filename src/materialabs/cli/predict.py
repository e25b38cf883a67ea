"""``materialabs predict``: energies, gaps, moduli ... of crystals, with their uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
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
        raise FileError("No crystal could be predicted: every one was refused.")
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
    from materialabs.crystals.files import Refusal, stream

    chosen = settings()
    show = None if chosen.progress else False
    for batch in stream(paths, report=report, progress=show):
        partial = batch.disordered()
        for name in np.array(batch.ids(), dtype=object)[partial]:
            report.entries.append(
                Refusal(str(name), "", "has partial occupancies: convert --ordered makes it whole")
            )
        whole = batch.take(np.flatnonzero(~partial))
        if len(whole):
            told = model.predict(whole, relaxed=not unrelaxed, threads=chosen.threads)
            yield _rows(model, told.replace(ids=_names(whole)), whole.reduced_formulas())


def _names(crystals: Crystals) -> tuple[str, ...]:
    """The crystals' ids, each with its file where several bear the same."""
    ids = crystals.ids()
    files = crystals.columns.get("source")
    if files is None or len(set(ids)) == len(ids):
        return tuple(ids)
    return tuple(f"{Path(str(file)).name}:{own}" for file, own in zip(files, ids, strict=True))


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
    hidden = ("std", "in_domain")
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


def _level(model: Model) -> str | None:
    level = model.heads[model.head].level
    return None if level is None else str(level)
