from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import FormulaError, InputError, NotFound
from materialabs.generation.ions import ion_text, parse_ion
from materialabs.generation.substitution import (
    SubstitutionTable,
    charge_balanced,
    hautier_weights,
    substitutions,
)

HAUTIER = SubstitutionTable.hautier()
GNOME = SubstitutionTable.gnome()


@pytest.fixture(scope="module")
def pymatgen_table():
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

    return SubstitutionProbability()


def species_of(name: str):
    from pymatgen.core import Species

    from materialabs.elements import SYMBOLS

    number, charge = parse_ion(name)
    return Species(SYMBOLS[number], charge)


def text_of(species) -> str:
    return ion_text(species.Z, float(species.oxi_state))


def brute_force(table: SubstitutionTable, rows: list[int], threshold: float) -> dict:
    found = {}
    for ions in itertools.product(range(len(table)), repeat=len(rows)):
        product = math.prod(table.factors[new, old] for new, old in zip(ions, rows, strict=True))
        if product > threshold and len(set(ions)) == len(ions):
            found[ions] = product
    return found


def small_table(seed: int, ions: int) -> SubstitutionTable:
    weights = np.random.default_rng(seed).normal(0, 2, (ions, ions))
    return SubstitutionTable.from_weights(
        np.arange(1, ions + 1), np.ones(ions), (weights + weights.T) / 2
    )


def test_the_table_holds_the_230_ions_that_pymatgen_uses(pymatgen_table):
    assert {text_of(species) for species in pymatgen_table.species} == set(HAUTIER.names)
    assert len(HAUTIER) == 230


def test_conditional_probabilities_are_pymatgens(pymatgen_table):
    rng = np.random.default_rng(0)
    for new, old in rng.integers(0, len(HAUTIER), (300, 2)):
        theirs = pymatgen_table.cond_prob(
            species_of(HAUTIER.names[new]), species_of(HAUTIER.names[old])
        )
        assert HAUTIER.factors[new, old] == pytest.approx(theirs, rel=1e-12)


def test_probabilities_of_all_substitutes_of_an_ion_sum_to_one():
    assert HAUTIER.factors.sum(axis=0) == pytest.approx(np.ones(230))


def test_alpha_is_the_weight_of_pairs_never_seen():
    _, _, weights = hautier_weights(-3.0)
    _, _, usual = hautier_weights()
    assert np.array_equal(weights == -3.0, usual == -5.0)


@pytest.mark.parametrize("ions", [["Na1+", "Cl1-"], ["Ti4+", "O2-"]])
def test_substitutions_are_pymatgens_list_predictions(ions):
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor

    predictions = SubstitutionPredictor().list_prediction([species_of(name) for name in ions])
    theirs = {
        tuple(text_of(species) for species in one["substitutions"]): one["probability"]
        for one in predictions
    }
    rows, products = substitutions(HAUTIER, [HAUTIER.rows_of(ions)]).of(0)
    ours = {
        tuple(HAUTIER.names[ion] for ion in row): product
        for row, product in zip(rows, products, strict=True)
    }
    assert ours.keys() == theirs.keys()
    assert all(ours[key] == pytest.approx(theirs[key], rel=1e-10) for key in ours)


@pytest.mark.slow
def test_reversed_substitutions_are_pymatgens_predictions_from_a_composition():
    from pymatgen.core import Composition
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor

    ions = ["Ba2+", "Ti4+", "O2-"]
    amounts = [1, 1, 3]
    composition = Composition(
        {species_of(name): amount for name, amount in zip(ions, amounts, strict=True)}
    )
    predictions = SubstitutionPredictor().composition_prediction(
        composition, to_this_composition=False
    )
    theirs = {
        tuple(text_of(one["substitutions"][species_of(name)]) for name in ions)
        for one in predictions
    }
    table = HAUTIER.reversed()
    proposals = substitutions(table, [table.rows_of(ions)])
    kept = charge_balanced(table, proposals, [amounts])
    rows, _ = proposals.of(0)
    assert {tuple(table.names[ion] for ion in row) for row in rows[kept]} == theirs


@given(
    seed=st.integers(0, 10_000),
    size=st.integers(2, 7),
    positions=st.integers(1, 3),
    threshold=st.sampled_from([1e-3, 1e-2, 0.1]),
)
def test_the_search_finds_what_trying_everything_finds(seed, size, positions, threshold):
    table = small_table(seed, size)
    rows = np.random.default_rng(seed).integers(0, size, positions).tolist()
    ions, products = substitutions(table, [rows], threshold=threshold).of(0)
    wanted = brute_force(table, rows, threshold)
    assert {tuple(row): p for row, p in zip(ions.tolist(), products.tolist(), strict=True)} == (
        pytest.approx(wanted)
    )


def test_the_uncompiled_kernel_gives_the_same():
    from materialabs.generation.substitution_kernels import likely_products

    table = small_table(3, 6)
    factors, choices = table.ranked
    rows = np.array([0, 2, 5])
    for threshold in (1e-6, 1e-2):
        compiled = likely_products(factors, choices, rows, threshold)
        plain = likely_products.py_func(factors, choices, rows, threshold)
        assert np.array_equal(compiled[0], plain[0])
        assert np.allclose(compiled[1], plain[1], rtol=1e-14)


def test_proposals_come_most_likely_first():
    _, products = substitutions(HAUTIER, [HAUTIER.rows_of(["Ti4+", "O2-"])]).of(0)
    assert np.all(np.diff(products) <= 0)


def test_many_lists_give_what_each_gives_alone_on_any_number_of_threads():
    lists = [HAUTIER.rows_of(ions) for ions in (["Na1+", "Cl1-"], ["Ti4+"], ["Ba2+", "O2-"])] * 50
    together = substitutions(HAUTIER, lists, threads=2)
    for owner in (0, 1, 2, 149):
        ions, products = together.of(owner)
        alone = substitutions(HAUTIER, [lists[owner]]).of(0)
        assert np.array_equal(ions, alone[0])
        assert np.array_equal(products, alone[1])


def test_gnome_leaves_unchanged_ions_free():
    assert np.all(np.diagonal(GNOME.factors) == 1.0)
    assert GNOME.probability(["Sr2+", "Ti4+"], ["Ba2+", "Ti4+"]) == GNOME.probability(
        ["Sr2+"], ["Ba2+"]
    )


def test_gnome_raises_weights_below_zero_to_zero():
    numbers, charges, weights = hautier_weights()
    floored = np.exp(np.maximum(weights, 0))
    old = GNOME.row_of("Ti4+")
    new = GNOME.row_of("Zr4+")
    assert GNOME.factors[new, old] == pytest.approx(floored[new, old] / floored[:, old].sum())
    assert len(numbers) == len(charges) == 230


def test_charge_balance_is_the_sum_of_ion_charges():
    lists = [HAUTIER.rows_of(["Ba2+", "Ti4+", "O2-"]), HAUTIER.rows_of(["Na1+", "Cl1-"])]
    amounts = [np.array([1, 1, 3]), np.array([4, 4])]
    proposals = substitutions(HAUTIER, lists)
    kept = charge_balanced(HAUTIER, proposals, amounts)
    for row in range(len(proposals)):
        ions = proposals.ions[proposals.offsets[row] : proposals.offsets[row + 1]]
        charge = float(HAUTIER.charges[ions] @ amounts[proposals.owner[row]])
        assert kept[row] == (abs(charge) < 1e-8)


def test_no_lists_give_no_proposals():
    proposals = substitutions(HAUTIER, [])
    assert len(proposals) == 0
    assert len(charge_balanced(HAUTIER, proposals, [])) == 0


def test_a_table_of_elements_answers_for_any_charge():
    table = SubstitutionTable(np.array([3, 11]), np.full(2, np.nan), np.eye(2))
    assert table.row(3, 1.0) == table.row(3, math.nan) == 0
    assert table.row(8, -2.0) == -1


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, 2.0])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(InputError, match="between 0 and 1"):
        substitutions(HAUTIER, [[0]], threshold=threshold)


@pytest.mark.parametrize("rows", [[], [-1], [230]])
def test_rows_outside_the_table_are_refused(rows):
    with pytest.raises(InputError, match="rows 0 to 229"):
        substitutions(HAUTIER, [rows])


def test_an_ion_that_the_table_lacks_is_named():
    with pytest.raises(NotFound, match="Te2-"):
        HAUTIER.row_of("Te2-")


def test_lists_of_different_length_have_no_probability():
    with pytest.raises(InputError, match="give as many"):
        HAUTIER.probability(["Ti4+"], ["Ti4+", "O2-"])


@pytest.mark.parametrize(
    ("charges", "factors"),
    [(np.zeros(1), np.eye(2)), (np.zeros(2), np.eye(3)), (np.zeros(2), -np.eye(2))],
)
def test_a_malformed_table_is_refused(charges, factors):
    with pytest.raises(InputError):
        SubstitutionTable(np.array([1, 2]), charges, factors)


@pytest.mark.parametrize("name", ["Ti4+", "O2-", "Fe0+", "Ag2.5+"])
def test_ions_survive_text(name):
    assert ion_text(*parse_ion(name)) == name


def test_an_element_without_sign_has_no_charge():
    number, charge = parse_ion("Fe")
    assert number == 26
    assert math.isnan(charge)
    assert ion_text(number, charge) == "Fe"


def test_a_sign_alone_is_one_charge():
    assert parse_ion("Na+") == (11, 1.0)
    assert parse_ion("Cl-") == (17, -1.0)


@pytest.mark.parametrize("name", ["", "4+", "Ti+4", "Xx2+", "Ti4+ "[:-1] + "x"])
def test_what_is_no_ion_is_refused(name):
    with pytest.raises(FormulaError):
        parse_ion(name)


def test_the_table_says_what_it_is():
    assert repr(HAUTIER) == "SubstitutionTable(230 ions)"
