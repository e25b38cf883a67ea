"""Any ASE calculator as an oracle: in this process, or in another Python's."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.errors import ExternalError, InputError, NotFound
from materialabs.levels import Level
from materialabs.oracles import calculator_worker
from materialabs.oracles.oracle import DEFAULT_SETTINGS, Evaluation
from materialabs.oracles.potential import Potential
from materialabs.oracles.relaxation import THOROUGH, RelaxationSettings
from materialabs.oracles.relaxing import BatchLimits

ONE_BY_ONE: Final = BatchLimits(1)
"""A calculator takes one crystal at a time, so that nothing is won by waiting for others."""

TIMEOUT: Final = 3600.0
"""Seconds for one answer of another process."""

START_TIMEOUT: Final = 600.0
"""Seconds for another process to load its potential."""

PINNED: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""One thread for each process: more only wait for each other on crystals of this size."""


def calculator_level(name: str, options: dict[str, Any], emulates: Level | None = None) -> Level:
    """The level of a calculator: its name, its version, its options and the files they name."""
    text = json.dumps(options, sort_keys=True, default=str)
    weights = hashlib.sha256()
    files = [Path(value) for value in options.values() if isinstance(value, (str, Path))]
    files = [path for path in files if path.is_file()]
    for path in files:
        weights.update(path.read_bytes())
    return Level(
        emulates.functional if emulates else name,
        code=name,
        version=_version(name),
        weights=weights.hexdigest() if files else "",
        settings=hashlib.sha256(text.encode()).hexdigest() if options else "",
        emulates=emulates,
    )


def _version(name: str) -> str:
    _, package = calculator_worker.CALCULATORS.get(name, ("", name.split(".")[0].split(":")[0]))
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package.split(",")[0])
    return ""


FIRST_PRINCIPLES: Final = ("vasp", "abinit", "cp2k", "dftb")
"""Calculators that solve for the electrons, which pays for symmetry and against many steps."""


class _Calculator(Potential):
    """What both have in common: crystals are answered for one by one."""

    limits = ONE_BY_ONE

    def __init__(self, name: str, options: dict[str, Any], level: Level | None) -> None:
        self.name, self.options = name, options
        self._level = calculator_level(name, options) if level is None else level

    @property
    def level(self) -> Level:
        """The calculator's name, version and options, unless another level was given."""
        return self._level

    @property
    def campaign_settings(self) -> RelaxationSettings:
        """Those of a potential, where the calculator is known to be one."""
        is_potential = self.name in calculator_worker.CALCULATORS
        return THOROUGH if is_potential and self.name not in FIRST_PRINCIPLES else DEFAULT_SETTINGS

    def evaluate(self, crystals: Crystals) -> Evaluation:
        """Energy, forces and stress of each crystal as it stands."""
        crystals.require_order(f"The calculator {self.name}")
        return Evaluation.concat([self._one(crystal) for crystal in crystals])

    def _one(self, crystal: Crystals) -> Evaluation:
        if len(crystal.frac) == 0:
            return Evaluation.failed(crystal, "there are no atoms in this crystal")
        found = self._answer(_arrays_of(crystal))
        if isinstance(found, str):
            return Evaluation.failed(crystal, found)
        energy = np.array([float(found["energy"]) / len(crystal.frac)])
        return Evaluation(energy, found["forces"], found["stress"][None], found.get("moments"))

    def _answer(self, arrays: dict[str, Any]) -> dict[str, Any] | str:
        """The answer for one crystal, or why there is none."""
        raise NotImplementedError


def _arrays_of(crystal: Crystals) -> dict[str, Any]:
    arrays = {
        "lattice": crystal.lattice[0],
        "positions": crystal.positions,
        "numbers": crystal.numbers,
        "pbc": crystal.pbc[0],
    }
    moments = crystal.site_columns.get("magnetic_moment")
    if moments is not None:
        arrays["moments"] = np.nan_to_num(np.asarray(moments, dtype=float))
    return arrays


class AseOracle(_Calculator):
    """An ASE calculator in this process.

    Parameters
    ----------
    name
        ``"emt"``, ``"mace"``, ``"sevennet"``, ``"espresso"``, ``"vasp"`` ... or
        ``"module:attribute"`` for any other.
    level
        The level of its energies, where you know it better than its name says.
    options
        Keyword arguments of the calculator.

    Examples
    --------
    >>> import numpy as np
    >>> from materialabs.crystals.batch import Crystals
    >>> copper = Crystals.from_arrays([np.eye(3) * 3.6], [[[0, 0, 0], [0, .5, .5], [.5, 0, .5],
    ...                                                    [.5, .5, 0]]], [[29] * 4])
    >>> AseOracle("emt").relax(copper)[0].status
    'converged'
    """

    def __init__(self, name: str, *, level: Level | None = None, **options: Any) -> None:
        super().__init__(name, options, level)
        try:
            self.calculator = calculator_worker.build_calculator(name, options)
        except LookupError as error:
            raise InputError(str(error.args[0]), code="oracle.unknown") from error
        except ImportError as error:
            raise NotFound(str(error), code="oracle.not_installed") from error
        except TypeError as error:
            raise InputError(f"The calculator {name!r} refused its options: {error}") from error

    def _answer(self, arrays: dict[str, Any]) -> dict[str, Any] | str:
        try:
            return calculator_worker.answer_for(self.calculator, **arrays)
        except MemoryError:
            raise
        except Exception as error:  # whatever a foreign calculator raises is its answer
            return f"{self.name}: {type(error).__name__}: {error}"


class ExternalOracle(_Calculator):
    """An ASE calculator in the process of another Python, for potentials that pin other versions.

    The process starts with the first question, is started anew when it dies or hangs, and ends
    with :meth:`close` or with this one. Only arrays and JSON pass between the two.

    Parameters
    ----------
    python
        The interpreter, such as ``/opt/mace/bin/python``; it needs ASE, NumPy and the potential.
    name
        As for :class:`AseOracle`.
    level
        As for :class:`AseOracle`.
    timeout
        Seconds for one answer.
    options
        Keyword arguments of the calculator; plain JSON values.
    """

    def __init__(
        self,
        python: str | Path,
        name: str,
        *,
        level: Level | None = None,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> None:
        super().__init__(name, options, level)
        if not Path(python).exists():
            raise NotFound(f"There is no Python at {python}.", code="oracle.not_installed")
        if not timeout > 0:
            raise InputError(f"The time for an answer is above zero seconds, not {timeout}.")
        try:
            json.dumps(options)
        except TypeError as error:
            raise InputError(
                "Options for another process are texts, numbers, lists and objects of these."
            ) from error
        self.python, self.timeout = str(python), timeout
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _answer(self, arrays: dict[str, Any]) -> dict[str, Any] | str:
        try:
            process = self._started()
            head, found = process.ask({"ask": "evaluate"}, arrays, self.timeout)
        except ExternalError as error:
            self.close()
            return f"{self.name}: {error}"
        return f"{self.name}: {head['error']}" if head["error"] else found

    def _started(self) -> _Process:
        if self._process is None:
            self._process = _Process([self.python, calculator_worker.__file__])
            request = {"ask": "build", "name": self.name, "options": self.options}
            head, _ = self._process.ask(request, {}, START_TIMEOUT)
            if head["error"]:
                self.close()
                raise NotFound(f"{self.python}: {head['error']}", code="oracle.not_installed")
        return self._process


class _Process:
    """A program that answers on its standard output what it is asked on its standard input."""

    def __init__(self, command: list[str]) -> None:
        self.complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints,
            env={**os.environ, **dict.fromkeys(PINNED, "1")},
        )  # fmt: skip

    def ask(
        self, head: dict[str, Any], arrays: dict[str, Any], timeout: float
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put a question and wait for the answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        reader = _TimedReader(self.process.stdout.fileno(), time.monotonic() + timeout)
        try:
            calculator_worker.write_message(self.process.stdin, head, arrays)
            answer = calculator_worker.read_message(reader)
        except TimeoutError as error:
            raise ExternalError(f"no answer came within {timeout:g} seconds") from error
        except (OSError, ValueError, KeyError) as error:
            raise ExternalError(self._ending()) from error
        if answer is None:
            raise ExternalError(self._ending())
        return answer

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        return f"its process ended with code {self.process.poll()}{last}"

    def end(self) -> None:
        """End the program, kindly if it will."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.process.kill()
        self.process.wait()
        self.complaints.close()


class _TimedReader:
    """Reads from a pipe until a deadline."""

    def __init__(self, descriptor: int, deadline: float) -> None:
        self.descriptor, self.deadline = descriptor, deadline
        self.held = b""

    def _fill(self) -> bool:
        left = self.deadline - time.monotonic()
        ready, _, _ = select.select([self.descriptor], [], [], max(left, 0.0))
        if not ready:
            raise TimeoutError
        chunk = os.read(self.descriptor, 1 << 20)
        self.held += chunk
        return bool(chunk)

    def readline(self) -> bytes:
        """One line, or what there is before the end."""
        return self._until(lambda: self.held.find(b"\n") + 1)

    def read(self, size: int) -> bytes:
        """So many bytes, or what there is before the end."""
        return self._until(lambda: size if len(self.held) >= size else 0) if size else b""

    def _until(self, wanted: Callable[[], int]) -> bytes:
        while not (size := wanted()):
            if not self._fill():
                size = len(self.held)
                break
        taken, self.held = self.held[:size], self.held[size:]
        return taken
