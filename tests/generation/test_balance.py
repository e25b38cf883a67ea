"""The balance rules against brute force over every choice of oxidation states."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.compositions import Compositions
from materialabs.elements import IS_METAL, SYMBOLS, atomic_number
from materialabs.errors import InputError
from materialabs.generation import balance_kernels
from materialabs.generation.balance import (
    METALLIC_STATES,
    OBSERVED_STATES,
    AnyFormula,
    FormulaRule,
    RelaxedBalance,
    StateTable,
    StrictBalance,
    _flat_states,
    state_limits,
)

MOST_FLEXIBLE = 2
"""Elements that may lie between listed states (Merchant et al. 2023)."""

amounts = st.dictionaries(st.integers(1, 94), st.integers(1, 12), min_size=1, max_size=5)


def passes(rule: FormulaRule, formula: str) -> bool:
    return bool(rule(Compositions.parse([formula]))[0])


def strict_by_brute_force(row: dict[int, int], states: StateTable) -> bool:
    choices = itertools.product(*(states[number] for number in row))
    balanced = (sum(n * q for n, q in zip(row.values(), qs, strict=True)) == 0 for qs in choices)
    return len(row) == 1 or any(balanced)


def relaxed_by_brute_force(row: dict[int, int], states: StateTable, flexible: int) -> bool:
    """The rule as it is worded: some elements between two consecutive states, the rest listed."""
    if len(row) == 1:
        return True
    numbers = list(row)
    for free in itertools.combinations(numbers, min(flexible, len(numbers))):
        ranges = []
        for number in numbers:
            listed = [(q, q) for q in states[number]]
            between = list(itertools.pairwise(states[number])) if number in free else []
            ranges.append(listed + between)
        for choice in itertools.product(*ranges):
            low = sum(row[z] * Fraction(q[0]) for z, q in zip(numbers, choice, strict=True))
            high = sum(row[z] * Fraction(q[1]) for z, q in zip(numbers, choice, strict=True))
            if low <= 0 <= high:
                return True
    return False


@given(amounts)
def test_strict_balance_agrees_with_brute_force(row: dict[int, int]) -> None:
    found = StrictBalance()(Compositions.from_dicts([row]))[0]
    assert found == strict_by_brute_force(row, OBSERVED_STATES)


@given(amounts.filter(lambda row: len(row) <= 4))
def test_relaxed_balance_agrees_with_brute_force(row: dict[int, int]) -> None:
    found = RelaxedBalance()(Compositions.from_dicts([row]))[0]
    assert found == relaxed_by_brute_force(row, METALLIC_STATES, MOST_FLEXIBLE)


@given(amounts.filter(lambda row: len(row) <= 3), st.integers(1, 3))
def test_one_element_between_states_is_as_free_as_several(
    row: dict[int, int], flexible: int
) -> None:
    found = relaxed_by_brute_force(row, METALLIC_STATES, flexible)
    assert found == relaxed_by_brute_force(row, METALLIC_STATES, 1)


@given(amounts)
def test_with_zero_listed_for_every_element_nothing_is_refused(row: dict[int, int]) -> None:
    everywhere = tuple(tuple(sorted({0, *states})) for states in METALLIC_STATES)
    assert RelaxedBalance(everywhere)(Compositions.from_dicts([row])).all()


@given(amounts)
def test_what_is_strictly_balanced_is_balanced_in_the_relaxed_sense(row: dict[int, int]) -> None:
    compositions = Compositions.from_dicts([row])
    assert StrictBalance()(compositions)[0] <= RelaxedBalance()(compositions)[0]


@given(amounts, st.integers(2, 7))
def test_the_number_of_formula_units_changes_nothing(row: dict[int, int], units: int) -> None:
    both = Compositions.from_dicts([row, {z: n * units for z, n in row.items()}])
    for rule in (StrictBalance(), RelaxedBalance()):
        assert len(set(rule(both).tolist())) == 1


@pytest.mark.parametrize("formula", ["Li15Si4", "NaCl", "Fe3O4", "Li2O2", "MgB2", "Cu5Zn8", "Na5O"])
def test_relaxed_balance_lets_through(formula: str) -> None:
    assert passes(RelaxedBalance(), formula)


@pytest.mark.parametrize("formula", ["LiO10", "NaF3", "HeO", "NeF2", "Al2O9"])
def test_relaxed_balance_refuses(formula: str) -> None:
    assert not passes(RelaxedBalance(), formula)


@pytest.mark.parametrize("formula", ["NaCl", "Al2O3", "BaTiO3", "Cu2O", "Li3PS4", "BaO2", "Fe"])
def test_strict_balance_lets_through(formula: str) -> None:
    assert passes(StrictBalance(), formula)


@pytest.mark.parametrize("formula", ["Li15Si4", "NaCl2", "Fe3O4", "Cu5Zn8", "Ni3Al"])
def test_strict_balance_refuses(formula: str) -> None:
    assert not passes(StrictBalance(), formula)


def test_alloys_pass_the_relaxed_rule() -> None:
    metals = [number for number in range(1, 95) if IS_METAL[number]]
    pairs = [{a: 3, b: 5} for a, b in itertools.combinations(metals, 2)]
    assert RelaxedBalance()(Compositions.from_dicts(pairs)).all()


def test_any_formula_lets_everything_through() -> None:
    assert AnyFormula()(Compositions.parse(["LiO10", "HeO"])).all()


def test_fractional_amounts_are_balanced_too() -> None:
    assert passes(StrictBalance(), "Li0.9Na0.1Cl")
    assert not passes(StrictBalance(), "Li0.9Cl")


@pytest.mark.parametrize("rule", [AnyFormula(), StrictBalance(), RelaxedBalance()])
def test_rules_answer_for_no_compositions(rule: FormulaRule) -> None:
    assert isinstance(rule, FormulaRule)
    assert rule(Compositions.from_dicts([])).shape == (0,)


@pytest.mark.parametrize("rule", [StrictBalance, RelaxedBalance])
def test_a_table_of_the_wrong_length_is_refused(rule: type) -> None:
    with pytest.raises(InputError, match="119"):
        rule(((1,), (2,)))


def test_an_element_without_listed_states_balances_with_nothing() -> None:
    bare = tuple(() if SYMBOLS[n] == "Na" else row for n, row in enumerate(OBSERVED_STATES))
    for rule in (StrictBalance(bare), RelaxedBalance(bare)):
        assert not passes(rule, "NaCl")


def test_state_limits_enclose_the_listed_states() -> None:
    lowest, highest = state_limits(METALLIC_STATES)
    iron = atomic_number("Fe")
    assert (lowest[iron], highest[iron]) == (0, 3)


def test_the_kernel_written_in_python_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Compositions.parse(["NaCl", "NaCl2", "BaTiO3", "Fe3O4", "Li3PS4"])
    values, starts = _flat_states(OBSERVED_STATES)
    monkeypatch.setattr(balance_kernels, "_reaches_zero", balance_kernels._reaches_zero.py_func)
    found = balance_kernels.balanced.py_func(
        batch.elements.astype(np.int64), batch.amounts, batch.offsets, values, starts, 1e-6
    )
    assert found.tolist() == StrictBalance()(batch).tolist()


def test_the_kernel_finds_nothing_in_an_empty_composition() -> None:
    values, starts = _flat_states(OBSERVED_STATES)
    none = np.zeros(0, dtype=np.int64)
    assert not balance_kernels._reaches_zero.py_func(none, np.zeros(0), values, starts, 1e-6)


def test_the_relaxed_rule_keeps_nearly_all_known_compounds(data_folder: Path) -> None:
    rows: set[tuple[tuple[int, int], ...]] = set()
    with gzip.open(data_folder / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        for line in itertools.islice(lines, 10_000):
            counts = Counter(json.loads(line)["species"])
            rows.add(tuple((atomic_number(symbol), n) for symbol, n in counts.items()))
    known = Compositions.from_dicts([dict(row) for row in sorted(rows)])
    assert RelaxedBalance()(known).mean() > 0.99
    assert 0.5 < StrictBalance()(known).mean() < 0.8
