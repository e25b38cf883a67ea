"""Relax many crystals at once: those on their way are evaluated together, and who arrives leaves.

The place of one that leaves is taken by the next, so that the batch stays full to the end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.neighbours import shortest_distance
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import InputError, MaterialabsError
from materialabs.levels import Level
from materialabs.oracles.journey import NEAREST_ALLOWED, Journey
from materialabs.oracles.one_blas_thread import one_blas_thread
from materialabs.oracles.oracle import Evaluation, SaveState
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState

Evaluate = Callable[[Crystals], Evaluation]
"""Gives energies, forces and stresses of a batch."""

Incoming = Iterable[tuple[int, Crystals, RelaxationState | None]]
"""Crystals with their positions and, where they were begun before, their states."""

SAVE_EVERY: Final = 5
"""Steps of a crystal between two saved states."""


@dataclass(frozen=True)
class BatchLimits:
    """How many crystals are evaluated together.

    Parameters
    ----------
    crystals
        At most this many.
    atoms
        At most this many together; a larger crystal goes alone.
    """

    crystals: int = 16
    atoms: int = 400

    def __post_init__(self) -> None:
        if self.crystals < 1 or self.atoms < 1:
            raise InputError("A batch holds at least one crystal and one atom.")

    def halved(self, have: int) -> BatchLimits:
        """Half as much as was just too much."""
        return BatchLimits(max(1, have // 2), max(1, self.atoms // 2))


def pair_up(
    crystals: Crystals, states: Mapping[int, RelaxationState] | None = None
) -> Iterator[tuple[int, Crystals, RelaxationState | None]]:
    """Crystals of a batch with their positions and saved states."""
    crystals.require_order("Relaxation")
    for index in range(len(crystals)):
        yield index, crystals[index], (states or {}).get(index)


def relax_stream(
    evaluate: Evaluate,
    incoming: Incoming,
    settings: RelaxationSettings,
    level: Level,
    *,
    limits: BatchLimits | None = None,
    save: SaveState | None = None,
) -> Iterator[tuple[int, Relaxation]]:
    """Relax crystals as they come; give each result as soon as it is there.

    Parameters
    ----------
    evaluate
        The oracle's evaluation. Where it runs out of memory the batch is halved and tried again.
    incoming
        What to relax, taken only when there is room.
    settings
        What is asked for.
    level
        The oracle's.
    limits
        How many at once.
    save
        Called every few steps of a crystal with its position and state.
    """
    pool = _Pool(evaluate, settings, level, limits or BatchLimits(), save)
    waiting = iter(incoming)
    exhausted = False
    while pool.active or not exhausted:
        while not exhausted and pool.has_room():
            try:
                index, crystal, state = next(waiting)
            except StopIteration:
                exhausted = True
                break
            finished = pool.enter(index, crystal, state)
            if finished is not None:
                yield index, finished
        yield from pool.step()


class _Pool:
    """The crystals on their way."""

    def __init__(
        self,
        evaluate: Evaluate,
        settings: RelaxationSettings,
        level: Level,
        limits: BatchLimits,
        save: SaveState | None,
    ) -> None:
        self.evaluate, self.settings, self.level = evaluate, settings, level
        self.limits, self.save = limits, save
        self.active: dict[int, Journey] = {}

    def has_room(self) -> bool:
        """Whether one more may enter."""
        atoms = sum(len(journey.given.frac) for journey in self.active.values())
        return not self.active or (
            len(self.active) < self.limits.crystals and atoms < self.limits.atoms
        )

    def enter(
        self, index: int, crystal: Crystals, state: RelaxationState | None
    ) -> Relaxation | None:
        """Begin a crystal, or say at once why it cannot be."""
        try:
            if len(crystal.frac) == 0:
                raise InputError("there are no atoms in this crystal")
            crystal = _at_start_volume(crystal, self.settings) if state is None else crystal
            with one_blas_thread():
                self.active[index] = Journey(crystal, self.settings, self.level, state)
        except MaterialabsError as error:
            return Relaxation.without_answer(crystal, self.level, str(error))
        return None

    def step(self) -> Iterator[tuple[int, Relaxation]]:
        """Evaluate all on their way once; give those that end."""
        ready: list[int] = []
        for index, journey in list(self.active.items()):
            finished = self._until_sound(journey)
            if finished is None:
                ready.append(index)
            else:
                yield self._leave(index, finished)
        if not ready:
            return
        crystals = [self.active[index].crystal() for index in ready]
        sound = shortest_distance(Crystals.concat(crystals)) > NEAREST_ALLOWED
        for index, good in zip(list(ready), sound, strict=True):
            if not good:
                ended = self.active[index].stumble("unphysical", "two atoms overlap")
                if ended is not None:
                    yield self._leave(index, ended)
        ready = [index for index, good in zip(ready, sound, strict=True) if good]
        crystals = [one for one, good in zip(crystals, sound, strict=True) if good]
        for index, crystal, found in self._evaluated(ready, crystals):
            with one_blas_thread():
                ended = self.active[index].learn(crystal, found)
            if ended is not None:
                yield self._leave(index, ended)
            elif self.save is not None and self.active[index].steps % SAVE_EVERY == 0:
                self.save(index, self.active[index].state())

    def _until_sound(self, journey: Journey) -> Relaxation | None:
        """Shorten a step until its crystal can be evaluated at all."""
        while (fault := journey.fault()) is not None:
            finished = journey.stumble(*fault)
            if finished is not None:
                return finished
        return None

    def _leave(self, index: int, finished: Relaxation) -> tuple[int, Relaxation]:
        del self.active[index]
        return index, finished

    def _evaluated(
        self, indices: list[int], crystals: list[Crystals]
    ) -> Iterator[tuple[int, Crystals, Evaluation]]:
        """Evaluate together, in ever smaller parts where memory runs out."""
        parts = deque([(indices, crystals)] if indices else [])
        while parts:
            names, group = parts.popleft()
            started = time.perf_counter()
            try:
                found = self.evaluate(Crystals.concat(group))
            except Exception as error:  # torch and NumPy have kinds of their own for full memory
                if not _is_out_of_memory(error):
                    raise
                if len(group) > 1:
                    half = len(group) // 2
                    self.limits = self.limits.halved(len(group))
                    parts.extendleft([(names[half:], group[half:]), (names[:half], group[:half])])
                    continue
                found = Evaluation.failed(group[0], "there is not enough memory for this crystal")
            seconds = time.perf_counter() - started
            atoms = [len(crystal.frac) for crystal in group]
            bounds = np.concatenate([[0], np.cumsum(atoms)])
            for place, (index, crystal) in enumerate(zip(names, group, strict=True)):
                self.active[index].spend(seconds * atoms[place] / bounds[-1])
                yield index, crystal, _part(found, place, bounds[place], bounds[place + 1])


def _part(found: Evaluation, place: int, start: int, stop: int) -> Evaluation:
    return Evaluation(
        found.energies[place : place + 1],
        found.forces[start:stop],
        found.stress[place : place + 1],
        None if found.moments is None else found.moments[start:stop],
        found.reasons[place : place + 1],
    )


def _is_out_of_memory(error: Exception) -> bool:
    """Of the machine or of a graphics processor, whose library has a class of its own."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _at_start_volume(crystal: Crystals, settings: RelaxationSettings) -> Crystals:
    if settings.volume == "given":
        return crystal
    return crystal.scaled(estimated_volumes(crystal.compositions))
