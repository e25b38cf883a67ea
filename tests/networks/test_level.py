"""The map between levels: exact shifts are found, errors are told, other levels refused."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError, LevelError
from materialabs.hull.entries import read_entries
from materialabs.intervals import IntervalShape
from materialabs.levels import MP2018, Energies, Level
from materialabs.networks.level import CONFORMAL_FROM, RESIDUAL_FROM, LevelMap
from materialabs.predictions import Prediction

ORACLE = Level("PBE", code="oracle")
ELEMENTS = np.array([3, 8, 9, 11, 12, 16, 26, 27])
SHIFTS = np.zeros(119)
SHIFTS[ELEMENTS] = [0.3, -0.5, 0.1, 0.0, -0.2, 0.4, 0.8, -0.9]


def formulas(count: int, seed: int) -> Compositions:
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        chosen = random.choice(ELEMENTS, 3, replace=False)
        rows.append({int(z): float(random.integers(1, 6)) for z in chosen})
    return Compositions.from_dicts(rows)


def predicted(mean: Any, std: float) -> Prediction:
    values = np.asarray(mean, dtype=np.float64)
    return Prediction(
        values, np.full(len(values), std), "eV/atom", "energy 1", MP2018, "formation",
        members=np.stack([values, values + 0.01]),
    )  # fmt: skip


def labelled(values: Any, kind: Any = "formation") -> Energies:
    return Energies(values, kind, ORACLE)


def shifted(count: int, seed: int, noise: float) -> tuple[Prediction, Compositions, np.ndarray]:
    random = np.random.default_rng(seed)
    compositions = formulas(count, seed)
    truth = random.normal(-1.0, 1.0, count)
    made = predicted(truth + noise * random.normal(size=count), noise)
    return made, compositions, truth + compositions.fractions(range(119)) @ SHIFTS


def test_known_shifts_are_recovered() -> None:
    made, compositions, truth = shifted(60, seed=1, noise=1e-5)
    found = LevelMap.fit(made, compositions, labelled(truth))
    shifts = found.element_shifts()
    from materialabs.elements import SYMBOLS

    for number in ELEMENTS.tolist():
        assert shifts[SYMBOLS[number]][0] == pytest.approx(SHIFTS[number], abs=2e-3)


def test_total_energies_are_reached_from_formation_energies() -> None:
    made, compositions, truth = shifted(40, seed=2, noise=1e-4)
    total = truth + compositions.fractions(range(119)) @ np.linspace(-9, -2, 119)
    found = LevelMap.fit(made, compositions, labelled(total, "total"))
    mapped = found.apply(made, compositions)
    assert mapped.kind == "total"
    assert np.abs(mapped.mean - total).max() < 0.02


@pytest.mark.parametrize("count", [60, 150, 1000])
def test_intervals_of_new_crystals_hold(count: int) -> None:
    made, compositions, truth = shifted(count, seed=3, noise=0.05)
    found = LevelMap.fit(made, compositions, labelled(truth))
    asked, others, expected = shifted(2000, seed=4, noise=0.05)
    mapped = found.apply(asked, others)
    inside = (mapped.low <= expected) & (expected <= mapped.high)
    assert 0.84 < inside.mean() < 0.97


def test_a_wrong_standard_deviation_is_mended() -> None:
    made, compositions, truth = shifted(500, seed=5, noise=0.05)
    boastful = made.replace(std=made.std / 10)
    mapped = LevelMap.fit(boastful, compositions, labelled(truth)).apply(boastful, compositions)
    assert ((mapped.low <= truth) & (truth <= mapped.high)).mean() == pytest.approx(0.9, abs=0.05)


def test_a_curved_difference_is_learned_from_many_pairs() -> None:
    made, compositions, truth = shifted(1500, seed=6, noise=0.005)
    x = compositions.fractions(range(119))
    curved = truth + x[:, 26] * x[:, 8] * 3.0
    found = LevelMap.fit(made[:1000], compositions[:1000], labelled(curved[:1000]))
    few = LevelMap.fit(
        made[: RESIDUAL_FROM - 1],
        compositions[: RESIDUAL_FROM - 1],
        labelled(curved[: RESIDUAL_FROM - 1]),
    )
    error = np.abs(found.apply(made[1000:], compositions[1000:]).mean - curved[1000:]).mean()
    straight = np.abs(few.apply(made[1000:], compositions[1000:]).mean - curved[1000:]).mean()
    assert error < 0.5 * straight


def test_features_of_the_network_join_the_residual() -> None:
    made, compositions, truth = shifted(900, seed=7, noise=0.005)
    features = np.random.default_rng(8).normal(size=(900, 4))
    truth = truth + 0.1 * np.tanh(features[:, 0])
    found = LevelMap.fit(
        made[:600], compositions[:600], labelled(truth[:600]), features=features[:600]
    )
    mapped = found.apply(made[600:], compositions[600:], features=features[600:])
    assert np.abs(mapped.mean - truth[600:]).mean() < 0.05
    with pytest.raises(InputError, match="do not match"):
        found.apply(made[600:], compositions[600:])
    with pytest.raises(InputError, match="need features"):
        found.apply(made[600:], compositions[600:], features=features)


def test_without_pairs_nothing_moves_and_intervals_are_wide_but_finite() -> None:
    made, compositions, _ = shifted(10, seed=9, noise=0.05)
    found = LevelMap.fit(made[:0], compositions[:0], labelled([]))
    mapped = found.apply(made, compositions)
    assert np.array_equal(mapped.mean, made.mean)
    assert (mapped.std > 0.1).all()
    assert (mapped.std < 1.0).all()
    total = LevelMap.unlearned(made, ORACLE, "total").apply(made, compositions)
    assert (total.std > 3.0).all()


def test_at_one_level_only_small_shifts_are_expected() -> None:
    made, _, _ = shifted(10, seed=9, noise=0.05)
    cells = formulas(10, 9)
    within = LevelMap.unlearned(made, MP2018, "formation").apply(made, cells)
    between = LevelMap.unlearned(made, ORACLE, "formation").apply(made, cells)
    assert (made.std < within.std).all()
    assert (within.std < 0.75 * between.std).all()
    # The same three labels, half an eV off, are believed less where none was expected.
    off = made[:3].mean + 0.5
    said = [
        LevelMap.fit(made[:3], cells[:3], Energies(off, "formation", level)).apply(made, cells)
        for level in (MP2018, ORACLE)
    ]
    assert (said[0].mean[:3] - made.mean[:3]).mean() < (said[1].mean[:3] - made.mean[:3]).mean()


def test_one_pair_narrows_its_own_elements_alone() -> None:
    made, compositions, truth = shifted(1, seed=10, noise=0.01)
    found = LevelMap.fit(made, compositions, labelled(truth, "total"))
    mapped = found.apply(made, compositions)
    assert mapped.mean == pytest.approx(truth, abs=0.05)
    elsewhere = found.apply(made, Compositions.parse(["AuCu"]))
    assert elsewhere.std[0] > 10 * mapped.std[0]


def test_elements_without_pairs_stay_wide() -> None:
    made, compositions, truth = shifted(200, seed=11, noise=0.01)
    found = LevelMap.fit(made, compositions, labelled(truth))
    both = found.apply(made[:2], Compositions.parse(["LiFeO2", "GaAs"]))
    assert both.std[1] > 5 * both.std[0]


def test_one_wrong_label_does_not_bend_the_map() -> None:
    made, compositions, truth = shifted(100, seed=12, noise=0.01)
    spoilt = truth.copy()
    spoilt[0] += 5.0
    found = LevelMap.fit(made, compositions, labelled(spoilt))
    assert np.abs(found.apply(made, compositions).mean - truth)[1:].mean() < 0.05


def test_before_many_pairs_the_predictions_own_shape_is_kept() -> None:
    shape = IntervalShape([0.9], [[2.5]])
    made, compositions, truth = shifted(CONFORMAL_FROM - 1, seed=13, noise=0.05)
    mapped = LevelMap.fit(made, compositions, labelled(truth)).apply(
        made.replace(shape=shape), compositions
    )
    assert mapped.shape is shape


def test_members_move_with_the_mean() -> None:
    made, compositions, truth = shifted(50, seed=14, noise=0.01)
    mapped = LevelMap.fit(made, compositions, labelled(truth)).apply(made, compositions)
    assert mapped.members - mapped.mean == pytest.approx(made.members - made.mean)  # type: ignore[operator]


def test_the_result_is_at_the_other_level_and_nothing_else_is_taken() -> None:
    made, compositions, truth = shifted(20, seed=15, noise=0.01)
    found = LevelMap.fit(made, compositions, labelled(truth))
    mapped = found.apply(made, compositions)
    assert mapped.level == ORACLE
    with pytest.raises(LevelError, match="fit a map for that level"):
        found.apply(mapped, compositions)


@pytest.mark.parametrize("wrong", [{"labels": 3}, {"compositions": 3}])
def test_pairs_that_do_not_match_are_refused(wrong: dict[str, int]) -> None:
    made, compositions, truth = shifted(4, seed=16, noise=0.01)
    with pytest.raises(InputError, match="one for one"):
        LevelMap.fit(
            made,
            compositions[: wrong.get("compositions", 4)],
            labelled(truth[: wrong.get("labels", 4)]),
        )


def test_labels_that_are_no_numbers_are_refused() -> None:
    made, compositions, truth = shifted(4, seed=17, noise=0.01)
    truth[2] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        LevelMap.fit(made, compositions, labelled(truth))


def test_compositions_of_others_are_refused() -> None:
    made, compositions, _ = shifted(4, seed=18, noise=0.01)
    with pytest.raises(InputError, match="do not go with 3 compositions"):
        LevelMap.unlearned(made, ORACLE, "total").apply(made, compositions[:3])


def test_five_thousand_pairs_are_learned_from_in_two_seconds_of_work() -> None:
    made, compositions, truth = shifted(5000, seed=19, noise=0.05)
    seconds = []
    for _ in range(3):
        start = time.thread_time()
        LevelMap.fit(made, compositions, labelled(truth))
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 2.0


def lowest_in_project(folder: Path) -> dict[str, float]:
    """Lowest formation energy of each reduced formula of mp36k, eV/atom."""
    with gzip.open(folder / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    names = Compositions.parse([row["formula"] for row in rows]).reduced_formulas()
    found: dict[str, float] = {}
    for name, row in zip(names, rows, strict=True):
        found[name] = min(found.get(name, np.inf), row["e_form_per_atom"])
    return found


@pytest.mark.slow
def test_the_older_tables_formation_energies_lead_to_total_energies(data_folder: Path) -> None:
    """Half of the Fe-Li-O-P formulas are labelled; the other half is foretold."""
    table = read_entries(data_folder / "hulls" / "Fe_Li_O_P_entries.json.gz")
    older = lowest_in_project(data_folder)
    lowest: dict[str, int] = {}
    for row, name in enumerate(table.compositions.reduced_formulas()):
        if name in older:
            best = lowest.setdefault(name, row)
            if table.energies.values[row] < table.energies.values[best]:
                lowest[name] = row
    rows = np.array(list(lowest.values()))
    made = predicted([older[name] for name in lowest], 0.03)
    truth, compositions = table.energies.values[rows], table.compositions[rows]
    order = np.random.default_rng(0).permutation(len(rows))
    learned, asked = order[: len(rows) // 2], order[len(rows) // 2 :]
    found = LevelMap.fit(
        made[learned],
        compositions[learned],
        Energies(truth[learned], "total", table.energies.level),
    )
    mapped = found.apply(made[asked], compositions[asked])
    assert np.abs(made.mean[asked] - truth[asked]).mean() > 5.0
    assert np.abs(mapped.mean - truth[asked]).mean() < 0.09
    assert ((mapped.low <= truth[asked]) & (truth[asked] <= mapped.high)).mean() > 0.75


@pytest.mark.slow
def test_the_two_columns_of_one_table_map_onto_each_other(data_folder: Path) -> None:
    with gzip.open(data_folder / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [row for row in rows if row["e_form_megnet2018"] is not None]
    older = np.array([row["e_form_megnet2018"] for row in rows])
    newer = np.array([row["e_form_per_atom"] for row in rows])
    compositions = Compositions.parse([row["formula"] for row in rows])
    order = np.random.default_rng(1).permutation(len(rows))
    learned, asked = order[:2000], order[2000:7000]
    made = predicted(older, 0.01)
    found = LevelMap.fit(made[learned], compositions[learned], labelled(newer[learned]))
    mapped = found.apply(made[asked], compositions[asked])
    gap = np.abs(older[asked] - newer[asked]).mean()
    assert np.abs(mapped.mean - newer[asked]).mean() < 1.1 * gap
    inside = (mapped.low <= newer[asked]) & (newer[asked] <= mapped.high)
    assert 0.87 < inside.mean() < 0.93
