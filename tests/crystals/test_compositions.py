"""Compositions against pymatgen, over all of mp36k and random formulas."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions, chosen_rows, ragged_rows
from materialabs.crystals.formula_texts import parse_formula, parse_system
from materialabs.elements import SYMBOLS
from materialabs.errors import FormulaError

pytestmark = pytest.mark.filterwarnings("ignore:No Pauling electronegativity:UserWarning")

amounts = st.dictionaries(st.integers(1, 103), st.integers(1, 40), min_size=1, max_size=6)
batches = st.lists(amounts, min_size=0, max_size=8)


def text_of(row: dict[int, int]) -> str:
    return "".join(f"{SYMBOLS[number]}{amount}" for number, amount in row.items())


@pytest.fixture(scope="module")
def mp_formulas(data_folder: Path) -> list[str]:
    with gzip.open(data_folder / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        counts = [Counter(json.loads(line)["species"]) for line in lines]
    return sorted({"".join(f"{s}{n}" for s, n in count.items()) for count in counts})


def test_reduced_formulas_equal_pymatgens_over_all_of_mp36k(mp_formulas: list[str]) -> None:
    ours = Compositions.parse(mp_formulas).reduced_formulas()
    theirs = [Composition(formula).reduced_formula for formula in mp_formulas]
    assert len(ours) > 30_000
    assert ours == theirs


def test_systems_equal_pymatgens_over_all_of_mp36k(mp_formulas: list[str]) -> None:
    theirs = [Composition(formula).chemical_system for formula in mp_formulas]
    assert Compositions.parse(mp_formulas).systems() == theirs


@given(amounts)
def test_reduced_formulas_equal_pymatgens(row: dict[int, int]) -> None:
    formula = text_of(row)
    assert Compositions.parse([formula]).reduced_formulas() == [
        Composition(formula).reduced_formula
    ]


@given(amounts)
def test_full_formulas_hold_the_same_atoms_for_pymatgen(row: dict[int, int]) -> None:
    (formula,) = Compositions.from_dicts([row]).formulas()
    assert Composition(formula) == Composition(text_of(row))


@given(batches)
def test_formulas_survive_a_round_trip(rows: list[dict[int, int]]) -> None:
    batch = Compositions.from_dicts(rows)
    assert list(Compositions.parse(batch.formulas())) == list(batch)


@given(batches)
def test_reduced_formulas_survive_a_round_trip(rows: list[dict[int, int]]) -> None:
    names = Compositions.from_dicts(rows).reduced_formulas()
    assert Compositions.parse(names).reduced_formulas() == names


@given(batches)
def test_reduced_amounts_have_no_common_divisor(rows: list[dict[int, int]]) -> None:
    for row in Compositions.from_dicts(rows).reduced():
        assert gcd(*(int(amount) for amount in row.values())) == 1


@given(st.lists(st.dictionaries(st.integers(1, 94), st.floats(0.01, 30), min_size=1, max_size=4)))
def test_fractional_amounts_survive_a_round_trip_to_eight_digits(
    rows: list[dict[int, float]],
) -> None:
    batch = Compositions.from_dicts(rows)
    again = Compositions.parse(batch.formulas())
    assert again.amounts == pytest.approx(batch.amounts, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Ca3(PO4)2", "Ca3P2O8"),
        ("K4[Fe(CN)6]", "K4FeC6N6"),
        ("{Li2}(O)", "Li2O"),
        ("CuSO4·5H2O", "CuSO9H10"),
        ("CuSO4⋅5H2O", "CuSO9H10"),
        ("CuSO4∙5H2O", "CuSO9H10"),
        ("CuSO4 . 5H2O", "CuSO9H10"),
        ("CuSO4.5H2O", "CuSO9H10"),
        ("CuSO4.5(H2O)", "CuSO9H10"),
        ("CuSO4.H2O", "CuSO5H2"),
        ("Ca(OH)2.2H2O", "CaO4H6"),
        ("Al2(SO4)3.18H2O", "Al2S3O30H36"),
        ("K2[PtCl6].2H2O", "K2PtCl6O2H4"),
        ("NiCl2.6NH3", "NiCl2N6H18"),
        ("MgSO4.7D2O", "MgSO11H14"),
        ("3CaO.Al2O3.6H2O", "Ca3Al2O12H12"),
        ("2.5H2O", "H5O2.5"),
        ("CaSO4·2.5H2O", "CaSO6.5H5"),
        ("CaO.Al2O3", "CaAl2O4"),
        ("Li1.02Ni0.5O2", "Li1.02Ni0.5O2"),
        ("Cu.5Zn.5", "Cu0.5Zn0.5"),
        ("(Li2S).75(P2S5).25", "Li1.5S2P0.5"),
        ("Nd2Fe14.5B", "Nd2Fe14.5B"),
        ("MnO1.9H2O", "MnO2.9H2"),
        ("Zr1Fe1.", "ZrFe"),
        ("Fe₂O₃", "Fe2O3"),
        ("Ca(OH)₂", "CaO2H2"),
        ("CuSO4*5H2O", "CuSO9H10"),
        ("2H2O", "H4O2"),
        (" Li2 O ", "Li2O"),
        ("Li1.02Fe", "Li1.02Fe"),
        ("D2O", "H2O"),
        ("LiH0", "Li"),
    ],
)
def test_formulas_are_read_as_chemists_write_them(formula: str, expected: str) -> None:
    assert parse_formula(formula) == pytest.approx(
        {element.Z: amount for element, amount in Composition(expected).items()}
    )


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("", "is a text"),
        ("   ", "is a text"),
        (None, "is a text"),
        (5, "is a text"),
        ("Xx2", "names 'Xx', which is not an element"),
        ("Li-P-S", "a chemical system is not a formula"),
        ("Li-Xx", "cannot be read at '-Xx'"),
        ("li2o", "cannot be read at 'li2o'"),
        ("Na+", r"cannot be read at '\+'"),
        ("Fe2O3)", "closes a bracket it never opened"),
        ("(Li]", "closes a bracket it never opened"),
        ("(Fe", "open bracket"),
        ("3", "an amount without an element"),
        ("Li1.2.3", "an amount without an element"),
        ("H0", "holds no atoms"),
        ("·", "holds no atoms"),
        ("H" * 1001, "1001 characters"),
        ("H" + "9" * 400, "more than 1e[+]09 atoms"),
        ("Fe1e3", "cannot be read at 'e3'"),
        ("NaCl.2H2O", "may hold a decimal number or a part after a dot: write · before 2H2O"),
        ("Li0.5CoO2.2H2O", "may hold a decimal number or a part after a dot"),
        ("Al2O3.2SiO2.2H2O", "may hold a decimal number or a part after a dot"),
    ],
)
def test_a_bad_formula_is_refused_in_one_sentence(formula: str, sentence: str) -> None:
    with pytest.raises(FormulaError, match=sentence):
        parse_formula(formula)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_formula(text)
    except FormulaError:
        return
    assert all(amount > 0 for amount in found.values())


@given(st.text(alphabet="HOLiFe()[]{}0123456789.·* ", max_size=30))
def test_any_text_like_a_formula_is_read_or_refused(text: str) -> None:
    try:
        batch = Compositions.parse([text])
    except FormulaError:
        return
    assert len(batch.reduced_formulas()) == 1


def test_systems_are_read_in_any_order() -> None:
    assert parse_system("S-Li - P-Li") == (3, 15, 16)


@pytest.mark.parametrize("system", ["Li-Xx", "", "Li2-O", "Li--O"])
def test_a_bad_system_is_refused(system: str) -> None:
    with pytest.raises(FormulaError, match="Li-P-S"):
        parse_system(system)


@given(batches, st.data())
def test_choosing_rows_is_choosing_from_the_list(
    rows: list[dict[int, int]], data: st.DataObject
) -> None:
    batch = Compositions.from_dicts(rows)
    places = st.lists(st.integers(0, len(rows) - 1)) if rows else st.just([])
    chosen = data.draw(places)
    picked = batch[np.array(chosen, dtype=np.int64)]
    assert list(picked) == [list(batch)[i] for i in chosen]


@given(batches, batches)
def test_joining_batches_joins_the_lists(
    first: list[dict[int, int]], second: list[dict[int, int]]
) -> None:
    one, two = Compositions.from_dicts(first), Compositions.from_dicts(second)
    assert list(Compositions.concat([one, two])) == list(one) + list(two)


def test_joining_nothing_gives_nothing() -> None:
    assert len(Compositions.concat([])) == 0


@given(batches)
def test_atoms_are_the_sum_of_the_amounts(rows: list[dict[int, int]]) -> None:
    batch = Compositions.from_dicts(rows)
    assert batch.atoms.tolist() == [sum(row.values()) for row in rows]


def test_a_dense_table_holds_the_amounts_of_the_elements_asked_for() -> None:
    batch = Compositions.parse(["Li3PS4", "NaCl"])
    assert batch.dense([16, 3, 11]).tolist() == [[4, 3, 0], [0, 0, 1]]


def test_fractions_are_amounts_over_all_atoms() -> None:
    assert Compositions.parse(["Li3PS4"]).fractions([3, 15]).tolist() == [[0.375, 0.125]]


def test_masks_have_one_bit_for_each_element() -> None:
    words = Compositions.parse(["Li3PS4", "UO2"]).masks()
    found = [
        {z for z in range(119) if int(words[row, z // 64]) >> (z % 64) & 1} for row in range(2)
    ]
    assert found == [{3, 15, 16}, {8, 92}]


def test_present_lists_the_elements_of_the_batch() -> None:
    assert Compositions.parse(["NaCl", "UO2"]).present() == (8, 11, 17, 92)


@given(st.lists(st.lists(st.integers(1, 94), max_size=6), min_size=1, max_size=5))
def test_atoms_are_counted_crystal_by_crystal(crystals: list[list[int]]) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in crystals])])
    numbers = np.array([z for one in crystals for z in one], dtype=np.uint8)
    found = Compositions.from_atoms(numbers, offsets.astype(np.int64))
    assert [{z: int(n) for z, n in row.items()} for row in found] == [
        dict(Counter(one)) for one in crystals
    ]


def test_a_crystal_without_atoms_has_an_empty_formula() -> None:
    empty = Crystals(np.eye(3)[None], np.zeros((0, 3)), np.zeros(0, np.uint8), np.array([0, 0]))
    assert empty.reduced_formulas() == [""]


def test_a_crystal_without_atoms_changes_no_other_formula() -> None:
    batch = Compositions(np.array([3], np.uint8), np.array([2.0]), np.array([0, 0, 1, 1]))
    assert batch.reduced_formulas() == ["", "Li", ""]


def test_weights_count_an_atom_for_less() -> None:
    numbers = np.array([3, 3, 11], dtype=np.uint8)
    found = Compositions.from_atoms(numbers, np.array([0, 3]), np.array([0.5, 0.25, 1.0]))
    assert list(found) == [{3: 0.75, 11: 1.0}]


def test_chosen_rows_take_an_index_a_slice_a_mask_or_positions() -> None:
    assert chosen_rows(4, 2).tolist() == [2]
    assert chosen_rows(4, slice(1, 3)).tolist() == [1, 2]
    assert chosen_rows(3, [True, False, True]).tolist() == [0, 2]
    assert chosen_rows(3, [2, 0]).tolist() == [2, 0]


def test_ragged_rows_gather_members_in_order() -> None:
    gathered, offsets = ragged_rows(np.array([0, 2, 2, 5]), np.array([2, 1, 0]))
    assert gathered.tolist() == [2, 3, 4, 0, 1]
    assert offsets.tolist() == [0, 3, 3, 5]


@given(st.floats(1e-12, 1e8))
def test_amounts_are_written_as_they_are_read(amount: float) -> None:
    """Without exponents, to six digits or eight places: a steel may hold 9.5e-05 of nickel."""
    [text] = Compositions.from_dicts([{26: 2.0, 28: amount}]).formulas()
    assert "e" not in text.replace("Fe", "")
    [read] = Compositions.parse([text])
    assert read[28] == pytest.approx(amount, rel=1e-5, abs=5.1e-9)


def test_traces_are_no_group() -> None:
    traces = Compositions.parse(["Fe0.99999O0.0000005S0.0000005"])
    assert traces.reduced_formulas()[0].startswith("Fe")
