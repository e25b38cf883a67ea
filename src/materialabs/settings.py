"""What a user may set once for all commands, from the environment (``MATERIALABS_...``).

Faces (the command line, the server) read the settings once and pass values down; no room reads
them by itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """The settings, each from ``MATERIALABS_NAME`` or its default; unknown names are refused."""

    model_config = SettingsConfigDict(env_prefix="MATERIALABS_", extra="forbid", frozen=True)

    threads: int = Field(default_factory=_available_cores, ge=1, le=1024)
    """Threads of the compiled kernels."""

    data: Path | None = None
    """Folder with the reference data of the benchmarks and tests."""

    progress: bool = True
    """Show progress bars on a terminal."""
