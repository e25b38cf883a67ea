"""Real DFT as an oracle: many crystals, each relaxed by a process of its own."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError, MaterialabsError
from materialabs.levels import Energies, Level
from materialabs.oracles.dft_crystal import CrystalRelaxation, DftResult
from materialabs.oracles.dft_engine import DftEngine
from materialabs.oracles.dft_settings import DftSettings, refuse_without_dataset
from materialabs.oracles.oracle import DEFAULT_SETTINGS, BaseOracle, Evaluation, SaveState
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState

LONGEST_CRYSTAL: Final = 3600.0
"""Seconds that one crystal may take by default."""

SAVE_SECONDS: Final = 1.0
"""States of relaxations on their way are handed over this often."""

AS_IT_STANDS: Final = 1e-4
"""Angstrom; symmetry is looked for this closely where a crystal is not relaxed."""

Engines = Callable[[int], DftEngine]
"""Makes the engine of one worker, by its number."""


@dataclass(frozen=True)
class DftLimits:
    """How much a DFT oracle may use.

    Parameters
    ----------
    processes
        Crystals computed at the same time, each by one process with one thread.
    crystal_seconds
        Longest that one crystal may take; it then ends as ``not_converged``.
    scf_steps
        Steps to self-consistency at most, in the first of the ways that are tried.
    """

    processes: int = 1
    crystal_seconds: float = LONGEST_CRYSTAL
    scf_steps: int | None = None

    def __post_init__(self) -> None:
        if self.processes < 1 or self.crystal_seconds <= 0:
            raise InputError("A DFT oracle needs one process or more, and time above zero.")


class DftOracle(BaseOracle):
    """DFT at one set of settings; a context manager that stops its processes at the end.

    Parameters
    ----------
    settings
        How energies are computed, :meth:`DftSettings.of` a chemical system.
    engines
        Makes an engine for each process.
    symbols
        Elements of the chemical system; crystals with others are refused as failed.
    limits
        Processes and time.
    """

    def __init__(
        self,
        settings: DftSettings,
        engines: Engines,
        symbols: Sequence[str],
        limits: DftLimits | None = None,
    ) -> None:
        refuse_without_dataset(symbols)
        self.settings = settings
        self.symbols = tuple(symbols)
        self.limits = limits or DftLimits()
        self._make_engine = engines
        self._level: Level | None = None
        self._open()

    def _open(self) -> None:
        """Engines for all processes; none of them has started yet.

        Engines are replaced here alone, never while crystals are computed: a thread that comes
        late to a closed oracle meets closed engines and ends.
        """
        self._closed = False
        self._all = [self._make_engine(number) for number in range(self.limits.processes)]
        self._engines: queue.LifoQueue[DftEngine] = queue.LifoQueue()
        for engine in self._all:
            self._engines.put(engine)

    @property
    def level(self) -> Level:
        """The level of theory; the program is asked for its version once."""
        if self._level is None:
            if self._closed:
                self._open()
            engine = self._all[0]
            self._level = self.settings.level(engine.code, engine.version)
        return self._level

    # -- as an oracle -----------------------------------------------------------------------------

    def evaluate(self, crystals: Crystals) -> Evaluation:
        """Energy, forces and stress of each crystal as it stands.

        The stress is corrected for the finite basis, which takes two more energies.
        """
        settings = RelaxationSettings(max_steps=0, symmetry_tolerance=AS_IT_STANDS)
        return self._as_evaluation(crystals, self.relax(crystals, settings))

    def energy(self, crystals: Crystals) -> Energies:
        """Total energies as they stand, eV/atom; NaN where there is no answer."""
        settings = RelaxationSettings(max_steps=0, cell="fixed", symmetry_tolerance=AS_IT_STANDS)
        done = self.relax(crystals, settings)
        return Energies([one.energy for one in done], "total", self.level)

    def stream(
        self,
        crystals: Crystals,
        settings: RelaxationSettings = DEFAULT_SETTINGS,
        *,
        states: Mapping[int, RelaxationState] | None = None,
        save: SaveState | None = None,
    ) -> Iterator[tuple[int, Relaxation]]:
        """Relax each crystal and give each result, with its position, as soon as it is there.

        The final crystals carry the columns ``notes`` (what a reader must know), ``doubts`` (why
        PBE may err), ``bulk_modulus`` (GPa) and ``magnetization``, and the site column
        ``magnetic_moment`` where they were computed with spin.
        """
        if settings.symmetry == "broken":
            raise InputError(
                "Relaxations with DFT keep the symmetry of their start: ask for symmetry='kept' "
                "and displace the start yourself."
            )
        saved = states or {}
        level = self.level
        if self._closed:
            self._open()
        pool = ThreadPoolExecutor(max_workers=self.limits.processes)
        running: dict[Future[Relaxation], int] = {}
        kept: queue.SimpleQueue[tuple[int, RelaxationState]] = queue.SimpleQueue()
        try:
            for index in range(len(crystals)):
                keep = None if save is None else _keeper(kept, index)
                task = (crystals[index], settings, level, saved.get(index), keep)
                running[pool.submit(self._relax_one, *task)] = index
            while running:
                done, _ = wait(running, timeout=SAVE_SECONDS, return_when=FIRST_COMPLETED)
                while save is not None and not kept.empty():
                    save(*kept.get())
                for future in done:
                    yield running.pop(future), future.result()
        except BaseException:  # Ctrl-C, or nobody listens any more
            pool.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        finally:
            pool.shutdown(wait=True)

    def close(self) -> None:
        """Stop all processes at once; the next use starts them again."""
        self._closed = True
        for engine in self._all:
            engine.close()

    def __enter__(self) -> DftOracle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one crystal ------------------------------------------------------------------------------

    def _relax_one(
        self,
        crystal: Crystals,
        settings: RelaxationSettings,
        level: Level,
        state: RelaxationState | None,
        save: Callable[[RelaxationState], None] | None,
    ) -> Relaxation:
        began = time.monotonic()
        refusal = self.refusal(crystal)
        if refusal:
            return Relaxation.without_answer(crystal, level, refusal)
        try:
            with self.engine() as engine:
                result = CrystalRelaxation(
                    engine, crystal, self.settings, settings,
                    deadline=began + self.limits.crystal_seconds,
                    scf_steps=self.limits.scf_steps, state=state, save=save,
                ).run()  # fmt: skip
        except MaterialabsError as error:
            seconds = time.monotonic() - began
            return Relaxation.without_answer(crystal, level, str(error), seconds=seconds)
        return self._as_relaxation(result, level, time.monotonic() - began)

    @contextmanager
    def engine(self) -> Iterator[DftEngine]:
        """The next engine that is free, for as long as it is wanted."""
        engines = self._engines
        engine = engines.get()
        try:
            yield engine
        finally:
            engines.put(engine)

    def refusal(self, crystal: Crystals) -> str:
        """Why one crystal cannot be computed with these settings; empty where it can."""
        if not len(crystal.frac):
            return "The crystal has no atoms."
        if crystal.disordered()[0]:
            return "DFT needs fully occupied sites: take an ordered approximant with .ordered()."
        present = {SYMBOLS[int(number)] for number in crystal.numbers}
        foreign = sorted(present - set(self.symbols))
        if foreign:
            return (
                f"The settings are those of {'-'.join(self.symbols)} and the crystal holds "
                f"{', '.join(foreign)}: make an oracle for the whole system."
            )
        return ""

    def _as_relaxation(self, result: DftResult, level: Level, seconds: float) -> Relaxation:
        return Relaxation(
            result.crystal, result.energy, result.forces, result.stress, result.status,
            result.reason, result.steps, result.calls, seconds, level, result.moments,
        )  # fmt: skip

    def _as_evaluation(self, crystals: Crystals, done: list[Relaxation]) -> Evaluation:
        if not done:
            return Evaluation.concat([])
        usable = [one.usable for one in done]
        moments = [
            np.zeros(len(one.forces)) if one.moments is None else one.moments for one in done
        ]
        return Evaluation(
            np.array([one.energy for one in done]),
            np.concatenate([one.forces for one in done]),
            np.stack([one.stress for one in done]),
            np.concatenate(moments),
            tuple("" if good else one.reason for good, one in zip(usable, done, strict=True)),
        )


def _keeper(
    kept: queue.SimpleQueue[tuple[int, RelaxationState]], index: int
) -> Callable[[RelaxationState], None]:
    """Hands states from the crystal's thread to the one that listens to the stream."""
    return lambda state: kept.put((index, state))
