"""Canonical JSON (RFC 8785), so that equal content has equal bytes and one hash.

Numbers are rounded to :data:`SIGNIFICANT_DIGITS` before they are written: what two programs print
of the same calculation then agrees.
"""

from __future__ import annotations

import json
import math
from typing import Any

import rfc8785

from materialabs.errors import InputError

SIGNIFICANT_DIGITS = 12
"""Of every number in a record."""

PLAIN_SMALLEST = 1e-4
"""From here to :data:`LARGEST_EXACT`, Python and ECMAScript (so RFC 8785) write floats alike."""

LARGEST_EXACT = 1 << 53
"""Whole numbers below this are exact in a float."""


def canonical_json(document: Any) -> bytes:
    """The one byte form of a JSON document, numbers rounded."""
    rounded, plain = _rounded(document)
    if not plain:
        return bytes(rfc8785.dumps(rounded))
    text = json.dumps(rounded, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _rounded(value: Any) -> tuple[Any, bool]:
    """Round all numbers; say whether Python's own writer gives the canonical form."""
    if isinstance(value, bool) or value is None:
        return value, True
    if isinstance(value, str):
        return value, value.isascii()
    if isinstance(value, int):
        return value, abs(value) < LARGEST_EXACT
    if isinstance(value, float):
        return _rounded_float(value)
    if isinstance(value, (list, tuple)):
        items = [_rounded(item) for item in value]
        return [item for item, _ in items], all(plain for _, plain in items)
    if isinstance(value, dict):
        pairs = {key: _rounded(item) for key, item in value.items()}
        plain = all(key.isascii() and flag for key, (_, flag) in pairs.items())
        return {key: item for key, (item, _) in pairs.items()}, plain
    raise InputError(f"A record cannot hold a {type(value).__name__}.")


def _rounded_float(value: float) -> tuple[float | int, bool]:
    if not math.isfinite(value):
        raise InputError("A record holds finite numbers only; leave out what is missing.")
    number = float(f"{value:.{SIGNIFICANT_DIGITS - 1}e}")
    if number.is_integer() and abs(number) < LARGEST_EXACT:
        return int(number), True
    return number, PLAIN_SMALLEST <= abs(number) < LARGEST_EXACT
