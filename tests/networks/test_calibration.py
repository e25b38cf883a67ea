"""Calibrated intervals hold what they promise, in all and in parts, and follow the errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.intervals import IntervalShape
from materialabs.levels import MP2018
from materialabs.networks.calibration import Calibration, conformal_quantile, conformal_shape
from materialabs.networks.coverage import calibration_curve, coverage_table, wilson
from materialabs.networks.domain import Domain
from materialabs.networks.error_scale import ErrorScale
from materialabs.networks.signals import chemical_groups, error_signals
from materialabs.predictions import Prediction
from tests.networks.made_errors import (
    TRAINED_BELOW,
    VALIDATED_BELOW,
    Made,
    heavy_tailed,
    project_ensemble,
)


def raw(made: Made) -> Prediction:
    ones = np.ones(len(made.mean))
    return Prediction(made.mean, ones, "eV/atom", "made", MP2018, "formation")


def fitted(made: Made, **options: Any) -> Calibration:
    return Calibration.fit(made.mean, made.truth, made.signals, made.groups, **options)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return fitted(heavy_tailed(4000, seed=1))


@pytest.fixture(scope="module")
def tested(calibration: Calibration) -> tuple[Made, Prediction]:
    made = heavy_tailed(20_000, seed=2)
    return made, calibration.applied(raw(made), made.signals, made.groups)


def test_ninety_percent_intervals_hold_ninety_percent(tested: tuple[Made, Prediction]) -> None:
    made, prediction = tested
    assert coverage_table(prediction, made.truth)[0]["coverage"] == pytest.approx(0.9, abs=0.02)


def test_every_probability_is_held(tested: tuple[Made, Prediction]) -> None:
    made, prediction = tested
    for point in calibration_curve(prediction, made.truth):
        assert point["observed"] == pytest.approx(point["nominal"], abs=0.025)


def test_each_fifth_of_width_and_each_group_is_held(tested: tuple[Made, Prediction]) -> None:
    made, prediction = tested
    for row in coverage_table(prediction, made.truth, made.groups):
        assert 0.86 < row["coverage"] < 0.94, row


def test_widths_follow_the_true_size_of_errors(tested: tuple[Made, Prediction]) -> None:
    made, prediction = tested
    assert np.corrcoef(np.log(prediction.std), np.log(made.scale))[0, 1] > 0.95


def test_intervals_are_as_narrow_as_the_true_scale_allows(
    tested: tuple[Made, Prediction],
) -> None:
    made, prediction = tested
    known = raw(made).replace(std=made.scale)
    reach = float(np.quantile(np.abs(made.truth - made.mean) / made.scale, 0.9))
    known = known.replace(shape=IntervalShape([0.9], [[reach]]))
    best = coverage_table(known, made.truth)[0]["width_ratio"]
    assert coverage_table(prediction, made.truth)[0]["width_ratio"] < 1.05 * best < 1.0


def test_one_standard_deviation_holds_68_percent(tested: tuple[Made, Prediction]) -> None:
    made, prediction = tested
    inside = np.abs(made.truth - prediction.mean) <= prediction.std
    assert inside.mean() == pytest.approx(0.6827, abs=0.02)


def test_a_calibration_survives_json(calibration: Calibration) -> None:
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    made = heavy_tailed(100, seed=3)
    assert np.array_equal(
        again.std(made.signals, made.groups, 100), calibration.std(made.signals, made.groups, 100)
    )


def test_the_same_seed_gives_the_same_calibration() -> None:
    made = heavy_tailed(500, seed=4)
    assert fitted(made, seed=5).to_dict() == fitted(made, seed=5).to_dict()


def test_a_dangerous_signal_only_widens(calibration: Calibration) -> None:
    made = heavy_tailed(200, seed=6)
    worse = {**made.signals, "log_spread": made.signals["log_spread"] + 1.0}
    before = calibration.std(made.signals, made.groups, 200)
    assert (calibration.std(worse, made.groups, 200) >= before).all()


def test_a_dangerous_signal_goes_on_counting_beyond_what_was_seen() -> None:
    made = heavy_tailed(2000, seed=7)
    scale = ErrorScale.fit(
        np.abs(made.truth - made.mean), made.signals, {}, dangerous=["log_spread"]
    )
    scale.ramps["log_spread"].heights[-1] = 1.0
    seen = float(made.signals["log_spread"].max())
    at = {name: np.zeros(2) for name in made.signals} | {"log_spread": np.array([seen, seen + 0.5])}
    logs = scale.log_scale(at, {}, 2)
    assert logs[1] > logs[0]


def test_a_missing_signal_counts_as_the_usual_one(calibration: Calibration) -> None:
    made = heavy_tailed(50, seed=8)
    unknown = {**made.signals, "noise": np.full(50, np.nan)}
    assert np.isfinite(calibration.std(unknown, made.groups, 50)).all()


def test_a_signal_that_never_varies_or_never_comes_does_no_harm() -> None:
    made = heavy_tailed(400, seed=9)
    signals = {**made.signals, "flat": np.ones(400), "absent": np.full(400, np.nan)}
    found = Calibration.fit(made.mean, made.truth, signals, made.groups)
    assert np.isfinite(found.std(signals, made.groups, 400)).all()


def test_a_forgotten_signal_is_named(calibration: Calibration) -> None:
    made = heavy_tailed(5, seed=10)
    with pytest.raises(InputError, match="needs log_spread"):
        calibration.std({"mean": made.mean, "noise": made.mean}, made.groups, 5)


def test_few_crystals_give_one_width_for_all() -> None:
    made = heavy_tailed(20, seed=11)
    found = fitted(made)
    assert np.unique(found.std(made.signals, made.groups, 20)).size == 1


def test_perfect_predictions_are_calibrated_too() -> None:
    ones = np.ones(200)
    found = Calibration.fit(ones, ones, {"mean": ones}, {})
    assert (found.std({"mean": ones}, {}, 200) < 1e-6).all()


@pytest.mark.parametrize(
    ("mean", "truth", "message"),
    [
        (np.zeros(4), np.zeros(4), "5 held-out crystals or more; got 4"),
        (np.zeros(9), np.zeros(8), "not one for one"),
        (np.zeros(9), np.array([0.0] * 8 + [np.nan]), "NaN or infinite"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(mean: Any, truth: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Calibration.fit(mean, truth, {}, {})


def test_a_document_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="not a calibration"):
        Calibration.from_dict({"scale": {}})


@settings(max_examples=30)
@given(st.integers(5, 60), st.floats(0.02, 0.98), st.integers(0, 1000))
def test_the_conformal_quantile_is_the_smallest_score_that_suffices(
    count: int, probability: float, seed: int
) -> None:
    scores = np.random.default_rng(seed).random(count)
    found = conformal_quantile(scores, probability)
    needed = (count + 1) * probability
    if needed <= count:
        assert (scores <= found).sum() >= needed - 1e-9
        assert (scores < found).sum() < needed
    else:
        assert found == scores.max()


def test_conformal_intervals_of_few_scores_cover_at_least_what_they_promise() -> None:
    random = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        scores = np.abs(random.normal(size=15))
        reach = conformal_shape(scores).reach(0.9, [0])[0]
        inside.append(abs(random.normal()) <= reach)
    assert np.mean(inside) > 0.885


# -- tables of coverage ---------------------------------------------------------------------------


def test_coverage_counts_each_part() -> None:
    prediction = Prediction(np.zeros(10), np.linspace(0.1, 1, 10), "eV", "m")
    truth = np.where(np.arange(10) == 9, 100.0, 0.0)
    truth[0] = np.nan
    rows = {r["group"]: r for r in coverage_table(prediction, truth, {"none": np.zeros(10, bool)})}
    assert rows["all"]["crystals"] == 9
    assert rows["all"]["coverage"] == pytest.approx(8 / 9)
    assert rows["widest fifth"]["coverage"] == 0.0
    assert rows["none"]["crystals"] == 0


def test_coverage_of_nothing_known_is_nothing() -> None:
    prediction = Prediction(np.zeros(2), np.ones(2), "eV", "m")
    assert coverage_table(prediction, [np.nan, np.nan])[0]["crystals"] == 0
    assert np.isnan(calibration_curve(prediction, [np.nan, np.nan])[0]["observed"])


def test_coverage_of_other_crystals_is_refused() -> None:
    prediction = Prediction(np.zeros(2), np.ones(2), "eV", "m")
    with pytest.raises(InputError, match="one number for each crystal"):
        coverage_table(prediction, [0.0])


def test_confidence_of_a_share_is_wilsons() -> None:
    from scipy import stats

    expected = stats.binomtest(45, 50).proportion_ci(method="wilson")
    assert wilson(0.9, 50) == pytest.approx((expected.low, expected.high), abs=1e-4)


# -- groups and signals ---------------------------------------------------------------------------


def test_families_are_those_of_chemistry() -> None:
    formulas = ["TiO2", "NaCl", "MoS2", "Ni3Al", "LiFePO4", "GaAs", "Si", "BiOCl"]
    groups = chemical_groups(Compositions.parse(formulas))
    members = {n: [f for f, m in zip(formulas, g, strict=True) if m] for n, g in groups.items()}
    assert members["oxide"] == ["TiO2", "LiFePO4", "BiOCl"]
    assert members["halide"] == ["NaCl", "BiOCl"]
    assert members["chalcogenide"] == ["MoS2"]
    assert members["intermetallic"] == ["Ni3Al"]
    assert members["pnictide"] == ["LiFePO4", "GaAs"]
    assert members["1 element"] == ["Si"]
    assert members["3 elements"] == ["BiOCl"]


def test_signals_hold_what_is_known() -> None:
    members = np.array([[1.0, 2.0], [3.0, 2.0]])
    found = error_signals(members.mean(axis=0), members, volume=np.array([-0.3, 0.1]))
    assert found["log_spread"][0] == pytest.approx(0.0, abs=1e-5)
    assert found["volume"].tolist() == [0.3, 0.1]
    assert "rarity" not in found and "log_apart" not in found
    apart = error_signals(members.mean(axis=0), members, sibling=np.array([1.0, 2.5]))["log_apart"]
    assert apart == pytest.approx(np.log([1.0, 0.5]), abs=1e-5)


def test_a_signal_that_tells_errors_makes_intervals_narrower() -> None:
    """How far two heads are apart is worth its place only if it narrows what it is given to."""
    made, other = heavy_tailed(2_000, seed=5), heavy_tailed(6_000, seed=6)
    widths = {}
    for name in ("mean", "log_apart"):
        signals = [
            {name: one.mean if name == "mean" else np.log(one.scale)} for one in (made, other)
        ]
        found = Calibration.fit(made.mean, made.truth, signals[0], made.groups)
        told = found.applied(raw(other), signals[1], other.groups)
        assert coverage_table(told, other.truth)[0]["coverage"] == pytest.approx(0.9, abs=0.02)
        widths[name] = coverage_table(told, other.truth)[0]["width_ratio"]
    assert widths["log_apart"] < 0.9 < widths["mean"]


def test_few_crystals_do_not_bend_the_scale() -> None:
    """Below one, the power narrows intervals on average; few crystals cannot vouch for that."""
    assert fitted(heavy_tailed(120, seed=3)).temper == 1.0
    assert fitted(heavy_tailed(20_000, seed=3)).temper < 1.0


def test_the_power_that_more_crystals_have_told_is_used() -> None:
    made = heavy_tailed(2_000, seed=3)
    few = fitted(made)
    spreads = []
    for power in (0.8, 1.0):
        found = fitted(made, like=replace(few, temper=power, corrections={}))
        assert found.temper == power
        spreads.append(np.log(found.std(made.signals, made.groups, len(made.mean))).std())
    assert spreads[0] == pytest.approx(0.8 * spreads[1], rel=0.1)


def test_a_small_group_is_held_by_what_more_crystals_have_told() -> None:
    """Four crystals of a kind say little of their errors, thousands elsewhere say enough."""
    random = np.random.default_rng(9)

    def drawn(count: int, special: int) -> tuple[Any, Any]:
        groups = {"special": np.arange(count) < special}
        errors = random.laplace(size=count) * np.where(groups["special"], 4.0, 1.0)
        return errors, groups

    held = {}
    many, kinds = drawn(40_000, 4_000)
    few, seldom = drawn(4_000, 4)
    new, asked = drawn(40_000, 4_000)
    teacher = Calibration.fit(many, 0.0 * many, {}, {}, levelled=kinds)
    for name, like in (("alone", None), ("taught", teacher)):
        found = Calibration.fit(few, 0.0 * few, {}, {}, levelled=seldom, like=like)
        half = found.std({}, asked, len(new)) * found.shape.reach(0.9, np.zeros(len(new), int))
        held[name] = (np.abs(new) <= half)[asked["special"]].mean()
    assert held["alone"] < 0.8 and held["taught"] == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("smallest", [1.0, 1e-12])
def test_tiny_errors_leave_groups_as_they_are(smallest: float) -> None:
    """How wide intervals of a group must be is told by its large errors, not by tiny ones."""
    random = np.random.default_rng(10)
    groups = {name: random.random(20_000) < 0.3 for name in ("one", "two")}
    errors = random.laplace(size=20_000) * np.where(groups["one"], 3.0, 1.0)
    errors *= np.where(random.random(20_000) < 0.1, smallest, 1.0)
    found = Calibration.fit(errors, 0.0 * errors, {}, {}, levelled=groups)
    assert found.corrections["one"] == pytest.approx(np.log(3.0), abs=0.05)
    assert found.corrections["two"] == pytest.approx(0.0, abs=0.05)


# -- real errors ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_formation_energies_are_held_in_every_part(data_folder: Path) -> None:
    project = project_ensemble(data_folder)
    x = project.compositions.fractions(range(1, 104))
    volumes = np.ones(len(x))
    used = project.hashes < VALIDATED_BELOW
    domain = Domain.fit(
        x[used], project.compositions[used], volumes[used], project.hashes[used] >= TRAINED_BELOW
    )
    odd = domain.judge(x, project.compositions, volumes)
    mean = np.median(project.members, axis=0)
    signals = error_signals(mean, project.members, distance=odd.distance, rarity=odd.rarity)
    groups = chemical_groups(project.compositions)
    held = used & (project.hashes >= TRAINED_BELOW)
    test = project.hashes >= VALIDATED_BELOW

    def cut(table: dict[str, Any], rows: Any) -> dict[str, Any]:
        return {name: values[rows] for name, values in table.items()}

    found = Calibration.fit(
        mean[held],
        project.truth[held],
        cut(signals, held),
        cut(groups, held),
        clusters=project.formulas[held],
    )
    plain = Prediction(mean[test], np.ones(test.sum()), "eV/atom", "r", MP2018, "formation")
    prediction = found.applied(plain, cut(signals, test), cut(groups, test))
    rows = coverage_table(prediction, project.truth[test], cut(groups, test))
    assert 0.88 < rows[0]["coverage"] < 0.92
    assert rows[0]["width_ratio"] < 1.0
    for row in rows[1:]:
        if row["crystals"] >= 200:
            assert 0.84 < row["coverage"] < 0.96, row
