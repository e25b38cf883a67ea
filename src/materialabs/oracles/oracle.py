"""What answers with authority: the one interface of potentials and of DFT."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError
from materialabs.levels import Energies, Level
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState

SaveState = Callable[[int, RelaxationState], None]
"""Called with a crystal's position in the batch and where its relaxation stands."""

DEFAULT_SETTINGS: Final = RelaxationSettings()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Energies, forces and stresses of a batch as it stands.

    Parameters
    ----------
    energies
        [n], eV/atom, total.
    forces
        [N, 3], eV/angstrom, for all atoms of the batch.
    stress
        [n, 3, 3], eV/angstrom^3, positive under tension; zero along directions without period.
    moments
        [N], Bohr magneton, or ``None`` for an oracle that knows none.
    reasons
        [n], empty where the evaluation is good; otherwise why not, and the numbers are NaN.
    """

    energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    moments: NDArray[np.float64] | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.energies)
        if not self.reasons:
            object.__setattr__(self, "reasons", ("",) * count)
        if self.stress.shape != (count, 3, 3) or len(self.reasons) != count:
            raise InputError(f"{count} energies need as many stresses and reasons.")

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Where there is an answer [n]."""
        return np.array([not reason for reason in self.reasons], dtype=bool)

    @classmethod
    def concat(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """Join evaluations in order."""
        if not parts:
            return cls(np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3, 3)))
        moments = [part.moments for part in parts if part.moments is not None]
        return cls(
            np.concatenate([part.energies for part in parts]),
            np.concatenate([part.forces for part in parts]),
            np.concatenate([part.stress for part in parts]),
            np.concatenate(moments) if len(moments) == len(parts) else None,
            tuple(reason for part in parts for reason in part.reasons),
        )

    @classmethod
    def failed(cls, crystals: Crystals, reason: str) -> Evaluation:
        """No answer for any of these crystals, and why."""
        count, atoms = len(crystals), len(crystals.frac)
        return cls(
            np.full(count, np.nan), np.full((atoms, 3), np.nan), np.full((count, 3, 3), np.nan),
            None, (reason,) * count,
        )  # fmt: skip


@runtime_checkable
class Oracle(Protocol):
    """Potentials and DFT alike; what a crystal does to them is a status, never an exception."""

    @property
    def level(self) -> Level:
        """The level of theory, with version and the hash of weights or settings."""
        ...

    def evaluate(self, crystals: Crystals) -> Evaluation:
        """Energy, forces and stress of each crystal as it stands."""
        ...

    def energy(self, crystals: Crystals) -> Energies:
        """Total energies as they stand, eV/atom; NaN where there is no answer."""
        ...

    def relax(
        self, crystals: Crystals, settings: RelaxationSettings = DEFAULT_SETTINGS
    ) -> list[Relaxation]:
        """Relax each crystal; results in the order given."""
        ...

    def stream(
        self,
        crystals: Crystals,
        settings: RelaxationSettings = DEFAULT_SETTINGS,
        *,
        states: Mapping[int, RelaxationState] | None = None,
        save: SaveState | None = None,
    ) -> Iterator[tuple[int, Relaxation]]:
        """Relax each crystal and give each result, with its position, as soon as it is there.

        Parameters
        ----------
        crystals
            The batch.
        settings
            What is asked for.
        states
            Saved states of relaxations to continue, by position in the batch.
        save
            Called every few steps of a crystal with its position and state.
        """
        ...


class BaseOracle(ABC):
    """An oracle that says how it evaluates and how it streams relaxations; the rest follows."""

    @property
    def campaign_settings(self) -> RelaxationSettings:
        """What a campaign asks of it where the user says nothing."""
        return DEFAULT_SETTINGS

    @property
    @abstractmethod
    def level(self) -> Level:
        """The level of theory, with version and the hash of weights or settings."""

    @abstractmethod
    def evaluate(self, crystals: Crystals) -> Evaluation:
        """Energy, forces and stress of each crystal as it stands."""

    @abstractmethod
    def stream(
        self,
        crystals: Crystals,
        settings: RelaxationSettings = DEFAULT_SETTINGS,
        *,
        states: Mapping[int, RelaxationState] | None = None,
        save: SaveState | None = None,
    ) -> Iterator[tuple[int, Relaxation]]:
        """Relax each crystal and give each result, with its position, as soon as it is there."""

    def energy(self, crystals: Crystals) -> Energies:
        """Total energies as they stand, eV/atom; NaN where there is no answer."""
        return Energies(self.evaluate(crystals).energies, "total", self.level)

    def relax(
        self, crystals: Crystals, settings: RelaxationSettings = DEFAULT_SETTINGS
    ) -> list[Relaxation]:
        """Relax each crystal; results in the order given."""
        done = dict(self.stream(crystals, settings))
        return [done[index] for index in range(len(crystals))]
