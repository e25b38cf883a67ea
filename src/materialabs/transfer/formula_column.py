"""The column of formulas of a user's table: compositions, and the rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files.named_rows import is_gap
from materialabs.errors import FormulaError, InputError
from materialabs.networks.labelled_tables import FORMULAS
from materialabs.networks.table_rows import listed
from materialabs.transfer.folds import MOST_ATOMS

SHOWN: Final = 8
"""Bad rows that a sentence lists."""

MOSTLY: Final = 0.8
"""Share of rows with fractions that sum to one from which a table is one of fractions."""

PERCENT: Final = 100.0

WHOLES: Final = (1.0, PERCENT)
"""What fractions and percentages sum to."""

SUM_TOLERANCE: Final = 0.02
"""Fractions that sum to one within this are whole; published tables round to two digits."""


def formula_column(names: Sequence[str], formula: str | None) -> str:
    """The name of the column of formulas: the one that is asked for, or one of the usual names."""
    lower = {name.lower(): name for name in reversed(names)}
    found = formula or next((lower[one] for one in FORMULAS if one in lower), None)
    if found is None or found not in names:
        raise InputError(
            f"The table has no column {found or 'formula'!r}; it has {listed(names)}: name the "
            "column of formulas.",
            code="table.no_formula",
        )
    return found


def amounts_of(
    written: Mapping[int, Any], skip_bad: bool, normalise: bool
) -> tuple[dict[int, dict[int, float]], list[str]]:
    """Amounts of each row that is kept, by atomic number, and notes on the others.

    Parameters
    ----------
    written
        The cell of each row's formula, by the number of the row.
    skip_bad
        Go on without rows that cannot be used.
    normalise
        Take fractions that do not sum to one relative to their sum.
    """
    bad: dict[int, str] = {}
    read: dict[int, dict[int, float]] = {}
    for row, text in written.items():
        try:
            read[row] = next(iter(Compositions.parse(["" if is_gap(text) else str(text)])))
        except FormulaError as error:
            bad[row] = str(error)
    broken = _broken_sums(read)
    notes = []
    if broken and normalise:
        named = ", ".join(f"row {row}" for row in sorted(broken)[:SHOWN])
        notes = [f"{len(broken)} rows have fractions that do not sum to one, taken as relative "
                 f"({named})"]  # fmt: skip
    elif broken:
        bad |= broken
    else:
        notes = _odd_percentages(read)
    if not bad:
        return read, notes
    told = "; ".join(f"row {row}: {bad[row].rstrip('.')}" for row in sorted(bad)[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if not skip_bad:
        relative = ", or take fractions as relative (--normalise)" if broken else ""
        raise FormulaError(
            f"{len(bad)} of {len(written)} rows have a composition that cannot be used: "
            f"{told}{more}. Mend them, or go on without them (--skip-bad){relative}.",
            code="transfer.rows",
        )
    note = f"{len(bad)} rows whose composition cannot be used are left out ({told}{more})"
    return {row: amounts for row, amounts in read.items() if row not in bad}, [*notes, note]


def _broken_sums(read: Mapping[int, Mapping[int, float]]) -> dict[int, str]:
    """Rows whose fractions do not sum to one (or to 100 %), in a table of fractions."""
    fractions = _sums(read, lambda amount: amount != round(amount))
    for total in WHOLES:
        wrong = _not_whole(fractions, total)
        if fractions and len(fractions) - len(wrong) >= MOSTLY * len(read):
            if total == PERCENT:
                wrong = _not_whole(_percentages(read), total)
            return {row: f"the fractions sum to {value:g}, not to {total:g}."
                    for row, value in wrong.items()}  # fmt: skip
    return {}


def _odd_percentages(read: Mapping[int, Mapping[int, float]]) -> list[str]:
    """A sentence on rows that do not sum to 100, in a table of whole percentages.

    They may be formulas of whole numbers all the same, and are kept.
    """
    sums = _percentages(read)
    wrong = _not_whole(sums, PERCENT)
    if not wrong or len(sums) - len(wrong) < MOSTLY * len(read):
        return []
    named = ", ".join(f"row {row}: {value:g}" for row, value in list(wrong.items())[:SHOWN])
    more = f", and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return [f"{len(wrong)} rows have percentages that do not sum to 100, taken as relative: look "
            f"whether they are right ({named}{more})"]  # fmt: skip


def _percentages(read: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """Sums of the rows that may be percentages: of fractions, or of more atoms than formulas."""
    return _sums(read, lambda amount: amount != round(amount) or amount > MOST_ATOMS)


def _sums(
    read: Mapping[int, Mapping[int, float]], tells: Callable[[float], bool]
) -> dict[int, float]:  # fmt: skip
    """The sum of each row of which one amount tells that it is no formula of whole numbers."""
    return {row: sum(amounts.values()) for row, amounts in read.items()
            if any(map(tells, amounts.values()))}  # fmt: skip


def _not_whole(sums: Mapping[int, float], total: float) -> dict[int, float]:
    return {row: value for row, value in sums.items() if abs(value / total - 1.0) > SUM_TOLERANCE}
