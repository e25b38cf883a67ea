"""A property of crystals of one structure type."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.discovery.surrogate_families import Family, FamilySurrogate
from materialabs.elements import atomic_number
from materialabs.errors import InputError

PLACES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0), (0, 0.5, 0.5)]
ORBITS = ((0,), (1,), (2, 3, 4))


def perovskites(*occupants: str) -> Crystals:
    numbers = [[atomic_number(symbol) for symbol in row.split()] for row in occupants]
    cell = 4.0 * np.eye(3)
    return Crystals.from_arrays([cell] * len(numbers), [PLACES] * len(numbers), numbers)


def test_charges_of_a_balanced_perovskite_add_up_to_nothing() -> None:
    family = Family.of(perovskites("Sr Ti O O O", "La Al O O O", "K Al O O O"), ORBITS)
    assert family.charges()[:, 0].tolist() == [0.0, 0.0, 2.0]


def test_anions_take_their_lowest_state() -> None:
    # N can be +5, yet at an anion's site it counts as -3: La(+3) Al(+3) N3(-9) lacks three.
    family = Family.of(perovskites("La Al N N N"), ORBITS)
    assert family.charges()[0, 0] == 3.0


def test_the_order_of_atoms_within_a_kind_of_site_does_not_matter() -> None:
    family = Family.of(perovskites("Sr Ti O O N", "Sr Ti N O O", "Ba Ti O O O"), ORBITS)
    for block in family.described().values():
        np.testing.assert_allclose(block[0], block[1])


def test_a_sum_over_sites_and_a_pair_is_learned_from_a_tenth_of_all() -> None:
    first = ["Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Y", "La"]
    second = ["Ti", "Zr", "Hf", "V", "Nb", "Ta", "Al", "Ga", "Ge", "Sn"]
    anions = ["O O O", "N O O", "F O O"]
    every = perovskites(*(f"{a} {b} {x}" for a, b, x in product(first, second, anions)))
    family = Family.of(every, ORBITS)
    truth = (
        0.01 * family.sites[0][:, 0] - 0.4 * np.isin(family.sites[1][:, 0], [22, 40, 72])
        + 0.02 * family.sites[2].sum(axis=1) + 0.3 * family.charges()[:, 0]
    )  # fmt: skip
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(family))
    known, rest = rows[:45], rows[45:]
    surrogate = FamilySurrogate(family, "eV/atom").learn(known, truth[known])
    left = surrogate.predict(rest).mean - truth[rest]
    assert np.sqrt(np.mean(left**2)) < 0.35 * truth.std()


def test_intervals_hold_what_they_promise_roughly() -> None:
    first, second = (
        ["Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "La"],
        ["Ti", "Zr", "V", "Nb", "Al", "Ga", "Ge", "Sn"],
    )
    every = perovskites(*(f"{a} {b} {x}" for a, b, x in product(first, second, ["O O O", "F O O"])))
    family = Family.of(every, ORBITS)
    rng = np.random.default_rng(1)
    truth = 0.02 * family.sites[0][:, 0] + family.charges()[:, 0] + rng.normal(0, 0.1, len(family))
    rows = rng.permutation(len(family))
    surrogate = FamilySurrogate(family, "eV/atom").learn(rows[:60], truth[rows[:60]])
    told = surrogate.predict(rows[60:])
    inside = (told.low <= truth[rows[60:]]) & (truth[rows[60:]] <= told.high)
    assert 0.75 <= inside.mean() <= 1.0


def test_an_opinion_in_another_unit_helps() -> None:
    metals = ["Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "La", "Ti", "Zr", "V", "Nb"]
    every = perovskites(*(f"{a} {b} O O O" for a, b in product(metals, metals)))
    family = Family.of(every, ORBITS)
    rng = np.random.default_rng(0)
    truth = rng.normal(0.0, 1.0, len(family))  # nothing that the sites could tell
    opinions = (7.0 - 3.0 * truth + rng.normal(0.0, 0.3, len(family)))[:, None]
    rows = rng.permutation(len(family))
    known, rest = rows[:30], rows[30:]
    surrogate = FamilySurrogate(family, "eV/atom", opinions=opinions)
    error = surrogate.learn(known, truth[known]).predict(rest).mean - truth[rest]
    assert np.sqrt(np.mean(error**2)) < 0.3


def test_draws_are_one_row_for_each_member() -> None:
    family = Family.of(perovskites("Sr Ti O O O", "La Al O O O", "K Al O O O"), ORBITS)
    surrogate = FamilySurrogate(family, "eV/atom").learn(np.array([0, 1]), np.array([0.1, 0.4]))
    assert surrogate.draws(np.array([2]), seed=0).shape == (64, 1)


def test_crystals_of_unequal_size_are_no_family() -> None:
    cell = 4.0 * np.eye(3)
    mixed = Crystals.from_arrays([cell, cell], [[(0, 0, 0)], [(0, 0, 0), (0.5,) * 3]],
                                 [[11], [11, 17]])  # fmt: skip
    with pytest.raises(InputError, match="same number of atoms"):
        Family.of(mixed, ((0,),))


def test_atoms_of_no_kind_of_site_are_refused() -> None:
    with pytest.raises(InputError, match="each atom is of one kind"):
        Family.of(perovskites("Sr Ti O O O"), ((0,), (1,), (2, 3)))


def test_too_many_kinds_of_sites_are_refused() -> None:
    cell = 9.0 * np.eye(3)
    places = [(0.1 * k, 0.0, 0.0) for k in range(7)]
    chain = Crystals.from_arrays([cell], [places], [[3] * 7])
    with pytest.raises(InputError, match="at most 6"):
        Family.of(chain, [(k,) for k in range(7)])
