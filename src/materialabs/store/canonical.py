"""Canonical JSON (RFC 8785), so that equal content has equal bytes and one hash.

Numbers are rounded to :data:`SIGNIFICANT_DIGITS` before they are written: what two programs print
of the same calculation then agrees.
"""

from __future__ import annotations

import json
import math
from json.encoder import encode_basestring
from typing import Any

import rfc8785

from materialabs.crystals.files.plain import finite
from materialabs.errors import InputError

SIGNIFICANT_DIGITS = 12
"""Of every number in a record."""

PLAIN_SMALLEST = 1e-4
"""From here to :data:`LARGEST_EXACT`, Python and ECMAScript (so RFC 8785) write floats alike."""

_CONSTANTS = {None: "null", True: "true", False: "false"}
_quoted = encode_basestring

LARGEST_EXACT = 1 << 53
"""Whole numbers below this are exact in a float."""


def canonical_json(document: Any) -> bytes:
    """The one byte form of a JSON document, numbers rounded."""
    try:
        return _plain(document).encode()
    except _NotPlainError:
        return bytes(rfc8785.dumps(_rounded(document)))


def strict_json(document: Any) -> str:
    """One line of JSON that every reader takes: what is not a number becomes null."""
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(finite(document), allow_nan=False, separators=(",", ":"))


class _NotPlainError(Exception):
    """Python would write this otherwise than RFC 8785 does."""


def _plain(value: Any) -> str:
    """The canonical text, where it is the one that Python writes."""
    kind = type(value)
    if kind is str:
        if not value.isascii():
            raise _NotPlainError
        return _quoted(value)
    if kind is float:
        return _plain_number(value)
    if kind is dict:
        pairs = [_quoted(key) + ":" + _plain(value[key]) for key in sorted(value)]
        text = "{" + ",".join(pairs) + "}"
        if not text.isascii():
            raise _NotPlainError
        return text
    if kind is int and -LARGEST_EXACT < value < LARGEST_EXACT:
        return repr(value)
    if kind is list or kind is tuple:
        return "[" + ",".join([_plain(item) for item in value]) + "]"
    if value is None or kind is bool:
        return _CONSTANTS[value]
    raise _NotPlainError


def _plain_number(value: float) -> str:
    number = _rounded_float(value)
    if isinstance(number, int):
        return repr(number)
    if PLAIN_SMALLEST <= abs(number) < LARGEST_EXACT:
        return repr(number)
    raise _NotPlainError


def _rounded(value: Any) -> Any:
    """The document with all its numbers rounded."""
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return _rounded_float(value)
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    raise InputError(f"A record cannot hold a {type(value).__name__}.")


def significant(value: Any) -> Any:
    """A finite float, or a list of them, as a record keeps it; anything else as it is."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS - 1}e}") if math.isfinite(value) else value
    if isinstance(value, (list, tuple)):
        return type(value)(significant(item) for item in value)
    return value


def _rounded_float(value: float) -> float | int:
    if not math.isfinite(value):
        raise InputError("A record holds finite numbers only; leave out what is missing.")
    number = float(f"{value:.{SIGNIFICANT_DIGITS - 1}e}")
    if number.is_integer() and abs(number) < LARGEST_EXACT:
        return int(number)
    return number
