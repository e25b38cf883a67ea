"""A finished relaxation as a row of the queue and as a record that is signed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs, to_blobs
from materialabs.levels import Level
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings
from materialabs.store.records import Method, MethodKind, Property, Record

DIGITS: Final = 10
"""Significant digits of an energy; records round to twelve."""

GPA_PER_EV_PER_CUBIC_ANGSTROM: Final = 160.21766208
"""Pressure unit (CODATA 2018)."""


def result_document(relaxation: Relaxation, worker: str) -> dict[str, Any]:
    """What is kept of a relaxation beside its crystal; numbers that are none become null."""
    forces = relaxation.forces
    largest = float(np.linalg.norm(forces, axis=1).max()) if len(forces) else math.nan
    document = {
        "status": relaxation.status,
        "reason": relaxation.reason,
        "energy": relaxation.energy,
        "largest_force": largest,
        "pressure": -float(np.trace(relaxation.stress)) / 3.0 * GPA_PER_EV_PER_CUBIC_ANGSTROM,
        "steps": relaxation.steps,
        "force_calls": relaxation.force_calls,
        "seconds": relaxation.seconds,
        "worker": worker,
    }
    notes = _texts(relaxation.crystal)
    return {name: _finite(value) for name, value in (document | notes).items()}


def relaxed_bytes(relaxation: Relaxation) -> bytes:
    """The crystal at the end as bytes, moments on its atoms included."""
    crystal = relaxation.crystal.replace(columns=None)
    if relaxation.moments is not None:
        crystal = crystal.with_site_columns(magnetic_moment=relaxation.moments)
    return to_blobs(crystal)[0]


def usable(result: Mapping[str, Any]) -> bool:
    """Whether the energy means something."""
    return result["status"] in ("converged", "not_converged") and result["energy"] is not None


def enthalpy(energy: float, crystal: Crystals, pressure: float) -> float:
    """Energy with pressure times volume, eV/atom; the pressure in GPa."""
    volume = float(crystal.volumes[0]) / float(crystal.counts[0])
    return energy + pressure / GPA_PER_EV_PER_CUBIC_ANGSTROM * volume


def record_of(
    relaxed: bytes,
    result: Mapping[str, Any],
    level: Level,
    settings: RelaxationSettings,
    *,
    source: str,
    origin: str,
) -> tuple[Crystals, Record]:
    """A finished relaxation as a crystal and the record of what was found.

    Parameters
    ----------
    relaxed
        The crystal at the end.
    result
        From :func:`result_document`.
    level, settings
        Of the relaxation.
    source
        Name of the candidate.
    origin
        How it was made, in words.
    """
    crystal = from_blobs([relaxed])
    method = Method(
        method_kind(level), level.code or level.functional, level.version, settings_hash(settings),
        level,
    )  # fmt: skip
    conditions = {"pressure": (settings.pressure, "GPa")} if settings.pressure else {}
    listed = [Property("relaxation_status", result["status"], "", method)]
    if usable(result):
        energy = _rounded(float(result["energy"]))
        listed.append(Property("energy", energy, "eV/atom", method, conditions=conditions))
        if settings.pressure:
            value = _rounded(enthalpy(energy, crystal, settings.pressure))
            listed.append(Property("enthalpy", value, "eV/atom", method, conditions=conditions))
    said = {name: result.get(name) for name in ("reason", "notes", "doubts", "worker")}
    listed += [
        Property(f"relaxation_{name}", str(text), "", method)
        for name, text in (said | {"origin": origin}).items()
        if text
    ]
    record = Record(
        tuple(listed),
        crystal=hashlib.sha256(relaxed).hexdigest(),
        composition=crystal.reduced_formulas()[0],
        source=source,
    )
    return crystal, record


def method_kind(level: Level) -> MethodKind:
    """DFT names its pseudopotentials; potentials do not."""
    return "dft" if level.pseudopotentials else "potential"


def settings_hash(settings: RelaxationSettings) -> str:
    """First half of the SHA-256 of the settings."""
    text = json.dumps(settings.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _rounded(value: float) -> float:
    """As records keep it, so that row and record hold the same number."""
    return float(f"{value:.{DIGITS}g}")


def _texts(crystal: Crystals) -> dict[str, Any]:
    """What an oracle says of a crystal in words."""
    found = {}
    for name in ("notes", "doubts"):
        column = crystal.columns.get(name)
        if column is not None and column[0]:
            found[name] = str(column[0])
    return found


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
