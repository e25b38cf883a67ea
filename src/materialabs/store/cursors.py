"""Where a page of results ends, as a short text that brings the next page."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from materialabs.errors import InputError
from materialabs.store.blocks.ordering import Ranked
from materialabs.store.filters.values import LARGEST_INTEGER


def write_cursor(last: Ranked) -> str:
    """The place behind a structure: its values of the sort keys and its number."""
    marks, number = last
    text = json.dumps([*marks, number], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str, textual: Sequence[bool]) -> list[Any]:
    """The values of the sort keys and the number that a cursor holds.

    Parameters
    ----------
    text
        From the page before.
    textual
        Of each sort key, whether its values are texts.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _absent() from error
    if not isinstance(values, list) or len(values) != len(textual) + 1:
        raise _absent()
    *marks, last = values
    fits = (
        mark is None or (_is_text(mark) if is_text else _is_number(mark))
        for mark, is_text in zip(marks, textual, strict=True)
    )
    if not (_is_number(last) and isinstance(last, int) and all(fits)):
        raise _absent()
    return values


def _absent() -> InputError:
    return InputError("This page does not exist: take the link of the page before.")


def _is_text(value: Any) -> bool:
    """Whether a value is a text that every database takes."""
    return isinstance(value, str) and not any(
        sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in value
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= LARGEST_INTEGER
