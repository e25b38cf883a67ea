"""Read and write crystals: CIF, POSCAR, extended XYZ, JSON of several kinds, ASE, VASP, tables."""

from __future__ import annotations

from materialabs.crystals.files.limits import Limits
from materialabs.crystals.files.reading import read, stream
from materialabs.crystals.files.report import Note, ReadReport, Refusal, RefusedWarning
from materialabs.crystals.files.writing import write, write_symmetrised_cif

__all__ = [
    "Limits",
    "Note",
    "ReadReport",
    "Refusal",
    "RefusedWarning",
    "read",
    "stream",
    "write",
    "write_symmetrised_cif",
]
