"""What the source of stiffness learns: against springs worked out by hand, and against DFT."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.calculated_quantities import elastic
from benchmarks.calculated_stiffness import (
    QUANTITIES,
    Stiffness,
    values_of_solutions,
    values_of_vibrations,
)
from benchmarks.strained_crystals import (
    GPA,
    LIGHT,
    LIGHT_SITES,
    METALS,
    SITES,
    SWELL,
    WIDTH,
    drawn,
    element_references,
    moduli,
    on_sites,
    solutions,
    vibrations,
    widened,
    without_pressure,
)

from materialabs.crystals.batch import Crystals
from materialabs.oracles.chgnet import ChgnetOracle
from materialabs.oracles.oracle import Evaluation
from materialabs.oracles.potential import Potential

SPRING, LENGTH = 2.0, 2.5
"""Of springs between nearest neighbours, eV/A^2 and A."""


class Springs(Potential):
    """Atoms joined by springs to all that are nearer than 1.2 lengths."""

    @property
    def level(self):
        raise NotImplementedError

    def evaluate(self, crystals: Crystals) -> Evaluation:
        images = np.indices((5, 5, 5)).reshape(3, -1).T - 2
        parts = []
        for one in crystals:
            places, cell = one.positions, one.lattice[0]
            ways = places[None, :, None] + images @ cell - places[:, None, None]
            far = np.linalg.norm(ways, axis=3)
            ways, atoms = ways[joined := (far > 1e-6) & (far < 1.2 * LENGTH)], np.nonzero(joined)[0]
            pulls = SPRING * (far[joined] - LENGTH)
            towards = ways / far[joined][:, None]
            forces = np.zeros_like(places)
            np.add.at(forces, atoms, pulls[:, None] * towards)
            stress = 0.5 * (ways * pulls[:, None]).T @ towards / one.volumes[0]
            energy = 0.25 * (pulls**2).sum() / SPRING / len(places)
            parts.append(Evaluation(np.array([energy]), forces, stress[None]))
        return Evaluation.concat(parts)


@pytest.fixture(scope="module")
def copper_like() -> Crystals:
    """A face-centred cubic crystal whose springs are at rest."""
    fcc = on_sites("fcc", np.full((1, SITES), 29))
    return fcc.scaled(SITES * LENGTH**3 / np.sqrt(2.0))


@pytest.fixture(scope="module")
def table() -> Stiffness:
    return Stiffness.load()


def test_moduli_are_those_of_springs_worked_out_by_hand(copper_like: Crystals) -> None:
    springs = Springs()
    bulk, shear = moduli(springs, copper_like, springs.evaluate(copper_like).stress)
    along = np.sqrt(2.0) * SPRING / LENGTH * GPA  # C11; C12 and C44 are half of it
    assert bulk[0] == pytest.approx(2.0 / 3.0 * along, rel=1e-3)
    assert shear[0] == pytest.approx(0.4 * along, rel=2e-2)


def test_springs_of_an_atom_are_those_of_its_twelve_neighbours(copper_like: Crystals) -> None:
    many = Crystals.concat([copper_like] * 24)
    found = vibrations(Springs(), many, seed=0)
    assert found["spring"].mean() == pytest.approx(12.0 * SPRING / 3.0, rel=0.05)
    assert np.array_equal(found["spring"], found["softest"])
    # A stretched spring also holds an atom sideways: the trace grows by 2 (1 - rest / length).
    stretched = 1.0 + 2.0 * (1.0 - 1.0 / (1.0 + SWELL / 3.0))
    wanted = -0.5 * np.log(stretched) / SWELL
    assert found["grueneisen"].mean() == pytest.approx(wanted, abs=0.1)
    assert (found["anharmonic"] < 0.1).all()


def test_narrow_cells_are_repeated_and_stay_the_same_crystal() -> None:
    primitive = Crystals.from_arrays(
        [LENGTH / np.sqrt(2.0) * (1.0 - np.eye(3))], [np.zeros((1, 3))], [[29]]
    )
    wide = widened(primitive)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(wide.lattice), axis=1)
    assert (heights > WIDTH - 1e-6).all()
    assert len(widened(wide).frac) == len(wide.frac) == 27
    springs = Springs()
    assert np.allclose(springs.evaluate(wide).forces, 0.0)
    assert springs.evaluate(wide).energies == pytest.approx(0.0, abs=1e-12)
    found = vibrations(springs, Crystals.concat([primitive] * 20), seed=1)
    assert found["spring"].mean() == pytest.approx(12.0 * SPRING / 3.0, rel=0.1)


@pytest.mark.parametrize("change", [0.8, 1.25])
def test_volumes_are_found_where_springs_rest(copper_like: Crystals, change: float) -> None:
    found, told = without_pressure(Springs(), copper_like, change * copper_like.volumes)
    assert found.volumes == pytest.approx(copper_like.volumes, rel=2e-3)
    assert told.energies == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("lattice", ["bcc", "fcc"])
def test_solutions_stand_on_the_sites_of_their_lattice(lattice: str) -> None:
    crystal = on_sites(lattice, np.full((1, SITES), 29)).scaled(SITES)
    images = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    ways = (crystal.frac[None, :, None] + images - crystal.frac[:, None, None]) @ crystal.lattice[0]
    far = np.sort(np.linalg.norm(ways, axis=3).reshape(SITES, -1), axis=1)[:, 1:]
    count, nearest = (
        (8, np.sqrt(3.0) / 2 * 2 ** (1 / 3)) if lattice == "bcc" else (12, 2 ** (1 / 6))
    )
    assert far[:, :count] == pytest.approx(nearest)
    assert (far[:, count] > 1.1 * nearest).all()


def test_solutions_hold_metals_and_few_light_atoms() -> None:
    random = np.random.default_rng(0)
    some = [drawn(random) for _ in range(300)]
    assert {len(one) for one in some} == {SITES}
    assert {int(kind) for one in some for kind in one} <= {*METALS, *LIGHT}
    assert max(np.isin(one, LIGHT).sum() for one in some) == LIGHT_SITES
    assert 0.15 < np.mean([np.isin(one, LIGHT).any() for one in some]) < 0.35
    assert {len(set(one.tolist())) for one in some} == {1, 2, 3, 4, 5, 6}


def test_elements_mix_with_themselves_at_no_cost_and_metals_keep_their_lattice() -> None:
    oracle = ChgnetOracle(device="cpu")
    kinds = np.array([74, 42, 29, 28])  # W and Mo are bcc, Cu and Ni fcc
    numbers = np.repeat(kinds[:, None], SITES, axis=1)
    values = values_of_solutions(numbers, solutions(oracle, numbers), element_references(oracle))
    assert values[:, QUANTITIES.index("energy of a solution (eV/atom)")] == pytest.approx(
        0, abs=1e-3
    )
    assert np.sign(values[:, QUANTITIES.index("bcc over fcc (eV/atom)")]).tolist() == [-1, -1, 1, 1]
    measured = np.log10([310.0, 230.0, 140.0, 180.0])  # bulk moduli, GPa (Kittel, 8th edition)
    assert values[:, QUANTITIES.index("log10 bulk modulus (GPa)")] == pytest.approx(
        measured, abs=0.25
    )


def test_what_is_unstable_is_not_told() -> None:
    columns = {
        "volume": np.array([10.0, 10.0]), "bulk": np.array([100.0, -5.0]),
        "shear": np.array([50.0, 0.2]), "spring": np.array([3.0, 0.0]),
        "softest": np.array([1.0, -1.0]), "frequency": np.array([0.2, 0.0]),
        "anharmonic": np.array([0.1, 0.2]), "grueneisen": np.array([2.0, 30.0]),
    }  # fmt: skip
    values = values_of_vibrations(columns)
    assert np.isfinite(values).sum(axis=1).tolist() == [8, 2]
    assert values[0, 1] == pytest.approx(2.0)


def test_packed_bulk_moduli_follow_those_of_dft(table: Stiffness) -> None:
    found, calculated = dict(zip(table.formulas, table.values, strict=True)), elastic()
    both = [one for one in calculated if one in found and len(calculated[one]) == 1]
    ours = np.array([found[one][1] for one in both])
    theirs = np.log10([calculated[one][0][0] for one in both])
    known = np.isfinite(ours)
    assert known.sum() > 1_500
    assert np.corrcoef(ours[known], theirs[known])[0, 1] > 0.85
    assert abs(np.median(ours[known] - theirs[known])) < 0.05


def test_the_packed_table_is_whole(table: Stiffness) -> None:
    assert len(set(table.formulas)) == len(table.formulas) > 25_000
    known = dict(zip(QUANTITIES, np.isfinite(table.values).mean(axis=0), strict=True))
    assert known["log volume of an atom (A^3)"] > 0.99
    assert known["Grueneisen parameter"] > 0.5
    assert known["energy of a solution (eV/atom)"] > 0.3
