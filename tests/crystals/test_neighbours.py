from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.kernels import find_edges
from materialabs.crystals.neighbours import (
    Neighbours,
    nearest,
    neighbours,
    shortest_distance,
    stream_neighbours,
)
from materialabs.errors import InputError

EDGE = 1e-6
"""Angstrom; pairs this close to the cut-off may be counted or not by another program."""


# -- answers from elsewhere ---------------------------------------------------------------------


def crystal(lattice, frac, pbc=(True, True, True)):
    frac = np.reshape(np.asarray(frac, float), (-1, 3))
    return Crystals(
        np.asarray(lattice, float)[None],
        frac,
        np.full(len(frac), 14),
        np.array([0, len(frac)]),
        np.array([pbc]),
    )


def plain_search(lattice, frac, pbc, cutoff):
    """The definition, written with numpy: every pair and every shift that could matter."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    spread = np.ptp(frac, axis=0)
    reach = [
        int(np.ceil(cutoff / height + extent)) if periodic else 0
        for height, extent, periodic in zip(heights, spread, pbc, strict=True)
    ]
    shifts = np.array(list(itertools.product(*(range(-k, k + 1) for k in reach))))
    steps = frac[None, :, None] - frac[:, None, None] + shifts
    distance = np.linalg.norm(steps @ lattice, axis=-1)
    first, second, shift = np.nonzero(distance <= cutoff)
    other = (first != second) | np.any(shifts[shift] != 0, axis=1)
    first, second, shift = first[other], second[other], shift[other]
    return first, second, shifts[shift], distance[first, second, shift]


def ase_search(lattice, frac, pbc, cutoff):
    """ASE's answer; where nothing is periodic it takes any cell."""
    first, second, shift, distance = primitive_neighbor_list(
        "ijSd", pbc, lattice, frac @ lattice, cutoff, use_scaled_positions=False
    )
    return first, second, shift, distance


def multiset(first, second, shift, distance, cutoff):
    """All edges that are not at the very cut-off, in an order of their own."""
    inside = distance < cutoff - EDGE
    rows = np.column_stack([first, second, shift])[inside].astype(int)
    order = np.lexsort(rows.T[::-1])
    return rows[order], distance[inside][order]


def edges_of(graph: Neighbours):
    return graph.first, graph.second, graph.image, graph.distance


def assert_same_edges(ours, theirs, cutoff):
    rows, distance = multiset(*ours, cutoff)
    other_rows, other_distance = multiset(*theirs, cutoff)
    np.testing.assert_array_equal(rows, other_rows)
    np.testing.assert_allclose(distance, other_distance, rtol=0, atol=1e-9)


# -- random cells -------------------------------------------------------------------------------


def random_cell(rng):
    """A cell of one of several kinds, with atoms in and outside it."""
    kind = rng.integers(6)
    while True:
        lattice = rng.normal(size=(3, 3)) * rng.uniform(2, 7)
        if kind == 1:  # tiny
            lattice = np.eye(3) * rng.uniform(1.2, 2.5) + rng.normal(size=(3, 3)) * 0.2
        elif kind == 2:  # very skewed
            lattice = np.diag(rng.uniform(2.5, 6, 3))
            lattice[1] += rng.integers(-4, 5) * lattice[0]
            lattice[2] += rng.integers(-4, 5) * lattice[0] + rng.integers(-4, 5) * lattice[1]
        elif kind == 3:  # needle or plate
            lattice = np.diag(rng.permutation([2.0, 4.0, 30.0])) + rng.normal(size=(3, 3)) * 0.1
        if abs(np.linalg.det(lattice)) > 4.0:
            break
    volume = abs(np.linalg.det(lattice))
    count = int(rng.integers(1, max(2, min(40, int(volume / 6)) + 1)))
    frac = rng.uniform(-0.2, 1.2, (count, 3))
    if kind == 4:
        frac += rng.integers(-5, 6, (count, 3))
    if kind == 5:  # a crystal's special places
        frac = rng.integers(0, 4, (count, 3)) / 4.0
    pbc = rng.random(3) < 0.7 if rng.random() < 0.6 else np.ones(3, bool)
    cutoff = float(rng.uniform(1.0, 6.0))
    return lattice, frac, pbc, cutoff


def check_against(search, seed, count):
    rng = np.random.default_rng(seed)
    cells = [random_cell(rng) for _ in range(count)]
    batch = Crystals.concat([crystal(lattice, frac, pbc) for lattice, frac, pbc, _ in cells])
    graph = neighbours(batch, [cutoff for *_, cutoff in cells])
    for index, (lattice, frac, pbc, cutoff) in enumerate(cells):
        rows = slice(graph.offsets[index], graph.offsets[index + 1])
        start = batch.offsets[index]
        ours = (
            graph.first[rows] - start, graph.second[rows] - start,
            graph.image[rows], graph.distance[rows],
        )  # fmt: skip
        assert_same_edges(ours, search(lattice, frac, pbc, cutoff), cutoff)


def test_edges_are_those_of_the_definition_in_100_random_cells():
    check_against(plain_search, seed=1, count=100)


def test_edges_are_those_of_ase_in_300_random_cells():
    check_against(ase_search, seed=2, count=300)


@pytest.mark.slow
def test_edges_are_those_of_ase_in_3000_random_cells():
    check_against(ase_search, seed=3, count=3000)


@pytest.mark.full
def test_edges_are_those_of_ase_in_10000_random_cells():
    check_against(ase_search, seed=4, count=10_000)


def gas(count, density, seed, pbc=(True, True, True), skew=0.0):
    """Many atoms at random in one large cell."""
    rng = np.random.default_rng(seed)
    size = (count / density) ** (1 / 3)
    lattice = np.diag([size * 0.7, size, size / 0.7])
    lattice[2, :2] += skew * size
    return crystal(lattice, rng.uniform(-0.5, 1.5, (count, 3)), pbc)


@pytest.mark.parametrize("pbc", list(itertools.product([True, False], repeat=3)))
def test_edges_of_a_large_cell_that_is_cut_into_bins_are_those_of_ase(pbc):
    large = gas(700, 0.05, seed=sum(pbc), pbc=pbc, skew=0.4)
    theirs = ase_search(large.lattice[0], large.frac, pbc, 4.0)
    assert_same_edges(edges_of(neighbours(large, 4.0)), theirs, 4.0)


def test_edges_of_thousands_of_atoms_are_those_of_matscipy():
    from matscipy.neighbours import neighbour_list

    large = gas(6000, 0.06, seed=3)
    theirs = neighbour_list(
        "ijSd",
        positions=large.positions,
        cell=large.lattice[0],
        pbc=large.pbc[0],
        cutoff=4.0,
    )
    assert_same_edges(edges_of(neighbours(large, 4.0)), theirs, 4.0)


# -- known crystals -----------------------------------------------------------------------------

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


@pytest.mark.parametrize(
    ("lattice", "cutoff", "shell"),
    [
        (np.eye(3), 1.0, 6),
        (np.eye(3), np.sqrt(2), 18),
        (FCC * np.sqrt(2), 1.0, 12),
        (np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3), 1.0, 8),
    ],
    ids=["cubic", "cubic-second-shell", "face-centred", "body-centred"],
)
def test_atoms_exactly_at_the_cutoff_are_neighbours(lattice, cutoff, shell):
    assert len(neighbours(crystal(lattice * 3.0, [0, 0, 0]), cutoff * 3.0)) == shell


def test_a_left_handed_cell_has_the_neighbours_of_its_mirror_image():
    lattice = np.array([[3.0, 0, 0], [0.4, 3.5, 0], [0.3, 0.2, 4.0]])
    frac = [[0, 0, 0], [0.4, 0.5, 0.6]]
    right = neighbours(crystal(lattice, frac), 6.0)
    left = neighbours(crystal(lattice * [1, 1, -1], frac), 6.0)
    np.testing.assert_allclose(np.sort(left.distance), np.sort(right.distance), atol=1e-12)


def test_atoms_at_the_same_place_are_neighbours_at_distance_zero():
    graph = neighbours(crystal(np.eye(3) * 9, [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]), 1.0)
    assert graph.distance.tolist() == [0.0, 0.0]


def test_an_isolated_atom_has_no_neighbours():
    graph = neighbours(crystal(np.eye(3) * 9, [0.5, 0.5, 0.5]), 5.0)
    assert (len(graph), graph.counts.tolist()) == (0, [0])


def test_an_empty_batch_has_no_edges():
    graph = neighbours(Crystals.empty(), 5.0)
    assert (len(graph), graph.starts.tolist(), graph.offsets.tolist()) == (0, [0], [0])


def test_a_crystal_without_atoms_has_no_edges():
    cell = np.eye(3) * 3
    batch = Crystals(np.array([cell, cell]), [[0, 0, 0]], [14], np.array([0, 0, 1]))
    assert np.diff(neighbours(batch, 3.0).offsets).tolist() == [0, 6]


def test_both_directions_of_every_pair_have_the_same_distance_to_the_bit():
    batch = Crystals.concat([gas(40, 0.08, seed) for seed in range(10)] + [gas(400, 0.08, 11)])
    graph = neighbours(batch, 5.0)
    there = np.column_stack([graph.first, graph.second, graph.image])
    back = np.column_stack([graph.second, graph.first, -graph.image.astype(int)])
    order, other = np.lexsort(there.T), np.lexsort(back.T)
    np.testing.assert_array_equal(there[order], back[other])
    np.testing.assert_array_equal(graph.distance[order], graph.distance[other])


def test_edges_are_sorted_by_first_atom_and_counted():
    batch = Crystals.concat([gas(20, 0.08, seed) for seed in range(5)])
    graph = neighbours(batch, 4.0)
    np.testing.assert_array_equal(graph.counts, np.bincount(graph.first, minlength=100))
    np.testing.assert_array_equal(np.sort(graph.first), graph.first)
    np.testing.assert_array_equal(graph.offsets, graph.starts[batch.offsets])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_vectors_lead_from_atom_to_atom_and_are_as_long_as_the_distance(dtype):
    batch = Crystals.concat([gas(20, 0.08, seed) for seed in range(5)])
    graph = neighbours(batch, 4.0)
    vectors = graph.vectors(batch, dtype)
    lattice = batch.lattice[batch.owners[graph.first]]
    moved = batch.positions[graph.second] + np.einsum("ej,ejk->ek", graph.image, lattice)
    assert vectors.dtype == dtype
    np.testing.assert_allclose(vectors, moved - batch.positions[graph.first], atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), graph.distance, atol=1e-6)


def test_vectors_of_another_batch_are_refused():
    graph = neighbours(gas(20, 0.08, 1), 4.0)
    with pytest.raises(InputError, match="another batch"):
        graph.vectors(gas(21, 0.08, 1))


# -- laws ---------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)


def small_crystal(seed):
    rng = np.random.default_rng(seed)
    lattice = np.eye(3) * rng.uniform(2.5, 5) + rng.uniform(-1, 1, (3, 3))
    return lattice, rng.uniform(0, 1, (int(rng.integers(1, 8)), 3)), rng


def lengths(batch, cutoff=4.5):
    distance = np.sort(neighbours(batch, cutoff).distance)
    return distance[distance < cutoff - EDGE]


@given(seeds)
def test_translation_changes_no_distance(seed):
    lattice, frac, rng = small_crystal(seed)
    moved = lengths(crystal(lattice, frac + rng.uniform(-3, 3, 3)))
    np.testing.assert_allclose(moved, lengths(crystal(lattice, frac)), atol=1e-9)


@given(seeds)
def test_rotation_changes_no_distance(seed):
    lattice, frac, rng = small_crystal(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = lengths(crystal(lattice @ rotation, frac))
    np.testing.assert_allclose(turned, lengths(crystal(lattice, frac)), atol=1e-9)


@given(seeds)
def test_another_cell_of_the_same_lattice_has_the_same_distances(seed):
    lattice, frac, rng = small_crystal(seed)
    change = np.eye(3, dtype=int)
    for _ in range(4):
        i, j = rng.permutation(3)[:2]
        change[i] += rng.integers(-2, 3) * change[j]
    other = crystal(change @ lattice, frac @ np.linalg.inv(change))
    np.testing.assert_allclose(lengths(other), lengths(crystal(lattice, frac)), atol=1e-8)


@given(seeds)
def test_a_supercell_has_the_distances_once_for_each_copy(seed):
    lattice, frac, rng = small_crystal(seed)
    copies = rng.integers(1, 4, 3)
    places = np.array(list(itertools.product(*(range(n) for n in copies))))
    expanded = ((frac[:, None] + places) / copies).reshape(-1, 3)
    large = lengths(crystal(lattice * copies[:, None], expanded))
    once = lengths(crystal(lattice, frac))
    np.testing.assert_allclose(large, np.repeat(once, len(places)), atol=1e-9)


@given(seeds)
def test_the_order_of_atoms_only_renames_them(seed):
    lattice, frac, rng = small_crystal(seed)
    order = rng.permutation(len(frac))
    graph, other = (
        neighbours(crystal(lattice, frac), 4.5),
        neighbours(crystal(lattice, frac[order]), 4.5),
    )
    renamed = (order[other.first], order[other.second], other.image, other.distance)
    assert_same_edges(renamed, edges_of(graph), 4.5)


# -- one answer for all ways to ask -------------------------------------------------------------


def assert_identical(one, other):
    for name in ("first", "second", "image", "distance", "starts", "offsets"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture(scope="module")
def mixed():
    sizes = np.random.default_rng(5).integers(1, 60, 300)
    return Crystals.concat([gas(int(size), 0.07, seed) for seed, size in enumerate(sizes)])


def test_threads_do_not_change_the_answer(mixed, monkeypatch):
    monkeypatch.setattr("materialabs.crystals.neighbours.CHUNK_ATOMS", 20)
    assert_identical(neighbours(mixed, 4.0, threads=3), neighbours(mixed, 4.0))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_that_was_estimated_too_small_is_found_in_full(mixed, monkeypatch, threads):
    whole = neighbours(mixed, 4.0)
    monkeypatch.setattr("materialabs.crystals.neighbours.SPREAD", 0.01)
    monkeypatch.setattr("materialabs.crystals.neighbours.CHUNK_ATOMS", 50)
    assert_identical(neighbours(mixed, 4.0, threads=threads), whole)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_parts_of_a_stream_are_the_whole(mixed, threads):
    whole = neighbours(mixed, 4.0)
    parts = list(stream_neighbours(mixed, 4.0, chunk_atoms=500, threads=threads))
    assert len(parts) > 5
    assert [rows.start for rows, _ in parts][1:] == [rows.stop for rows, _ in parts][:-1]
    for rows, part in parts:
        assert_identical(part, neighbours(mixed[rows], 4.0))
    np.testing.assert_array_equal(
        np.concatenate([part.distance for _, part in parts]), whole.distance
    )


def test_each_crystal_may_have_its_own_cutoff(mixed):
    cutoffs = np.linspace(2.0, 5.0, 4)
    graph = neighbours(mixed[:4], cutoffs)
    for index in range(4):
        alone = neighbours(mixed[index], cutoffs[index])
        rows = slice(graph.offsets[index], graph.offsets[index + 1])
        np.testing.assert_array_equal(graph.distance[rows], alone.distance)


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf, "far", [1.0, 2.0], None])
def test_a_cutoff_that_is_no_distance_is_refused(cutoff):
    with pytest.raises(InputError, match="cut-off"):
        neighbours(gas(10, 0.05, 1), cutoff)


def test_more_edges_than_the_limit_are_refused_before_the_search():
    with pytest.raises(InputError, match="stream_neighbours"):
        neighbours(crystal(np.eye(3) * 2, [0, 0, 0]), 5000.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_more_edges_than_the_limit_are_refused_in_the_search(mixed, monkeypatch, threads):
    monkeypatch.setattr("materialabs.crystals.neighbours.CHUNK_ATOMS", 20)
    open_batch = mixed.replace(pbc=np.zeros((300, 3), bool))
    with pytest.raises(InputError, match="more than 5,000 edges"):
        neighbours(open_batch, 30.0, threads=threads, limit=5000)


def test_a_dense_cluster_above_the_limit_is_refused():
    cluster = crystal(np.eye(3) * 9, np.zeros((200, 3)), (False, False, False))
    with pytest.raises(InputError, match="limit"):
        neighbours(cluster, 1.0, limit=10_000)


def test_an_atom_too_far_from_its_cell_is_refused_by_name():
    batch = crystal(np.eye(3) * 4, [20_000.5, 0, 0]).with_columns(id=["stray"])
    with pytest.raises(InputError, match=r"'stray'.*wrapped"):
        neighbours(batch, 3.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_crystal_that_cannot_be_searched_ends_the_search_on_all_threads(mixed, threads):
    batch = Crystals.concat([mixed, crystal(np.eye(3) * 4, [20_000.5, 0, 0]), mixed])
    with pytest.raises(InputError, match="cells from the origin"):
        neighbours(batch, 3.0, threads=threads)


def test_images_too_many_cells_away_are_refused():
    with pytest.raises(InputError, match=r"more than|cells"):
        neighbours(crystal([[0.05, 0, 0], [0, 900, 0], [0, 0, 900]], [0, 0, 0]), 800.0, limit=10**9)


def test_a_cutoff_that_gives_more_shifts_than_can_be_numbered_is_refused():
    wire = crystal(np.eye(3) * 0.2, [0, 0, 0], (True, True, False))
    with pytest.raises(InputError, match="cut-off"):
        neighbours(wire, 5000.0)


def test_a_stream_of_parts_without_atoms_is_refused():
    with pytest.raises(InputError, match="chunk_atoms"):
        next(stream_neighbours(gas(10, 0.05, 1), 3.0, chunk_atoms=0))


# -- nearest ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pbc", "k"), [((1, 1, 1), 12), ((1, 0, 1), 7), ((0, 0, 1), 5)])
def test_nearest_neighbours_are_the_shortest_of_a_long_list(pbc, k):
    batch = Crystals.concat([gas(size, 0.05, size, pbc) for size in (1, 2, 5, 30, 100)])
    graph = nearest(batch, k)
    assert graph.counts.tolist() == [k] * len(batch.frac)
    long = neighbours(batch, 25.0)
    for atom in range(0, len(batch.frac), 7):
        expected = np.sort(long.distance[long.starts[atom] : long.starts[atom + 1]])[:k]
        found = graph.distance[graph.starts[atom] : graph.starts[atom + 1]]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_nearest_edges_belong_to_the_right_crystals_and_shifts():
    batch = Crystals.concat([gas(size, 0.05, size) for size in (40, 1, 9, 25)])
    graph = nearest(batch, 6)
    np.testing.assert_array_equal(batch.owners[graph.first], batch.owners[graph.second])
    np.testing.assert_allclose(
        np.linalg.norm(graph.vectors(batch), axis=1), graph.distance, atol=1e-9
    )


def test_nearest_neighbours_of_a_molecule_are_at_most_all_other_atoms():
    water = crystal(np.eye(3) * 20, np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) / 20,
                    (False, False, False))  # fmt: skip
    alone = crystal(np.eye(3) * 20, [0, 0, 0], (False, False, False))
    assert nearest(Crystals.concat([water, alone]), 12).counts.tolist() == [2, 2, 2, 0]


def test_equally_near_neighbours_are_taken_in_order_of_atom_and_shift():
    graph = nearest(crystal(np.eye(3) * 3, [0, 0, 0]), 4)
    assert graph.image.tolist() == [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [0, 0, 1]]


@pytest.mark.parametrize("k", [0, -3, 2.5, "12", True])
def test_a_number_of_neighbours_below_one_is_refused(k):
    with pytest.raises(InputError, match="whole number"):
        nearest(gas(10, 0.05, 1), k)


def test_more_nearest_neighbours_than_the_limit_are_refused():
    with pytest.raises(InputError, match="limit"):
        nearest(gas(10, 0.05, 1), 100, limit=500)


# -- shortest distance ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "shortest"),
    [(np.eye(3) * 3, 3.0), (FCC * 3, 3 / np.sqrt(2)), (np.diag([2.0, 30, 30]), 2.0)],
    ids=["cubic", "closest-packed", "needle"],
)
def test_shortest_distance_of_one_atom_is_the_shortest_lattice_vector(lattice, shortest):
    assert shortest_distance(crystal(lattice, [0.3, 0.1, 0.7]))[0] == pytest.approx(shortest)


def test_shortest_distances_are_those_of_a_long_list():
    rng = np.random.default_rng(8)
    batch = Crystals.concat(
        [gas(int(rng.integers(1, 20)), 0.03, seed, rng.random(3) < 0.7) for seed in range(60)]
    )
    long = neighbours(batch, 30.0)
    expected = [
        long.distance[start:stop].min(initial=np.inf)
        for start, stop in itertools.pairwise(long.offsets)
    ]
    np.testing.assert_allclose(shortest_distance(batch), expected, atol=1e-9)


def test_shortest_distance_of_a_single_atom_without_periods_is_infinite():
    assert np.isinf(shortest_distance(crystal(np.eye(3), [0, 0, 0], (False, False, False)))[0])


# -- vector lanes and plain loops -----------------------------------------------------------------


@pytest.mark.parametrize(("start", "stop"), [(5, 6), (5, 13), (0, 24), (3, 30), (7, 7)])
def test_plain_loops_and_vector_lanes_keep_the_same_points(start, stop):
    from materialabs.crystals import lane_kernels as lanes

    rng = np.random.default_rng(0)
    points, names = rng.uniform(-1, 1, (3, 48)), np.arange(48, dtype=np.int32)
    box = np.array([0.1, -0.2, 0.3, 0.2, 0.3, 0.1])
    near = (points, names, start, stop, 0.1, -0.2, 0.3, np.int32(6), 1.0)
    reaching = (points, names, start, stop, 0.5, 0.4, -0.3, box, 64, 0.5)
    kept, squares, images = np.zeros((2, 48), np.int32), np.zeros((2, 48)), np.zeros((2, 3, 48))

    count = lanes.keep_near(*near, kept[0], squares[0], 2)
    assert count == lanes.near_loop(*near, kept[1], squares[1], 2)
    np.testing.assert_array_equal(*kept[:, 2:count])
    np.testing.assert_array_equal(*squares[:, 2:count])

    count = lanes.keep_reaching(*reaching, images[0], kept[0], 2)
    assert count == lanes.reaching_loop(*reaching, images[1], kept[1], 2)
    np.testing.assert_array_equal(*kept[:, 2:count])
    np.testing.assert_array_equal(*images[:, :, 2:count])


def test_nothing_is_written_when_the_output_is_full():
    from materialabs.crystals.kernels import FULL

    one = crystal(np.eye(3) * 3, [0, 0, 0])
    distance = np.full(3, -1.0)
    ending = find_edges(
        one.lattice, one.frac, one.offsets, one.pbc, np.array([3.0]), 0, 1, 0, 100,
        np.empty(3, np.int32), np.empty(3, np.int32), np.empty((3, 3), np.int16), distance,
        np.zeros(1, np.int64),
    )  # fmt: skip
    assert ending == (0, 0, FULL, 6)
    assert distance.tolist() == [-1.0] * 3
