"""Structure-type labels against AFLOW's names, pymatgen's labels, and themselves in disguise."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from project_crystals import disguised, read_project_crystals

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.crystals.protostructure import (
    _relabelings,
    canonical_prototype,
    protostructure_labels,
    prototype_labels,
)
from materialabs.crystals.symmetry import symmetry
from materialabs.errors import DisorderError, InputError

CUBE = np.eye(3)
FACE_CENTRES = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
OXYGENS = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def copper_gold(corner: int, faces: int) -> Crystals:
    return Crystals.from_arrays([3.75 * CUBE], [FACE_CENTRES], [[corner, faces, faces, faces]])


def perovskite(corner: int, centre: int, anion: int, shift: float = 0.0) -> Crystals:
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0.5], *OXYGENS]) + shift
    return Crystals.from_arrays([3.9 * CUBE], [frac], [[corner, centre] + [anion] * 3])


def inversion_twins(edge: float, random: np.random.Generator) -> Crystals:
    """A triclinic crystal in a cubic cell: two atoms on inversion centres, two free pairs."""
    centre = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]]) / 2
    first, second = random.uniform(0.1, 0.4, (2, 3))
    frac = [[0, 0, 0], centre[random.integers(5)], first, -first, second, -second]
    return Crystals.from_arrays([edge * CUBE], [frac], [[29, 79, 13, 13, 8, 8]])


# -- what the labels say --------------------------------------------------------------------------


def test_ordered_copper_gold_has_aflows_label() -> None:
    assert protostructure_labels(copper_gold(79, 29)) == ["AB3_cP4_221_a_c:Au-Cu"]


def test_elements_are_in_alphabetical_order() -> None:
    assert protostructure_labels(copper_gold(29, 79)) == ["A3B_cP4_221_c_a:Au-Cu"]


def test_cubic_perovskite_has_aflows_label() -> None:
    assert protostructure_labels(perovskite(20, 22, 8)) == ["AB3C_cP5_221_a_c_b:Ca-O-Ti"]


def test_prototype_forgets_which_element_is_which() -> None:
    batch = Crystals.concat([copper_gold(79, 29), copper_gold(29, 79)])
    assert prototype_labels(batch) == ["AB3_cP4_221_a_c"] * 2


def test_prototype_takes_the_earliest_letters_among_equal_amounts() -> None:
    batch = Crystals.concat([perovskite(20, 22, 8), perovskite(38, 8, 1), perovskite(8, 38, 1)])
    assert prototype_labels(batch) == ["ABC3_cP5_221_a_b_c"] * 3


def test_choice_of_origin_does_not_change_the_label() -> None:
    batch = Crystals.concat([perovskite(20, 22, 8), perovskite(20, 22, 8, shift=0.5)])
    first, second = protostructure_labels(batch)
    assert first == second


def test_label_is_none_where_no_symmetry_is_found() -> None:
    slab = copper_gold(79, 29).replace(pbc=np.array([[True, True, False]]))
    batch = Crystals.concat([slab, copper_gold(79, 29)])
    assert protostructure_labels(batch) == [None, "AB3_cP4_221_a_c:Au-Cu"]
    assert prototype_labels(batch)[0] is None


def test_known_symmetry_is_used() -> None:
    crystal = copper_gold(79, 29)
    assert protostructure_labels(crystal, found=symmetry(crystal)) == ["AB3_cP4_221_a_c:Au-Cu"]


def test_symmetry_of_other_crystals_is_refused() -> None:
    with pytest.raises(InputError, match="another batch"):
        protostructure_labels(copper_gold(79, 29), found=symmetry(perovskite(20, 22, 8)))


def test_disordered_crystals_are_refused_by_name() -> None:
    mixed = Occupancy(
        np.array([0, 2, 3, 4, 5]),
        np.array([29, 79, 29, 29, 29], np.uint8),
        np.array([0.5, 0.5, 1.0, 1.0, 1.0]),
    )
    crystal = copper_gold(29, 29).replace(occupancy=mixed).with_columns(id=["alloy"])
    with pytest.raises(DisorderError, match="alloy"):
        protostructure_labels(crystal)


# -- independence of the description --------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_labels_survive_supercell_origin_rotation_and_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    crystals = Crystals.concat([copper_gold(79, 29), perovskite(20, 22, 8)])
    hidden = Crystals.concat([disguised(crystal, random) for crystal in crystals])
    assert protostructure_labels(hidden) == protostructure_labels(crystals)


@given(st.integers(0, 2**32 - 1))
def test_triclinic_label_survives_a_cell_with_many_equivalent_bases(seed: int) -> None:
    random = np.random.default_rng(seed)
    crystal = inversion_twins(8.0, random)
    labels = protostructure_labels(Crystals.concat([crystal, disguised(crystal, random)]))
    assert labels == ["A2BCD2_aP6_2_i_a_b_i:Al-Au-Cu-O"] * 2


def test_labels_of_real_crystals_survive_a_disguise(data_folder: Path) -> None:
    sample = read_project_crystals(data_folder, 6000, 20)
    sample = sample[sample.counts <= 30]
    random = np.random.default_rng(2)
    hidden = Crystals.concat([disguised(crystal, random) for crystal in sample])
    groups = symmetry(sample, 0.01)
    settled = groups.number == symmetry(hidden, 0.01).number
    assert settled.mean() > 0.99
    before, after = protostructure_labels(sample), protostructure_labels(hidden)
    assert not [i for i in np.flatnonzero(settled) if before[i] != after[i]]


@pytest.mark.parametrize("number", range(1, 231))
def test_relabelings_form_a_group(number: int) -> None:
    tables = _relabelings(number)
    letters = list(tables[0])
    permutations = {tuple(table[letter] for letter in letters) for table in tables}
    assert tuple(letters) in permutations
    sample = tables[:: max(1, len(tables) // 12)]
    for one in sample:
        for other in sample:
            assert tuple(one[other[letter]] for letter in letters) in permutations


def test_centres_of_a_triclinic_crystal_move_like_the_points_of_affine_space() -> None:
    """The eight inversion centres are the points of AG(3,2), with 8 * 168 affinities."""
    assert len(_relabelings(2)) == 8 * 168


# -- against pymatgen -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(data_folder: Path) -> Crystals:
    return read_project_crystals(data_folder, 6000, 30)


def aflow_pearson(label: str) -> str:
    """pymatgen's label with the Pearson symbol written as AFLOW does."""
    formula, pearson, rest = label.split("_", 2)
    family, atoms = pearson[:2].replace("S", "C"), int(pearson[2:])
    return f"{formula}_{family}{atoms // 3 if family == 'hR' else atoms}_{rest}"


def pymatgen_labels(crystals: Crystals) -> tuple[list[str], list[str]]:
    logging.getLogger("moyo").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.prototypes import (
            get_protostructure_label_from_moyopy,
            get_prototype_from_protostructure,
        )

        full = [
            get_protostructure_label_from_moyopy(structure, symprec=0.01)
            for structure in crystals.to_pymatgen()
        ]
        full = [aflow_pearson(label) for label in full]
        return full, [get_prototype_from_protostructure(label) for label in full]


def test_labels_equal_pymatgens_from_orthorhombic_up(sample: Crystals) -> None:
    higher = sample[symmetry(sample).number > 15]
    full, anonymous = pymatgen_labels(higher)
    assert protostructure_labels(higher) == full
    assert prototype_labels(higher) == anonymous


def test_low_symmetry_labels_differ_from_pymatgens_in_letters_only(sample: Crystals) -> None:
    lower = sample[symmetry(sample).number <= 15]
    full, _ = pymatgen_labels(lower)
    ours = protostructure_labels(lower)
    assert [canonical_prototype(str(label)) for label in ours] == [
        canonical_prototype(label) for label in full
    ]
    assert np.mean([one == other for one, other in zip(ours, full, strict=True)]) > 0.85


# -- rewriting labels -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_label", "expected"),
    [
        ("AB3_cP4_221_a_c", "AB3_cP4_221_a_c"),
        ("A3B_cP4_221_d_b", "AB3_cP4_221_a_c"),
        ("AB3C_cP5_221_a_c_b:Ca-O-Ti", "ABC3_cP5_221_a_b_c"),
        ("A_cF4_225_a", "A_cF4_225_a"),
        ("AB11CD3_cP16_221_a_dg_b_c", "ABC3D11_cP16_221_a_b_c_dg"),
    ],
)
def test_labels_are_rewritten_canonically(given_label: str, expected: str) -> None:
    assert canonical_prototype(given_label) == expected


@pytest.mark.parametrize("text", ["", "NaCl", "AB3_cP4_999_a_c", "AB3_cP4_221_a", "AB_cF8_225_a_z"])
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="structure-type label"):
        canonical_prototype(text)
