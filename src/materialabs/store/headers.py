"""Headers of tables: the plain name of what they stand over, and the unit that they state."""

from __future__ import annotations

import re
from typing import Final

from materialabs.store.dimensions import read_unit

CONDITION_UNITS: Final = {"temperature": "K", "pressure": "GPa", "field": "T"}
"""Conditions under which a value is observed, and the unit that they are kept in."""

_CONDITIONS: Final = {
    "temperature": re.compile(r"((test|testing|measurement|measured|measuring|operating|operation"
                              r")_)?(temperature|temp)(_of_(test|measurement|operation))?"),
    "pressure": re.compile(r"((test|measurement|applied|external|hydrostatic)_)?pressure"),
    "field": re.compile(r"(applied_|external_)?(magnetic_)?field"),
}  # fmt: skip

_GROUPS: Final = re.compile(
    r"(property|target|label|output|feature|descriptor|identifier|reference|column)\s*:\s*"
    r"|(data|properties|property|output)\.(?=\S)",
    re.IGNORECASE,
)
"""Words before a header's name that group columns."""

_ENDINGS: Final = (
    ("_ev_per_atom", "eV/atom"), ("_ev_atom", "eV/atom"), ("_mev_per_atom", "meV/atom"),
    ("_mev_atom", "meV/atom"), ("_kj_per_mol", "kJ/mol"), ("_kj_mol", "kJ/mol"), ("_mev", "meV"),
    ("_ev", "eV"), ("_gpa", "GPa"), ("_mpa", "MPa"), ("_kelvin", "K"), ("_k", "K"),
    ("_celsius", "degC"), ("_mm", "mm"), ("_nm", "nm"), ("_percent", "%"), ("_uv_per_k", "uV/K"),
    ("_uv_k", "uV/K"), ("_w_mk", "W/(m K)"), ("_s_per_cm", "S/cm"), ("_s_cm", "S/cm"),
    ("_s_per_m", "S/m"), ("_s_m", "S/m"), ("_g_cm3", "g/cm^3"), ("_g_per_cm3", "g/cm^3"),
    ("_mah_g", "mAh/g"), ("_mah_per_g", "mAh/g"), ("_wh_kg", "Wh/kg"), ("_mv", "mV"),
)  # fmt: skip
"""Ends of headers without brackets that name a unit."""


def plain_name(header: str) -> str:
    """A header in lower case letters, digits and underscores, without its unit."""
    return split_header(header)[0]


def split_header(header: str) -> tuple[str, str | None]:
    """A header as a plain name and its unit, ``None`` where it names none.

    Units stand in brackets at the end (``gap (eV)``), behind a comma or a slash with a space
    before it (``gap, eV``), or at the end of a name (``gap_ev``). What stands in brackets and is
    not a unit belongs to the name.
    """
    text = _GROUPS.sub("", header.strip(), count=1)
    head, inner = _bracketed(text)
    if head:
        unit = read_unit(inner)
        if unit is not None and inner.strip() not in ("-", "none"):
            return _plain(head), unit.name
        if inner.strip() == "-":
            return _plain(head), ""
        return _plain(text), None
    match = re.fullmatch(r"(.+?)(?:,\s*|\s+/\s*|\s+in\s+)([^,]+)", text)
    unit = read_unit(match.group(2)) if match else None
    if match and unit is not None and unit.name:
        return _plain(match.group(1)), unit.name
    lowered = _plain(text)
    for ending, name in _ENDINGS:
        if lowered.endswith(ending) and len(lowered) > len(ending):
            return lowered.removesuffix(ending), name
    return lowered, None


def _bracketed(text: str) -> tuple[str, str]:
    """What stands before the last pair of brackets, and in it; empty where it ends in none."""
    closing = {")": "(", "]": "["}.get(text[-1:])
    if closing is None:
        return "", ""
    depth = 0
    for place in range(len(text) - 1, -1, -1):
        depth += (text[place] == text[-1]) - (text[place] == closing)
        if depth == 0:
            return text[:place].strip(), text[place + 1 : -1]
    return "", ""


def _plain(text: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", text.strip())
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]+", "_", spaced.lower())).strip("_")


def condition_name(plain: str) -> str:
    """The condition that a plain name stands for; empty for none."""
    return next((name for name, form in _CONDITIONS.items() if form.fullmatch(plain)), "")
