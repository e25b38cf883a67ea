"""Crystals as named bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import DECIMALS, crystal_hash, from_blobs, to_blobs
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import IntegrityError


def random_crystals(seed: int, count: int = 4) -> Crystals:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 9, count)
    atoms = int(sizes.sum())
    return Crystals(
        np.eye(3) * 4 + random.normal(size=(count, 3, 3)) * 0.4,
        random.random((atoms, 3)),
        random.integers(1, 119, atoms),
        np.concatenate([[0], np.cumsum(sizes)]),
        random.random((count, 3)) < 0.8,
        site_columns={"magnetic_moment": random.normal(size=atoms)},  # type: ignore[arg-type]
    )


@given(st.integers(0, 10_000))
def test_a_crystal_comes_back_to_the_stated_decimals(seed: int) -> None:
    crystals = random_crystals(seed)
    again = from_blobs(to_blobs(crystals))
    assert np.array_equal(again.numbers, crystals.numbers)
    assert np.array_equal(again.pbc, crystals.pbc)
    assert np.abs(again.lattice - crystals.lattice).max() <= 0.51 * 10.0**-DECIMALS
    assert np.abs(again.frac - crystals.frac).max() <= 0.51 * 10.0**-DECIMALS
    moments = again.site_columns["magnetic_moment"]
    assert np.array_equal(moments, crystals.site_columns["magnetic_moment"])


@given(st.integers(0, 10_000))
def test_bytes_do_not_depend_on_the_batch(seed: int) -> None:
    crystals = random_crystals(seed)
    apart = [to_blobs(crystal)[0] for crystal in crystals]
    assert apart == to_blobs(crystals)


@given(st.integers(0, 10_000))
def test_writing_again_changes_nothing(seed: int) -> None:
    blobs = to_blobs(random_crystals(seed))
    assert to_blobs(from_blobs(blobs)) == blobs


def test_the_last_bits_do_not_make_another_crystal() -> None:
    crystals = random_crystals(1)
    shaken = crystals.replace(lattice=np.round(crystals.lattice, DECIMALS) * (1 + 1e-15))
    names = [crystal_hash(blob) for blob in to_blobs(crystals)]
    assert [crystal_hash(blob) for blob in to_blobs(shaken)] == names


def test_partial_occupancy_is_kept() -> None:
    table = Occupancy(np.array([0, 2, 3]), np.array([11, 19, 17]), np.array([0.25, 0.5, 1.0]))
    crystal = Crystals(
        np.eye(3)[None] * 5, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), table.majority(),
        np.array([0, 2]), occupancy=table,
    )  # fmt: skip
    again = from_blobs(to_blobs(crystal)).occupancy
    assert again is not None
    assert np.array_equal(again.fractions, table.fractions)
    assert np.array_equal(again.occupants, table.occupants)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(junk: bytes) -> None:
    with pytest.raises(IntegrityError):
        from_blobs([junk])


@given(st.integers(0, 100), st.integers(0, 400))
def test_cut_bytes_are_refused(seed: int, cut: int) -> None:
    blob = to_blobs(random_crystals(seed, 1))[0]
    with pytest.raises(IntegrityError):
        from_blobs([blob[: min(cut, len(blob) - 1)]])
