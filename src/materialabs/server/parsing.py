"""Parse uploads in processes of their own, which are stopped when they take too long.

A thread cannot be stopped, and symmetry, which is most of the work, holds a core for as long as it
takes. The processes are started as plain programs at the first upload; requests and answers are
JSON, so that nothing of what a stranger sent is ever unpickled.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, Any, Final

from materialabs import errors
from materialabs.errors import ExternalError, InputError, MaterialabsError, ResourceError
from materialabs.store.observations import PreparedCrystals
from materialabs.store.upload import Upload, prepared_contents, prepared_records

START_SECONDS: Final = 120.0
"""That a process may take to start on a busy machine."""

STOP_SECONDS: Final = 5.0
"""That a process may take to end by itself."""

MOST_PROCESSES: Final = 4
"""That parse at the same time: one writer stores what they read."""

_FRAME: Final = struct.Struct("<Q")
_PROGRAM: Final = "from materialabs.server.parsing import answer; answer()"


class SlowError(InputError):
    """An upload that took longer to parse than one may."""

    default_code = "upload.slow"


@dataclass(frozen=True)
class _Worker:
    """A process that parses."""

    process: subprocess.Popen[bytes]

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Its answer; it is stopped when the time is over.

        Raises
        ------
        TimeoutError
            When it was stopped.
        ConnectionError
            When it ended by itself.
        """
        clock = _Clock(self.process, seconds)
        try:
            if request:
                _send(_stream(self.process.stdin), request)
            answered = _receive(_stream(self.process.stdout))
        except OSError as error:
            if clock.stopped():
                raise TimeoutError from error
            raise ConnectionError from error
        if clock.stopped():
            raise TimeoutError
        return answered

    def end(self) -> None:
        """Let it end, or end it."""
        with contextlib.suppress(OSError):
            _stream(self.process.stdin).close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _stream(self.process.stdout).close()


class _Clock:
    """Kills a process when its time is over."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._over = threading.Event()
        self._process = process
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.start()

    def _kill(self) -> None:
        self._over.set()
        self._process.kill()

    def stopped(self) -> bool:
        """Whether the process was killed; it is not any more."""
        self._timer.cancel()
        self._timer.join()
        return self._over.is_set()


class ParsingPool:
    """Processes that parse uploads, started when they are needed.

    Parameters
    ----------
    seconds
        That one upload may take.
    processes
        How many at most; by default as many as there are cores, up to :data:`MOST_PROCESSES`.
    """

    def __init__(self, seconds: float, processes: int | None = None) -> None:
        self.seconds = seconds
        count = processes or min(os.cpu_count() or 1, MOST_PROCESSES)
        self._idle: queue.Queue[_Worker | None] = queue.Queue()
        for _ in range(count):
            self._idle.put(None)
        self._count = count

    def contents(self, upload: Upload) -> PreparedCrystals | None:
        """What the store derives from an upload's crystals; its records are checked too.

        Raises
        ------
        SlowError
            When it takes too long.
        """
        try:
            worker = self._idle.get(timeout=self.seconds)
        except queue.Empty:
            raise ResourceError(
                "Too many uploads are being read: send it again in a while."
            ) from None
        try:
            worker = worker or _start()
            found = json.loads(self._answer(worker, upload))
        except BaseException:
            if worker is not None:
                worker.process.kill()
                worker.end()
            worker = None
            raise
        finally:
            self._idle.put(worker)
        return _contents(upload, found)

    def _answer(self, worker: _Worker, upload: Upload) -> bytes:
        try:
            return worker.ask(_request(upload), self.seconds)
        except TimeoutError as error:
            raise SlowError(
                f"This upload takes longer than {self.seconds:g} s to read: send it in parts, or "
                "ingest it where the store is."
            ) from error
        except OSError as error:
            raise ResourceError("An upload could not be read: send it again in parts.") from error

    def close(self) -> None:
        """End the processes, those that are reading too once they are done."""
        for _ in range(self._count):
            with contextlib.suppress(queue.Empty):
                worker = self._idle.get(timeout=STOP_SECONDS)
                if worker is not None:
                    worker.end()


def _start() -> _Worker:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    worker = _Worker(process)
    try:
        worker.ask(b"", START_SECONDS)
    except OSError as error:
        worker.process.kill()
        worker.end()
        raise ExternalError("The process that reads uploads does not start.") from error
    return worker


def _request(upload: Upload) -> bytes:
    document = {
        "records": list(upload.records),
        "leaves": [_text(one) for one in upload.leaves],
        "crystals": [_text(one) for one in upload.crystals],
    }
    return json.dumps(document).encode()


def _contents(upload: Upload, found: dict[str, Any]) -> PreparedCrystals | None:
    """The answer of a process, put together with the bytes that it was asked about."""
    if "error" in found:
        name, message, code = found["error"]
        kind = getattr(errors, name, None)
        if kind is None:
            raise RuntimeError(f"An upload could not be read: {message}")
        raise kind(message, code=code)
    if not upload.crystals:
        return None
    hashes = [hashlib.sha256(content).digest() for content in upload.crystals]
    return PreparedCrystals(list(upload.crystals), hashes, found["structures"], found["systems"])


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _send(stream: IO[bytes], content: bytes) -> None:
    stream.write(_FRAME.pack(len(content)) + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes:
    (size,) = _FRAME.unpack(_exactly(stream, _FRAME.size))
    return _exactly(stream, size)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise ConnectionError("The other end of a pipe is gone.")
    return content


# -- in the process -------------------------------------------------------------------------------


def answer() -> None:
    """What a parsing process does: read uploads and tell what they hold, until the pipe is closed.

    The server is told to stop, and closes the pipe when the uploads under way are stored.
    """
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        _send(sink, b"{}")
        while True:
            _send(sink, json.dumps(_parsed(json.loads(_receive(source)))).encode())


def _parsed(request: dict[str, Any]) -> dict[str, Any]:
    """What a request holds, or what is wrong with it."""
    upload = Upload(
        request["records"],
        [base64.b64decode(one) for one in request["leaves"]],
        [base64.b64decode(one) for one in request["crystals"]],
    )
    try:
        contents = prepared_contents(upload)
        prepared_records(upload)
    except MaterialabsError as error:
        kind = next(one for one in type(error).__mro__ if hasattr(errors, one.__name__))
        return {"error": [kind.__name__, str(error), error.code]}
    except Exception as error:  # whatever it is, the process goes on
        return {"error": ["", type(error).__name__, ""]}
    if contents is None:
        return {}
    return {"structures": contents.structures, "systems": contents.systems}
