from __future__ import annotations

import numpy as np
import pytest
from ase.data import chemical_symbols, ground_state_magnetic_moments

from materialabs.elements import atomic_number
from materialabs.oracles.dft_elements import (
    HIGH_SPIN_MOMENTS,
    WITH_DATASET,
    doubts,
    has_odd_electrons,
    has_open_shell,
    high_spin_moment,
)


def test_gpaw_data_covers_83_elements() -> None:
    assert len(WITH_DATASET) == 83
    assert "Tc" not in WITH_DATASET


@pytest.mark.parametrize(
    ("symbol", "moment"), [("Mn", 5), ("Fe", 4), ("Co", 3), ("Ni", 2), ("Gd", 8), ("Sc", 1)]
)
def test_start_moments_are_hunds(symbol: str, moment: float) -> None:
    assert HIGH_SPIN_MOMENTS[symbol] == moment


def test_start_moments_of_3d_metals_are_those_of_their_free_atoms_without_s_electrons() -> None:
    for symbol in ("Sc", "Ti", "V", "Mn", "Fe", "Co", "Ni"):
        atom = ground_state_magnetic_moments[chemical_symbols.index(symbol)]
        assert high_spin_moment(atomic_number(symbol)) == atom


@pytest.mark.parametrize("symbol", ["Mg", "Si", "O", "Zn", "Cd", "Ga", "Pb"])
def test_main_group_and_group_12_have_no_open_shell(symbol: str) -> None:
    assert not has_open_shell(atomic_number(symbol))
    assert high_spin_moment(atomic_number(symbol)) == 0


def test_every_open_shell_starts_with_a_moment() -> None:
    for number in map(atomic_number, WITH_DATASET):
        assert (high_spin_moment(number) > 0) == has_open_shell(number)


@pytest.mark.parametrize(
    ("symbols", "said"),
    [("Ce O", "f electrons of Ce"), ("Fe O", "oxides and fluorides of Fe"), ("Ni F", "Ni")],
)
def test_what_pbe_gets_wrong_is_said(symbols: str, said: str) -> None:
    (reason,) = doubts(atomic_number(symbol) for symbol in symbols.split())
    assert said in reason


@pytest.mark.parametrize("symbols", ["Mg O", "Fe Al", "Ni S", "Cu"])
def test_nothing_is_said_where_pbe_is_usual(symbols: str) -> None:
    assert doubts(atomic_number(symbol) for symbol in symbols.split()) == ()


def test_electrons_are_counted_for_the_cell() -> None:
    assert has_odd_electrons(np.array([11], np.uint8))
    assert not has_odd_electrons(np.array([11] * 30, np.uint8))
