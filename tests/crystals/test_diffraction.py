"""Powder patterns against published peaks and Bragg's law."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.diffraction import powder_pattern
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import InputError

CUBE = np.eye(3)
FACE_CENTRES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SILICON = Crystals.from_arrays(
    [5.43088 * CUBE], [np.concatenate([FACE_CENTRES, FACE_CENTRES + 0.25])], [[14] * 8]
)
SALT = Crystals.from_arrays(
    [5.6402 * CUBE], [np.concatenate([FACE_CENTRES, FACE_CENTRES + 0.5])], [[11] * 4 + [17] * 4]
)
MAGNESIUM = Crystals.from_arrays(
    [np.array([[3.2094, 0, 0], [-1.6047, 2.77942, 0], [0, 0, 5.2108]])],
    [[[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]],
    [[12, 12]],
)


def test_silicon_peaks_are_those_of_the_reference_powder() -> None:
    """NIST SRM 640c, Cu K-alpha 1: 28.441, 47.300, 56.119, 69.126, 76.372 degrees."""
    pattern = powder_pattern(SILICON, 1.5405929, (20.0, 80.0))
    expected = [28.441, 47.300, 56.119, 69.126, 76.372]
    assert pattern.two_theta == pytest.approx(expected, abs=0.01)


def test_silicon_planes_follow_the_diamond_rule() -> None:
    pattern = powder_pattern(SILICON, "CuKa1", (20.0, 80.0))
    planes = [tuple(sorted(np.abs(plane).tolist())) for plane in pattern.hkl]
    assert planes == [(1, 1, 1), (0, 2, 2), (1, 1, 3), (0, 0, 4), (1, 3, 3)]
    assert pattern.multiplicity.tolist() == [8, 12, 24, 6, 24]


def test_silicon_intensities_are_near_the_measured_ones() -> None:
    """ICDD 27-1402: 100, 55, 30, 6, 11."""
    pattern = powder_pattern(SILICON, "CuKa1", (20.0, 80.0))
    assert pattern.intensity == pytest.approx([100, 55, 30, 6, 11], abs=12)


def test_rock_salt_peaks_are_the_published_ones() -> None:
    """ICDD 5-0628: planes 3.258, 2.821, 1.994, 1.701, 1.628 angstrom apart; 200 the strongest."""
    pattern = powder_pattern(SALT, "CuKa1", (20.0, 60.0))
    assert pattern.spacing == pytest.approx([3.258, 2.821, 1.994, 1.701, 1.628], abs=0.002)
    assert int(np.argmax(pattern.intensity)) == 1


def test_every_reflection_obeys_braggs_law() -> None:
    pattern = powder_pattern(Crystals.concat([SILICON, MAGNESIUM]))
    sine = np.sin(np.radians(pattern.two_theta / 2))
    assert 2 * pattern.spacing * sine == pytest.approx(pattern.wavelength)


def test_hexagonal_planes_have_three_indices_that_give_their_spacing() -> None:
    pattern = powder_pattern(MAGNESIUM)
    reciprocal = np.linalg.inv(MAGNESIUM.lattice[0]).T
    spacing = 1 / np.linalg.norm(pattern.hkl @ reciprocal, axis=1)
    assert spacing == pytest.approx(pattern.spacing, rel=1e-6)


def test_patterns_of_a_batch_stay_apart() -> None:
    both = powder_pattern(Crystals.concat([SILICON, SALT]))
    assert len(both) == 2
    assert np.array_equal(both[1].two_theta, powder_pattern(SALT).two_theta)
    assert np.array_equal(both[-2].intensity, powder_pattern(SILICON).intensity)
    with pytest.raises(IndexError):
        both[2]


def test_shared_sites_scatter_by_their_fractions() -> None:
    """With half of the chlorine replaced by bromine, 111 falls and 200 stays the strongest."""
    occupants = np.array([11] * 4 + [17, 35] * 4, np.uint8)
    table = Occupancy(
        np.array([0, 1, 2, 3, 4, 6, 8, 10, 12]), occupants, np.array([1.0] * 4 + [0.5] * 8)
    )
    pure, mixed = powder_pattern(SALT), powder_pattern(SALT.replace(occupancy=table))
    assert mixed.intensity[0] > pure.intensity[0]
    assert mixed.two_theta == pytest.approx(pure.two_theta[: len(mixed.two_theta)])


@pytest.mark.parametrize("angles", [(5.0, 6.0), (20.0, 20.5)])
def test_a_range_without_reflections_is_empty(angles: tuple[float, float]) -> None:
    pattern = powder_pattern(Crystals.concat([SALT, SILICON]), two_theta=angles)
    assert pattern.offsets.tolist() == [0, 0, 0]


def test_no_crystals_have_no_reflections() -> None:
    pattern = powder_pattern(Crystals.empty())
    assert len(pattern) == 0
    assert pattern.hkl.shape == (0, 3)


@pytest.mark.parametrize("angles", [(-5.0, 90.0), (90.0, 5.0), (0.0, 200.0)])
def test_impossible_angles_are_refused(angles: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="degrees"):
        powder_pattern(SALT, two_theta=angles)


@pytest.mark.parametrize(("wavelength", "message"), [("XxKa", "CuKa"), (-1.0, "above zero")])
def test_impossible_wavelengths_are_refused(wavelength, message: str) -> None:
    with pytest.raises(InputError, match=message):
        powder_pattern(SALT, wavelength)


def test_a_slab_is_refused_by_name() -> None:
    slab = SALT.replace(pbc=np.array([[True, True, False]])).with_columns(id=["slab"])
    with pytest.raises(InputError, match="'slab'"):
        powder_pattern(slab)


def test_an_element_without_scattering_factors_is_refused_by_name() -> None:
    heavy = Crystals.from_arrays([4.0 * CUBE], [[[0, 0, 0]]], [[118]], columns={"id": ["og"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="'og'"):
            powder_pattern(heavy)
