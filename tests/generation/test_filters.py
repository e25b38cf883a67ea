"""Filters against hand counts, pymatgen densities and ASE distances."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, molecule
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.elements import PRICE, atomic_number
from materialabs.errors import FormulaError, InputError, NotFound
from materialabs.generation.balance import RelaxedBalance
from materialabs.generation.filters import (
    AtomCount,
    DensityRange,
    Filter,
    FormulaFilter,
    LargestPrice,
    OnlyElements,
    RequiredElements,
    SmallestDistance,
    WithoutElements,
    WithoutRadioactiveElements,
    WithoutToxicElements,
    apply,
    densities,
    element_prices,
)

ALL = [
    FormulaFilter(),
    LargestPrice(100.0),
    WithoutElements(["Pb"]),
    OnlyElements(["Na", "Cl"]),
    RequiredElements(["Na"]),
    WithoutToxicElements(),
    WithoutRadioactiveElements(),
    SmallestDistance(1.0),
    AtomCount(most=10),
    DensityRange(highest=5.0),
]


@pytest.fixture
def crystals() -> Crystals:
    atoms = [
        bulk("NaCl", "rocksalt", a=5.64),
        bulk("PbTe", "rocksalt", a=6.46),
        bulk("Au"),
        bulk("UC", "rocksalt", a=4.96),
        bulk("LiF", "rocksalt", a=4.03) * (2, 2, 2),
    ]
    return Crystals.from_ase(atoms)


def kept(condition: Filter, crystals: Crystals) -> list[str]:
    return crystals[condition(crystals)].reduced_formulas()


def test_charge_balance_drops_the_carbide_and_keeps_the_salts(crystals: Crystals) -> None:
    assert kept(FormulaFilter(), crystals) == ["NaCl", "TePb", "Au", "UC", "LiF"]
    sub = Crystals.from_arrays([np.eye(3) * 5], [[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]]],
                               [[11, 17, 17]])  # fmt: skip
    assert kept(FormulaFilter(), sub) == []
    assert kept(FormulaFilter(RelaxedBalance()), sub) == ["NaCl2"]


def test_the_reason_of_a_formula_filter_names_its_rule() -> None:
    assert FormulaFilter(RelaxedBalance()).reason == "its formula fails RelaxedBalance"


def test_price_is_weighed_by_mass(crystals: Crystals) -> None:
    sodium, chlorine = PRICE[atomic_number("Na")], PRICE[atomic_number("Cl")]
    expected = (22.98977 * sodium + 35.453 * chlorine) / (22.98977 + 35.453)
    assert element_prices(crystals.compositions)[0] == pytest.approx(expected)


def test_dear_elements_and_those_without_a_price_are_refused(crystals: Crystals) -> None:
    assert kept(LargestPrice(2000.0), crystals) == ["NaCl", "TePb", "LiF"]


def test_elements_can_be_forbidden(crystals: Crystals) -> None:
    assert kept(WithoutElements(["Pb", "Au"]), crystals) == ["NaCl", "UC", "LiF"]


def test_elements_can_be_limited_to_a_list(crystals: Crystals) -> None:
    assert kept(OnlyElements(["Na", "Cl", "F"]), crystals) == ["NaCl"]


def test_elements_can_be_required(crystals: Crystals) -> None:
    assert kept(RequiredElements(["Li", "F"]), crystals) == ["LiF"]


def test_toxic_elements_are_avoided(crystals: Crystals) -> None:
    assert kept(WithoutToxicElements(), crystals) == ["NaCl", "Au", "LiF"]


def test_the_elements_avoided_by_default_are_those_of_the_lists() -> None:
    expected = ("Be", "As", "Se", "Cd", "Hg", "Tl", "Pb", "U")
    assert WithoutToxicElements().symbols == expected


def test_one_hazard_list_can_be_chosen(crystals: Crystals) -> None:
    condition = WithoutToxicElements(("RoHS",))
    assert kept(condition, crystals) == ["NaCl", "Au", "UC", "LiF"]
    assert condition.reason == "it has one of Cd, Hg, Pb, toxic by RoHS"


def test_an_unknown_hazard_list_names_those_there_are() -> None:
    with pytest.raises(NotFound, match="RoHS"):
        WithoutToxicElements(("mine",))


def test_radioactive_elements_are_avoided(crystals: Crystals) -> None:
    assert "UC" not in kept(WithoutRadioactiveElements(), crystals)


def test_smallest_distance_agrees_with_ase() -> None:
    generator = np.random.default_rng(0)
    atoms = []
    for _ in range(30):
        one = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
        one.set_cell(one.cell.array @ (np.eye(3) + generator.normal(0, 0.2, (3, 3))), True)
        one.rattle(0.3, seed=int(generator.integers(1_000_000)))
        atoms.append(one)
    limit = 2.0
    from ase.neighborlist import neighbor_list

    expected = [len(neighbor_list("d", one, limit)) == 0 for one in atoms]
    assert 3 < sum(expected) < 28
    assert SmallestDistance(limit)(Crystals.from_ase(atoms)).tolist() == expected


def test_smallest_distance_sees_images_through_a_tiny_cell() -> None:
    tiny = Crystals.from_arrays([np.diag([1.0, 8.0, 8.0])], [[[0.1, 0, 0]]], [[3]])
    assert not SmallestDistance(1.5)(tiny)[0]
    assert SmallestDistance(0.9)(tiny)[0]


def test_smallest_distance_ignores_images_along_open_directions() -> None:
    water = molecule("H2O")
    assert SmallestDistance(0.9)(Crystals.from_ase(water))[0]


def test_atoms_that_share_a_site_do_not_count_as_near() -> None:
    shared = Crystals(
        np.eye(3)[None] * 4,
        np.zeros((2, 3)),
        np.array([11, 19]),
        np.array([0, 2]),
        occupancy=Occupancy(np.array([0, 1, 2]), np.array([11, 19], np.uint8), np.full(2, 0.5)),
    )
    assert SmallestDistance(1.0)(shared)[0]


def test_the_number_of_atoms_can_be_limited(crystals: Crystals) -> None:
    assert kept(AtomCount(fewest=2, most=2), crystals) == ["NaCl", "TePb", "UC"]


def test_densities_agree_with_pymatgen(crystals: Crystals) -> None:
    expected = [structure.density for structure in crystals.to_pymatgen()]
    assert densities(crystals) == pytest.approx(expected, rel=1e-3)


def test_density_can_be_limited_on_both_sides(crystals: Crystals) -> None:
    assert kept(DensityRange(lowest=2.0, highest=9.0), crystals) == ["NaCl", "TePb", "LiF"]


@pytest.mark.parametrize("condition", ALL, ids=lambda c: type(c).__name__)
def test_every_filter_gives_one_answer_for_each_crystal_and_a_reason(
    condition: Filter, crystals: Crystals
) -> None:
    assert isinstance(condition, Filter)
    assert condition(crystals).dtype == bool
    assert condition(crystals).shape == (5,)
    assert condition(Crystals.empty()).shape == (0,)
    assert len(condition.reason) > 10


def test_a_crystal_is_given_the_reason_of_the_first_filter_that_refuses_it(
    crystals: Crystals,
) -> None:
    toxic, heavy = WithoutToxicElements(), DensityRange(highest=5.0)
    left, report = apply([toxic, heavy], crystals)
    assert left.reduced_formulas() == ["NaCl", "LiF"]
    assert report.reasons == (None, toxic.reason, heavy.reason, toxic.reason, None)
    assert report.kept.tolist() == [True, False, False, False, True]
    assert report.refused == ((toxic.reason, 2), (heavy.reason, 1))


def test_the_report_counts_in_words(crystals: Crystals) -> None:
    _, report = apply([WithoutRadioactiveElements(), SmallestDistance(0.5)], crystals)
    assert str(report) == "4 of 5 crystals kept\n1 refused: it has a radioactive element"


def test_no_filter_keeps_everything(crystals: Crystals) -> None:
    left, report = apply([], crystals)
    assert len(left) == 5
    assert report.kept.all()


def test_a_filter_that_answers_for_too_few_is_named(crystals: Crystals) -> None:
    class Broken:
        reason = "nothing"

        def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
            return np.ones(1, dtype=bool)

    with pytest.raises(InputError, match="Broken answers for 1 of 5"):
        apply([Broken()], crystals)


@pytest.mark.parametrize("symbols", [[], "Pb"])
def test_a_list_of_elements_is_a_list(symbols: list[str]) -> None:
    with pytest.raises(InputError, match="list of symbols"):
        WithoutElements(symbols)


def test_an_unknown_element_is_refused() -> None:
    with pytest.raises(FormulaError, match="'Xx'"):
        OnlyElements(["Xx"])


@pytest.mark.parametrize("make", [lambda: AtomCount(5, 2), lambda: DensityRange(3.0, 1.0)])
def test_an_empty_range_is_refused(make: type) -> None:
    with pytest.raises(InputError, match="at least"):
        make()


@pytest.mark.parametrize("kind", [LargestPrice, SmallestDistance])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_limit_below_zero_is_refused(kind: type, value: float) -> None:
    with pytest.raises(InputError, match="from zero"):
        kind(value)
