from __future__ import annotations

import pytest

from materialabs.errors import FormulaError
from materialabs.transfer.formula_column import amounts_of

WHOLE = {row: f"Fe{40 + row}Cr{40 - row}Ni20" for row in range(1, 31)}
"""Percentages in whole numbers, which sum to 100."""

BROKEN = {row: f"Fe{40.5 + row}Cr{39.5 - row}Ni20" for row in range(1, 31)}
"""Percentages with a digit behind the point, which sum to 100."""


def test_a_slip_among_whole_percentages_is_told_with_its_row() -> None:
    amounts, [note] = amounts_of(WHOLE | {31: "Fe70Cr20Ni200"}, skip_bad=False, normalise=False)
    assert len(amounts) == 31
    assert "1 rows have percentages that do not sum to 100" in note and "row 31: 290" in note


def test_a_whole_slip_among_broken_percentages_is_refused() -> None:
    with pytest.raises(FormulaError, match="row 31: the fractions sum to 290, not to 100"):
        amounts_of(BROKEN | {31: "Fe70Cr20Ni200"}, skip_bad=False, normalise=False)


@pytest.mark.parametrize("table", [WHOLE, BROKEN])
def test_formulas_of_few_atoms_may_stand_among_percentages(table: dict[int, str]) -> None:
    amounts, notes = amounts_of(table | {31: "Fe3Ni", 32: "Mg17Al12"}, False, False)
    assert len(amounts) == 32 and not notes


def test_formulas_of_whole_numbers_are_no_percentages() -> None:
    cells = {row: f"Mg{row}O{2 * row + 1}" for row in range(1, 40)}
    assert amounts_of(cells, False, False)[1] == []
