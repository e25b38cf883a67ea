"""Symmetry against spglib, published structures and what the words mean."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spglib
from hypothesis import given
from hypothesis import strategies as st
from moyopy import MoyoDataset
from project_crystals import disguised, read_project_crystals

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.crystals.symmetry import (
    _RemarkFilter,
    conventional,
    operations,
    primitive,
    refined,
    symmetry,
)
from materialabs.errors import InputError

CUBE = np.eye(3)
FACE_CENTRES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
COPPER = Crystals.from_arrays([3.615 * CUBE], [FACE_CENTRES], [[29] * 4])
ROCK_SALT = Crystals.from_arrays(
    [5.64 * CUBE], [np.concatenate([FACE_CENTRES, FACE_CENTRES + 0.5])], [[11] * 4 + [17] * 4]
)
PEROVSKITE = Crystals.from_arrays(
    [3.905 * CUBE],
    [[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]],
    [[38, 22, 8, 8, 8]],
)
HEXAGONAL = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1]])
MAGNESIUM = Crystals.from_arrays(
    [HEXAGONAL * [[3.209], [3.209], [5.211]]],
    [[[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]],
    [[12, 12]],
)
SILICON = Crystals.from_arrays(
    [5.431 * CUBE], [np.concatenate([FACE_CENTRES, FACE_CENTRES + 0.25])], [[14] * 8]
)
KNOWN = Crystals.concat([COPPER, ROCK_SALT, PEROVSKITE, MAGNESIUM, SILICON])


def row_of_cubes(length: int) -> Crystals:
    """Simple cubic polonium written as a row of cells along a."""
    frac = np.zeros((length, 3))
    frac[:, 0] = np.arange(length) / length
    return Crystals.from_arrays([3.36 * CUBE * [[length], [1], [1]]], [frac], [[84] * length])


# -- space groups ---------------------------------------------------------------------------------


def test_textbook_structures_get_their_space_groups() -> None:
    assert symmetry(KNOWN).number.tolist() == [225, 225, 221, 194, 227]


def test_symbols_are_the_short_hermann_mauguin_symbols() -> None:
    expected = ["Fm-3m", "Fm-3m", "Pm-3m", "P6_3/mmc", "Fd-3m"]
    assert symmetry(KNOWN).symbols() == expected


def test_crystal_system_follows_from_the_group() -> None:
    assert symmetry(KNOWN).crystal_systems() == ["cubic", "cubic", "cubic", "hexagonal", "cubic"]


def test_pearson_symbols_count_the_conventional_cell() -> None:
    assert symmetry(KNOWN).pearson.tolist() == ["cF4", "cF8", "cP5", "hP2", "cF8"]


def test_perovskite_sites_have_their_letters_and_site_symmetries() -> None:
    found = symmetry(PEROVSKITE)
    letters = dict(zip(PEROVSKITE.numbers.tolist(), found.wyckoff.tolist(), strict=True))
    assert letters[8] in "cd"
    assert {letters[38], letters[22]} == {"a", "b"}
    assert found.site_symmetry[0] == "m-3m"


def test_equivalent_atoms_share_the_first_of_them_as_orbit() -> None:
    found = symmetry(Crystals.concat([PEROVSKITE, ROCK_SALT]))
    assert found.orbits.tolist() == [0, 1, 2, 2, 2, 5, 5, 5, 5, 9, 9, 9, 9]


def test_a_supercell_keeps_the_orbits_of_the_crystal() -> None:
    assert symmetry(row_of_cubes(3)).orbits.tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(12))
def test_group_does_not_depend_on_cell_origin_orientation_or_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    hidden = Crystals.concat([disguised(crystal, random) for crystal in KNOWN])
    assert symmetry(hidden).number.tolist() == [225, 225, 221, 194, 227]


@given(st.floats(1e-4, 4e-3), st.integers(0, 2**32 - 1))
def test_displacements_below_the_tolerance_do_not_lower_the_group(size: float, seed: int) -> None:
    shifts = np.random.default_rng(seed).uniform(-size, size, (8, 3)) / 5.64 / 2
    rattled = ROCK_SALT.replace(frac=ROCK_SALT.frac + shifts)
    assert symmetry(rattled, 0.02).number[0] == 225


def test_displacement_above_the_tolerance_lowers_the_group() -> None:
    frac = ROCK_SALT.frac.copy()
    frac[0, 0] += 0.1 / 5.64
    assert symmetry(ROCK_SALT.replace(frac=frac)).number[0] == 99


# -- disorder, molecules, failures ----------------------------------------------------------------


def shared(first: float) -> Crystals:
    """Rock salt with every cation site shared by sodium and potassium."""
    occupants = np.array([11, 19] * 4 + [17] * 4, np.uint8)
    fractions = np.array([first, 1 - first] * 4 + [1.0] * 4)
    offsets = np.array([0, 2, 4, 6, 8, 9, 10, 11, 12])
    return ROCK_SALT.replace(occupancy=Occupancy(offsets, occupants, fractions))


def test_sites_shared_alike_are_equivalent() -> None:
    assert symmetry(shared(0.7)).number[0] == 225


def test_sites_shared_differently_are_not_equivalent() -> None:
    crystal = shared(0.7)
    assert crystal.occupancy is not None
    fractions = crystal.occupancy.fractions.copy()
    fractions[:2] = [0.2, 0.8]
    other = Occupancy(crystal.occupancy.offsets, crystal.occupancy.occupants, fractions)
    assert symmetry(crystal.replace(occupancy=other)).number[0] == 221


def test_a_slab_has_no_space_group_and_says_why() -> None:
    slab = ROCK_SALT.replace(pbc=np.array([[True, True, False]]))
    found = symmetry(slab)
    assert found.number[0] == 0
    assert "not periodic" in str(found.reason[0])


def test_atoms_on_one_another_leave_a_reason_and_the_others_their_answer() -> None:
    broken = Crystals.from_arrays([5.0 * CUBE], [[[0, 0, 0], [0, 0, 0]]], [[1, 1]])
    found = symmetry(Crystals.concat([broken, COPPER]))
    assert found.number.tolist() == [0, 225]
    assert "lie on one another" in str(found.reason[0])
    assert found.reason[1] is None


def test_a_crystal_without_symmetry_found_has_every_atom_alone() -> None:
    broken = Crystals.from_arrays([5.0 * CUBE], [[[0, 0, 0], [0, 0, 0]]], [[1, 1]])
    found = symmetry(broken)
    assert found.orbits.tolist() == [0, 1]
    assert found.symbols() == [""]
    assert not found.found().any()


def test_search_is_repeated_at_a_tighter_tolerance_when_it_fails() -> None:
    close = Crystals.from_arrays([5.0 * CUBE], [[[0, 0, 0], [0.002, 0, 0]]], [[1, 1]])
    found = symmetry(close, 0.02)
    assert found.number[0] == 123
    assert found.tolerance[0] < 0.02


THIN = np.array([[-12.767, -23.125, -23.421], [0.0309, 0.0413, 0.15226], [-0.3515, 26.32, 35.425]])
LONG = np.array([[1700.0, 0.4, 0.2], [0.3, 1.66, 0.0], [0.5, 0.4, 7.3]])


@pytest.mark.parametrize("lattice", [THIN, LONG], ids=["thin", "long"])
@pytest.mark.parametrize("tolerance", [0.01, 1.0])
def test_cells_of_extreme_shape_are_answered_at_a_lower_tolerance(
    lattice: np.ndarray, tolerance: float
) -> None:
    """Searching these at the tolerance asked for does not end."""
    frac = np.random.default_rng(0).random((8, 3))
    found = symmetry(Crystals.from_arrays([lattice], [frac], [[3, 1, 2, 2, 1, 2, 3, 3]]), tolerance)
    assert found.number[0] == 1
    assert found.tolerance[0] < tolerance


def test_a_panic_of_the_search_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {})

    def raising(*_args: object, **_options: object) -> None:
        raise panic("index out of bounds")

    monkeypatch.setattr("moyopy.MoyoDataset", raising)
    assert "index out of bounds" in str(symmetry(COPPER).reason[0])


def test_an_interruption_of_the_search_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moyopy.MoyoDataset", raising)
    with pytest.raises(KeyboardInterrupt):
        symmetry(COPPER)


def test_a_cell_without_atoms_has_a_reason() -> None:
    empty = Crystals(CUBE[None], np.zeros((0, 3)), np.zeros(0, np.uint8), np.array([0, 0]))
    assert "no atoms" in str(symmetry(empty).reason[0])


def test_an_empty_batch_gives_empty_answers() -> None:
    nothing = Crystals.empty()
    assert len(symmetry(nothing)) == len(operations(nothing)) == len(primitive(nothing)) == 0


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_a_tolerance_that_is_no_length_is_refused(tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance"):
        symmetry(COPPER, tolerance)


def test_a_supercell_brings_no_warning_on_the_screen(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="moyo"):
        symmetry(row_of_cubes(2))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_loose_tolerance_brings_no_warning_on_the_screen(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("moyo.symmetrize.symmetrization")

    def remarking(*args: Any, **options: Any) -> MoyoDataset:
        logger.warning("Large displacement during symmetrization: [[0.1, 0.0, 0.0]] for site 2")
        return MoyoDataset(*args, **options)

    monkeypatch.setattr("moyopy.MoyoDataset", remarking)
    with caplog.at_level(logging.WARNING):
        symmetry(COPPER, 0.1)
    assert not caplog.records
    remark, warning = (
        logging.makeLogRecord({"msg": said})
        for said in ("Large displacement during symmetrization: [[0.1]]", "The lattice is odd")
    )
    assert not _RemarkFilter().filter(remark)
    assert _RemarkFilter().filter(warning)


# -- operations -----------------------------------------------------------------------------------


def test_operations_map_the_crystal_onto_itself() -> None:
    found = operations(KNOWN)
    for index, crystal in enumerate(KNOWN):
        for rotation, translation in zip(*found.of(index), strict=True):
            image = crystal.frac @ rotation.T + translation
            gap = image[:, None] - crystal.frac[None]
            distance = np.abs(gap - np.rint(gap)).max(axis=-1)
            partner = distance.argmin(axis=1)
            assert distance.min(axis=1).max() < 1e-6
            assert np.array_equal(crystal.numbers[partner], crystal.numbers)


def test_conventional_cells_have_all_operations_of_their_group() -> None:
    assert np.diff(operations(KNOWN).offsets).tolist() == [192, 192, 48, 24, 192]


def test_a_row_of_cells_keeps_the_operations_that_keep_its_shape() -> None:
    assert len(operations(row_of_cubes(2)).of(0)[0]) == 16 * 2


def test_only_the_identity_is_given_where_no_symmetry_is_found() -> None:
    slab = ROCK_SALT.replace(pbc=np.array([[True, True, False]]))
    rotations, translations = operations(slab).of(0)
    assert np.array_equal(rotations, np.eye(3)[None])
    assert np.array_equal(translations, np.zeros((1, 3)))


# -- standard cells -------------------------------------------------------------------------------


def test_primitive_cells_hold_one_lattice_point() -> None:
    assert primitive(KNOWN).counts.tolist() == [1, 2, 5, 2, 2]


def test_conventional_cells_hold_the_pearson_number_of_atoms() -> None:
    assert conventional(primitive(KNOWN)).counts.tolist() == [4, 8, 5, 2, 8]


@pytest.mark.parametrize("change", [primitive, conventional, refined])
def test_standard_cells_keep_volume_per_atom_and_composition(change) -> None:
    random = np.random.default_rng(3)
    hidden = Crystals.concat([disguised(crystal, random) for crystal in KNOWN])
    made = change(hidden)
    assert made.reduced_formulas() == hidden.reduced_formulas()
    assert made.volumes / made.counts == pytest.approx(hidden.volumes / hidden.counts, rel=1e-6)


@pytest.mark.parametrize("change", [primitive, conventional, refined])
def test_standard_cells_are_exactly_symmetric(change) -> None:
    random = np.random.default_rng(4)
    shifts = random.uniform(-2e-4, 2e-4, KNOWN.frac.shape)
    rattled = KNOWN.replace(frac=KNOWN.frac + shifts)
    assert symmetry(change(rattled, 0.02), 1e-5).number.tolist() == [225, 225, 221, 194, 227]


def test_refined_keeps_cell_and_order_to_within_the_tolerance() -> None:
    random = np.random.default_rng(5)
    rattled = KNOWN.replace(frac=KNOWN.frac + random.uniform(-2e-4, 2e-4, KNOWN.frac.shape))
    moved = refined(rattled, 0.02)
    assert np.abs(moved.lattice - rattled.lattice).max() < 0.02
    assert np.linalg.norm(moved.positions - rattled.positions, axis=1).max() < 0.02


@pytest.mark.parametrize("change", [primitive, conventional])
def test_standard_cells_keep_the_orientation_in_space(change) -> None:
    """Every site's surroundings, as vectors in space, are those of a site of the given crystal."""
    rotation = np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0]
    turned = ROCK_SALT.replace(lattice=ROCK_SALT.lattice @ rotation)
    bonds = {tuple(np.round(sign * 2.82 * axis, 4) + 0.0) for axis in rotation for sign in (1, -1)}
    made = change(turned)
    sodium = made.positions[made.numbers == 11][0]
    chlorine = made.frac[made.numbers == 17]
    span = np.arange(-3, 4)
    cells = np.stack(np.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3)
    vectors = (chlorine[:, None] + cells[None]).reshape(-1, 3) @ made.lattice[0] - sodium
    near = vectors[np.linalg.norm(vectors, axis=1) < 3.0]
    assert {tuple(np.round(vector, 4) + 0.0) for vector in near} == bonds


def test_site_columns_follow_their_atoms() -> None:
    tagged = ROCK_SALT.with_site_columns(oxidation_state=[1.0] * 4 + [-1.0] * 4)
    for made in (primitive(tagged), conventional(tagged), refined(tagged)):
        expected = np.where(made.numbers == 11, 1.0, -1.0)
        assert np.array_equal(made.site_columns["oxidation_state"], expected)


def test_cell_charge_is_scaled_with_the_cell() -> None:
    charged = ROCK_SALT.with_columns(charge=[4.0], id=["salt"])
    made = primitive(charged)
    assert made.columns["charge"].tolist() == [1.0]
    assert made.ids() == ["salt"]


def test_partial_occupancy_survives_in_the_primitive_cell() -> None:
    made = primitive(shared(0.7))
    assert made.reduced_formulas() == ["K0.3Na0.7Cl"]
    assert made.counts.tolist() == [2]


def test_crystals_without_symmetry_found_stay_as_they_are() -> None:
    slab = ROCK_SALT.replace(pbc=np.array([[True, True, False]]))
    made = primitive(Crystals.concat([slab, ROCK_SALT]))
    assert made.counts.tolist() == [8, 2]
    assert np.array_equal(made.lattice[0], slab.lattice[0])


def test_copies_of_an_atom_stand_together_in_moyos_conventional_cell(data_folder: Path) -> None:
    """The order that site columns rely on, for every centring that occurs."""
    sample = read_project_crystals(data_folder, 3000, 10)
    made = conventional(sample)
    from materialabs.crystals.symmetry import _datasets

    for index, dataset in _datasets(sample, 0.01):
        assert isinstance(dataset, MoyoDataset)
        atoms = slice(made.offsets[index], made.offsets[index + 1])
        assert made.numbers[atoms].tolist() == list(dataset.std_cell.numbers)


# -- against spglib -------------------------------------------------------------------------------


def spglib_numbers(crystals: Crystals, tolerance: float) -> np.ndarray:
    numbers = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for crystal in crystals:
            cell = (crystal.lattice[0], crystal.frac, crystal.numbers)
            found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
            numbers.append(0 if found is None else found.number)
    return np.array(numbers)


def near_tolerance(crystals: Crystals, tolerance: float) -> np.ndarray:
    """True where the answer changes within half and twice the tolerance."""
    numbers = [symmetry(crystals, tolerance * factor).number for factor in (0.5, 1.0, 2.0)]
    return (numbers[0] != numbers[1]) | (numbers[2] != numbers[1])


def test_groups_agree_with_spglib_away_from_the_tolerance(data_folder: Path) -> None:
    sample = read_project_crystals(data_folder, 3000, 20)
    differ = symmetry(sample).number != spglib_numbers(sample, 0.01)
    assert not (differ & ~near_tolerance(sample, 0.01)).any()


@pytest.mark.slow
def test_groups_agree_with_spglib_for_999_in_1000(data_folder: Path) -> None:
    sample = read_project_crystals(data_folder, None, 10)
    differ = symmetry(sample).number != spglib_numbers(sample, 0.01)
    assert differ.mean() < 1e-3
    assert near_tolerance(sample[differ], 0.01).all()


@pytest.mark.slow
def test_all_of_mp36k_is_given_its_space_group_within_a_minute(data_folder: Path) -> None:
    everything = read_project_crystals(data_folder)
    start = time.process_time()
    found = symmetry(everything)
    assert time.process_time() - start < 60.0
    assert found.found().all(), [reason for reason in found.reason if reason][:5]
