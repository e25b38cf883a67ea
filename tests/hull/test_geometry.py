from __future__ import annotations

import numpy as np
import pytest
from hull_systems import compositions_of, entries, formation, lowest_by_highs, random_system
from hypothesis import given, settings

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.hull import geometry
from materialabs.hull.geometry import LowerHull
from materialabs.hull.hull import Hull
from materialabs.levels import Energies

CLOSE = 1e-9


def by_programme(hull: Hull) -> Hull:
    """The same hull with its facets forgotten."""
    other = Hull(hull.compositions, hull.energies)
    other.lower = LowerHull(hull.lower.points, None)
    return other


@given(entries())
def test_the_facets_fill_composition_space_once(system: tuple[Compositions, Energies]) -> None:
    hull = Hull(*system)
    corners = hull.lower.points.fractions[hull.lower.require_facets("This").vertices]
    assert np.abs(np.linalg.det(corners)).sum() == pytest.approx(1.0)


@given(entries())
def test_no_phase_lies_below_a_facet(system: tuple[Compositions, Energies]) -> None:
    hull = Hull(*system)
    planes = hull.fractions @ hull.facets.potentials.T
    assert (planes <= hull.formation_energies[:, None] + CLOSE).all()


@given(entries())
def test_neighbours_share_all_corners_but_one(system: tuple[Compositions, Energies]) -> None:
    facets = Hull(*system).facets
    for facet, row in zip(*np.nonzero(facets.neighbours >= 0), strict=True):
        other = facets.neighbours[facet, row]
        shared = set(facets.vertices[facet]) & set(facets.vertices[other])
        assert shared == set(facets.vertices[facet]) - {facets.vertices[facet, row]}
        assert facet in facets.neighbours[other]


@given(entries())
def test_programme_and_facets_give_the_same_energies(
    system: tuple[Compositions, Energies],
) -> None:
    hull = Hull(*system)
    found = by_programme(hull).energy(hull.compositions).values
    assert found == pytest.approx(hull.energy(hull.compositions).values, abs=CLOSE)


@given(entries())
@settings(max_examples=25)
def test_programme_and_facets_give_the_same_decomposition_energies(
    system: tuple[Compositions, Energies],
) -> None:
    hull = Hull(*system)
    found = by_programme(hull).decomposition_energy(hull.compositions, hull.energies)
    expected = hull.decomposition_energy(hull.compositions, hull.energies)
    assert found == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize(("bound", "value"), [("MOST_FACETS", 10), ("MOST_BYTES", 10 * 8 * 5**2)])
def test_a_hull_with_too_many_facets_turns_to_linear_programming(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(geometry, bound, value)
    compositions, energies = random_system(5, 200, 3)
    hull = Hull(compositions, energies)
    x = compositions.fractions(hull.elements)[:10]
    assert hull.lower.facets is None
    expected = lowest_by_highs(compositions, energies, x)
    assert hull.energy(compositions[:10]).values == pytest.approx(expected, abs=CLOSE)


def test_programme_decompositions_conserve_atoms() -> None:
    hull = by_programme(Hull(*random_system(4, 80, 1)))
    for row, products in enumerate(hull.decompose(hull.compositions[:20])):
        rebuilt = np.array(list(products.values())) @ hull.fractions[list(products)]
        assert rebuilt == pytest.approx(hull.fractions[row], abs=1e-9)


def test_insertion_into_a_hull_without_facets_equals_building_afresh() -> None:
    compositions, energies = random_system(4, 80, 2)
    part = by_programme(Hull(compositions[:40], energies[:40]))
    grown = part.insert(compositions[40:], energies[40:])
    asked = formation(np.zeros(len(compositions)))
    expected = Hull(compositions, energies).distance(compositions, asked)
    assert grown.distance(compositions, asked) == pytest.approx(expected, abs=CLOSE)


def test_what_needs_facets_says_so_where_there_are_too_many() -> None:
    hull = by_programme(Hull(["Li2O"], formation([-2.0])))
    with pytest.raises(InputError, match="choose a sub-system"):
        _ = hull.facets


def test_a_composition_with_a_foreign_element_has_no_hull_energy() -> None:
    hull = Hull(["Li2O"], formation([-2.0]))
    asked = Compositions.parse(["Li2O", "NaCl"])
    for lower in (hull.lower, LowerHull(hull.lower.points, None)):
        found = lower.energies(asked, hull._column)
        assert found[0] == pytest.approx(-2.0)
        assert np.isnan(found[1])


def test_absurd_energies_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from materialabs.hull import mixture_kernels

    def give_up(*arguments: np.ndarray) -> None:
        arguments[5][:] = np.nan

    monkeypatch.setattr(mixture_kernels, "cheapest_mixtures", give_up)
    hull = by_programme(Hull(["Li2O"], formation([-2.0])))
    with pytest.raises(InputError, match="absurd size"):
        hull.lower.mixtures(np.array([[0.5, 0.5]]))


def test_a_thousand_phases_of_six_elements_agree_with_linear_programming() -> None:
    compositions, energies = random_system(6, 1000, 4)
    hull = Hull(compositions, energies)
    x = np.random.default_rng(1).dirichlet(np.ones(6), 40)
    asked = Compositions.from_dicts([dict(zip(hull.elements, row, strict=True)) for row in x])
    expected = lowest_by_highs(compositions, energies, x)
    assert hull.energy(asked).values == pytest.approx(expected, abs=CLOSE)


def test_facets_equal_those_of_qhull() -> None:
    from scipy.spatial import ConvexHull

    compositions, energies = random_system(4, 150, 9)
    hull = Hull(compositions, energies)
    rows = np.flatnonzero(hull.formation_energies < 0)
    rows = np.unique(np.concatenate([rows, hull.entry_of_point[: len(hull.elements)]]))
    points = np.column_stack([hull.fractions[rows, 1:], hull.formation_energies[rows]])
    top = np.append(np.full(3, 0.25), 5.0)
    whole = ConvexHull(np.vstack([points, top]), qhull_options="Qt i")
    lower = {
        frozenset(rows[list(facet)].tolist())
        for facet in whole.simplices
        if len(rows) not in facet and abs(np.linalg.det(hull.fractions[rows[facet]])) > 1e-12
    }
    assert {frozenset(facet) for facet in hull.facets.vertices.tolist()} == lower


def test_the_plain_functions_do_what_the_compiled_ones_do() -> None:
    from materialabs.hull import facet_kernels as kernels

    hull = Hull(compositions_of([[1, 1], [2, 1]]), formation([-1.0, -1.1]))
    facets = hull.lower.require_facets("This")
    x = np.array([0.6, 0.4])
    alive = np.ones(len(facets), dtype=bool)
    walked = kernels.walk.py_func(x, 0, facets.inverse, facets.neighbours)
    highest = kernels.highest_plane.py_func(x, facets.potentials, facets.inverse, alive)
    assert walked == highest == int(np.argmax(facets.potentials @ x))
