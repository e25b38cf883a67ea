"""Make the pupil that ships: a small network that has learned what the energy model says.

::

    python scripts/train_pupil.py --folder work --working WORK/mp36k-hash

It needs the shipped energy model and the folder where its data were prepared
(``scripts/train_shipped_models.py``). Candidates are partial substitutions of training compounds;
the ensemble labels them, as it does the relaxed training crystals and their unrelaxed copies, and
the pupil learns those labels: no more data than the ensemble itself has seen. Calibration, domain
and judgement are those of every model. The margin of the cascade is measured on candidates of
other parents.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from train_shipped_models import PLANS, ROOT, data_of  # a neighbour in this folder

from materialabs.crystals.batch import Crystals
from materialabs.generation.saps import saps
from materialabs.hull.patches import HullPatches
from materialabs.levels import MP2018, Energies
from materialabs.networks import members as training
from materialabs.networks.assembling import Members, assemble
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.examples import FlaggedExamples
from materialabs.networks.graphs import BondGraphs, bond_graphs
from materialabs.networks.learning_tasks import Recipe, Task
from materialabs.networks.model_files import CARD, write_json
from materialabs.networks.models import SHIPPED, Model
from materialabs.networks.preparing import prepare
from materialabs.networks.training import Training
from materialabs.networks.training_data import TrainingData

SEED = 17
PARENTS, JUDGING_PARENTS = 1_300, 400
MOST_ATOMS = 24
"""Atoms of the largest parent."""
CANDIDATES, JUDGED = 60_000, 20_000
"""Candidates to learn from, and of other parents to measure the margin on."""
HEAD = "formation_energy"
WIDTH, BOND_WIDTH, LAYERS = 64, 24, 2
RECIPE = Recipe(epochs=12, batch=128, rate=3e-3, decay=0.01, precision="bfloat16", seed=SEED)
AFFORDABLE = 150.0
"""Bonds above which a crystal is shown less often."""
PROMISING = 0.05
"""Share of candidates, those that the ensemble puts lowest, whose errors make the margin."""
SURE = 0.995
"""Share of the promising candidates whose pupil's energy is not too high by more than the
margin."""


def main() -> None:
    """Label, learn, assemble and measure the margin."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "work")
    parser.add_argument("--working", type=Path, required=True, help="of the energy model's data")
    parser.add_argument("--out", type=Path, default=SHIPPED / "pupil")
    arguments = parser.parse_args()
    arguments.model, arguments.rows, arguments.split = "mp36k", None, "hash"
    torch.set_num_threads(1)
    teacher = Model.load(SHIPPED / "mp36k")
    data = narrowed(data_of(PLANS["mp36k"], arguments))
    prepared = prepare(data.inputs, data.parts, arguments.working, said=print)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    learned, judged = candidates(data, arguments.folder)
    examples, labels = lessons(teacher, data, prepared, learned)
    print(f"{len(labels)} lessons", flush=True)
    found = taught(examples, labels, arguments.folder)
    assemble(data, found, prepared, arguments.out, "pupil")
    remember_teacher(arguments.out, teacher, judged, training_hull(data))


def narrowed(data: TrainingData) -> TrainingData:
    """The same table with the formation energy alone."""
    return TrainingData(
        data.inputs, data.targets[:, :1], data.heads[:1], data.parts, data.split, "pupil",
        data.credit, data.licence,
    )  # fmt: skip


def candidates(data: TrainingData, folder: Path) -> tuple[Crystals, Crystals]:
    """Candidates to learn from and to be judged on, of different parents of the training side."""
    kept = [folder / "lessons.bin", folder / "judged.bin"]
    if not all(place.exists() for place in kept):
        random = np.random.default_rng(SEED)
        crystals = data.inputs
        assert isinstance(crystals, Crystals)
        compounds = np.diff(crystals.compositions.offsets) > 1
        usable = np.flatnonzero(compounds & (crystals.counts <= MOST_ATOMS))
        parents = random.permutation(np.intersect1d(usable, data.parts.train))
        rows = (parents[:PARENTS], parents[PARENTS : PARENTS + JUDGING_PARENTS])
        for own, count, place in zip(rows, (CANDIDATES, JUDGED), kept, strict=True):
            made = saps(crystals.take(own)).crystals
            chosen = np.sort(random.permutation(len(made))[:count])
            place.write_bytes(made.take(chosen).to_bytes())
            print(f"{len(made)} candidates of {len(own)} parents, {len(chosen)} kept", flush=True)
    first, second = (Crystals.from_bytes(place.read_bytes()) for place in kept)
    return first, second


def lessons(
    teacher: Model, data: TrainingData, prepared: training.Prepared, learned: Crystals
) -> tuple[FlaggedExamples, np.ndarray]:
    """Everything that the pupil learns from, and what the teacher says of it."""
    copies = prepared.copies["train"]
    made = bond_graphs(learned)
    parts = (
        (prepared.relaxed.take(data.parts.train), data.compositions[data.parts.train], True),
        (copies.graphs, data.compositions[copies.original], False),
        (made, learned.compositions, False),
    )
    labels = []
    for graphs, cells, relaxed in parts:
        begun = time.time()
        told = teacher.predict_graphs(graphs, cells, [HEAD], relaxed=relaxed)[HEAD].mean
        labels.append(told)
        print(f"{len(told)} labelled in {time.time() - begun:.0f} s", flush=True)
    flags = np.repeat([True, False, False], [len(one) for one in labels])
    graphs = BondGraphs.concat([graphs for graphs, _, _ in parts])
    return FlaggedExamples(graphs, flags), np.concatenate(labels)


def taught(examples: FlaggedExamples, labels: np.ndarray, folder: Path) -> Members:
    """The pupil, trained."""
    shape = BondNetworkShape((HEAD,), WIDTH, BOND_WIDTH, LAYERS)
    order = np.random.default_rng(SEED).permutation(len(labels))
    held = np.sort(order[: len(order) // 50])
    costs = np.diff(examples.graphs.bond_offsets).astype(float)
    task = Task(
        examples, labels[:, None], (HEAD,), np.sort(order[len(order) // 50 :]), held,
        costs, AFFORDABLE,
    )  # fmt: skip
    run = Training(training.new_network(shape, SEED), task, RECIPE, folder / "member-0")
    spread = float(run.scaling.spread[0]) * 1e3
    best = run.run(lambda epoch: print(
        f"epoch {epoch.number}: {epoch.validation[HEAD] * spread:.1f} meV/atom from the teacher, "
        f"{epoch.seconds:.0f} s", flush=True,
    ))  # fmt: skip
    histories = [[asdict(epoch) for epoch in run.history]]
    return Members(shape, [best], run.scaling, [asdict(RECIPE)], histories)


def training_hull(data: TrainingData) -> HullPatches:
    """The hull of the training crystals."""
    rows = data.parts.train
    energies = Energies(data.targets[rows, 0], "formation", MP2018)
    return HullPatches(data.compositions[rows], energies)


def of_known_elements(crystals: Crystals, hull: HullPatches) -> np.ndarray:
    """Whether the hull knows every element of each crystal [n]."""
    cells = crystals.compositions
    strange = ~np.isin(cells.elements, hull.compositions.present())
    return np.add.reduceat(strange, cells.offsets[:-1]) == 0


def remember_teacher(folder: Path, teacher: Model, judged: Crystals, hull: HullPatches) -> None:
    """Write into the pupil's card who taught it, and by how much it may be too high."""
    pupil = Model.load(folder)
    judged = judged.take(np.flatnonzero(of_known_elements(judged, hull)))
    low = pupil.predict(judged, relaxed=False).mean
    sure = teacher.predict(judged, head=HEAD, relaxed=False).mean
    distance = sure - np.asarray(hull.energy(judged.compositions).values)
    promising = distance <= np.quantile(distance, PROMISING)
    margin = float(np.quantile((low - sure)[promising], SURE))
    print(f"pupil against teacher: {np.abs(low - sure).mean() * 1e3:.1f} meV/atom on "
          f"{len(judged)} candidates; margin {margin * 1e3:.0f} meV/atom")  # fmt: skip
    known = {"weights_sha256": teacher.card["weights_sha256"], "margin": margin}
    write_json(folder / CARD, pupil.card | {"taught_by": known})


if __name__ == "__main__":
    main()
