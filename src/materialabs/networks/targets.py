"""What a column of a table means as a target: numbers, their logarithms, or classes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.columns import CRYSTAL_COLUMNS
from materialabs.crystals.files.names import KNOWN
from materialabs.errors import InputError, LevelError
from materialabs.levels import Kind, Level
from materialabs.networks.heads import NO_UNIT, Head

Floats = NDArray[np.float64]

MOST_CLASSES: Final = 50
"""Classes of a target; a column with more is a text, not a class."""

TRUTHS: Final = {"true": True, "false": False, "yes": True, "no": False}
"""Texts, in lower case, that are truth values."""

OTHERWISE_WRITTEN: Final = re.compile(
    r"[-+−]?\d+(?:,\d+|(?:\.\d+)?\s*(?:(?:±|\+/-|\+-).*|\(\d+\)))"
)
"""Numbers with a decimal comma, or with an uncertainty: they are no names of classes."""

ENERGIES: Final[dict[str, Kind]] = {"formation_energy": "formation", "energy": "total"}
"""Registered columns that are energies, and their kind."""

ENERGY_UNIT: Final = "eV/atom"

LARGEST: Final = 1e100
"""Of a number to learn; a larger one is a mark for a missing value, and its square no number."""


def target_of(
    name: str,
    values: Sequence[Any],
    *,
    unit: str = "",
    kind: Kind | None = None,
    level: Level | None = None,
    logarithm: bool = False,
) -> tuple[Head, Floats]:
    """The head that learns a column, and its targets [n, 1] or [n, classes].

    Parameters
    ----------
    name
        Of the column.
    values
        [n], numbers, truth values or texts; ``None`` or NaN where one is missing.
    unit
        Of the numbers, where the column's name does not say it.
    kind, level
        Of energies in eV/atom, which need both; other numbers have no kind.
    logarithm
        Learn base-ten logarithms; every value must then be above zero.
    """
    present = [value for value in values if not _is_gone(value)]
    if not present:
        raise InputError(f"The column {name!r} holds no value.", code="target.empty")
    classes = _classes(name, present)
    if classes:
        if logarithm:
            raise InputError(f"{name!r} holds classes, which have no logarithm.")
        return Head(name, classes=classes), _indicators(values, classes)
    known = CRYSTAL_COLUMNS.get(KNOWN.get(name, name))
    told = unit or ("" if known is None else known.unit)
    if told == ENERGY_UNIT:
        kind = kind or ENERGIES.get(KNOWN.get(name, name))
        if kind is None or level is None:
            raise LevelError(
                f"{name!r} is an energy in {ENERGY_UNIT}: say of which kind it is (total or "
                "formation) and at which level of theory (for example PBE), so that predictions "
                "find their hull.",
                code="level.kind",
            )
    else:
        kind = None
    column = np.array([_number(name, row, value) for row, value in enumerate(values, 1)])
    if logarithm:
        column = _logarithms(name, column)
    head = Head(name, told or NO_UNIT, kind=kind, level=level, logarithm=logarithm)
    return head, column[:, None]


def _is_gone(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _truth(value: Any) -> bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None


def _as_number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return float(str(value).strip().replace("−", "-").replace("_", "x"))
    except ValueError:
        return None


def _classes(name: str, present: Sequence[Any]) -> tuple[str, ...]:
    """Names of the classes of a column; none where it holds numbers."""
    if all(_truth(value) is not None for value in present):
        found = {_class_name(value) for value in present}
    else:
        texts = [value for value in present if _as_number(value) is None]
        if not texts:
            return ()
        if len(texts) < len(present):
            raise InputError(
                f"The column {name!r} holds numbers and texts such as {str(texts[0])[:40]!r}: "
                "clear or mend the texts.",
                code="target.mixed",
            )
        if all(OTHERWISE_WRITTEN.fullmatch(str(value).strip()) for value in texts):
            raise InputError(
                f"The column {name!r} holds numbers written as {str(texts[0])[:40]!r}: write them "
                "with a decimal point, and an uncertainty in another column.",
                code="target.mixed",
            )
        found = {_class_name(value) for value in present}
    if len(found) < 2:
        raise InputError(
            f"Every row of {name!r} is {next(iter(found))!r}: there is nothing to tell apart.",
            code="target.constant",
        )
    if len(found) > MOST_CLASSES:
        raise InputError(
            f"The column {name!r} holds {len(found)} different texts; up to {MOST_CLASSES} classes "
            "are learned.",
            code="target.classes",
        )
    return tuple(sorted(found))


def _class_name(value: Any) -> str:
    truth = _truth(value)
    return str(value).strip() if truth is None else ("true" if truth else "false")


def _indicators(values: Sequence[Any], classes: tuple[str, ...]) -> Floats:
    table = np.full((len(values), len(classes)), np.nan)
    for row, value in enumerate(values):
        if not _is_gone(value):
            table[row] = 0.0
            table[row, classes.index(_class_name(value))] = 1.0
    return table


def _number(name: str, row: int, value: Any) -> float:
    if _is_gone(value):
        return math.nan
    number = _as_number(value)
    if number is None or not abs(number) <= LARGEST:
        raise InputError(
            f"{name!r} is {value!r} in row {row}: a finite number is needed, or an empty cell "
            "where it is not known.",
            code="target.infinite",
        )
    return number


def _logarithms(name: str, column: Floats) -> Floats:
    wrong = np.flatnonzero(column <= 0)
    if len(wrong):
        raise InputError(
            f"{name!r} is {column[wrong[0]]:g} in row {wrong[0] + 1}: only values above zero have "
            "a logarithm.",
            code="target.logarithm",
        )
    return np.asarray(np.log10(column))
