"""The list of formulas against an independent enumeration, and its counts against the list."""

from __future__ import annotations

import itertools
from math import comb, gcd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_system
from materialabs.elements import SYMBOLS
from materialabs.errors import FormulaError, InputError, ResourceError
from materialabs.generation import formula_kernels
from materialabs.generation.balance import METALLIC_STATES, RelaxedBalance, StrictBalance
from materialabs.generation.formulas import (
    CHUNK,
    _moebius,
    count_formulas,
    count_relaxed,
    formulas,
    stream_formulas,
)

SYSTEMS = ["Li", "Na-Cl", "Li-P-S", "Li-Fe-P-O"]


def by_brute_force(system: str, atoms: int) -> list[dict[int, int]]:
    elements = parse_system(system)
    return [
        {z: n for z, n in zip(elements, counts, strict=True) if n}
        for counts in itertools.product(range(atoms + 1), repeat=len(elements))
        if 0 < sum(counts) <= atoms and gcd(*counts) == 1
    ]


def as_set(rows: Compositions | list[dict[int, int]]) -> set[tuple[tuple[int, float], ...]]:
    return {tuple(sorted((int(z), float(n)) for z, n in row.items())) for row in rows}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("atoms", [1, 2, 7, 12])
def test_formulas_are_those_of_brute_force(system: str, atoms: int) -> None:
    assert as_set(formulas(system, atoms=atoms)) == as_set(by_brute_force(system, atoms))


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_formula_is_listed_twice(system: str) -> None:
    found = formulas(system, atoms=10)
    assert len(as_set(found)) == len(found)


def test_the_order_is_by_atoms_then_by_the_lightest_elements() -> None:
    found = formulas("Li-P-S", atoms=3).formulas()
    expected = [
        "Li",
        "P",
        "S",
        "LiP",
        "LiS",
        "PS",
        "Li2P",
        "Li2S",
        "LiP2",
        "LiPS",
        "LiS2",
        "P2S",
        "PS2",
    ]
    assert found == expected


def test_all_formulas_are_reduced() -> None:
    found = formulas("Li-Fe-P-O", atoms=12)
    assert np.array_equal(found.reduced().amounts, found.amounts)


def test_a_rule_keeps_the_order_and_drops_the_rest() -> None:
    rule = StrictBalance()
    found = formulas("Li-P-S", rule=rule)
    everything = formulas("Li-P-S")
    assert found.formulas() == everything[rule(everything)].formulas()


def test_known_compounds_of_a_system_are_listed() -> None:
    found = set(formulas("Li-P-S", rule=StrictBalance()).reduced_formulas())
    assert {"Li2S", "Li3P", "P2S5", "Li3PS4", "LiPS3"} <= found


def test_smaller_systems_are_left_out_on_request() -> None:
    found = formulas("Li-P-S", fewest_elements=3)
    assert set(np.diff(found.offsets)) == {3}


def test_the_stream_gives_what_the_list_gives() -> None:
    found = formulas("Li-Fe-P-O-F", atoms=28)
    parts = list(stream_formulas("Li-Fe-P-O-F", atoms=28))
    assert len(parts) > 1
    assert max(len(part) for part in parts) == CHUNK
    assert np.array_equal(Compositions.concat(parts).amounts, found.amounts)


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 5))
def test_the_count_is_the_length_of_the_list(kinds: int, atoms: int, fewest: int) -> None:
    system = "-".join(["Li", "Fe", "P", "O", "F"][:kinds])
    found = formulas(system, atoms=atoms, fewest_elements=fewest)
    assert count_formulas(kinds, atoms=atoms, fewest_elements=fewest) == len(found)


def test_the_count_of_binary_formulas_is_that_of_coprime_pairs() -> None:
    pairs = sum(gcd(a, b) == 1 for a in range(1, 30) for b in range(1, 30) if a + b <= 30)
    expected = comb(94, 2) * pairs
    assert count_formulas(94, atoms=30, fewest_elements=2, most_elements=2) == expected


@pytest.mark.parametrize("system", [*SYSTEMS, "H-He-O-F", "Fe-Cu-Zn"])
@pytest.mark.parametrize("fewest", [1, 2, 3])
def test_the_count_of_relaxed_formulas_is_the_length_of_their_list(
    system: str, fewest: int
) -> None:
    found = formulas(system, atoms=13, rule=RelaxedBalance(), fewest_elements=fewest)
    counted = count_relaxed(parse_system(system), atoms=13, fewest_elements=fewest)
    assert counted == len(found)


def test_relaxed_formulas_of_many_elements_are_counted_system_by_system() -> None:
    elements = tuple(range(1, 31))
    listed = 0
    for pair in itertools.combinations(elements, 2):
        system = "-".join(SYMBOLS[z] for z in pair)
        listed += len(formulas(system, atoms=6, rule=RelaxedBalance(), fewest_elements=2))
    assert count_relaxed(elements, atoms=6, fewest_elements=2, most_elements=2) == listed


def test_elements_without_states_cannot_be_counted() -> None:
    bare = ((), (), *METALLIC_STATES[2:])
    with pytest.raises(InputError, match="listed oxidation state"):
        count_relaxed((1, 8), rule=RelaxedBalance(bare))


@pytest.mark.parametrize(
    ("number", "value"), [(1, 1), (2, -1), (4, 0), (6, 1), (12, 0), (30, -1), (49, 0)]
)
def test_the_moebius_function_is_that_of_number_theory(number: int, value: int) -> None:
    assert _moebius(number) == value


def test_too_many_formulas_are_refused_with_advice() -> None:
    with pytest.raises(ResourceError, match="stream_formulas"):
        formulas("Li-Na-K-Rb-Cs-O-S-F", atoms=60)


@pytest.mark.parametrize("atoms", [0, 256])
def test_a_number_of_atoms_out_of_range_is_refused(atoms: int) -> None:
    with pytest.raises(InputError, match="from 1 to 255"):
        formulas("Na-Cl", atoms=atoms)


def test_a_formula_without_elements_is_refused() -> None:
    with pytest.raises(InputError, match="at least one element"):
        formulas("Na-Cl", fewest_elements=0)


def test_an_unknown_element_is_named() -> None:
    with pytest.raises(FormulaError, match="'Xx'"):
        formulas("Li-Xx")


def test_a_system_that_asks_for_more_elements_than_it_has_is_empty() -> None:
    assert len(formulas("Na-Cl", fewest_elements=3)) == 0


def test_the_kernel_written_in_python_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_common_divisor", "_advance"):
        monkeypatch.setattr(formula_kernels, name, getattr(formula_kernels, name).py_func)
    state = np.array([1, 0, 0, 1])
    out = np.zeros((334, 3), dtype=np.uint8)
    assert formula_kernels.fill_amounts.py_func(state, 12, 1, out) == 334
    assert np.array_equal(out, formulas("Li-P-S").dense([3, 15, 16]))
