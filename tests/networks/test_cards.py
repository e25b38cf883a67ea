"""Figures of a model's card."""

from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.networks.cards import unit_figures
from materialabs.predictions import Prediction


def told(logs: list[float]) -> Prediction:
    return Prediction(np.array(logs), np.full(len(logs), 0.1), "log10(GPa)", "made/0")


def test_errors_of_logarithms_are_told_in_the_quantity_s_own_unit() -> None:
    truth = np.array([np.log10(110.0), 1.0, np.nan])
    cells = Compositions.parse(["MgO", "NaCl", "KCl"])
    figures = unit_figures(told([2.0, 1.0, 3.0]), truth, cells, "GPa")
    assert figures["own_unit"] == "GPa"
    assert figures["own_mae"] == pytest.approx(5.0)  # 10 and 0 GPa
    assert 0.0 <= figures["own_mae_from"] <= 5.0 <= figures["own_mae_to"] <= 10.0


def test_nothing_is_told_where_no_value_is_known() -> None:
    cells = Compositions.parse(["MgO"])
    assert unit_figures(told([2.0]), np.array([np.nan]), cells, "GPa") == {}
