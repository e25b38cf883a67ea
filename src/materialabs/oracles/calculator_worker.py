"""Answer for crystals with any ASE calculator: in this process, or as a program of its own.

This one file runs in any Python that has ASE and NumPy (``python calculator_worker.py``); the rest
of materialabs need not be there. Requests come on standard input and answers go to standard
output, each a line of JSON that says how many bytes of arrays (NumPy's npz) follow it. What a
calculator prints goes to standard error.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from typing import Any, Protocol

import numpy as np


class Incoming(Protocol):
    """What messages are read from: a file, a pipe, or a pipe with a deadline."""

    def readline(self) -> bytes:
        """One line; nothing at the end."""
        ...

    def read(self, size: int, /) -> bytes:
        """So many bytes, or what there is before the end."""
        ...


class Outgoing(Protocol):
    """What messages are written to."""

    def write(self, data: bytes, /) -> object:
        """Take some bytes."""
        ...

    def flush(self) -> None:
        """Send them on."""
        ...


CALCULATORS: dict[str, tuple[str, str]] = {
    "emt": ("ase.calculators.emt:EMT", "ase"),
    "lj": ("ase.calculators.lj:LennardJones", "ase"),
    "morse": ("ase.calculators.morse:MorsePotential", "ase"),
    "tersoff": ("ase.calculators.tersoff:Tersoff", "ase"),
    "eam": ("ase.calculators.eam:EAM", "ase"),
    "kim": ("ase.calculators.kim:KIM", "kimpy"),
    "lammps": ("ase.calculators.lammpslib:LAMMPSlib", "lammps"),
    "dftb": ("ase.calculators.dftb:Dftb", "ase, and the program dftb+"),
    "vasp": ("ase.calculators.vasp:Vasp", "ase, and the program VASP"),
    "abinit": ("ase.calculators.abinit:Abinit", "ase, and the program abinit"),
    "cp2k": ("ase.calculators.cp2k:CP2K", "ase, and the program cp2k"),
    "mace": ("mace.calculators:mace_mp", "mace-torch"),
    "sevennet": ("sevenn.calculator:SevenNetCalculator", "sevenn"),
    "mattersim": ("mattersim.forcefield:MatterSimCalculator", "mattersim"),
    "orb": ("orb_models.forcefield:", "orb-models"),
    "matgl": ("matgl.ext.ase:PESCalculator", "matgl"),
    "deepmd": ("deepmd.calculator:DP", "deepmd-kit"),
    "nequip": ("nequip.ase:NequIPCalculator", "nequip"),
    "grace": ("tensorpotential.calculator:TPCalculator", "tensorpotential"),
}
"""Where each calculator is imported from, and what to install for it."""


def build_calculator(name: str, options: dict[str, Any]) -> Any:
    """Make a calculator from its name, or from ``"module:attribute"``, and keyword arguments.

    Raises
    ------
    LookupError
        When nothing bears the name.
    ImportError
        When it is not installed; the sentence says what to install.
    """
    if name not in CALCULATORS and ":" not in name:
        raise LookupError(
            f"There is no calculator {name!r}: take one of {', '.join(CALCULATORS)}, or write "
            "'module:attribute'."
        )
    place, package = CALCULATORS.get(name, (name, name.split(".")[0].split(":")[0]))
    if name == "orb":
        return _orb_calculator(**options)
    module, _, attribute = place.partition(":")
    try:
        maker = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"The calculator {name!r} cannot be imported in this Python ({error}): "
            f"pip install {package}"
        ) from error
    return maker(**options)


def _orb_calculator(*, model: str = "orb_v3_conservative_inf_omat", **options: Any) -> Any:
    """ORB's calculators are built around a loaded model."""
    try:
        pretrained = importlib.import_module("orb_models.forcefield.pretrained")
        calculator = importlib.import_module("orb_models.forcefield.calculator")
    except ImportError as error:
        raise ImportError(
            f"The calculator 'orb' cannot be imported in this Python ({error}): "
            "pip install orb-models"
        ) from error
    return calculator.ORBCalculator(getattr(pretrained, model)(), **options)


def answer_for(
    calculator: Any, lattice: Any, positions: Any, numbers: Any, pbc: Any, moments: Any = None
) -> dict[str, Any]:
    """Energy in eV, forces in eV/angstrom, stress [3, 3] in eV/angstrom^3 and moments.

    Stress is NaN where the calculator gives none; moments are absent then.
    """
    from ase import Atoms

    atoms = Atoms(numbers=numbers, positions=positions, cell=lattice, pbc=pbc)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    atoms.calc = calculator
    answer = {
        "energy": np.array(float(atoms.get_potential_energy())),
        "forces": np.asarray(atoms.get_forces(apply_constraint=False), dtype=float),
        "stress": np.full((3, 3), np.nan),
    }
    if "stress" in getattr(calculator, "implemented_properties", ()) and all(pbc):
        xx, yy, zz, yz, xz, xy = np.asarray(atoms.get_stress(), dtype=float).ravel()
        answer["stress"] = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    found = getattr(calculator, "results", {}).get("magmoms")
    if found is not None and np.ndim(found) == 1 and len(found) == len(atoms):
        answer["moments"] = np.asarray(found, dtype=float)
    return answer


def write_message(stream: Outgoing, head: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write a line of JSON and the arrays that it announces."""
    room = io.BytesIO()
    if arrays:
        np.savez(room, **arrays)
    data = room.getvalue()
    stream.write(json.dumps({**head, "bytes": len(data)}).encode() + b"\n" + data)
    stream.flush()


def read_message(stream: Incoming) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read what :func:`write_message` wrote; ``None`` at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    head = json.loads(line)
    data = stream.read(head["bytes"])
    if len(data) < head["bytes"]:
        return None
    if not data:
        return head, {}
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return head, {name: archive[name] for name in archive.files}


def serve(requests: Incoming, answers: Outgoing) -> None:
    """Build the calculator that the first message names, then answer until the input ends."""
    calculator: Any = None
    while (message := read_message(requests)) is not None:
        head, arrays = message
        try:
            if head["ask"] == "build":
                calculator = build_calculator(head["name"], head["options"])
                found: dict[str, Any] = {}
            else:
                found = answer_for(calculator, **arrays)
            write_message(answers, {"error": ""}, found)
        except Exception as error:  # whatever a foreign calculator raises is its answer
            write_message(answers, {"error": f"{type(error).__name__}: {error}"}, {})


def main() -> None:
    """Serve on standard input and output; prints of calculators go to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
