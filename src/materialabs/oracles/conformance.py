"""A conformance kit for oracles: whoever plugs in a potential or a program runs it in a test.

::

    from materialabs.oracles.conformance import check_oracle

    def test_my_oracle_conforms():
        check_oracle(MyOracle(), crystals)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import MaterialabsError
from materialabs.levels import Energies, Level
from materialabs.oracles.oracle import Evaluation, Oracle
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings

RATTLE: Final = 0.05
"""Angstrom; atoms are moved off their places by this, so that no force is zero by symmetry."""

SHEAR: Final = 0.02
"""Strain that is put on the cell for the same reason."""

EXPANSION: Final = 0.06
"""Strain at which a crystal is surely under tension, or under pressure when it is negative."""


class ConformanceError(MaterialabsError, AssertionError):
    """An oracle does not do what oracles promise; the sentences say what failed."""

    default_code = "conformance"


@dataclass(frozen=True)
class Tolerances:
    """How well an oracle's numbers must fit each other.

    Parameters
    ----------
    step
        Angstrom, and strain, of the finite differences.
    force, stress
        eV/angstrom and eV/angstrom^3: largest difference from the finite differences, beside 2 %
        of the value.
    energy
        eV/atom: largest change under what must not change it.
    """

    step: float = 0.01
    force: float = 0.02
    stress: float = 0.002
    energy: float = 1e-4


def check_oracle(
    oracle: Oracle, crystals: Crystals, *, tolerances: Tolerances | None = None, seed: int = 0
) -> None:
    """Refuse an oracle that breaks a promise, naming every promise that it breaks.

    Checked are, for every crystal given: the shapes and the level of the answer; forces and
    stress against finite differences of the energy; the sign of stress on a stretched and a
    squeezed cell; that a supercell has the same energy for each atom; that moving, turning and
    renumbering the atoms changes nothing; that asking twice gives the same; that a failure is a
    status; that relaxing lowers the energy.

    Parameters
    ----------
    oracle
        To be checked.
    crystals
        A few small periodic crystals that it knows, near their equilibrium.
    tolerances
        How well its numbers must fit; for single-precision potentials by default.
    seed
        Of the displacements.

    Raises
    ------
    ConformanceError
        With one sentence for each promise that is broken.
    """
    limits = tolerances or Tolerances()
    broken = _check_level(oracle)
    for index, crystal in enumerate(crystals):
        name = f"{crystals.ids()[index]} ({crystal.formulas()[0]})"
        moved = _disturbed(crystal, seed + index)
        answer, trouble = _ask(oracle, moved)
        broken += [f"{name}: {sentence}" for sentence in trouble]
        if answer is None or trouble:
            continue
        found = [
            *_check_forces(oracle, moved, answer, limits, seed + index),
            *_check_stress(oracle, moved, answer, limits),
            *_check_sign(oracle, crystal),
            *_check_sameness(oracle, moved, answer, limits, seed + index),
            *_check_relaxation(oracle, moved, answer),
        ]
        broken += [f"{name}: {sentence}" for sentence in found]
    broken += _check_failure(oracle)
    if broken:
        raise ConformanceError(" ".join(broken))


def _check_level(oracle: Oracle) -> list[str]:
    if isinstance(oracle.level, Level) and oracle.level == oracle.level:
        return []
    return [f"level is a Level, not {type(oracle.level).__name__}."]


def _disturbed(crystal: Crystals, seed: int) -> Crystals:
    source = np.random.default_rng(seed)
    strain = source.uniform(-SHEAR, SHEAR, (3, 3))
    lattice = crystal.lattice[0] @ (np.eye(3) + 0.5 * (strain + strain.T))
    positions = crystal.frac @ lattice + source.uniform(-RATTLE, RATTLE, crystal.frac.shape)
    return _placed(crystal, lattice, positions)


def _placed(
    crystal: Crystals, lattice: NDArray[np.float64], positions: NDArray[np.float64]
) -> Crystals:
    frac = np.linalg.solve(lattice.T, positions.T).T
    return crystal.replace(lattice=lattice[None], frac=frac)


def _ask(oracle: Oracle, crystal: Crystals) -> tuple[Evaluation | None, list[str]]:
    try:
        answer: object = oracle.evaluate(crystal)
    except Exception as error:  # whatever a foreign oracle raises is a finding
        return None, [f"evaluate raised {type(error).__name__}: {error}; a failure is a reason."]
    if not isinstance(answer, Evaluation):
        return None, [f"evaluate gives an Evaluation, not {type(answer).__name__}."]
    if answer.reasons[0]:
        return None, [f"there is no answer: {answer.reasons[0]}."]
    broken = []
    if answer.forces.shape != crystal.frac.shape:
        broken.append(f"forces have the shape {answer.forces.shape}.")
    elif not np.isfinite(answer.forces).all() or not np.isfinite(answer.energies).all():
        broken.append("a good answer has numbers that are not finite.")
    if not np.allclose(answer.stress, answer.stress.transpose(0, 2, 1), atol=1e-6):
        broken.append("stress is not symmetric.")
    return answer, broken


def _energy(oracle: Oracle, crystal: Crystals) -> float:
    """Energy of the whole crystal, eV."""
    return float(oracle.evaluate(crystal).energies[0]) * len(crystal.frac)


def _check_forces(
    oracle: Oracle, crystal: Crystals, answer: Evaluation, limits: Tolerances, seed: int
) -> list[str]:
    """Along a random direction of all atoms, and for one atom along one axis."""
    source = np.random.default_rng(seed)
    directions = [source.normal(size=crystal.frac.shape), np.zeros(crystal.frac.shape)]
    directions[1][source.integers(len(crystal.frac)), source.integers(3)] = 1.0
    lattice, positions = crystal.lattice[0], crystal.positions
    for direction in directions:
        direction /= np.linalg.norm(direction)
        ends = [
            _energy(oracle, _placed(crystal, lattice, positions + sign * limits.step * direction))
            for sign in (1.0, -1.0)
        ]
        measured = -(ends[0] - ends[1]) / (2 * limits.step)
        given = float((answer.forces * direction).sum())
        if not abs(measured - given) <= limits.force + 0.02 * abs(measured):
            return [
                f"the force along a direction is {given:.4f} and the energy falls by "
                f"{measured:.4f} eV/angstrom there: look at sign and unit."
            ]
    return []


def _check_stress(
    oracle: Oracle, crystal: Crystals, answer: Evaluation, limits: Tolerances
) -> list[str]:
    for first, second in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[first, second] += 0.5 * limits.step
        strain[second, first] += 0.5 * limits.step
        ends = [
            _energy(
                oracle,
                crystal.replace(lattice=(crystal.lattice[0] @ (np.eye(3) + sign * strain))[None]),
            )
            for sign in (1.0, -1.0)
        ]
        measured = (ends[0] - ends[1]) / (2 * limits.step * float(crystal.volumes[0]))
        given = float(answer.stress[0, first, second])
        if not abs(measured - given) <= limits.stress + 0.02 * abs(measured):
            return [
                f"stress {'xyz'[first]}{'xyz'[second]} is {given:.5f} and the energy rises by "
                f"{measured:.5f} eV/angstrom^3: look at sign (positive under tension), unit and "
                "order."
            ]
    return []


def _check_sign(oracle: Oracle, crystal: Crystals) -> list[str]:
    for expansion, word in ((EXPANSION, "stretched"), (-EXPANSION, "squeezed")):
        strained = crystal.replace(lattice=crystal.lattice * (1.0 + expansion))
        answer = oracle.evaluate(strained)
        if answer.reasons[0] or not np.trace(answer.stress[0]) * expansion > 0:
            return [
                f"a {word} cell has the mean stress {np.trace(answer.stress[0]) / 3:.4f} "
                "eV/angstrom^3: stress is positive under tension."
            ]
    return []


def _check_sameness(
    oracle: Oracle, crystal: Crystals, answer: Evaluation, limits: Tolerances, seed: int
) -> list[str]:
    source = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(source.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    order = source.permutation(len(crystal.frac))
    lattice, positions, numbers = crystal.lattice[0], crystal.positions, crystal.numbers
    shift = source.uniform(-3.0, 3.0, 3)
    changes = {
        "a supercell": _doubled(crystal),
        "moving all atoms": _placed(crystal, lattice, positions + shift),
        "turning the crystal": _placed(crystal, lattice @ turn, positions @ turn),
        "renumbering the atoms": _bare(lattice, crystal.frac[order], numbers[order]),
    }
    expected = {
        "moving all atoms": answer.forces,
        "turning the crystal": answer.forces @ turn,
        "renumbering the atoms": answer.forces[order],
    }
    broken = []
    for what, changed in changes.items():
        other = oracle.evaluate(changed)
        away = abs(float(other.energies[0] - answer.energies[0]))
        if not away <= limits.energy:
            broken.append(f"{what} changes the energy by {away:.2g} eV/atom.")
        elif what in expected and not np.allclose(
            other.forces, expected[what], atol=limits.force, rtol=0.02
        ):
            broken.append(f"{what} does not do the same to the forces.")
    again = oracle.evaluate(crystal)
    if not np.array_equal(again.energies, answer.energies) or not np.array_equal(
        again.forces, answer.forces
    ):
        broken.append("the same question had another answer the second time.")
    energies: object = oracle.energy(crystal)
    if not isinstance(energies, Energies) or energies.kind != "total":
        broken.append("energy gives Energies of the kind 'total'.")
    elif energies.level != oracle.level:
        broken.append("energy is at another level than the oracle.")
    return broken


def _bare(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], numbers: NDArray[np.uint8]
) -> Crystals:
    return Crystals(lattice[None], frac, numbers, np.array([0, len(numbers)]))


def _doubled(crystal: Crystals) -> Crystals:
    """Two cells along the shortest vector."""
    lattice = crystal.lattice[0].copy()
    axis = int(np.argmin(np.linalg.norm(lattice, axis=1)))
    lattice[axis] *= 2.0
    frac = crystal.frac.copy()
    frac[:, axis] *= 0.5
    second = frac.copy()
    second[:, axis] += 0.5
    return _bare(lattice, np.concatenate([frac, second]), np.tile(crystal.numbers, 2))


def _check_relaxation(oracle: Oracle, crystal: Crystals, answer: Evaluation) -> list[str]:
    try:
        found: object = oracle.relax(crystal, RelaxationSettings(max_steps=50))
    except Exception as error:  # whatever a foreign oracle raises is a finding
        return [f"relax raised {type(error).__name__}: {error}; a failure is a status."]
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], Relaxation):
        return ["relax gives a list with one Relaxation for each crystal."]
    relaxed = found[0]
    if relaxed.status not in ("converged", "not_converged"):
        return [f"a crystal near its equilibrium ends as {relaxed.status}: {relaxed.reason}."]
    broken = []
    if relaxed.energy > float(answer.energies[0]) + 1e-6:
        broken.append("relaxing raised the energy.")
    if relaxed.level != oracle.level:
        broken.append("a relaxation is at another level than the oracle.")
    return broken


def _check_failure(oracle: Oracle) -> list[str]:
    """Two atoms in one place: no answer, or an absurd one, but never an exception."""
    crushed = _bare(np.eye(3) * 4.0, np.zeros((2, 3)), np.array([79, 79], dtype=np.uint8))
    try:
        relaxed = oracle.relax(crushed)[0]
    except Exception as error:  # whatever a foreign oracle raises is a finding
        return [f"two atoms in one place raise {type(error).__name__}; a failure is a status."]
    if relaxed.status in ("converged", "not_converged"):
        return [f"two atoms in one place end as {relaxed.status}."]
    return [] if relaxed.reason else ["a failure has no reason."]
