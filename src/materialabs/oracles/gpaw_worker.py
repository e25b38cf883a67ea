"""A GPAW process: reads questions as lines of JSON, answers each with a line of JSON.

It is started as a program of its own and imports nothing of materialabs, so that GPAW (GPL) and
materialabs stay two programs that talk over a pipe; GPAW may live in an environment of its own.
GPAW's own text goes to a log file. The process ends when its input ends, so it never outlives
the program that asks.

Usage: python gpaw_worker.py LOG_FILE
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from queue import Queue
from typing import Any, TextIO

if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
    sys.path.pop(0)  # the folder of this file holds modules that are none of GPAW's

DATASET = r"[A-Z][a-z]?\.PBE(\.gz)?"
"""File name of an element's default PBE dataset."""

ENERGY_TOLERANCE = 5e-5
"""eV for each valence electron, between the last three steps."""

DENSITY_TOLERANCE = 1e-4
"""Electrons for each valence electron."""

EIGENSTATES_TOLERANCE = 1e-6
"""eV^2 for each valence electron."""

REMEDIES: tuple[dict[str, Any], ...] = (
    {"note": "", "mixing": None, "bands": None, "patience": 1.0},
    {
        "note": "the density did not settle: mixed 5 % a step, with half as many bands again",
        "mixing": (0.05, 5, 50.0),
        "bands": "150%",
        "patience": 1.5,
    },
    {
        "note": "the density did not settle: mixed 1 % a step, with twice the bands",
        "mixing": (0.01, 8, 100.0),
        "bands": "200%",
        "patience": 2.5,
    },
)
"""What is tried in turn. Mixing: share of the new density, densities kept, weight of long waves."""


class Questions:
    """Lines from standard input; when it ends, or the parent is gone, so is this process."""

    def __init__(self, stream: TextIO) -> None:
        self.waiting: Queue[str] = Queue()
        self.stream = stream
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._watch_parent, daemon=True).start()

    def _read(self) -> None:
        for line in self.stream:
            self.waiting.put(line)
        os._exit(0)

    def _watch_parent(self) -> None:
        parent = os.getppid()
        pause = threading.Event()
        while not pause.wait(1.0):
            if os.getppid() != parent:
                os._exit(0)


class Calculations:
    """GPAW calculations, the last one kept while only atoms move."""

    def __init__(self, log: str) -> None:
        self.log = log
        self.key: str = ""
        self.atoms: Any = None

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Dispatch on what is asked."""
        return {
            "hello": self.hello,
            "single_point": self.single_point,
            "density_of_states": self.density_of_states,
        }[question["task"]](question)

    def hello(self, question: dict[str, Any]) -> dict[str, Any]:
        """Versions, and the elements that there are datasets for."""
        import re
        from importlib import metadata

        gpaw: Any = import_module("gpaw")
        from ase.data import chemical_symbols

        files = [
            file.name
            for folder in gpaw.setup_paths
            if Path(folder).is_dir()
            for file in Path(folder).iterdir()
        ]
        found = {name.split(".")[0] for name in files if re.fullmatch(DATASET, name)}
        try:
            datasets = metadata.version("gpaw-data")
        except metadata.PackageNotFoundError:
            datasets = ""
        return {
            "version": gpaw.__version__,
            "datasets": datasets,
            "elements": sorted(found & set(chemical_symbols)),
        }

    def single_point(self, question: dict[str, Any]) -> dict[str, Any]:
        """Energy, forces, stress and moments of one cell."""
        notes: list[str] = []
        for remedy in REMEDIES:
            if remedy["note"]:
                notes.append(remedy["note"])
            atoms = self._atoms(question, remedy)
            try:
                energy = float(atoms.get_potential_energy())
            except Exception as error:  # GPAW's own kinds cannot be imported before GPAW is
                self.key = ""
                if type(error).__name__ not in ("KohnShamConvergenceError", "ConvergenceError"):
                    raise
                continue
            return {**self._results(atoms, energy, question), "notes": notes}
        return {"error": "not_self_consistent", "notes": notes}

    def _results(self, atoms: Any, energy: float, question: dict[str, Any]) -> dict[str, Any]:
        calculator = atoms.calc
        spin = question["moments"] is not None
        stress = [[0.0] * 3] * 3
        if question["stress"]:
            stress = atoms.get_stress(voigt=False).tolist()
        return {
            "energy": energy,
            "forces": atoms.get_forces().tolist(),
            "stress": stress,
            "moments": calculator.get_magnetic_moments().tolist() if spin else None,
            "magnetization": float(calculator.get_magnetic_moment()) if spin else 0.0,
            "iterations": int(calculator.get_number_of_iterations()),
            "irreducible": len(calculator.get_ibz_k_points()),
        }

    def _atoms(self, question: dict[str, Any], remedy: dict[str, Any]) -> Any:
        """Atoms with a calculator; the last ones, moved, where nothing but positions changed."""
        from ase import Atoms

        same = {name: value for name, value in question.items() if name != "frac"}
        key = json.dumps([same, remedy["note"]], sort_keys=True)
        if key == self.key:
            self.atoms.set_scaled_positions(question["frac"])
            if self._still_symmetric():
                return self.atoms
        atoms = Atoms(
            numbers=question["numbers"],
            cell=question["lattice"],
            scaled_positions=question["frac"],
            magmoms=question["moments"],
            pbc=True,
        )
        atoms.calc = self._calculator(question, remedy)
        self.key, self.atoms = key, atoms
        return atoms

    def _still_symmetric(self) -> bool:
        """Whether the moved atoms keep the symmetry that the k-points were reduced by."""
        try:
            self.atoms.calc.wfs.kd.symmetry.check(self.atoms.get_scaled_positions())
        except Exception:  # GPAW raises several kinds for a lost symmetry
            return False
        return True

    def _calculator(self, question: dict[str, Any], remedy: dict[str, Any]) -> Any:
        gpaw: Any = import_module("gpaw")

        parameters: dict[str, Any] = {
            "mode": gpaw.PW(question["cutoff"]),
            "xc": question["functional"],
            "kpts": {"size": question["mesh"], "gamma": True},
            "occupations": gpaw.FermiDirac(question["smearing"]),
            "convergence": {
                "energy": ENERGY_TOLERANCE,
                "density": DENSITY_TOLERANCE,
                "eigenstates": EIGENSTATES_TOLERANCE,
            },
            "symmetry": {"tolerance": 1e-6},
            "maxiter": int(question["scf_steps"] * remedy["patience"]),
            "txt": self.log_stream(),
            "spinpol": question["moments"] is not None,
        }
        if remedy["bands"] is not None:
            parameters["nbands"] = remedy["bands"]
        if remedy["mixing"] is not None:
            parameters["mixer"] = self._mixer(remedy["mixing"], question["moments"] is not None)
        return gpaw.GPAW(**parameters)

    def _mixer(self, mixing: tuple[float, int, float], spin: bool) -> Any:
        gpaw: Any = import_module("gpaw")

        share, kept, weight = mixing
        if spin:
            return gpaw.MixerDif(share, kept, weight, share, kept, weight)
        return gpaw.Mixer(share, kept, weight)

    def log_stream(self) -> TextIO:
        """The log, opened for adding."""
        return Path(self.log).open("a", encoding="utf-8")

    def density_of_states(self, question: dict[str, Any]) -> dict[str, Any]:
        """States for each eV and cell, by linear tetrahedra on a denser mesh."""
        import numpy as np

        asked = {"dense_mesh", "energies", "empty_bands"}
        plain = {name: value for name, value in question.items() if name not in asked}
        answer = self.single_point({**plain, "task": "single_point"})
        if "error" in answer:
            return answer
        calculator = self.atoms.calc
        electrons = float(calculator.get_number_of_electrons())
        bands = int(np.ceil(electrons / 2)) + question["empty_bands"]
        dense = calculator.fixed_density(
            update_fermi_level=True,
            kpts={"size": question["dense_mesh"], "gamma": True},
            nbands=bands,
            convergence={"bands": bands - max(2, bands // 10)},
            maxiter=3 * question["scf_steps"],
            txt=self.log_stream(),
        )
        fermi = float(dense.get_fermi_level())
        found = dense.dos(shift_fermi_level=False)
        energies = np.asarray(question["energies"]) + fermi
        spins = [None] if question["moments"] is None else [0, 1]
        states = [found.raw_dos(energies, spin=spin, width=0.0).tolist() for spin in spins]
        return {**answer, "fermi": fermi, "states": states, "electrons": electrons}


def main() -> None:
    """Answer until the input ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints, prints to the error stream
    questions, calculations = Questions(sys.stdin), Calculations(sys.argv[1])
    while True:
        question = json.loads(questions.waiting.get())
        try:
            answer = calculations.answer(question)
        except MemoryError:
            answer = {"error": "memory", "message": "out of memory"}
        except Exception as error:  # the other side turns it into a status
            calculations.key = ""
            traceback.print_exc()
            answer = {"error": "failed", "message": f"{type(error).__name__}: {error}"}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
