"""Learning curves of transfer: how many measured rows the best source saves.

On each table a fifth of the formulas is judged, 2,000 rows at most, the same for all sizes. Of the
others, growing parts are learned from, without a source and with the one that suits these rows
best, three draws of each size. Rows saved at a size: how many rows more the model without a source
needs for the error that the source gives, read off its own curve (a line between measured sizes in
double logarithms); where the largest size does not reach that error, "more than".

``python -m benchmarks.transfer_curves`` took half an hour of one core before networks took part,
and takes hours with them; what is finished is kept in ``--folder``. ``--quick`` takes minutes and
writes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Headline, pin_threads, report

pin_threads()

import numpy as np
from numpy.typing import NDArray

from benchmarks.measured_tables import Task, task
from benchmarks.transfer_methods import PLAIN, WITH_SOURCE, Fit, ours
from materialabs.transfer.described import Described, describe
from materialabs.transfer.folds import plan_folds
from materialabs.transfer.sources import shipped, shipped_names

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

TABLES: Final = (
    "efe, folds by formula", "expt_gap", "mpea_hardness", "mrl_seebeck", "lithium_conductivity",
    "glass_dmax", "superconductors",
)  # fmt: skip
SIZES: Final = (50, 100, 200, 400, 800, 1_600)
DRAWS: Final = 3
QUICK_SIZES: Final = (50, 100)


def errors_of(
    task: Task, described: Described, size: int, draw: int, folder: Path
) -> tuple[float, float]:
    """Mean absolute error without and with the source, learned from some rows."""
    plan = plan_folds(task.measured.compositions)
    cut = plan.outer[0]
    rows = np.random.default_rng([draw, size]).permutation(cut.train)[:size]
    judged = np.sort(np.random.default_rng(0).permutation(cut.test)[:2_000])
    method = ours({name: shipped(name).fingerprint() for name in shipped_names()})
    fit = Fit.of(Task(task.name, task.measured, plan), described, rows, judged)
    told, truth = method.tell(fit, method.learned(fit, folder)), task.measured.targets[judged]
    without, having = (
        float(np.abs(told[name].mean - truth).mean()) for name in (PLAIN, WITH_SOURCE)
    )
    return without, having


def rows_for(sizes: Array, errors: Array, wanted: float) -> float:
    """Rows at which a curve reaches an error.

    Infinite where it does not, and the first size where it begins with less.
    """
    falling = np.minimum.accumulate(errors)
    if wanted < falling[-1]:
        return float("inf")
    if wanted >= falling[0]:
        return float(sizes[0])
    return float(np.exp(np.interp(-np.log(wanted), -np.log(falling), np.log(sizes))))


def exponent(sizes: Array, errors: Array) -> float:
    """Power of the rows with which the error falls."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def row_of(task: Task, sizes: Rows, without: Array, having: Array) -> dict[str, Any]:
    """A table's curves, and what the source saves at each size."""
    needed = [rows_for(sizes.astype(float), without, error) for error in having]
    saved = {
        f"rows_saved_at_{size}": (
            f"more than {int(sizes[-1]) - size}" if np.isinf(rows) else round(rows - size)
        )
        for size, rows in zip(sizes.tolist(), needed, strict=True)
    }
    return {
        "name": task.name, "unit": task.measured.head.predicted_unit,
        "sizes": sizes.tolist(), "mae_without_source": without.tolist(),
        "mae_with_source": having.tolist(),
        "exponent_without": exponent(sizes.astype(float), without),
        "exponent_with": exponent(sizes.astype(float), having),
    } | saved  # fmt: skip


def main() -> None:
    """Measure the curves of every table, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer_curves")
    parser.add_argument("--folder", type=Path,
                        default=Path(tempfile.gettempdir()) / "materialabs-transfer")  # fmt: skip
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if arguments.quick else arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    sources = [shipped(name) for name in shipped_names()]
    rows, gains = [], []
    for name in TABLES[:1] if arguments.quick else TABLES:
        one = task(name, folder)
        described = describe(one.measured.compositions, sources, one.measured.conditions)
        most = len(plan_folds(one.measured.compositions).outer[0].train)
        known = QUICK_SIZES if arguments.quick else SIZES
        sizes = np.array([size for size in known if size <= most], dtype=np.int64)
        draws = range(1 if arguments.quick else DRAWS)
        found = np.array([
            [errors_of(one, described, size, draw, folder) for draw in draws]
            for size in sizes.tolist()
        ]).mean(axis=1)  # fmt: skip
        rows.append(row_of(one, sizes, found[:, 0], found[:, 1]))
        gains.append(float(1.0 - found[sizes == 200, 1].mean() / found[sizes == 200, 0].mean())
                     if 200 in sizes else float("nan"))  # fmt: skip
        print(rows[-1], flush=True)
    if arguments.quick:
        return
    report(
        "transfer_curves", rows,
        Headline(float(np.median(gains)), "share of the error at 200 rows that the source removes "
                 "(median over the tables)", 0.0, 0.1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
