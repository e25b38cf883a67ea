"""Quantum ESPRESSO's pw.x as the engine of DFT relaxations, with ASE's reader and writer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from materialabs.elements import SYMBOLS
from materialabs.errors import ExternalError, NotFound
from materialabs.oracles.dft_engine import (
    DftTimeoutError,
    NotSelfConsistentError,
    Question,
    SinglePoint,
)

EV_PER_RYDBERG: Final = 13.605693122994
"""CODATA 2018."""

DENSITY_TOLERANCE: Final = 1e-9
"""Rydberg; estimated error of the energy at self-consistency."""

REMEDIES: Final = (
    (0.7, 1.0, ""),
    (0.2, 1.5, "the density did not settle: mixed 20 % a step"),
    (0.05, 2.5, "the density did not settle: mixed 5 % a step"),
)
"""Share of the new density mixed in, patience against the usual, and what to say of it."""

LONGEST_POINT: Final = 1800.0
"""Seconds that one single point may take by default."""

SINGLE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class EspressoEngine:
    """pw.x behind the interface of DFT engines: one run of the program for each question.

    Parameters
    ----------
    folder
        Folder of the pseudopotentials.
    files
        Name of the pseudopotential of each element in that folder.
    log
        File that pw.x's output is added to.
    command
        The program.
    seconds
        Longest that one single point may take.
    """

    code = "Quantum ESPRESSO"

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str],
        log: Path,
        *,
        command: str = "pw.x",
        seconds: float = LONGEST_POINT,
    ) -> None:
        self.folder, self.files, self.log = Path(folder), dict(files), Path(log)
        self.command, self.seconds = command, seconds
        self.closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._version = ""
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """The version that pw.x prints."""
        if not self._version:
            with tempfile.TemporaryDirectory() as folder:
                text = self._run(Path(folder), "", 60.0)
            found = re.search(r"Program PWSCF\s+v\.?\s*(\S+)", text)
            if found is None:
                raise ExternalError(f"{self.command} does not answer as pw.x does.")
            self._version = found[1]
        return self._version

    def single_point(self, question: Question) -> SinglePoint:
        """Answer one question; see :class:`~materialabs.oracles.dft_engine.DftEngine`."""
        missing = {SYMBOLS[int(n)] for n in question.numbers} - set(self.files)
        if missing:
            raise NotFound(f"There is no pseudopotential for {', '.join(sorted(missing))}.")
        notes: list[str] = []
        for mixing, patience, note in REMEDIES:
            notes += [note] if note else []
            with tempfile.TemporaryDirectory(prefix="materialabs-pw-") as folder:
                place = Path(folder)
                self._write(place, question, mixing, int(patience * question.scf_steps))
                text = self._run(place, (place / "pw.in").read_text(), self.seconds)
                self._keep(text)
                if "convergence has been achieved" in text:
                    return self._read(place, text, question, notes)
                if "convergence NOT achieved" not in text:
                    raise ExternalError(f"pw.x failed ({complaint(text)}): see {self.log}.")
        raise NotSelfConsistentError(
            f"The charge density did not settle in {len(REMEDIES)} ways: {'; '.join(notes)}."
        )

    # -- input and output -------------------------------------------------------------------------

    def _write(self, place: Path, question: Question, mixing: float, steps: int) -> None:
        from ase import Atoms
        from ase.io import write

        atoms = Atoms(
            numbers=question.numbers, cell=question.lattice,
            scaled_positions=question.frac, pbc=True,
        )  # fmt: skip
        system: dict[str, Any] = {
            "ecutwfc": question.cutoff / EV_PER_RYDBERG,
            "occupations": "smearing",
            "smearing": "fermi-dirac",
            "degauss": question.smearing / EV_PER_RYDBERG,
            "input_dft": "PBE",
            "nosym": False,
        }
        if question.moments is not None:
            system["nspin"] = 2
            atoms.set_initial_magnetic_moments(question.moments)
        write(
            place / "pw.in", atoms, format="espresso-in",
            input_data={
                "control": {
                    "calculation": "scf", "tstress": True, "tprnfor": True, "outdir": str(place),
                    "pseudo_dir": str(self.folder.resolve()), "disk_io": "none",
                },
                "system": system,
                "electrons": {
                    "mixing_beta": mixing, "electron_maxstep": steps,
                    "conv_thr": DENSITY_TOLERANCE,
                },
            },
            pseudopotentials={name: self.files[name] for name in set(atoms.symbols)},
            kpts=question.mesh, koffset=(0, 0, 0),
        )  # fmt: skip

    def _read(self, place: Path, text: str, question: Question, notes: list[str]) -> SinglePoint:
        from ase.io import read

        output = place / "pw.out"
        output.write_text(text)
        results = read(output, format="espresso-out").calc.results
        moments = results.get("magmoms") if question.moments is not None else None
        stress = np.asarray(results["stress"], dtype=float)
        xx, yy, zz, yz, xz, xy = stress
        return SinglePoint(
            float(results["energy"]) - smearing_term(text) / 2,
            np.asarray(results["forces"], dtype=float),
            np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
            None if question.moments is None else _moments(moments, len(question.numbers)),
            total_magnetization(text),
            tuple(notes),
        )

    def _keep(self, text: str) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(text)

    # -- the process ------------------------------------------------------------------------------

    def _run(self, place: Path, text: str, seconds: float) -> str:
        """Run pw.x on an input text in a folder, and give what it printed."""
        with self._lock:
            if self.closed:
                raise ExternalError("This engine was closed.", code="dft.closed")
            self._process = self._started(place)
        began = time.monotonic()
        try:
            printed, _ = self._process.communicate(text.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            self._kill()
            raise DftTimeoutError(
                f"pw.x gave no answer in {time.monotonic() - began:.0f} s and was stopped: "
                "allow more time, or take a smaller cell."
            ) from None
        except BaseException:  # Ctrl-C too must not leave a process behind
            self._kill()
            raise
        return printed.decode(errors="replace")

    def _started(self, place: Path) -> subprocess.Popen[bytes]:
        if shutil.which(self.command) is None:
            raise ExternalError(
                f"There is no program {self.command}: install Quantum ESPRESSO (on Debian: "
                "apt-get install quantum-espresso).",
                code="dft.not_installed",
            )
        return subprocess.Popen(
            [self.command],
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **SINGLE_THREAD},
            start_new_session=True,
        )

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def close(self) -> None:
        """Stop the program, whatever it does."""
        with self._lock:
            self.closed = True
            self._kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def smearing_term(text: str) -> float:
    """Minus temperature times entropy in eV, from the end of pw.x's output; 0 where absent."""
    found = re.findall(r"smearing contrib\. \(-TS\)\s*=\s*(\S+) Ry", text)
    return float(found[-1]) * EV_PER_RYDBERG if found else 0.0


def total_magnetization(text: str) -> float:
    """Bohr magneton for the cell, from the end of pw.x's output; 0 where absent."""
    found = re.findall(r"total magnetization\s*=\s*(\S+) Bohr", text)
    return float(found[-1]) if found else 0.0


def complaint(text: str) -> str:
    """What pw.x said went wrong, in its own words."""
    found = re.search(r"Error in routine.*\n\s*(.+)", text)
    if found:
        return found[0].replace("\n", " ").strip()[:200]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it printed nothing"


def _moments(moments: Any, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.zeros(count) if moments is None else np.asarray(moments, dtype=float)
