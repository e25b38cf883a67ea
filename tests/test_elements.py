"""The element tables against pymatgen, ASE and textbook values."""

from __future__ import annotations

import json
import time
import warnings
from importlib import resources

import ase.data
import numpy as np
import pytest
from pymatgen.core import Element, Species

from materialabs import elements
from materialabs.elements import (
    ATOMIC_MASS,
    ATOMIC_RADIUS,
    BLOCK,
    COMMON_OXIDATION_STATES,
    COVALENT_RADIUS,
    GROUP,
    HAZARD_LISTS,
    ICSD_OXIDATION_STATES,
    IS_METAL,
    IS_RADIOACTIVE,
    MENDELEEV_NUMBER,
    OXIDATION_STATES,
    PERIOD,
    PRICE,
    SYMBOLS,
    VALENCE_D,
    VALENCE_ELECTRONS,
    VALENCE_F,
    VALENCE_P,
    VALENCE_S,
    atomic_number,
    describe,
    ion_radii,
    ion_radius,
    ion_radius_table,
)
from materialabs.errors import FormulaError, NotFound

ARRAYS = [
    name
    for name, value in vars(elements).items()
    if name.isupper() and isinstance(value, np.ndarray)
]


def z(symbol: str) -> int:
    return SYMBOLS.index(symbol)


@pytest.mark.parametrize("name", ARRAYS)
def test_every_table_has_119_rows_with_an_empty_first_one(name: str) -> None:
    table = getattr(elements, name)
    assert table.shape == (119,)
    assert not table[0] if table.dtype == bool else np.isnan(table[0])


@pytest.mark.parametrize("name", ARRAYS)
def test_tables_cannot_be_written_to(name: str) -> None:
    with pytest.raises(ValueError, match="read-only"):
        getattr(elements, name)[1] = 0


@pytest.mark.parametrize("name", ARRAYS)
def test_every_table_states_its_source(name: str) -> None:
    assert len(describe(name).source) > 20


@pytest.mark.parametrize("name", [n for n in ARRAYS if not n.startswith("IS_")])
def test_tables_are_full_for_the_common_metals(name: str) -> None:
    table = getattr(elements, name)
    assert np.isfinite(table[[z("Fe"), z("Cu"), z("Al")]]).all()


def test_symbols_are_those_of_ase() -> None:
    assert SYMBOLS[1:] == tuple(ase.data.chemical_symbols[1:119])


def test_masses_agree_with_ase() -> None:
    stable = [number for number in range(1, 93) if not IS_RADIOACTIVE[number]]
    assert ATOMIC_MASS[stable] == pytest.approx(ase.data.atomic_masses[stable], rel=2e-3)


def test_covalent_radii_agree_with_ase() -> None:
    assert COVALENT_RADIUS[1:97] == pytest.approx(ase.data.covalent_radii[1:97])


def test_covalent_radii_that_were_never_measured_are_missing() -> None:
    assert np.isnan(COVALENT_RADIUS[97:]).all()


def test_electrons_by_shell_add_up_with_the_noble_gas_core() -> None:
    cores = np.array([0, 2, 10, 18, 36, 54, 86])
    for number in range(1, 105):
        core = cores[cores < number].max()
        shells = (table[number] for table in (VALENCE_S, VALENCE_P, VALENCE_D, VALENCE_F))
        assert sum(shells) == number - core


@pytest.mark.parametrize(
    ("symbol", "electrons"),
    [("H", 1), ("C", 4), ("Ti", 4), ("Fe", 8), ("Zn", 12), ("Ga", 3), ("Hf", 4), ("Pb", 4),
     ("La", 3), ("Eu", 9), ("Lu", 3), ("Rn", 8)],
)  # fmt: skip
def test_valence_electrons_are_those_of_the_textbook(symbol: str, electrons: int) -> None:
    assert VALENCE_ELECTRONS[z(symbol)] == electrons


def test_valence_electrons_of_main_group_elements_follow_from_the_group() -> None:
    for number in range(1, 88):
        if BLOCK[number] in "sp" and number != 2:
            group = GROUP[number]
            assert VALENCE_ELECTRONS[number] == (group if group < 3 else group - 10)


def test_groups_and_rows_agree_with_pymatgen() -> None:
    for number in range(1, 119):
        element = Element.from_Z(number)
        assert GROUP[number] == element.group
        assert PERIOD[number] == element.row


def test_helium_is_an_s_element() -> None:
    assert BLOCK[2] == "s"


def test_mendeleev_numbers_order_the_elements_without_ties() -> None:
    known = MENDELEEV_NUMBER[np.isfinite(MENDELEEV_NUMBER)]
    assert sorted(known) == list(range(1, 104))


def test_common_oxidation_states_agree_with_pymatgen() -> None:
    for number in range(1, 119):
        assert set(COMMON_OXIDATION_STATES[number]) == set(
            Element.from_Z(number).common_oxidation_states
        )


def test_icsd_oxidation_states_agree_with_pymatgen() -> None:
    for number in range(1, 119):
        expected = set(Element.from_Z(number).icsd_oxidation_states)
        assert set(ICSD_OXIDATION_STATES[number]) == expected


def test_oxidation_states_rise() -> None:
    for table in (COMMON_OXIDATION_STATES, OXIDATION_STATES, ICSD_OXIDATION_STATES):
        assert all(list(row) == sorted(set(row)) for row in table)


def test_metals_are_those_of_pymatgen() -> None:
    assert [bool(IS_METAL[n]) for n in range(1, 119)] == [
        Element.from_Z(n).is_metal for n in range(1, 119)
    ]


def test_radioactive_elements_are_those_without_a_stable_isotope() -> None:
    assert [SYMBOLS[n] for n in np.flatnonzero(IS_RADIOACTIVE)[:4]] == ["Tc", "Pm", "Po", "At"]
    assert IS_RADIOACTIVE[84:].all()


def test_gold_costs_more_than_silver_and_silver_more_than_iron() -> None:
    assert PRICE[z("Au")] > PRICE[z("Ag")] > PRICE[z("Fe")]


def test_the_price_of_neptunium_is_not_given_to_neon() -> None:
    assert np.isnan(PRICE[z("Ne")])
    assert PRICE[z("Np")] > 1e5


def test_hazard_lists_name_elements_and_sources() -> None:
    for entry in HAZARD_LISTS.values():
        assert all(symbol in SYMBOLS for symbol in entry.symbols)
        assert len(entry.source) > 20


def test_rohs_restricts_cadmium_lead_and_mercury() -> None:
    assert set(HAZARD_LISTS["RoHS"].symbols) == {"Cd", "Hg", "Pb"}


@pytest.mark.parametrize(
    ("symbol", "charge", "coordination", "radius"),
    [("Li", 1, 4, 0.59), ("Na", 1, 6, 1.02), ("O", -2, 6, 1.40), ("Ti", 4, 6, 0.605),
     ("Fe", 2, 6, 0.78), ("Fe", 3, 6, 0.645), ("La", 3, 12, 1.36), ("Cl", -1, 6, 1.81)],
)  # fmt: skip
def test_ion_radii_are_those_printed_by_shannon(
    symbol: str, charge: int, coordination: int, radius: float
) -> None:
    assert ion_radius(symbol, charge, coordination) == pytest.approx(radius)


def test_ion_radii_agree_with_pymatgen_for_every_ion_without_a_choice_of_spin() -> None:
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1, 97):
            for charge in range(-3, 9):
                try:
                    expected = Species(SYMBOLS[number], charge).get_shannon_radius("VI")
                except (KeyError, ValueError):
                    continue
                found = ion_radius(SYMBOLS[number], charge)
                spins = Element.from_Z(number).data["Shannon radii"][str(charge)]["VI"]
                if len(spins) == 1:
                    assert found == pytest.approx(expected)
                    compared += 1
    assert compared > 150


def test_high_spin_counts_where_both_are_given() -> None:
    assert ion_radius("Co", 3) == pytest.approx(0.61)


def test_an_unknown_charge_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"no ion radius for Na \+3; known charges are \+1"):
        ion_radius("Na", 3)


def test_an_unknown_coordination_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match="known are 4, 6, 8"):
        ion_radius("Li", 1, 3)


def test_an_element_without_ions_says_so() -> None:
    with pytest.raises(NotFound, match="known charges are none"):
        ion_radius("He", 1)


def test_the_table_of_ion_radii_holds_six_coordinate_radii() -> None:
    assert ion_radius_table()[z("O"), -2 + 3] == pytest.approx(1.40)


def test_the_table_of_ion_radii_takes_the_nearest_coordination_else() -> None:
    assert ion_radius_table()[z("P"), 5 + 3] == pytest.approx(0.38)
    assert ion_radius_table()[z("S"), 6 + 3] == pytest.approx(0.29)


def test_many_ion_radii_come_at_once() -> None:
    found = ion_radii([3, 8, 8, 3, 3], [1, -2, 0.5, 99, np.nan])
    assert found == pytest.approx([0.76, 1.40, np.nan, np.nan, np.nan], nan_ok=True)


def test_deuterium_and_tritium_are_hydrogen() -> None:
    assert atomic_number("D") == atomic_number("T") == 1


def test_an_unknown_symbol_is_refused_by_name() -> None:
    with pytest.raises(FormulaError, match="'Xx' is not the symbol of an element"):
        atomic_number("Xx")


def test_an_unknown_table_names_those_there_are() -> None:
    with pytest.raises(NotFound, match="ATOMIC_MASS"):
        describe("COLOUR")


def test_empirical_radii_are_those_of_slater() -> None:
    assert ATOMIC_RADIUS[z("Cs")] == pytest.approx(2.60)


def test_the_data_file_is_small_and_quick_to_read() -> None:
    text = resources.files("materialabs").joinpath("elements.json").read_text()
    begin = time.perf_counter()
    json.loads(text)
    assert time.perf_counter() - begin < 0.1
    assert len(text) < 300_000
