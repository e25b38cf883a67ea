"""ASE's effective medium potential as an oracle that writes down each relaxation outside the store.

It takes ``LOGGED_EMT`` (a file: one line ``begin KEY`` or ``end KEY`` for each relaxation, appended
and synced) and, to make kills hit something, ``LOGGED_EMT_PAUSE`` (seconds for each evaluation).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.discovery.task_keys import task_keys
from materialabs.levels import Level
from materialabs.oracles.calculators import AseOracle
from materialabs.oracles.oracle import DEFAULT_SETTINGS, Evaluation, SaveState
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState


class LoggedEmt(AseOracle):
    """The real potential; its relaxations leave a trace."""

    def __init__(self, level: str = "emt") -> None:
        super().__init__("emt", level=Level(level, code="emt"))
        self.pause = float(os.environ.get("LOGGED_EMT_PAUSE", "0"))

    def evaluate(self, crystals: Crystals) -> Evaluation:
        if self.pause:
            time.sleep(self.pause)
        return super().evaluate(crystals)

    def stream(
        self,
        crystals: Crystals,
        settings: RelaxationSettings = DEFAULT_SETTINGS,
        *,
        states: Mapping[int, RelaxationState] | None = None,
        save: SaveState | None = None,
    ) -> Iterator[tuple[int, Relaxation]]:
        keys = task_keys(crystals, self.level, settings)
        for key in keys:
            write("begin", key)
        for index, relaxation in super().stream(crystals, settings, states=states, save=save):
            write("end", keys[index])
            yield index, relaxation


def write(what: str, key: str) -> None:
    place = os.environ.get("LOGGED_EMT")
    if place:
        with Path(place).open("a") as file:
            file.write(f"{what} {key}\n")
            file.flush()
            os.fsync(file.fileno())


def begun(place: Path) -> list[str]:
    lines = place.read_text().splitlines() if place.exists() else []
    return [line.split()[1] for line in lines if line.startswith("begin")]


def logged_emt(system: str) -> LoggedEmt:
    return LoggedEmt()


def nan_emt(system: str) -> LoggedEmt:
    """Answers with no number for every crystal that holds gold beside another element."""

    class Broken(LoggedEmt):
        def evaluate(self, crystals: Crystals) -> Evaluation:
            found = super().evaluate(crystals)
            energies = found.energies.copy()
            for row in range(len(crystals)):
                kinds = set(crystals[row].numbers.tolist())
                if 79 in kinds and len(kinds) > 1:
                    energies[row] = np.nan
            return Evaluation(energies, found.forces, found.stress)

    return Broken()


def second_emt(system: str) -> AseOracle:
    """The same potential with the cut-off of another program: a second level."""
    return AseOracle("emt", asap_cutoff=True)
