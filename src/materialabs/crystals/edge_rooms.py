"""Memory for the edges of a search: reserved by estimate, filled from the front, never moved."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError

BYTES_AN_EDGE = 22
"""4 + 4 for the two atoms, 6 for the shift, 8 for the distance."""


class Edges(NamedTuple):
    """First and second atom int32 [E], shift int16 [E, 3], distance float64 [E]."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    image: NDArray[np.int16]
    distance: NDArray[np.float64]

    @classmethod
    def empty(cls, count: int) -> Self:
        """Room for this many edges, not yet written."""
        return cls(
            np.empty(count, np.int32),
            np.empty(count, np.int32),
            np.empty((count, 3), np.int16),
            np.empty(count, np.float64),
        )

    def part(self, start: int, stop: int) -> Edges:
        """A stretch of them, sharing memory."""
        return Edges(
            self.first[start:stop],
            self.second[start:stop],
            self.image[start:stop],
            self.distance[start:stop],
        )


class Task(NamedTuple):
    """What is searched: crystals ``begin:end`` of a batch, atoms counted from ``base``."""

    crystals: Crystals
    cutoffs: NDArray[np.float64]
    begin: int
    end: int
    base: int


class EdgeRoom:
    """Blocks of memory that take edges in order.

    Parameters
    ----------
    size
        Edges that the first block has room for.
    limit
        Edges that all blocks together may take.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._full: list[Edges] = []
        self._block = Edges.empty(size)
        self._used = 0
        self._turn = 0
        self._broken = False
        self._condition = Condition()

    def search(self, task: Task, degrees: NDArray[np.int64]) -> None:
        """Search crystals and write their edges here.

        Parameters
        ----------
        task
            What is searched.
        degrees
            int64, becomes the number of edges of each atom from ``task.base`` on.
        """
        from materialabs.crystals.kernels import FULL, find_edges

        crystals, begin = task.crystals, task.begin
        while begin < task.end:
            begin, found, ending, needed = find_edges(
                crystals.lattice, crystals.frac, crystals.offsets, crystals.pbc, task.cutoffs,
                begin, task.end, task.base, self.limit - self.total,
                *self._block.part(self._used, len(self._block.distance)), degrees,
            )  # fmt: skip
            self._used += found
            self.total += found
            if ending == FULL:
                self._open_block(needed)
            else:
                _explain(ending, task, begin, self.limit)

    def append(self, turn: int, search: Callable[[], Edges]) -> None:
        """Take the edges of a search that runs on its own thread, after those of earlier turns."""
        try:
            edges = search()
        except BaseException:
            with self._condition:
                self._broken = True
                self._condition.notify_all()
            raise
        target = self._claim(turn, len(edges.distance))
        target.first[:] = edges.first
        target.second[:] = edges.second
        target.image[:] = edges.image
        target.distance[:] = edges.distance

    def edges(self) -> Edges:
        """All edges in order."""
        last = self._block.part(0, self._used)
        if not self._full:
            return last
        return Edges(*(np.concatenate(parts) for parts in zip(*self._full, last, strict=True)))

    def _claim(self, turn: int, count: int) -> Edges:
        with self._condition:
            self._condition.wait_for(lambda: self._turn == turn or self._broken)
            self._turn += 1
            self.total += count
            if self.total > self.limit:
                self._broken = True
            elif self._used + count > len(self._block.distance):
                self._open_block(count)
            start = self._used
            self._used += count
            self._condition.notify_all()
            if self._broken:
                raise too_many(self.limit)
            return self._block.part(start, start + count)

    def _open_block(self, needed: int) -> None:
        self._full.append(self._block.part(0, self._used))
        self._block = Edges.empty(max(needed, len(self._block.distance) // 2))
        self._used = 0


def too_many(limit: int) -> InputError:
    """The refusal of a search that would fill the memory."""
    return InputError(
        f"There are more than {limit:,} edges ({limit * BYTES_AN_EDGE / 1e9:.1f} GB) within the "
        "cut-off: lower the cut-off, take fewer crystals at a time with stream_neighbours, or "
        "raise the limit.",
        code="neighbours.too_many",
    )


def _explain(ending: int, task: Task, index: int, limit: int) -> None:
    from materialabs.crystals.kernels import FAR, MANY

    if ending == MANY:
        raise too_many(limit)
    if ending == FAR:
        raise InputError(
            f"Crystal {task.crystals.ids()[index]!r} has atoms more than 10,000 cells from the "
            "origin, or a cell too skewed: bring the atoms into the cell with .wrapped() or "
            "reduce the cell.",
            code="neighbours.far",
        )
