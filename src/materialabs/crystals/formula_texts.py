"""Formulas and chemical systems as people write them, read into atomic numbers and amounts."""

from __future__ import annotations

import re

from materialabs.elements import atomic_number
from materialabs.errors import FormulaError

LONGEST_FORMULA = 1000
"""Characters; longer texts are refused unread."""

LARGEST_AMOUNT = 1e9
"""Atoms of one element in a formula; a number above this is a slip of the keyboard."""

_CLOSING = {"(": ")", "[": "]", "{": "}"}

_TOKEN = re.compile(r"\s*(?:([A-Z][a-z]?)|([(\[{])|([)\]}])|(\d+\.?\d*|\.\d+)|([·*]))")

_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉•⋅∙", "0123456789···")
"""Digits below the line, and dots that join the parts of a compound."""

_JOINING_DOT = re.compile(r"(?<=[A-Za-z)\]}])\.(?=[A-Z(\[{])|\s+\.\s+")
"""A full stop that no number holds."""

_WATERS = re.compile(
    r"(?P<before>[A-Za-z)\]}]|(?<=[A-Za-z)\]}])\d+)\.(?P<count>[1-9]\d?)"
    r"(?=(?P<part>\((?:[HD]2O|NH3)\)|[HD]2O|NH3)(?![A-Za-z\d(\[{]))"
)
"""A full stop before a whole number of waters or ammonias that end a part, as in CuSO4.5H2O."""

_DECIMAL = re.compile(r"\d\.\d|\.\d")


def parse_formula(formula: str) -> dict[int, float]:
    """Read a formula such as ``Ca3(PO4)2`` or ``Li1.02Fe`` as {atomic number: amount}.

    Raises
    ------
    FormulaError
        Naming what is wrong: an unknown element, a stray character, an open bracket.
    """
    if not isinstance(formula, str) or not formula.strip():
        raise FormulaError("A formula is a text such as 'Li3PS4'; this one is empty.")
    if len(formula) > LONGEST_FORMULA:
        raise FormulaError(f"A formula of {len(formula)} characters is not read.")
    total: dict[int, float] = {}
    text = _with_joining_dots(formula.strip().translate(_PLAIN))
    for part in re.split(r"[·*]", text):
        prefix = re.match(r"\s*(\d+\.?\d*)(?=\s*[A-Z(\[{])", part)
        factor = float(prefix.group(1)) if prefix else 1.0
        rest = part[prefix.end() :] if prefix else part
        _add(total, _parse_group(rest, formula), factor)
    if not total or sum(total.values()) <= 0:
        raise FormulaError(f"The formula {formula!r} holds no atoms.")
    if max(total.values()) > LARGEST_AMOUNT:
        raise FormulaError(
            f"The formula {formula[:40]!r} has more than {LARGEST_AMOUNT:.0e} atoms of an element."
        )
    return dict(sorted((number, amount) for number, amount in total.items() if amount > 0))


def _with_joining_dots(text: str) -> str:
    """A formula with · for full stops that join its parts; one that may be a decimal is refused.

    Nobody writes the number 1 below the line, so that O1.9H2O holds a decimal, as does O0.9H2O.
    """
    if "." not in text:
        return text
    joined = _JOINING_DOT.sub("·", text)
    found = _WATERS.search(joined)
    if found is None or found["before"] in ("0", "1"):
        return joined
    whole = _WATERS.sub(r"\g<before>·\g<count>", joined)
    if found["before"].isalpha() or _DECIMAL.search(whole):
        raise FormulaError(
            f"The formula {text!r} may hold a decimal number or a part after a dot: write · before "
            f"{found['count']}{found['part']}, or the decimal number at the end."
        )
    return whole


def _add(total: dict[int, float], amounts: dict[int, float], factor: float) -> None:
    for number, amount in amounts.items():
        total[number] = total.get(number, 0.0) + amount * factor


def _parse_group(text: str, formula: str) -> dict[int, float]:
    """Read one hydrate-free part with a stack of brackets."""
    stack: list[dict[int, float]] = [{}]
    awaited: list[str] = []
    last: dict[int, float] | None = None
    position = 0
    while position < len(text.rstrip()):
        token = _TOKEN.match(text, position)
        if token is None:
            hint = "; a chemical system is not a formula" if "-" in formula else ""
            raise FormulaError(
                f"The formula {formula!r} cannot be read at {text[position:][:10]!r}{hint}."
            )
        symbol, opening, closing, amount, _ = token.groups()
        position = token.end()
        if amount is not None:
            if last is None:
                raise FormulaError(f"The formula {formula!r} has an amount without an element.")
            _add(stack[-1], last, float(amount))
            last = None
            continue
        if last is not None:
            _add(stack[-1], last, 1.0)
            last = None
        if symbol is not None:
            last = {_element_in(symbol, formula): 1.0}
        elif opening is not None:
            stack.append({})
            awaited.append(_CLOSING[opening])
        else:
            if not awaited or awaited.pop() != closing:
                raise FormulaError(f"The formula {formula!r} closes a bracket it never opened.")
            last = stack.pop()
    if last is not None:
        _add(stack[-1], last, 1.0)
    if len(stack) > 1:
        raise FormulaError(f"The formula {formula!r} has an open bracket.")
    return stack[0]


def _element_in(symbol: str, formula: str) -> int:
    try:
        return atomic_number(symbol)
    except FormulaError as error:
        raise FormulaError(
            f"The formula {formula!r} names {symbol!r}, which is not an element.",
            code="formula.unknown_element",
        ) from error


def parse_system(system: str) -> tuple[int, ...]:
    """Read a chemical system such as ``Li-P-S`` as sorted atomic numbers."""
    symbols = [part.strip() for part in system.split("-")]
    numbers = []
    for symbol in symbols:
        try:
            numbers.append(atomic_number(symbol))
        except FormulaError as error:
            raise FormulaError(
                f"The chemical system {system!r} names {symbol!r}, which is not an element; "
                "write element symbols joined by hyphens, for example Li-P-S.",
                code="formula.unknown_element",
            ) from error
    return tuple(sorted(set(numbers)))
