from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.generation.oxidation import (
    BALANCED,
    MIXED,
    NEUTRAL,
    likely_oxidation_states,
    with_oxidation_states,
)


def states_of(formula: str) -> dict[str, float]:
    compositions = Compositions.parse([formula])
    found = likely_oxidation_states(compositions)
    symbols = [SYMBOLS[number] for number in compositions.elements]
    return dict(zip(symbols, found.states.tolist(), strict=True))


@pytest.mark.parametrize(
    ("formula", "states"),
    [
        ("NaCl", {"Na": 1, "Cl": -1}),
        ("BaTiO3", {"Ba": 2, "Ti": 4, "O": -2}),
        ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("Li3PS4", {"Li": 1, "P": 5, "S": -2}),
        ("Fe2O3", {"Fe": 3, "O": -2}),
        ("CdTe", {"Cd": 2, "Te": -2}),
        ("NH4Cl", {"N": -3, "H": 1, "Cl": -1}),
        ("Ca3(PO4)2", {"Ca": 2, "P": 5, "O": -2}),
    ],
)
def test_textbook_oxidation_states_are_found(formula, states):
    assert states_of(formula) == states


def test_magnetite_is_mixed_and_written_with_the_nearer_state():
    found = likely_oxidation_states(Compositions.parse(["Fe3O4"]))
    assert found.how.tolist() == [MIXED]
    assert states_of("Fe3O4") == {"Fe": 3, "O": -2}


@pytest.mark.parametrize("formula", ["Fe", "SmErIn2"])
def test_elements_and_intermetallics_that_cannot_balance_are_neutral(formula):
    found = likely_oxidation_states(Compositions.parse([formula]))
    assert found.how.tolist() == [NEUTRAL]
    assert not found.states.any()


@given(st.lists(st.sampled_from(SYMBOLS[1:95]), min_size=2, max_size=5, unique=True), st.data())
def test_balanced_states_sum_to_zero(symbols, data):
    amounts = [data.draw(st.integers(1, 6)) for _ in symbols]
    formula = "".join(f"{s}{n}" for s, n in zip(symbols, amounts, strict=True))
    compositions = Compositions.parse([formula])
    found = likely_oxidation_states(compositions)
    if found.how[0] == BALANCED:
        assert abs(found.states @ compositions.amounts) < 1e-6
    else:
        assert found.how[0] in (MIXED, NEUTRAL)


@pytest.mark.parametrize("formula", ["Al2O3", "KMnO4", "Sr2FeMoO6", "MgSO4", "Zn3P2", "LiCoO2"])
def test_states_agree_with_pymatgens_first_guess(formula):
    from pymatgen.core import Composition

    guess = Composition(formula).oxi_state_guesses()[0]
    assert states_of(formula) == pytest.approx(guess)


def test_the_uncompiled_search_gives_the_same():
    from materialabs.generation.oxidation import _state_tables
    from materialabs.generation.oxidation_kernels import likeliest_states

    compositions = Compositions.parse(["BaTiO3", "FeAl", "Li3PS4", "Og2O"])
    results = []
    for run in (likeliest_states, likeliest_states.py_func):
        chosen = np.zeros(len(compositions.elements))
        best = run(
            compositions.elements, compositions.amounts, compositions.offsets,
            *_state_tables(), 1e-6, chosen,
        )  # fmt: skip
        results.append((best, chosen))
    assert np.array_equal(results[0][1], results[1][1])
    assert np.allclose(results[0][0], results[1][0])


def test_an_element_without_known_states_makes_the_whole_neutral():
    assert states_of("Og2O") == {"Og": 0, "O": 0}


def test_given_oxidation_states_are_kept_and_missing_ones_filled():
    salt = Crystals.from_arrays(
        [np.eye(3) * 5.6] * 2, [[[0, 0, 0], [0.5, 0.5, 0.5]]] * 2, [[11, 17]] * 2
    )
    given_states = np.array([3.0, -3.0, np.nan, np.nan])
    filled = with_oxidation_states(salt.with_site_columns(oxidation_state=given_states))
    assert filled.site_columns["oxidation_state"].tolist() == [3, -3, 1, -1]
    assert with_oxidation_states(salt).site_columns["oxidation_state"].tolist() == [1, -1, 1, -1]
