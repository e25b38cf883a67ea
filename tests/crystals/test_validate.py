"""What is let in as a crystal."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.crystals.validate import SanityLimits, check, check_arrays
from materialabs.crystals.validate_kernels import closest_pairs, reduce_cell

CUBE = np.eye(3) * 4.0


def reason(
    lattice: object = CUBE, frac: object = ((0, 0, 0),), numbers: object = (26,), **options: object
) -> str | None:
    count = len(np.asarray(numbers))
    limits = SanityLimits(**options)  # type: ignore[arg-type]
    pbc = [[True] * 3]
    return check_arrays([lattice], frac, numbers, [0, count], pbc, limits=limits)[0]


def plain_shortest(lattice: np.ndarray, frac: np.ndarray, pbc: np.ndarray, reach: int) -> float:
    """Shortest distance of two atoms or images, by trying every image."""
    shifts = list(product(*(range(-reach, reach + 1) if p else (0,) for p in pbc)))
    best = np.inf
    for shift in shifts:
        gaps = (frac[:, None] - frac[None] + np.array(shift)) @ lattice
        lengths = np.linalg.norm(gaps, axis=2)
        if not any(shift):
            lengths = lengths + np.where(np.eye(len(frac), dtype=bool), np.inf, 0.0)
        best = min(best, float(lengths.min()))
    return best


def test_a_sound_crystal_has_no_reason() -> None:
    assert reason() is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frac": np.zeros((0, 3)), "numbers": ()}, "no atoms"),
        ({"frac": np.random.default_rng(0).random((9, 3)), "numbers": [1] * 9, "sites": 8},
         "9 atoms and at most 8"),
        ({"numbers": (0,)}, "atomic number 0"),
        ({"numbers": (119,)}, "atomic number 119"),
        ({"lattice": CUBE * np.nan}, "cell that is not made of numbers"),
        ({"frac": [[0, np.nan, 0]]}, "coordinates are not numbers"),
        ({"frac": [[0, np.inf, 0]]}, "coordinates are not numbers"),
        ({"lattice": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "without volume"),
        ({"lattice": np.eye(3) * 1e200}, "longer than"),
        ({"lattice": np.eye(3) * 0.9}, "impossibly dense"),
        ({"lattice": np.eye(3) * 300.0}, "impossibly dilute"),
        ({"frac": [[0, 0, 0], [0.05, 0, 0]], "numbers": (1, 8)}, "atoms 1 and 2 overlap, 0.200"),
        ({"frac": [[0.01, 0, 0], [0.99, 0, 0]], "numbers": (1, 8)}, "atoms 1 and 2 overlap, 0.080"),
        ({"lattice": np.diag([0.4, 9, 9])}, "its own image, 0.400"),
    ],
)  # fmt: skip
def test_each_fault_has_its_sentence(changes: dict[str, object], words: str) -> None:
    assert words in str(reason(**changes))  # type: ignore[arg-type]


def test_hydrogen_placed_by_x_rays_is_let_in() -> None:
    assert reason(frac=[[0, 0, 0], [0.15, 0, 0]], numbers=(8, 1)) is None


def test_one_bad_crystal_does_not_touch_the_others() -> None:
    lattice = np.array([CUBE, CUBE * 0.0, CUBE])
    frac = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [0.01, 0, 0]])
    reasons = check_arrays(lattice, frac, [3, 3, 3, 3], [0, 1, 2, 4], np.ones((3, 3), bool))
    assert [r is None for r in reasons] == [True, False, False]


def test_an_empty_batch_has_no_reasons() -> None:
    assert check(Crystals.empty()) == []


def test_split_sites_that_exclude_each_other_may_coincide() -> None:
    numbers = np.array([29, 29], np.uint8)
    crystal = Crystals(CUBE[None], [[0, 0, 0], [0.05, 0, 0]], numbers, [0, 2])
    half = Occupancy(np.array([0, 1, 2]), numbers, np.array([0.5, 0.5]))
    more = Occupancy(np.array([0, 1, 2]), numbers, np.array([0.6, 0.5]))
    assert check(crystal.replace(occupancy=half)) == [None]
    assert "overlap" in str(check(crystal.replace(occupancy=more))[0])


def test_atoms_beyond_an_open_boundary_do_not_overlap() -> None:
    frac = [[0.01, 0.5, 0.5], [0.99, 0.5, 0.5]]
    open_cell = Crystals(CUBE[None], frac, [1, 8], [0, 2], [[False, True, True]])
    assert check(open_cell) == [None]


@given(st.integers(0, 2**32 - 1))
def test_the_closest_pair_agrees_with_trying_every_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis = np.diag(rng.uniform(1.0, 5.0, 3)) + rng.uniform(-0.8, 0.8, (3, 3))
    frac = rng.random((int(rng.integers(1, 7)), 3))
    pbc = rng.random(3) < 0.7
    cutoff = float(rng.uniform(0.3, 2.5))
    expected = plain_shortest(basis, frac, pbc, reach=4)
    # the same lattice in a skewed setting: whole multiples of periodic vectors are added
    change = np.eye(3)
    for row, column in ((0, 1), (1, 2), (2, 0)):
        if pbc[row] and pbc[column]:
            step = np.eye(3)
            step[row, column] = rng.integers(-6, 7)
            change = step @ change
    skewed = change @ basis
    inside = frac @ np.linalg.inv(change)
    found, pairs = closest_pairs(
        skewed[None], inside, np.array([0, len(frac)]), pbc[None], np.ones(len(frac)), cutoff
    )
    if expected < cutoff:
        assert found[0] == pytest.approx(expected, abs=1e-9)
        assert pairs.min() >= 0
    else:
        assert np.isinf(found[0])


@given(st.integers(0, 2**32 - 1))
def test_a_reduced_cell_is_the_same_lattice_with_shorter_vectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 5 + np.eye(3) * 3
    cell[2] += rng.integers(-30, 31) * cell[0] + rng.integers(-30, 31) * cell[1]
    reduced = reduce_cell.py_func(cell, np.ones(3, bool))
    change = reduced @ np.linalg.inv(cell)
    assert np.allclose(change, np.round(change), atol=1e-6)
    assert abs(np.linalg.det(change)) == pytest.approx(1.0, abs=1e-6)
    assert np.sort(np.linalg.norm(reduced, axis=1))[-1] <= np.linalg.norm(cell, axis=1).max() + 1e-9
