import numpy as np
import pytest
from ase.build import bulk
from small_crystals import copper, rutile

from materialabs.crystals.batch import Crystals
from materialabs.levels import Energies, Level
from materialabs.oracles.calculators import AseOracle
from materialabs.oracles.chgnet import ChgnetOracle
from materialabs.oracles.conformance import ConformanceError, check_oracle
from materialabs.oracles.oracle import Evaluation, Oracle
from materialabs.oracles.potential import Potential

COPPER = Crystals.concat([copper(3.59), Crystals.from_ase(bulk("Au", "fcc", a=4.06))])


class Broken(Potential):
    """EMT whose answers are changed on the way."""

    def __init__(self, change):
        self.inner, self.change, self.calls = AseOracle("emt"), change, 0

    @property
    def level(self):
        return self.inner.level

    def evaluate(self, crystals):
        self.calls += 1
        found = self.inner.evaluate(crystals)
        return self.change(self, crystals, found)


def changed(found, energies=None, forces=None, stress=None):
    return Evaluation(
        found.energies if energies is None else energies,
        found.forces if forces is None else forces,
        found.stress if stress is None else stress,
    )


BROKEN = {
    "look at sign and unit": lambda o, c, f: changed(f, forces=-f.forces),
    "the force along a direction": lambda o, c, f: changed(f, forces=f.forces / 0.529),
    "positive under tension": lambda o, c, f: changed(f, stress=-f.stress),
    "stress xx": lambda o, c, f: changed(f, stress=f.stress * 160.2),
    "unit and order": lambda o, c, f: changed(f, stress=f.stress[:, ::-1, ::-1].copy()),
    "a supercell changes the energy": lambda o, c, f: changed(f, energies=f.energies * c.counts),
    "moving all atoms changes": lambda o, c, f: changed(
        f, energies=f.energies + 0.01 * c.positions[0, 0]
    ),
    "turning the crystal changes": lambda o, c, f: changed(
        f, energies=f.energies + 0.02 * c.lattice[:, 0, 1]
    ),
    "renumbering the atoms does not": lambda o, c, f: changed(
        f, forces=f.forces + 0.3 * np.where(np.arange(len(f.forces)) == 0, 1.0, 0.0)[:, None]
    ),
    "another answer the second time": lambda o, c, f: changed(
        f, energies=f.energies + 1e-6 * o.calls
    ),
    "not symmetric": lambda o, c, f: changed(f, stress=f.stress + np.triu(np.ones((3, 3)))),
    "not finite": lambda o, c, f: changed(f, forces=f.forces * np.nan),
    "there is no answer": lambda o, c, f: Evaluation.failed(c, "the machine is off"),
    "gives an Evaluation": lambda o, c, f: f.energies,
    "have the shape": lambda o, c, f: changed(f, forces=f.forces[:1]),
}


def test_emt_conforms():
    check_oracle(AseOracle("emt"), COPPER)


def test_chgnet_conforms():
    check_oracle(ChgnetOracle(device="cpu"), Crystals.concat([copper(), rutile()]))


@pytest.mark.parametrize("sentence", sorted(BROKEN))
def test_a_broken_oracle_is_told_what_is_broken(sentence):
    with pytest.raises(ConformanceError, match=sentence):
        check_oracle(Broken(BROKEN[sentence]), COPPER)


def test_an_oracle_that_raises_is_told_so():
    def change(oracle, crystals, found):
        raise ValueError("no")

    with pytest.raises(ConformanceError, match="raised ValueError"):
        check_oracle(Broken(change), COPPER)


class Peculiar(AseOracle):
    def __init__(self, **methods):
        super().__init__("emt")
        for name, method in methods.items():
            setattr(self, name, method)


def test_energies_of_another_level_or_kind_are_found():
    other = Peculiar(energy=lambda c: Energies(np.zeros(len(c)), "total", Level("PBE")))
    with pytest.raises(ConformanceError, match="another level"):
        check_oracle(other, COPPER[:1])
    formation = Peculiar(energy=lambda c: Energies(np.zeros(len(c)), "formation", Level("PBE")))
    with pytest.raises(ConformanceError, match="kind 'total'"):
        check_oracle(formation, COPPER[:1])


def test_a_relaxation_that_raises_or_is_no_list_is_found():
    def fall(*_):
        raise RuntimeError("no relaxing here")

    with pytest.raises(ConformanceError, match="relax raised RuntimeError"):
        check_oracle(Peculiar(relax=fall), COPPER[:1])
    with pytest.raises(ConformanceError, match="a list with one Relaxation"):
        check_oracle(Peculiar(relax=lambda *_: []), COPPER[:1])


def test_relaxations_that_climb_or_change_level_are_found():
    from dataclasses import replace

    real = AseOracle("emt")

    def climbing(crystals, *settings):
        return [replace(one, energy=one.energy + 1.0) for one in real.relax(crystals, *settings)]

    def elsewhere(crystals, *settings):
        return [replace(one, level=Level("PBE")) for one in real.relax(crystals, *settings)]

    with pytest.raises(ConformanceError, match="raised the energy"):
        check_oracle(Peculiar(relax=climbing), COPPER[:1])
    with pytest.raises(ConformanceError, match="another level than the oracle"):
        check_oracle(Peculiar(relax=elsewhere), COPPER[:1])


def test_a_failure_that_is_called_success_is_found():
    from dataclasses import replace

    real = AseOracle("emt")

    def cheerful(crystals, *settings):
        return [replace(one, status="converged") for one in real.relax(crystals, *settings)]

    with pytest.raises(ConformanceError, match="end as converged"):
        check_oracle(Peculiar(relax=cheerful), COPPER[:1])


def test_what_comes_with_the_package_is_an_oracle():
    assert isinstance(AseOracle("emt"), Oracle)
    assert isinstance(ChgnetOracle(device="cpu"), Oracle)
