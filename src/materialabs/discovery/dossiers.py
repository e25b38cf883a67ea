"""A folder for each stable compound: files for other programs, and what a chemist asks first."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.diffraction import PowderPattern, powder_pattern
from materialabs.crystals.files import write
from materialabs.crystals.files.writing import replacing, write_symmetrised_cif
from materialabs.crystals.symmetry import conventional, symmetry
from materialabs.discovery.findings import Finding, Findings
from materialabs.discovery.novelty import LABEL_WITHIN, Comparison, KnownList, compare, relatives
from materialabs.discovery.tables import origin_text
from materialabs.errors import MaterialabsError, ResourceError

WEAKEST: Final = 0.5
"""Per cent of the strongest reflection; weaker ones are left out of the table."""


@dataclass(frozen=True, eq=False)
class Dossier:
    """What is known of one stable compound.

    Parameters
    ----------
    finding
        Its relaxation.
    twins
        Other relaxations that came to the same crystal.
    crystal
        Conventional cell, symmetrised where a symmetry was found.
    space_group
        Symbol with number.
    formation_energy, decomposition_energy
        eV/atom; the latter is negative for a stable compound: by how much it is stable.
    reaction
        What it would fall apart into if it were not there.
    windows
        For each element the range of its chemical potential, eV/atom below the element, in which
        the compound is stable.
    comparisons
        What was compared, and what was found.
    relatives
        Known crystals of the same structure type.
    pattern
        Powder diffraction, or None where it cannot be simulated.
    """

    finding: Finding
    twins: tuple[Finding, ...]
    crystal: Crystals
    space_group: str
    formation_energy: float
    decomposition_energy: float
    reaction: str
    windows: dict[str, tuple[float, float]]
    comparisons: tuple[Comparison, ...]
    relatives: tuple[str, ...]
    pattern: PowderPattern | None

    @property
    def name(self) -> str:
        """Formula and name of the finding, fit for a folder."""
        return f"{self.finding.formula.replace('(', '_').replace(')', '_')}-{self.finding.name}"

    def document(self) -> dict[str, Any]:
        """For JSON."""
        one = self.finding
        windows = {name: [_finite(end) for end in ends] for name, ends in self.windows.items()}
        return {
            "formula": one.formula,
            "name": one.name,
            "space_group": self.space_group,
            "given_or_found": "given" if one.given else "found",
            "origin": origin_text(one),
            "also_reached_as": [twin.name for twin in self.twins],
            "status": one.result["status"],
            "energy_ev_per_atom": one.result["energy"],
            "formation_energy_ev_per_atom": self.formation_energy,
            "decomposition_energy_ev_per_atom": self.decomposition_energy,
            "decomposition": self.reaction,
            "chemical_potential_windows_ev_per_atom": windows,
            "compared": [vars(item) | {"sentence": item.sentence} for item in self.comparisons],
            "relatives": list(self.relatives),
            "record": one.record,
            "task": one.key,
        }


def make_dossier(findings: Findings, finding: Finding, lists: Sequence[KnownList]) -> Dossier:
    """Gather what is known of one stable compound."""
    hull = findings.hull
    place = next(row for row, one in enumerate(findings.good) if one.key == finding.key)
    relaxed = finding.relaxed.replace(columns=None)
    energies = findings.formation[[place]]
    found = symmetry(relaxed, LABEL_WITHIN)
    number = int(found.number[0])
    symbol = f"{found.symbols()[0]} ({number})" if number else "none found"
    return Dossier(
        finding,
        findings.twins_of(finding),
        conventional(relaxed, LABEL_WITHIN),
        symbol,
        float(findings.formation.values[place]),
        float(hull.decomposition_energy(relaxed, energies)[0]),
        hull.competing_phases(relaxed).reactions()[0],
        _windows(findings, finding.formula),
        tuple(compare(relaxed, lists)),
        tuple(relatives(relaxed, lists)),
        _pattern(conventional(relaxed, LABEL_WITHIN)),
    )


def _windows(findings: Findings, formula: str) -> dict[str, tuple[float, float]]:
    windows = {}
    for symbol in findings.hull.symbols:
        found = findings.hull.stability_windows(symbol)
        if formula in found:
            windows[symbol] = found[formula]
    return windows


def _pattern(crystal: Crystals) -> PowderPattern | None:
    try:
        return powder_pattern(crystal)
    except MaterialabsError:
        return None


def write_dossier(dossier: Dossier, folder: Path) -> Path:
    """Write the folder of one compound: CIF, POSCAR, powder pattern, and what is known of it."""
    place = folder / dossier.name
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{place} cannot be made: {error.strerror}.") from error
    crystal = dossier.crystal.replace(columns={"id": [dossier.name]}, site_columns=None)
    try:
        write_symmetrised_cif(crystal, place / "crystal.cif", tolerance=LABEL_WITHIN)
    except MaterialabsError:
        write(crystal, place / "crystal.cif")
    write(crystal, place / "POSCAR", format="poscar")
    if dossier.pattern is not None:
        _write_text(place / "powder_xrd_cu_ka.csv", _pattern_text(dossier.pattern))
    _write_text(place / "about.json", json.dumps(dossier.document(), indent=1) + "\n")
    return place


def _pattern_text(pattern: PowderPattern) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["two_theta_degrees", "intensity_percent", "h", "k", "l", "spacing_angstrom"])
    for row in np.flatnonzero(pattern.intensity >= WEAKEST).tolist():
        writer.writerow(
            [f"{pattern.two_theta[row]:.4f}", f"{pattern.intensity[row]:.2f}",
             *pattern.hkl[row].tolist(), f"{pattern.spacing[row]:.5f}"]
        )  # fmt: skip
    return stream.getvalue()


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
