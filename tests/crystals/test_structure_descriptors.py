"""Descriptors of structures against known coordinations, densities and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.crystals.structure_descriptors import structure_descriptors, symmetry_descriptors
from materialabs.crystals.symmetry import symmetry
from materialabs.errors import DisorderError, InputError

FACES = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
ROCK_SALT = [*FACES, *(np.add(FACES, 0.5) % 1).tolist()]
DIAMOND = [*FACES, *(np.add(FACES, 0.25) % 1).tolist()]


def cubic(edge: float, frac: list[list[float]], numbers: list[int]) -> Crystals:
    return Crystals.from_arrays([np.eye(3) * edge], [frac], [numbers])


COPPER = cubic(3.615, FACES, [29] * 4)
IRON = cubic(2.866, [[0, 0, 0], [0.5, 0.5, 0.5]], [26, 26])
SALT = cubic(5.640, ROCK_SALT, [11] * 4 + [17] * 4)
SILICON = cubic(5.431, DIAMOND, [14] * 8)
CAESIUM_CHLORIDE = cubic(4.123, [[0, 0, 0], [0.5, 0.5, 0.5]], [55, 17])
TRICLINIC = Crystals.from_arrays(
    [np.array([[3.1, 0.2, 0], [0.4, 4.2, 0.3], [0.1, 0.7, 5.3]])],
    [[[0.1, 0.2, 0.3], [0.6, 0.55, 0.8], [0.4, 0.9, 0.1]]],
    [[22, 8, 16]],
)
"""A triclinic crystal in which no two distances are equal."""


def value(crystals: Crystals, name: str) -> float:
    return float(structure_descriptors(crystals).column(name)[0])


@pytest.mark.parametrize(
    ("crystals", "coordination"),
    [(COPPER, 12), (SALT, 6), (SILICON, 4)],
    ids=["copper", "rock salt", "silicon"],
)
def test_coordination_is_the_number_of_nearest_neighbours(
    crystals: Crystals, coordination: int
) -> None:
    assert value(crystals, "coordination: mean") == pytest.approx(coordination, rel=0.01)


def test_coordination_of_iron_counts_part_of_the_second_shell() -> None:
    # Hoppe's mean distance solves a fixed point: 8 neighbours at 1, 6 at 2/sqrt(3).
    near, far, scale = 1.0, 2 / np.sqrt(3), 1.0
    for _ in range(100):
        one, two = (np.exp(1 - (d / scale) ** 6) for d in (near, far))
        scale = (8 * one * near + 6 * two * far) / (8 * one + 6 * two)
    expected = 8 * np.exp(1 - (near / scale) ** 6) + 6 * np.exp(1 - (far / scale) ** 6)
    assert value(IRON, "coordination: mean") == pytest.approx(expected, rel=1e-3)


MEASURED_DENSITY = {"copper": (COPPER, 8.93), "salt": (SALT, 2.16), "silicon": (SILICON, 2.33)}


@pytest.mark.parametrize("name", MEASURED_DENSITY)
def test_density_is_the_measured_one(name: str) -> None:
    crystals, measured = MEASURED_DENSITY[name]
    assert value(crystals, "density (g/cm^3)") == pytest.approx(measured, rel=0.01)


def test_packing_fraction_of_copper_follows_from_its_covalent_radius() -> None:
    expected = 4 * 4 / 3 * np.pi * 1.32**3 / 3.615**3
    assert value(COPPER, "packing fraction") == pytest.approx(expected, rel=1e-6)


def test_neighbours_in_caesium_chloride_are_unlike() -> None:
    table = structure_descriptors(CAESIUM_CHLORIDE)
    like = table.column("share of like neighbours: mean")[0]
    difference = table.column("electronegativity difference to neighbours: mean")[0]
    assert difference == pytest.approx((1 - like) * (3.16 - 0.79), rel=1e-9)
    assert like < 0.45


def test_shortest_distance_is_over_the_sum_of_radii() -> None:
    expected = 5.640 / 2 / (1.66 + 1.02)
    assert value(SALT, "shortest distance over radii: minimum") == pytest.approx(expected)


@pytest.mark.parametrize("crystals", [SALT, IRON, TRICLINIC], ids=["salt", "iron", "triclinic"])
def test_histogram_holds_every_neighbour_once(crystals: Crystals) -> None:
    table = structure_descriptors(crystals)
    bins = [k for k, name in enumerate(table.names) if name.startswith("neighbours at")]
    assert table.values[0, bins].sum() == pytest.approx(16)


@given(
    shift=st.tuples(*[st.floats(-2, 2)] * 3),
    angle=st.floats(0, 6),
    order=st.permutations(range(3)),
    images=st.lists(st.integers(-2, 2), min_size=9, max_size=9),
)
def test_description_is_invariant(
    shift: tuple[float, ...], angle: float, order: list[int], images: list[int]
) -> None:
    turn = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    moved = Crystals.from_arrays(
        [TRICLINIC.lattice[0] @ turn],
        [(TRICLINIC.frac + shift + np.reshape(images, (3, 3)))[order]],
        [TRICLINIC.numbers[order]],
    )
    np.testing.assert_allclose(
        structure_descriptors(moved).values,
        structure_descriptors(TRICLINIC).values,
        rtol=1e-6, atol=1e-7,
    )  # fmt: skip


def test_supercell_is_described_like_its_cell() -> None:
    doubled = Crystals.from_arrays(
        [TRICLINIC.lattice[0] * [[2], [1], [1]]],
        [np.concatenate([(TRICLINIC.frac + np.eye(3)[0] * k) / [2, 1, 1] for k in (0, 1)])],
        [np.tile(TRICLINIC.numbers, 2)],
    )
    np.testing.assert_allclose(
        structure_descriptors(doubled).values, structure_descriptors(TRICLINIC).values, rtol=1e-9
    )


def test_small_strain_changes_every_descriptor_little() -> None:
    strained = TRICLINIC.replace(lattice=TRICLINIC.lattice * (1 + 1e-7))
    np.testing.assert_allclose(
        structure_descriptors(strained).values,
        structure_descriptors(TRICLINIC).values,
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip


def test_crystals_are_described_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Crystals.concat([COPPER, TRICLINIC, SALT, IRON])
    together = structure_descriptors(batch).values
    monkeypatch.setattr("materialabs.crystals.structure_descriptors.CHUNK", 1)
    np.testing.assert_allclose(structure_descriptors(batch).values, together, rtol=1e-9)


def test_symmetry_is_described_by_group_system_and_distinct_sites() -> None:
    found = symmetry(Crystals.concat([SALT, TRICLINIC]))
    table = symmetry_descriptors(found)
    assert table.column("space group").tolist() == [225, 1]
    assert table.column("cubic").tolist() == [1, 0]
    assert table.column("triclinic").tolist() == [0, 1]
    assert table.column("distinct sites per atom").tolist() == [0.25, 1.0]


def test_no_crystals_give_an_empty_table() -> None:
    table = structure_descriptors(Crystals.empty())
    assert table.values.shape == (0, len(table.names))


def test_disordered_crystal_is_refused() -> None:
    shared = Occupancy(
        np.array([0, 2, 3]), np.array([26, 25, 26], np.uint8), np.array([0.5, 0.5, 1])
    )
    with pytest.raises(DisorderError, match="ordered"):
        structure_descriptors(IRON.replace(occupancy=shared))


def test_molecule_is_refused() -> None:
    with pytest.raises(InputError, match="periods"):
        structure_descriptors(IRON.replace(pbc=np.zeros((1, 3), bool)))


@pytest.mark.slow
def test_descriptors_of_real_crystals_are_finite(data_folder: object) -> None:
    from materialabs.crystals.files import read

    crystals = read(f"{data_folder}/structures/mp36k.jsonl.gz")
    assert isinstance(crystals, Crystals)
    table = structure_descriptors(crystals[::10])
    assert np.isfinite(table.values).all()
    assert table.column("coordination: mean").min() >= 0.9
