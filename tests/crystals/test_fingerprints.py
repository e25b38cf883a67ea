"""Fingerprints against a plain numpy twin, and their invariance and continuity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.fingerprint_kernels import reduced_basis
from materialabs.crystals.fingerprints import (
    ELEMENT_CLASSES,
    FADE,
    FINGERPRINT_VERSION,
    FLOOR,
    REACH,
    WIDTH_AT_ZERO,
    WIDTH_SLOPE,
    distance,
    fingerprint_columns,
    fingerprints,
)
from materialabs.errors import DisorderError, InputError

ROUNDING = 2e-3
"""Float32 columns and the histogram's grid: far below 0.2, what copies at 0.1 angstrom reach."""


def random_crystal(seed: int) -> Crystals:
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 7))
    cell = np.diag(generator.uniform(3, 7, 3)) + generator.uniform(-1.5, 1.5, (3, 3))
    numbers = generator.choice([3, 8, 15, 26], size=count)
    return Crystals.from_arrays([cell], [generator.random((count, 3))], [numbers])


def written_differently(crystal: Crystals, seed: int) -> Crystals:
    """The same infinite crystal: other setting, supercell, origin, rotation and order."""
    generator = np.random.default_rng(seed)
    matrix = np.diag(generator.integers(1, 3, 3))
    for _ in range(2):
        i, j = generator.choice(3, 2, replace=False)
        matrix[i] += generator.integers(-2, 3) * matrix[j]
    inside = np.array(
        [np.array(step) for step in np.ndindex(9, 9, 9)], dtype=float
    ) - 4.0  # fmt: skip
    corners = inside @ np.linalg.inv(matrix)
    corners = np.unique(np.round(corners % 1.0, 8) % 1.0, axis=0)
    assert len(corners) == abs(round(np.linalg.det(matrix)))
    frac = ((crystal.frac @ np.linalg.inv(matrix))[:, None] + corners).reshape(-1, 3)
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    order = generator.permutation(len(frac))
    numbers = np.repeat(crystal.numbers, len(corners))
    cell = matrix @ crystal.lattice[0] @ rotation
    return Crystals.from_arrays([cell], [(frac + generator.random(3))[order]], [numbers[order]])


def twin(crystal: Crystals) -> np.ndarray:
    """The definition, written out: every distance, no grid, no reduction of the cell."""
    lattice = crystal.lattice[0]
    count = len(crystal.frac)
    size = np.cbrt(crystal.volumes[0] / count)
    amounts = {z: int(np.sum(crystal.numbers == z)) for z in set(crystal.numbers.tolist())}
    order = sorted(amounts, key=lambda z: (amounts[z], z))
    classes = [min(order.index(z), ELEMENT_CLASSES - 1) for z in crystal.numbers.tolist()]
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    most = np.ceil(REACH * size / heights).astype(int) + 1
    images = np.array(list(np.ndindex(*(2 * most + 1)))) - most
    out = []
    steps = (crystal.frac[:, None] - crystal.frac[None]).reshape(-1, 1, 3) + images
    lengths = np.linalg.norm(steps @ lattice, axis=-1) / size
    pair_classes = [tuple(sorted((a, b))) for a in classes for b in classes]
    for first, second, centre in fingerprint_columns():
        mine = np.array([pair == (first, second) for pair in pair_classes])
        r = lengths[mine]
        r = r[(r > 1e-9) & (r < REACH)]
        width = WIDTH_AT_ZERO + WIDTH_SLOPE * centre
        bell = np.exp(-0.5 * ((r - centre) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        fade = 0.5 + 0.5 * np.cos(np.pi * np.clip((r - REACH + FADE) / FADE, 0, 1))
        out.append(np.sqrt(np.sum(bell * fade) / count + FLOOR) - np.sqrt(FLOOR))
    return np.array(out)


@given(st.integers(0, 10**6))
def test_fingerprint_equals_its_definition(seed: int) -> None:
    crystal = random_crystal(seed)
    np.testing.assert_allclose(fingerprints(crystal)[0], twin(crystal), atol=ROUNDING)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_fingerprint_does_not_depend_on_how_a_crystal_is_written(seed: int, other: int) -> None:
    crystal = random_crystal(seed)
    again = written_differently(crystal, other)
    np.testing.assert_allclose(fingerprints(again), fingerprints(crystal), atol=1e-4)


@given(st.integers(0, 10**6), st.floats(0.5, 2.0))
def test_fingerprint_does_not_depend_on_the_size_of_a_crystal(seed: int, factor: float) -> None:
    crystal = random_crystal(seed)
    larger = crystal.replace(lattice=crystal.lattice * factor)
    np.testing.assert_allclose(fingerprints(larger), fingerprints(crystal), atol=1e-4)


@given(st.integers(0, 10**6))
def test_fingerprint_of_the_mirror_image_is_the_same(seed: int) -> None:
    crystal = random_crystal(seed)
    mirrored = crystal.replace(lattice=crystal.lattice * np.array([1.0, 1.0, -1.0]))
    np.testing.assert_allclose(fingerprints(mirrored), fingerprints(crystal), atol=1e-4)


@given(st.integers(0, 10**6))
def test_fingerprint_moves_in_proportion_to_a_small_displacement(seed: int) -> None:
    crystal = random_crystal(seed)
    generator = np.random.default_rng(seed)
    direction = generator.normal(size=crystal.frac.shape)
    direction = direction @ np.linalg.inv(crystal.lattice[0])
    direction /= np.linalg.norm(direction @ crystal.lattice[0])
    start = fingerprints(crystal)
    for step in (1e-4, 1e-3, 1e-2):
        moved = crystal.replace(frac=crystal.frac + step * direction)
        assert distance(fingerprints(moved), start)[0] <= 30 * step + 1e-5


@given(st.integers(0, 10**6))
def test_reduction_keeps_the_lattice_and_finds_its_shortest_vector(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cell = np.diag(generator.uniform(2, 8, 3)) + generator.uniform(-2, 2, (3, 3))
    skewed = np.array([[1, 3, -2], [0, 1, 4], [0, 0, 1]]) @ cell
    basis = reduced_basis(skewed)
    change = basis @ np.linalg.inv(cell)
    np.testing.assert_allclose(change, np.rint(change), atol=1e-8)
    assert abs(round(np.linalg.det(change))) == 1
    multiples = np.array([v for v in np.ndindex(9, 9, 9) if v != (4, 4, 4)]) - 4
    shortest = np.linalg.norm(multiples @ basis, axis=1).min()
    assert np.linalg.norm(basis[0]) == pytest.approx(shortest)


def test_rocksalt_and_caesium_chloride_differ() -> None:
    rocksalt = Crystals.from_arrays(
        [np.array([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])],
        [[[0, 0, 0], [0.5, 0.5, 0.5]]],
        [[11, 17]],
    )
    caesium_chloride = Crystals.from_arrays(
        [np.eye(3) * 3.5], [[[0, 0, 0], [0.5, 0.5, 0.5]]], [[11, 17]]
    )
    assert distance(fingerprints(rocksalt), fingerprints(caesium_chloride))[0] > 1.5


def test_threads_change_nothing() -> None:
    crystals = Crystals.concat([random_crystal(seed) for seed in range(300)])
    np.testing.assert_array_equal(fingerprints(crystals, threads=2), fingerprints(crystals))


def test_every_column_is_described() -> None:
    columns = fingerprint_columns()
    assert fingerprints(random_crystal(1)).shape == (1, len(columns))
    assert columns[0][:2] == (0, 0)
    assert columns[-1][:2] == (ELEMENT_CLASSES - 1, ELEMENT_CLASSES - 1)
    assert FINGERPRINT_VERSION == 1


def test_no_crystals_have_no_fingerprints() -> None:
    assert fingerprints(Crystals.empty()).shape == (0, len(fingerprint_columns()))


def test_a_slab_is_refused_by_name() -> None:
    slab = random_crystal(3).replace(pbc=np.array([[True, True, False]]))
    with pytest.raises(InputError, match="'0' is not periodic in all three directions"):
        fingerprints(slab)


def test_an_empty_cell_is_refused_by_name() -> None:
    hollow = Crystals.from_arrays([np.eye(3) * 4], [np.zeros((0, 3))], [np.zeros(0, int)])
    with pytest.raises(InputError, match="'0' has no atoms"):
        fingerprints(hollow)


def test_a_disordered_crystal_is_refused_by_name() -> None:
    from materialabs.crystals.occupancy import Occupancy

    crystal = Crystals.from_arrays([np.eye(3) * 4], [[[0, 0, 0]]], [[26]])
    shared = Occupancy(np.array([0, 2]), np.array([26, 28], np.uint8), np.array([0.6, 0.4]))
    with pytest.raises(DisorderError, match="'0'"):
        fingerprints(crystal.replace(occupancy=shared))
