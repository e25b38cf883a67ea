"""Sign many entries in processes of their own, while this one stores those before them.

A signature takes about 20 microseconds and holds Python's lock, so that threads do not help. The
private key reaches the processes through a pipe and is written nowhere. They are started as plain
programs rather than through :mod:`multiprocessing`: a user's script is never run a second time.
"""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from materialabs.ledger.keys import ContributorKey
from materialabs.ledger.notes import SIGNATURE_SIZE

SEED_SIZE: Final = 32
"""Bytes of an Ed25519 private key."""

PART: Final = 512
"""Messages in one request: a few milliseconds of signing."""

_FRAME: Final = struct.Struct("<II")
_PROGRAM: Final = "from materialabs.ledger.signing import answer; answer()"


class SigningPool:
    """Processes that sign with one key; a context manager.

    Parameters
    ----------
    key
        The contributor's key.
    processes
        How many; with none, messages are signed here.
    """

    def __init__(self, key: ContributorKey, processes: int) -> None:
        self._key = key
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._started = [_start(key) for _ in range(processes)]
        for process in self._started:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(processes) if processes else None

    def sign(self, messages: Sequence[bytes]) -> list[Future[list[bytes]]]:
        """Begin to sign messages of equal length; the signatures come in parts, in order."""
        parts = [messages[start : start + PART] for start in range(0, len(messages), PART)]
        if self._threads is None:
            return [_done([self._key.sign(one) for one in part]) for part in parts]
        return [self._threads.submit(self._sign_part, part) for part in parts]

    def _sign_part(self, messages: Sequence[bytes]) -> list[bytes]:
        process = self._idle.get()
        try:
            return _ask(process, messages)
        except OSError:  # the process ended: sign here what it did not
            return [self._key.sign(one) for one in messages]
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End the processes."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.stdout.close()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _start(key: ContributorKey) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it ended at once: what is asked of it is signed here
        process.stdin.write(key.private.private_bytes_raw())
        process.stdin.flush()
    return process


def _ask(process: subprocess.Popen[bytes], messages: Sequence[bytes]) -> list[bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(_FRAME.pack(len(messages), len(messages[0])) + b"".join(messages))
    process.stdin.flush()
    answer = _exactly(process.stdout, len(messages) * SIGNATURE_SIZE)
    return [answer[i : i + SIGNATURE_SIZE] for i in range(0, len(answer), SIGNATURE_SIZE)]


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise ConnectionError("The other end of a pipe is gone.")
    return content


def _done(result: list[bytes]) -> Future[list[bytes]]:
    future: Future[list[bytes]] = Future()
    future.set_result(result)
    return future


def answer() -> None:
    """What a signing process does: read the key, then messages, until the pipe is closed."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(ConnectionError, KeyboardInterrupt):
        sign = Ed25519PrivateKey.from_private_bytes(_exactly(source, SEED_SIZE)).sign
        while True:
            count, size = _FRAME.unpack(_exactly(source, _FRAME.size))
            block = _exactly(source, count * size)
            sink.write(b"".join([sign(block[i : i + size]) for i in range(0, len(block), size)]))
            sink.flush()
