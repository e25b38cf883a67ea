"""What a column of a table means as a target: numbers, their logarithms, or classes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.columns import CRYSTAL_COLUMNS
from materialabs.crystals.files.names import KNOWN
from materialabs.errors import InputError, LevelError
from materialabs.levels import Kind, Level
from materialabs.networks.heads import NO_UNIT, Head

Floats = NDArray[np.float64]

MOST_CLASSES: Final = 50
"""Classes of a target; a column with more is a text, not a class."""

TRUTHS: Final = {"true": True, "false": False, "yes": True, "no": False}
"""Texts, in lower case, that are truth values."""

NUMBER: Final = r"[-+−]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+−]?\d+)?"
"""A number as texts have it."""

UNIT: Final = (
    r"(?:[munpfkMGTµμ]?(?:eV|cal|mol|Hz|Oe|Wh|Ah|ohm)|[mkMG]bar|[mkMGhµμ]Pa|[mkM]J|[mkMµμ]V|[mµμ]A"
    r"|Ry|Hartree|hartree|Bohr|Debye|[Aa]ngstrom|atm|[Tt]orr|[nmpfµμ]s|[npµμ]m|kg|mg|emu|ppm|ppb"
    r"|min|deg|cm\d?|(?:at|wt|mol|vol)\.?\s*%|[kMGmµμ]?[Ω\u2126]|[°Å\u212b%‰])(?![A-Za-z0-9]).*"
    r"|[JWSANVg]/[(a-zA-Zµμ].*|°.*"
)
"""Units that follow a number; names of classes end on others: 1T, 2H, 2Ha, 3m, 6mm, 4a, 3d."""

APART: Final = r"(?:K|V|J|W|Pa|Ha|bar)(?![A-Za-z0-9-]).*"
"""Units that are set apart from the number, as names of classes are not."""

OTHERWISE_WRITTEN: Final = re.compile(
    rf"[-+−]?\d+,\d+|{NUMBER}(?:\s*(?:(?:±|\+/-|\+-).*|\(\d+\)|{UNIT})|\s+{APART})|\d[\d.]+K"
)
"""Numbers with a decimal comma, an uncertainty or a unit: they are no names of classes."""

BOUNDED: Final = re.compile(
    rf"(?:[<>~≈≲≳≤≥=±]+|ca\.?|approx\.?|about)\s*{NUMBER}.*"
    rf"|{NUMBER}\s*(?:-|−|–|—|to|\.\.+|…)\s*{NUMBER}(?![-\d]).*"
    r"|[-+−]?\d*\.\d+(?:[eE][-+−]?\d+)?\D*\d?\W?"
)
"""Bounds, ranges, and decimals before a text: names of classes only where they recur."""

NEARLY: Final = 0.9
"""Of the different texts of a column: what makes it one of numbers."""

RARE: Final = 2
"""Rows of a class; where half of the classes have no more, texts name no classes."""

ENERGIES: Final[dict[str, Kind]] = {"formation_energy": "formation", "energy": "total"}
"""Registered columns that are energies, and their kind."""

ENERGY_UNIT: Final = "eV/atom"

LARGEST: Final = 1e100
"""Of a number to learn; a larger one is a mark for a missing value, and its square no number."""


def target_of(
    name: str,
    values: Sequence[Any],
    *,
    unit: str = "",
    kind: Kind | None = None,
    level: Level | None = None,
    logarithm: bool = False,
    rows: Sequence[int] | None = None,
) -> tuple[Head, Floats]:
    """The head that learns a column, and its targets [n, 1] or [n, classes].

    Parameters
    ----------
    name
        Of the column.
    values
        [n], numbers, truth values or texts; ``None`` or NaN where one is missing.
    unit
        Of the numbers, where the column's name does not say it.
    kind, level
        Of energies in eV/atom, which need both; other numbers have no kind.
    logarithm
        Learn base-ten logarithms; every value must then be above zero.
    rows
        [n], numbers of the rows in their file; from 1 on by default.
    """
    places = range(1, len(values) + 1) if rows is None else rows
    present = {row: value for row, value in zip(places, values, strict=True) if not _is_gone(value)}
    if not present:
        raise InputError(f"The column {name!r} holds no value.", code="target.empty")
    classes = _classes(name, present)
    if classes:
        if logarithm:
            raise InputError(f"{name!r} holds classes, which have no logarithm.")
        return Head(name, classes=classes), _indicators(values, classes)
    known = CRYSTAL_COLUMNS.get(KNOWN.get(name, name))
    told = unit or ("" if known is None else known.unit)
    if told == ENERGY_UNIT:
        kind = kind or ENERGIES.get(KNOWN.get(name, name))
        if kind is None or level is None:
            raise LevelError(
                f"{name!r} is an energy in {ENERGY_UNIT}: say of which kind it is (total or "
                "formation) and at which level of theory (for example PBE), so that predictions "
                "find their hull.",
                code="level.kind",
            )
    else:
        kind = None
    column = np.array(
        [_number(name, row, value) for row, value in zip(places, values, strict=True)]
    )
    if logarithm:
        column = _logarithms(name, column, places)
    head = Head(name, told or NO_UNIT, kind=kind, level=level, logarithm=logarithm)
    return head, column[:, None]


def texts_among_numbers(values: Sequence[Any]) -> list[int]:
    """Positions of texts such as "n.d." in a column of numbers; none in another column."""
    present = [place for place, value in enumerate(values) if not _is_gone(value)]
    texts = [place for place in present if _as_number(values[place]) is None]
    mixed = len(texts) < len(present)
    return texts if mixed and all(_truth(values[place]) is None for place in texts) else []


def _is_gone(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _truth(value: Any) -> bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None


def _as_number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return float(str(value).strip().replace("−", "-").replace("_", "x"))
    except ValueError:
        return None


def _classes(name: str, present: Mapping[int, Any]) -> tuple[str, ...]:
    """Names of the classes of a column, given by row; none where it holds numbers."""
    if any(_truth(value) is None for value in present.values()):
        texts = {row: value for row, value in present.items() if _as_number(value) is None}
        if not texts:
            return ()
        first, text = next(iter(texts.items()))
        if len(texts) < len(present):
            raise InputError(
                f"The column {name!r} holds numbers and texts such as {str(text)[:40]!r} (row "
                f"{first}): clear or mend the texts.",
                code="target.mixed",
            )
        written = _written_otherwise([str(value).strip() for value in texts.values()])
        if written:
            raise InputError(
                f"The column {name!r} holds numbers written as {written[:40]!r}: write them as "
                "numbers alone, with a decimal point, and an uncertainty or a bound in another "
                "column.",
                code="target.mixed",
            )
    found = {_class_name(value) for value in present.values()}
    if len(found) < 2:
        raise InputError(
            f"Every row of {name!r} is {next(iter(found))!r}: there is nothing to tell apart.",
            code="target.constant",
        )
    if len(found) > MOST_CLASSES:
        raise InputError(
            f"The column {name!r} holds {len(found)} different texts; up to {MOST_CLASSES} classes "
            "are learned.",
            code="target.classes",
        )
    return tuple(sorted(found))


def _written_otherwise(texts: Sequence[str]) -> str:
    """The first of the texts that is a number, where nearly all are; empty for names of classes."""
    counts = Counter(texts)
    rare = sum(count <= RARE for count in counts.values()) >= len(counts) / 2
    numbers = [
        text for text in counts
        if OTHERWISE_WRITTEN.fullmatch(text) or (rare and BOUNDED.fullmatch(text))
    ]  # fmt: skip
    return numbers[0] if len(numbers) >= NEARLY * len(counts) else ""


def _class_name(value: Any) -> str:
    truth = _truth(value)
    return str(value).strip() if truth is None else ("true" if truth else "false")


def _indicators(values: Sequence[Any], classes: tuple[str, ...]) -> Floats:
    table = np.full((len(values), len(classes)), np.nan)
    for row, value in enumerate(values):
        if not _is_gone(value):
            table[row] = 0.0
            table[row, classes.index(_class_name(value))] = 1.0
    return table


def _number(name: str, row: int, value: Any) -> float:
    if _is_gone(value):
        return math.nan
    number = _as_number(value)
    if number is None or not abs(number) <= LARGEST:
        raise InputError(
            f"{name!r} is {value!r} in row {row}: a finite number is needed, or an empty cell "
            "where it is not known.",
            code="target.infinite",
        )
    return number


def _logarithms(name: str, column: Floats, rows: Sequence[int]) -> Floats:
    wrong = np.flatnonzero(column <= 0)
    if len(wrong):
        raise InputError(
            f"{name!r} is {column[wrong[0]]:g} in row {rows[wrong[0]]}: only values above zero "
            "have a logarithm.",
            code="target.logarithm",
        )
    return np.asarray(np.log10(column))
