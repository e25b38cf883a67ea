from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError, IntegrityError
from materialabs.networks.heads import Head
from materialabs.predictions import Prediction
from materialabs.transfer.described import Described, describe
from materialabs.transfer.folds import plan_folds
from materialabs.transfer.judging import (
    Learner,
    balanced_accuracy,
    check_no_leak,
    judge,
    learner_of,
)
from materialabs.transfer.learning import (
    Answers,
    Trial,
    learn,
    out_of_fold,
    signals_of,
    with_bounds,
)
from materialabs.transfer.probabilities import ClassScale
from materialabs.transfer.sources import features_of, values_of
from materialabs.transfer.strategies import Kernel, Trees, document_of, strategies_for, strategy_of
from materialabs.transfer.tables import Measurements
from tests.transfer.made_tables import formulas_of, ionicity_of

HEAD = Head("ionicity", "1")
FEW = (Trees("trees", ("statistics",)), Kernel("kernel", ("statistics", "fractions")))


def made(count: int = 120) -> tuple[Described, np.ndarray]:
    formulas = formulas_of(count)
    noise = np.random.default_rng(0).normal(0, 0.05, count)
    return describe(Compositions.parse(formulas)), (ionicity_of(formulas) + noise)[:, None]


def test_a_known_law_is_learned_and_intervals_hold() -> None:
    described, targets = made()
    plan = plan_folds(described.compositions)
    cut = plan.outer[0]
    found = learn(described.take(cut.train), targets[cut.train], HEAD, plan.groups[cut.train], FEW)
    told = found.told(described.take(cut.test))
    truth = targets[cut.test, 0]
    assert np.abs(told.mean - truth).mean() < 0.3 * np.abs(truth - truth.mean()).mean()
    assert ((told.low <= truth) & (truth <= told.high)).mean() > 0.7
    assert found.shares.sum() == pytest.approx(1.0)


def test_a_trial_needs_strategies_with_names_of_their_own() -> None:
    described, targets = made(20)
    for some in ([], [FEW[0], FEW[0]]):
        with pytest.raises(InputError, match="a name of its own"):
            Trial.of(described, targets, np.arange(20), some)


def test_an_element_never_seen_is_out_of_domain() -> None:
    described, targets = made()
    found = learn(described, targets, HEAD, np.arange(len(targets)), FEW)
    told = found.told(describe(Compositions.parse(["UO2", "NaCl"])))
    assert told.in_domain[0] == 0.0 and told.out_of_domain.tolist() == [True, False]


def test_probabilities_of_classes_add_up_and_rank() -> None:
    described, targets = made()
    truth = np.column_stack([targets[:, 0] <= 1.5, targets[:, 0] > 1.5]).astype(float)
    head = Head("ionic", classes=("no", "yes"))
    plan = plan_folds(described.compositions)
    cut = plan.outer[1]
    found = learn(described.take(cut.train), truth[cut.train], head, plan.groups[cut.train], FEW)
    told = found.told(described.take(cut.test))
    np.testing.assert_allclose(told.probability.sum(axis=1), 1.0)
    assert balanced_accuracy(told.probability, truth[cut.test]) > 0.8


def test_each_row_is_predicted_by_a_strategy_that_has_not_seen_it() -> None:
    described, targets = made(40)
    cuts = plan_folds(described.compositions).outer
    outside = out_of_fold(described, targets, FEW[:1], cuts, seed=0)
    inside, _ = FEW[0].fit(described, targets, 0).answers(described)
    assert np.abs(inside - targets).max() < 1e-4 < np.abs(outside.values[0] - targets).min()


def test_zero_bounds_a_quantity_that_is_often_zero_and_never_below() -> None:
    gaps = np.array([0.0] * 10 + [1.0, 2.0])[:, None]
    assert with_bounds(HEAD, gaps).bounds == (0.0, np.inf)
    assert with_bounds(HEAD, gaps - 0.1).bounds == (-np.inf, np.inf)


def test_only_strategies_with_a_share_tell_of_the_error() -> None:
    answers = Answers(np.array([[[1.0]], [[9.0]]]), np.array([[0.5], [7.0]]))
    found = signals_of(answers, np.array([1.0, 0.0]))
    assert found["mean"][0] == 1.0 and found["log_spread"][0] == pytest.approx(
        np.log(0.5), abs=1e-5
    )
    assert "log_scale" not in found


def test_probabilities_are_right_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    chance = random.uniform(0.05, 0.95, 4000)
    truth = (random.random(4000) < chance).astype(float)
    log_odds = np.log(chance / (1 - chance))
    scores = np.column_stack([np.zeros(4000), 0.2 * log_odds + 0.5])
    table = np.column_stack([1 - truth, truth])
    found = ClassScale.fit(scores, table).probabilities(scores)[:, 1]
    assert np.abs(found - chance).mean() < 0.03


def test_strategies_survive_their_documents() -> None:
    for one in strategies_for(["mp36k"]):
        assert strategy_of(document_of(one)) == one
    with pytest.raises(IntegrityError, match="does not describe a strategy"):
        strategy_of({"kind": "oracle", "name": "x", "blocks": []})


class Hoarder:
    """A leak planted on purpose: what it learned from one fold it still knows at the next."""

    def __init__(self) -> None:
        self.known: dict[str, float] = {}

    def __call__(
        self, learned: Described, targets: np.ndarray, groups: Any, judged: Described
    ) -> Prediction:
        formulas = learned.compositions.reduced_formulas()
        self.known |= dict(zip(formulas, targets[:, 0].tolist(), strict=True))
        usual = float(targets.mean())
        mean = [self.known.get(one, usual) for one in judged.compositions.reduced_formulas()]
        return Prediction(np.array(mean), np.ones(len(mean)), "1", "hoarder")


class Honest(Hoarder):
    """The same with a fresh memory for every fold."""

    def __call__(
        self, learned: Described, targets: np.ndarray, groups: Any, judged: Described
    ) -> Prediction:
        self.known = {}
        return super().__call__(learned, targets, groups, judged)


def test_a_planted_leak_is_caught() -> None:
    described, targets = made(40)
    plan = plan_folds(described.compositions)
    leaking = judge(described, targets, plan, Hoarder())
    second = leaking.fold > 0
    assert np.abs(leaking.told.mean - targets[leaking.rows, 0])[second].max() < 1e-12  # too good
    with pytest.raises(IntegrityError, match="fresh copy") as caught:
        check_no_leak(described, targets, plan, Hoarder)
    assert caught.value.code == "transfer.leak"


def test_an_honest_learner_passes() -> None:
    described, targets = made(40)
    check_no_leak(described, targets, plan_folds(described.compositions), Honest)


class Sponge:
    """A strategy that changes itself as it learns, as a network trained in place does."""

    name = "sponge"
    blocks = ()

    def __init__(self) -> None:
        self.known: dict[str, float] = {}

    def fit(self, described: Described, targets: np.ndarray, seed: int) -> Sponge:
        formulas = described.compositions.reduced_formulas()
        self.known |= dict(zip(formulas, targets[:, 0].tolist(), strict=True))
        return self

    def answers(self, described: Described) -> tuple[np.ndarray, np.ndarray]:
        formulas = described.compositions.reduced_formulas()
        found = np.array([[self.known.get(one, 0.0)] for one in formulas])
        return found, np.ones(len(found))

    def to_arrays(self) -> dict[str, Any]:
        return {}

    def restored(self, arrays: Mapping[str, Any]) -> Sponge:
        return self


def test_strategies_that_change_themselves_start_each_fold_afresh() -> None:
    described, targets = made(40)
    plan = plan_folds(described.compositions, count=2)
    sponge = Sponge()

    def make() -> Learner:
        def learner(learned: Any, given: Any, groups: Any, judged: Any) -> Prediction:
            return learn(learned, given, HEAD, groups, (sponge, FEW[0])).told(judged)

        return learner

    check_no_leak(described, targets, plan, make)
    assert sponge.known == {}


class FakeSource:
    """A pretrained part whose weights a learner can reach."""

    name = "fake"

    def __init__(self) -> None:
        self.weight = 1.0

    def fingerprint(self) -> str:
        return str(self.weight)


def test_a_learner_that_trains_a_source_in_place_is_found_out() -> None:
    described, targets = made(40)
    source = FakeSource()

    def careless(learned: Any, given: np.ndarray, groups: Any, judged: Described) -> Prediction:
        source.weight = float(given.mean())
        return Prediction(np.zeros(len(judged)), np.ones(len(judged)), "1", "careless")

    with pytest.raises(IntegrityError, match="'fake' was changed"):
        judge(described, targets, plan_folds(described.compositions), careless,
              sources=[source])  # type: ignore[list-item] # a stand-in # fmt: skip


def test_a_fold_of_equal_targets_cannot_show_a_leak() -> None:
    described, targets = made(40)
    with pytest.raises(InputError, match="would not show"):
        check_no_leak(described, np.ones_like(targets), plan_folds(described.compositions), Honest)


# -- the learner of the product -------------------------------------------------------------------


def with_sources(count: int) -> tuple[Described, np.ndarray]:
    """Rows with two made sources: one that knows the law, and one of chance."""
    described, targets = made(count)
    random = np.random.default_rng(7)
    blocks = dict(described.blocks)
    for name, table in (("good", targets + random.normal(0, 0.02, targets.shape)),
                        ("bad", random.normal(size=targets.shape))):  # fmt: skip
        for block in (values_of(name), features_of(name)):
            blocks[block] = Descriptors(table, (block,))
    return Described(described.compositions, blocks, described.conditions), targets


def measured_as(targets: np.ndarray, described: Described) -> Measurements:
    return Measurements(
        described.compositions, described.conditions, targets, HEAD, np.arange(len(targets)), "made"
    )


@pytest.mark.parametrize("choose", [True, False])
def test_the_choice_of_a_source_sees_no_judged_row(choose: bool) -> None:
    described, targets = with_sources(60)
    plan, measured = plan_folds(described.compositions, count=2), measured_as(targets, described)
    check_no_leak(
        described, targets, plan,
        lambda: learner_of(measured, ["bad", "good"], choose=choose, networks=False),
    )  # fmt: skip


def test_the_source_that_is_chosen_is_the_one_that_predicts() -> None:
    described, targets = with_sources(80)
    cut = plan_folds(described.compositions).outer[0]
    measured = measured_as(targets, described)
    groups = np.arange(len(cut.train))

    def error(sources: list[str]) -> float:
        told = learner_of(measured, sources, networks=False)(
            described.take(cut.train), targets[cut.train], groups, described.take(cut.test)
        )
        return float(np.abs(told.mean - targets[cut.test, 0]).mean())

    assert error(["bad", "good"]) == error(["good"]) < error(["bad"])
