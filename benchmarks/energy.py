"""Formation energies and gaps of mp36k: our shipped models and their peers on one split.

The split is by the MD5 of the reduced formula: no compound is on both sides, and nothing is
chosen on the test side. Peers get equal time of one core (``--seconds``, half an hour by
default); CGCNN learns both from one fit, as our model does. Each fit's predictions are kept in
``--folder``, so that a stopped run goes on; CGCNN goes on inside its training. The inputs are
the relaxed crystals, and for the energy also unrelaxed ones, judged against the energy of the
relaxed crystal.

``python -m benchmarks.energy`` takes about four hours the first time and a minute afterwards;
``--peers svr`` takes some of the peers, whose rows join those of the stored result;
``--peers-only`` leaves our model out, ``--quick`` takes half a minute on a tenth of the rows; these
two write nothing. How errors fall with the number of rows is another benchmark,
``learning_curve``.
"""

from __future__ import annotations

import argparse
import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Headline, pin_threads, report, stored_rows

pin_threads()

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import (
    Array,
    Kept,
    chosen_peers,
    interval,
    mp36k,
    options,
    remembered,
)
from benchmarks.peers import (
    CGCNN,
    PEERS,
    Fit,
    Inputs,
    crystal_graphs,
    describe,
    fit_predict,
    keep,
)
from materialabs.crystals.batch import Crystals
from materialabs.networks.splits import Split, by_formula_hash

BAR, AIM = 35.0, 25.0
SEED = 0
QUICK_ROWS, QUICK_SECONDS = 3_000, 5.0
TARGETS = {"energy": "formation_energy", "gap": "gap_pbe_megnet2018"}
MEV = 1_000.0


@dataclass(frozen=True)
class Unrelaxed:
    """Unrelaxed copies of test crystals, and the rows of the table that they are copies of."""

    crystals: Crystals
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """Inputs that a model is judged on, and the truth."""

    name: str
    inputs: Inputs
    truth: Array


@dataclass(frozen=True)
class Task:
    """One target of mp36k on its split, and what is judged: test crystals, unrelaxed copies.

    Parameters
    ----------
    target
        Its name.
    known
        Rows of the table that have a value.
    inputs, values
        Of these rows.
    split
        Of these rows.
    judged, digest
        What is judged; hash of the table's file.
    """

    target: str
    known: NDArray[np.int64]
    inputs: Inputs
    values: Array
    split: Split
    judged: list[Judged]
    digest: str


def our_predictions(one: Judged) -> Array:
    """Predictions of the model that ships for a target, eV/atom or eV [n]."""
    from materialabs.networks.models import load_model

    unrelaxed = one.name.startswith("unrelaxed")
    model = load_model(one.name.removeprefix("unrelaxed_"))
    return np.asarray(model.predict(one.inputs.crystals, relaxed=not unrelaxed).mean)


def unrelaxed_copies(crystals: Crystals, split: Split, place: Path) -> Unrelaxed:
    """Test compounds as a generator proposes them: in the relaxed geometry of a training compound.

    Parameters
    ----------
    crystals, split
        The table, and which of its rows lend their geometry and which are judged.
    place
        File that keeps the copies for the next run.
    """
    from materialabs.crystals.protostructure import prototype_labels
    from materialabs.networks.distortions import borrowed

    if place.exists():
        with np.load(place, allow_pickle=False) as kept:
            return Unrelaxed(Crystals.from_bytes(kept["crystals"].tobytes()), kept["rows"])
    types = prototype_labels(crystals)
    copies = borrowed(crystals, split.test, split.train, types, SEED)
    data = np.frombuffer(copies.crystals.to_bytes(), np.uint8)
    keep(place, crystals=data, rows=copies.original)
    return Unrelaxed(copies.crystals, copies.original)


def main() -> None:
    """Run the peers and our model, and write the result."""
    arguments = options("energy").parse_args()
    warnings.filterwarnings("ignore")
    if arguments.quick:
        arguments.seconds = QUICK_SECONDS
    tasks = tasks_of(arguments)
    rows = [peer_row(name, tasks, arguments) for name in chosen_peers(arguments)]
    if arguments.quick or arguments.peers_only:
        for row in rows:
            print(row)
        return
    rows = [our_row(tasks), *rows]
    rows += stored_rows("energy", [row["name"] for row in rows])
    split = tasks[0].split
    errors = {row["name"]: row.get("energy_mae_mev_per_atom") for row in rows}
    bar = min(BAR, errors.get(CGCNN) or BAR)
    report(
        "energy",
        sorted(rows, key=by_peer),
        Headline(errors["materialabs"], "meV/atom", bar, AIM, higher_is_better=False),
        f"mp36k, {split.name}: {len(split.train)} rows train, {len(split.test)} test, "
        f"{len(tasks[0].judged[1].truth)} unrelaxed copies of test compounds in the geometry of a "
        "training compound at a guessed volume (peers train on relaxed crystals alone); intervals "
        f"are 95 % of bootstrap means; every peer had {arguments.seconds:g} s of one core for "
        "each fit, CGCNN one for both. Materials Project data, CC BY 4.0",
    )


def tasks_of(arguments: argparse.Namespace) -> list[Task]:
    """Energy and gap with their rows, split and inputs."""
    everything, digest = mp36k(arguments.folder, rows=QUICK_ROWS if arguments.quick else None)
    tasks = []
    for target, column in TARGETS.items():
        values = np.asarray(everything.crystals.columns[column], dtype=float)
        known = np.flatnonzero(np.isfinite(values))
        inputs = everything.take(known)
        split = by_formula_hash(inputs.crystals.compositions)
        judged = [Judged(target, inputs.take(split.test), values[known][split.test])]
        if target == "energy":
            place = arguments.folder / f"unrelaxed-{digest[:16]}-{len(known)}.npz"
            copies = unrelaxed_copies(inputs.crystals, split, place)
            described = describe(copies.crystals, arguments.folder)
            judged.append(Judged("unrelaxed_energy", described, values[known][copies.rows]))
        tasks.append(Task(target, known, inputs, values[known], split, judged, digest))
    return tasks


def predicted(name: str, task: Task, arguments: argparse.Namespace) -> Kept:
    """A peer's predictions of all that is judged, one after the other."""
    train = task.split.train
    key = {
        "peer": name,
        "target": task.target,
        "data": task.digest,
        "rows": len(task.values),
        "train": len(train),
        "judged": judged_hash(task),
        "seconds": arguments.seconds,
        "seed": SEED,
    }

    def work(_: Path) -> Array:
        return fit_predict(
            name,
            task.inputs.take(train),
            task.values[train],
            Inputs.joined([one.inputs for one in task.judged]),
            arguments.seconds,
            SEED,
        )

    return remembered(arguments.folder, key, work)


def predicted_together(tasks: list[Task], arguments: argparse.Namespace) -> list[Kept]:
    """CGCNN's predictions of all that is judged of each task, from one fit to all targets.

    It learns from the rows of the first task; values that these lack in others are missing.
    """
    first = tasks[0]
    targets = np.full((int(first.known.max()) + 1, len(tasks)), np.nan)
    for place, task in enumerate(tasks):
        targets[task.known[task.split.train], place] = task.values[task.split.train]
    judged = [one for task in tasks for one in task.judged]
    key = {
        "peer": CGCNN,
        "target": " and ".join(task.target for task in tasks),
        "data": first.digest,
        "rows": len(first.values),
        "train": len(first.split.train),
        "judged": [judged_hash(task) for task in tasks],
        "seconds": arguments.seconds,
        "seed": SEED,
    }

    def work(place: Path) -> Array:
        train, test = first.inputs.take(first.split.train), [one.inputs for one in judged]
        learned = targets[first.known[first.split.train]]
        fit = Fit(train, learned, Inputs.joined(test), arguments.seconds, SEED)
        return crystal_graphs(fit, (False,) * len(tasks), place)

    kept = remembered(arguments.folder, key, work)
    borders = np.cumsum([sum(len(one.truth) for one in task.judged) for task in tasks])[:-1]
    parts = np.split(kept.values, borders)
    return [Kept(part[:, place], kept.seconds) for place, part in enumerate(parts)]


def judged_hash(task: Task) -> str:
    """Changes with anything that is judged."""
    digest = hashlib.sha256()
    for one in task.judged:
        digest.update(np.ascontiguousarray(one.inputs.described.values))
        digest.update(np.ascontiguousarray(one.truth))
    return digest.hexdigest()[:16]


def figures(task: Task, predictions: Array) -> dict[str, float]:
    """Mean absolute errors with their intervals."""
    factor, unit = (MEV, "mev_per_atom") if task.target == "energy" else (1.0, "ev")
    borders = np.cumsum([len(one.truth) for one in task.judged])[:-1]
    found: dict[str, float] = {}
    for one, part in zip(task.judged, np.split(predictions, borders), strict=True):
        errors = np.abs(part - one.truth) * factor
        low, high = interval(errors)
        found |= {
            f"{one.name}_mae_{unit}": float(errors.mean()),
            f"{one.name}_mae_low_{unit}": low,
            f"{one.name}_mae_high_{unit}": high,
        }
    return found


def by_peer(row: dict[str, Any]) -> int:
    """Where a row stands in the result: our model, then its peers."""
    order = ["materialabs", *PEERS, CGCNN]
    return order.index(row["name"]) if row["name"] in order else len(order)


def peer_row(name: str, tasks: list[Task], arguments: argparse.Namespace) -> dict[str, Any]:
    """One peer's errors."""
    row: dict[str, Any] = {"name": name}
    if name == CGCNN:
        found = predicted_together(tasks, arguments)
    else:
        found = [predicted(name, task, arguments) for task in tasks]
    for task, kept in zip(tasks, found, strict=True):
        row |= figures(task, kept.values) | {f"{task.target}_fit_s": kept.seconds}
    return row


def our_row(tasks: list[Task]) -> dict[str, Any]:
    """Our model's errors."""
    row: dict[str, Any] = {"name": "materialabs"}
    for task in tasks:
        parts = [our_predictions(one) for one in task.judged]
        row |= figures(task, np.concatenate(parts))
    return row


if __name__ == "__main__":
    main()
