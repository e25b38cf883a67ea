"""Graphs of distinct sites and bonds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.neighbours import neighbours
from materialabs.crystals.symmetry import symmetry
from materialabs.errors import DisorderError
from materialabs.networks.bond_kernels import keep_nearest, mark_shells, refine
from materialabs.networks.bond_network import BondBatch, BondNetwork, BondNetworkShape
from materialabs.networks.graphs import SHELL_SLACK, BondGraphs, atomic_spacing, bond_graphs

NETWORK_TOLERANCE = 2e-5
"""Rounding of single precision in the sums over a graph."""


def rock_salt(spacing: float = 5.64) -> Crystals:
    fcc = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Crystals.from_arrays([spacing * fcc], [[[0, 0, 0], [0.5, 0.5, 0.5]]], [[11, 17]])


def supercell(crystal: Crystals, matrix: list[list[int]]) -> Crystals:
    """The independent way: through ASE."""
    from ase.build import make_supercell

    return Crystals.from_ase(make_supercell(crystal.to_ase()[0], matrix))


def random_crystal(seed: int, atoms: int = 5) -> Crystals:
    random = np.random.default_rng(seed)
    lattice = 4.5 * np.eye(3) + random.normal(0, 0.4, (3, 3))
    return Crystals.from_arrays(
        [lattice], [random.random((atoms, 3))], [random.integers(1, 60, atoms)]
    )


def network() -> BondNetwork:
    torch.manual_seed(1)
    return BondNetwork(BondNetworkShape(("energy",), 32, 16, 3, 12)).eval()


def answers(graphs: BondGraphs) -> NDArray[np.float32]:
    with torch.no_grad():
        return network()(BondBatch.of(graphs, 1.0)).numpy()[:, 0]


def whole_graph(crystals: Crystals, wanted: int) -> BondGraphs:
    """The twin in plain numpy: every atom a site, every bond by itself."""
    found = neighbours(crystals, 9.0)
    rows = []
    for atom in range(len(crystals.frac)):
        own = np.arange(found.starts[atom], found.starts[atom + 1])
        reach = np.sort(found.distance[own])[wanted - 1] * (1 + SHELL_SLACK)
        rows.append(own[found.distance[own] <= reach])
    kept = np.concatenate(rows)
    atoms = crystals.counts
    own_start = crystals.offsets[:-1][crystals.owners]
    bonds = np.bincount(crystals.owners[found.first[kept]], minlength=len(crystals))
    return BondGraphs(
        crystals.numbers,
        (1.0 / np.repeat(atoms, atoms)).astype(np.float32),
        crystals.offsets,
        (found.first[kept] - own_start[found.first[kept]]).astype(np.int16),
        (found.second[kept] - own_start[found.second[kept]]).astype(np.int16),
        found.distance[kept].astype(np.float32),
        np.ones(len(kept), np.float32),
        np.concatenate([[0], np.cumsum(bonds)]),
        atomic_spacing(crystals).astype(np.float32),
    )


def test_rock_salt_has_two_sites_and_each_its_shells_once() -> None:
    graphs = bond_graphs(rock_salt(), neighbours=16)
    assert len(graphs.numbers) == 2
    assert graphs.count.tolist() == [6, 12, 6, 12]
    np.testing.assert_allclose(graphs.length[:2], [5.64 / 2, 5.64 / np.sqrt(2)], rtol=1e-6)


@given(st.integers(0, 10_000))
def test_a_network_answers_the_same_from_distinct_bonds_as_from_all(seed: int) -> None:
    crystals = Crystals.concat([random_crystal(seed), rock_salt()])
    np.testing.assert_allclose(
        answers(bond_graphs(crystals, neighbours=12)),
        answers(whole_graph(crystals, 12)),
        atol=NETWORK_TOLERANCE,
    )


@given(st.integers(0, 10_000))
def test_a_supercell_has_the_graph_of_its_cell(seed: int) -> None:
    crystal = random_crystal(seed, atoms=3)
    larger = supercell(crystal, [[2, 1, 0], [0, 1, 0], [0, 1, 2]])
    small, large = bond_graphs(crystal), bond_graphs(larger)
    assert len(large.numbers) == len(small.numbers)
    assert len(large.length) == len(small.length)
    np.testing.assert_allclose(answers(large), answers(small), atol=NETWORK_TOLERANCE)


def test_atoms_joined_by_symmetry_are_one_site(data_folder: Path) -> None:
    import materialabs as ml

    crystals = ml.read(data_folder / "structures" / "matbench_phonons.json.gz")[:300]
    found = symmetry(crystals)
    orbits = np.array(
        [
            len(np.unique(found.orbits[a:b]))
            for a, b in zip(crystals.offsets[:-1], crystals.offsets[1:], strict=True)
        ]
    )
    sites = np.diff(bond_graphs(crystals).site_offsets)
    assert np.mean(sites <= orbits) > 0.98


def test_scaling_a_graph_is_scaling_its_crystal() -> None:
    crystal = random_crystal(3)
    scaled = crystal.scaled(crystal.volumes * 1.2)
    ours, theirs = bond_graphs(crystal).scaled(np.cbrt(1.2)), bond_graphs(scaled)
    np.testing.assert_allclose(ours.length, theirs.length, rtol=1e-6)
    np.testing.assert_allclose(ours.spacing, theirs.spacing, rtol=1e-6)
    np.testing.assert_array_equal(ours.target, theirs.target)


def test_graphs_of_a_batch_are_those_of_its_crystals_one_by_one() -> None:
    crystals = Crystals.concat([random_crystal(seed) for seed in range(4)] + [rock_salt()])
    together = bond_graphs(crystals)
    apart = BondGraphs.concat([bond_graphs(crystals[row]) for row in range(5)])
    np.testing.assert_array_equal(together.bond_offsets, apart.bond_offsets)
    np.testing.assert_array_equal(together.length, apart.length)


def test_graphs_that_are_taken_and_joined_again_are_the_same() -> None:
    crystals = Crystals.concat([random_crystal(seed) for seed in range(4)])
    graphs = bond_graphs(crystals)
    back = BondGraphs.concat([graphs.take([2, 0]), graphs.take([3, 1])]).take([1, 3, 0, 2])
    np.testing.assert_array_equal(back.origin, graphs.origin)
    np.testing.assert_array_equal(back.count, graphs.count)


def test_saved_graphs_come_back_mapped(tmp_path: Path) -> None:
    graphs = bond_graphs(random_crystal(8))
    graphs.save(tmp_path / "graphs")
    loaded = BondGraphs.load(tmp_path / "graphs")
    assert isinstance(loaded.length, np.memmap)
    np.testing.assert_array_equal(loaded.length, graphs.length)


def test_a_sparse_crystal_reaches_further() -> None:
    lattice = np.diag([2.5, 2.5, 40.0])
    chain = Crystals.from_arrays([lattice], [[[0, 0, 0]]], [[6]])
    assert bond_graphs(chain).count.sum() >= 16


def test_atoms_alone_have_no_bonds_but_a_site() -> None:
    alone = Crystals.from_arrays([np.eye(3) * 60.0], [[[0, 0, 0]]], [[18]])
    graphs = bond_graphs(alone)
    assert len(graphs.numbers) == 1
    assert len(graphs.length) == 0
    assert np.isfinite(answers(graphs)).all()


def test_no_crystals_have_no_graphs() -> None:
    assert len(bond_graphs(Crystals.empty())) == 0


def test_partial_occupancy_is_refused() -> None:
    from materialabs.crystals.occupancy import Occupancy

    mixed = rock_salt().replace(
        occupancy=Occupancy(np.array([0, 2, 3]), np.array([11, 19, 17]), np.array([0.5, 0.5, 1.0]))
    )
    with pytest.raises(DisorderError):
        bond_graphs(mixed)


# -- kernels, as plain python --------------------------------------------------------------------


def test_equal_distances_share_a_shell() -> None:
    shells = np.empty(5, np.int64)
    mark_shells.py_func(np.array([2.0, 3.0, 2.00005, 3.0, 5.0]), 1e-3, shells, 5.0)
    assert shells.tolist() == [0, 1, 0, 1, 2]


def test_a_shell_never_spans_more_than_its_limit() -> None:
    ladder = 2.0 + 0.0009 * np.arange(100)
    shells = np.empty(100, np.int64)
    mark_shells.py_func(ladder, 1e-3, shells, 5.0)
    widths = [np.ptp(ladder[shells == shell]) for shell in range(shells.max() + 1)]
    assert max(widths) <= 5e-3
    assert shells.max() > 10


def test_the_outermost_shell_is_kept_whole() -> None:
    first = np.zeros(6, np.int64)
    distance = np.array([3.0, 1.0, 2.0, 2.0, 1.0, 2.0])
    kept = np.zeros(6, bool)
    keep_nearest.py_func(first, distance, 3, 0.01, kept)
    assert kept.tolist() == [False, True, True, True, True, True]


def test_refinement_tells_atoms_apart_by_what_surrounds_them() -> None:
    # A chain 0-1-2-1'-0' of one element: ends, inner atoms and the middle differ.
    numbers = np.full(5, 6, np.uint8)
    first = np.array([0, 1, 1, 2, 2, 3, 3, 4])
    second = np.array([1, 0, 2, 1, 3, 2, 4, 3])
    colours = np.empty(5, np.int64)
    refine(numbers, first, second, np.zeros(8, np.int64), colours)
    assert colours.tolist() == [0, 1, 2, 1, 0]
