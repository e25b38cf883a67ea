"""The recipe of the energy model on small tables, to show that it is not tuned to one.

Phonons (Matbench): trained and judged on the five official folds, from nothing and begun with the
layers of mp36k. The energies of mp36k are other labels than the phonon peak, but some of its
training crystals are test crystals of a fold; the error on those whose formula mp36k's training
never had stands beside. Intervals are calibrated inside each fold's training side.

The models that ship for phonons, moduli, perovskites and oxides: judged on the formulas that are
held out by their hash. In all cases a random forest and extremely randomised trees on descriptors
of composition, structure and symmetry read the same rows in the same run.

``python -m benchmarks.small_tables`` trains 40 small networks the first time, about 25 minutes of
one core; what is finished lies in ``--folder``, so that a stopped run goes on. ``--quick`` takes
half a minute, on few rows and epochs, and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Headline, pin_threads, report

pin_threads()
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np
import torch
import train_shipped_models as script
from numpy.typing import NDArray

from benchmarks.accuracy import Array, interval, remembered
from benchmarks.peers import Inputs, describe, fit_predict
from materialabs.crystals.batch import Crystals
from materialabs.networks.assembling import assemble
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.heads import columns_of, places_of
from materialabs.networks.members import train_members
from materialabs.networks.models import SHIPPED, Model
from materialabs.networks.preparing import prepare
from materialabs.networks.splits import Split, as_groups, matbench_folds, validation_part
from materialabs.networks.starting import Start
from materialabs.networks.training_data import Parts, TrainingData

BEST_PUBLISHED = 28.76
"""1/cm; the least mean error on the folds of matbench_phonons that the leaderboard of Matbench v0.1
shows (MegNet in kgcnn)."""
FAIR = 40.0
"""1/cm; about what general methods on tabulated features reach."""
PEERS = ("forest", "extra_trees")
SEED = 0
SET_ASIDE = 0.1
"""Share of the training formulas of a fold that stop the training and calibrate the intervals."""
TABLES = ("phonons", "elasticity", "perovskites", "oxides")
QUICK_ROWS, QUICK_EPOCHS = 200, 2


@dataclass(frozen=True)
class Told:
    """What a model says of the test rows of a fold, in the unit of the quantity.

    Parameters
    ----------
    rows
        Of the table.
    mean, low, high
        Values and their 90 % intervals; a peer has none.
    """

    rows: NDArray[np.int64]
    mean: Array
    low: Array
    high: Array


def main() -> None:
    """Train, judge and report."""
    arguments = _arguments()
    torch.set_num_threads(1)
    rows, error = phonon_rows(arguments)
    if not arguments.quick:
        rows += [row for name in TABLES for row in shipped_rows(name, arguments)]
    if arguments.quick:
        for row in rows:
            print(row)
        return
    report(
        "small_tables",
        rows,
        Headline(error, "1/cm", FAIR, BEST_PUBLISHED, higher_is_better=False),
        "matbench_phonons: mean of the mean absolute errors of the five official folds (KFold, "
        "shuffled, seed 18012019), and their standard deviation; one recipe for all tables. The "
        "other rows are of models that ship, on formulas held out by their MD5; intervals of "
        "errors are 95 % of bootstrap means. The inputs of the perovskites are relaxed cells.",
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_tables")
    usual = Path(tempfile.gettempdir()) / "materialabs-small-tables"
    parser.add_argument("--folder", type=Path, default=usual, help="keeps what is finished")
    parser.add_argument("--members", type=int, default=4, help="networks of an ensemble")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each fit of a forest")
    parser.add_argument("--quick", action="store_true", help="seconds, on few rows; writes nothing")
    return parser.parse_args()


# -- phonons, on Matbench's folds -----------------------------------------------------------------


def phonon_rows(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], float]:
    """Rows of the phonon task, and the error of the recipe on it (1/cm)."""
    plan = script.PLANS["phonons"]
    crystals, targets = plan.table()
    if arguments.quick:
        crystals, targets = crystals[:QUICK_ROWS], targets[:QUICK_ROWS]
    splits = matbench_folds(len(crystals))[: 1 if arguments.quick else None]
    strange = ~np.isin(crystals.reduced_formulas(), sorted(pretrained_formulas()))
    inputs = describe(crystals, arguments.folder)
    members = 1 if arguments.quick else arguments.members
    starts = {"from nothing": None, "begun with mp36k": Start.of(SHIPPED / "mp36k")}
    rows, errors = [], {}
    for name, start in starts.items():
        told = [
            our_fold(plan, crystals, targets, split, number, start, members, arguments)
            for number, split in enumerate(splits)
        ]
        label = f"phonons, Matbench's folds: materialabs {name}"
        rows.append(fold_row(label, told, targets[:, 0], strange))
        errors[name] = rows[-1]["mae_per_cm"]
    for peer in PEERS:
        told = [
            peer_fold(peer, inputs, targets[:, 0], split, number, arguments)
            for number, split in enumerate(splits)
        ]
        label = f"phonons, Matbench's folds: {peer}"
        rows.append(fold_row(label, told, targets[:, 0], strange))
    usual = "begun with mp36k" if plan.start else "from nothing"
    return rows, errors[usual]


def pretrained_formulas() -> set[str]:
    """Reduced formulas that the networks of mp36k have learned from or were stopped by."""
    data = script.data_of(
        script.PLANS["mp36k"], argparse.Namespace(rows=None, split="hash", model="mp36k")
    )
    seen = np.concatenate([data.parts.train, data.parts.validation])
    return set(data.formulas[seen].tolist())


def our_fold(
    plan: script.Plan, crystals: Crystals, targets: Array, split: Split, number: int,
    start: Start | None, members: int, arguments: argparse.Namespace,
) -> Told:  # fmt: skip
    """Train an ensemble on a fold's training side and ask it about the test side."""
    data = fold_data(plan, crystals, targets, split)
    recipe = plan.recipe(len(data.parts.train))
    if arguments.quick:
        recipe = replace(recipe, epochs=QUICK_EPOCHS)
    heads = columns_of(plan.heads)
    shape = BondNetworkShape(heads, plan.width) if start is None else start.shape_for(heads)
    folder = arguments.folder / f"{'quick-' if arguments.quick else ''}fold-{number + 1}"
    place = folder / ("nothing" if start is None else f"{start.name}-{start.sha256[:8]}")
    prepared = prepare(crystals, data.parts, folder)
    recipes = [replace(recipe, seed=seed) for seed in range(members)]
    found = train_members(data, prepared, shape, recipes, place, start=start)
    made = assemble(data, found, prepared, place / "model", "phonons")
    told = made.predictions["relaxed", plan.heads[0].name]
    wrong = np.abs(told.mean - targets[split.test, 0]).mean()
    print(f"  fold {number + 1}, {place.name}: {wrong:.1f} 1/cm", flush=True)
    return Told(split.test, told.mean, told.low, told.high)


def fold_data(
    plan: script.Plan, crystals: Crystals, targets: Array, split: Split
) -> TrainingData:  # fmt: skip
    """A fold, with formulas of its training side set aside for stopping and calibration."""
    grouped = replace(split, groups=as_groups(crystals.reduced_formulas()))
    own = validation_part(grouped, share=SET_ASIDE, seed=SEED)
    parts = Parts(own.train, own.test, own.test, split.test)
    return TrainingData(
        crystals, targets, plan.heads, parts, split.name, "matbench_phonons", plan.credit,
        plan.licence,
    )  # fmt: skip


def peer_fold(
    peer: str, inputs: Inputs, values: Array, split: Split, number: int,
    arguments: argparse.Namespace,
) -> Told:  # fmt: skip
    """What a peer says of a fold's test side."""
    key = {"peer": peer, "target": "phonons", "rows": len(values), "fold": number,
           "seconds": arguments.seconds}  # fmt: skip
    kept = remembered(
        arguments.folder, key,
        lambda _: fitted(peer, inputs, values, split.train, split.test, arguments),
    )  # fmt: skip
    nothing = np.full(len(kept.values), np.nan)
    return Told(split.test, kept.values, nothing, nothing)


def fitted(
    peer: str, inputs: Inputs, values: Array, train: NDArray[np.int64], test: NDArray[np.int64],
    arguments: argparse.Namespace,
) -> Array:  # fmt: skip
    """A peer's predictions of the test rows."""
    return fit_predict(
        peer, inputs.take(train), values[train], inputs.take(test), arguments.seconds, SEED
    )


def fold_row(
    name: str, told: Sequence[Told], truth: Array, strange: NDArray[np.bool_]
) -> dict[str, Any]:
    """Figures of one model over all folds (1/cm); ``strange`` rows are new to mp36k's networks."""
    rows = np.concatenate([one.rows for one in told])
    mean, low, high = (
        np.concatenate([getattr(one, side) for one in told]) for side in ("mean", "low", "high")
    )
    wrong, unseen = np.abs(mean - truth[rows]), strange[rows]
    folds = [float(np.abs(one.mean - truth[one.rows]).mean()) for one in told]
    row: dict[str, Any] = {
        "name": name,
        "mae_per_cm": float(np.mean(folds)),
        "std_of_folds_per_cm": float(np.std(folds)),
        "folds_per_cm": [round(fold, 2) for fold in folds],
        "median_error_per_cm": float(np.median(wrong)),
        "new_formulas": int(unseen.sum()),
        "mae_on_new_formulas_per_cm": float(wrong[unseen].mean()),
    }
    if np.isfinite(low).all():
        inside = (truth[rows] >= low) & (truth[rows] <= high)
        row["coverage_of_90_percent"] = float(inside.mean())
        row["median_width_per_cm"] = float(np.median(high - low))
    return row


# -- the models that ship -------------------------------------------------------------------------


def shipped_rows(name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Our model and the forest on the held-out formulas of one table, head by head."""
    if not (SHIPPED / name).is_dir():
        return []
    model, plan = Model.load(SHIPPED / name), script.PLANS[name]
    data = script.data_of(plan, argparse.Namespace(rows=None, split="hash", model=name))
    assert isinstance(data.inputs, Crystals)
    told = model.predict_heads(data.inputs[data.parts.test])
    inputs = describe(data.inputs, arguments.folder)
    known = np.setdiff1d(np.arange(len(data.targets)), data.parts.test)
    rows = []
    for head in plan.heads:
        values = data.targets[:, places_of(plan.heads)[head.name].start]
        test, truth = data.parts.test, values[data.parts.test]
        ours = told[head.name]
        row = _errors(f"{name}: {head.title}, materialabs", ours.mean, truth, head.predicted_unit)
        row["coverage_of_90_percent"] = float(((truth >= ours.low) & (truth <= ours.high)).mean())
        row["mean_width"] = float((ours.high - ours.low).mean())
        row["card_agrees"] = bool(
            np.isclose(model.card["metrics"]["relaxed"][head.name]["mae"], row["mae"], rtol=1e-4)
        )
        rows.append(row)
        for peer in PEERS:
            key = {"peer": peer, "target": f"{name}/{head.name}", "data": data.data_hash,
                   "seconds": arguments.seconds}  # fmt: skip
            kept = remembered(
                arguments.folder, key,
                lambda _, peer=peer, values=values, test=test: fitted(
                    peer, inputs, values, known, test, arguments
                ),
            )  # fmt: skip
            label = f"{name}: {head.title}, {peer}"
            rows.append(_errors(label, kept.values, truth, head.predicted_unit))
    return rows


def _errors(name: str, mean: Array, truth: Array, unit: str) -> dict[str, Any]:
    wrong = np.abs(mean - truth)
    low, high = interval(wrong)
    return {"name": name, "unit": unit, "test_rows": len(truth), "mae": float(wrong.mean()),
            "mae_low": low, "mae_high": high}  # fmt: skip


if __name__ == "__main__":
    main()
