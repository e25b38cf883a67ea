"""What a user may set once for all commands, from the environment (``MATERIALABS_...``).

Faces (the command line, the server) read the settings once and pass values down; no room reads
them by itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
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

    keys: Path | None = None
    """Folder of the signing keys; materialabs/keys in the user's configuration by default."""

    store: str = "lab.db"
    """The store that commands work on: a SQLite file or a postgresql:// URL."""

    progress: bool = True
    """Show progress bars on a terminal."""

    @model_validator(mode="after")
    def _refuse_unknown_names(self) -> Self:
        known = {f"MATERIALABS_{name.upper()}" for name in type(self).model_fields}
        for name in os.environ:
            if name.startswith("MATERIALABS_") and name not in known:
                raise ValueError(f"{name} is not a setting; {', '.join(sorted(known))} are")
        return self
