"""Coverage against sets of formulas counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.generation.balance import AnyFormula, RelaxedBalance, StrictBalance
from materialabs.generation.coverage import Coverage, coverage, coverage_of_elements
from materialabs.generation.formulas import formulas

KNOWN = Compositions.parse(
    ["Li2S", "Li4S2", "Li3PS4", "P2S5", "Li0.5S", "NaCl", "Li40P2S", "O2", "S8"]
)


def test_a_formula_counts_once_however_many_crystals_have_it() -> None:
    found = coverage("Li-P-S", KNOWN)
    assert (found.possible, found.covered) == (334, 4)
    assert found.by_elements[1] == (3, 1)
    assert found.by_elements[2][1] == 2
    assert found.by_elements[3][1] == 1


def test_the_uncovered_formulas_are_the_others() -> None:
    found = coverage("Li-P-S", KNOWN, atoms=4)
    everything = set(formulas("Li-P-S", atoms=4).reduced_formulas())
    assert set(found.uncovered) == everything - {"Li2S", "S"}


def test_the_share_is_covered_over_possible() -> None:
    found = coverage("Li-P-S", KNOWN)
    assert found.share == pytest.approx(4 / 334)


def test_a_rule_limits_what_is_possible() -> None:
    rule = StrictBalance()
    found = coverage("Li-P-S", KNOWN, rule=rule)
    assert found.possible == len(formulas("Li-P-S", rule=rule))
    assert found.covered == 4


def test_smaller_systems_are_left_out_on_request() -> None:
    assert coverage("Li-P-S", KNOWN, fewest_elements=3).covered == 1


def test_knowing_everything_covers_everything() -> None:
    everything = formulas("Li-Fe-P-O", atoms=10)
    found = coverage("Li-Fe-P-O", everything, atoms=10)
    assert found.share == 1.0
    assert found.uncovered == ()


def test_knowing_nothing_covers_nothing() -> None:
    found = coverage("Na-Cl", Compositions.from_dicts([]), atoms=3)
    assert (found.possible, found.covered) == (5, 0)


def test_amounts_of_trailing_elements_do_not_blur() -> None:
    found = coverage("Li-P-S", Compositions.parse(["Li"]), atoms=2)
    assert found.uncovered == ("P", "S", "LiP", "LiS", "PS")


def test_only_the_first_thousand_uncovered_formulas_are_kept() -> None:
    found = coverage("Li-Fe-P-O", Compositions.from_dicts([]), atoms=12)
    assert len(found.uncovered) == 1000
    assert found.possible == 1537


@pytest.mark.parametrize("rule", [None, AnyFormula(), RelaxedBalance()])
def test_a_set_of_elements_is_counted_like_its_systems(
    rule: AnyFormula | RelaxedBalance | None,
) -> None:
    elements = (3, 8, 9, 15, 26)
    known = formulas("Li-P-O", atoms=5)
    found = coverage_of_elements(elements, known, most_elements=2, atoms=6, rule=rule)
    possible = covered = 0
    have = set(known.formulas())
    for kinds in (1, 2):
        for chosen in itertools.combinations(elements, kinds):
            system = "-".join(SYMBOLS[z] for z in chosen)
            listed = formulas(system, atoms=6, rule=rule, fewest_elements=kinds).formulas()
            possible += len(listed)
            covered += len(have & set(listed))
    assert (found.possible, found.covered) == (possible, covered)


def test_the_order_of_the_elements_does_not_matter() -> None:
    found = coverage_of_elements((16, 3, 15, 3), KNOWN, most_elements=3)
    assert (found.possible, found.covered) == (334, 4)


def test_the_periodic_table_is_counted_without_a_list() -> None:
    found = coverage_of_elements(tuple(range(1, 95)), KNOWN, most_elements=4, atoms=20)
    assert found.possible == 14_219_842_198
    assert found.covered == 6


def test_the_strict_rule_cannot_be_counted_without_a_list() -> None:
    with pytest.raises(InputError, match="StrictBalance cannot be counted"):
        coverage_of_elements((3, 8), KNOWN, most_elements=2, rule=StrictBalance())  # type: ignore[arg-type]


def test_coverage_shows_itself_in_words() -> None:
    lines = str(coverage("Na-Cl", Compositions.parse(["NaCl"]), atoms=2)).splitlines()
    assert lines == [
        "1 of 3 formulas up to 2 atoms have a crystal (33.333%)",
        "1 element: 0 of 2",
        "2 elements: 1 of 1",
    ]


def test_the_share_of_nothing_is_not_a_number() -> None:
    assert np.isnan(Coverage({}, 12).share)


@pytest.mark.parametrize("elements", [(), (0, 3), (3, 200)])
def test_numbers_that_are_no_elements_are_refused(elements: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="atomic numbers"):
        coverage_of_elements(elements, KNOWN, most_elements=1)
