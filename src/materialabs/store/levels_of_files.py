"""What files say of how their values were obtained: program, functional, +U, corrections.

A level is equal for all compounds of one way of calculating, so that their energies meet on one
hull: U values that are the Materials Project's are the scheme ``MP``, potentials are named by their
family, and what differs from compound to compound (the potentials' titles) stands in the method's
settings. What makes an energy worth less stands in the level: a run whose electronic steps did not
converge has a level of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from materialabs.crystals.files.limits import Limits
from materialabs.crystals.files.opening import BLOCK, Source
from materialabs.errors import MaterialabsError
from materialabs.levels import MP2018, MP2020, Level
from materialabs.store.records import Method, MethodKind

MATERIALS_PROJECT_U: Final = {
    "Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2,
}  # fmt: skip
"""U - J in eV of the Materials Project's GGA+U runs of oxides and fluorides (Jain et al., 2011)."""

SCHEMES: Final[dict[str, tuple[bytes, ...]]] = {
    "MP2020": (b"MP2020", b"MaterialsProject2020Compatibility"),
    "MP2018": (b"MaterialsProjectCompatibility", b"MP2018"),
}
"""Correction schemes, and the words by which files name them; the first found counts."""

_LEVELS: Final = {"MP2020": MP2020, "MP2018": MP2018}

_BEYOND: Final = ("HSE", "PBE0", "B3LYP", "HF", "GW", "GLLB")
"""Beginnings of the names of functionals that go beyond semi-local DFT."""

_U_TOLERANCE: Final = 0.005
"""eV; U values within this are equal."""


def stated_method(columns: Mapping[str, Any], scheme: str = "") -> Method | None:
    """The method that the columns of one crystal state; nothing where no functional is named.

    Parameters
    ----------
    columns
        Those of a VASP run or of a computed entry: ``functional``, ``hubbard``, ...
    scheme
        Corrections that the file says were applied (:func:`correction_scheme`).
    """
    functional = columns.get("functional")
    if not isinstance(functional, str) or functional in ("", "unknown"):
        return None
    level = _corrected(columns, scheme) or Level(
        functional,
        hubbard=hubbard_scheme(str(columns.get("hubbard") or "")),
        pseudopotentials=_family(str(columns.get("pseudopotentials") or "")),
        code=str(columns.get("code") or ("VASP" if "parameters" in columns else "")),
        settings=_settings(columns),
    )
    kind: MethodKind = "beyond-dft" if functional.upper().startswith(_BEYOND) else "dft"
    return Method(
        kind,
        name=level.code,
        version=str(columns.get("code_version") or ""),
        settings=_details(columns),
        level=level,
    )


def _corrected(columns: Mapping[str, Any], scheme: str) -> Level | None:
    """The level that a correction scheme defines, for entries that it is made for."""
    level = _LEVELS.get(scheme)
    if level is None or columns.get("functional") != "PBE":
        return None
    return level if hubbard_scheme(str(columns.get("hubbard") or "")) in ("", "MP") else None


def hubbard_scheme(text: str) -> str:
    """The scheme of ``Fe:5.3 Ni:6.2``: ``MP`` for the Materials Project's U values, else itself."""
    values = dict(part.partition(":")[::2] for part in text.split())
    known = all(
        abs(float(value) - MATERIALS_PROJECT_U.get(symbol, math.inf)) <= _U_TOLERANCE
        for symbol, value in values.items()
    )
    return "MP" if values and known else text


def _family(titles: str) -> str:
    """The family of potentials: ``PAW-PBE`` of ``PAW_PBE Fe_pv 02Aug2007, PAW_PBE O ...``."""
    families = {title.split()[0] for title in titles.split(",") if title.split()}
    if families <= {"PBE", "PAW_PBE"} and families:
        return "PAW-PBE"
    return families.pop().replace("_", "-") if len(families) == 1 else ""


def _settings(columns: Mapping[str, Any]) -> str:
    """What moves energies beside the functional: the cut-off, and steps that did not converge."""
    parts = []
    cutoff = columns.get("cutoff_energy_ev")
    if isinstance(cutoff, (int, float)) and math.isfinite(cutoff):
        parts.append(f"{cutoff:g} eV")
    if _is_false(columns.get("converged_electronic")):
        parts.append("electronic steps not converged")
    return ", ".join(parts)


def _details(columns: Mapping[str, Any]) -> str:
    """What a reader needs to repeat the run; it does not part levels."""
    parts = [str(columns.get("pseudopotentials") or "")]
    if _is_false(columns.get("converged_ionic")):
        parts.append("relaxation not converged")
    return "; ".join(part for part in parts if part)


def _is_false(value: Any) -> bool:
    return value is not None and not bool(value)


def correction_scheme(path: str | Path) -> str:
    """The correction scheme that a file of computed entries names; empty where it names none."""
    place = Path(path)
    try:
        return _scheme(str(place), place.stat().st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=256)
def _scheme(path: str, _modified: int) -> str:
    found: set[str] = set()
    tail = b""
    try:
        with Source(Path(path), Limits()).open() as stream:
            while block := stream.read(BLOCK):
                text = tail + block
                found |= {n for n, words in SCHEMES.items() if any(w in text for w in words)}
                if "MP2020" in found:
                    break
                tail = block[-64:]
    except MaterialabsError:
        return ""
    return next((name for name in SCHEMES if name in found), "")
