"""Quantum ESPRESSO as an oracle for one chemical system."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from materialabs.errors import InputError, NotFound
from materialabs.oracles.dft_oracle import DftLimits, DftOracle
from materialabs.oracles.dft_settings import DftSettings, system_symbols
from materialabs.oracles.espresso_engine import EV_PER_RYDBERG, LONGEST_POINT, EspressoEngine
from materialabs.oracles.espresso_gth import CP2K_FILES, cp2k_file, read_cp2k, read_file
from materialabs.oracles.gpaw_oracle import LOG_FOLDER

GTH_HARDNESS: Final = 5.0
"""Rydberg bohr^2; a Gaussian potential of radius r needs a cut-off of about this over r^2. Si
(0.44 bohr) gets 26 Ry and O (0.24 bohr) 84 Ry, near what CP2K's tests of them use."""

CUTOFF_STEP: Final = 10.0
"""Rydberg; cut-offs are rounded up to whole steps."""

UPF_LINE: Final = r"[Ss]uggested minimum cutoff for wavefunctions:\s*([\d.]+)\s*Ry"
UPF_ATTRIBUTE: Final = r"wfc_cutoff=\"\s*([\d.E+]+)\s*\""


def espresso_oracle(
    system: str | Iterable[str],
    *,
    pseudopotentials: str | Path | None = None,
    cutoff: float | None = None,
    limits: DftLimits | None = None,
    command: str = "pw.x",
    logs: str | Path = LOG_FOLDER,
    point_seconds: float = LONGEST_POINT,
) -> DftOracle:
    """Real DFT by pw.x for a chemical system, at one level for elements, compounds and hull.

    Parameters
    ----------
    system
        ``"Mg-Si"``, or element symbols.
    pseudopotentials
        Folder of UPF files, named by element (``Si.pbe-n-kjpaw.UPF``). By default the GTH-PBE
        potentials that CP2K's data package installs.
    cutoff
        eV; by default what the hardest pseudopotential asks for.
    limits
        Processes and time for each crystal.
    command
        The program.
    logs
        Folder for the program's output, one file for each process.
    point_seconds
        Longest that one single point may take.
    """
    symbols = system_symbols(system)
    folder = Path(logs)
    found = (
        gaussian_files(symbols, folder)
        if pseudopotentials is None
        else upf_files(symbols, Path(pseudopotentials))
    )
    place, files, needed = found
    if cutoff is None and needed is None:
        raise InputError("These pseudopotentials state no cut-off: give `cutoff` in eV.")
    settings = replace(
        DftSettings(),
        cutoff=float(cutoff if cutoff is not None else needed or 0.0),
        datasets=fingerprint(place, files),
    )

    def engine(number: int) -> EspressoEngine:
        log = folder / f"pw-{os.getpid()}-{number}.log"
        return EspressoEngine(place, files, log, command=command, seconds=point_seconds)

    return DftOracle(settings, engine, symbols, limits)


def gaussian_files(
    symbols: Sequence[str], folder: Path
) -> tuple[Path, dict[str, str], float | None]:
    """GTH-PBE potentials written for pw.x: their folder, their names, and the cut-off in eV."""
    source = cp2k_file()
    if source is None:
        raise NotFound(
            "No pseudopotentials were named and CP2K's are not installed (looked "
            f"for {CP2K_FILES[0]}): name a folder of UPF files, or apt-get install cp2k-data.",
            code="dft.no_pseudopotentials",
        )
    text = read_file(source)
    place = folder / "gth-pbe"
    place.mkdir(parents=True, exist_ok=True)
    files, needed = {}, 0.0
    for symbol in symbols:
        potential = read_cp2k(text, symbol)
        files[symbol] = f"{symbol}.gth"
        temporary = place / f"{symbol}.gth.{os.getpid()}.part"
        temporary.write_text(potential.to_abinit(), encoding="utf-8")
        temporary.replace(place / files[symbol])
        needed = max(needed, GTH_HARDNESS / potential.radius**2)
    steps = -(-needed // CUTOFF_STEP)
    return place, files, steps * CUTOFF_STEP * EV_PER_RYDBERG


def upf_files(symbols: Sequence[str], folder: Path) -> tuple[Path, dict[str, str], float | None]:
    """UPF files of these elements: their folder, their names, and the cut-off in eV if stated."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder} of pseudopotentials.")
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".upf")
    files, cutoffs = {}, []
    for symbol in symbols:
        fitting = [name for name in names if re.match(rf"{symbol}[._-]", name, re.IGNORECASE)]
        if not fitting:
            raise NotFound(f"There is no UPF file for {symbol} in {folder}.", code="dft.no_dataset")
        files[symbol] = fitting[0]
        cutoffs.append(stated_cutoff(folder / fitting[0]))
    known = [cutoff for cutoff in cutoffs if cutoff is not None]
    return folder, files, max(known) if len(known) == len(cutoffs) else None


def stated_cutoff(path: Path) -> float | None:
    """The cut-off in eV that a UPF file asks for."""
    text = read_file(path)
    found = re.search(UPF_LINE, text) or re.search(UPF_ATTRIBUTE, text)
    value = float(found[1]) if found else 0.0
    return value * EV_PER_RYDBERG if value > 0 else None


def fingerprint(folder: Path, files: dict[str, str]) -> str:
    """A name for a set of pseudopotentials, from their bytes."""
    digest = hashlib.sha256()
    for symbol in sorted(files):
        digest.update(symbol.encode() + b"\0" + (folder / files[symbol]).read_bytes())
    kind = "GTH-PBE" if all(name.endswith(".gth") for name in files.values()) else "UPF"
    return f"{kind} {digest.hexdigest()[:16]}"
