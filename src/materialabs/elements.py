"""The chemical elements: tables as arrays by atomic number, each with its source.

Every table has 119 rows, so that ``TABLE[Z]`` is element Z; row 0 is empty. Missing values are
NaN. The numbers stand in ``elements.json``, which ``scripts/make_element_tables.py`` writes.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import FormulaError

_DOCUMENT: Final[dict[str, Any]] = json.loads(
    resources.files("materialabs").joinpath("elements.json").read_text()
)

SYMBOLS: Final[tuple[str, ...]] = ("", *_DOCUMENT["symbols"])
"""Element symbols; ``SYMBOLS[26]`` is ``"Fe"``."""

_NUMBERS: Final = {symbol: number for number, symbol in enumerate(SYMBOLS) if symbol}


def _column(name: str) -> NDArray[np.float64]:
    values = [np.nan, *(np.nan if v is None else v for v in _DOCUMENT[name]["values"])]
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


ELECTRONEGATIVITY: Final = _column("electronegativity")
"""Pauling electronegativity [119]."""


def atomic_number(symbol: str) -> int:
    """Atomic number of an element symbol; D and T are hydrogen.

    Raises
    ------
    FormulaError
        When no element has this symbol.
    """
    number = _NUMBERS.get("H" if symbol in ("D", "T") else symbol)
    if number is None:
        raise FormulaError(
            f"{symbol!r} is not the symbol of an element.", code="formula.unknown_element"
        )
    return number
