"""Numbers that JSON has no form for never reach a file of JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read, write
from materialabs.crystals.files.plain import json_text

NESTED = {"curve": [1.0, math.nan, [math.inf, {"low": -math.inf, "high": 2.5}]]}
NULLED = {"curve": [1.0, None, [None, {"low": None, "high": 2.5}]]}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def refused(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def strictly(text: str) -> Any:
    """JSON by its standard, without Python's NaN and Infinity."""
    return json.loads(text, parse_constant=refused)


def with_odd_values() -> Crystals:
    """Two crystals of which one has numbers without a form in JSON, at the top and nested."""
    odd = np.empty(2, dtype=object)
    odd[:] = [NESTED, {"curve": [0.5]}]
    return Crystals(
        np.array([np.eye(3) * 4] * 2), np.zeros((2, 3)), np.array([3, 8], np.uint8),
        np.array([0, 1, 2]), np.ones((2, 3), bool),
        columns={"id": ["a", "b"], "measured": odd, "spectrum": np.array([[1.0, np.nan], [2, 3]]),
                 "limit": np.array([np.inf, 1.0]), "energy": np.array([-np.inf, -1.0])},
        site_columns={"weight": np.array([np.inf, 1.0])},
    )  # type: ignore[arg-type]  # fmt: skip


@given(VALUES)
def test_every_plain_value_becomes_json_that_a_strict_reader_takes(value: Any) -> None:
    strictly(json_text(value))


def test_what_is_finite_is_written_as_it_is() -> None:
    assert json_text({"a": [1.5, "NaN", None, True]}) == '{"a": [1.5, "NaN", null, true]}'


@pytest.mark.parametrize("name", ["one.json", "two.json", "rows.jsonl"])
def test_json_files_are_strict_and_null_where_a_number_is_none(name: str, tmp_path: Path) -> None:
    crystals = with_odd_values()[:1] if name.startswith("one") else with_odd_values()
    write(crystals, tmp_path / name)
    text = (tmp_path / name).read_text()
    for part in text.splitlines() if name.endswith("l") else [text]:
        strictly(part)
    assert json.dumps(NULLED["curve"]) in text


@pytest.mark.parametrize("format", ["optimade", "optimade-jsonl", "ase-json"])
def test_json_of_other_programs_is_strict(format: str, tmp_path: Path) -> None:
    write(with_odd_values(), tmp_path / "file", format=format)
    text = (tmp_path / "file").read_text()
    for part in text.splitlines() if format.endswith("jsonl") else [text]:
        strictly(part)


def test_json_within_extended_xyz_is_strict(tmp_path: Path) -> None:
    write(with_odd_values()[:1], tmp_path / "file.extxyz")
    found = read(tmp_path / "file.extxyz").columns["measured"][0]
    assert found == NULLED
