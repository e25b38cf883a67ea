"""Units as people write them, read to one spelling and converted by their dimensions.

``W/mK``, ``W m-1 K-1`` and ``W/(m K)`` are one unit, written ``W/(m K)``. A text that is not a unit
is told so, never guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from materialabs.errors import InputError
from materialabs.units import AVOGADRO, ELEMENTARY_CHARGE

_Dimensions = tuple[tuple[str, int], ...]

_BASE: Final[dict[str, tuple[float, str]]] = {
    "m": (1.0, "m"), "g": (1e-3, "kg"), "s": (1.0, "s"), "A": (1.0, "A"), "K": (1.0, "K"),
    "mol": (1.0, "mol"), "J": (1.0, "kg m2 s-2"), "N": (1.0, "kg m s-2"),
    "eV": (ELEMENTARY_CHARGE, "kg m2 s-2"), "Pa": (1.0, "kg m-1 s-2"), "W": (1.0, "kg m2 s-3"),
    "V": (1.0, "kg m2 s-3 A-1"), "C": (1.0, "A s"), "Hz": (1.0, "s-1"),
    "T": (1.0, "kg s-2 A-1"), "ohm": (1.0, "kg m2 s-3 A-2"), "S": (1.0, "kg-1 m-2 s3 A2"),
    "F": (1.0, "kg-1 m-2 s4 A2"), "bar": (1e5, "kg m-1 s-2"), "L": (1e-3, "m3"),
    "Ah": (3600.0, "A s"), "Wh": (3600.0, "kg m2 s-2"), "cal": (4.184, "kg m2 s-2"),
    "mol_atom": (AVOGADRO, "atom"), "atm": (101_325.0, "kg m-1 s-2"),
    "angstrom": (1e-10, "m"), "bohr": (0.529177210903e-10, "m"), "min": (60.0, "s"),
    "h": (3600.0, "s"), "day": (86_400.0, "s"), "year": (31_557_600.0, "s"),
    "Ry": (13.605693122994 * ELEMENTARY_CHARGE, "kg m2 s-2"),
    "Ha": (27.211386245988 * ELEMENTARY_CHARGE, "kg m2 s-2"),
    "amu": (1.66053906660e-27, "kg"), "e": (ELEMENTARY_CHARGE, "A s"),
    "Bohr magneton": (1.0, "muB"), "atom": (1.0, "atom"), "f.u.": (1.0, "formula"),
    "cell": (1.0, "cell"), "site": (1.0, "site"), "state": (1.0, "state"),
    "electron": (1.0, "electron"), "HV": (1.0, "vickers"),
    "%": (1e-2, ""), "at.%": (1e-2, "atomic"), "wt.%": (1e-2, "weight"), "ppm": (1e-6, ""),
    "wppm": (1e-6, "weight"), "deg": (0.017453292519943295, ""), "rad": (1.0, ""),
    "degC": (1.0, "K"), "emu": (1e-3, "A m2"), "Oe": (79.57747154594767, "A m-1"), "1": (1.0, ""),
}  # fmt: skip
"""Symbols with their factor to SI and their dimensions (CODATA 2018)."""

_PREFIXES: Final = {
    "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6,
    "n": 1e-9, "p": 1e-12, "f": 1e-15,
}  # fmt: skip

_PREFIXED: Final = frozenset(
    {"m", "g", "s", "A", "K", "J", "N", "eV", "Pa", "W", "V", "C", "Hz", "T", "ohm", "S", "F",
     "bar", "L", "Ah", "Wh", "cal", "mol"}
)  # fmt: skip

_ALIASES: Final = {
    "Å": "angstrom", "Angstrom": "angstrom", "Ang": "angstrom", "angstroms": "angstrom",
    "Ω": "ohm", "Ohm": "ohm", "uB": "Bohr magneton", "muB": "Bohr magneton",
    "mu_B": "Bohr magneton", "bohr_magneton": "Bohr magneton", "atoms": "atom", "at": "atom",
    "fu": "f.u.", "formula_unit": "f.u.", "cells": "cell", "states": "state", "sec": "s",
    "hour": "h", "hours": "h", "hr": "h", "days": "day", "d": "day", "years": "year", "yr": "year",
    "minutes": "min", "percent": "%", "at%": "at.%", "wt%": "wt.%", "mass%": "wt.%",
    "kelvin": "K", "Kelvin": "K", "oC": "degC", "Celsius": "degC", "celsius": "degC",
    "mol-atom": "mol_atom", "molatom": "mol_atom", "ev": "eV", "EV": "eV", "gpa": "GPa",
    "mpa": "MPa", "GPA": "GPa", "MPA": "MPa", "kev": "keV", "mev": "meV", "volt": "V",
    "volts": "V", "Volt": "V", "Hv": "HV", "hv": "HV", "degree": "deg", "degrees": "deg",
    "Wm": "W m", "micron": "um", "Mpa": "MPa", "Gpa": "GPa", "elec": "electron", "k": "K",
}  # fmt: skip

_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_TOKEN: Final = re.compile(r"([A-Za-z_%.]+|10(?=\^))(?:\^?([+-]?\d+))?")
_LONGEST: Final = 60
"""Characters of a unit; a longer text is not one."""

CELSIUS_ZERO: Final = 273.15
"""Kelvin."""


@dataclass(frozen=True)
class Unit:
    """A unit that was understood.

    Parameters
    ----------
    name
        Its one spelling; empty for a number without unit.
    factor
        To SI.
    dimensions
        Base quantities with their powers.
    """

    name: str
    factor: float
    dimensions: _Dimensions


@lru_cache(maxsize=4096)
def read_unit(text: str) -> Unit | None:
    """Read a unit as people write it; nothing where the text is not one."""
    plain = _normalised(text)
    if plain in ("", "1", "-", "none", "dimensionless", "unitless"):
        return Unit("", 1.0, ())
    if len(plain) > _LONGEST:
        return None
    powers: list[tuple[str, int]] = []
    for place, part in enumerate(_parts(plain)):
        tokens = _tokens(part)
        if tokens is None:
            return None
        sign = -1 if place else 1
        powers += [(symbol, sign * power) for symbol, power in tokens]
    if powers == [("A", 1)]:
        return None  # ampere or angstrom: nobody can tell
    return _unit(_with_angstroms(powers))


def _with_angstroms(powers: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Take a plain A as the angstrom where an ampere would make no sense: A^3, eV/A."""
    energy = any(symbol in ("eV", "meV") for symbol, _ in powers)
    return [
        ("angstrom" if symbol == "A" and (energy or abs(power) > 1) else symbol, power)
        for symbol, power in powers
    ]


def _normalised(text: str) -> str:
    plain = text.strip().translate(_SUPERSCRIPTS)
    for old, new in (
        ("$", ""), ("{", ""), ("}", ""), ("\\circ", "deg"), ("\\degree", "deg"), ("\\mu", "u"),
        ("\\Omega", "ohm"), ("\\AA", "angstrom"), ("\\", ""), ("^deg", "deg"), ("°", "deg"),
        ("º", "deg"), ("℃", "degC"), ("μ", "u"), ("µ", "u"), ("Ω", "ohm"), ("Å", "angstrom"),
        ("−", "-"), ("·", " "), ("⋅", " "), ("*", " "), ("×", " "), (" per ", "/"),
        ("f.u.", "fu"), ("formula unit", "fu"), ("Bohr magneton", "muB"), ("at. %", "at.%"),
        ("wt. %", "wt.%"), ("mol-atom", "molatom"),
    ):  # fmt: skip
        plain = plain.replace(old, new)
    plain = re.sub(r"deg\s+C\b", "degC", plain)
    # mK under a slash is metre times kelvin, as in W/mK, not millikelvin
    plain = re.sub(r"/\s*\(?\s*mK(\^?-?\d*)\s*\)?", r"/(m K\1)", plain)
    return re.sub(r"-(?=[A-Za-z])", " ", plain).strip()


def _parts(plain: str) -> list[str]:
    """What stands over the first slash, and what under each."""
    return [part.strip().strip("()").strip() for part in plain.split("/")]


def _tokens(part: str) -> list[tuple[str, int]] | None:
    tokens: list[tuple[str, int]] = []
    for word in part.split():
        if word == "1":
            continue
        match = _TOKEN.fullmatch(word)
        if match is None:
            return None
        power = int(match.group(2) or 1)
        if match.group(1) == "10":
            tokens.append(("10", power))
            continue
        symbol = _ALIASES.get(match.group(1), match.group(1))
        if _known(symbol) is None:
            return None
        tokens.append((symbol, power))
    return tokens


def _known(symbol: str) -> tuple[float, str] | None:
    """Factor and dimensions of a symbol, with a prefix or without."""
    if symbol in _BASE:
        return _BASE[symbol]
    head, rest = symbol[:1], symbol[1:]
    if head in _PREFIXES and rest in _PREFIXED:
        factor, dimensions = _BASE[rest]
        return _PREFIXES[head] * factor, dimensions
    return None


def _unit(powers: list[tuple[str, int]]) -> Unit | None:
    factor = 1.0
    dimensions: dict[str, int] = {}
    for symbol, power in powers:
        if symbol == "10":
            factor *= 10.0**power
            continue
        found = _known(symbol)
        assert found is not None
        factor *= found[0] ** power
        for name, exponent in re.findall(r"([A-Za-z]+)(-?\d*)", found[1]):
            dimensions[name] = dimensions.get(name, 0) + power * int(exponent or 1)
    if any(symbol == "degC" for symbol, _ in powers) and len(powers) > 1:
        return None
    left = tuple(sorted((name, power) for name, power in dimensions.items() if power))
    return Unit(_spelling(powers), factor, left)


def _spelling(powers: list[tuple[str, int]]) -> str:
    over = [_powered(s, p) for s, p in powers if p > 0 and s != "10"]
    under = [_powered(s, -p) for s, p in powers if p < 0 and s != "10"]
    scale = [f"10^{p}" for s, p in powers if s == "10"]
    head = " ".join([*scale, *over]) or "1"
    if not under:
        return head
    return f"{head}/{under[0]}" if len(under) == 1 else f"{head}/({' '.join(under)})"


def _powered(symbol: str, power: int) -> str:
    name = {"mol_atom": "mol-atom"}.get(symbol, symbol)
    return name if power == 1 else f"{name}^{power}"


def converted(value: float, unit: str, to: str) -> float:
    """A value in another unit of the same quantity; degrees Celsius convert to kelvin."""
    one, other = read_unit(unit), read_unit(to)
    if one is None or other is None or one.dimensions != other.dimensions:
        raise InputError(f"{unit or 'no unit'} does not convert to {to or 'no unit'}.")
    if one.name == other.name:
        return value
    kelvin = value * one.factor + (CELSIUS_ZERO if one.name == "degC" else 0.0)
    return (kelvin - (CELSIUS_ZERO if other.name == "degC" else 0.0)) / other.factor
