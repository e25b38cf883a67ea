"""What a DFT program is asked and what it answers, whichever program it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import ExternalError

Floats = NDArray[np.float64]

SCF_STEPS: Final = 120
"""Steps to self-consistency before another way is tried; easy solids need 10 to 20."""

PROGRAM_ENDED: Final = "dft.ended"
"""Code of the error when a program's process is gone: killed, or by a fault of its own."""


@dataclass(frozen=True, eq=False)
class Question:
    """One single-point calculation.

    Parameters
    ----------
    lattice, frac, numbers
        [3, 3] in angstrom, [m, 3], uint8 [m].
    mesh
        k-points along each reciprocal vector.
    cutoff
        eV.
    smearing
        eV.
    moments
        Start moments [m] in Bohr magnetons, or ``None`` for a calculation without spin.
    scf_steps
        Steps to self-consistency at most.
    """

    lattice: Floats
    frac: Floats
    numbers: NDArray[np.uint8]
    mesh: tuple[int, int, int]
    cutoff: float
    smearing: float
    moments: Floats | None = None
    scf_steps: int = SCF_STEPS

    def at(self, lattice: Floats, frac: Floats) -> Question:
        """The same question of another cell and other positions."""
        return replace(self, lattice=lattice, frac=frac)

    def key(self) -> bytes:
        """Equal for questions with the same answer."""
        spin = b"plain" if self.moments is None else np.asarray(self.moments).tobytes()
        arrays = (self.lattice, self.frac, self.numbers, np.array(self.mesh))
        numbers = np.array([self.cutoff, self.smearing])
        return b"|".join([*(a.tobytes() for a in arrays), numbers.tobytes(), spin])


@dataclass(frozen=True, eq=False)
class SinglePoint:
    """What the program answered.

    Parameters
    ----------
    energy
        eV for the cell, extrapolated to no smearing.
    forces
        [m, 3], eV/angstrom.
    stress
        [3, 3], eV/angstrom^3, positive under tension, as the program gives it: at a constant
        number of plane waves, so with a Pulay stress.
    moments
        [m], Bohr magneton, or ``None`` without spin.
    magnetization
        Total moment of the cell, Bohr magneton.
    notes
        What had to be done to reach self-consistency.
    """

    energy: float
    forces: Floats
    stress: Floats
    moments: Floats | None
    magnetization: float
    notes: tuple[str, ...] = ()


class NotSelfConsistentError(ExternalError):
    """Every way to self-consistency that is known was tried."""

    default_code = "dft.not_self_consistent"


class DftTimeoutError(ExternalError):
    """A single point took longer than it was allowed, and was stopped."""

    default_code = "dft.timeout"


class DftEngine(Protocol):
    """A DFT program that is running, or can be started, for one calculation at a time."""

    @property
    def code(self) -> str:
        """Name of the program."""
        ...

    @property
    def version(self) -> str:
        """Its version."""
        ...

    def single_point(self, question: Question) -> SinglePoint:
        """Answer one question.

        Raises
        ------
        NotSelfConsistentError
            When the charge density does not settle by any way known.
        DftTimeoutError
            When the answer takes too long.
        ExternalError
            When the program fails otherwise; its log is named.
        """
        ...

    def close(self) -> None:
        """Stop the program, at once and whatever it does."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
