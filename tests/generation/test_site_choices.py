from __future__ import annotations

import warnings
from itertools import combinations_with_replacement, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import FormulaError, InputError
from materialabs.generation.site_choices import (
    can_hold,
    cell_contents,
    count_choices,
    groups_checked,
    possible_groups,
    why_impossible,
)
from materialabs.generation.wyckoff import space_group


def brute_force(counts: list[int], number: int) -> int:
    """Count the choices by listing every multiset of letters for every element."""
    positions = space_group(number).positions
    fixed = {p.letter for p in positions if p.freedom == 0}
    size = {p.letter: p.primitive_multiplicity for p in positions}
    options = [
        [
            letters
            for n in range(1, count // min(size.values()) + 1)
            for letters in combinations_with_replacement(sorted(size), n)
            if sum(size[letter] for letter in letters) == count
        ]
        for count in counts
    ]
    total = 0
    for choice in product(*options):
        used = [letter for letters in choice for letter in letters if letter in fixed]
        total += len(used) == len(set(used))
    return total


SMALL = [2, 10, 19, 75, 81, 115, 143, 147, 156, 189, 195, 215, 216, 221, 225, 227]


@given(
    st.sampled_from(SMALL),
    st.lists(st.integers(1, 5), min_size=1, max_size=2),
)
def test_number_of_choices_is_that_of_listing_them_all(number, counts):
    contents = dict(zip((8, 14, 20), counts, strict=False))
    assert count_choices(contents, number) == brute_force(counts, number)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_a_group_can_hold_exactly_what_has_a_choice(counts):
    contents = dict(zip((3, 8, 14, 20), counts, strict=False))
    held = can_hold(contents)
    for number in range(1, 231, 7):
        assert held[number - 1] == (count_choices(contents, number) > 0)


def test_pyxtal_finds_the_same_compositions_possible():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyxtal.symmetry import Group

        for number in (2, 14, 62, 99, 123, 136, 148, 166, 191, 194, 205, 216, 221, 225, 227):
            group = Group(number)
            for counts in ([1], [2], [3], [1, 1], [1, 2], [2, 3], [4, 6], [3, 1, 4], [5, 5]):
                theirs, _ = group.check_compatible([n * group.cellsize() for n in counts])
                ours = can_hold(dict(zip((3, 8, 14), counts, strict=False)))[number - 1]
                assert ours == theirs, (number, counts)


def test_p1_holds_everything():
    assert all(can_hold({1: n, 6: m})[0] for n in (1, 7, 50) for m in (1, 3))


def test_rock_salt_needs_one_formula_unit_in_its_group():
    assert 225 in possible_groups("NaCl", 1)
    assert 225 not in possible_groups("NaCl", 5)


def test_positions_without_freedom_are_taken_once_over_all_elements():
    # F-43m has four places for one atom, and no other way to hold one
    four = {3: 1, 8: 1, 14: 1, 20: 1}
    assert can_hold(four)[216 - 1]
    assert not can_hold({**four, 26: 1})[216 - 1]


def test_reason_names_the_group_the_count_and_the_element():
    reason = why_impossible({8: 5}, 225)
    assert reason is not None
    assert reason.startswith("Fm-3m (225) cannot hold 5 O in its primitive cell")
    assert "once each" in reason


def test_reason_says_when_elements_only_clash_together():
    reason = why_impossible({3: 1, 8: 1, 14: 1, 20: 1, 26: 1}, 216)
    assert reason is not None
    assert "though each element alone would fit" in reason


def test_reason_of_a_group_without_fixed_positions_lists_the_free_ones():
    assert why_impossible({8: 3}, 4) == (
        "P2_1 (4) cannot hold 3 O in its primitive cell: it has positions for 2 atoms."
    )


def test_there_is_no_reason_where_there_is_a_home():
    assert why_impossible({8: 2}, 4) is None


def test_fractional_amounts_are_refused_until_the_cell_is_whole():
    assert cell_contents("Li0.5O", 2) == {3: 1, 8: 2}
    with pytest.raises(InputError, match=r"0\.5 Li, which is not whole"):
        cell_contents("Li0.5O", 1)


@pytest.mark.parametrize("cells", [0, -1, 1.5, True])
def test_formula_units_are_a_whole_number_from_one(cells):
    with pytest.raises(InputError, match="whole number from 1"):
        cell_contents("NaCl", cells)


def test_huge_cells_are_refused():
    with pytest.raises(InputError, match="at most 500"):
        cell_contents("NaCl", 251)


def test_unknown_elements_are_refused():
    with pytest.raises(FormulaError, match="'Xx'"):
        possible_groups("LiXx")


def test_space_groups_default_to_all():
    assert groups_checked(None) == list(range(1, 231))
    assert groups_checked(225) == [225]
    assert groups_checked([2, 2, 1]) == [2, 1]


def test_an_empty_list_of_space_groups_is_refused():
    with pytest.raises(InputError, match="empty"):
        groups_checked([])
