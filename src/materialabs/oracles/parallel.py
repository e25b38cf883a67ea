"""Relaxation in several processes of one thread each, which serves small crystals best.

A process that dies loses nothing that was finished: its crystals go on from their saved states in
a new one, each by itself, so that the one that killed it is found.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.errors import ExternalError, InputError
from materialabs.levels import Level
from materialabs.oracles.calculator_worker import read_message, write_message
from materialabs.oracles.calculators import PINNED
from materialabs.oracles.named import oracle_by_name
from materialabs.oracles.oracle import DEFAULT_SETTINGS, BaseOracle, Evaluation, SaveState
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState
from materialabs.oracles.relaxation_bytes import relaxation_from_bytes
from materialabs.oracles.relaxing import pair_up

ATTEMPTS: Final = 3
"""Processes that a crystal may be in when they die, before it is given up."""


class ParallelOracle(BaseOracle):
    """An oracle whose relaxations run in several processes.

    The processes start with the first relaxation, wait for the next, and end with :meth:`close`
    or with this one.

    Parameters
    ----------
    name
        As for :func:`materialabs.oracles.named.oracle_by_name`.
    processes
        By default one for each core that this process may use.
    options
        Keyword arguments of the oracle; plain JSON values.
    """

    def __init__(self, name: str, *, processes: int | None = None, **options: Any) -> None:
        if processes is not None and processes < 1:
            raise InputError(f"At least one process is needed, not {processes}.")
        self.name, self.options = name, options
        self.processes = processes or len(os.sched_getaffinity(0))
        self.inner = oracle_by_name(name, **options)
        self.idle: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """End the processes."""
        while self.idle:
            _end(self.idle.pop())

    @property
    def level(self) -> Level:
        """That of the oracle itself."""
        return self.inner.level

    @property
    def campaign_settings(self) -> RelaxationSettings:
        """Those of the oracle itself."""
        return self.inner.campaign_settings

    def evaluate(self, crystals: Crystals) -> Evaluation:
        """Energy, forces and stress of each crystal as it stands, in this process."""
        return self.inner.evaluate(crystals)

    def stream(
        self,
        crystals: Crystals,
        settings: RelaxationSettings = DEFAULT_SETTINGS,
        *,
        states: Mapping[int, RelaxationState] | None = None,
        save: SaveState | None = None,
    ) -> Iterator[tuple[int, Relaxation]]:
        """Relax each crystal and give each result, with its position, as soon as it is there."""
        job = _Job(self, crystals, settings, states or {})
        count = min(self.processes, len(crystals))
        threads = [threading.Thread(target=job.work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(len(crystals)):
                yield job.next_result(save)
            for thread in threads:
                thread.join()
        finally:
            job.stop()
            for thread in threads:
                thread.join()


@dataclass
class _Task:
    """One crystal to relax."""

    index: int
    crystal: Crystals
    state: RelaxationState | None
    attempts: int = 0


@dataclass
class _Held:
    """What one worker process has been given and has not answered."""

    tasks: dict[int, _Task] = field(default_factory=dict)


class _Job:
    """One call of ``stream``: tasks that wait, results that come, and the processes between."""

    def __init__(
        self,
        oracle: ParallelOracle,
        crystals: Crystals,
        settings: RelaxationSettings,
        states: Mapping[int, RelaxationState],
    ) -> None:
        self.oracle, self.settings = oracle, settings
        self.waiting: queue.Queue[_Task] = queue.Queue()
        self.suspects: queue.Queue[_Task] = queue.Queue()
        self.news: queue.Queue[tuple[int, Relaxation | RelaxationState] | Exception] = queue.Queue()
        self.open = len(crystals)
        self.lock = threading.Lock()
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopped = False
        tasks = [_Task(*entry) for entry in pair_up(crystals, states)]
        for task in sorted(tasks, key=lambda task: -len(task.crystal.frac)):
            self.waiting.put(task)

    def next_result(self, save: SaveState | None) -> tuple[int, Relaxation]:
        """Wait for a result, saving states on the way."""
        while True:
            news = self.news.get()
            if isinstance(news, Exception):
                raise news
            index, what = news
            if isinstance(what, Relaxation):
                return index, what
            if save is not None:
                save(index, what)

    def stop(self) -> None:
        """End all processes."""
        with self.lock:
            self.stopped = True
            for process in self.processes:
                process.kill()

    def work(self) -> None:
        """Keep one process busy until nothing waits; a new one follows one that died."""
        while not self.stopped and not (self.waiting.empty() and self.suspects.empty()):
            held = _Held()
            try:
                self._one_process(held, alone=not self.suspects.empty())
            except Exception as error:  # told where the results are waited for
                self.news.put(error)
                return
            for task in held.tasks.values():
                self._take_back(task)

    def _take_back(self, task: _Task) -> None:
        task.attempts += 1
        if task.attempts < ATTEMPTS:
            self.suspects.put(task)
        else:
            reason = f"{task.attempts} processes died while they relaxed this crystal"
            level = self.oracle.level
            self.news.put((task.index, Relaxation.without_answer(task.crystal, level, reason)))

    def _one_process(self, held: _Held, *, alone: bool) -> None:
        """Use a waiting process or a new one; keep it when it has done all it was asked."""
        process = self._begun()
        finished = False
        try:
            with contextlib.suppress(OSError):  # it died: its tasks are still held
                finished = self._converse(process, held, alone=alone)
        finally:
            with self.lock:
                self.processes.discard(process)
                kept = finished and not self.stopped
                if kept:
                    self.oracle.idle.append(process)
            if not kept:
                _end(process)

    def _begun(self) -> subprocess.Popen[bytes]:
        with self.lock:
            process = self.oracle.idle.pop() if self.oracle.idle else None
            if process is not None and process.poll() is not None:
                _end(process)
                process = None
            if process is None:
                process = subprocess.Popen(
                    [sys.executable, "-m", "materialabs.oracles.relaxation_worker"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    env={**os.environ, **dict.fromkeys(PINNED, "1")},
                )  # fmt: skip
            self.processes.add(process)
            if self.stopped:
                process.kill()
        return process

    def _converse(
        self, process: subprocess.Popen[bytes], held: _Held, *, alone: bool
    ) -> bool:  # fmt: skip
        """Hand over and take back until the process says that it is done; or it dies."""
        assert process.stdin is not None and process.stdout is not None
        start = {
            "name": self.oracle.name, "options": self.oracle.options, "alone": alone,
            "settings": self.settings.to_dict(),
        }  # fmt: skip
        write_message(process.stdin, start, {})
        while (message := read_message(process.stdout)) is not None:
            head, arrays = message
            if head["say"] == "want":
                write_message(process.stdin, *self._handed_over(held, alone=alone))
            elif head["say"] == "state":
                state = RelaxationState.from_bytes(arrays["state"].tobytes())
                held.tasks[head["index"]].state = state
                self.news.put((head["index"], state))
            elif head["say"] == "done":
                del held.tasks[head["index"]]
                done = relaxation_from_bytes(arrays["relaxation"].tobytes())
                self.news.put((head["index"], done))
            elif head["say"] == "end":
                return True
            else:
                raise ExternalError(f"A process of {self.oracle.name} failed: {head['text']}")

        return False

    def _handed_over(self, held: _Held, *, alone: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next crystal; one that was in a process that died goes alone."""
        try:
            task = self.suspects.get_nowait() if alone else self.waiting.get_nowait()
        except queue.Empty:
            return {"index": -1}, {}
        held.tasks[task.index] = task
        arrays = {"crystal": np.frombuffer(task.crystal.to_bytes(), dtype=np.uint8)}
        if task.state is not None:
            arrays["state"] = np.frombuffer(task.state.to_bytes(), dtype=np.uint8)
        return {"index": task.index}, arrays


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()
