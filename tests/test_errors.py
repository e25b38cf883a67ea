"""The error tree: every class is ours and a builtin, carries a code and crosses processes."""

from __future__ import annotations

import pickle
import re

import pytest

from materialabs import errors
from materialabs.errors import FormulaError, MaterialabsError

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, MaterialabsError)
]

BUILTINS = {
    "InputError": ValueError,
    "FormulaError": ValueError,
    "FileError": ValueError,
    "DisorderError": ValueError,
    "PhysicsError": ArithmeticError,
    "LevelError": ArithmeticError,
    "ResourceError": OSError,
    "ExternalError": RuntimeError,
    "IntegrityError": ValueError,
    "NotFound": LookupError,
}


@pytest.mark.parametrize(("name", "builtin"), BUILTINS.items())
def test_every_error_is_also_the_matching_builtin(name: str, builtin: type) -> None:
    assert issubclass(getattr(errors, name), builtin)


def test_every_class_stands_in_the_drawn_tree() -> None:
    drawn = set(re.findall(r"[A-Z]\w+(?: \(\w+\))?", errors.__doc__ or ""))
    named = {entry.split(" ")[0] for entry in drawn}
    assert {kind.__name__ for kind in CLASSES} <= named


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_shows_its_sentence(kind: type[MaterialabsError]) -> None:
    assert str(kind("Do this instead.")) == "Do this instead."


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling_with_its_code(kind: type[MaterialabsError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("Do this.", code="a.b")))
    assert (type(copy), str(copy), copy.code) == (kind, "Do this.", "a.b")


def test_default_codes_are_distinct() -> None:
    codes = [kind.default_code for kind in CLASSES]
    assert len(set(codes)) == len(codes)


def test_the_code_falls_back_to_that_of_the_class() -> None:
    assert FormulaError("x").code == "formula"


@pytest.mark.parametrize(
    ("error", "most", "told"),
    [
        (KeyError("a"), 200, "KeyError: 'a'"),
        (ValueError("one\n  two\tthree"), 200, "ValueError: one two three"),
        (OSError(), 200, "OSError:"),
        (ValueError("x" * 500), 20, "ValueError: " + "x" * 8),
    ],
)
def test_a_foreign_error_is_told_on_one_line(error: Exception, most: int, told: str) -> None:
    assert errors.kind_and_line(error, most) == told
