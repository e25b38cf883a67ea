"""Predictions: intervals, choosing and joining, energies, classes, spectra, tables."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from materialabs.errors import InputError, LevelError
from materialabs.intervals import IntervalShape
from materialabs.levels import MP2020, Energies, Level
from materialabs.predictions import Prediction


def energies(count: int = 4, **changes: Any) -> Prediction:
    random = np.random.default_rng(7)
    settings: dict[str, Any] = {
        "mean": random.normal(size=count),
        "std": random.uniform(0.1, 0.5, count),
        "unit": "eV/atom",
        "model_id": "energy 1",
        "level": MP2020,
        "kind": "formation",
        "ids": tuple(f"c{i}" for i in range(count)),
        "in_domain": np.linspace(0.0, 1.0, count),
        "members": random.normal(size=(3, count)),
    }
    return Prediction(**settings | changes)


def classes() -> Prediction:
    chances = [[0.9, 0.1], [0.2, 0.8]]
    return Prediction(
        chances, np.full((2, 2), 0.05), "", "metals 1", classes=("insulator", "metal")
    )


def test_low_and_high_are_the_ninety_percent_interval() -> None:
    made = energies()
    half = stats.norm.ppf(0.95) * made.std
    assert made.low == pytest.approx(made.mean - half, abs=1e-3)
    assert made.high == pytest.approx(made.mean + half, abs=1e-3)


def test_the_interval_follows_the_row_of_each_crystal() -> None:
    shape = IntervalShape([0.9], [[1.0], [3.0]])
    made = energies(shape=shape, rows=[0, 1, 1, 0])
    assert (made.high - made.mean) / made.std == pytest.approx([1, 3, 3, 1])


def test_intervals_end_where_the_quantity_ends() -> None:
    gap = Prediction([0.1, -0.2], [1.0, 1.0], "eV", "gap 1", bounds=(0.0, np.inf))
    assert gap.low.tolist() == [0.0, 0.0]
    assert (gap.high > 0).all()


def test_probability_below_is_that_of_the_normal_distribution() -> None:
    made = energies()
    expected = stats.norm.cdf(0.3, made.mean, made.std)
    assert made.probability_below(0.3) == pytest.approx(expected, abs=1e-4)


def test_a_certain_value_is_below_or_not() -> None:
    made = Prediction([1.0, 2.0, 3.0], np.zeros(3), "1", "exact")
    assert made.probability_below(2.0).tolist() == [1.0, 0.5, 0.0]


def test_energies_keep_kind_and_level() -> None:
    found = energies().energies()
    assert isinstance(found, Energies)
    assert (found.kind, found.level) == ("formation", MP2020)


def test_what_is_no_energy_goes_on_no_hull() -> None:
    with pytest.raises(LevelError, match="holds no energies"):
        Prediction([1.0], [0.1], "eV", "gap 1").energies()


def test_energies_without_a_level_are_refused() -> None:
    with pytest.raises(LevelError, match="need the level"):
        energies(level=None)


def test_taking_follows_every_column() -> None:
    made = energies()
    taken = made[[2, 0]]
    assert taken.ids == ("c2", "c0")
    assert taken.mean.tolist() == made.mean[[2, 0]].tolist()
    assert np.array_equal(taken.members, made.members[:, [2, 0]])  # type: ignore[index]


@pytest.mark.parametrize("chosen", [slice(1, 3), [1, 2], np.array([False, True, True, False])])
def test_slices_lists_and_masks_choose_alike(chosen: Any) -> None:
    assert energies()[chosen].ids == ("c1", "c2")


def test_nothing_can_be_chosen() -> None:
    assert len(energies()[[]]) == 0


def test_a_position_outside_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        energies()[4]


def test_iterating_gives_one_at_a_time() -> None:
    assert [one.ids for one in energies(2)] == [("c0",), ("c1",)]


def test_joining_undoes_taking_apart() -> None:
    made = energies()
    again = Prediction.concat([made[:1], made[1:]])
    assert again.ids == made.ids
    assert np.array_equal(again.members, made.members)  # type: ignore[arg-type]
    assert again.shape is made.shape


def test_joining_keeps_each_parts_intervals() -> None:
    first = energies(shape=IntervalShape([0.9], [[1.0]]))
    second = energies(shape=IntervalShape([0.9], [[4.0]]))
    both = Prediction.concat([first, second])
    assert both.high[:4] == pytest.approx(first.high)
    assert both.high[4:] == pytest.approx(second.high)


def test_members_that_one_part_lacks_are_left_out() -> None:
    assert Prediction.concat([energies(), energies(members=None)]).members is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"level": Level("r2SCAN")}, LevelError),
        ({"kind": "total"}, LevelError),
        ({"unit": "meV/atom"}, InputError),
        ({"model_id": "other"}, InputError),
    ],
)
def test_unlike_predictions_are_not_joined(change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="cannot be joined"):
        Prediction.concat([energies(), energies(**change)])


def test_joining_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="No predictions"):
        Prediction.concat([])


def test_classes_have_probabilities_and_labels() -> None:
    assert classes().labels == ("insulator", "metal")
    assert classes().probability[1].tolist() == [0.2, 0.8]


def test_intervals_of_probabilities_stay_probabilities() -> None:
    low, high = classes().interval(0.999999)
    assert low.min() >= 0.0
    assert high.max() <= 1.0


def test_values_have_no_class_probabilities() -> None:
    with pytest.raises(InputError, match="not classes"):
        _ = energies().probability


def test_spectra_carry_their_grid() -> None:
    made = Prediction(np.ones((2, 3)), np.ones((2, 3)), "states/eV", "dos 1", grid=[-1, 0, 1])
    assert made[1].low.shape == (1, 3)
    with pytest.raises(InputError, match="different grids"):
        Prediction.concat([made, made.replace(grid=[-2, 0, 2])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"std": np.ones(3)}, r"does not go with std \(3,\)"),
        ({"ids": ("a",)}, r"does not go with ids \(1,\)"),
        ({"members": np.ones((2, 3))}, "does not go with members"),
        ({"in_domain": [0.0, 0.5, 1.0, 1.5]}, "between 0 and 1"),
        ({"std": [-1.0, 1.0, 1.0, 1.0]}, "not below zero"),
        ({"rows": [0, 0, 0, 9]}, "1 rows"),
        ({"unit": ""}, "names its unit"),
        ({"model_id": ""}, "names the model"),
        ({"kind": "free"}, "total' or 'formation"),
        ({"bounds": (1.0, 0.0)}, "hold no value"),
        ({"mean": np.ones((1, 1, 1))}, r"\[n\] or \[n, k\]"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        energies(**change)


def test_two_dimensions_need_a_meaning() -> None:
    with pytest.raises(InputError, match="grid or the classes"):
        Prediction(np.ones((2, 2)), np.ones((2, 2)), "eV", "m")


def test_an_unknown_field_cannot_be_replaced() -> None:
    with pytest.raises(InputError, match="no field 'avg'"):
        energies().replace(avg=1)


def test_predictions_are_immutable() -> None:
    with pytest.raises(ValueError, match="read-only"):
        energies().mean[0] = 1.0


def test_the_table_flags_what_is_out_of_domain() -> None:
    rows = energies().table()
    assert [row["out_of_domain"] for row in rows] == [True, False, False, False]
    assert list(rows[0]) == ["id", "mean", "std", "low", "high", "in_domain", "out_of_domain"]


def test_an_unknown_domain_is_told_as_none_and_flags_nothing() -> None:
    row = energies(in_domain=None).table()[0]
    assert row["in_domain"] is None
    assert row["out_of_domain"] is False


def test_the_table_of_classes_names_the_likely_one() -> None:
    assert classes().table()[1]["class"] == "metal"


def test_a_notebook_shows_the_first_rows_and_counts_the_rest() -> None:
    html = energies(40, ids=("<b>",) * 40)._repr_html_()
    assert "and 25 more" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_a_prediction_says_what_it_is() -> None:
    said = repr(energies(quantity="formation energy"))
    assert said.startswith("Prediction(4: formation energy, eV/atom at PBE(+U)/MP2020")


def test_predictions_load_nothing_heavy() -> None:
    code = (
        "import sys, materialabs.predictions;"
        "print([m for m in ('scipy', 'torch', 'numba', 'pymatgen') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
