"""Canonical JSON agrees with an implementation of RFC 8785 by others."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from materialabs.errors import InputError
from materialabs.store.canonical import canonical_json

numbers = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e-3, 1e-3),
    st.floats(-10, 10),
)
texts = st.one_of(st.text(st.characters(max_codepoint=127)), st.text())
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


def rounded(value: Any) -> Any:
    """Twelve significant digits, whole numbers as such; written apart from the product."""
    if isinstance(value, float):
        short = float(f"{value:.12g}")
        return int(short) if short == int(short) and abs(short) < 2**53 else short
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


@settings(max_examples=400)
@given(documents)
def test_bytes_are_those_of_the_reference_implementation(document: Any) -> None:
    assert canonical_json(document) == rfc8785.dumps(rounded(document))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_know_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="finite"):
        canonical_json({"value": [value]})


def test_things_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(InputError, match="set"):
        canonical_json({"value": {1, 2}})
