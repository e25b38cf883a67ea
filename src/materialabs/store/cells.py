"""What stands in the cells of a table: numbers, numbers with an uncertainty, and gaps."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from materialabs.errors import InputError

MISSING: Final = frozenset(
    {"", "-", "--", "—", "–", "?", "na", "n/a", "n.a.", "nan", "none", "null", "<na>", "#n/a",
     "missing", "nd", "n.d."}
)  # fmt: skip
"""Texts, in lower case, that stand for a value that is not there."""

_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WITH_ERROR: Final = re.compile(rf"({_NUMBER})\s*(?:±|\+/-|\+-)\s*({_NUMBER})")
_WITH_DIGITS: Final = re.compile(r"([+-]?\d*\.?\d+)\((\d+)\)(?:[eE]([+-]?\d+))?")

SHOWN: Final = 40
"""Characters of a cell that an error quotes."""


def is_missing(value: Any) -> bool:
    """Whether a cell is empty or says that there is no value."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str) and value.strip().lower() in MISSING


def number_in(value: Any, header: str) -> tuple[float, float | None]:
    """The number in a cell, and its uncertainty where it has one: ``1.2 ± 0.1``, ``1.23(4)``.

    Parameters
    ----------
    value
        The cell.
    header
        Of its column, for the error.
    """
    if isinstance(value, bool):
        return float(value), None
    text = str(value).strip().replace("−", "-")
    uncertainty = None
    try:
        number = float(text.replace("_", "x"))
    except ValueError:
        number, uncertainty = _uncertain(text, header)
    if not math.isfinite(number):
        raise InputError(f"{header} is not a finite number.")
    return number, uncertainty


def _uncertain(text: str, header: str) -> tuple[float, float]:
    match = _WITH_ERROR.fullmatch(text)
    if match:
        return float(match.group(1)), abs(float(match.group(2)))
    match = _WITH_DIGITS.fullmatch(text)
    if match is None:
        raise InputError(f"{header} holds {text[:SHOWN]!r}, which is not a number.")
    digits = len(match.group(1).partition(".")[2])
    scale = 10.0 ** int(match.group(3) or 0)
    return float(match.group(1)) * scale, int(match.group(2)) * 10.0**-digits * scale


def truth_in(value: Any) -> bool | None:
    """A truth value, as JSON or as a word; nothing where the cell is neither."""
    return {"true": True, "false": False}.get(str(value).strip().lower())
