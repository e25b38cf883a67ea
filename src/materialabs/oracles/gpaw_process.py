"""Start GPAW in a process of its own, ask it, and stop it whatever happens."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from materialabs.errors import ExternalError
from materialabs.oracles.dft_engine import PROGRAM_ENDED, DftTimeoutError

WORKER: Final = Path(__file__).with_name("gpaw_worker.py")
"""The program that runs under GPAW's interpreter."""

SINGLE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""GPAW with two threads on small cells was forty times slower than with one."""

START_SECONDS: Final = 120.0
"""Longest that the process may take until it first answers."""

LONGEST_LOG: Final = 20_000_000
"""Bytes; a longer log is begun anew."""

MEND: Final = (
    "install it with `pip install materialabs[dft]`, or name the interpreter of an environment "
    "that has it"
)


class GpawProcess:
    """One GPAW process, for one question at a time; a context manager.

    Parameters
    ----------
    log
        File that GPAW's output is added to.
    interpreter
        Python that has GPAW; by default the one that runs this.
    """

    def __init__(self, log: Path, interpreter: str | Path | None = None) -> None:
        self.log = Path(log)
        self.interpreter = str(interpreter or sys.executable)
        self._unread = b""
        self._asking = threading.Lock()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.unlink()
        environment = {**os.environ, **SINGLE_THREAD}
        if self.interpreter != sys.executable:
            environment.pop("PYTHONPATH", None)  # it names packages of this Python
        with self.log.open("ab") as errors:
            try:
                return subprocess.Popen(
                    [self.interpreter, str(WORKER), str(self.log)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise ExternalError(
                    f"{self.interpreter} cannot be started ({error}): give the path of a Python.",
                    code="dft.interpreter",
                ) from error

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send one question and wait for its answer, at most so many seconds.

        Raises
        ------
        DftTimeoutError
            When the time is over; the process is stopped.
        ExternalError
            When the process ended; its last words are told.
        """
        try:
            with self._asking:
                line = self._exchange(question, seconds)
        except TimeoutError:
            self.close()
            raise DftTimeoutError(
                f"GPAW gave no answer in {seconds:.0f} s and was stopped: allow more time, "
                "or take a smaller cell."
            ) from None
        except (BrokenPipeError, EOFError):
            self.close()
            raise ExternalError(self._last_words(), code=PROGRAM_ENDED) from None
        except BaseException:  # Ctrl-C too must not leave a process behind
            self.close()
            raise
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _exchange(self, question: dict[str, Any], seconds: float) -> bytes:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            raise EOFError
        stdin.write(json.dumps(question).encode() + b"\n")
        stdin.flush()
        return self._line(time.monotonic() + seconds)

    def _line(self, deadline: float) -> bytes:
        """The next whole line of the answer."""
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                piece = os.read(stdout.fileno(), 1 << 16)
                if not piece:
                    raise EOFError
                self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        lines = [line for line in text.strip().splitlines() if line.strip()]
        last = lines[-1].strip()[:200] if lines else "no output"
        if "No module named" in last:
            return f"GPAW is not installed for {self.interpreter} ({last}): {MEND}."
        return f"GPAW ended unexpectedly ({last}): see {self.log}."

    def close(self) -> None:
        """Stop the process and everything it started, at once."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if not self._asking.acquire(blocking=False):
            return  # the thread that waits for an answer meets the end and closes the pipes
        try:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):
                        stream.close()
        finally:
            self._asking.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
