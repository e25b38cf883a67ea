"""Copies are found and polymorphs kept apart: textbook crystals, random ones, StructureMatcher."""

from __future__ import annotations

import gzip
import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.fingerprints import distance, fingerprints
from materialabs.errors import InputError
from materialabs.generation.duplicates import CROWDED, NEAR, duplicates, unique
from materialabs.generation.grouping_kernels import near_leaders
from materialabs.generation.matching import Primitives, Tolerance, match, primitives
from materialabs.generation.primitive_kernels import hermite, translation_lattice

FACE = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def crystal(cell: object, frac: object, numbers: object) -> Crystals:
    return Crystals.from_arrays([np.array(cell, float)], [np.array(frac, float)], [numbers])


def hexagonal(a: float, c: float) -> np.ndarray:
    return np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])


def from_group(
    group: str, lengths: tuple[float, ...], sites: dict[str, list[float]], angle: float = 90
) -> Crystals:
    """A crystal from its space group and inequivalent sites (labels as Si, O1, O2)."""
    from pymatgen.core import Lattice, Structure

    a, b, c = lengths
    names = [label.rstrip("0123456789") for label in sites]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_spacegroup(
            group, Lattice.from_parameters(a, b, c, 90, 90, angle), names, list(sites.values())
        )
    return Crystals.from_pymatgen(structure)


def close_packed(layers: str, a: float = 2.55) -> Crystals:
    """A close packing of copper with this order of layers."""
    height = a * np.sqrt(2 / 3)
    sideways = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    frac = [(*sideways[layer], k / len(layers)) for k, layer in enumerate(layers)]
    return crystal(hexagonal(a, height * len(layers)), frac, [29] * len(layers))


def tetrahedral(layers: str, numbers: tuple[int, int], a: float) -> Crystals:
    """A stacking of tetrahedral double layers: 2H is wurtzite, 3C is zinc blende."""
    metal = close_packed(layers, a)
    height = a * np.sqrt(2 / 3) * len(layers)
    frac = np.vstack([metal.frac, metal.frac + np.array([0, 0, 0.75 / len(layers)])])
    return crystal(hexagonal(a, height), frac, np.repeat(numbers, len(layers)))


def spinel(inverse: bool) -> Crystals:
    """MgAl2O4 with magnesium on tetrahedral sites, or ordered on half of the octahedral ones."""
    normal = from_group(
        "Fd-3m", (8.08,) * 3,
        {"Mg": [0.0] * 3, "Al": [0.625] * 3, "O": [0.3876] * 3},
    )  # fmt: skip
    assert normal.formulas() == ["Mg8Al16O32"]
    if not inverse:
        return normal
    numbers = normal.numbers.copy()
    numbers[normal.numbers == 12] = 13
    numbers[np.flatnonzero(normal.numbers == 13)[::2]] = 12
    return normal.replace(numbers=numbers)


def double_perovskite(order: str) -> Crystals:
    """Sr2FeMoO6 in a cubic cell with iron in a rock-salt, layered or columnar order."""
    frac, numbers = [], []
    for x, y, z in np.ndindex(2, 2, 2):
        parity = {"rock salt": x + y + z, "layered": z, "columnar": x + y}[order] % 2
        corner = np.array([x, y, z])
        frac += [(corner + 0.5) / 2, corner / 2]
        numbers += [38, 42 if parity else 26]
        for axis in range(3):
            frac.append((corner + 0.5 * np.eye(3)[axis]) / 2)
            numbers.append(8)
    return crystal(np.eye(3) * 7.9, frac, numbers)


def anatase() -> Crystals:
    u = 0.208
    half = np.array([[0, 0, 0], [0, 0.5, 0.25], [0, 0, u], [0, 0, -u], [0, 0.5, 0.25 + u],
                     [0, 0.5, 0.25 - u]])  # fmt: skip
    return crystal(
        np.diag([3.785, 3.785, 9.514]), np.vstack([half, half + 0.5]), [22, 22, 8, 8, 8, 8] * 2
    )


@cache
def textbook() -> dict[str, dict[str, Crystals]]:
    """Polymorphs by composition (Wyckoff, Crystal Structures, 1963, and ICSD values)."""
    cube, centre = np.eye(3), [0.5, 0.5, 0.5]
    return {
        "C": {
            "diamond": tetrahedral("ABC", (6, 6), 2.522),
            "lonsdaleite": tetrahedral("AB", (6, 6), 2.522),
        },
        "ZnS": {
            "sphalerite": tetrahedral("ABC", (30, 16), 3.823),
            "wurtzite": tetrahedral("AB", (30, 16), 3.823),
            "4H": tetrahedral("ABCB", (30, 16), 3.823),
            "6H": tetrahedral("ABCACB", (30, 16), 3.823),
            "15R": tetrahedral("ABCACBCABACABCB", (30, 16), 3.823),
        },
        "TiO2": {
            "rutile": from_group(
                "P4_2/mnm", (4.594, 4.594, 2.959), {"Ti": [0] * 3, "O": [0.305, 0.305, 0]}
            ),
            "anatase": anatase(),
            "brookite": from_group(
                "Pbca",
                (9.184, 5.447, 5.145),
                {
                    "Ti": [0.1289, 0.0972, 0.8628],
                    "O1": [0.0095, 0.1491, 0.1835],
                    "O2": [0.2314, 0.1110, 0.5366],
                },
            ),
        },
        "Cu": {
            "fcc": crystal(cube * 3.61, FACE, [29] * 4),
            "bcc": crystal(cube * 2.87, [[0, 0, 0], centre], [29] * 2),
            "hcp": close_packed("AB"),
            "dhcp": close_packed("ABAC"),
            "9R": close_packed("ABCBCACAB"),
            "simple cubic": crystal(cube * 2.4, [[0, 0, 0]], [29]),
        },
        "NaCl": {
            "rock salt": crystal(cube * 5.64, np.vstack([FACE, FACE + 0.5]), [11] * 4 + [17] * 4),
            "caesium chloride": crystal(cube * 3.5, [[0, 0, 0], centre], [11, 17]),
            "zinc blende": crystal(cube * 6.1, np.vstack([FACE, FACE + 0.25]), [11] * 4 + [17] * 4),
        },
        "SiO2": {
            "quartz": from_group(
                "P3_221",
                (4.913, 4.913, 5.405),
                {"Si": [0.4697, 0, 2 / 3], "O": [0.4135, 0.2669, 0.7858]},
                120,
            ),
            "cristobalite": from_group(
                "P4_12_12",
                (4.971, 4.971, 6.928),
                {"Si": [0.3003, 0.3003, 0], "O": [0.2392, 0.1044, 0.1787]},
            ),
        },
        "CaCO3": {
            "calcite": from_group(
                "R-3c",
                (4.99, 4.99, 17.06),
                {"Ca": [0] * 3, "C": [0, 0, 0.25], "O": [0.2568, 0, 0.25]},
                120,
            ),
            "aragonite": from_group(
                "Pnma",
                (5.741, 4.961, 7.967),
                {
                    "Ca": [0.7597, 0.25, 0.4150],
                    "C": [0.9138, 0.25, 0.7622],
                    "O1": [0.9038, 0.25, 0.9225],
                    "O2": [0.9128, 0.4735, 0.6810],
                },
            ),
        },
        "MgAl2O4": {"normal": spinel(False), "inverse": spinel(True)},
        "Sr2FeMoO6": {
            name: double_perovskite(name) for name in ("rock salt", "layered", "columnar")
        },
    }


POLYMORPHS = [
    (formula, first, second)
    for formula, family in textbook().items()
    for k, first in enumerate(family)
    for second in list(family)[k + 1 :]
]
PHASES = [(formula, name) for formula, family in textbook().items() for name in family]


def disturbed_copy(
    original: Crystals, seed: int, *, rattle: float = 0.1, strain: float = 0.02, cells: int = 2
) -> Crystals:
    """Another setting, supercell, origin, rotation and order; every atom moved, cell strained."""
    generator = np.random.default_rng(seed)
    matrix = np.diag(generator.integers(1, cells + 1, 3))
    for _ in range(3):
        i, j = generator.choice(3, 2, replace=False)
        matrix[i] += generator.integers(-1, 2) * matrix[j]
    inside = np.array(list(np.ndindex(15, 15, 15)), dtype=float) - 7.0
    corners = np.unique(np.round(inside @ np.linalg.inv(matrix) % 1.0, 8) % 1.0, axis=0)
    assert len(corners) == abs(round(np.linalg.det(matrix)))
    frac = (original.frac @ np.linalg.inv(matrix))[:, None] + corners
    frac = frac.reshape(-1, 3) + generator.random(3)
    numbers = np.repeat(original.numbers, len(corners))
    bent = np.triu(generator.uniform(-strain, strain, (3, 3)))
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    cell = matrix @ original.lattice[0] @ (np.eye(3) + bent + np.triu(bent, 1).T) @ rotation
    steps = generator.normal(size=frac.shape)
    steps *= rattle / np.linalg.norm(steps, axis=1)[:, None]
    order = generator.permutation(len(frac))
    frac = frac + steps @ np.linalg.inv(cell)
    return crystal(cell, frac[order], numbers[order])


def random_crystal(seed: int, count: int = 6) -> Crystals:
    """A crystal without symmetry whose atoms keep apart."""
    generator = np.random.default_rng(seed)
    cell = np.diag(generator.uniform(5, 7, 3)) + generator.uniform(-1, 1, (3, 3))
    frac = np.zeros((0, 3))
    while len(frac) < count:
        trial = generator.random(3)
        steps = frac - trial
        steps -= np.rint(steps)
        if all(np.linalg.norm(steps @ cell, axis=1) > 1.9):
            frac = np.vstack([frac, trial])
    return crystal(cell, frac, [8] * (count // 2) + [14] * (count - count // 2))


# -- textbook crystals ------------------------------------------------------------------------


@pytest.mark.parametrize(("formula", "first", "second"), POLYMORPHS)
def test_textbook_polymorphs_are_different(formula: str, first: str, second: str) -> None:
    family = textbook()[formula]
    assert not match(family[first], family[second]).same[0]


@pytest.mark.parametrize(("formula", "first", "second"), POLYMORPHS)
def test_textbook_polymorphs_are_different_when_disturbed(
    formula: str, first: str, second: str
) -> None:
    family = textbook()[formula]
    one = disturbed_copy(family[first], 1, cells=1)
    two = disturbed_copy(family[second], 2, cells=1)
    assert not match(one, two).same[0]


@pytest.mark.parametrize(("formula", "name"), PHASES)
def test_a_disturbed_copy_is_the_same(formula: str, name: str) -> None:
    phase = textbook()[formula][name]
    copies = Crystals.concat([disturbed_copy(phase, seed) for seed in range(4)])
    assert match(phase[[0] * 4], copies).same.all()


def test_polymorphs_that_differ_in_first_neighbours_are_far_apart_in_fingerprint() -> None:
    for formula in ("TiO2", "NaCl", "CaCO3", "MgAl2O4"):
        prints = fingerprints(Crystals.concat(list(textbook()[formula].values())))
        apart = distance(prints[:, None], prints[None])
        assert apart[~np.eye(len(prints), dtype=bool)].min() > 0.5


def test_left_and_right_quartz_are_the_same() -> None:
    quartz = textbook()["SiO2"]["quartz"]
    mirrored = quartz.replace(lattice=quartz.lattice * np.array([1.0, 1.0, -1.0]))
    assert match(quartz, mirrored).same[0]


def test_size_does_not_count() -> None:
    quartz = textbook()["SiO2"]["quartz"]
    found = match(quartz, quartz.scaled(quartz.volumes * 1.5))
    assert found.same[0]
    assert found.strain[0] < 1e-6


def test_different_elements_are_different() -> None:
    salt = textbook()["NaCl"]["rock salt"]
    lithium = salt.replace(numbers=np.where(salt.numbers == 11, 3, 17))
    assert not match(salt, lithium).same[0]


def test_exchanged_elements_of_an_asymmetric_compound_are_different() -> None:
    perovskite = crystal(
        np.eye(3) * 3.9,
        [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
        [38, 22, 8, 8, 8],
    )
    exchanged = perovskite.replace(numbers=np.array([22, 38, 8, 8, 8]))
    assert not match(perovskite, exchanged).same[0]


def test_cells_that_do_not_divide_each_other_are_the_same() -> None:
    copper = textbook()["Cu"]["fcc"]
    two = disturbed_copy(copper, 5, rattle=0.05, cells=1)
    three = crystal(
        np.diag([3.61, 3.61, 3 * 3.61]),
        np.vstack([FACE + np.array([0, 0, k]) for k in range(3)]) * [1, 1, 1 / 3],
        [29] * 12,
    )
    assert match(two, three).same[0]


# -- displacements and strains against independent answers -------------------------------------


@given(st.integers(0, 10**6))
def test_displacement_is_that_which_was_applied(seed: int) -> None:
    original = random_crystal(seed)
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(6, 3)) * 0.04
    moved = original.replace(frac=original.frac + steps @ np.linalg.inv(original.lattice[0]))
    left = np.linalg.norm(steps - steps.mean(axis=0), axis=1)
    found = match(original, moved)
    assert found.displacement[0] == pytest.approx(np.sqrt(np.mean(left**2)), abs=1e-9)
    assert found.largest[0] == pytest.approx(left.max(), abs=1e-9)


@given(st.integers(0, 10**6))
def test_strain_is_that_which_was_applied(seed: int) -> None:
    original = random_crystal(seed)
    generator = np.random.default_rng(seed)
    bent = generator.uniform(-0.01, 0.01, (3, 3))
    deformation = np.eye(3) + bent + bent.T
    deformation /= np.cbrt(np.linalg.det(deformation))
    strained = original.replace(lattice=original.lattice @ deformation)
    applied = [
        0.5 * np.linalg.norm(one @ one.T - np.eye(3))
        for one in (deformation, np.linalg.inv(deformation))
    ]
    found = match(original, strained)
    assert found.strain[0] <= max(applied) + 1e-9
    if found.displacement[0] < 1e-6:
        assert found.strain[0] >= min(applied) - 1e-9


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_displacement_agrees_with_structure_matcher(seed: int) -> None:
    from pymatgen.core.structure_matcher import StructureMatcher

    original = random_crystal(seed)
    copy = disturbed_copy(original, seed, rattle=0.08, strain=0.0, cells=1)
    found = match(original, copy)
    first, second = original.to_pymatgen()[0], copy.to_pymatgen()[0]
    size = np.cbrt(np.sqrt(original.volumes[0] * copy.volumes[0]) / 6)
    theirs = StructureMatcher(primitive_cell=False).get_rms_dist(first, second)
    assert theirs is not None
    assert found.displacement[0] == pytest.approx(theirs[0] * size, abs=2e-3)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_disturbed_copy_of_any_crystal_is_the_same(seed: int, other: int) -> None:
    original = random_crystal(seed)
    assert match(original, disturbed_copy(original, other)).same[0]


def test_a_copy_is_found_where_a_map_of_the_lattice_and_its_inverse_strain_it_equally() -> None:
    cell = hexagonal(5.8, 6.5)[None]
    chiral = [random_crystal(seed).replace(lattice=cell) for seed in range(100)]
    copies = [disturbed_copy(one, k, rattle=0.0, cells=1) for k, one in enumerate(chiral)]
    assert match(Crystals.concat(chiral), Crystals.concat(copies)).same.all()


@given(st.integers(0, 10**6))
def test_two_random_crystals_are_different(seed: int) -> None:
    assert not match(random_crystal(seed), random_crystal(seed + 1)).same[0]


@given(st.integers(0, 10**6))
def test_order_of_a_pair_does_not_count(seed: int) -> None:
    original = random_crystal(seed)
    copy = disturbed_copy(original, seed)
    forth, back = match(original, copy), match(copy, original)
    assert forth.same[0] == back.same[0]
    assert forth.displacement[0] == pytest.approx(back.displacement[0], abs=1e-6)


def test_a_tighter_tolerance_keeps_disturbed_copies_apart() -> None:
    original = random_crystal(1)
    copy = disturbed_copy(original, 2, rattle=0.1, strain=0.0, cells=1)
    assert not match(original, copy, tolerance=Tolerance(0.02, 0.05, 0.01)).same[0]


def test_pairs_without_a_match_are_infinitely_far_apart() -> None:
    found = match(random_crystal(1), random_crystal(2))
    assert len(found) == 1
    assert np.isinf([found.displacement[0], found.largest[0], found.strain[0]]).all()


# -- primitive cells ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "name", "atoms"),
    [("Cu", "fcc", 1), ("Cu", "9R", 3), ("NaCl", "rock salt", 2), ("TiO2", "anatase", 6),
     ("MgAl2O4", "normal", 14), ("CaCO3", "calcite", 10), ("Sr2FeMoO6", "rock salt", 10),
     ("Sr2FeMoO6", "layered", 10), ("SiO2", "quartz", 9)],
)  # fmt: skip
def test_primitive_cell_has_the_textbook_number_of_atoms(
    formula: str, name: str, atoms: int
) -> None:
    phase = textbook()[formula][name]
    both = Crystals.concat([phase, disturbed_copy(phase, 3, rattle=0.05)])
    cells = primitives(both).as_crystals()
    assert cells.counts.tolist() == [atoms, atoms]


def test_averaging_over_copies_takes_most_of_the_rattle_out() -> None:
    salt = textbook()["NaCl"]["rock salt"]
    copy = disturbed_copy(salt, 11, rattle=0.1, strain=0.0, cells=2)
    sodium_chlorine = primitives(copy).as_crystals()
    step = np.diff(sodium_chlorine.frac, axis=0)[0]
    off_centre = (step - np.rint(2 * step) / 2) @ sodium_chlorine.lattice[0]
    assert len(copy.frac) >= 16
    assert np.linalg.norm(off_centre) < 0.1


@given(st.integers(0, 10**6))
def test_triangular_basis_spans_the_same_lattice(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = np.vstack([generator.integers(-6, 7, (4, 3)), np.eye(3, dtype=np.int64) * 12])
    basis = hermite(rows)
    assert basis[1, 0] == basis[2, 0] == basis[2, 1] == 0
    within = rows @ np.linalg.inv(basis)
    np.testing.assert_allclose(within, np.rint(within), atol=1e-9)
    minors = [
        abs(round(np.linalg.det(rows[[a, b, c]])))
        for a in range(7) for b in range(a) for c in range(b)
    ]  # fmt: skip
    assert abs(round(np.linalg.det(basis))) == np.gcd.reduce(minors)


def test_translations_that_form_no_group_are_refused() -> None:
    cube, snap = np.eye(3) * 25.0, 0.2
    third = np.array([[0.0, 0, 0], [1 / 3, 0, 0]])
    assert not translation_lattice(third, np.array([0, 1]), cube, snap)[0]
    mixed = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0.25, 0, 0]])
    assert not translation_lattice(mixed, np.array([0, 1, 2, 3]), cube, snap)[0]


# -- groups -----------------------------------------------------------------------------------


def mixture(seed: int, copies: int) -> tuple[Crystals, np.ndarray]:
    """Disturbed copies of all textbook phases in random order, and what each is a copy of."""
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.repeat(np.arange(len(PHASES)), copies))
    made = []
    for place, kind in enumerate(truth):
        formula, name = PHASES[kind]
        made.append(disturbed_copy(textbook()[formula][name], place, cells=1))
    return Crystals.concat(made), truth


def test_groups_are_the_textbook_phases() -> None:
    crystals, truth = mixture(1, 4)
    labels = duplicates(crystals)
    _, firsts, expected = np.unique(truth, return_index=True, return_inverse=True)
    in_order = np.argsort(np.argsort(firsts))
    np.testing.assert_array_equal(labels, in_order[expected])


def test_unique_gives_the_first_of_each_group() -> None:
    crystals, truth = mixture(2, 3)
    np.testing.assert_array_equal(unique(crystals), np.sort(np.unique(truth, return_index=True)[1]))


def test_what_unique_leaves_holds_no_copies() -> None:
    crystals, _ = mixture(3, 2)
    left = crystals[unique(crystals)]
    np.testing.assert_array_equal(unique(left), np.arange(len(left)))


def test_threads_change_nothing() -> None:
    crystals, _ = mixture(4, 3)
    np.testing.assert_array_equal(duplicates(crystals, threads=2), duplicates(crystals))


def test_the_grid_finds_what_comparing_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    carbon = [random_crystal(seed) for seed in range(60)]
    crystals = Crystals.concat(
        [disturbed_copy(one, seed, cells=1) for seed in range(5) for one in carbon]
    )
    assert len(crystals) > CROWDED
    with_grid = duplicates(crystals)
    monkeypatch.setattr("materialabs.generation.duplicates.CROWDED", 10**9)
    np.testing.assert_array_equal(with_grid, duplicates(crystals))
    np.testing.assert_array_equal(with_grid, np.tile(np.arange(60), 5))


def test_more_near_representatives_than_there_is_room_for_at_first_are_all_found() -> None:
    count = 150
    prints = np.zeros((count + 1, 4), np.float32)
    prints[:count, 0] = np.linspace(1, 0, count)
    one_place = np.zeros(3, np.int64)
    found = near_leaders(
        prints, count, one_place, np.ones(3, np.int64),
        np.zeros(1, np.int64), np.array([count - 1]), np.arange(count + 1) - 1,
        np.full(count + 1, NEAR),
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.arange(count)[::-1])


def test_no_crystals_make_no_groups() -> None:
    assert duplicates(Crystals.empty()).shape == (0,)
    assert unique(Crystals.empty()).shape == (0,)
    assert len(match(Crystals.empty(), Crystals.empty())) == 0
    assert len(Primitives.concat([])) == 0


# -- refusals ---------------------------------------------------------------------------------


def test_batches_of_unequal_length_are_refused() -> None:
    salt = textbook()["NaCl"]["rock salt"]
    with pytest.raises(InputError, match="1 and 2 do not pair up"):
        match(salt, salt[[0, 0]])


@pytest.mark.parametrize(
    ("displacement", "largest", "strain"),
    [(0, 0.5, 0.08), (-1, 0.5, 0.08), (0.3, 0.2, 0.08), (0.2, np.inf, 0.08), (0.2, np.nan, 0.08),
     (0.2, 0.5, 0.0), (0.2, 0.5, 0.6)],
)  # fmt: skip
def test_a_tolerance_without_meaning_is_refused(
    displacement: float, largest: float, strain: float
) -> None:
    with pytest.raises(InputError, match=r"[Tt]olerance"):
        Tolerance(displacement, largest, strain)


def test_a_slab_is_refused_by_name() -> None:
    slab = random_crystal(3).replace(pbc=np.array([[True, True, False]]))
    with pytest.raises(InputError, match="Comparing needs crystals and '0'"):
        match(random_crystal(3), slab)


# -- real crystals ----------------------------------------------------------------------------


def real_crystals(folder: Path, count: int) -> Crystals:
    """The first entries of mp36k that fit in 60 atoms."""
    from ase.cell import Cell

    from materialabs.elements import atomic_number

    lattices, fracs, numbers = [], [], []
    with gzip.open(folder / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            if len(row["species"]) <= 60:
                lattices.append(Cell.fromcellpar(row["cell"]).array)
                fracs.append(row["frac"])
                numbers.append([atomic_number(symbol) for symbol in row["species"]])
            if len(lattices) == count:
                break
    return Crystals.from_arrays(lattices, fracs, numbers)


def test_disturbed_copies_of_real_crystals_are_the_same(data_folder: Path) -> None:
    crystals = real_crystals(data_folder, 150)
    copies = Crystals.concat([disturbed_copy(one, k, cells=1) for k, one in enumerate(crystals)])
    assert match(crystals, copies).same.all()


@pytest.mark.slow
def test_disturbed_supercells_of_real_crystals_are_the_same(data_folder: Path) -> None:
    crystals = real_crystals(data_folder, 2000)
    copies = Crystals.concat([disturbed_copy(one, k) for k, one in enumerate(crystals)])
    assert (~match(crystals, copies).same).sum() <= 2
