from __future__ import annotations

import warnings
from collections import Counter

import moyopy
import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import FormulaError, InputError, PhysicsError
from materialabs.generation.airss import (
    Request,
    airss,
    airss_candidates,
    airss_requests,
)
from materialabs.generation.packing import distance_table
from materialabs.generation.site_choices import can_hold, cell_contents
from materialabs.generation.wyckoff import group_arrays, space_group

SYMPREC = 1e-3


def has_group(crystal: Crystals, number: int) -> bool:
    """Whether spglib finds every operation that moyopy lists for the group."""
    cell = (crystal.lattice[0], crystal.frac, crystal.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's own, on its error handling
        found = spglib.get_symmetry_dataset(cell, SYMPREC)
    wanted = moyopy.operations_from_number(number)
    basis = space_group(number).primitive_rows.T
    inverse = np.linalg.inv(basis)
    for rotation, translation in zip(wanted.rotations, wanted.translations, strict=True):
        turned = np.rint(inverse @ np.array(rotation, float) @ basis)
        same = (found.rotations == turned).all(axis=(1, 2))
        gaps = found.translations[same] - inverse @ np.array(translation)
        gaps -= np.rint(gaps)
        if not (np.linalg.norm(gaps @ crystal.lattice[0], axis=1) < 5 * SYMPREC).any():
            return False
    return True


def closest(crystal: Crystals, nearest: dict[tuple[str, str], float]) -> float:
    """Smallest distance over the smallest allowed one, by ASE."""
    atoms = crystal.to_ase()[0]
    first, second, distance = neighbor_list("ijd", atoms, max(nearest.values()))
    symbols = atoms.get_chemical_symbols()
    ratios = [
        d / nearest[symbols[i], symbols[j]] for i, j, d in zip(first, second, distance, strict=True)
    ]
    return min(ratios, default=np.inf)


def allowed(crystal: Crystals, given: object = None) -> dict[tuple[str, str], float]:
    numbers = np.unique(crystal.numbers).tolist()
    table = distance_table(numbers, given)
    return {
        (SYMBOLS[a], SYMBOLS[b]): table[i, j]
        for i, a in enumerate(numbers)
        for j, b in enumerate(numbers)
    }


FORMULAS = ("Si", "NaCl", "TiO2", "CaTiO3", "Li3PS4")


def requests_for_all_groups(per_group: int) -> list[Request]:
    """Feasible requests of 4 to 40 atoms for each space group."""
    wanted = []
    for number in range(1, 231):
        found = [
            Request(formula, cells, number)
            for cells in range(1, 21)
            for formula in FORMULAS
            if 4 <= sum(cell_contents(formula, cells).values()) <= 40
            and can_hold(cell_contents(formula, cells))[number - 1]
        ]
        wanted += found[:: max(1, len(found) // per_group)][:per_group]
    return wanted


@pytest.fixture(scope="module")
def all_groups():
    requests = requests_for_all_groups(1)
    return requests, airss_requests(requests, seed=3)


def test_each_of_the_230_groups_is_drawn(all_groups):
    _, answers = all_groups
    assert answers.reasons == [None] * 230
    assert answers.rows.tolist() == list(range(230))
    assert answers.crystals.columns["space_group"].tolist() == list(range(1, 231))


def test_each_crystal_has_the_group_asked_for_or_a_supergroup(all_groups):
    _, answers = all_groups
    wrong = [n for n, crystal in enumerate(answers.crystals, 1) if not has_group(crystal, n)]
    assert wrong == []


def test_each_crystal_keeps_all_distances(all_groups):
    _, answers = all_groups
    for crystal in answers.crystals:
        assert closest(crystal, allowed(crystal)) >= 1 - 1e-9


def test_each_crystal_holds_the_atoms_asked_for(all_groups):
    requests, answers = all_groups
    for request, crystal in zip(requests, answers.crystals, strict=True):
        held = Counter(crystal.numbers.tolist())
        assert held == cell_contents(request.formula, request.cells)


@pytest.mark.slow
def test_dense_crystals_of_all_groups_are_as_valid():
    requests = requests_for_all_groups(5)
    answers = airss_requests(requests, volume_factors=(0.6, 0.8), seed=11)
    assert len(answers.rows) > 0.98 * len(requests)
    for row, crystal in zip(answers.rows, answers.crystals, strict=True):
        assert has_group(crystal, requests[row].space_group)
        assert closest(crystal, allowed(crystal)) >= 1 - 1e-9


def test_letters_of_the_sites_are_those_that_moyopy_finds():
    """Where the group found is the one asked for, sites on fixed places bear known names."""
    group = space_group(225)
    crystals = airss("NaCl", 20, cells=1, space_groups=225, seed=5)
    for crystal in crystals:
        letters = crystal.site_columns["wyckoff"].tolist()
        assert set(letters) <= {"a", "b"}
        for letter, frac in zip(letters, crystal.frac, strict=True):
            place = group.position(letter).origin @ np.linalg.inv(group.primitive_rows)
            assert np.allclose((frac - place) % 1.0 % 1.0, 0.0, atol=1e-9)


def test_special_positions_appear():
    crystals = airss("Si", 200, cells=8, space_groups=227, seed=1)
    letters = {"".join(sorted(set(c.site_columns["wyckoff"]))) for c in crystals}
    assert {"e", "ab", "cd"} & letters
    assert len(letters) >= 3


def test_every_choice_of_positions_can_be_drawn():
    # one Si atom of Fm-3m: 4a and 4b and nothing else; two: 8c, or 4a with 4b
    single = airss("Si", 100, cells=1, space_groups=225, seed=2)
    assert set(single.site_columns["wyckoff"]) == {"a", "b"}
    double = airss("Si", 200, cells=2, space_groups=225, seed=2)
    drawn = {"".join(sorted(c.site_columns["wyckoff"])) for c in double}
    assert drawn == {"ab", "cc"}


def test_p1_draws_anything():
    crystals = airss("Li7P3S11", 5, cells=1, space_groups=1, seed=4)
    assert len(crystals) == 5
    assert (crystals.counts == 21).all()


def test_the_same_seed_gives_the_same_crystals_on_any_number_of_threads():
    one = airss("TiO2", 700, cells=[2, 4], seed=9)
    two = airss("TiO2", 700, cells=[2, 4], seed=9, threads=2)
    assert np.array_equal(one.frac, two.frac)
    assert np.array_equal(one.lattice, two.lattice)


def test_another_seed_gives_other_crystals():
    one, two = (airss("TiO2", 10, cells=2, seed=seed) for seed in (0, 1))
    assert not np.array_equal(one.lattice, two.lattice)


def test_volume_stays_in_the_range_asked_for():
    crystals = airss("MgO", 200, volume_factors=(0.7, 0.9), seed=3)
    factors = crystals.columns["volume_factor"]
    assert factors.min() >= 0.7 - 1e-9
    assert factors.max() <= 0.9 + 1e-9


def test_a_volume_given_is_the_volume_drawn():
    answers = airss_requests([Request("NaCl", 2, 14), Request("NaCl", 4, 62, 200.0)], seed=1)
    assert answers.reasons[1] is None
    assert answers.crystals.volumes[-1] == pytest.approx(200.0)


def test_pressure_shrinks_the_volume_monotonically():
    volumes = []
    for pressure in (0.0, 5.0, 50.0, 200.0):
        crystals = airss("MgO", 5, cells=2, pressure=pressure, volume_factors=(1, 1), seed=2)
        volumes.append(crystals.volumes[0] / crystals.compositions.atoms[0])
        assert (crystals.columns["pressure"] == pressure).all()
    assert volumes == sorted(volumes, reverse=True)
    assert len(set(volumes)) == 4


def test_distances_given_by_pair_are_kept():
    crystals = airss("Li2O", 50, cells=4, minimum_distances="Li-O=1.7, O-O=2.4", seed=6)
    for crystal in crystals:
        assert closest(crystal, {**allowed(crystal), ("Li", "O"): 1.7, ("O", "Li"): 1.7}) >= 1
        atoms = crystal.to_ase()[0]
        oxygens = atoms[[a.symbol == "O" for a in atoms]]
        assert len(neighbor_list("d", oxygens, 2.4 - 1e-9)) == 0


def test_a_composition_without_a_home_is_refused_before_drawing():
    with pytest.raises(PhysicsError, match=r"Fm-3m \(225\) cannot hold 5 O"):
        airss("O5", 3, cells=1, space_groups=225)


def test_groups_that_cannot_hold_the_composition_are_counted():
    candidates = airss_candidates("Li3PS4", 5, cells=1)
    [(reason, count)] = candidates.reasons.items()
    assert reason == "space groups whose Wyckoff positions cannot hold 1 Li3PS4"
    assert count == 230 - can_hold(cell_contents("Li3PS4")).sum()


def test_each_group_asked_for_has_its_own_reason():
    candidates = airss_candidates("Si", 3, cells=1, space_groups=[1, 227])
    assert list(candidates.reasons) == [
        "Fd-3m (227) cannot hold 1 Si in its primitive cell: it has positions for 8, 12, "
        "24 (2 of them), 48 atoms as often as wanted and for 2 (2 of them), 4 (2 of them) "
        "once each."
    ]


def test_a_cell_that_is_certainly_too_dense_is_refused():
    with pytest.raises(PhysicsError, match="too dense"):
        airss("NaCl", 3, minimum_distances=4.0)


def test_atoms_that_symmetry_holds_too_close_are_the_reason():
    # simple cubic CsCl type: Cs-Cl is fixed at sqrt(3)/2 of the edge by the volume alone
    answers = airss_requests(
        [Request("CsCl", 1, 221, 27.0)], minimum_distances="Cs-Cl=2.7,Cs-Cs=0.5,Cl-Cl=0.5"
    )
    assert len(answers.crystals) == 0
    assert answers.reasons == [
        "Pm-3m (221) with 2 atoms: symmetry holds Cl and Cs too close in this volume"
    ]


def test_a_push_off_that_does_not_end_is_the_reason():
    # one per cent above the closest packing of spheres, d^3 / sqrt(2) an atom
    volume = 1.01 * 11 * 2.25**3 / np.sqrt(2)
    answers = airss_requests([Request("C", 11, 2, volume)], minimum_distances=2.25, attempts=3)
    assert answers.reasons[0] is not None
    assert "the push-off did not end, C and C stayed too close" in answers.reasons[0]


def test_a_request_without_a_home_says_so():
    answers = airss_requests([Request("NaCl", 5, 227)])
    assert answers.reasons[0] is not None
    assert "Fd-3m (227) cannot hold 5 Na" in answers.reasons[0]


def test_when_nothing_can_be_drawn_the_reason_is_raised():
    with pytest.raises(PhysicsError, match="No random crystal of CsCl could be drawn: Pm-3m"):
        airss(
            "CsCl", 2, cells=1, space_groups=221, volume_factors=(0.3, 0.3),
            minimum_distances="Cs-Cl=2.9,Cs-Cs=0.5,Cl-Cl=0.5",
        )  # fmt: skip


def test_nothing_asked_for_gives_nothing():
    assert len(airss("NaCl", 0)) == 0
    assert len(airss_requests([]).crystals) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"count": -1}, "whole and from 0"),
        ({"cells": []}, "list of formula units is empty"),
        ({"cells": 0}, "whole number from 1"),
        ({"space_groups": [231]}, "1 to 230"),
        ({"volume_factors": (1.2, 0.4)}, "range above zero"),
        ({"volume_factors": (0.0, 1.0)}, "range above zero"),
        ({"minimum_distances": "Li-O"}, "cannot be read"),
        ({"pressure": float("nan")}, "equation of state"),
        ({"pressure": -500.0}, "equation of state"),
    ],
)
def test_arguments_without_sense_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        airss(**{"formula": "NaCl", "count": 1, **arguments})


def test_requests_without_sense_are_refused():
    with pytest.raises(InputError, match="above zero cubic angstrom"):
        airss_requests([Request("NaCl", 1, 225, -3.0)])
    with pytest.raises(InputError, match="At least one attempt"):
        airss_requests([Request("NaCl", 1, 225)], attempts=0)
    with pytest.raises(FormulaError, match="'Xx'"):
        airss("LiXx", 1)


def numpy_energy(frac, lattice, kinds, nearest, margin):
    """Soft-sphere energy of a cell over all pairs and images, written plainly."""
    steps = np.array(np.meshgrid(*[range(-3, 4)] * 3)).reshape(3, -1).T
    total = 0.0
    for i in range(len(frac)):
        for j in range(len(frac)):
            gaps = np.linalg.norm((frac[i] - frac[j] + steps) @ lattice, axis=1)
            if i == j:
                gaps = gaps[gaps > 1e-9]
            overlap = np.maximum(margin * nearest[kinds[i], kinds[j]] - gaps, 0.0)
            total += 0.25 * float(np.sum(overlap**2))
    return total


def one_site(number: int, letter: str, parameters: list[float], lattice: np.ndarray):
    """Arrays of the push-off kernels for a single site."""
    table = group_arrays()
    group = space_group(number)
    index = [p.letter for p in group.positions].index(letter)
    atoms = group.positions[index].primitive_multiplicity
    values = np.zeros((1, 3))
    values[0, : len(parameters)] = parameters
    return {
        "table": table,
        "position": np.array([table.position_starts[number - 1] + index]),
        "start": np.array([0, atoms]),
        "kinds": np.zeros(atoms, np.int64),
        "parameters": values,
        "frac": np.zeros((atoms, 3)),
        "lattice": lattice,
    }


CUBE = 4.0 * np.eye(3)


def forces_of(site, number, nearest):
    from materialabs.generation import push_off_kernels as kernels

    kernels.place_atoms.py_func(
        1, site["position"], site["parameters"], site["table"], number - 1, site["frac"]
    )
    shifts, searched = kernels.image_shifts.py_func(site["lattice"], 1.02 * nearest.max())
    assert searched
    forces, contacts = np.zeros((1, 3)), np.zeros(1)
    strain, stiffness, worst = np.zeros(6), np.zeros(3), np.zeros(3)
    energy = kernels.site_forces.py_func(
        1, site["start"], site["kinds"], site["frac"], site["lattice"], shifts, nearest, forces,
        contacts, strain, stiffness, worst,
    )  # fmt: skip
    return energy, forces, strain


@given(st.lists(st.floats(0.05, 0.95), min_size=3, max_size=3))
@settings(max_examples=10)
def test_energy_of_a_symmetric_site_is_that_of_all_pairs(parameters):
    nearest = np.array([[2.5]])
    site = one_site(19, "a", parameters, CUBE)
    energy, _, _ = forces_of(site, 19, nearest)
    expected = numpy_energy(site["frac"], CUBE, site["kinds"], nearest, 1.02)
    assert energy == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.lists(st.floats(0.05, 0.95), min_size=3, max_size=3))
@settings(max_examples=10)
def test_force_on_a_symmetric_site_is_the_slope_of_the_energy(parameters):
    nearest = np.array([[2.5]])
    site = one_site(19, "a", parameters, CUBE)
    _, forces, _ = forces_of(site, 19, nearest)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-6
        sides = [
            forces_of(one_site(19, "a", np.array(parameters) + sign * step, CUBE), 19, nearest)[0]
            for sign in (1, -1)
        ]
        slope = (sides[0] - sides[1]) / 2e-6 / 4.0  # four angstrom for each unit
        assert -4.0 * forces[0, axis] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_strain_drive_is_the_slope_of_the_energy():
    nearest = np.array([[2.5]])
    parameters = [0.12, 0.31, 0.17]
    _, _, drive = forces_of(one_site(19, "a", parameters, CUBE), 19, nearest)
    for axis in range(3):
        sides = []
        for sign in (1, -1):
            lattice = CUBE.copy()
            lattice[axis, axis] *= 1 + sign * 1e-6
            sides.append(forces_of(one_site(19, "a", parameters, lattice), 19, nearest)[0])
        slope = (sides[0] - sides[1]) / 2e-6
        assert -0.5 * drive[axis] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_push_off_lowers_the_overlap_and_keeps_the_volume():
    from materialabs.generation import push_off_kernels as kernels

    nearest = np.array([[1.9]])
    site = one_site(62, "d", [0.05, 0.2, 0.1], np.diag([4.0, 5.0, 6.0]))
    before, _, _ = forces_of(site, 62, nearest)
    lattice = site["lattice"].copy()
    outcome = kernels.push_off(
        1, site["position"], site["start"], site["kinds"], site["parameters"], site["table"], 61,
        lattice, nearest, site["frac"], np.zeros(3),
    )  # fmt: skip
    after = numpy_energy(site["frac"], lattice, site["kinds"], nearest, 1.0)
    assert before > 0.1
    assert outcome == 0
    assert after == 0.0
    assert np.linalg.det(lattice) == pytest.approx(120.0)


@pytest.mark.parametrize("number", [1, 14, 62, 136, 166, 194, 227])
def test_lattices_have_the_metric_of_their_crystal_system(number):
    crystals = airss("Si", 20, cells=8, space_groups=number, seed=number)
    group = space_group(number)
    for crystal in crystals:
        cell = np.linalg.inv(group.primitive_rows) @ crystal.lattice[0]
        metric = cell @ cell.T
        for rotation in group.rotations:
            assert np.allclose(rotation.T @ metric @ rotation, metric, rtol=1e-9, atol=1e-9)


def test_ase_agrees_on_composition_and_periodicity():
    atoms = airss("CaTiO3", 1, cells=1, space_groups=221)[0].to_ase()[0]
    assert isinstance(atoms, Atoms)
    assert atoms.pbc.all()
    assert atoms.get_chemical_formula() == "CaO3Ti"
    assert atomic_number("Ca") in atoms.numbers
