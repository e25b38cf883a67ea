"""One process at work: it leases tasks, relaxes them, and hands in each result at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs
from materialabs.errors import IntegrityError, MaterialabsError, ResourceError
from materialabs.oracles.oracle import Oracle
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState
from materialabs.store import tasks
from materialabs.store.database import reading, writing
from materialabs.store.store import Store
from materialabs.store.tasks import Task

SAVE_SECONDS: Final = 2.0
"""States in flight are written at most this often."""

Deliver = Callable[[Task, Relaxation], None]
"""Hands in a finished relaxation."""


@dataclass(frozen=True)
class Leasing:
    """How tasks are held.

    Parameters
    ----------
    seconds
        A lease lasts so long, and is renewed every third of it.
    patience
        Seconds without any progress after which leases are not renewed: a process that hangs
        loses them.
    together
        Tasks leased at a time, relaxed in one batch.
    from_saved_states
        Continue relaxations where they stood; otherwise begin them anew.
    """

    seconds: float = 60.0
    patience: float = 900.0
    together: int = 8
    from_saved_states: bool = True


class OutOfTime(Exception):  # noqa: N818 - ends the work as asked; it reports no error
    """The campaign's time is used up."""


class Pulse:
    """Renews leases from a thread as long as there is progress."""

    def __init__(self, store: Store, owner: str, leasing: Leasing) -> None:
        self.store, self.owner, self.leasing = store, owner, leasing
        self.keys: set[str] = set()
        self.last = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def progress(self) -> None:
        """Something was done just now."""
        self.last = time.monotonic()

    def _beat(self) -> None:
        while not self._stop.wait(self.leasing.seconds / 3.0):
            if time.monotonic() - self.last > self.leasing.patience:
                continue
            with suppress(MaterialabsError), writing(self.store.engine) as connection:
                tasks.renew(connection, self.owner, list(self.keys), self.leasing.seconds)

    def __enter__(self) -> Self:
        self.progress()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()


class Bench:
    """Where one process relaxes the tasks of one campaign.

    Parameters
    ----------
    store, campaign
        Whose tasks.
    oracle
        What relaxes.
    owner
        Name of this process (:func:`~materialabs.discovery.liveness.process_name`).
    deliver
        Hands in each result.
    leasing
        How tasks are held.
    """

    def __init__(
        self,
        store: Store,
        campaign: str,
        oracle: Oracle,
        owner: str,
        deliver: Deliver,
        leasing: Leasing,
    ) -> None:
        self.store, self.campaign, self.oracle = store, campaign, oracle
        self.owner, self.deliver, self.leasing = owner, deliver, leasing
        self._dirty: dict[str, bytes] = {}
        self._saved = time.monotonic()

    def work_once(self) -> int:
        """Lease a batch and relax it; gives how many tasks that were, zero when none is free."""
        with writing(self.store.engine) as connection:
            leased = tasks.lease(
                connection, self.campaign, self.owner, self.leasing.together, self.leasing.seconds
            )
        if not leased:
            return 0
        try:
            with Pulse(self.store, self.owner, self.leasing) as pulse:
                pulse.keys = {task.key for task in leased}
                self._relax(leased, pulse)
        except BaseException:
            with suppress(MaterialabsError):
                self._flush()
                self._release()
            raise
        return len(leased)

    def _release(self) -> None:
        with writing(self.store.engine) as connection:
            tasks.release(connection, self.owner)

    # -- relaxing -------------------------------------------------------------------------------

    def _relax(self, leased: list[Task], pulse: Pulse) -> None:
        """All tasks in one batch; where the oracle breaks down, the rest one by one."""
        left = {task.key: task for task in leased}
        try:
            self._stream(leased, left, pulse)
        except (MaterialabsError, OutOfTime, KeyboardInterrupt, SystemExit) as error:
            if not _of_oracle(error):
                raise
        except Exception:  # a program of others may raise anything; each task is then tried alone
            pulse.progress()
        for task in list(left.values()):
            self._alone(task, left, pulse)

    def _alone(self, task: Task, left: dict[str, Task], pulse: Pulse) -> None:
        try:
            self._stream([task], left, pulse)
        except (MaterialabsError, OutOfTime, KeyboardInterrupt, SystemExit) as error:
            if not _of_oracle(error):
                raise
            self._fail(task, left, str(error))
        except Exception as error:  # of a foreign program: it becomes this task's result
            self._fail(task, left, f"The oracle stopped: {type(error).__name__}: {error}")

    def _fail(self, task: Task, left: dict[str, Task], reason: str) -> None:
        crystal = from_blobs([task.crystal])
        self._hand_in(task, left, Relaxation.without_answer(crystal, self.oracle.level, reason))

    def _stream(self, batch: list[Task], left: dict[str, Task], pulse: Pulse) -> None:
        crystals = Crystals.concat([from_blobs([task.crystal]) for task in batch])
        settings = RelaxationSettings.from_dict(json.loads(batch[0].settings))
        states = self._states(batch)

        def save(index: int, state: RelaxationState) -> None:
            pulse.progress()
            self._dirty[batch[index].key] = state.to_bytes()
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._flush()

        stream = self.oracle.stream(crystals, settings, states=states, save=save)
        for index, relaxation in stream:
            pulse.progress()
            self._hand_in(batch[index], left, relaxation)
            pulse.keys = set(left)

    def _hand_in(self, task: Task, left: dict[str, Task], relaxation: Relaxation) -> None:
        self._dirty.pop(task.key, None)
        left.pop(task.key, None)
        self.deliver(task, relaxation)

    # -- states in flight -------------------------------------------------------------------------

    def _states(self, batch: list[Task]) -> dict[int, RelaxationState]:
        if not self.leasing.from_saved_states:
            return {}
        with reading(self.store.engine) as connection:
            saved = tasks.read_states(connection, [task.key for task in batch])
        states = {}
        for index, task in enumerate(batch):
            if task.key in saved:
                with suppress(IntegrityError):
                    states[index] = RelaxationState.from_bytes(saved[task.key])
        return states

    def _flush(self) -> None:
        """Write the states in flight; without space on the disk the work goes on without."""
        self._saved = time.monotonic()
        if not self._dirty:
            return
        with suppress(ResourceError), writing(self.store.engine) as connection:
            tasks.save_states(connection, self._dirty)
        self._dirty = {}


def _of_oracle(error: BaseException) -> bool:
    """Whether an oracle gave up on its batch, rather than the store, the user or the clock."""
    return isinstance(error, MaterialabsError) and not isinstance(error, ResourceError)
