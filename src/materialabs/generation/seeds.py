"""Seeds and counts of random generators, checked before numpy meets them."""

from __future__ import annotations

import operator

from materialabs.errors import InputError


def checked_seed(seed: object) -> int:
    """A seed as a whole number from zero.

    Raises
    ------
    InputError
        When it is anything else: without a seed nothing repeats.
    """
    number = _whole(seed)
    if number is None or number < 0:
        raise InputError(f"A seed is a whole number from 0; got {seed!r}.", code="generator.seed")
    return number


def checked_count(count: object) -> int:
    """A number of candidates as a whole number from zero."""
    number = _whole(count)
    if number is None or number < 0:
        raise InputError(f"The number of crystals wanted is whole and from 0; got {count!r}.")
    return number


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
