"""Ordered approximants against textbook superstructures, exhaustive search and plain sums."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.crystals.ordering import ordered
from materialabs.crystals.placement import Sites, cost, improved, smeared_repulsion
from materialabs.crystals.protostructure import prototype_labels
from materialabs.crystals.supercells import compact_supercell, supercell_matrices
from materialabs.errors import DisorderError, InputError

CUBE = np.eye(3)
FACE_CENTRES = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
OXYGENS = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]

Shares = dict[int, float]


def crystal(edge: float, sites: list[Shares], frac: list[list[float]], **columns) -> Crystals:
    """A cubic cell with the shares of each element on each site."""
    sizes = [len(site) for site in sites]
    table = Occupancy(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array([number for site in sites for number in site], np.uint8),
        np.array([share for site in sites for share in site.values()]),
    )
    made = Crystals.from_arrays([edge * CUBE], [frac], [table.majority()], columns=columns)
    return made.replace(occupancy=table)


def alloy(shares: Shares, frac: list[list[float]] = FACE_CENTRES, **columns) -> Crystals:
    return crystal(3.7, [shares] * len(frac), frac, **columns)


def mixed_perovskite(share: float, **columns) -> Crystals:
    sites = [{38: 1.0}, {22: share, 40: 1 - share}, {8: 1.0}, {8: 1.0}, {8: 1.0}]
    return crystal(3.9, sites, [[0, 0, 0], [0.5, 0.5, 0.5], *OXYGENS], **columns)


# -- what comes out -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disordered", "label"),
    [
        (alloy({29: 0.5, 30: 0.5}, [[0, 0, 0], [0.5, 0.5, 0.5]]), "AB_cP2_221_a_b"),
        (alloy({29: 0.75, 79: 0.25}), "AB3_cP4_221_a_c"),
        (alloy({29: 0.5, 79: 0.5}), "AB_tP2_123_a_d"),
        (mixed_perovskite(0.5), "ABC2D6_cF40_225_a_b_c_e"),
    ],
    ids=["caesium chloride", "Cu3Au", "CuAu", "double perovskite"],
)
def test_simple_mixtures_order_as_nature_orders_them(disordered: Crystals, label: str) -> None:
    assert prototype_labels(ordered(disordered)) == [label]


def test_ordered_crystals_come_back_unchanged() -> None:
    plain = Crystals.from_arrays([3.6 * CUBE], [FACE_CENTRES], [[29] * 4], columns={"id": ["cu"]})
    assert ordered(plain) is plain


def test_ordered_members_of_a_batch_stay_in_place() -> None:
    plain = Crystals.from_arrays([3.6 * CUBE], [FACE_CENTRES], [[29] * 4], columns={"id": ["cu"]})
    batch = Crystals.concat([alloy({29: 0.5, 79: 0.5}, id=["mix"]), plain, mixed_perovskite(0.5)])
    made = ordered(batch)
    assert not made.disordered().any()
    assert made.ids() == ["mix ordered", "cu", "2 ordered"]
    assert made.columns["parent"].tolist() == ["mix", None, "2"]
    assert np.array_equal(made[1].frac, plain.frac)


def test_method_of_the_batch_does_the_same() -> None:
    made = alloy({29: 0.5, 79: 0.5}).ordered()
    assert made.reduced_formulas() == ["CuAu"]


@given(st.floats(0.05, 0.95), st.integers(1, 4))
def test_composition_is_within_the_stated_error(share: float, sites: int) -> None:
    made = ordered(alloy({29: share, 79: 1 - share}, FACE_CENTRES[:sites]), tolerance=0.04)
    copper = np.mean(made.numbers == 29)
    assert abs(copper - share) <= made.columns["ordering_error"][0] + 1e-4
    assert made.columns["ordering_error"][0] <= 0.04


def test_vacancies_are_removed() -> None:
    sites = [{28: 0.75}] * 4 + [{8: 1.0}] * 4
    frac = FACE_CENTRES + [[x + 0.5, y, z] for x, y, z in FACE_CENTRES]
    assert ordered(crystal(4.2, sites, frac)).reduced_formulas() == ["Ni3O4"]


def test_halves_of_a_split_site_are_not_both_filled() -> None:
    split = crystal(
        4.0, [{17: 1.0}, {3: 0.5}, {3: 0.5}], [[0, 0, 0], [0.45, 0.5, 0.5], [0.55, 0.5, 0.5]]
    )
    made = ordered(split)
    assert made.reduced_formulas() == ["LiCl"]


def test_smallest_supercell_is_taken() -> None:
    assert ordered(mixed_perovskite(0.75)).counts.tolist() == [20]


def test_the_same_seed_gives_the_same_crystal() -> None:
    many = alloy({24: 0.2, 25: 0.2, 26: 0.2, 27: 0.2, 28: 0.2})
    first, second = ordered(many, tolerance=0.01, seed=3), ordered(many, tolerance=0.01, seed=3)
    assert np.array_equal(first.numbers, second.numbers)
    assert np.array_equal(first.frac, second.frac)


def test_volume_per_site_is_kept() -> None:
    made = ordered(mixed_perovskite(0.5))
    assert made.volumes[0] / made.counts[0] == pytest.approx(3.9**3 / 5)


def test_only_periodic_directions_are_multiplied() -> None:
    slab = mixed_perovskite(0.5).replace(pbc=np.array([[True, True, False]]))
    made = ordered(slab)
    assert made.counts.tolist() == [10]
    assert made.lattice[0][2] == pytest.approx(slab.lattice[0][2])
    assert made.pbc.tolist() == [[True, True, False]]


# -- columns --------------------------------------------------------------------------------------


def test_results_of_the_disordered_crystal_are_missing() -> None:
    made = ordered(mixed_perovskite(0.5, energy=[-8.0], charge=[1.0], note=["kept"]))
    assert np.isnan(made.columns["energy"][0])
    assert made.columns["charge"].tolist() == [2.0]
    assert made.columns["note"].tolist() == ["kept"]


def test_oxidation_states_stay_on_full_sites_only() -> None:
    states = [2.0, 4.0, -2.0, -2.0, -2.0]
    made = ordered(mixed_perovskite(0.5).with_site_columns(oxidation_state=states))
    mixed = np.isin(made.numbers, [22, 40])
    kept = made.site_columns["oxidation_state"]
    assert np.isnan(kept[mixed]).all()
    assert set(kept[~mixed].tolist()) == {2.0, -2.0}


# -- refusals -------------------------------------------------------------------------------------


def test_occupancies_that_need_too_many_sites_are_refused_by_name() -> None:
    with pytest.raises(DisorderError, match=r"'salt'.*raise 'largest'"):
        ordered(mixed_perovskite(0.501, id=["salt"]), largest=20, tolerance=0.0005)


def test_a_crystal_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(DisorderError, match="at most 4 sites"):
        ordered(mixed_perovskite(0.5), largest=4)


def test_occupancies_that_put_atoms_on_one_another_are_refused() -> None:
    split = crystal(
        4.0, [{17: 1.0}, {3: 0.9}, {3: 0.9}], [[0, 0, 0], [0.45, 0.5, 0.5], [0.55, 0.5, 0.5]]
    )
    with pytest.raises(DisorderError, match="on one another"):
        ordered(split)


@pytest.mark.parametrize("wrong", [{"largest": 0}, {"tolerance": 0.0}, {"tolerance": 1.5}])
def test_limits_without_meaning_are_refused(wrong) -> None:
    with pytest.raises(InputError, match="approximant"):
        ordered(mixed_perovskite(0.5), **wrong)


# -- placement ------------------------------------------------------------------------------------


def simple_sites(count: int, seed: int) -> tuple[Sites, np.ndarray]:
    random = np.random.default_rng(seed)
    lattice = 3.0 * CUBE * count ** (1 / 3) + random.uniform(-0.4, 0.4, (3, 3))
    chosen = np.arange(count)
    block = (chosen >= count // 2).astype(np.int64)
    sites = Sites.in_crystal(
        lattice, random.random((count, 3)), chosen, block, np.full(count, 0.3), np.ones(3, bool)
    )
    return sites, random.integers(0, 3, count)


def test_repulsion_of_rock_salt_follows_from_its_madelung_constant() -> None:
    """Point charges by the published constant 1.747565, less what smearing takes at short range."""
    from scipy.special import erfc

    edge, madelung = 5.0, 1.747564594633
    frac = np.array(FACE_CENTRES + [[x + 0.5, y, z] for x, y, z in FACE_CENTRES])
    charge = np.array([1.0] * 4 + [-1.0] * 4)
    spacing = edge / 2
    width = 0.35 * spacing
    span = np.arange(-3, 4)
    images = np.stack(np.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3)
    smeared = -2 * 4 * madelung / spacing + 8 / (width * np.sqrt(np.pi))
    for i, j in itertools.product(range(8), repeat=2):
        r = np.linalg.norm((frac[j] - frac[i] + images) * edge, axis=1)
        r = r[r > 1e-9]
        smeared -= charge[i] * charge[j] * (erfc(r / 2 / width) / r).sum()
    ours = charge @ smeared_repulsion(edge * CUBE, frac, 8) @ charge
    assert ours / spacing == pytest.approx(smeared, rel=1e-3)


@given(st.integers(4, 9), st.integers(0, 10**6))
def test_improvement_never_raises_the_cost(count: int, seed: int) -> None:
    sites, occupants = simple_sites(count, seed)
    better, least = improved(sites, occupants)
    assert least <= cost(sites, occupants) + 1e-9
    assert least == pytest.approx(cost(sites, better))


@given(st.integers(4, 9), st.integers(0, 10**6))
def test_improvement_exchanges_occupants_inside_blocks_only(count: int, seed: int) -> None:
    sites, occupants = simple_sites(count, seed)
    better, _ = improved(sites, occupants)
    for block in (0, 1):
        inside = sites.block == block
        assert sorted(better[inside].tolist()) == sorted(occupants[inside].tolist())


@given(st.integers(4, 9), st.integers(0, 10**6))
def test_no_exchange_improves_what_comes_back(count: int, seed: int) -> None:
    sites, occupants = simple_sites(count, seed)
    better, least = improved(sites, occupants)
    for i, j in itertools.combinations(range(count), 2):
        if sites.block[i] == sites.block[j]:
            swapped = better.copy()
            swapped[[i, j]] = swapped[[j, i]]
            assert cost(sites, swapped) >= least - 1e-6


def test_several_starts_find_the_best_of_all_arrangements() -> None:
    frac = np.array(list(itertools.product((0, 0.5), (0, 0.5), (0, 1 / 3, 2 / 3))))
    lattice = np.diag([6.0, 6.0, 9.0])
    chosen, block = np.arange(12), np.zeros(12, np.int64)
    sites = Sites.in_crystal(lattice, frac, chosen, block, np.zeros(12), np.ones(3, bool))
    pool = np.array([1] * 4 + [2] * 8)
    everything = (
        cost(sites, np.where(np.isin(chosen, ones), 1, 2))
        for ones in itertools.combinations(range(12), 4)
    )
    random = np.random.default_rng(0)
    found = min(improved(sites, random.permutation(pool))[1] for _ in range(12))
    assert found == pytest.approx(min(everything))


# -- supercells -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("copies", "count"), [(1, 1), (2, 7), (3, 13), (4, 35), (5, 31), (6, 91), (8, 155)]
)
def test_number_of_superlattices_is_the_published_one(copies: int, count: int) -> None:
    """The numbers of sublattices of index n of a lattice in three dimensions, OEIS A001001."""
    assert len(supercell_matrices(copies)) == count


def test_number_of_superlattices_of_a_layer_is_the_sum_of_divisors() -> None:
    assert len(supercell_matrices(6, (True, True, False))) == 1 + 2 + 3 + 6


@pytest.mark.parametrize("periodic", [(True, True, True), (True, True, False), (False, True, True)])
@pytest.mark.parametrize("copies", [1, 2, 3, 5, 8, 12])
def test_supercell_holds_as_many_distinct_cells_as_asked(copies: int, periodic) -> None:
    lattice = np.array([[4.0, 0, 0], [1.5, 5, 0], [-2, 1, 6]])
    matrix, points = compact_supercell(lattice, copies, periodic)
    assert np.linalg.det(matrix) == pytest.approx(copies)
    inside = np.round((points @ np.linalg.inv(matrix)) % 1.0, 6) % 1.0
    assert len(np.unique(inside, axis=0)) == len(points) == copies


def test_two_cubes_make_the_face_centred_cell() -> None:
    matrix, _ = compact_supercell(4.0 * CUBE, 2)
    assert np.linalg.norm(matrix, axis=1) == pytest.approx([np.sqrt(2)] * 3)


def test_eight_cubes_make_the_most_compact_cell_of_all() -> None:
    """Against every superlattice's shortest vector, looked for by brute force."""
    lattice = np.array([[4.0, 0, 0], [0.5, 4.5, 0], [0.3, -0.4, 5.0]])
    steps = np.array([p for p in itertools.product(range(-5, 6), repeat=3) if any(p)])
    shortest = [np.linalg.norm(steps @ m @ lattice, axis=1).min() for m in supercell_matrices(8)]
    matrix, _ = compact_supercell(lattice, 8)
    assert np.linalg.norm(steps @ matrix @ lattice, axis=1).min() == pytest.approx(max(shortest))


def test_a_crystal_too_sparse_for_any_atom_is_refused_by_name() -> None:
    sparse = crystal(4.0, [{11: 0.001}], [[0, 0, 0]], id=["ghost"])
    with pytest.raises(DisorderError, match="'ghost' is so sparsely occupied"):
        ordered(sparse)
