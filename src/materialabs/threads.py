"""Run compiled kernels over chunks of a batch on several threads.

The kernels release the interpreter lock, so plain threads are enough; results come back in the
order of the chunks whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from materialabs.errors import InputError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


def map_chunks(
    function: Callable[[Chunk], Result], chunks: Iterable[Chunk], *, threads: int = 1
) -> list[Result]:
    """Apply a function to each chunk, on ``threads`` threads, and keep the order."""
    if threads < 1:
        raise InputError(f"At least one thread is needed; got {threads}.")
    if threads == 1:
        return [function(chunk) for chunk in chunks]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(function, chunks))


def chunk_bounds(count: int, size: int) -> list[tuple[int, int]]:
    """Cut ``range(count)`` into consecutive half-open ranges of at most ``size``."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]
