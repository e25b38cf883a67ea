from __future__ import annotations

import numpy as np
import pytest
from hull_systems import formation, peer_entries, random_system, total

from materialabs.errors import InputError
from materialabs.hull.air import air_stability
from materialabs.hull.gas import gas_correction
from materialabs.hull.hull import Hull
from materialabs.hull.reactions import interface_reactions, reaction_energy


def sulfides() -> Hull:
    return Hull(
        ["Li2S", "P2S5", "Li3PS4", "Li3P"], formation([-1.5, -0.8, -1.25, -0.9]), ids=list("abcd")
    )


@pytest.mark.parametrize("pair", [(0, 1), (2, 9), (5, 14), (3, 30)])
def test_kinks_and_energies_equal_pymatgens(pair: tuple[int, int]) -> None:
    from pymatgen.analysis.interface_reactions import InterfacialReactivity
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    compositions, energies = random_system(4, 60, 11)
    peers = peer_entries(compositions, energies)
    first, second = (peers[row].composition for row in pair)
    theirs = InterfacialReactivity(
        first, second, PhaseDiagram(peers), norm=True, use_hull_energy=False
    ).get_kinks()
    ours = interface_reactions(
        Hull(compositions, energies), compositions[pair[0]], compositions[pair[1]]
    )
    expected = sorted((kink[1], kink[2]) for kink in theirs)
    assert ours.mixing == pytest.approx([mixing for mixing, _ in expected], abs=1e-6)
    assert ours.energies == pytest.approx([energy for _, energy in expected], abs=1e-7)


def test_lithium_reduces_a_sulfide_to_the_end() -> None:
    found = interface_reactions(sulfides(), "Li3PS4", "Li")
    assert found.reactions()[found.strongest] == "Li3PS4 + 8 Li → 4 Li2S + Li3P"
    assert "Li3PS4 + 8 Li" in repr(found)


def test_the_strongest_reaction_has_the_energy_of_its_balance() -> None:
    energy = (4 * 3 * -1.5 + 4 * -0.9 - 8 * -1.25) / 16
    assert reaction_energy(sulfides(), "Li3PS4", "Li") == pytest.approx(energy)


def test_phases_in_equilibrium_do_not_react() -> None:
    assert reaction_energy(sulfides(), "Li2S", "Li3PS4") == pytest.approx(0.0, abs=1e-9)


def test_a_phase_does_not_react_with_itself() -> None:
    assert interface_reactions(sulfides(), "Li2S", "Li4S2").mixing.tolist() == [0.0, 1.0]


def test_energies_of_the_reactants_may_be_given() -> None:
    given_energies = formation([-1.0, 0.0])
    plain = reaction_energy(sulfides(), "Li3PS4", "Li")
    raised = reaction_energy(sulfides(), "Li3PS4", "Li", given_energies)
    assert raised < plain


def test_a_reactant_without_entry_takes_the_energy_of_the_hull() -> None:
    found = interface_reactions(sulfides(), "LiPS3", "Li2S")
    assert found.energies[-1] == 0.0


def test_three_reactants_are_refused() -> None:
    with pytest.raises(InputError, match="two compositions"):
        interface_reactions(sulfides(), ["Li", "Li2S"], "P2S5")


def test_air_stability_of_formation_energies_starts_from_the_element() -> None:
    hull = Hull(["Fe2O3", "FeO"], formation([-1.7, -1.4]))
    found = air_stability(hull, ["FeO", "Fe2O3"], formation([-1.4, -1.7]))
    assert found.oxygen_potential == pytest.approx(gas_correction("O", 300.0, 21_200.0))
    grand = [(2 * -1.4 - found.oxygen_potential), (5 * -1.7 - 3 * found.oxygen_potential) / 2]
    assert found.oxygen == pytest.approx([grand[0] - grand[1], 0.0])
    assert np.isnan(found.water).all()
    assert np.isnan(found.carbon_dioxide).all()


def test_lime_takes_up_water_and_carbon_dioxide() -> None:
    hull = Hull(
        ["CaO", "H2O", "CO2", "CaCO3", "CaO2H2"], formation([-3.3, -0.99, -1.36, -2.5, -2.05])
    )
    found = air_stability(hull, "CaO", formation([-3.3]))
    dioxide = (5 * -2.5 - 2 * -3.3 - 3 * -1.36) / 5
    water = (5 * -2.05 - 2 * -3.3 - 3 * -0.99) / 5
    assert found.carbon_dioxide == pytest.approx([dioxide])
    assert found.water == pytest.approx([water])


def test_air_stability_of_total_energies_uses_the_fitted_oxygen() -> None:
    hull = Hull(["Fe", "O2", "FeO"], total([-8.3, -4.95, -8.0]))
    assert air_stability(hull, "FeO", total([-8.0])).oxygen_potential < -4.95


def test_a_gas_without_entry_takes_the_energy_of_the_hull() -> None:
    hull = Hull(["CaO", "CaCO3"], formation([-3.3, -2.5]))
    assert air_stability(hull, "CaO", formation([-3.3])).carbon_dioxide[0] < 0


def test_air_without_oxygen_on_the_hull_is_refused() -> None:
    with pytest.raises(InputError, match="needs oxygen"):
        air_stability(sulfides(), "Li2S", formation([-1.5]))
