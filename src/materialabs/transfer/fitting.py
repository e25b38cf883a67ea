"""Fit a model to a table of measured values: ``materialabs transfer fit``."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError, NotFound, ResourceError
from materialabs.networks.cards import versions
from materialabs.networks.model_files import CARD, WEIGHTS, read_card
from materialabs.networks.splits import as_groups
from materialabs.transfer.choosing import offered_scores, starting, suiting
from materialabs.transfer.described import describe
from materialabs.transfer.explaining import background_of
from materialabs.transfer.folds import FoldPlan, compound_labels, plan_folds
from materialabs.transfer.judging import digest_of, figures_of, judge, learner_of, rows_digest
from materialabs.transfer.learning import Learned, learn
from materialabs.transfer.models import TransferModel, kept_or_learned, write_model
from materialabs.transfer.reports import write_report
from materialabs.transfer.sources import Source, shipped, shipped_names
from materialabs.transfer.strategies import strategies_for
from materialabs.transfer.tables import Measurements, read_measurements

REPORT: Final = "report.html"

WORK: Final = "work"
"""Folder for what is learned on the way; a fit that was stopped goes on from it."""


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
    networks: bool = True,
    out: str | Path | None = None,
    skip_bad: bool = False,
    normalise: bool = False,
    seed: int = 0,
    credit: str = "",
    licence: str = "",
    progress: bool | None = None,
) -> TransferModel:
    """Learn a measured property from compositions, and judge it on folds that it has not seen.

    The same call goes on where it was stopped, fold by fold, and opens a finished model.

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
        What the model is judged on: ``"formula"``, ``"random"``, ``"system"`` or ``"element"``. The
        finished model is the same with all of them.
    sources
        Names of sources of calculated knowledge, of which all are used at once; none with an empty
        list. By default the one of those that come with the package that suits the table best
        (:mod:`materialabs.transfer.choosing`), chosen anew in each fold.
    networks
        Let networks learn, too, which begin as those of the sources that suit the table; they take
        most of the time, minutes for a table of hundreds of rows.
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
    plan = plan_of(measured, folds, known, seed) | {"networks": networks}
    plan |= {"choose": True} if choose else {}
    finished = _finished(folder, plan, {"credit": credit, "licence": licence})
    if finished is not None:
        return finished
    told = {"name": folder.resolve().name, "plan": plan, "credit": credit, "licence": licence}
    return fit_measurements(
        measured, folder, told, folds=folds, sources=known, choose=choose, networks=networks,
        seed=seed, progress=progress,
    )  # fmt: skip


def fit_measurements(
    measured: Measurements, folder: Path, told: dict[str, Any],
    *, folds: str, sources: Sequence[Source], choose: bool, networks: bool, seed: int,
    progress: bool | None,
) -> TransferModel:  # fmt: skip
    """Judge on folds, learn from all rows, and write the model's folder.

    The kind of folds decides what the model is judged on, and nothing of how it learns: inside the
    rows that it learns from, those of one compound always stay together.

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
    networks, folds, seed, progress
        As in :func:`fit`.
    """
    _require_writable(folder)
    compounds = _compounds_of(measured)
    plan = replace(plan_folds(measured.compositions, folds, seed=seed), groups=compounds)
    described = describe(measured.compositions, sources, measured.conditions)
    names = [one.name for one in sources]
    chosen: list[list[str]] = []
    work = folder / WORK / hashlib.sha256(json.dumps(told["plan"]).encode()).hexdigest()[:12]

    def keep(name: str, learn: Callable[[], Learned]) -> Learned:
        return kept_or_learned(work / name[:12], learn)

    learner = learner_of(
        measured, names, choose=choose, seed=seed, networks=networks, said=chosen.append,
        keep=keep,
    )  # fmt: skip
    judged = judge(described, measured.targets, plan, learner, sources=sources, progress=progress)
    scores = offered_scores(described, measured.targets, names, compounds) if choose else {}
    used, starts = (suiting(scores), starting(scores)) if choose else (names, names)
    strategies = strategies_for(used, starts, networks=networks)
    learned = keep(
        digest_of(described, measured.targets, compounds, strategies), partial(
            learn, described, measured.targets, measured.head, compounds, strategies, seed=seed
        ),
    )  # fmt: skip
    card = told | {
        "conditions": list(measured.conditions.names),
        "condition_ranges": _ranges(measured.conditions),
        "data": _data_card(measured, plan),
        "background": background_of(measured.compositions),
        "folds": f"{len(plan.outer)} folds by {folds}, seed {seed}",
        "metrics": figures_of(measured, judged),
        "sources_offered": scores,
        "sources_of_folds": chosen,
        "versions": versions(),
    }
    model = write_model(folder, learned, [one for one in sources if one.name in used], card)
    write_report(model, measured, judged, folder / REPORT)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return model


def folder_name(table: str | Path, target: str) -> str:
    """The usual folder of a model, named after its table and target."""
    stem = Path(table).name.partition(".")[0]
    return f"{stem}-{target}".replace("/", "_").replace(" ", "_") + "-transfer"


def plan_of(
    measured: Measurements, folds: str, sources: Sequence[Source], seed: int
) -> dict[str, Any]:
    """What decides the outcome, as JSON values: data, folds, sources, seed."""
    rows = rows_digest(measured.compositions, measured.conditions, measured.targets)
    head = json.dumps(measured.head.to_dict())
    return {
        "data": hashlib.sha256((head + rows).encode()).hexdigest(), "folds": folds, "seed": seed,
        "sources": [source.fingerprint() for source in sources],
    }  # fmt: skip


def _finished(folder: Path, plan: dict[str, Any], said: dict[str, str]) -> TransferModel | None:
    """The model of a folder that is finished; one of another plan, or credit, is refused."""
    if not (folder / CARD).is_file():
        return None
    try:
        card = read_card(folder)
    except NotFound:
        return None
    if card.get("plan") != plan:
        raise InputError(
            f"{folder} holds a model of another table, folds, sources, networks or seed: give "
            "another --out, or remove it.",
            code="training.other",
        )
    if not (folder / REPORT).is_file():
        return None
    for name, text in said.items():
        if text and card.get(name) != text:
            raise InputError(
                f"{folder} holds this model with another {name}, {card.get(name, '')!r}: leave "
                f"--{name} out, give another --out, or remove the folder.",
                code="training.other",
            )
    return TransferModel.load(folder)


def _require_writable(folder: Path) -> None:
    """Make the folder, and refuse one that cannot be written or that holds files of others."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResourceError(f"{folder} cannot be written: {error.strerror}.") from None
    strange = [] if (folder / CARD).is_file() else [
        name for name in (WEIGHTS, REPORT) if (folder / name).exists()
    ]  # fmt: skip
    if strange:
        raise InputError(
            f"{folder} holds {' and '.join(strange)} but no model, and fitting would write over "
            "it: give another --out, or remove it.",
            code="training.other",
        )


def _compounds_of(measured: Measurements) -> NDArray[np.int64]:
    """The compound of each row [n]; refused where there is only one."""
    compounds = as_groups(compound_labels(measured.compositions))
    if compounds.max() == 0:
        raise InputError(
            "All rows are of one compound, and a model of compositions learns from several: give "
            "rows of others.",
            code="transfer.few",
        )
    return compounds


def _ranges(conditions: Descriptors) -> dict[str, list[float]]:
    """Least and largest value of each condition."""
    return {
        name: [float(column.min()), float(column.max())]
        for name, column in zip(conditions.names, conditions.values.T, strict=True)
    }


def _data_card(measured: Measurements, plan: FoldPlan) -> dict[str, Any]:
    return {
        "name": measured.name,
        "rows": len(measured),
        "formulas": len(np.unique(plan.groups)),
        "notes": [*measured.notes, *_shared_compounds(plan)],
    }


def _shared_compounds(plan: FoldPlan) -> list[str]:
    """A sentence on judged rows whose compound was learned from, where there are any."""
    seen = sum(
        int(np.isin(plan.groups[cut.test], plan.groups[cut.train]).sum()) for cut in plan.outer
    )
    if not seen:
        return []
    return [
        f"{seen} rows were judged by a model that had learned from other rows of their compound: "
        "new compounds are predicted less well than the figures say"
    ]
