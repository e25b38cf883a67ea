"""Fit a model to a table of measured values: ``materialabs transfer fit``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from materialabs.errors import InputError, NotFound, ResourceError
from materialabs.networks.cards import versions
from materialabs.networks.model_files import CARD, read_card
from materialabs.transfer.choosing import offered_scores, suiting
from materialabs.transfer.described import describe
from materialabs.transfer.explaining import background_of
from materialabs.transfer.folds import compound_labels, plan_folds
from materialabs.transfer.judging import figures_of, judge, learner_of
from materialabs.transfer.learning import learn
from materialabs.transfer.models import TransferModel, write_model
from materialabs.transfer.reports import write_report
from materialabs.transfer.sources import Source, shipped, shipped_names
from materialabs.transfer.strategies import strategies_for
from materialabs.transfer.tables import Measurements, read_measurements

REPORT: Final = "report.html"


def fit(
    table: str | Path,
    target: str,
    *,
    formula: str | None = None,
    conditions: Sequence[str] = (),
    logarithm: bool = False,
    unit: str = "",
    folds: str = "formula",
    sources: Sequence[str] | None = None,
    out: str | Path | None = None,
    skip_bad: bool = False,
    normalise: bool = False,
    seed: int = 0,
    credit: str = "",
    licence: str = "",
    progress: bool | None = None,
) -> TransferModel:
    """Learn a measured property from compositions, and judge it on folds that it has not seen.

    The same call opens the model once it is finished.

    Parameters
    ----------
    table
        CSV, TSV, XLSX, JSON or JSON lines with a column of formulas.
    target
        Column to learn. Numbers are regressed; truth values and texts are classes.
    formula
        Column of formulas, where it has no usual name.
    conditions
        Columns of numbers that a value was measured at, such as a temperature. No other column of
        the table is ever an input.
    logarithm
        Learn base-ten logarithms.
    unit
        Of the target.
    folds
        What the model is judged on: ``"formula"``, ``"random"``, ``"system"`` or ``"element"``.
    sources
        Names of sources of calculated knowledge, of which all are used at once; none with an empty
        list. By default the one of those that come with the package that suits the table best
        (:mod:`materialabs.transfer.choosing`), chosen anew in each fold.
    out
        Folder of the model; by default named after table and target.
    skip_bad
        Go on without rows whose composition cannot be used.
    normalise
        Take fractions that do not sum to one relative to their sum.
    seed
        The same seed gives the same model.
    credit, licence
        Of the data, for the card.
    progress
        Draw a bar or not; by default only on a terminal.
    """
    measured = read_measurements(
        table, target, formula=formula, conditions=conditions, logarithm=logarithm, unit=unit,
        skip_bad=skip_bad, normalise=normalise,
    )  # fmt: skip
    choose = sources is None
    known = [
        shipped(name) for name in dict.fromkeys(sources or (shipped_names() if choose else ()))
    ]
    folder = Path(out) if out is not None else Path(folder_name(table, target))
    plan = plan_of(measured, folds, known, seed) | ({"choose": True} if choose else {})
    finished = _finished(folder, plan)
    if finished is not None:
        return finished
    told = {"name": folder.resolve().name, "plan": plan, "credit": credit, "licence": licence}
    return fit_measurements(
        measured, folder, told, folds=folds, sources=known, choose=choose, seed=seed,
        progress=progress,
    )  # fmt: skip


def fit_measurements(
    measured: Measurements, folder: Path, told: dict[str, Any],
    *, folds: str, sources: Sequence[Source], choose: bool, seed: int, progress: bool | None,
) -> TransferModel:  # fmt: skip
    """Judge on folds, learn from all rows, and write the model's folder.

    Parameters
    ----------
    measured
        The table.
    folder
        Of the model.
    told
        Entries of the card that the caller knows.
    sources, choose
        Sources of calculated knowledge; whether to learn with the one that suits best alone.
    folds, seed, progress
        As in :func:`fit`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{folder} cannot be made: {error.strerror}.") from None
    described = describe(measured.compositions, sources, measured.conditions)
    names = [one.name for one in sources]
    plan = plan_folds(measured.compositions, folds, seed=seed)
    chosen: list[list[str]] = []
    learner = learner_of(measured, names, choose=choose, seed=seed, said=chosen.append)
    judged = judge(described, measured.targets, plan, learner, sources=sources, progress=progress)
    scores = offered_scores(described, measured.targets, names, plan.groups) if choose else {}
    used = suiting(scores) if choose else names
    learned = learn(
        described, measured.targets, measured.head, plan.groups, strategies_for(used), seed=seed
    )
    card = told | {
        "conditions": list(measured.conditions.names),
        "data": _data_card(measured),
        "background": background_of(measured.compositions),
        "folds": f"{len(plan.outer)} folds by {folds}, seed {seed}",
        "metrics": figures_of(measured, judged),
        "sources_offered": scores,
        "sources_of_folds": chosen,
        "versions": versions(),
    }
    model = write_model(folder, learned, [one for one in sources if one.name in used], card)
    write_report(model, measured, judged, folder / REPORT)
    return model


def folder_name(table: str | Path, target: str) -> str:
    """The usual folder of a model, named after its table and target."""
    stem = Path(table).name.partition(".")[0]
    return f"{stem}-{target}".replace("/", "_").replace(" ", "_") + "-transfer"


def plan_of(
    measured: Measurements, folds: str, sources: Sequence[Source], seed: int
) -> dict[str, Any]:
    """What decides the outcome, as JSON values: data, folds, sources, seed."""
    digest = hashlib.sha256(json.dumps(measured.head.to_dict()).encode())
    cells = measured.compositions
    for array in (
        cells.offsets, cells.elements, cells.amounts, measured.targets, measured.conditions.values,
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "data": digest.hexdigest(), "folds": folds, "seed": seed,
        "sources": [source.fingerprint() for source in sources],
    }  # fmt: skip


def _finished(folder: Path, plan: dict[str, Any]) -> TransferModel | None:
    """The model of a folder that is finished; a folder of another plan is refused."""
    if not (folder / CARD).is_file():
        return None
    try:
        same = read_card(folder).get("plan") == plan
    except NotFound:
        return None
    if not same:
        raise InputError(
            f"{folder} holds a model of another table, folds, sources or seed: give another "
            "--out, or remove it.",
            code="training.other",
        )
    return TransferModel.load(folder) if (folder / REPORT).is_file() else None


def _data_card(measured: Measurements) -> dict[str, Any]:
    formulas = set(compound_labels(measured.compositions))
    return {
        "name": measured.name,
        "rows": len(measured),
        "formulas": len(formulas),
        "notes": list(measured.notes),
    }
