from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import kpts2mp
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import FormulaError, InputError, NotFound
from materialabs.oracles.dft_settings import DftSettings, kpoint_mesh, system_symbols


def test_the_hardest_element_sets_the_cutoff() -> None:
    assert DftSettings.of("Ga-As").cutoff == 400
    assert DftSettings.of("Mg-Si").cutoff == 500
    assert DftSettings.of("Mg-O").cutoff == 600


@pytest.mark.parametrize("system", ["Li-N", "Na-F", "Si-O"])
def test_nitrogen_oxygen_and_fluorine_need_600_ev(system: str) -> None:
    assert DftSettings.of(system).cutoff >= 600


def test_element_and_compound_of_one_system_have_one_level() -> None:
    settings = DftSettings.of("Mg-Si")
    assert settings == DftSettings.of(["Si", "Mg"])
    assert settings.level("GPAW", "25.7.0") == DftSettings.of("Si-Mg").level("GPAW", "25.7.0")


def test_other_settings_are_another_level() -> None:
    first, second = DftSettings(cutoff=400), DftSettings(cutoff=500)
    assert first.hash != second.hash
    assert first.level("GPAW", "1") != second.level("GPAW", "1")


def test_fitted_oxygen_is_named_in_the_level() -> None:
    settings = DftSettings.of("Mg-O")
    corrected = settings.with_fitted_oxygen()
    assert corrected.hash == settings.hash
    assert corrected.level("GPAW", "1").correction == "O2 fitted"
    assert corrected.level("GPAW", "1") != settings.level("GPAW", "1")


@pytest.mark.parametrize(
    ("system", "missing"), [("Mg-Tc", "Tc"), ("O-U", "U"), ("Po-Pu", "Po, Pu")]
)
def test_elements_without_a_dataset_are_refused_by_name(system: str, missing: str) -> None:
    with pytest.raises(NotFound, match=f"no PBE dataset for {missing}:"):
        DftSettings.of(system)


def test_an_unknown_element_is_a_formula_error() -> None:
    with pytest.raises(FormulaError):
        system_symbols("Mg-Xx")


@pytest.mark.parametrize("wrong", [{"cutoff": 0}, {"smearing": -0.1}, {"kpoint_density": np.nan}])
def test_settings_below_zero_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="above zero"):
        DftSettings(**wrong)


def test_a_functional_that_would_not_be_used_is_refused() -> None:
    with pytest.raises(InputError, match="done with PBE"):
        DftSettings(functional="RPBE")


def test_an_unknown_correction_is_refused() -> None:
    with pytest.raises(InputError, match="O2 fitted"):
        DftSettings(correction="all well")


@given(st.sampled_from(["Cu", "Mg", "Si", "Fe"]), st.floats(0.5, 6.0))
def test_the_mesh_is_that_of_ase_at_the_same_density(symbol: str, density: float) -> None:
    atoms = bulk(symbol)
    ours = kpoint_mesh(atoms.cell.array, density)
    theirs = kpts2mp(atoms, density, even=False)
    assert np.abs(np.array(ours) - theirs).max() <= 1
    lengths = 2 * np.pi * atoms.cell.reciprocal().lengths()
    assert (np.array(ours) / lengths >= density * (1 - 1e-9)).all()
    assert ((np.array(ours) - 1) / lengths < density).all()
