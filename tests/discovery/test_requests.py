"""Budgets, constraints and the identity of a campaign."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from materialabs.crystals.batch import Crystals
from materialabs.crystals.prototypes import fill
from materialabs.discovery.budgets import Budget
from materialabs.discovery.constraints import Constraints, PropertyRange
from materialabs.discovery.objectives import Objective
from materialabs.discovery.request import CampaignRequest
from materialabs.errors import FormulaError, InputError
from materialabs.levels import Level

LEVEL = Level("emt", code="emt")


@pytest.mark.parametrize(
    ("text", "calls", "seconds"),
    [("60", 60, None), (60, 60, None), ("30m", None, 1800.0), ("2h", None, 7200.0),
     ("90 s", None, 90.0), ("1.5min", None, 90.0)],
)  # fmt: skip
def test_budgets_are_calls_or_time(
    text: str | int, calls: int | None, seconds: float | None
) -> None:
    budget = Budget.parse(text)
    assert (budget.calls, budget.seconds) == (calls, seconds)


@pytest.mark.parametrize("text", ["-3", "0", "many", "", "-5m", "0s", "1e3", "nan"])
def test_other_budgets_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="budget") as caught:
        Budget.parse(text)
    assert "\n" not in str(caught.value)


def test_a_budget_of_one_is_not_enough_for_the_elements() -> None:
    with pytest.raises(InputError, match="at least 4"):
        Budget.parse(1).require_elements(3)


def test_a_budget_is_extended_by_its_own_kind_alone() -> None:
    assert Budget(calls=5).plus(Budget(calls=3)).calls == 8
    assert Budget(seconds=5.0).plus(Budget(seconds=3.0)).seconds == 8.0
    with pytest.raises(InputError, match="same"):
        Budget(calls=5).plus(Budget(seconds=3.0))


@pytest.mark.parametrize(
    ("system", "error", "said"),
    [("Li-Xx", FormulaError, "Xx"), ("Li", InputError, "one element"),
     ("H-Li-Be-B-C-N-O-F-Na", InputError, "9 elements"), ("", FormulaError, "system")],
)  # fmt: skip
def test_systems_that_are_none_are_refused(system: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        CampaignRequest(system, LEVEL)


def test_the_order_of_the_elements_does_not_matter() -> None:
    assert CampaignRequest("S-Li-P", LEVEL).identity == CampaignRequest("Li-P-S", LEVEL).identity


@pytest.mark.parametrize(
    "change",
    [{"system": "Li-S"}, {"level": Level("PBE")}, {"strategy": "random"}, {"seed": 1},
     {"constraints": Constraints(max_atoms=8)}, {"deterministic": True},
     {"objectives": (Objective("density"),)}],
)  # fmt: skip
def test_what_is_asked_for_is_the_identity(change: dict[str, object]) -> None:
    one = CampaignRequest("Li-P-S", LEVEL)
    assert replace(one, **change).identity != one.identity


def test_a_request_survives_json() -> None:
    limits = Constraints(10, ("Li",), (), (225,), (1,), 5.0, (PropertyRange("density", high=4.0),))
    one = CampaignRequest("Li-P-S", LEVEL, constraints=limits, objectives=(Objective("density"),))
    again = CampaignRequest.from_dict(one.to_dict())
    assert again == one
    assert again.identity == one.identity


def test_enthalpies_are_a_level_of_their_own() -> None:
    pressed = CampaignRequest("Li-P-S", LEVEL, constraints=Constraints(pressure=10.0))
    assert pressed.hull_level != CampaignRequest("Li-P-S", LEVEL).hull_level
    assert pressed.settings.pressure == 10.0


@pytest.mark.parametrize(
    "wrong",
    [{"max_atoms": 0}, {"require": ("Li",), "forbid": ("Li",)}, {"space_groups": (231,)},
     {"pressure": math.inf}, {"pressure": -1e9}, {"pressure": 1001.0},
     {"space_groups": (225, 216), "forbid_space_groups": (225,)}],
)  # fmt: skip
def test_constraints_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Constraints(**wrong)


@pytest.mark.parametrize("limits", [Constraints(require=("Fe",)), Constraints(forbid=("Li", "P"))])
def test_constraints_that_no_compound_meets_are_refused(limits: Constraints) -> None:
    with pytest.raises(InputError):
        CampaignRequest("Li-P-S", LEVEL, constraints=limits)


def test_constraints_keep_what_meets_them() -> None:
    salts = Crystals.concat(
        [fill("B1", ["Cl", "Na"]), fill("Halite, Rock Salt", ["O", "Mg"]),
         fill("B3", ["S", "Zn"])]
    )  # fmt: skip
    assert Constraints(require=("O",)).allowed(salts).tolist() == [False, True, False]
    assert Constraints(forbid=("O",)).allowed(salts).tolist() == [True, False, True]
    assert Constraints(space_groups=(216,)).allowed(salts).tolist() == [False, False, True]
    assert Constraints(forbid_space_groups=(216,)).allowed(salts).tolist() == [True, True, False]
    assert Constraints(max_atoms=1).allowed(salts).tolist() == [False] * 3


@given(some.floats(0, 5), some.floats(6, 9))
def test_ranges_are_read_as_written(low: float, high: float) -> None:
    assert PropertyRange.parse(f"band_gap={low}:{high}") == PropertyRange("band_gap", low, high)
    assert PropertyRange.parse(f"band_gap={low}:").high == math.inf


@pytest.mark.parametrize("text", ["band_gap", "band_gap=1", "=1:2", "gap=2:1", "gap=a:b"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        PropertyRange.parse(text)


@pytest.mark.parametrize("text", ["density", "up:density", "max:"])
def test_other_objectives_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        Objective.parse(text)


def test_too_many_objectives_are_refused() -> None:
    five = tuple(Objective(name) for name in ("density", "band_gap", "hardness", "price", "mass"))
    CampaignRequest("Li-P-S", LEVEL, objectives=five[:4])
    with pytest.raises(InputError, match="at most 4"):
        CampaignRequest("Li-P-S", LEVEL, objectives=five)
