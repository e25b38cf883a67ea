"""Memory that is kept between calls: fresh pages cost more than the arithmetic done in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPARE = 1.25
"""Room is reserved for this many times what was asked for, so that it seldom grows."""


class Scratch:
    """Single-precision arrays by name; an array is good until its name is taken again."""

    def __init__(self) -> None:
        self._rooms: dict[str, NDArray[np.float32]] = {}

    def take(self, name: str, *shape: int) -> NDArray[np.float32]:
        """An array of this shape with anything in it."""
        size = int(np.prod(shape))
        room = self._rooms.get(name)
        if room is None or len(room) < size:
            room = self._rooms[name] = np.empty(int(size * SPARE) + 1, dtype=np.float32)
        return room[:size].reshape(shape)

    def zeros(self, name: str, *shape: int) -> NDArray[np.float32]:
        """An array of this shape, all zero."""
        array = self.take(name, *shape)
        array[...] = 0.0
        return array
