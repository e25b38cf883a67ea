"""Columns of blocks hold what was put in, and are searched and sorted as Python would."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import IntegrityError
from materialabs.store.blocks.encoding import (
    DECIMAL,
    TEXT,
    WHOLE,
    Numbers,
    decode,
    decode_numbers,
    encode,
    listed,
)
from materialabs.store.blocks.matching import Source
from materialabs.store.blocks.ordering import Key, first_rows, in_order, ranked, rows_behind
from materialabs.store.blocks.reading import Block
from materialabs.store.blocks.texts import Texts

WHOLES = st.integers(-(1 << 63), (1 << 63) - 1)
DECIMALS = st.floats(allow_nan=False)
SIGNS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
         ">": operator.gt, ">=": operator.ge}  # fmt: skip
WORDS = st.text("aAbé€𝄞_%", max_size=20)
"""Letters of one to four bytes, and those that SQL's LIKE would take for others."""

COLUMNS = st.one_of(
    st.tuples(st.just(WHOLE), st.lists(st.none() | WHOLES, max_size=40)),
    st.tuples(st.just(DECIMAL), st.lists(st.none() | DECIMALS, max_size=40)),
    st.tuples(st.just(TEXT), st.lists(st.none() | WORDS, max_size=40)),
    st.tuples(st.just(TEXT), st.lists(st.sampled_from([None, "cubic", "", "é"]), max_size=40)),
)


@given(COLUMNS)
def test_a_column_gives_back_what_was_put_in(made: tuple[bytes, list[Any]]) -> None:
    kind, values = made
    column = decode(encode(kind, values), len(values))
    assert listed(column, np.arange(len(values))) == values
    backwards = np.arange(len(values))[::-1]
    assert listed(column, backwards) == values[::-1]


@given(st.lists(WHOLES, min_size=1))
def test_whole_numbers_take_the_bytes_that_their_distances_need(values: list[int]) -> None:
    content = encode(WHOLE, values)
    width = next(width for width in (1, 2, 4, 8) if max(values) - min(values) < 1 << 8 * width)
    assert len(content) == 11 + width * len(values)
    assert decode_numbers(content).tolist() == values


def texts(values: list[str | None]) -> Texts:
    column = decode(encode(TEXT, values), len(values))
    assert isinstance(column, Texts)
    return column


@given(st.lists(st.none() | WORDS, max_size=40), WORDS, st.sampled_from(sorted(SIGNS)))
def test_texts_compare_byte_by_byte(values: list[str | None], text: str, sign: str) -> None:
    found = texts(values).compared(sign, text).tolist()
    for value, told in zip(values, found, strict=True):
        if value is not None:
            assert told == SIGNS[sign](value.encode(), text.encode())


@given(
    st.lists(st.none() | WORDS, max_size=40), WORDS,
    st.sampled_from(["contains", "starts", "ends"]),
)  # fmt: skip
def test_texts_are_matched_as_python_matches(
    values: list[str | None], text: str, where: str
) -> None:
    found = texts(values).matched(where, text).tolist()
    tests = {"contains": str.__contains__, "starts": str.startswith, "ends": str.endswith}
    for value, told in zip(values, found, strict=True):
        if value is not None:
            assert told == tests[where](value, text)


class Made(Mapping[str, bytes]):
    """Columns of one block, without a store."""

    def __init__(self, columns: dict[str, bytes]) -> None:
        self.columns = columns

    def __getitem__(self, name: str) -> bytes:
        return self.columns[name]

    def __iter__(self) -> Any:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def content(self, number: int, name: str) -> bytes | None:
        return self.get(name)


def block_of(columns: dict[str, tuple[bytes, list[Any]]], count: int) -> Block:
    contents = {name: encode(kind, values) for name, (kind, values) in columns.items()}
    contents["id"] = encode(WHOLE, list(range(1, count + 1)))
    return Block(Made(contents), 0, np.zeros(0, np.int64))  # type: ignore[arg-type] # a stand-in


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 3), st.none() | st.sampled_from([0.0, -1.5, 2.5]),
        st.none() | st.text("ab", max_size=18),
    ),
    max_size=30,
)  # fmt: skip
KEYS = st.lists(
    st.tuples(st.sampled_from(["whole", "decimal", "text", "absent"]), st.booleans()), max_size=3
)


def expected_order(rows: list[Any], keys: list[tuple[str, bool]]) -> list[int]:
    """Numbers of the rows sorted key by key, the last first."""
    places = {"whole": 0, "decimal": 1, "text": 2}
    order = list(range(len(rows)))
    for name, descending in reversed(keys):
        if name == "absent":
            continue
        place = places[name]
        known = [one for one in order if rows[one][place] is not None]
        known.sort(key=lambda one: rows[one][place], reverse=descending)
        order = known + [one for one in order if rows[one][place] is None]
    return [one + 1 for one in order]


@given(ROWS, KEYS, st.integers(1, 12), st.data())
def test_the_first_rows_are_those_of_a_whole_sort(
    rows: list[Any], keys: list[tuple[str, bool]], count: int, data: st.DataObject
) -> None:
    kinds = {"whole": WHOLE, "decimal": DECIMAL, "text": TEXT}
    columns = {
        name: (kind, [row[place] for row in rows])
        for place, (name, kind) in enumerate(kinds.items())
    }
    block = block_of(columns, len(rows))
    sorts = [Key(Source((name,), textual=name == "text"), down) for name, down in keys]
    order = expected_order(rows, keys)
    chosen = first_rows(sorts, block, np.arange(len(rows)), count)
    found = [number for _, number in in_order(sorts, ranked(sorts, block, chosen))]
    assert found == order[:count]
    if rows:
        place = data.draw(st.integers(0, len(rows) - 1))
        mark = ranked(sorts, block, np.array([order[place] - 1]))[0]
        behind = rows_behind(sorts, block, *mark)
        assert sorted(order[place + 1 :]) == block.ids[behind].tolist()


def test_rows_without_a_text_stay_in_the_order_of_their_numbers() -> None:
    block = block_of({"text": (TEXT, [None, "a", "", None])}, 4)
    keys = [Key(Source(("text",), textual=True), descending=False)]
    assert block.ids[np.sort(first_rows(keys, block, np.arange(4), 3))].tolist() == [1, 2, 3]


def test_models_count_where_nothing_else_is_known() -> None:
    from materialabs.store.blocks.matching import numbers_of

    block = block_of(
        {"band_gap": (DECIMAL, [1.0, None, None]), "band_gap_model": (DECIMAL, [9.0, 2.0, None])}, 3
    )
    found = numbers_of(block, Source(("band_gap", "band_gap_model"), textual=False))
    assert isinstance(found, Numbers)
    assert listed(found, np.arange(3)) == [1.0, 2.0, None]


def test_a_block_that_is_gone_is_told() -> None:
    block = Block(Made({}), 7, np.zeros(0, np.int64))  # type: ignore[arg-type] # a stand-in
    with pytest.raises(IntegrityError, match="Block 7"):
        len(block)
