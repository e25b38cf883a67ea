"""What is hard to predict: boosted trees taught by the errors of networks that have not seen it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks.difficulty import FEWEST, Difficulty, Traits
from materialabs.networks.ensembles import Answers, Asked
from materialabs.networks.heads import Head
from materialabs.networks.outsiders import Outside, half_of, lesson_of

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
    cells: Compositions, values: Floats, rows: NDArray[np.int64], distance: float = 0.0
) -> Outside:
    """What one network says of some rows, all of them as far from what it has learned from."""
    answers = Answers(values[rows][None], np.zeros((len(rows), 1), np.float32))
    asked = Asked(answers, cells[rows], cells.atoms[rows] * 15.0, rows)
    return Outside(asked, np.full(len(rows), distance))


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
    # How far the first of the two has them from what it knows, counts.
    parts = [outsider(cells, error * sign + 0.5 * error, rows, distance=1.0 - sign)
             for rows in (first, second) for sign in (1.0, -1.0)]  # fmt: skip
    found = lesson_of(parts, truth, heads, named(cells))
    assert found is not None and found.difficulty.heads == ("energy",)
    asked = traits_of(cells, 0.5 * error)
    direct = Difficulty.fit(("energy",), asked, 0.5 * error[:, :1])
    np.testing.assert_array_equal(
        found.difficulty.log_errors(asked)["energy"], direct.log_errors(asked)["energy"]
    )


def apart(cells: Compositions, oxide: NDArray[np.bool_], tails: float) -> list[Outside]:
    """Two outsiders for each half: errors that oxides make larger, with long tails or short ones.

    Both are wrong together; how far they are apart tells nothing.
    """
    random = np.random.default_rng(20)
    sizes = np.where(oxide, HARDER, 1.0) * np.exp(tails * random.normal(size=len(cells)))
    error, gap = random.laplace(size=len(cells)) * sizes, 0.01 * random.normal(size=len(cells))
    return [
        outsider(cells, (error + sign * gap)[:, None], rows)
        for rows in np.split(np.arange(len(cells)), 2) for sign in (1.0, -1.0)
    ]  # fmt: skip


def test_outsiders_tell_how_far_widths_may_follow_errors() -> None:
    """Where what is hard says all of the size of an error, a low power would break its promise."""
    cells, oxide = compounds(4 * FEWEST, seed=14)
    heads, truth = (Head("energy"),), np.zeros((len(cells), 1))
    found = lesson_of(apart(cells, oxide, 0.0), truth, heads, named(cells))
    assert found is not None and 0.85 < found.powers["energy"] <= 1.0
    wild = lesson_of(apart(cells, oxide, 1.5), truth, heads, named(cells))
    assert wild is not None and wild.powers["energy"] < found.powers["energy"]


def test_one_outsider_for_each_half_tells_no_power() -> None:
    """It has nobody to disagree with, which a calibration reads."""
    cells, oxide = compounds(3 * FEWEST, seed=15)
    parts = apart(cells, oxide, 0.0)
    truth = np.zeros((len(cells), 1))
    for some in ([parts[0], parts[2]], parts[:2], parts[:3]):
        found = lesson_of(some, truth, (Head("energy"),), named(cells))
        assert found is None or not found.powers


def test_few_errors_teach_nothing() -> None:
    cells, oxide = compounds(FEWEST - 1, seed=12)
    error = errors_of(oxide, 13)[:, None]
    parts = [outsider(cells, error, np.arange(len(cells)))]
    heads, names = (Head("energy"),), named(cells)
    assert lesson_of(parts, np.zeros_like(error), heads, names) is None
    assert lesson_of([], np.zeros_like(error), heads, names) is None
    assert lesson_of(parts, np.full_like(error, np.nan), heads, names) is None
