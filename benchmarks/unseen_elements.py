"""What intervals are worth for crystals with an element that no training crystal holds.

Elements are taken out by a rule: those whose MD5 is below 10 modulo 100 and that fewer than a
twentieth of mp36k holds. A model is trained, calibrated and given its domain on crystals without
them, by the recipe of the model that ships but shorter, and judged on all crystals with one of
them, and beside on held-out crystals without. No such crystal is seen before it is judged.

``python -m benchmarks.unseen_elements`` takes about half an hour of one core the first time and
goes on where it was stopped (``--folder``); ``--quick`` takes a minute and writes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Headline, data_folder, pin_threads, report

pin_threads()

import numpy as np
import torch
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.levels import MP2018
from materialabs.networks.assembling import assemble
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.coverage import coverage_table
from materialabs.networks.heads import Head, columns_of
from materialabs.networks.judging import Assembled
from materialabs.networks.learning_tasks import Recipe
from materialabs.networks.members import Watch, train_members
from materialabs.networks.preparing import prepare
from materialabs.networks.splits import formula_hash
from materialabs.networks.training_data import Parts, TrainingData

TAKEN_PERCENT: Final = 10
"""An element is taken out when the MD5 of its symbol modulo 100 is below this."""

COMMONEST: Final = 0.05
"""Share of the crystals that hold it above which an element stays in."""

STOPPING_PERCENT, CALIBRATION_PERCENT, JUDGED_PERCENT = 2, 8, 12
"""Formulas whose second hash is below these stop the training, calibrate, are judged beside."""

MEMBERS, EPOCHS, RATE = 2, 12, 3e-3
QUICK_ROWS, QUICK_EPOCHS = 1_500, 2
BAR, AIM = 0.84, 0.88
"""Of the share of truths in 90 % intervals: what every group of known elements must reach."""

HEADS: Final = (
    Head("formation_energy", "eV/atom", "formation energy", "formation", MP2018),
    Head("band_gap", "eV", "band gap (PBE)", bounds=(0.0, np.inf), level=MP2018),
)


@dataclass(frozen=True)
class Task:
    """The table without the elements, and which of its judged rows hold one."""

    data: TrainingData
    taken: tuple[str, ...]
    strange: NDArray[np.bool_]


def main() -> None:
    """Train, judge, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unseen_elements")
    usual = Path(tempfile.gettempdir()) / "materialabs-unseen-elements"
    parser.add_argument("--folder", type=Path, default=usual, help="keeps what is finished")
    parser.add_argument("--quick", action="store_true", help="few rows; writes nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder / "quick" if arguments.quick else arguments.folder
    task = task_of(QUICK_ROWS if arguments.quick else None)
    rows = rows_of(task, trained(task, folder, QUICK_EPOCHS if arguments.quick else EPOCHS))
    if arguments.quick:
        for row in rows:
            print(row)
        return
    report(
        "unseen_elements",
        rows,
        Headline(rows[0]["coverage"], "share in 90 % intervals", BAR, AIM),
        f"mp36k: {', '.join(task.taken)} taken out; {MEMBERS} members of {EPOCHS} epochs learn "
        f"from {len(task.data.parts.train)} crystals. Materials Project data, CC BY 4.0",
    )


def task_of(count: int | None) -> Task:
    """Read mp36k and set aside every crystal with one of the elements that are taken out."""
    crystals: Any = read(str(data_folder() / "structures" / "mp36k.jsonl.gz"), progress=False)
    if count is not None:
        crystals = crystals.take(np.linspace(0, len(crystals) - 1, count).astype(int))
    names = ("formation_energy", "gap_pbe_megnet2018")
    targets = np.stack([np.asarray(crystals.columns[n], dtype=float) for n in names], axis=1)
    taken = taken_elements(crystals)
    amounts = crystals.compositions.dense([atomic_number(symbol) for symbol in taken])
    strange = amounts.sum(axis=1) > 0
    second = np.array([formula_hash(f"validation {one}") for one in crystals.reduced_formulas()])
    parts = Parts(
        np.flatnonzero(~strange & (second >= JUDGED_PERCENT)),
        np.flatnonzero(~strange & (second < STOPPING_PERCENT)),
        np.flatnonzero(~strange & (second >= STOPPING_PERCENT) & (second < CALIBRATION_PERCENT)),
        np.flatnonzero(strange | ((second >= CALIBRATION_PERCENT) & (second < JUDGED_PERCENT))),
    )
    data = TrainingData(crystals, targets, HEADS, parts, f"without {' '.join(taken)}", "mp36k")
    return Task(data, taken, strange)


def taken_elements(crystals: Crystals) -> tuple[str, ...]:
    """The elements that the rule takes out."""
    compositions = crystals.compositions
    held = (compositions.dense(range(len(SYMBOLS))) > 0).mean(axis=0)
    return tuple(
        symbol
        for number, symbol in enumerate(SYMBOLS)
        if 0.0 < held[number] < COMMONEST
        and int(hashlib.md5(symbol.encode()).hexdigest(), 16) % 100 < TAKEN_PERCENT
    )


def trained(task: Task, folder: Path, epochs: int) -> Assembled:
    """Train the members, or go on with them, and calibrate and judge the model."""
    prepared = prepare(task.data.inputs, task.data.parts, folder, said=print)
    recipes = [
        Recipe(
            epochs=epochs, rate=RATE, decay=0.05, precision="bfloat16", seed=seed,
            weights={"band_gap": 0.2},
        )
        for seed in range(MEMBERS)
    ]  # fmt: skip
    watch = Watch(epoch=lambda member, reached: print(member, reached.number, flush=True))
    shape = BondNetworkShape(columns_of(HEADS))
    members = train_members(task.data, prepared, shape, recipes, folder, watch)
    return assemble(task.data, members, prepared, folder / "model", "without-elements")


def rows_of(task: Task, made: Assembled) -> list[dict[str, Any]]:
    """Coverage and width with and without a new element, by geometry and head."""
    rows = []
    for (geometry, head), told in made.predictions.items():
        held = made.rows[geometry]
        column = [one.name for one in HEADS].index(head)
        truth = task.data.targets[held, column]
        groups = {"a new element": task.strange[held], "known elements": ~task.strange[held]}
        for found in coverage_table(told, truth, groups):
            if found["group"] not in groups:
                continue
            named = {"name": f"{head}, {geometry}, {found['group']}"}
            warned = (np.asarray(told.in_domain) == 0.0)[groups[found["group"]]]
            rows.append(named | found | {"flagged_share": float(warned.mean())})
    return rows


if __name__ == "__main__":
    main()
