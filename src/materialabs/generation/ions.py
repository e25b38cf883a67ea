"""Ions as text and numbers: ``Ti4+``, ``O2-``, and ``Fe`` where no charge is meant."""

from __future__ import annotations

import math
import re

from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import FormulaError

_ION = re.compile(r"([A-Z][a-z]?)(?:(\d*\.?\d*)([+-]))?$")


def parse_ion(text: str) -> tuple[int, float]:
    """Read an ion as its atomic number and charge; an element without a sign has charge NaN.

    Raises
    ------
    FormulaError
        When the text is no ion or names no element.
    """
    match = _ION.match(text.strip())
    if match is None:
        raise FormulaError(
            f"{text!r} is not an ion: write the element, the charge and its sign, as in Ti4+."
        )
    symbol, amount, sign = match.groups()
    if sign is None:
        return atomic_number(symbol), math.nan
    size = float(amount) if amount not in ("", ".") else 1.0
    return atomic_number(symbol), size if sign == "+" else -size


def ion_text(number: int, charge: float) -> str:
    """An ion as text: ``Ti4+``; a neutral atom has sign and figure ``Fe0+``, NaN none."""
    if math.isnan(charge):
        return SYMBOLS[number]
    return f"{SYMBOLS[number]}{abs(charge):g}{'-' if charge < 0 else '+'}"
