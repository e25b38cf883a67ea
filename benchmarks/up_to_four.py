"""Networks that saw crystals of few elements only: energies, and where each stands to the hull.

The shipped recipe (graphs of distinct bonds, 128 features, 4 layers, unrelaxed copies mixed in)
with heads for the energy of two snapshots, for the distance from the hull of the crystals that
are learned from, and for the odds of lying on it. Of the training compounds 2 % decide when to
stop and 6 % are held out. Each member saves itself every two minutes and goes on where it was
stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.hull.patches import HullPatches
from materialabs.levels import MP2018, Energies
from materialabs.networks.splits import formula_hash

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

STOPPING_PERCENT, HELD_OUT_PERCENT = 2, 8
"""Formulas whose second hash is below the first decide when to stop, up to the second are held
out."""
FARTHEST_EV = 0.1
"""eV/atom; distances from the hull are learned up to here."""
ON_HULL_EV = 1e-6
EPOCHS, QUICK_EPOCHS = 20, 1
RATE = 3e-3
WIDTH, QUICK_WIDTH = 128, 32
WEIGHTS = {
    "formation_energy": 1.0,
    "formation_energy_2018": 0.3,
    "hull_distance": 0.1,
    "on_hull: yes": 0.03,
}
"""Weights of the heads in the loss; a head of classes goes by its first column. Three and five
times these teach the training hull by heart: the validation error rises from the twelfth epoch."""
PREDICTED_AT_ONCE = 256


@dataclass(frozen=True)
class Outputs:
    """What the members say of each crystal on average [n].

    Parameters
    ----------
    energy
        Formation energy, eV/atom.
    distance
        Distance from the hull, eV/atom, as learned (cut at :data:`FARTHEST_EV`).
    odds
        Logarithm of the odds of lying on the hull.
    """

    energy: Array
    distance: Array
    odds: Array


def element_counts(crystals: Crystals) -> Rows:
    """Number of elements of each crystal [n]."""
    return np.diff(crystals.compositions.offsets)


def parts_of(crystals: Crystals, most: int) -> Any:
    """Rows of at most so many elements, cut by the hash of their formulas; the others are tests."""
    from materialabs.networks.training_data import Parts

    side = element_counts(crystals) <= most
    names = [f"validation {name}" for name in crystals.reduced_formulas()]
    second = np.array([formula_hash(name) for name in names])
    stops, held_out = second < STOPPING_PERCENT, second < HELD_OUT_PERCENT
    return Parts(
        np.flatnonzero(side & ~held_out),
        np.flatnonzero(side & stops),
        np.flatnonzero(side & held_out & ~stops),
        np.flatnonzero(~side),
    )


def training_table(crystals: Crystals, most: int) -> Any:
    """Crystals, targets and parts for networks that learn from at most so many elements.

    Distances are from the hull of the rows that are learned from. Crystals of more elements have
    no targets at all.
    """
    from materialabs.networks.heads import Head
    from materialabs.networks.training_data import TrainingData

    parts = parts_of(crystals, most)
    columns = crystals.columns
    energies = np.asarray(columns["formation_energy"], dtype=float)
    known, aside = parts.train, np.sort(np.concatenate([parts.validation, parts.calibration]))
    compositions = crystals.compositions
    hull = HullPatches(compositions[known], Energies(energies[known], "formation", MP2018))
    distance = np.full(len(crystals), np.nan)
    for rows in (known, aside):
        distance[rows] = energies[rows] - hull.energy(compositions[rows]).values
    older = np.asarray(columns["e_form_megnet2018"], dtype=float)
    on_hull = np.where(np.isfinite(distance), distance <= ON_HULL_EV, np.nan)
    targets = np.stack(
        [energies, older, np.clip(distance, 0.0, FARTHEST_EV), on_hull, 1.0 - on_hull], axis=1
    )
    targets[parts.test] = np.nan
    heads = (
        Head("formation_energy", "eV/atom", kind="formation", level=MP2018),
        Head("formation_energy_2018", "eV/atom", kind="formation", level=MP2018),
        Head("hull_distance", "eV/atom"),
        Head("on_hull", classes=("yes", "no")),
    )
    return TrainingData(
        crystals, targets, heads, parts, f"up to {most} elements train", "mp36k",
        "Materials Project", "CC BY 4.0",
    )  # fmt: skip


def trained(crystals: Crystals, most: int, seeds: range, folder: Path, *, quick: bool) -> Any:
    """Train members on the crystals of at most so many elements, or read those that are done.

    Parameters
    ----------
    crystals
        The whole table; crystals of more elements lend nothing.
    most
        Elements of the richest crystal to learn from.
    seeds
        One for each member.
    folder
        Keeps graphs and checkpoints.
    quick
        One epoch of a narrow network.
    """
    import torch

    from materialabs.networks.bond_network import BondNetworkShape
    from materialabs.networks.heads import columns_of
    from materialabs.networks.learning_tasks import RULES, Recipe
    from materialabs.networks.members import Watch, train_members
    from materialabs.networks.preparing import prepare

    torch.set_num_threads(1)
    data = training_table(crystals, most)
    home = folder / f"up-to-{most}-elements-{data.data_hash[:12]}-{RULES}"
    prepared = prepare(crystals, data.parts, home, said=print)
    recipe = Recipe(
        epochs=QUICK_EPOCHS if quick else EPOCHS,
        rate=RATE,
        decay=0.05,
        weights=WEIGHTS,
        precision="bfloat16",
    )
    begun = time.process_time()

    def told(member: int, epoch: Any) -> None:
        errors = ", ".join(f"{name} {error:.4f}" for name, error in epoch.validation.items())
        used = time.process_time() - begun
        print(f"  up to {most}, member {member}, epoch {epoch.number + 1}: {errors}, {used:.0f} s",
              flush=True)  # fmt: skip

    shape = BondNetworkShape(columns_of(data.heads), QUICK_WIDTH if quick else WIDTH)
    recipes = [replace(recipe, seed=seed) for seed in seeds]
    return train_members(data, prepared, shape, recipes, home, Watch(epoch=told))


def outputs(members: Any, crystals: Crystals) -> Outputs:
    """What trained members say of crystals."""
    import torch

    from materialabs.networks.bond_network import BondBatch, BondNetwork
    from materialabs.networks.graphs import bond_graphs

    graphs, found = bond_graphs(crystals), []
    starts = range(0, len(crystals), PREDICTED_AT_ONCE)
    for state in members.states:
        network = BondNetwork(members.shape).eval()
        network.load_state_dict(state)
        with torch.no_grad():
            parts = [
                network(BondBatch.of(graphs.take(np.arange(len(crystals))[k : k + starts.step]), 1))
                for k in starts
            ]
        found.append(members.scaling.restored(torch.cat(parts)))
    values = np.mean(found, axis=0)
    return Outputs(values[..., 0], values[..., 2], values[..., 3] - values[..., 4])


def main() -> None:
    """Train one member ahead of the benchmark: the most elements, the seed, the folder."""
    import argparse

    from benchmarks.harness import data_folder
    from materialabs.crystals.files import read

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("most", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    crystals: Any = read(data_folder() / "structures" / "mp36k.jsonl.gz")
    seeds = range(chosen.seed, chosen.seed + 1)
    trained(crystals, chosen.most, seeds, chosen.folder, quick=False)


if __name__ == "__main__":
    main()
