"""What a campaign chooses from, round by round."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.prototypes import fill, prototypes
from materialabs.discovery.candidates import (
    FAVOURED_CRYSTALS,
    RANDOM_CRYSTALS,
    RANDOM_FORMULAS,
    fresh,
    from_templates,
    make_candidates,
)
from materialabs.discovery.constraints import Constraints
from materialabs.discovery.request import CampaignRequest
from materialabs.generation.candidates import Candidates
from materialabs.generation.space_group_shares import usual_shares
from materialabs.levels import Level

SMALL = Constraints(max_atoms=6)
REQUEST = CampaignRequest("Al-Ni-Ti", Level("test"), constraints=SMALL)


@pytest.fixture(scope="module")
def usual() -> Candidates:
    shipped = prototypes().crystals
    return from_templates(REQUEST, shipped[shipped.counts <= 8], most=400)


def test_each_subsystem_has_its_share(usual: Candidates) -> None:
    counts = Counter(usual.crystals.compositions.systems())
    assert set(counts) == {"Al-Ni", "Al-Ti", "Ni-Ti", "Al-Ni-Ti"}
    assert max(counts.values()) <= 100
    assert usual.crystals.counts.max() <= 6


def test_what_is_found_stable_crowds_nothing_out(usual: Candidates) -> None:
    """Offspring of the campaign's own crystals are likelier than all others."""
    stable = Crystals.concat(
        [fill("AB_cP2_221_a_b", ["Ni", "Al"]), fill("AB3_cP4_221_a_c", ["Al", "Ni"])]
    )
    stable = stable.replace(columns={"id": ["own 1", "own 2"]}, site_columns=None)
    own = from_templates(REQUEST, stable, 200)
    assert len(own)
    both = fresh(REQUEST, Candidates.concat([usual, own]), stable)
    alone = fresh(REQUEST, usual, stable)
    assert both.crystals[: len(alone)].to_bytes() == alone.crystals.to_bytes()


def test_copies_and_what_was_relaxed_are_left_out(usual: Candidates) -> None:
    once = fresh(REQUEST, usual, Crystals.empty())
    twice = fresh(REQUEST, Candidates.concat([usual, usual]), once.crystals[:5])
    assert len(twice) == len(once) - 5
    assert twice.reasons["candidate: a copy of another or of one that was relaxed"] >= 5


def test_formulas_that_promise_most_get_most_random_crystals(usual: Candidates) -> None:
    made = make_candidates(REQUEST, usual, 1, known=Crystals.empty(), favoured=["TiAlNi", "Al3Ni4"])
    drawn = np.array(made.crystals.columns["generator"]) == "airss"
    counts = Counter(made.crystals[drawn].reduced_formulas())
    assert FAVOURED_CRYSTALS / 2 < counts["TiAlNi"] <= FAVOURED_CRYSTALS
    assert counts["Al3Ni4"] == 0  # seven atoms are more than the constraints allow
    others = {name: count for name, count in counts.items() if name != "TiAlNi"}
    assert 0 < len(others) <= RANDOM_FORMULAS
    assert max(others.values()) <= RANDOM_CRYSTALS


def test_most_random_crystals_have_usual_space_groups(usual: Candidates) -> None:
    made = make_candidates(REQUEST, usual, 1, known=Crystals.empty(), favoured=["AlNi", "TiAlNi"])
    drawn = made.crystals[np.array(made.crystals.columns["generator"]) == "airss"]
    groups = np.array(drawn.columns["space_group"]).astype(int)
    usual_groups = np.argsort(-usual_shares(8))[:25] + 1
    assert 0.4 < np.isin(groups, usual_groups).mean() < 0.95  # of 230 alike it would be some 0.15
    assert not np.isin(groups, np.flatnonzero(usual_shares(8) > 0) + 1).all()


def test_another_round_draws_other_random_crystals(usual: Candidates) -> None:
    rounds = [
        make_candidates(REQUEST, usual, number, known=Crystals.empty(), favoured=["AlNi"]).crystals
        for number in (1, 1, 2)
    ]
    assert rounds[0].to_bytes() == rounds[1].to_bytes()
    assert rounds[0].to_bytes() != rounds[2].to_bytes()


def test_without_templates_only_random_crystals_are_left() -> None:
    none = from_templates(REQUEST, Crystals.empty())
    assert len(none) == 0
    made = make_candidates(REQUEST, none, 1, known=Crystals.empty())
    assert set(made.crystals.columns["generator"]) == {"airss"}
