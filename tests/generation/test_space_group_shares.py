"""Random crystals may take their space groups as often as known compounds have them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from materialabs.errors import InputError
from materialabs.generation.airss import airss_candidates
from materialabs.generation.space_group_shares import SIZES, space_group_counts, usual_shares


def test_every_size_has_compounds_and_shares_add_up_to_one() -> None:
    assert (space_group_counts() >= 0).all()
    for atoms in (*SIZES, 200):
        shares = usual_shares(atoms)
        assert shares.shape == (230,)
        assert shares.sum() == pytest.approx(1.0)


def test_small_compounds_are_more_symmetric_than_large_ones() -> None:
    """The commonest groups of the inorganic literature (Urusov and Nadezhina, J. Struct. Chem.
    50, S22, 2009): Pnma leads among all, cubic groups among small cells."""
    assert np.argmax(usual_shares(4)) + 1 in (225, 221)
    assert np.argmax(usual_shares(8)) + 1 in (139, 194)
    assert np.argmax(usual_shares(20)) + 1 == 62
    cubic = slice(194, 230)
    assert usual_shares(4)[cubic].sum() > 0.4 > 0.1 > usual_shares(20)[cubic].sum()


def drawn(usual: float, count: int = 400) -> Counter[int]:
    found = airss_candidates("NaCl", count, cells=1, usual=usual, seed=3).crystals
    return Counter(np.array(found.columns["space_group"]).tolist())


def test_usual_groups_are_drawn_as_often_as_they_occur() -> None:
    even, usual = drawn(0.0), drawn(1.0)
    known = usual_shares(2)
    possible = np.array(sorted({*even, *usual}))
    expected = known[possible - 1] / known[possible - 1].sum()
    top = int(possible[np.argmax(expected)])
    share = float(expected.max())
    assert usual[top] / 400 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 400))
    assert usual[top] > 5 * even[top]
    assert len(even) > len(usual)
    never = [number for number in even if known[number - 1] == 0]
    assert never
    assert not any(usual[number] for number in never)


def test_a_part_is_drawn_evenly() -> None:
    both = drawn(0.5)
    assert any(usual_shares(2)[number - 1] == 0 for number in both)


def test_a_group_that_no_known_compound_has_is_drawn_all_the_same() -> None:
    unknown = [number for number in range(1, 231) if usual_shares(2)[number - 1] == 0]
    found = airss_candidates("NaCl", 5, cells=1, space_groups=unknown, usual=1.0).crystals
    assert len(found) == 5


@pytest.mark.parametrize("usual", [-0.1, 1.1, float("nan")])
def test_a_part_is_between_none_and_all(usual: float) -> None:
    with pytest.raises(InputError, match="0 to 1"):
        airss_candidates("NaCl", 1, usual=usual)
