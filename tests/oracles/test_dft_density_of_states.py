from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from dft_programs import PotentialEngine
from gpaw_here import gpaw_python

from materialabs.crystals.batch import Crystals
from materialabs.errors import ExternalError, InputError
from materialabs.levels import Level
from materialabs.oracles.dft_density_of_states import DensityOfStates, density_of_states
from materialabs.oracles.dft_oracle import DftOracle
from materialabs.oracles.dft_settings import DftSettings
from materialabs.oracles.gpaw_oracle import gpaw_oracle

QUICK = DftSettings(cutoff=250.0, kpoint_density=2.0)


def test_states_are_summed_over_spins_and_counted_below_an_energy() -> None:
    energies = np.linspace(-2, 2, 401)
    flat = DensityOfStates(energies, np.ones((2, 401)), 3.0, 4.0, Level("PBE"))
    assert flat.at_fermi == 2.0
    assert flat.states_below() == pytest.approx(4.0)
    assert flat.states_below(1.0) == pytest.approx(6.0)


def test_a_program_without_a_density_of_states_is_refused() -> None:
    oracle = DftOracle(DftSettings(), lambda _: PotentialEngine(EMT()), ["Al"])
    with pytest.raises(ExternalError, match="make the oracle with GPAW"):
        density_of_states(oracle, Crystals.from_ase(bulk("Al")))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"window": (2, -2)}, "lower to a higher"), ({"points": 1}, "energies"),
     ({"points": 10**9}, "energies")],
)  # fmt: skip
def test_windows_that_mean_nothing_are_refused(wrong: dict[str, object], said: str) -> None:
    oracle = DftOracle(DftSettings(), lambda _: PotentialEngine(EMT()), ["Al"])
    with pytest.raises(InputError, match=said):
        density_of_states(oracle, Crystals.from_ase(bulk("Al")), **wrong)  # type: ignore[arg-type]


def test_one_crystal_of_the_system_is_asked_for() -> None:
    oracle = DftOracle(DftSettings(), lambda _: PotentialEngine(EMT()), ["Al"])
    with pytest.raises(InputError, match="One crystal"):
        density_of_states(oracle, Crystals.from_ase([bulk("Al"), bulk("Al")]))
    with pytest.raises(InputError, match="holds Cu"):
        density_of_states(oracle, Crystals.from_ase(bulk("Cu")))


@pytest.mark.slow
def test_silicon_has_a_gap_and_holds_its_electrons_below_it(tmp_path: Path) -> None:
    """Eight valence electrons a primitive cell; PBE's gap is 0.6 eV."""
    with gpaw_oracle("Si", settings=QUICK, interpreter=gpaw_python(), logs=tmp_path) as oracle:
        found = density_of_states(
            oracle, Crystals.from_ase(bulk("Si", a=5.47, cubic=True)), kpoint_density=4.0,
            window=(-14.0, 4.0),
        )  # fmt: skip
    assert found.electrons == 32
    gap = found.energies[(found.total < 1e-3) & (np.abs(found.energies) < 1)]
    assert 0.4 < np.ptp(gap) < 0.8
    assert found.states_below(float(gap.mean())) == pytest.approx(32, rel=0.01)


@pytest.mark.full
def test_palladium_has_the_density_of_states_of_tetrahedra_at_the_fermi_energy(
    tmp_path: Path,
) -> None:
    """2.3 states/eV an atom from LAPW (Mueller et al., Phys. Rev. B 1, 4617, 1970: 2.28)."""
    with gpaw_oracle("Pd", interpreter=gpaw_python(), logs=tmp_path) as oracle:
        found = density_of_states(
            oracle, Crystals.from_ase(bulk("Pd", a=3.94)), kpoint_density=10.0
        )
    assert found.at_fermi == pytest.approx(2.1, abs=0.4)
