"""A user's table of measured values: formulas, a target, and the conditions it was measured at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.columns import CRYSTAL_COLUMNS
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.crystals.files.named_rows import is_gap
from materialabs.crystals.files.names import KNOWN, UNSTATED
from materialabs.errors import FileError, InputError
from materialabs.levels import Level
from materialabs.networks.heads import NO_UNIT, Head
from materialabs.networks.table_rows import listed, numbered_rows, sheets_not_read
from materialabs.networks.targets import (
    ENERGIES,
    ENERGY_UNIT,
    target_of,
    texts_among_numbers,
)
from materialabs.transfer.folds import compound_labels
from materialabs.transfer.formula_column import SHOWN, amounts_of, formula_column

Floats = NDArray[np.float64]

FEWEST: Final = 20
"""Rows; with fewer there is too little to learn from and to be judged on."""

LARGEST: Final = 1e30
"""Of a number to learn: trees reckon in single precision, which ends at 3e38."""

TEXT_SHOWN: Final = 40
"""Characters of a text that a sentence shows."""

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
        int64 [n], the row of the table that each comes from; 1 is the first below the header.
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
        Go on without rows whose formula, fractions or value are wrong, and say which.
    normalise
        Take fractions that do not sum to one relative to their sum.
    """
    path = Path(table)
    if not path.is_file():
        raise FileError(f"There is no file {path}.")
    rows = dict(numbered_rows(path))
    formulas = _columns(path, rows, formula, [target, *conditions])
    values, texts = _values(rows, target, skip_bad)
    head, targets = _targets(values, target, unit, logarithm)
    given = np.array([_numbers(rows, one) for one in conditions]).reshape(-1, len(rows)).T
    known = np.asarray(np.isfinite(targets).all(axis=1))
    whole = np.asarray(np.isfinite(given).all(axis=1))
    numbers = np.array(list(rows), dtype=np.int64)
    written = {row: rows[row].get(formulas) for row in numbers[known & whole].tolist()}
    amounts, notes = amounts_of(written, skip_bad, normalise)
    kept = np.isin(numbers, list(amounts))
    notes += _left_out(known, whole, texts)
    found = Measurements(
        Compositions.from_dicts(list(amounts.values())),
        Descriptors(given[kept], tuple(conditions)),
        targets[kept], head, numbers[kept], path.name, tuple(notes),
    )  # fmt: skip
    return checked(with_classes_present(found))


def with_classes_present(measured: Measurements) -> Measurements:
    """The same without classes of which no row is left, and with a note on them."""
    present = measured.targets.any(axis=0)
    if not measured.head.classes or present.all():
        return measured
    names = np.array(measured.head.classes)
    head = replace(measured.head, classes=tuple(names[present].tolist()))
    gone = " or ".join(map(repr, names[~present].tolist()))
    notes = (*measured.notes, f"no row that is kept is {gone}, which is left out of the classes")
    return replace(measured, head=head, targets=measured.targets[:, present], notes=notes)


def checked(measured: Measurements) -> Measurements:
    """The same with notes on what is odd; refused where there is nothing to learn."""
    if len(measured) < FEWEST:
        raise InputError(
            f"{len(measured)} rows have a formula and a value, and {FEWEST} are needed to learn "
            "from and to be judged on: give more rows.",
            code="transfer.few",
        )
    _require_spread(measured)
    columns = measured.targets.T
    if measured.head.logarithm:
        columns = np.concatenate([columns, 10.0**columns])
    notes = repeated(measured)
    for name, column in zip(measured.conditions.names, measured.conditions.values.T, strict=True):
        if any(_follows(target, column) for target in columns):
            raise InputError(
                f"The condition {name!r} is the target in other words: leave it out.",
                code="transfer.leak",
            )
        if np.ptp(column) == 0:
            notes.append(
                f"the condition {name!r} is {column[0]:g} in every row: nothing is learned of it, "
                "and predictions hold for this value only"
            )
    return replace(measured, notes=(*measured.notes, *notes))


def _require_spread(measured: Measurements) -> None:
    """Refuse targets that are all the same, and numbers that strategies cannot hold."""
    head, targets = measured.head, measured.targets
    if len(head.classes) == 1:
        raise InputError(
            f"Every row of {head.name!r} that is kept is {head.classes[0]!r}: there is nothing to "
            "tell apart.",
            code="target.constant",
        )
    if not head.classes and np.ptp(targets) == 0:
        raise InputError(
            f"Every value of {head.name!r} is the same: there is nothing to learn.",
            code="target.constant",
        )
    worst = int(np.abs(targets).max(axis=1).argmax())
    if np.abs(targets[worst]).max() > LARGEST:
        raise InputError(
            f"{head.name!r} is {targets[worst, 0]:g} in row {measured.rows[worst]}: numbers up to "
            f"{LARGEST:g} are learned; mend it, or learn the logarithm (--log).",
            code="target.infinite",
        )


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
    return [f"{text}: all are kept, as repeated measurements"]


def _columns(
    path: Path, rows: Mapping[int, dict[str, Any]], formula: str | None, asked: Sequence[str]
) -> str:
    """The column of formulas; refused where a column that is asked for is not there."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    try:
        found = formula_column(names, formula)
        _require_columns(names, asked, found)
    except InputError as error:
        raise InputError(f"{error}{sheets_not_read(path)}", code=error.code) from None
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


def _values(
    rows: Mapping[int, dict[str, Any]], target: str, skip_bad: bool
) -> tuple[dict[int, Any], dict[int, str]]:
    """The target of each row, and those that are texts among numbers, which become gaps."""
    values = {row: None if is_gap(cells.get(target)) else cells[target]
              for row, cells in rows.items()}  # fmt: skip
    numbers = list(values)
    texts = {
        numbers[place]: str(values[numbers[place]])[:TEXT_SHOWN]
        for place in texts_among_numbers(list(values.values()))
    }
    if texts and not skip_bad:
        row, text = next(iter(texts.items()))
        raise InputError(
            f"The column {target!r} holds numbers and texts such as {text!r} in row {row}: clear "
            "or mend the texts, or go on without these rows (--skip-bad).",
            code="target.mixed",
        )
    return values | dict.fromkeys(texts), texts


def _targets(
    values: Mapping[int, Any], target: str, unit: str, logarithm: bool
) -> tuple[Head, Floats]:
    """What was measured, and its columns; an energy in eV/atom has the level "experiment"."""
    head, columns = target_of(
        target, list(values.values()), unit=NO_UNIT, logarithm=logarithm, rows=list(values)
    )
    if head.classes:
        return head, columns
    told = unit or _unit_of(target)
    energy = told == ENERGY_UNIT and not logarithm
    kind = ENERGIES.get(KNOWN.get(target, target)) if energy else None
    level = None if kind is None else Level("experiment")
    return replace(head, unit=told, kind=kind, level=level), columns


def _unit_of(target: str) -> str:
    """The unit that a column's name says; a bare energy may be of an atom, a cell or a mole."""
    known = CRYSTAL_COLUMNS.get(KNOWN.get(target, target))
    return NO_UNIT if known is None or target in UNSTATED else known.unit or NO_UNIT


def _numbers(rows: Mapping[int, dict[str, Any]], name: str) -> Floats:
    """A condition [n]; NaN where it is missing."""
    found = np.full(len(rows), np.nan)
    for place, (row, cells) in enumerate(rows.items()):
        value = cells.get(name)
        try:
            found[place] = np.nan if is_gap(value) else float(str(value).strip())
        except ValueError:
            raise InputError(
                f"The condition {name!r} is {str(value)[:TEXT_SHOWN]!r} in row {row}: conditions "
                "are numbers.",
                code="transfer.condition",
            ) from None
        if abs(found[place]) > LARGEST:
            raise InputError(
                f"The condition {name!r} is {found[place]:g} in row {row}: numbers up to "
                f"{LARGEST:g} are learned from.",
                code="transfer.condition",
            )
    return found


def _left_out(
    known: NDArray[np.bool_], whole: NDArray[np.bool_], texts: Mapping[int, str]
) -> list[str]:
    notes = []
    gone = int((~known).sum()) - len(texts)
    if gone:
        notes.append(f"{gone} of {len(known)} rows have no value: left out")
    if texts:
        named = "; ".join(f"row {row}: {text!r}" for row, text in list(texts.items())[:SHOWN])
        more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
        notes.append(f"{len(texts)} rows whose value is no number are left out ({named}{more})")
    lacking = int((known & ~whole).sum())
    if lacking:
        notes.append(f"{lacking} rows with a value lack a condition: left out")
    return notes


def _follows(target: Floats, column: Floats) -> bool:
    """Whether one column is a linear function of the other."""
    if np.ptp(column) == 0 or np.ptp(target) == 0:
        return False
    return bool(abs(np.corrcoef(target, column)[0, 1]) > 1.0 - SAME)
