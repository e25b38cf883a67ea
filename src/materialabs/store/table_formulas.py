"""Which column of a table holds the compositions, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.errors import FormulaError, InputError
from materialabs.store.cells import is_missing, number_in
from materialabs.store.headers import plain_name

FORMULA_HEADERS: Final = (
    "formula", "composition", "chemical_formula", "reduced_formula", "reduced_composition",
    "formula_pretty", "pretty_formula", "true_composition", "compound", "material", "alloy",
    "alloys", "name",
)  # fmt: skip
"""Headers of columns of formulas, the first of these in a table counts."""

FORMULA_WORDS: Final = frozenset({"formula", "composition", "compound", "alloy", "alloys"})
"""Words in the headers of columns of formulas."""

SHOWN_HEADERS: Final = 12
"""Headers that an error quotes."""

_SYMBOLS: Final = frozenset(SYMBOLS) - {""}


def find_formula(headers: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The column of formulas: by its header, or, where no header tells, by its contents."""
    plain = {header: plain_name(header) for header in headers}
    for name in FORMULA_HEADERS:
        for header in headers:
            if plain[header] == name and formula_share(header, rows) > 0.5:
                return header
    likely = [
        header
        for header in headers
        if FORMULA_WORDS & set(plain[header].split("_")) and formula_share(header, rows) > 0.5
    ]
    if not likely:
        likely = [header for header in headers if _holds_compounds(header, rows)]
    if len(likely) > 1:
        raise InputError(
            f"Several columns hold formulas, {quoted(likely)}: name one with --formula COLUMN."
        )
    return likely[0] if likely else None


def formula_share(header: str, rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of a column's values that are formulas."""
    values = [row.get(header) for row in rows if not is_missing(row.get(header))]
    return sum(_elements_of(value) > 0 for value in values) / max(len(values), 1)


def _holds_compounds(header: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Nearly all values are formulas, and most of them of more than one element."""
    counts = [_elements_of(row[header]) for row in rows if not is_missing(row.get(header))]
    read = [count for count in counts if count]
    return (
        len(read) >= 0.8 * max(len(counts), 1)
        and 2 * sum(count > 1 for count in read) > len(read)
        and any(any(sign.isdecimal() for sign in str(row.get(header))) for row in rows)
    )


def _elements_of(value: Any) -> int:
    try:
        return len(read_composition(value).elements)
    except (FormulaError, InputError):
        return 0


def read_composition(value: Any) -> Compositions:
    """A formula as text, or as an object of amounts by element."""
    if isinstance(value, Mapping):
        amounts = {
            symbol: number_in(amount, symbol)[0] for symbol, amount in value.items() if amount
        }
        text = "".join(f"{symbol}{amount:.12g}" for symbol, amount in amounts.items())
        return Compositions.parse([text])
    if not isinstance(value, str):
        raise FormulaError(f"{str(value)[:40]!r} is not a formula.")
    return Compositions.parse([value])


def element_columns(headers: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Columns of amounts, one for each element, where a table writes compositions so."""
    found = {}
    for header in headers:
        symbol = re.sub(r"\s*[(\[](at\.?\s*%|wt\.?\s*%|%)[)\]]$", "", header.strip())
        if symbol in _SYMBOLS and are_numbers(present_values(header, rows)):
            found[header] = symbol
    weight = [header for header in found if "wt" in header]
    return {} if len(found) < 2 or weight else found


def present_values(header: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What a column holds, gaps left out."""
    return [row.get(header) for row in rows if not is_missing(row.get(header))]


def are_numbers(present: Sequence[Any]) -> bool:
    """Most of what is there are numbers: a few cells that are not are refused row by row."""
    return bool(present) and 5 * sum(_is_number(v) for v in present) >= 4 * len(present)


def _is_number(value: Any) -> bool:
    try:
        number_in(value, "")
    except InputError:
        return False
    return True


def quoted(headers: Sequence[str]) -> str:
    """Headers as an error names them: the first few."""
    shown = [f"{header[:40]!r}" for header in headers[:SHOWN_HEADERS]]
    rest = len(headers) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
