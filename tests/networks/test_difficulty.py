"""What is hard to predict: boosted trees taught by the errors of networks that have not seen it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks import domain, outsiders
from materialabs.networks.assembling import Members, assemble
from materialabs.networks.calibration import Calibration
from materialabs.networks.composition_network import CompositionNetwork, CompositionNetworkShape
from materialabs.networks.difficulty import FEWEST, Difficulty, Traits
from materialabs.networks.ensembles import Answers, Asked
from materialabs.networks.heads import Head
from materialabs.networks.learning_tasks import Scaling
from materialabs.networks.models import load_model
from materialabs.networks.outsiders import Outside, Outsider, half_of, lesson_of
from materialabs.networks.signals import chemical_groups
from materialabs.networks.training_data import Parts, TrainingData
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]

CATIONS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Ti", "Zr", "V", "Fe", "Co", "Ni", "Cu", "Zn", "Al"]
HARDER = 8.0
"""How much larger errors of the made-up oxides are than those of the sulphides."""


def compounds(count: int, seed: int) -> tuple[Compositions, NDArray[np.bool_]]:
    """Oxides and sulphides of two metals."""
    random = np.random.default_rng(seed)
    pairs = [random.choice(len(CATIONS), 2, replace=False) for _ in range(count)]
    amounts, oxide = random.integers(1, 7, (count, 3)), random.random(count) < 0.5
    formulas = [
        f"{CATIONS[a]}{m}{CATIONS[b]}{n}{'O' if holds else 'S'}{x}"
        for (a, b), (m, n, x), holds in zip(pairs, amounts, oxide, strict=True)
    ]
    return Compositions.parse(formulas), oxide


def traits_of(
    cells: Compositions, values: Floats | None = None, distances: Floats | None = None
) -> Traits:
    """With values and distances of zero, where none are given."""
    nothing = np.zeros(len(cells))
    return Traits(
        nothing[:, None] if values is None else values, cells, cells.atoms * 15.0,
        nothing if distances is None else distances,
    )  # fmt: skip


def errors_of(oxide: NDArray[np.bool_], seed: int) -> Floats:
    """Laplace errors, larger for oxides."""
    random = np.random.default_rng(seed)
    return np.abs(random.laplace(size=len(oxide))) * np.where(oxide, HARDER, 1.0) + 1e-9


def test_hard_crystals_are_told_from_easy_ones_that_nobody_has_seen() -> None:
    cells, oxide = compounds(4000, seed=1)
    errors = np.stack([errors_of(oxide, 2), errors_of(~oxide, 3)], axis=1)
    found = Difficulty.fit(("first", "second"), traits_of(cells), errors)
    new, holds = compounds(1000, seed=4)
    told = found.log_errors(traits_of(new))
    for head, hard in (("first", holds), ("second", ~holds)):
        gap = told[head][hard].mean() - told[head][~hard].mean()
        assert gap == pytest.approx(np.log(HARDER), abs=0.25)
        assert np.log(HARDER) > 4 * told[head][hard].std()


def test_crystals_far_from_all_that_was_learned_are_harder() -> None:
    cells, _ = compounds(4000, seed=16)
    random = np.random.default_rng(17)
    far = random.random(len(cells)) < 0.5
    distances = random.random(len(cells)) + np.where(far, 1.0, 0.0)
    errors = errors_of(far, 18)[:, None]
    found = Difficulty.fit(("energy",), traits_of(cells, distances=distances), errors)
    asked = np.where(far, 1.5, 0.5)
    told = found.log_errors(traits_of(cells, distances=asked))["energy"]
    assert told[far].mean() - told[~far].mean() == pytest.approx(np.log(HARDER), abs=0.25)


def test_what_a_file_holds_tells_the_same() -> None:
    cells, oxide = compounds(2500, seed=5)
    values = np.random.default_rng(6).normal(size=(len(cells), 3))
    errors = errors_of(oxide, 7)[:, None]
    found = Difficulty.fit(("gap",), traits_of(cells, values), errors)
    memory = io.BytesIO()
    np.savez_compressed(memory, allow_pickle=False, **found.to_arrays())
    memory.seek(0)
    with np.load(memory, allow_pickle=False) as arrays:
        again = Difficulty.from_arrays({name: arrays[name] for name in arrays.files})
    asked = traits_of(cells, values).take(np.arange(50))
    np.testing.assert_array_equal(again.log_errors(asked)["gap"], found.log_errors(asked)["gap"])
    assert not len(again.log_errors(asked.take(np.arange(0)))["gap"])


def test_a_supercell_is_as_hard_as_its_cell() -> None:
    single, double = Compositions.parse(["SrTiO3", "Cu"]), Compositions.parse(["Sr2Ti2O6", "Cu2"])
    np.testing.assert_array_equal(traits_of(single).table(), traits_of(double).table())


def test_unknown_errors_are_refused() -> None:
    cells, oxide = compounds(100, seed=8)
    errors = errors_of(oxide, 9)[:, None]
    with pytest.raises(InputError, match="Known errors"):
        Difficulty.fit(("gap",), traits_of(cells), errors * np.nan)


def test_an_outsider_sees_no_formula_of_the_half_that_it_is_kept_from() -> None:
    formulas = np.array([f"Li{n}O{m}" for n in range(1, 9) for m in range(1, 9) for _ in range(2)])
    rows = np.arange(0, len(formulas), 1)[3:]
    learned, kept = half_of(rows, formulas, 0)
    assert not set(formulas[learned]) & set(formulas[kept])
    assert sorted([*learned, *kept]) == rows.tolist() and min(len(learned), len(kept)) > 20
    other, rest = half_of(rows, formulas, 3)
    np.testing.assert_array_equal(other, kept)
    np.testing.assert_array_equal(rest, learned)


def outsider(
    cells: Compositions, values: Floats, rows: NDArray[np.int64], distances: Floats | None = None
) -> Outside:
    """What one network says of some rows; without distances, all are as far from what it knows."""
    answers = Answers(values[rows][None], np.zeros((len(rows), 1), np.float32))
    asked = Asked(answers, cells[rows], cells.atoms[rows] * 15.0, rows)
    return Outside(asked, np.zeros(len(rows)) if distances is None else distances[rows])


def named(cells: Compositions) -> NDArray[np.str_]:
    return np.array(cells.reduced_formulas())


def test_outsiders_of_the_same_half_are_averaged_and_seldom_known_heads_left_out() -> None:
    cells, oxide = compounds(2 * FEWEST, seed=10)
    truth = np.zeros((len(cells), 2))
    truth[: len(cells) // 2, 1] = np.nan
    heads = (Head("energy"), Head("seldom"))
    # Of few digits, so that sums are exact.
    error = np.ceil(errors_of(oxide, 11)[:, None] * 1024) / 1024 * np.ones((1, 2))
    first, second = np.split(np.arange(len(cells)), 2)
    # Two outsiders are wrong by the same amount to either side but for a part: that part counts.
    # So does how far the first of the two has them from what it knows, which tells their errors.
    distances = {1.0: 1.0 + error[:, 0], -1.0: np.random.default_rng(13).random(len(cells))}
    parts = [outsider(cells, error * sign + 0.5 * error, rows, distances[sign])
             for rows in (first, second) for sign in (1.0, -1.0)]  # fmt: skip
    found = lesson_of(parts, truth, heads, named(cells))
    assert found is not None and found.difficulty.heads == ("energy",)
    asked = traits_of(cells, 0.5 * error, distances[1.0])
    direct = Difficulty.fit(("energy",), asked, 0.5 * error[:, :1])
    np.testing.assert_array_equal(
        found.difficulty.log_errors(asked)["energy"], direct.log_errors(asked)["energy"]
    )


def with_alkali(cells: Compositions) -> NDArray[np.bool_]:
    """What holds an alkali metal, which no group of a calibration tells."""
    return cells.dense([3, 11, 19]).sum(axis=1) > 0


def apart(
    cells: Compositions, hard: NDArray[np.bool_], tails: float
) -> tuple[list[Outside], Floats]:
    """Two outsiders for each half, and the truth: some are harder, with long tails or short ones.

    Both are wrong together; how far they are apart tells nothing.
    """
    random = np.random.default_rng(20)
    sizes = np.where(hard, HARDER, 1.0) * np.exp(tails * random.normal(size=len(cells)))
    truth, gap = random.laplace(size=len(cells)) * sizes, 0.01 * random.normal(size=len(cells))
    parts = [
        outsider(cells, (sign * gap)[:, None], rows)
        for rows in np.split(np.arange(len(cells)), 2) for sign in (1.0, -1.0)
    ]  # fmt: skip
    return parts, truth[:, None]


def test_outsiders_tell_how_far_widths_may_follow_errors() -> None:
    """Where errors have longer tails, widths that follow less hold as often, and are narrower."""
    cells, _ = compounds(2 * FEWEST, seed=14)
    hard = with_alkali(cells)
    heads = (Head("energy"),)
    powers = []
    for tails in (0.0, 1.5):
        parts, truth = apart(cells, hard, tails)
        found = lesson_of(parts, truth, heads, named(cells))
        assert found is not None
        powers.append(found.calibrations["energy"].temper)
    assert powers[1] < powers[0] - 0.05
    assert powers[0] > 0.75


def test_the_power_is_judged_on_crystals_that_taught_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells, oxide = compounds(2 * FEWEST, seed=19)
    parts, truth = apart(cells, oxide, 0.0)
    taught, asked = [], []
    learn, tell = Difficulty.fit, Difficulty.log_errors

    def learned(names: list[str], traits: Traits, errors: Floats) -> Difficulty:
        taught.append(set(named(traits.compositions)))
        return learn(names, traits, errors)

    def told(self: Difficulty, traits: Traits) -> dict[str, Floats]:
        asked.append(set(named(traits.compositions)))
        return tell(self, traits)

    monkeypatch.setattr(Difficulty, "fit", learned)
    monkeypatch.setattr(Difficulty, "log_errors", told)
    assert lesson_of(parts, truth, (Head("energy"),), named(cells)) is not None
    halves = [set(named(cells[rows])) for rows in np.split(np.arange(len(cells)), 2)]
    assert taught == [halves[0] | halves[1], halves[1], halves[0]]
    assert asked == halves


def test_outsiders_tell_how_widths_differ_by_group() -> None:
    """The trees tell errors' usual logarithm, the groups how far their tails reach beyond it."""
    cells, oxide = compounds(2 * FEWEST, seed=24)
    parts, truth = apart(cells, with_alkali(cells), 0.0)
    gaps = []
    for tails in (0.0, 1.5):
        drawn = np.exp(tails * np.random.default_rng(25).normal(size=len(cells)))
        harder = truth * np.where(oxide, drawn, 1.0)[:, None]
        found = lesson_of(parts, harder, (Head("energy"),), named(cells))
        assert found is not None
        told = found.calibrations["energy"].corrections
        assert set(told) == set(chemical_groups(cells))
        families = [told[name] for name in ("oxide", "chalcogenide")]
        gaps.append(families[0] - families[1])
    assert abs(gaps[0]) < 0.2 and gaps[1] > 0.5


def test_one_outsider_for_each_half_tells_no_power() -> None:
    """It has nobody to disagree with, which a calibration reads."""
    cells, oxide = compounds(3 * FEWEST, seed=15)
    parts, truth = apart(cells, oxide, 0.0)
    for some in ([parts[0], parts[2]], parts[:2], parts[:3]):
        found = lesson_of(some, truth, (Head("energy"),), named(cells))
        assert found is not None and not found.calibrations


def test_an_assembled_model_reads_what_outsiders_teach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks that have learned nothing do: what their calibration saw is what is asked later."""
    monkeypatch.setattr(outsiders, "FEWEST", 100)
    monkeypatch.setattr(domain, "PROTOTYPES", 50)
    cells, _ = compounds(900, seed=21)
    formulas = named(cells)
    targets = np.random.default_rng(22).normal(size=(len(cells), 1))
    train, stops, held, test = np.split(np.arange(len(cells)), [500, 550, 750])
    data = TrainingData(
        cells, targets, (Head("energy"),), Parts(train, stops, held, test), "made", "made"
    )  # fmt: skip
    shape, scaling = CompositionNetworkShape(("energy",), 16, 1, 2), Scaling.of(targets)
    torch.manual_seed(23)
    states = [CompositionNetwork(shape).state_dict() for _ in range(7)]
    found = [
        Outsider(state, scaling, half_of(train, formulas, number)[1])
        for number, state in enumerate(states[:4])
    ]
    learned: list[Any] = []
    asked: list[Any] = []
    fit, apply = Calibration.fit, Calibration.applied

    def noted(*given: Any, **options: Any) -> Calibration:
        learned.append((given[2], options, fit(*given, **options)))
        return learned[-1][-1]

    def applied(self: Calibration, raw: Prediction, signals: Any, groups: Any) -> Prediction:
        asked.append(signals)
        return apply(self, raw, signals, groups)

    monkeypatch.setattr(Calibration, "fit", noted)
    monkeypatch.setattr(Calibration, "applied", applied)
    assemble(data, Members(shape, states[4:], scaling, [], [], None, found), None, tmp_path, "made")
    monkeypatch.setattr(Calibration, "fit", fit)
    (world, first, teacher), (signals, second, taught) = learned
    assert len(world["log_hard"]) == len(train) and "like" not in first
    assert second["like"] is teacher and set(signals) == {"log_spread", "log_hard"}
    assert taught.temper == teacher.temper and taught.corrections == teacher.corrections
    assert set(teacher.corrections) == set(second["levelled"]) and not taught.scale.shifts
    model = load_model(tmp_path)
    assert len(model._files.domains["relaxed"].prototypes) == len(train)
    model.predict(cells[held])
    # But for a few that stand at a threshold: a file's prototypes have three digits.
    gaps = np.abs(asked[-1]["log_hard"] - signals["log_hard"])
    assert np.quantile(gaps, 0.95) < 1e-9 < np.ptp(signals["log_hard"])


def test_few_errors_teach_nothing() -> None:
    cells, oxide = compounds(FEWEST - 1, seed=12)
    error = errors_of(oxide, 13)[:, None]
    parts = [outsider(cells, error, np.arange(len(cells)))]
    heads, names = (Head("energy"),), named(cells)
    assert lesson_of(parts, np.zeros_like(error), heads, names) is None
    assert lesson_of([], np.zeros_like(error), heads, names) is None
    assert lesson_of(parts, np.full_like(error, np.nan), heads, names) is None
