"""A user's table of measured values: formulas, a target, and the conditions it was measured at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import FileError, FormulaError, InputError
from materialabs.levels import Level
from materialabs.networks.heads import NO_UNIT, Head
from materialabs.networks.labelled_tables import FORMULAS, MISSING, listed, read_rows
from materialabs.networks.targets import ENERGIES, target_of
from materialabs.transfer.folds import compound_labels

Floats = NDArray[np.float64]

FEWEST: Final = 20
"""Rows; with fewer there is too little to learn from and to be judged on."""

SHOWN: Final = 8
"""Bad rows that a sentence lists."""

MOSTLY: Final = 0.8
"""Share of rows with fractions that sum to one from which a table is one of fractions."""

SUM_TOLERANCE: Final = 0.02
"""Fractions that sum to one within this are whole; published tables round to two digits."""

WHOLES: Final = (1.0, 100.0)
"""What fractions and percentages sum to."""

SAME_FRACTION: Final = 5e-4
"""Fractions that differ by less are the same composition, printed with three digits or more."""

SAME: Final = 1e-9
"""Relative difference below which two measured values are equal."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Measured values of compositions.

    Parameters
    ----------
    compositions
        n compositions.
    conditions
        Table of n rows, one column for each condition.
    targets
        float64 [n, k], one column for numbers, one of zeros and ones for each class.
    head
        What was measured.
    rows
        int64 [n], the row of the table that each comes from, counted from 1.
    name
        Of the table.
    notes
        What was left out or is odd, in sentences.
    """

    compositions: Compositions
    conditions: Descriptors
    targets: Floats
    head: Head
    rows: NDArray[np.int64]
    name: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


def read_measurements(
    table: str | Path,
    target: str,
    *,
    formula: str | None = None,
    conditions: Sequence[str] = (),
    logarithm: bool = False,
    unit: str = "",
    skip_bad: bool = False,
    normalise: bool = False,
) -> Measurements:
    """Read a table of measured values; of its other columns nothing is ever an input.

    Parameters
    ----------
    table
        CSV, TSV, XLSX, JSON or JSON lines.
    target
        Column to learn. Numbers are regressed; truth values and texts are classes.
    formula
        Column of formulas, where it has no usual name.
    conditions
        Columns of numbers that the measurement was made at, such as a temperature.
    logarithm
        Learn base-ten logarithms.
    unit
        Of the target.
    skip_bad
        Go on without rows whose formula or fractions are wrong, and say which.
    normalise
        Take fractions that do not sum to one relative to their sum.
    """
    path = Path(table)
    if not path.is_file():
        raise FileError(f"There is no file {path}.")
    rows = read_rows(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    formulas = _formula_column(names, formula)
    _require_columns(names, [target, *conditions], formulas)
    head, targets = _targets(rows, target, unit, logarithm)
    given = np.array([_numbers(rows, one) for one in conditions]).reshape(-1, len(rows)).T
    known = np.asarray(np.isfinite(targets).all(axis=1))
    whole = np.asarray(np.isfinite(given).all(axis=1))
    wanted = np.flatnonzero(known & whole)
    amounts, kept, notes = _amounts(rows, formulas, wanted.tolist(), skip_bad, normalise)
    notes += _left_out(known, whole)
    found = Measurements(
        Compositions.from_dicts(amounts),
        Descriptors(given[kept], tuple(conditions)),
        targets[kept], head, np.array(kept, dtype=np.int64) + 1, path.name, tuple(notes),
    )  # fmt: skip
    return checked(found)


def checked(measured: Measurements) -> Measurements:
    """The same with notes on repeated formulas; refused where there is nothing to learn."""
    if len(measured) < FEWEST:
        raise InputError(
            f"{len(measured)} rows have a formula and a value, and {FEWEST} are needed to learn "
            "from and to be judged on: give more rows.",
            code="transfer.few",
        )
    if not measured.head.classes and np.ptp(measured.targets) == 0:
        raise InputError(
            f"Every value of {measured.head.name!r} is the same: there is nothing to learn.",
            code="target.constant",
        )
    for name, column in zip(measured.conditions.names, measured.conditions.values.T, strict=True):
        if any(_follows(target, column) for target in measured.targets.T):
            raise InputError(
                f"The condition {name!r} is the target in other words: leave it out.",
                code="transfer.leak",
            )
    return replace(measured, notes=(*measured.notes, *repeated(measured)))


def repeated(measured: Measurements) -> list[str]:
    """A sentence on formulas that occur more than once, and on how far their values differ."""
    labels = [
        f"{formula}|{tuple(values)}"
        for formula, values in zip(
            compound_labels(measured.compositions, SAME_FRACTION),
            measured.conditions.values.tolist(), strict=True,
        )
    ]  # fmt: skip
    names, member, counts = np.unique(labels, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    if not len(several):
        return []
    gaps = np.array([np.ptp(measured.targets[member == one], axis=0).max() for one in several])
    scale = max(float(np.abs(measured.targets).max()), 1e-300)
    differing = gaps > SAME * scale
    count = "1 formula occurs" if len(several) == 1 else f"{len(several)} formulas occur"
    text = f"{count} more than once under the same conditions"
    if differing.any():
        worst = str(names[several[int(np.argmax(gaps))]]).partition("|")[0]
        unit = measured.head.predicted_unit
        most = f"{gaps.max():.3g}" + ("" if unit == NO_UNIT else f" {unit}")
        how = "with different classes" if measured.head.classes else (
            f"with values that differ, by {np.median(gaps):.3g} in the median and by {most} at "
            f"most ({worst})"
        )  # fmt: skip
        text += f", {int(differing.sum())} of them {how}"
    return [f"{text}: all are kept, as repeated measurements, on one side of every fold"]


def _formula_column(names: Sequence[str], formula: str | None) -> str:
    lower = {name.lower(): name for name in reversed(names)}
    found = formula or next((lower[one] for one in FORMULAS if one in lower), None)
    if found is None or found not in names:
        raise InputError(
            f"The table has no column {found or 'formula'!r}; it has {listed(names)}: name the "
            "column of formulas.",
            code="table.no_formula",
        )
    return found


def _require_columns(names: Sequence[str], asked: Sequence[str], formula: str) -> None:
    for one in asked:
        if one not in names:
            raise InputError(
                f"The table has no column {one!r}; it has {listed(names)}.",
                code="table.no_column",
            )
    if formula in asked or len(set(asked)) < len(asked):
        raise InputError(
            "Formula, target and conditions are different columns: name each once.",
            code="transfer.columns",
        )


def _cell(value: Any) -> Any:
    gone = isinstance(value, str) and value.strip().lower() in MISSING
    return None if gone else value


def _targets(
    rows: Sequence[dict[str, Any]], target: str, unit: str, logarithm: bool
) -> tuple[Head, Floats]:
    """What was measured, and its columns; a measured energy has the level "experiment"."""
    values = [_cell(row.get(target)) for row in rows]
    kind = ENERGIES.get(target)
    level = None if kind is None else Level("experiment")
    head, columns = target_of(target, values, kind=kind, level=level, logarithm=logarithm)
    return (replace(head, unit=unit) if unit and not head.classes else head), columns


def _numbers(rows: Sequence[dict[str, Any]], name: str) -> Floats:
    """A condition [n]; NaN where it is missing."""
    found = np.full(len(rows), np.nan)
    for place, row in enumerate(rows):
        value = _cell(row.get(name))
        try:
            found[place] = np.nan if value is None else float(str(value).strip())
        except ValueError:
            raise InputError(
                f"The condition {name!r} is {str(value)[:40]!r} in row {place + 1}: conditions "
                "are numbers.",
                code="transfer.condition",
            ) from None
    return found


def _left_out(known: NDArray[np.bool_], whole: NDArray[np.bool_]) -> list[str]:
    notes = []
    if not known.all():
        notes.append(f"{int((~known).sum())} of {len(known)} rows have no value: left out")
    lacking = int((known & ~whole).sum())
    if lacking:
        notes.append(f"{lacking} rows with a value lack a condition: left out")
    return notes


def _amounts(
    rows: Sequence[dict[str, Any]],
    formulas: str,
    wanted: Sequence[int],
    skip_bad: bool,
    normalise: bool,
) -> tuple[list[dict[int, float]], list[int], list[str]]:
    """Compositions of the wanted rows, the rows that are kept, and a note on the others."""
    bad: dict[int, str] = {}
    read: dict[int, dict[int, float]] = {}
    for place in wanted:
        text = _cell(rows[place].get(formulas))
        try:
            read[place] = next(iter(Compositions.parse(["" if text is None else str(text)])))
        except FormulaError as error:
            bad[place] = str(error)
    broken = _broken_sums(read)
    notes = []
    if broken and normalise:
        named = ", ".join(f"row {place + 1}" for place in sorted(broken)[:SHOWN])
        notes = [f"{len(broken)} rows have fractions that do not sum to one, taken as relative "
                 f"({named})"]  # fmt: skip
    else:
        bad |= broken
    if not bad:
        return [read[place] for place in wanted], list(wanted), notes
    told = "; ".join(f"row {place + 1}: {bad[place].rstrip('.')}" for place in sorted(bad)[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if not skip_bad:
        relative = ", or take fractions as relative (--normalise)" if broken else ""
        raise FormulaError(
            f"{len(bad)} of {len(wanted)} rows have a composition that cannot be used: "
            f"{told}{more}. Mend them, or go on without them (--skip-bad){relative}.",
            code="transfer.rows",
        )
    kept = [place for place in wanted if place not in bad]
    note = f"{len(bad)} rows whose composition cannot be used are left out ({told}{more})"
    return [read[place] for place in kept], kept, [*notes, note]


def _broken_sums(read: dict[int, dict[int, float]]) -> dict[int, str]:
    """Rows whose fractions do not sum to one (or to 100 %), in a table of fractions."""
    fractional = {
        place: sum(amounts.values())
        for place, amounts in read.items()
        if any(amount != round(amount) for amount in amounts.values())
    }
    if not fractional:
        return {}
    sums = np.array(list(fractional.values()))
    for total in WHOLES:
        good = np.abs(sums / total - 1.0) <= SUM_TOLERANCE
        if good.sum() >= MOSTLY * len(read):
            return {
                place: f"the fractions sum to {value:g}, not to {total:g}."
                for place, value in fractional.items()
                if abs(value / total - 1.0) > SUM_TOLERANCE
            }
    return {}


def _follows(target: Floats, column: Floats) -> bool:
    """Whether one column is a linear function of the other."""
    if np.ptp(column) == 0 or np.ptp(target) == 0:
        return False
    return bool(abs(np.corrcoef(target, column)[0, 1]) > 1.0 - SAME)
