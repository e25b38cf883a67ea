"""What a relaxation is asked for, what it gives, and what is kept to continue it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError, IntegrityError
from materialabs.levels import Energies, Level

Status = Literal["converged", "not_converged", "exploded", "unphysical", "failed"]
"""How a relaxation ended.

``converged``: forces and stress are below the tolerances. ``not_converged``: the steps ran out;
crystal and energy are the last good ones. ``exploded``: volume or forces left all bounds.
``unphysical``: atoms overlap, or the energy has no floor. ``failed``: the oracle gave no answer,
or not a number.
"""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)

Cell = Literal["free", "fixed"]
Symmetry = Literal["free", "kept", "broken"]
Volume = Literal["given", "estimated"]

FORCE_TOLERANCE: Final = 0.05
"""eV/angstrom."""

VIRIAL_TOLERANCE: Final = 0.05
"""eV/atom; at 15 cubic angstrom an atom this is a stress of 0.5 GPa."""

MOST_STEPS: Final = 100
"""Steps that a relaxation may take; of substituted crystals 9 in 10 need fewer."""

SMALLEST_VOLUME_RATIO, LARGEST_VOLUME_RATIO = 0.25, 4.0
"""Volume over the start volume beyond which a crystal has collapsed or blown apart."""

LARGEST_FORCE: Final = 500.0
"""eV/angstrom; no potential is right there."""

SYMMETRY_TOLERANCE: Final = 0.01
"""Angstrom, for finding the symmetry that is kept."""


@dataclass(frozen=True)
class RelaxationSettings:
    """What a relaxation is asked for.

    Parameters
    ----------
    force_tolerance
        eV/angstrom; the length of the force on every atom ends below it.
    virial_tolerance
        eV/atom; so does, for each row, the stress (with the pressure wanted) times the volume
        of an atom. ASE's cell filters measure stress this way.
    max_steps
        Steps after which a relaxation ends as ``not_converged``.
    pressure
        GPa.
    cell
        ``"free"``: atoms and cell move; ``"fixed"``: atoms alone.
    symmetry
        ``"free"``; ``"kept"``: the space group of the start is kept; ``"broken"``: the start is
        displaced by some hundredths of an angstrom, so that no saddle point holds it that is one
        only by symmetry. Where atoms and cell are free, what symmetry remains is made exact if that
        costs less than 0.2 meV/atom. Crystals of more than 400 atoms start as they are.
    volume
        Start from the volume ``"given"``, or from the one ``"estimated"`` for the composition.
    symmetry_tolerance
        Angstrom, for finding the symmetry that is kept.
    """

    force_tolerance: float = FORCE_TOLERANCE
    virial_tolerance: float = VIRIAL_TOLERANCE
    max_steps: int = MOST_STEPS
    pressure: float = 0.0
    cell: Cell = "free"
    symmetry: Symmetry = "free"
    volume: Volume = "given"
    symmetry_tolerance: float = SYMMETRY_TOLERANCE

    def __post_init__(self) -> None:
        for name in ("force_tolerance", "virial_tolerance", "symmetry_tolerance"):
            value = getattr(self, name)
            if not np.isfinite(value) or value <= 0:
                raise InputError(f"{name} is a number above zero, not {value!r}.")
        if not np.isfinite(self.pressure):
            raise InputError(f"The pressure is a number in GPa, not {self.pressure!r}.")
        if isinstance(self.max_steps, bool) or int(self.max_steps) != self.max_steps:
            raise InputError(f"max_steps is a whole number, not {self.max_steps!r}.")
        if self.max_steps < 0:
            raise InputError(f"max_steps is 0 (a single point) or more, not {self.max_steps}.")
        for name, kind in (("cell", Cell), ("symmetry", Symmetry), ("volume", Volume)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"{name} is one of {', '.join(get_args(kind))}, not {getattr(self, name)!r}."
                )

    def to_dict(self) -> dict[str, float | int | str]:
        """All fields, for JSON and for the hash that names a task."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Build from :meth:`to_dict`'s form; unknown fields are refused."""
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise InputError(f"Relaxation settings have no {unknown[0]!r}; they are {known}.")
        return cls(**document)


THOROUGH: Final = RelaxationSettings(
    force_tolerance=0.01, virial_tolerance=0.01, max_steps=200, symmetry="broken"
)
"""What campaigns ask of potentials. Of 150 candidates near their hull CHGNet leaves 43 in 100
more than 3 meV/atom above the best that is found with the usual tolerances, and 11 in 100 with
these, for twice as many force calls."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """How one crystal relaxed; a failure is a result too.

    Parameters
    ----------
    crystal
        A batch of one: the crystal at the end (at the start, when nothing could be done), with
        its columns; atoms in the order given.
    energy
        eV/atom, total; NaN when there is none. An enthalpy is this plus pressure times volume.
    forces
        [m, 3], eV/angstrom.
    stress
        [3, 3], eV/angstrom^3, positive under tension.
    status
        See :data:`Status`.
    reason
        A sentence for a person; empty for ``converged``.
    steps, force_calls
        Moves made, and evaluations spent.
    seconds
        Computing time spent on this crystal: its share, by atoms, of every batch it was in.
    level
        The level of theory.
    moments
        [m], Bohr magneton, where the oracle knows them.
    """

    crystal: Crystals
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    status: Status
    reason: str
    steps: int
    force_calls: int
    seconds: float
    level: Level
    moments: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise InputError(f"A relaxation's status is one of {STATUSES}, not {self.status!r}.")
        if len(self.crystal) != 1:
            raise InputError("A relaxation is of one crystal.")

    @property
    def converged(self) -> bool:
        """Whether forces and stress are below the tolerances."""
        return self.status == "converged"

    @property
    def usable(self) -> bool:
        """Whether the energy means something: the crystal is whole, though perhaps not relaxed."""
        return self.status in ("converged", "not_converged") and bool(np.isfinite(self.energy))

    def __repr__(self) -> str:
        formula = self.crystal.formulas()[0]
        return (
            f"Relaxation({formula}: {self.status}, {self.energy:.4f} eV/atom, "
            f"{self.steps} steps{', ' + self.reason if self.reason else ''})"
        )

    @classmethod
    def without_answer(
        cls,
        crystal: Crystals,
        level: Level,
        reason: str,
        *,
        status: Status = "failed",
        steps: int = 0,
        force_calls: int = 0,
        seconds: float = 0.0,
    ) -> Self:
        """A relaxation that ended without an energy, and why."""
        return cls(
            crystal, float("nan"), np.full((len(crystal.frac), 3), np.nan),
            np.full((3, 3), np.nan), status, reason, steps, force_calls, seconds, level,
        )  # fmt: skip


def relaxed_energies(relaxations: Iterable[Relaxation]) -> Energies:
    """Total energies of relaxations of one level, eV/atom; NaN where there is none."""
    done = list(relaxations)
    if not done:
        raise InputError("No relaxations were given, so that there is no level either.")
    levels = {relaxation.level for relaxation in done}
    if len(levels) > 1:
        raise InputError(f"These relaxations are of {len(levels)} levels: take one at a time.")
    return Energies([relaxation.energy for relaxation in done], "total", levels.pop())


@dataclass(frozen=True, eq=False)
class RelaxationState:
    """Where one relaxation stands: enough to continue it in another process.

    Parameters
    ----------
    lattice, frac
        [3, 3] angstrom and [m, 3]: the crystal now.
    start_lattice
        [3, 3], angstrom: the cell that strains are counted from.
    steps, force_calls, seconds
        Spent so far.
    optimiser
        Named arrays that the optimiser keeps; what they mean is its own affair.
    """

    lattice: NDArray[np.float64]
    frac: NDArray[np.float64]
    start_lattice: NDArray[np.float64]
    steps: int
    force_calls: int
    seconds: float
    optimiser: dict[str, NDArray[np.float64]]

    def to_bytes(self) -> bytes:
        """A compact, exact form for storage (NumPy's npz, plain arrays only)."""
        stream = io.BytesIO()
        counted = np.array([self.steps, self.force_calls, self.seconds])
        np.savez(
            stream, allow_pickle=False, lattice=self.lattice, frac=self.frac,
            start_lattice=self.start_lattice, counted=counted,
            **{f"optimiser.{name}": array for name, array in self.optimiser.items()},
        )  # fmt: skip
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            steps, calls, seconds = arrays["counted"].tolist()
            return cls(
                arrays["lattice"], arrays["frac"], arrays["start_lattice"],
                int(steps), int(calls), float(seconds),
                {
                    name.removeprefix("optimiser."): array
                    for name, array in arrays.items()
                    if name.startswith("optimiser.")
                },
            )  # fmt: skip
        except Exception as error:  # a damaged archive can raise nearly anything
            raise IntegrityError("These bytes are no saved relaxation: start it anew.") from error
