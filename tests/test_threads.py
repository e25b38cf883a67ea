"""Chunks come back in order and together make the whole."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import InputError
from materialabs.threads import chunk_bounds, map_chunks


@given(st.integers(0, 200), st.integers(1, 50))
def test_chunks_make_the_whole_without_gaps(count: int, size: int) -> None:
    bounds = chunk_bounds(count, size)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(count))
    assert all(0 < stop - start <= size for start, stop in bounds)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_keep_the_order_of_the_chunks(threads: int) -> None:
    def slow_first(chunk: int) -> int:
        time.sleep(0.02 if chunk == 0 else 0.0)
        return chunk * chunk

    assert map_chunks(slow_first, range(8), threads=threads) == [n * n for n in range(8)]


def test_several_threads_do_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)
    assert map_chunks(lambda _: meeting.wait() >= 0, range(2), threads=2) == [True, True]


def test_one_thread_is_the_thread_that_calls() -> None:
    assert map_chunks(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_chunk_reaches_the_caller(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        map_chunks(lambda chunk: 1 // chunk, [1, 0, 1], threads=threads)


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_at_all_are_refused(threads: int) -> None:
    with pytest.raises(InputError, match="At least one thread"):
        map_chunks(str, [1], threads=threads)
