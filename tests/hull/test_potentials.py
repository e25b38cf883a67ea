from __future__ import annotations

import numpy as np
import pytest
from hull_systems import formation, peer_entries, random_system

from materialabs.errors import FormulaError, InputError
from materialabs.hull.geometry import LowerHull
from materialabs.hull.hull import Hull
from materialabs.hull.potentials import convex_polygon, equilibrium


def lithium_oxides() -> Hull:
    return Hull(["Li2O", "LiO"], formation([-2.0, -1.6]))


def without_facets(hull: Hull) -> Hull:
    hull.lower = LowerHull(hull.lower.points, None)
    return hull


def test_potentials_inside_a_tie_line_are_its_intercepts() -> None:
    (state,) = lithium_oxides().chemical_potentials("Li3O2")
    slope = (-1.6 + 2.0) / (1 / 2 - 1 / 3)
    assert state.potentials["Li"] == pytest.approx(-2.0 - slope / 3)
    assert state.potentials["O"] == pytest.approx(-2.0 + slope * 2 / 3)


def test_a_stable_phase_takes_part_in_every_equilibrium_around_it() -> None:
    states = lithium_oxides().chemical_potentials("Li2O")
    expected = {frozenset({"Li", "Li2O"}), frozenset({"Li2O", "Li2O2"})}
    assert {frozenset(state.phases) for state in states} == expected


def test_potentials_times_composition_is_the_energy_of_every_phase() -> None:
    compositions, energies = random_system(4, 60, 1)
    hull = Hull(compositions, energies)
    for facet in range(0, len(hull.facets), 7):
        state = equilibrium(hull, facet)
        values = np.array(list(state.absolute.values()))
        rows = list(state.entries)
        assert hull.fractions[rows] @ values == pytest.approx(hull.energies.values[rows])


def test_potentials_of_a_hull_without_facets_support_the_composition() -> None:
    hull = without_facets(lithium_oxides())
    (state,) = hull.chemical_potentials("Li3O2")
    assert set(state.phases) == {"Li2O", "Li2O2"}
    assert str(state).endswith("eV/atom")


def test_windows_in_a_binary_end_where_the_neighbours_begin() -> None:
    windows = lithium_oxides().stability_windows("O")
    assert windows["Li2O"] == pytest.approx((-6.0, -0.4))
    assert windows["Li2O2"] == pytest.approx((-0.4, 0.0))
    assert windows["O2"] == (0.0, 0.0)
    assert windows["Li"] == (-np.inf, pytest.approx(-6.0))


def test_windows_equal_pymatgens_ranges() -> None:
    from pymatgen.analysis.phase_diagram import PhaseDiagram
    from pymatgen.core import Composition, Element

    compositions, energies = random_system(3, 40, 6)
    hull = Hull(compositions, energies)
    diagram = PhaseDiagram(peer_entries(compositions, energies))
    windows = hull.stability_windows("Li")
    compared = 0
    for formula, (low, high) in windows.items():
        if "Li" not in formula or formula == "Li":
            continue
        peer = diagram.get_chempot_range_stability_phase(Composition(formula), Element("Li"))
        assert peer[Element("Li")] == pytest.approx((low, high), abs=1e-6)
        compared += 1
    assert compared > 3


def test_windows_by_linear_programming_equal_those_from_facets() -> None:
    hull = Hull(*random_system(4, 60, 2))
    expected = hull.stability_windows("S")
    found = without_facets(hull).stability_windows("S")
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == pytest.approx(expected[name], abs=1e-7)


def test_regions_of_a_ternary_tile_the_plane_of_potentials() -> None:
    # without compounds of the two elements alone, which would forbid a part of the plane
    compositions, energies = random_system(3, 40, 3)
    third = compositions.fractions(compositions.present())[:, 2] > 0
    regions = Hull(compositions[third], energies[third]).stability_regions("Li", "O")
    corners = np.concatenate(list(regions.values()))
    low, area = corners.min(axis=0), 0.0
    for polygon in regions.values():
        if len(polygon) > 2:
            x, y = polygon.T
            area += 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert area == pytest.approx(float(np.prod(-low)), rel=1e-6)


def test_points_inside_a_region_are_equilibria_of_its_phase() -> None:
    hull = Hull(*random_system(3, 40, 3))
    points, stable = hull.lower.points, hull.lower.stable
    for formula, polygon in hull.stability_regions("Li", "O").items():
        row = next(
            int(point) for point in stable
            if hull.compositions[hull.entry_of_point[point]].reduced_formulas() == [formula]
        )  # fmt: skip
        x = points.fractions[row]
        if x[2] == 0.0:
            continue
        middle = polygon.mean(axis=0)
        third = (points.energies[row] - x[:2] @ middle) / x[2]
        potentials = np.array([*middle, third])
        assert (points.fractions[stable] @ potentials <= points.energies[stable] + 1e-8).all()


def test_a_region_of_one_element_twice_is_refused() -> None:
    with pytest.raises(InputError, match="two different"):
        lithium_oxides().stability_regions("Li", "Li")


def test_an_element_of_another_system_is_refused() -> None:
    with pytest.raises(FormulaError, match="'Na' is not an element"):
        lithium_oxides().stability_windows("Na")


def test_a_facet_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="facets 0 to 2"):
        equilibrium(lithium_oxides(), 3)


def test_two_compositions_at_once_are_refused() -> None:
    with pytest.raises(InputError, match="one composition"):
        lithium_oxides().chemical_potentials(["Li2O", "LiO"])


def test_the_polygon_of_a_square_leaves_out_inner_points() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5], [0.5, 0.0]], dtype=float)
    assert sorted(map(tuple, convex_polygon(square).tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
