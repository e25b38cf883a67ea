"""GPAW in plane waves as the engine of DFT relaxations."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from materialabs.errors import ExternalError, ResourceError
from materialabs.oracles.dft_engine import NotSelfConsistentError, Question, SinglePoint
from materialabs.oracles.dft_settings import DATASETS
from materialabs.oracles.gpaw_process import START_SECONDS, GpawProcess

LONGEST_POINT: Final = 1800.0
"""Seconds that one single point may take by default."""


class GpawEngine:
    """GPAW behind the interface of DFT engines; its process starts when first needed.

    Parameters
    ----------
    log
        File that GPAW's output is added to.
    interpreter
        Python that has GPAW; by default the one that runs this.
    seconds
        Longest that one single point may take.
    """

    code = "GPAW"

    def __init__(
        self,
        log: Path,
        *,
        interpreter: str | Path | None = None,
        seconds: float = LONGEST_POINT,
    ) -> None:
        self.log = log
        self.interpreter = interpreter
        self.seconds = seconds
        self.closed = False
        self._process: GpawProcess | None = None
        self._lock = threading.Lock()
        self._hello: dict[str, Any] = {}

    @property
    def version(self) -> str:
        """GPAW's version, from its process."""
        return str(self.hello()["version"])

    @property
    def datasets(self) -> str:
        """PAW datasets with their version."""
        return f"gpaw-data {self.hello()['datasets']}"

    @property
    def elements(self) -> frozenset[str]:
        """Elements with a PBE dataset."""
        return frozenset(self.hello()["elements"])

    def hello(self) -> dict[str, Any]:
        """Versions and elements, asked once."""
        if not self._hello:
            self._hello = self._ask({"task": "hello"}, START_SECONDS)
            if self.datasets != DATASETS:
                self._hello = self._refused_datasets()
        return self._hello

    def _refused_datasets(self) -> dict[str, Any]:
        found = self._hello["datasets"] or "none"
        self.close()
        raise ExternalError(
            f"The settings are made for {DATASETS} and gpaw-data {found} is installed: "
            f"pip install {DATASETS.replace(' ', '==')}.",
            code="dft.datasets",
        )

    def single_point(self, question: Question) -> SinglePoint:
        """Answer one question; see :class:`~materialabs.oracles.dft_engine.DftEngine`."""
        answer = self._ask({"task": "single_point", **written(question)}, self.seconds)
        return read_point(answer)

    def density_of_states(self, question: Question, wanted: dict[str, Any]) -> dict[str, Any]:
        """A single point, then states on a denser mesh, as the process tells them."""
        return self._ask({"task": "density_of_states", **written(question), **wanted}, self.seconds)

    def _ask(self, document: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._running()
        answer = process.ask(document, seconds)
        if "error" not in answer:
            return answer
        if answer["error"] == "not_self_consistent":
            raise NotSelfConsistentError(
                f"The charge density did not settle in {len(answer['notes']) + 1} ways: "
                f"{'; '.join(answer['notes'])}."
            )
        if answer["error"] == "memory":
            process.close()
            raise ResourceError("GPAW ran out of memory: take a smaller cell.", code="dft.memory")
        message = str(answer["message"])
        if "No module named" in message:
            from materialabs.oracles.gpaw_process import MEND

            raise ExternalError(
                f"GPAW is not installed for {process.interpreter} ({message}): {MEND}.",
                code="dft.not_installed",
            )
        raise ExternalError(f"GPAW failed ({message}): see {self.log}.", code="dft.failed")

    def _running(self) -> GpawProcess:
        """The process, started again when it has ended; never after :meth:`close`."""
        with self._lock:
            if self.closed:
                raise ExternalError("This engine was closed.", code="dft.closed")
            if self._process is None or not self._process.running:
                self._process = GpawProcess(self.log, self.interpreter)
            return self._process

    def close(self) -> None:
        """Stop the process, whatever it does."""
        with self._lock:
            self.closed = True
            if self._process is not None:
                self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def written(question: Question) -> dict[str, Any]:
    """A question as JSON can hold it."""
    return {
        "lattice": question.lattice.tolist(),
        "frac": question.frac.tolist(),
        "numbers": [int(number) for number in question.numbers],
        "mesh": list(question.mesh),
        "cutoff": float(question.cutoff),
        "smearing": float(question.smearing),
        "moments": None if question.moments is None else question.moments.tolist(),
        "scf_steps": question.scf_steps,
        "functional": "PBE",
        "stress": True,
    }


def read_point(answer: dict[str, Any]) -> SinglePoint:
    """The answer that the process gave."""
    moments = answer["moments"]
    return SinglePoint(
        float(answer["energy"]),
        np.array(answer["forces"], dtype=float),
        np.array(answer["stress"], dtype=float),
        None if moments is None else np.array(moments, dtype=float),
        float(answer["magnetization"]),
        tuple(answer["notes"]),
    )
