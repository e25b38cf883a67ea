"""Published PBE numbers, by real DFT: minutes each on two cores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from gpaw_here import gpaw_python

from materialabs.crystals.batch import Crystals
from materialabs.crystals.references import reference_crystals
from materialabs.oracles.conformance import Tolerances, check_oracle
from materialabs.oracles.dft_oracle import DftLimits
from materialabs.oracles.dft_settings import DftSettings
from materialabs.oracles.gpaw_oracle import gpaw_oracle
from materialabs.oracles.relaxation import Relaxation

Relax = Callable[..., list[Relaxation]]

TWO_AT_A_TIME = DftLimits(processes=2)


@pytest.fixture
def relax(tmp_path: Path) -> Relax:
    def run(system: str, crystals: list[Crystals]) -> list[Relaxation]:
        with gpaw_oracle(
            system, interpreter=gpaw_python(), logs=tmp_path, limits=TWO_AT_A_TIME
        ) as oracle:
            done = oracle.relax(Crystals.concat(crystals))
        assert [one.status for one in done] == ["converged"] * len(done)
        return done

    return run


def cubic_edge(relaxation: Relaxation) -> float:
    """Edge of the cube of a face-centred lattice with one formula in the primitive cell."""
    return float(np.cbrt(4 * relaxation.crystal.volumes[0]))


def formation(compound: Relaxation, elements: dict[str, Relaxation]) -> float:
    """eV/atom, from the fractions of the elements in the compound."""
    symbols = compound.crystal.to_ase()[0].get_chemical_symbols()
    mean = np.mean([elements[symbol].energy for symbol in symbols])
    return compound.energy - float(mean)


def chlorine() -> Crystals:
    atoms = Atoms("Cl2", [[0, 0, 0], [0, 0, 2.0]], cell=[9, 9, 9], pbc=True)
    atoms.center()
    return Crystals.from_ase(atoms)


def magnesium_silicide() -> Crystals:
    atoms = bulk("CaF2", "fluorite", a=6.45)
    atoms.symbols[:] = ["Si", "Mg", "Mg"]
    return Crystals.from_ase(atoms)


@pytest.mark.slow
def test_silicon_has_the_published_pbe_lattice_constant_and_bulk_modulus(relax: Relax) -> None:
    """5.475 angstrom, 89 GPa (Haas, Tran, Blaha, PRB 79, 085104, 2009; PRB 75, 115131, 2007)."""
    (done,) = relax("Si", [Crystals.from_ase(bulk("Si", a=5.40))])
    assert cubic_edge(done) == pytest.approx(5.475, rel=0.005)
    assert done.crystal.columns["bulk_modulus"][0] == pytest.approx(89, rel=0.05)


@pytest.mark.full
def test_copper_has_the_published_pbe_lattice_constant(relax: Relax) -> None:
    """3.632 angstrom (Haas, Tran and Blaha, Phys. Rev. B 79, 085104, 2009)."""
    (done,) = relax("Cu", [Crystals.from_ase(bulk("Cu", a=3.7))])
    assert cubic_edge(done) == pytest.approx(3.632, rel=0.01)
    assert "without spin" in done.crystal.columns["notes"][0]


@pytest.mark.full
def test_magnesia_has_the_published_lattice_constant_and_formation_energy(relax: Relax) -> None:
    """4.26 angstrom (Haas et al. 2009); -2.715 eV/atom, the Alexandria database's PBE number
    without MP2020's correction (-3.059 + 0.687 / 2; Schmidt et al., Adv. Mater. 35, 2210788,
    2023; Wang et al., Sci. Rep. 11, 15496, 2021)."""
    oxide, metal, gas = relax(
        "Mg-O",
        [Crystals.from_ase(bulk("MgO", "rocksalt", a=4.35)), reference_crystals(["Mg", "O"])],
    )
    assert cubic_edge(oxide) == pytest.approx(4.26, rel=0.01)
    assert formation(oxide, {"Mg": metal, "O": gas}) == pytest.approx(-2.715, abs=0.1)
    assert gas.moments is not None
    assert gas.crystal.columns["magnetization"][0] == pytest.approx(2.0, abs=0.01)


@pytest.mark.full
def test_salt_has_the_published_pbe_lattice_constant_and_formation_energy(relax: Relax) -> None:
    """5.70 angstrom (Haas et al. 2009); -1.81 eV/atom, the Materials Project's -2.105 of
    mp-22862 (Jain et al., APL Mater. 1, 011002, 2013) with PBE's own energy of chlorine in place
    of its fitted one."""
    salt, metal, gas = relax(
        "Na-Cl",
        [
            Crystals.from_ase(bulk("NaCl", "rocksalt", a=5.6)),
            reference_crystals(["Na"]),
            chlorine(),
        ],
    )
    assert cubic_edge(salt) == pytest.approx(5.70, rel=0.01)
    assert formation(salt, {"Na": metal, "Cl": gas}) == pytest.approx(-1.81, abs=0.1)


@pytest.mark.full
def test_magnesium_silicide_has_the_published_pbe_numbers(relax: Relax) -> None:
    """6.362 angstrom and -0.157 eV/atom (Alexandria; Schmidt et al., Adv. Mater. 35, 2023)."""
    silicide, metal, silicon = relax(
        "Mg-Si", [magnesium_silicide(), reference_crystals(["Mg", "Si"])]
    )
    assert cubic_edge(silicide) == pytest.approx(6.362, rel=0.01)
    assert formation(silicide, {"Mg": metal, "Si": silicon}) == pytest.approx(-0.157, abs=0.05)


@pytest.mark.full
def test_gpaw_keeps_the_promises_of_an_oracle(tmp_path: Path) -> None:
    """At a coarse mesh; an energy may change by 2 meV/atom, a stress be off by 5 kbar.

    The number of plane waves jumps with the cell, so that slopes of the energy scatter: by 0.016
    eV/angstrom^3 under 1 % of strain (300 and 400 eV), by 0.007 under 2 % (400 eV, along z), which
    is still more than is allowed here. The density of k-points is one at which their number stays
    the same under the strains that are tried, as 2.5 is not.
    """
    tolerances = Tolerances(step=0.02, force=0.05, stress=0.5 / 160.2177, energy=2e-3)
    settings = DftSettings(cutoff=400.0, kpoint_density=2.8)
    with gpaw_oracle(
        "Si", settings=settings, interpreter=gpaw_python(), logs=tmp_path, limits=TWO_AT_A_TIME
    ) as oracle:
        check_oracle(oracle, Crystals.from_ase(bulk("Si", a=5.47)), tolerances=tolerances)
