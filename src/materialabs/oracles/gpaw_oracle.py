"""GPAW in plane waves with PBE as an oracle for one chemical system."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from materialabs.oracles.dft_oracle import DftLimits, DftOracle
from materialabs.oracles.dft_settings import DftSettings, system_symbols
from materialabs.oracles.gpaw_engine import LONGEST_POINT, GpawEngine

LOG_FOLDER: Final = "dft-logs"
"""Folder for GPAW's output below the working folder, unless another is named."""


def gpaw_oracle(
    system: str | Iterable[str],
    *,
    settings: DftSettings | None = None,
    limits: DftLimits | None = None,
    interpreter: str | Path | None = None,
    logs: str | Path = LOG_FOLDER,
    point_seconds: float = LONGEST_POINT,
) -> DftOracle:
    """Real DFT for a chemical system: its elements, its compounds and its hull at one level.

    Parameters
    ----------
    system
        ``"Mg-Si"``, or element symbols. An element without a PAW dataset is refused by name.
    settings
        How energies are computed; by default those of the system's hardest element.
    limits
        Processes and time for each crystal.
    interpreter
        Python that has GPAW, where it is not this one.
    logs
        Folder for GPAW's output, one file for each process.
    point_seconds
        Longest that one single point may take.
    """
    symbols = system_symbols(system)
    chosen = DftSettings.of(symbols) if settings is None else settings
    folder = Path(logs)

    def engine(number: int) -> GpawEngine:
        log = folder / f"gpaw-{os.getpid()}-{number}.log"
        return GpawEngine(log, interpreter=interpreter, seconds=point_seconds)

    return DftOracle(chosen, engine, symbols, limits)
