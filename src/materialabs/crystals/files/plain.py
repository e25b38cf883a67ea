"""Values as JSON holds them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.columns import is_missing


def plain(value: Any) -> Any:
    """A value without numpy in it; what JSON has no form for becomes text."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def finite(value: Any) -> Any:
    """The same value with ``None`` for every number that JSON has no form for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def json_text(document: Any) -> str:
    """A plain document as JSON that every reader takes: null for what is not a finite number."""
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        return json.dumps(finite(document), allow_nan=False)


def present_rows(column: NDArray[Any]) -> list[Any]:
    """The values of a column, ``None`` where one is missing."""
    gone = is_missing(column)
    values = column.tolist()
    return [None if none else plain(value) for value, none in zip(values, gone, strict=True)]
