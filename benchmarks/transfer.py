"""Measured properties from compositions: what calculated crystals add, on folds nobody has seen.

Sixteen rows (:mod:`benchmarks.measured_tables`): formation enthalpies (efe) on the published five
folds and by reduced formula, the measured gaps, metals, glasses and steels of Matbench on their
official folds, thermoelectrics, alloys, superconductors and lithium conductors by reduced formula.
In one run, on the same folds: extremely randomised trees and boosted trees on Magpie statistics
(peers), our strategies without sources, with the source that suits the training rows best, and with
the better of two sources that were trained without any compound of any of these tables. What
sources gain is also told on the rows inside the training sides, which are more. On efe also
CroMEL as published but with a fresh generator for each fold; its structure encoder reads the
features of our graph network, so its row is the method on our source data, not the released
weights: those reach R2 0.882 and 0.062 eV/atom.

``python -m benchmarks.transfer`` takes many hours of one core, most of them for networks (of 500
rows half an hour, of 4,000 an hour or more); what is finished is kept in ``--folder``, and
``--tables 'glass;steels'`` takes a part, whose rows replace those of the stored result, which names
the tables that are missing. ``--quick`` takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import RESULTS, Headline, pin_threads, report, stored_rows

pin_threads()

import numpy as np
from numpy.typing import NDArray

from benchmarks.calculated_quantities import PARTS, calculated, train
from benchmarks.measured_tables import TABLES, Task, task
from benchmarks.transfer_methods import (
    BOOSTING,
    CROMEL,
    CROMEL_EPOCHS,
    CROMEL_FRESH,
    EXTRA_TREES,
    PLAIN,
    STRANGE,
    WITH_SOURCE,
    Fit,
    Method,
    Told,
    boosting,
    cromel,
    extra_trees,
    generators,
    ours,
)  # fmt: skip
from materialabs.crystals.compositions import Compositions
from materialabs.networks.cards import ranking_area
from materialabs.transfer.described import Described, describe
from materialabs.transfer.folds import compound_labels, plan_folds
from materialabs.transfer.judging import balanced_accuracy
from materialabs.transfer.sources import Source, shipped, shipped_names
from materialabs.transfer.tables import Measurements

Array = NDArray[np.float64]

BAR, AIM = 0.90, 0.95
STRANGERS: Final = ("energy", "mp36k")
"""Sources that are trained a second time, without the compounds of any table."""
QUICK_ROWS: Final = 120
QUICK_FORMULAS: Final = 1_000
FIRST: Final = "efe, published folds"
EVERY_TABLE: Final = "all tables"
STRANGER: Final = " without these"
"""Ends the names of sources that have not seen the compounds of any table."""
INTERVALS: Final = 0.90
INSIDE: Final = "gain of sources inside the training rows"
"""Names the rows that tell gains on what the outer folds learn from."""


# -- judging --------------------------------------------------------------------------------------


def judged(task: Task, method: Method, described: Described, folder: Path) -> dict[str, Told]:
    """Predictions of all rows, fold by fold; what a part has learned is kept in the folder."""
    found: dict[str, list[Told]] = {name: [] for name in method.names}
    for cut in task.plan.outer:
        fit = Fit.of(task, described, cut.train, cut.test)
        for name, told in method.tell(fit, method.learned(fit, folder)).items():
            found[name].append(told)
    return {name: _gathered(task, some) for name, some in found.items()}


def _gathered(task: Task, parts: list[Told]) -> Told:
    """Folds put back into the order of the table."""
    order = np.argsort(np.concatenate([cut.test for cut in task.plan.outer]))

    def column(name: str) -> Array | None:
        found = [getattr(one, name) for one in parts]
        return None if found[0] is None else np.concatenate(found)[order]

    mean = column("mean")
    assert mean is not None
    return Told(
        mean, column("low"), column("high"), tuple(rows for one in parts for rows in one.inside)
    )


def row_of(task: Task, name: str, told: Told) -> dict[str, Any]:
    """Mean and spread over the folds of every figure."""
    truth = task.measured.targets
    folds = [_figures(truth[cut.test], told.mean[cut.test], task.classes)
             for cut in task.plan.outer]  # fmt: skip
    row: dict[str, Any] = {"name": f"{task.name}: {name}", "rows": len(truth)}
    for figure in folds[0]:
        values = [one[figure] for one in folds]
        row[figure], row[f"{figure}_spread"] = float(np.mean(values)), float(np.std(values))
    if told.low is not None and told.high is not None:
        inside = (told.low <= truth) & (truth <= told.high)
        row["share_in_90_percent_intervals"] = float(inside.mean())
        row["within_chance"] = within_chance(inside[:, 0], task.measured)
    return row


def _figures(truth: Array, mean: Array, classes: bool) -> dict[str, float]:
    if classes:
        return {
            "roc_auc": ranking_area(mean[:, 1], truth[:, 1] > 0),
            "balanced_accuracy": balanced_accuracy(mean, truth),
        }
    wrong = mean - truth
    return {
        "r2": 1.0 - float((wrong**2).mean() / truth.var()),
        "mae": float(np.abs(wrong).mean()),
    }


def gain(task: Task, of: str, better: Told, usual: Told) -> dict[str, Any]:
    """Paired gain over the folds: of errors, or of ranking areas."""
    truth = task.measured.targets
    key = "roc_auc" if task.classes else "mae"
    sign = 1.0 if task.classes else -1.0
    gaps = [
        sign * (_figures(truth[cut.test], better.mean[cut.test], task.classes)[key]
                - _figures(truth[cut.test], usual.mean[cut.test], task.classes)[key])
        for cut in task.plan.outer
    ]  # fmt: skip
    return {
        "name": f"{task.name}: gain of {of}", key: float(np.mean(gaps)),
        f"{key}_spread": float(np.std(gaps)),
    }  # fmt: skip


def gain_inside(task: Task, better: Told, usual: Told) -> dict[str, Any]:
    """Paired gain of sources on rows inside the training sides, of which there are more.

    Four times as many predictions as of the outer folds tell smaller differences apart.
    """
    key, sign = ("roc_auc", 1.0) if task.classes else ("mae", -1.0)
    figures = [
        [_figures(task.measured.targets[cut.train], told.inside[number], task.classes)[key]
         for told in (usual, better)]
        for number, cut in enumerate(task.plan.outer)
    ]  # fmt: skip
    gaps = [sign * (after - before) for before, after in figures]
    return {
        "name": f"{task.name}: {INSIDE}",
        "without_sources": float(np.mean(figures, axis=0)[0]), key: float(np.mean(gaps)),
        f"{key}_spread": float(np.std(gaps)),
    }  # fmt: skip


def noise_of(measured: Measurements) -> dict[str, Any]:
    """What repeated formulas say of the ceiling: R2 of a model without any error of its own."""
    formulas = np.array(compound_labels(measured.compositions))
    names, member, counts = np.unique(formulas, return_inverse=True, return_counts=True)
    several = counts[member] > 1
    values, groups = measured.targets[several, 0], member[several]
    means = np.bincount(groups, values, len(names)) / np.maximum(
        np.bincount(groups, minlength=len(names)), 1
    )
    freedom = int(several.sum()) - len(np.unique(groups))
    variance = float(((values - means[groups]) ** 2).sum() / max(freedom, 1))
    return {
        "name": "efe: noise of repeated formulas", "repeated_rows": int(several.sum()),
        "standard_deviation_ev_per_atom": variance**0.5,
        "r2_ceiling": 1.0 - variance / float(measured.targets.var()),
    }  # fmt: skip


def within_chance(inside: NDArray[np.bool_], measured: Measurements) -> bool:
    """Whether 90 % intervals hold as often as in 95 of 100 tables, were each to hold at 90 %.

    The binomial range, widened where rows of one compound, such as those at other temperatures,
    hold or miss together.
    """
    compounds = np.unique(compound_labels(measured.compositions), return_inverse=True)[1]
    apart = INTERVALS * (1.0 - INTERVALS) * len(inside)
    together = float((np.bincount(compounds, inside - INTERVALS) ** 2).sum())
    reach = 1.96 * np.sqrt(max(apart, together))
    return bool(abs(inside.sum() - INTERVALS * len(inside)) <= reach)


def apart(task: Task, told: dict[str, Told], calculated: set[str]) -> list[dict[str, Any]]:
    """Mean absolute errors on compounds with a calculated value in any source, and on the others.

    What sources gain on the others is what they teach of compounds that nobody has calculated.
    """
    known = np.array([one in calculated for one in compound_labels(task.measured.compositions)])
    wrong = {
        name: np.abs(told[name].mean - task.measured.targets).mean(axis=1)
        for name in (PLAIN, WITH_SOURCE)
    }
    return [
        {
            "name": f"{task.name}: compounds {words} the sources", "rows": int(rows.sum()),
            "mae_without_sources": float(wrong[PLAIN][rows].mean()),
            "mae_with_sources": float(wrong[WITH_SOURCE][rows].mean()),
        }
        for words, rows in (("in", known), ("not in", ~known)) if rows.any()
    ]  # fmt: skip


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """On how many tables sources help, trees are reached, and intervals hold what they promise."""
    by_name = {row["name"]: row for row in rows}
    helped, helped_squares, helped_inside, reached, outside = [], [], [], [], []
    names = tables_of(rows)
    for one in names:
        classes = "roc_auc" in by_name[f"{one}: {WITH_SOURCE}"]
        key = "roc_auc" if classes else "mae"
        found = {
            name: by_name[f"{one}: {name}"][key]
            for name in (EXTRA_TREES, BOOSTING, PLAIN, WITH_SOURCE)
        }
        sign = 1.0 if classes else -1.0
        helped.append(by_name[f"{one}: gain of sources"][key] > 0)
        helped_inside.append(by_name[f"{one}: {INSIDE}"][key] > 0)
        squares = "balanced_accuracy" if classes else "r2"
        without, having = (by_name[f"{one}: {name}"][squares] for name in (PLAIN, WITH_SOURCE))
        helped_squares.append(having > without)
        trees = max(sign * found[EXTRA_TREES], sign * found[BOOSTING])
        reached.append(sign * found[WITH_SOURCE] >= trees)
        if not by_name[f"{one}: {WITH_SOURCE}"].get("within_chance", True):
            outside.append(one)
    return {
        "name": EVERY_TABLE, "tables": len(names), "sources_help": sum(helped),
        "sources_help_r2_or_balanced_accuracy": sum(helped_squares),
        "sources_help_inside_the_training_rows": sum(helped_inside),
        "trees_reached": sum(reached), "intervals_outside_chance": ", ".join(outside) or "none",
    }  # fmt: skip


def tables_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The tables that some rows judge, in the order in which they are listed."""
    judged = {row["name"].partition(": ")[0] for row in rows}
    return [name for name in TABLES if name in judged]


def joined(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in place of those of the same tables in the stored result, by table."""
    fresh = tables_of(rows)
    kept = stored_rows("transfer", fresh, part=table_of)
    return [row for name in TABLES for row in (*kept, *rows) if table_of(row["name"]) == name]


def table_of(name: str) -> str:
    """The table that a row belongs to."""
    return name.partition(": ")[0]


# -- the run --------------------------------------------------------------------------------------


def ways(
    task: Task, sources: Sequence[Source], strangers: Sequence[Source], folder: Path, *, quick: bool
) -> list[Method]:
    """The methods that a table is judged on."""
    found = [
        Method.plain(EXTRA_TREES, extra_trees), Method.plain(BOOSTING, boosting),
        ours(marks_of(sources), marks_of(strangers)),
    ]  # fmt: skip
    if task.name.startswith("efe"):
        trained, fresh = generators(folder, quick)
        epochs = 5 if quick else CROMEL_EPOCHS
        found += [
            cromel(CROMEL, trained, epochs, mark_of(trained)),
            cromel(CROMEL_FRESH, fresh, epochs, mark_of(fresh)),
        ]
    return found


def marks_of(sources: Sequence[Source]) -> dict[str, str]:
    """What tells the weights of each source from others, by name."""
    return {one.name: one.fingerprint() for one in sources}


def mark_of(network: Any) -> str:
    """What tells a network's weights from others."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def strange(names: Sequence[str], folder: Path, known: dict[str, list[float]]) -> list[Source]:
    """The sources again, without the compounds of any table; trained once, then read."""
    tables = [task(name, folder).measured.compositions for name in TABLES]
    compounds = sorted({one for some in tables for one in compound_labels(some)})
    digest = hashlib.sha256(json.dumps([compounds, list(known)]).encode()).hexdigest()
    found = []
    for name in names:
        place = folder / digest[:12] / f"{name}{STRANGER}"
        if (place / "card.json").exists():
            found.append(Source.load(place))
            continue
        print(f"training {name} without {len(compounds)} compounds", flush=True)
        only = name if name in PARTS else None
        found.append(train(known, place, without=compounds, only=only))
    return found


def few(task: Task) -> Task:
    """The first folds of a small part of a table, for a quick run."""
    rows = np.sort(np.random.default_rng(0).permutation(len(task.measured))[:QUICK_ROWS])
    part = task.measured
    small = Measurements(
        part.compositions[rows], part.conditions[rows], part.targets[rows], part.head,
        part.rows[rows], part.name,
    )  # fmt: skip
    return Task(task.name, small, plan_folds(small.compositions, count=2))


def rows_of(
    task: Task, sources: Sequence[Source], strangers: Sequence[Source], calculated: set[str],
    folder: Path, *, quick: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """What every method reaches on one table."""
    described = describe(
        task.measured.compositions, [*sources, *strangers], task.measured.conditions
    )  # fmt: skip
    told: dict[str, Told] = {}
    for method in ways(task, sources, strangers, folder, quick=quick):
        told |= judged(task, method, described, folder)
    rows = [row_of(task, name, one) for name, one in told.items()]
    rows += apart(task, told, calculated)
    rows.append(gain(task, "sources", told[WITH_SOURCE], told[PLAIN]))
    rows.append(gain(task, "sources that lack these compounds", told[STRANGE], told[PLAIN]))
    rows.append(gain_inside(task, told[WITH_SOURCE], told[PLAIN]))
    for row in rows:
        print(row, flush=True)
    return rows


def main() -> None:
    """Judge every method on every table, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer")
    parser.add_argument("--folder", type=Path,
                        default=Path(tempfile.gettempdir()) / "materialabs-transfer")  # fmt: skip
    parser.add_argument("--tables", default="", help=f"of {'; '.join(TABLES)}; all without it")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if arguments.quick else arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [one.strip() for one in arguments.tables.split(";") if one.strip()] or list(TABLES)
    if unknown := sorted(set(wanted) - set(TABLES)):
        parser.error(f"there is no table {unknown[0]!r}; there are {'; '.join(TABLES)}")
    if not (arguments.quick or FIRST in wanted or (RESULTS / "transfer.json").exists()):
        parser.error(f"the result is judged by {FIRST!r}: take it first")
    tasks = [task(name, folder) for name in (wanted[:1] if arguments.quick else wanted)]
    known = calculated()
    compounds = set(compound_labels(Compositions.parse(sorted(known))))
    sources = [
        shipped(name) for name in (shipped_names()[:2] if arguments.quick else shipped_names())
    ]
    if arguments.quick:
        tasks = [few(one) for one in tasks]
        known = dict(list(known.items())[:QUICK_FORMULAS])
    strangers = strange(STRANGERS[:1] if arguments.quick else STRANGERS, folder, known)
    rows = []
    for one in tasks:
        rows += rows_of(one, sources, strangers, compounds, folder, quick=arguments.quick)
    if arguments.quick:
        print(summary(rows))
        return
    rows = joined(rows)
    figure = next(row["r2"] for row in rows if row["name"] == f"{FIRST}: {WITH_SOURCE}")
    missing = "; ".join(name for name in TABLES if name not in tables_of(rows))
    rows += [summary(rows), noise_of(task(FIRST, folder).measured)]
    report(
        "transfer", rows, Headline(figure, "R2 on efe, published folds", BAR, AIM),
        f"not run: {missing}" if missing else "",
    )  # fmt: skip


if __name__ == "__main__":
    main()
