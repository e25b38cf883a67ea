"""What sources say of pairs of elements, worked out again pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.elements import SYMBOLS
from materialabs.transfer.pairs import pair_descriptors
from materialabs.transfer.sources import Source, shipped, values_of

ENERGY = "formation energy (eV/atom)"


def told_of(source: Source, first: str, second: str) -> np.ndarray:
    """The values of AB, AB3 and A3B [3], of the first quantity."""
    formulas = [f"{first}{second}", f"{first}{second}3", f"{first}3{second}"]
    return source.blocks(Compositions.parse(formulas))[values_of(source.name)].values[:, 0]


def described(*formulas: str, sources: tuple[str, ...] = ("energy",)) -> Descriptors:
    return pair_descriptors(
        Compositions.parse(formulas), [shipped(name) for name in sources]
    )  # fmt: skip


def test_an_alloy_is_told_by_its_pairs_as_often_as_they_meet() -> None:
    formula = "Al0.5CoCrFe2Ni0.3"
    [amounts] = Compositions.parse([formula])
    total = sum(amounts.values())
    meets, means, lowest = [], [], []
    for first, second in combinations(amounts, 2):
        values = told_of(shipped("energy"), SYMBOLS[first], SYMBOLS[second])
        meets.append(2.0 * amounts[first] * amounts[second] / total**2)
        means.append(values.mean())
        lowest.append(values.min())
    share = np.array(meets) / sum(meets)
    mean = share @ means
    expected = {
        "chance that two atoms differ": sum(meets),
        f"{ENERGY}, compounds of its pairs: sum": np.dot(meets, means),
        f"{ENERGY}, compounds of its pairs: mean": mean,
        f"{ENERGY}, compounds of its pairs: minimum": min(means),
        f"{ENERGY}, compounds of its pairs: maximum": max(means),
        f"{ENERGY}, compounds of its pairs: average deviation": share @ np.abs(means - mean),
        f"{ENERGY}, lowest compounds of its pairs: sum": np.dot(meets, lowest),
        f"{ENERGY}, lowest compounds of its pairs: mean": share @ lowest,
    }
    found = described(formula, "NaCl")
    assert found.names == tuple(expected)
    np.testing.assert_allclose(found.values[0], list(expected.values()), atol=1e-5)


def test_sources_of_one_quantity_are_averaged_and_others_stand_beside_them() -> None:
    both = described("FeCo2Ni", sources=("energy", "mp36k"))
    alone = [described("FeCo2Ni", sources=(name,)) for name in ("energy", "mp36k")]
    name = f"{ENERGY}, compounds of its pairs: mean"
    mean = np.mean([one.column(name) for one in alone])
    assert both.column(name)[0] == pytest.approx(mean, abs=1e-6)
    gap = "band gap (eV), compounds of its pairs: mean"
    assert both.column(gap)[0] == pytest.approx(alone[1].column(gap)[0], abs=1e-6)


def test_an_element_has_no_pairs() -> None:
    assert not described("Fe", "Si4").values.any()
    alone, beside = described("Fe").values, described("Fe", "NaCl").values[:1]
    assert np.array_equal(alone, beside)


def test_order_scale_and_neighbours_change_nothing() -> None:
    first = described("Fe2CoNi").values[0]
    for formulas in (("NiCoFe2",), ("Fe4Co2Ni2",), ("Fe2CoNi", "AlCoCrFeNi", "Cu")):
        np.testing.assert_allclose(described(*formulas).values[0], first, atol=1e-6)


def test_no_compositions_make_an_empty_table() -> None:
    assert described().values.shape == (0, 8)


def test_a_trace_hardly_changes_what_is_told() -> None:
    pure, doped = described("PbTe", "PbTe0.999Na0.001").values
    mean = list(described("PbTe").names).index(f"{ENERGY}, compounds of its pairs: mean")
    assert doped[mean] == pytest.approx(pure[mean], abs=0.01)
