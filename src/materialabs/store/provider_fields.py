"""What the fields of known OPTIMADE providers mean, with unit and level of theory.

Materials Project: ``_mp_stability`` holds formation energies and hull distances (eV/atom) by thermo
type. Alexandria: ``_alexandria_...`` in eV/atom and eV, the functional in
``_alexandria_xc_functional``, second values at SCAN in ``_alexandria_scan_...``. OQMD:
``_oqmd_delta_e`` and ``_oqmd_stability`` (eV/atom; the latter is below zero for phases that lie
under the hull of all others), ``_oqmd_band_gap`` (eV). Formation energies are against the elements
at the same level, so that a hull can be built from an import.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from materialabs.levels import ALEXANDRIA_PBE, MP2020, Level
from materialabs.store.crystal_values import NEEDS_LEVEL
from materialabs.store.dimensions import read_unit
from materialabs.store.filters.fields import PREFIX
from materialabs.store.records import Method, Property
from materialabs.store.schema import WIDE_PROPERTIES

MP_R2SCAN: Final = Level("r2SCAN", pseudopotentials="PAW-PBE", code="VASP")
"""The Materials Project's r2SCAN calculations, without corrections."""

MP_MIXED: Final = Level(
    "PBE+r2SCAN", hubbard="MP", correction="MP-mixing", pseudopotentials="PAW-PBE", code="VASP"
)
"""GGA, GGA+U and r2SCAN on one scale (Kingsbury et al., npj Comput. Mater. 8, 195, 2022)."""

OQMD: Final = Level(
    "PBE", hubbard="OQMD", correction="OQMD", pseudopotentials="PAW-PBE", code="VASP"
)
"""OQMD's formation energies with fitted references (Kirklin et al., npj Comput. Mater. 1, 2015)."""

ALEXANDRIA_PBESOL: Final = Level(
    "PBEsol", pseudopotentials="PAW-PBE", code="VASP", settings="Alexandria"
)
ALEXANDRIA_SCAN: Final = Level(
    "SCAN", pseudopotentials="PAW-PBE", code="VASP", settings="Alexandria"
)
"""Alexandria's SCAN energies at PBEsol geometries (Schmidt et al., Sci. Data 9, 64, 2022)."""

THERMO_TYPES: Final = {"gga_gga+u": MP2020, "gga_gga+u_r2scan": MP_MIXED, "r2scan": MP_R2SCAN}
"""The Materials Project's thermo types; the first that an entry has goes first in its record."""

ALEXANDRIA_LEVELS: Final = {
    "pbe": ALEXANDRIA_PBE, "pbesol": ALEXANDRIA_PBESOL, "scan": ALEXANDRIA_SCAN,
}  # fmt: skip

_ALEXANDRIA: Final = {
    "formation_energy_per_atom": ("formation_energy", "eV/atom"),
    "hull_distance": ("hull_distance", "eV/atom"),
    "band_gap": ("band_gap", "eV"),
    "magnetization": ("magnetization", "Bohr magneton"),
}

_OQMD: Final = {
    "_oqmd_delta_e": ("formation_energy", "eV/atom"),
    "_oqmd_stability": ("hull_distance", "eV/atom"),
    "_oqmd_band_gap": ("band_gap", "eV"),
}

UNITLESS: Final = frozenset({"", "dimensionless", "1", "none", "null"})


@dataclass(frozen=True)
class FieldKind:
    """What a provider's ``/info`` says of one of its own fields.

    Parameters
    ----------
    type
        OPTIMADE's name of it.
    unit
        As it is stated; ``None`` where it is not.
    """

    type: str
    unit: str | None


@dataclass
class ProviderFields:
    """How the fields of one provider become properties.

    Parameters
    ----------
    kinds
        The provider's own fields, by name, from its ``/info``.
    method
        How the values of fields that nobody here knows were obtained, as the user states it.
    """

    kinds: dict[str, FieldKind]
    method: Method | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def wanted(self) -> list[str]:
        """Names of the provider's fields that are asked for."""
        return [name for name in self.kinds if _is_known(name) or self._generic(name)]

    def _generic(self, name: str) -> tuple[str, str] | None:
        """Name and unit under which an unknown field is kept; nothing where it is not."""
        kind = self.kinds.get(name)
        if kind is None or kind.type not in ("float", "integer"):
            return None
        plain = name.removeprefix(PREFIX)
        if plain != name and plain not in WIDE_PROPERTIES:
            return None  # what another store of this kind derives from the structure itself
        unit = None if kind.unit is None else read_unit(kind.unit)
        if unit is None:
            self.left_out[name] = "its unit is not stated"
            return None
        if self.method is None:
            self.left_out[name] = "its method is not known: name one with --method"
            return None
        if plain in NEEDS_LEVEL and self.method.level is None and self.method.kind != "experiment":
            self.left_out[name] = "its level of theory is not known: name one with --level"
            return None
        own = re.sub(r"[^a-z0-9_]", "_", plain.lower()).lstrip("_0123456789")[:64]
        return (own, unit.name) if own else None

    def properties(self, attributes: Mapping[str, Any]) -> tuple[Property, ...]:
        """The properties of one structure."""
        found = [*_materials_project(attributes), *_alexandria(attributes), *_oqmd(attributes)]
        for name in self.kinds:
            if not _is_known(name) and (generic := self._generic(name)) is not None:
                value = number(attributes.get(name))
                if value is not None and self.method is not None:
                    found.append(Property(*generic[:1], value, generic[1], self.method))
        return tuple(found)


def _is_known(name: str) -> bool:
    return name.startswith(("_mp_stability", "_alexandria_")) or name in _OQMD


def number(value: Any) -> float | None:
    """A finite number, or nothing."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _dft(level: Level) -> Method:
    return Method("dft", name=level.code, level=level)


def _materials_project(attributes: Mapping[str, Any]) -> list[Property]:
    """Formation energies and hull distances by thermo type."""
    stability = attributes.get("_mp_stability")
    if not isinstance(stability, Mapping):
        return []
    types = {str(name).lower(): values for name, values in stability.items()}
    found = []
    for kind, level in THERMO_TYPES.items():
        values = types.get(kind)
        if not isinstance(values, Mapping):
            continue
        for field_name, name in (("formation_energy_per_atom", "formation_energy"),
                                 ("energy_above_hull", "hull_distance")):  # fmt: skip
            value = number(values.get(field_name))
            if value is not None:
                found.append(Property(name, value, "eV/atom", _dft(level)))
    return found


def _alexandria(attributes: Mapping[str, Any]) -> list[Property]:
    """Values at the entry's functional, and those at SCAN beside them."""
    functional = str(attributes.get("_alexandria_xc_functional") or "").lower()
    level = ALEXANDRIA_LEVELS.get(functional.replace("-", "").replace(" ", ""))
    found = [] if level is None else _alexandria_at(attributes, "_alexandria_", level)
    return found + _alexandria_at(attributes, "_alexandria_scan_", ALEXANDRIA_SCAN)


def _alexandria_at(attributes: Mapping[str, Any], prefix: str, level: Level) -> list[Property]:
    found = []
    for ending, (name, unit) in _ALEXANDRIA.items():
        value = number(attributes.get(prefix + ending))
        if value is not None:
            found.append(Property(name, value, unit, _dft(level)))
    total = number(attributes.get(f"{prefix}energy_corrected"))
    sites = attributes.get("nsites")
    if total is not None and isinstance(sites, int) and sites > 0:
        found.append(Property("energy", total / sites, "eV/atom", _dft(level)))
    return found


def _oqmd(attributes: Mapping[str, Any]) -> list[Property]:
    found = []
    for field_name, (name, unit) in _OQMD.items():
        value = number(attributes.get(field_name))
        if value is not None:
            found.append(Property(name, value, unit, _dft(OQMD)))
    return found


def read_kinds(document: Any) -> dict[str, FieldKind]:
    """The provider's own fields from the answer of ``/info/structures``."""
    data = document.get("data") if isinstance(document, Mapping) else None
    properties = data.get("properties") if isinstance(data, Mapping) else None
    if not isinstance(properties, Mapping):
        return {}
    kinds = {}
    for name, described in properties.items():
        if isinstance(name, str) and name.startswith("_") and isinstance(described, Mapping):
            kinds[name] = FieldKind(_type(described), _unit(described))
    return kinds


def _type(described: Mapping[str, Any]) -> str:
    """OPTIMADE's type, from version 1.1's ``type`` or 1.2's ``x-optimade-type``."""
    kind = described.get("x-optimade-type") or described.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "")
    return {"number": "float"}.get(str(kind), str(kind))


def _unit(described: Mapping[str, Any]) -> str | None:
    unit = described.get("x-optimade-unit", described.get("unit"))
    if not isinstance(unit, str) or unit == "inapplicable":
        return None
    return "" if unit.lower() in UNITLESS - {""} else unit or None
