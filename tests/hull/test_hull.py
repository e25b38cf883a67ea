from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hull_systems import (
    ALEXANDRIA,
    ELEMENTS,
    LEVEL,
    compositions_of,
    documents,
    entries,
    formation,
    lowest_by_highs,
    peer_entries,
    random_system,
    total,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.errors import FormulaError, InputError, LevelError
from materialabs.hull.hull import ON_HULL, Hull
from materialabs.levels import MP2020, Energies, Level

CLOSE = 1e-9
PLANE = 1e-10
"""eV/atom; points closer to a plane than 1e-12 are left off it."""


def lithium_oxides() -> Hull:
    return Hull(["Li2O", "LiO", "Li3O"], formation([-2.0, -1.6, -0.2]), ids=["a", "b", "c"])


# -- against independent answers ------------------------------


def test_distance_in_a_binary_is_what_a_ruler_gives() -> None:
    hull = lithium_oxides()
    tie_line = -2.0 + (0.4 - 1 / 3) / (1 / 2 - 1 / 3) * (-1.6 + 2.0)
    assert hull.distance("Li3O2", formation([-1.0])) == pytest.approx([-1.0 - tie_line])


def test_decomposition_energy_in_a_binary_is_what_a_ruler_gives() -> None:
    hull = lithium_oxides()
    without = (1 / 3) / (1 / 2) * -1.6
    assert hull.decomposition_energy("Li4O2", formation([-2.0])) == pytest.approx([-2.0 - without])


@given(entries())
def test_hull_energy_equals_that_of_scipys_linear_programming(
    system: tuple[Compositions, Energies],
) -> None:
    hull = Hull(*system)
    x = np.random.default_rng(0).dirichlet(np.ones(len(hull.elements)), 3)
    asked = Compositions.from_dicts([dict(zip(hull.elements, row, strict=True)) for row in x])
    assert hull.energy(asked).values == pytest.approx(lowest_by_highs(*system, x), abs=CLOSE)


@given(entries(least=6, most=9, count=40))
@settings(max_examples=15)
def test_hulls_of_many_elements_equal_linear_programming(
    system: tuple[Compositions, Energies],
) -> None:
    hull = Hull(*system)
    x = hull.fractions[:5]
    found = hull.lower.energies(hull.compositions[:5], hull._column)
    reference = lowest_by_highs(*system, x)
    assert found + x @ hull.references == pytest.approx(reference, abs=CLOSE)


@given(entries(most=4))
@settings(max_examples=30)
def test_distances_equal_pymatgens(system: tuple[Compositions, Energies]) -> None:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    peers = peer_entries(*system)
    diagram = PhaseDiagram(peers)
    expected = [diagram.get_e_above_hull(peer, allow_negative=True) for peer in peers]
    count = len(system[0])
    assert Hull(*system).distances[:count] == pytest.approx(expected[:count], abs=1e-8)


@pytest.mark.parametrize("system", ALEXANDRIA)
def test_alexandrias_distances_are_reproduced(data_folder: Path, system: str) -> None:
    name = f"alexandria_{system}.json.gz"
    hull = Hull.of(data_folder / "hulls" / name)
    given_distances = [row["e_above_hull"] for row in documents(data_folder, name)]
    found = hull.distances[: len(given_distances)]
    assert np.abs(found - given_distances).max() < 1e-6


@pytest.fixture(scope="module")
def phosphates(data_folder: Path) -> tuple[Hull, list[Any], Any]:
    """Li-Fe-P-O: our hull, pymatgen's entries and its phase diagram."""
    from pymatgen.analysis.phase_diagram import PhaseDiagram
    from pymatgen.entries.computed_entries import ComputedEntry

    name = "Fe_Li_O_P_entries.json.gz"
    peers = [
        ComputedEntry.from_dict({k: v for k, v in row.items() if k != "structure"})
        for row in documents(data_folder, name)
    ]
    return Hull.of(data_folder / "hulls" / name), peers, PhaseDiagram(peers)


def test_every_distance_in_li_fe_p_o_equals_pymatgens(
    phosphates: tuple[Hull, list[Any], Any],
) -> None:
    hull, peers, diagram = phosphates
    expected = np.array([diagram.get_e_above_hull(peer) for peer in peers])
    assert np.abs(hull.distances - expected).max() < 1e-8


def test_li_fe_p_o_has_forty_stable_phases_at_mp2020(
    phosphates: tuple[Hull, list[Any], Any],
) -> None:
    hull, _, diagram = phosphates
    stable = {peer.entry_id for peer in diagram.stable_entries}
    assert hull.level == MP2020
    assert len(hull.entries_on_hull) == 40
    assert {hull.ids[row] for row in hull.entries_on_hull} == stable


def separation_differences(phosphates: tuple[Hull, list[Any], Any], rows: list[int]) -> list[float]:
    hull, peers, diagram = phosphates
    ours = hull.decomposition_energy(hull.compositions[rows], hull.energies[rows])
    theirs = [diagram.get_phase_separation_energy(peers[row]) for row in rows]
    return np.abs(ours - theirs).tolist()


@pytest.mark.filterwarnings("ignore:There are")
def test_decomposition_energies_equal_pymatgens_phase_separation_energies(
    phosphates: tuple[Hull, list[Any], Any],
) -> None:
    hull, _, _ = phosphates
    small = np.flatnonzero((hull.fractions > 0).sum(axis=1) <= 2)
    stable = [int(row) for row in hull.entries_on_hull if row in small]
    others = np.random.default_rng(2).choice(small, 20, replace=False).tolist()
    assert max(separation_differences(phosphates, stable + others)) < 1e-8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There are")
def test_decomposition_energies_of_ternaries_equal_pymatgens_phase_separation_energies(
    phosphates: tuple[Hull, list[Any], Any],
) -> None:
    hull, _, _ = phosphates
    ternary = np.flatnonzero((hull.fractions > 0).sum(axis=1) >= 3)
    rows = np.random.default_rng(2).choice(ternary, 40, replace=False).tolist()
    assert max(separation_differences(phosphates, rows)) < 1e-8


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:There are")
def test_all_decomposition_energies_of_li_fe_p_o_equal_pymatgens(
    phosphates: tuple[Hull, list[Any], Any],
) -> None:
    assert max(separation_differences(phosphates, list(range(len(phosphates[0]))))) < 1e-8


# -- laws -----------------------------------------------------------------------------------------


@given(entries(), st.integers(0, 2**31))
def test_adding_a_phase_never_raises_the_hull(
    system: tuple[Compositions, Energies], seed: int
) -> None:
    compositions, energies = system
    rng = np.random.default_rng(seed)
    before = Hull(*system)
    row = int(rng.integers(len(compositions)))
    lower = Energies(
        np.append(energies.values, energies.values[row] - rng.random()), "formation", LEVEL
    )
    after = Hull(Compositions.concat([compositions, compositions[row]]), lower)
    assert (after.energy(compositions).values <= before.energy(compositions).values + CLOSE).all()


@given(entries())
def test_hull_distance_is_zero_for_every_stable_phase(
    system: tuple[Compositions, Energies],
) -> None:
    hull = Hull(*system)
    corners = hull.entry_of_point[hull.lower.stable]
    assert hull.distances[corners] == pytest.approx(0.0, abs=PLANE)
    assert hull.stable[corners].all()


@given(entries())
def test_no_entry_lies_below_the_hull(system: tuple[Compositions, Energies]) -> None:
    hull = Hull(*system)
    assert hull.distance(hull.compositions, hull.energies).min() > -PLANE


@given(entries(), st.permutations(range(5)))
def test_permuting_the_elements_changes_nothing(
    system: tuple[Compositions, Energies], permutation: list[int]
) -> None:
    compositions, energies = system
    renamed = {z: ELEMENTS[permutation[i]] for i, z in enumerate(ELEMENTS[:5])}
    permuted = Compositions.from_dicts(
        [{renamed[z]: amount for z, amount in row.items()} for row in compositions]
    )
    count = len(compositions)
    expected = Hull(*system).distances[:count]
    assert Hull(permuted, energies).distances[:count] == pytest.approx(expected, abs=CLOSE)


@given(entries(), st.randoms(use_true_random=False))
def test_the_order_of_the_entries_changes_nothing(
    system: tuple[Compositions, Energies], random: Any
) -> None:
    compositions, energies = system
    order = list(range(len(compositions)))
    random.shuffle(order)
    expected = Hull(*system).distances[: len(order)][order]
    shuffled = Hull(compositions[order], energies[order]).distances[: len(order)]
    assert shuffled == pytest.approx(expected, abs=CLOSE)


@given(entries(), st.integers(0, 24))
def test_insertion_equals_building_afresh(system: tuple[Compositions, Energies], cut: int) -> None:
    compositions, energies = system
    cut = 1 + cut % len(compositions)
    grown = Hull(compositions[:cut], energies[:cut])
    grown = grown.insert(compositions[cut:], energies[cut:])
    whole = Hull(compositions, energies)
    assert grown.elements == whole.elements
    asked = formation(np.zeros(len(compositions)))
    assert grown.distance(compositions, asked) == pytest.approx(
        whole.distance(compositions, asked), abs=CLOSE
    )
    assert grown.decomposition_energy(compositions, asked) == pytest.approx(
        whole.decomposition_energy(compositions, asked), abs=CLOSE
    )


@given(entries())
def test_decomposition_energy_equals_a_hull_without_the_formula(
    system: tuple[Compositions, Energies],
) -> None:
    compositions, energies = system
    hull = Hull(*system)
    names = np.array(compositions.reduced_formulas())
    row = int(np.argmin(energies.values))
    if len(compositions[row].present()) == 1:
        return
    others = names != names[row]
    elements = Compositions.from_dicts([{z: 1.0} for z in hull.elements])
    rest = Compositions.concat([compositions[others], elements])
    zeros = np.zeros(len(elements))
    alone = Hull(rest, formation(np.concatenate([energies.values[others], zeros])))
    expected = alone.distance(compositions[row], energies[row])
    found = hull.decomposition_energy(compositions[row], energies[row])
    assert found == pytest.approx(expected, abs=CLOSE)


@given(entries())
def test_decompositions_conserve_atoms_and_energy(
    system: tuple[Compositions, Energies],
) -> None:
    hull = Hull(*system)
    parts = hull.decompose(hull.compositions)
    for row, products in enumerate(parts):
        chosen, amounts = list(products), np.array(list(products.values()))
        assert amounts @ hull.fractions[chosen] == pytest.approx(hull.fractions[row], abs=1e-8)
        energy = amounts @ hull.energies.values[chosen]
        assert energy == pytest.approx(parts.energies[row], abs=1e-7)


def test_total_and_formation_energies_give_the_same_distances() -> None:
    compositions, energies = random_system(4, 60, 5)
    elements = Compositions.from_dicts([{z: 1.0} for z in ELEMENTS[:4]])
    references = np.array([-1.9, -4.9, -5.4, -4.1])
    together = Compositions.concat([compositions, elements])
    values = np.concatenate([energies.values, np.zeros(4)])
    totals = total(values + together.fractions(ELEMENTS[:4]) @ references)
    expected = Hull(together, formation(values)).distances
    assert Hull(together, totals).distances == pytest.approx(expected, abs=CLOSE)


# -- degenerate systems ---------------------------------------------------------------------------


def test_phases_of_an_ideal_mixture_all_lie_on_the_hull() -> None:
    amounts = np.array([[a, b, c] for a in range(5) for b in range(5) for c in range(5)])[1:]
    mixed = np.sort(amounts, axis=1)[:, 1] > 0
    x = amounts[mixed] / amounts[mixed].sum(axis=1, keepdims=True)
    hull = Hull(compositions_of(amounts[mixed]), formation(-np.min(x, axis=1)))
    assert hull.distances[: mixed.sum()] == pytest.approx(0.0, abs=PLANE)


def test_compounds_of_zero_formation_energy_are_on_the_hull_of_the_elements() -> None:
    hull = Hull(["Li2O", "LiO2", "Li3O4"], formation([0.0, 0.0, 0.0]))
    assert hull.stable.all()
    assert len(hull.facets) == 1


def test_compounds_above_the_elements_leave_the_hull_to_the_elements() -> None:
    hull = Hull(["Li2O"], formation([0.3]))
    assert hull.distances.tolist() == [0.3, 0.0, 0.0]


def test_a_single_element_has_a_hull_of_its_lowest_form() -> None:
    hull = Hull(["Fe", "Fe2"], total([-8.3, -8.1]))
    assert hull.distances == pytest.approx([0.0, 0.2])
    assert hull.decomposition_energy("Fe", total([-8.4])) == pytest.approx([-0.1])


def test_many_entries_of_one_composition_count_as_the_lowest() -> None:
    hull = Hull(["LiO"] * 50, formation(np.linspace(-1.0, -0.5, 50)))
    assert hull.distances[:50] == pytest.approx(np.linspace(0.0, 0.5, 50))


def test_an_elemental_entry_above_zero_does_not_replace_the_element() -> None:
    hull = Hull(["Cs", "CsCl"], formation([0.04, -2.0]))
    assert hull.distances[0] == pytest.approx(0.04)


# -- kinds and levels ------------------------------------------------------------------------------


def test_bare_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="kind and level"):
        Hull(["Li2O"], np.array([-2.0]))  # type: ignore[arg-type]


def test_bare_numbers_for_candidates_are_refused() -> None:
    with pytest.raises(InputError, match="kind and level"):
        lithium_oxides().distance("Li2O", [-2.0])  # type: ignore[arg-type]


def test_missing_elements_of_total_energies_are_named() -> None:
    with pytest.raises(InputError, match="Li, P are missing"):
        Hull(["Li3PS4", "S8"], total([-5.0, -4.1]))


def test_one_missing_element_is_named_in_the_singular() -> None:
    with pytest.raises(InputError, match="O is missing"):
        Hull(["Li2O", "Li"], total([-5.0, -1.9]))


def test_mixing_kinds_is_refused() -> None:
    with pytest.raises(LevelError, match="total"):
        lithium_oxides().distance("Li2O", total([-4.0]))


@pytest.mark.parametrize("verb", ["distance", "decomposition_energy", "insert"])
def test_mixing_levels_is_refused(verb: str) -> None:
    other = Energies([-2.0], "formation", Level("r2SCAN"))
    with pytest.raises(LevelError, match="r2SCAN"):
        getattr(lithium_oxides(), verb)("Li2O", other)


def emulating() -> Energies:
    return Energies([-2.1], "formation", Level("PBE", code="CHGNet", emulates=LEVEL))


def test_a_potential_is_refused_where_it_was_not_admitted() -> None:
    with pytest.raises(LevelError, match="allow_emulated"):
        lithium_oxides().distance("Li2O", emulating())


def test_a_potential_is_admitted_on_the_hull_that_it_emulates() -> None:
    hull = Hull(["Li2O"], formation([-2.0]), allow_emulated=True)
    assert hull.distance("Li2O", emulating()) == pytest.approx([-0.1])


def test_a_hull_with_emulated_entries_says_so() -> None:
    hull = Hull(["Li2O"], formation([-2.0]), allow_emulated=True).insert("LiO", emulating())
    assert "CHGNet" in repr(hull)
    assert "emulate" in hull.level_text


# -- input ----------------------------------------------------------------------------------------


def test_crystals_bring_their_ids() -> None:
    crystals = Crystals.from_arrays(
        [np.eye(3) * 4], [[[0, 0, 0], [0.5, 0.5, 0.5]]], [[3, 9]], columns={"id": ["mp-1"]}
    )
    assert Hull(crystals, formation([-3.0])).ids[0] == "mp-1"


def test_a_wrong_number_of_ids_is_refused() -> None:
    with pytest.raises(InputError, match="2 ids"):
        Hull(["Li2O"], formation([-2.0]), ids=["a", "b"])


def test_a_wrong_number_of_energies_is_refused() -> None:
    with pytest.raises(InputError, match="1 energies were given for 2"):
        Hull(["Li2O", "LiO"], formation([-2.0]))


def test_an_energy_that_is_not_a_number_is_named() -> None:
    with pytest.raises(InputError, match="entry 1 is not a number"):
        Hull(["Li2O", "LiO"], formation([-2.0, np.nan]))


def test_a_hull_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one entry"):
        Hull([], formation([]))


def test_what_is_no_formula_is_refused() -> None:
    with pytest.raises(InputError, match="not int"):
        Hull(3, formation([1.0]))  # type: ignore[arg-type]


def test_a_composition_without_atoms_is_refused() -> None:
    with pytest.raises(InputError, match="no atoms"):
        Hull(Compositions.from_dicts([{}]), formation([0.0]))


def test_a_candidate_outside_the_system_is_named() -> None:
    with pytest.raises(InputError, match="NaCl contains Na"):
        lithium_oxides().distance(["Li2O", "NaCl"], formation([-2.0, -1.0]))


def test_an_unknown_element_is_named() -> None:
    with pytest.raises(FormulaError, match="Xx"):
        lithium_oxides().decompose("LiXx")


# -- insertion and members ------------------------------------------------------------------------


def test_insertion_leaves_the_old_hull_as_it_was() -> None:
    hull = lithium_oxides()
    hull.insert("Li3O2", formation([-5.0]))
    assert hull.distances[:3] == pytest.approx(lithium_oxides().distances[:3])


def test_inserting_a_new_element_widens_the_system() -> None:
    assert lithium_oxides().insert("LiF", formation([-3.0])).system == "F-Li-O"


def test_inserting_a_lower_element_moves_the_reference() -> None:
    hull = Hull(["Li", "O", "Li2O"], total([-1.9, -4.9, -5.0]))
    moved = hull.insert("Li", total([-2.5]))
    assert moved.references[0] == -2.5
    assert moved.distances[0] == pytest.approx(0.6)


@pytest.mark.parametrize("energy", [-2.0, -2.5])
def test_a_replaced_phase_holds_its_facets_until_the_new_one_comes(energy: float) -> None:
    formulas, values = ["LiPO", "PO", "LiPO"], np.array([-1.0, energy, -1.5])
    grown = Hull(formulas[:1], formation(values[:1])).insert(formulas[1:], formation(values[1:]))
    expected = Hull(formulas, formation(values)).energy(formulas).values
    assert grown.energy(formulas).values == pytest.approx(expected)


def test_undercutting_a_stable_phase_takes_its_place() -> None:
    hull = lithium_oxides().insert("Li4O2", formation([-2.5]), ids=["new"])
    assert hull.ids[hull.decompose("Li2O").products[0]] == "new"
    assert hull.distances[0] == pytest.approx(0.5)


def test_members_of_an_ensemble_have_hulls_of_their_own() -> None:
    hull = lithium_oxides()
    shifted = hull.with_energies(formation(hull.energies.values - 0.1 * (hull.distances >= 0)))
    assert len(shifted) == len(hull)


# -- looking ------------------------------


def test_reactions_are_readable() -> None:
    hull = Hull(["Li2S", "P2S5", "Li3PS4"], formation([-1.5, -0.8, -1.0]))
    assert hull.decompose("Li3PS4").reactions() == ["Li3PS4 → 1.5 Li2S + 0.5 P2S5"]


def test_a_stable_phase_stays_what_it_is_and_competes_with_others() -> None:
    hull = lithium_oxides()
    assert hull.decompose("Li2O").reactions() == ["Li2O → Li2O"]
    assert hull.competing_phases("Li2O").reactions() == ["Li2O → 0.5 Li2O2 + Li"]


def test_a_hull_names_its_system_and_level() -> None:
    assert repr(lithium_oxides()).startswith("Hull(Li-O: 5 entries, 4 stable, formation")


def test_the_tolerance_of_the_hull_is_that_of_gnome() -> None:
    assert ON_HULL == 5e-5
