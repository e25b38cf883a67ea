"""The network that ranks candidates, trained without any crystal of the systems to be searched.

Its table is the snapshot's crystals of at most 12 atoms; the rows of all hidden systems form the
test side, which nothing is learned from or chosen by. Two networks of the shape that ships learn (a
quarter of an hour on one core). As the networks that ship for campaigns
do, they then learn what candidates of systems drawn by chance came to
(:mod:`benchmarks.relaxed_candidates`), again without the hidden systems (some five minutes). The
table of elements that replace one another, which the generator goes by, is mined anew from the same
crystals, since the one that ships has seen all. All are made once, kept in a folder, and resumed
where they stopped.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rediscovery_targets import Snapshot, bare
from materialabs.generation.substitution import SubstitutionTable
from materialabs.levels import MP2018

LARGEST_LEARNED = 12
"""Atoms in the largest crystal that the network learns from."""

MEMBERS = 2

CANDIDATE_EPOCHS, CANDIDATE_RATE = 16, 1.5e-3

QUICK_STEP, QUICK_EPOCHS = 12, 4
"""The quick version learns from every twelfth crystal, and briefly."""


def network_without(snapshot: Snapshot, systems: set[str], folder: Path, *, quick: bool) -> Any:
    """Train the network, or read what was trained before.

    Parameters
    ----------
    snapshot
        What there is to learn from.
    systems
        Chemical systems of which no row is learned from.
    folder
        Keeps graphs, checkpoints and the model.
    quick
        Whether to learn little, quickly.
    """
    import torch

    from materialabs.networks.assembling import assemble
    from materialabs.networks.bond_network import BondNetworkShape
    from materialabs.networks.heads import columns_of
    from materialabs.networks.members import Watch, train_members, usual_recipe
    from materialabs.networks.models import Model
    from materialabs.networks.preparing import prepare

    torch.set_num_threads(1)
    data = training_table(snapshot, systems, QUICK_STEP if quick else 1)
    home = home_of(data, folder)
    if (home / "model" / "card.json").exists():
        return Model.load(home / "model")
    epochs = QUICK_EPOCHS if quick else None
    recipe = usual_recipe(len(data.parts.train), epochs=epochs, precision="bfloat16")
    prepared = prepare(data.inputs, data.parts, home / "graphs", said=print)
    shape, recipes = BondNetworkShape(columns_of(data.heads)), each_member(recipe)
    members = train_members(data, prepared, shape, recipes, home, Watch(epoch=_told))
    return assemble(data, members, prepared, home / "model", "rediscovery").model


def home_of(data: Any, folder: Path) -> Path:
    """Where the network of a table is kept."""
    from materialabs.networks.learning_tasks import RULES

    return folder / f"network-{data.data_hash[:12]}-{RULES}-{MEMBERS}"


def each_member(recipe: Any) -> list[Any]:
    """The recipe with a seed for each member."""
    return [replace(recipe, seed=seed) for seed in range(MEMBERS)]


def candidate_network_without(
    snapshot: Snapshot, systems: set[str], folder: Path, *, quick: bool
) -> Any:
    """The network above, then taught what candidates come to; arguments as there."""
    import torch

    from materialabs.networks.assembling import assemble
    from materialabs.networks.heads import columns_of
    from materialabs.networks.learning_tasks import RULES, Recipe
    from materialabs.networks.members import Watch, train_members
    from materialabs.networks.models import Model
    from materialabs.networks.preparing import prepare
    from materialabs.networks.starting import Start

    torch.set_num_threads(1)
    step = QUICK_STEP if quick else 1
    network_without(snapshot, systems, folder, quick=quick)
    data, starts = candidate_table(snapshot, systems, step)
    home = folder / f"candidates-{data.data_hash[:12]}-{RULES}-{MEMBERS}"
    if (home / "model" / "card.json").exists():
        return Model.load(home / "model")
    first = home_of(training_table(snapshot, systems, step), folder)
    start = Start.of(first / "model")
    epochs = QUICK_EPOCHS if quick else CANDIDATE_EPOCHS
    recipe = Recipe(
        epochs=epochs, rate=CANDIDATE_RATE, decay=0.05, patience=epochs, precision="bfloat16"
    )  # fmt: skip
    prepared = prepare(data.inputs, data.parts, home / "graphs", starts=starts, said=print)
    shape = start.shape_for(columns_of(data.heads))
    recipes = each_member(recipe)
    members = train_members(data, prepared, shape, recipes, home, Watch(epoch=_told), start)
    return assemble(data, members, prepared, home / "model", "rediscovery").model


def candidate_table(snapshot: Snapshot, systems: set[str], step: int = 1) -> tuple[Any, Any]:
    """Relaxed candidates and known compounds, and starts; hidden systems are the test side."""
    from benchmarks.relaxed_candidates import RelaxedCandidates
    from materialabs.networks.distortions import Copies
    from materialabs.networks.heads import Head
    from materialabs.networks.splits import Split, as_groups
    from materialabs.networks.training_data import Parts, TrainingData
    from materialabs.oracles.chgnet_weights import chgnet_level

    table = RelaxedCandidates.load()
    ends, energies = table.with_known(snapshot.crystals)
    rows = np.arange(0, len(ends), step)
    moved = np.flatnonzero(rows < len(table.starts))
    starts = Copies(table.starts[rows[moved]], moved, np.full(len(moved), -1, np.int64))
    names = ends[rows].compositions.systems()
    hidden = np.array([system in systems for system in names])
    split = Split(
        np.flatnonzero(~hidden), np.flatnonzero(hidden), as_groups(names),
        "without the targets' systems",
    )  # fmt: skip
    head = Head("formation_energy", "eV/atom", "formation energy", "formation", chgnet_level("pbe"))
    data = TrainingData(
        bare(ends[rows]), energies[rows][:, None], (head,), Parts.cut(split), split.name,
        "relaxed candidates", "CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023)", "CC BY 4.0",
    )  # fmt: skip
    return data, starts


def _told(member: int, epoch: Any) -> None:
    error = epoch.validation["formation_energy"]
    print(f"  epoch {epoch.number + 1}: validation {error:.4f}, {epoch.seconds:.0f} s", flush=True)


def exchanges_without(snapshot: Snapshot, systems: set[str], folder: Path) -> SubstitutionTable:
    """Which element replaces which, mined from the crystals that the network learned from."""
    from materialabs.generation.mining import mined_table

    data = training_table(snapshot, systems)
    path = folder / f"exchanges-{data.data_hash[:12]}.npz"
    if not path.exists():
        table = mined_table(data.inputs[np.setdiff1d(np.arange(len(data.inputs)), data.parts.test)])
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, numbers=table.numbers, factors=table.factors)
    with np.load(path) as stored:
        numbers, factors = stored["numbers"], stored["factors"]
    return SubstitutionTable(numbers, np.full(len(numbers), np.nan), factors)


def training_table(snapshot: Snapshot, systems: set[str], step: int = 1) -> Any:
    """Small crystals of the snapshot; those of the hidden systems are the test side."""
    from materialabs.networks.heads import Head
    from materialabs.networks.splits import Split, as_groups
    from materialabs.networks.training_data import Parts, TrainingData

    small = np.flatnonzero(snapshot.crystals.counts <= LARGEST_LEARNED)[::step]
    crystals = bare(snapshot.crystals[small])
    hidden = np.array([system in systems for system in crystals.compositions.systems()])
    split = Split(
        np.flatnonzero(~hidden), np.flatnonzero(hidden), as_groups(crystals.reduced_formulas()),
        "without the targets' systems",
    )  # fmt: skip
    head = Head("formation_energy", "eV/atom", "formation energy", "formation", MP2018)
    return TrainingData(
        crystals, snapshot.energies[small][:, None], (head,), Parts.cut(split), split.name,
        "mp36k, small cells", "the Materials Project (Jain et al., APL Mater. 1, 011002, 2013)",
        "CC BY 4.0",
    )  # fmt: skip
