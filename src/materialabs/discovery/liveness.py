"""Names of working processes, and whether a process of this machine still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

START_FIELD = 19
"""Of /proc/PID/stat behind the command's closing bracket: when the process started."""


def process_name() -> str:
    """Name this process: host, number and start, so that a number used again is another name."""
    number = os.getpid()
    return f"{socket.gethostname()}:{number}:{_started(number)}"


def gone(name: str) -> bool:
    """Whether a named process is known not to live: of this machine, and not there any more."""
    host, _, rest = name.partition(":")
    number, _, started = rest.partition(":")
    if host != socket.gethostname() or not number.isdecimal():
        return False
    return _started(int(number)) != started or not _started(int(number))


def _started(number: int) -> str:
    """Start of a process in clock ticks since boot; empty when there is no such process."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if not Path("/proc").is_dir() or not _exists(number) else "0"
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[START_FIELD]


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
