"""Oracles by name, for the command line and for workers."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Final

from materialabs.errors import InputError
from materialabs.levels import Level
from materialabs.oracles.oracle import DEFAULT_SETTINGS, Oracle
from materialabs.oracles.relaxation import RelaxationSettings

DEFAULT_ORACLE: Final = "chgnet"

DFT: Final = ("gpaw", "espresso")
"""Programs whose settings depend on the chemical system, and which take hours rather than
seconds."""

OWN: Final = "python"
"""Prefix of an oracle of the user's own."""

TRUSTED: Final = ("chgnet", "chgnet-r2scan", "emt", *DFT)
"""Oracles that a worker opens because a store says so; others it must be told itself."""

DFT_PATIENCE: Final = 7200.0
"""Seconds without any progress after which a DFT program counts as hanging."""


def open_oracle(name: str, system: str, *, processes: int = 1) -> Oracle:
    """Open an oracle.

    Parameters
    ----------
    name
        ``"chgnet"``, ``"chgnet-r2scan"``, ``"gpaw"``, ``"espresso"``, any ASE calculator by its
        name (``"emt"``, ``"mace"``, ...), or ``python:MODULE:FUNCTION`` for a function of your own
        that takes the system and gives an oracle.
    system
        The chemical system that it will be asked about.
    processes
        Processes that relax, each with one thread.
    """
    if name in DFT:
        return _dft(name, system, processes)
    if name.startswith(f"{OWN}:"):
        return _own(name, system)
    if processes > 1:
        from materialabs.oracles.parallel import ParallelOracle

        return ParallelOracle(name, processes=processes)
    from materialabs.oracles.named import oracle_by_name

    return oracle_by_name(name)


def usual_settings(oracle: Oracle) -> RelaxationSettings:
    """What a campaign asks of an oracle where the user says nothing."""
    found: RelaxationSettings = getattr(oracle, "campaign_settings", DEFAULT_SETTINGS)
    return found


def patience_for(name: str, default: float) -> float:
    """How long an oracle may be silent before it counts as hanging, seconds."""
    return DFT_PATIENCE if name in DFT else default


def require_level(oracle: Oracle, level: Level, what: str) -> None:
    """Refuse an oracle that does not stand at a campaign's level."""
    if oracle.level != level:
        raise InputError(
            f"{what} is at {level} and this oracle stands at {oracle.level}: install the version "
            "that began it, or start another campaign with --new.",
            code="campaign.level",
        )


def _dft(name: str, system: str, processes: int) -> Oracle:
    from materialabs.oracles.dft_oracle import DftLimits

    limits = DftLimits(processes=processes)
    if name == "espresso":
        from materialabs.oracles.espresso_oracle import espresso_oracle

        return espresso_oracle(system, limits=limits)
    if importlib.util.find_spec("gpaw") is None:
        raise InputError(
            "GPAW is not installed: pip install 'materialabs[dft]', or make dft in a clone; "
            "`materialabs doctor` says what else is missing.",
            code="oracle.not_installed",
        )
    from materialabs.oracles.gpaw_oracle import gpaw_oracle

    return gpaw_oracle(system, limits=limits)


def _own(name: str, system: str) -> Oracle:
    _, module, function = (*name.split(":", 2), "", "")[:3]
    try:
        make: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"The oracle {name!r} cannot be imported ({error}): it reads python:MODULE:FUNCTION.",
            code="oracle.unknown",
        ) from error
    found: Oracle = make(system)
    return found
