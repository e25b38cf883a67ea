"""What DFT can do on this machine, and how to mend what it cannot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from materialabs.errors import MaterialabsError
from materialabs.oracles.espresso_gth import cp2k_file
from materialabs.oracles.gpaw_engine import GpawEngine
from materialabs.oracles.gpaw_process import MEND


@dataclass(frozen=True)
class DftState:
    """One thing that DFT needs.

    Parameters
    ----------
    what
        The thing, with its version where it is there.
    ok
        Whether it is there and answers.
    mend
        What to do where it is not; empty where it is.
    """

    what: str
    ok: bool
    mend: str = ""


def dft_state(interpreter: str | Path | None = None) -> list[DftState]:
    """Look at every DFT program; each is started once, and nothing raises.

    Parameters
    ----------
    interpreter
        Python that has GPAW, where it is not this one.
    """
    return [gpaw_state(interpreter), espresso_state(), pseudopotential_state()]


def gpaw_state(interpreter: str | Path | None = None) -> DftState:
    """Whether GPAW starts, and with which datasets."""
    with (
        TemporaryDirectory() as folder,
        GpawEngine(Path(folder) / "gpaw.log", interpreter=interpreter) as engine,
    ):
        try:
            what = f"GPAW {engine.version}, {engine.datasets}, {len(engine.elements)} elements"
        except MaterialabsError as error:
            return DftState(f"GPAW: {error}", False, MEND)
    return DftState(what, True)


def espresso_state() -> DftState:
    """Whether pw.x is there."""
    if shutil.which("pw.x") is None:
        return DftState(
            "Quantum ESPRESSO (optional): no pw.x", False, "apt-get install quantum-espresso"
        )
    return DftState("Quantum ESPRESSO: pw.x", True)


def pseudopotential_state() -> DftState:
    """Whether CP2K's pseudopotentials are there."""
    found = cp2k_file()
    if found is None:
        return DftState(
            "pseudopotentials for pw.x (optional): none of CP2K", False,
            "apt-get install cp2k-data, or name a folder of UPF files",
        )  # fmt: skip
    return DftState(f"pseudopotentials for pw.x: {found}", True)
