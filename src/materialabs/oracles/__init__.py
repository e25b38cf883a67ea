"""What answers with authority: potentials and DFT, and the relaxation of many crystals."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from materialabs.oracles.calculators import AseOracle, ExternalOracle
    from materialabs.oracles.chgnet import ChgnetOracle
    from materialabs.oracles.conformance import check_oracle
    from materialabs.oracles.named import oracle_by_name
    from materialabs.oracles.oracle import BaseOracle, Evaluation, Oracle
    from materialabs.oracles.parallel import ParallelOracle
    from materialabs.oracles.potential import Potential
    from materialabs.oracles.relaxation import (
        THOROUGH,
        Relaxation,
        RelaxationSettings,
        RelaxationState,
        relaxed_energies,
    )
    from materialabs.oracles.relaxation_bytes import relaxation_from_bytes, relaxation_to_bytes
    from materialabs.oracles.relaxing import BatchLimits, relax_stream

_HOMES: Final = {
    "AseOracle": "materialabs.oracles.calculators",
    "BaseOracle": "materialabs.oracles.oracle",
    "BatchLimits": "materialabs.oracles.relaxing",
    "ChgnetOracle": "materialabs.oracles.chgnet",
    "Evaluation": "materialabs.oracles.oracle",
    "ExternalOracle": "materialabs.oracles.calculators",
    "Oracle": "materialabs.oracles.oracle",
    "ParallelOracle": "materialabs.oracles.parallel",
    "Potential": "materialabs.oracles.potential",
    "Relaxation": "materialabs.oracles.relaxation",
    "RelaxationSettings": "materialabs.oracles.relaxation",
    "RelaxationState": "materialabs.oracles.relaxation",
    "THOROUGH": "materialabs.oracles.relaxation",
    "check_oracle": "materialabs.oracles.conformance",
    "oracle_by_name": "materialabs.oracles.named",
    "relax_stream": "materialabs.oracles.relaxing",
    "relaxation_from_bytes": "materialabs.oracles.relaxation_bytes",
    "relaxation_to_bytes": "materialabs.oracles.relaxation_bytes",
    "relaxed_energies": "materialabs.oracles.relaxation",
}

__all__ = [
    "THOROUGH",
    "AseOracle",
    "BaseOracle",
    "BatchLimits",
    "ChgnetOracle",
    "Evaluation",
    "ExternalOracle",
    "Oracle",
    "ParallelOracle",
    "Potential",
    "Relaxation",
    "RelaxationSettings",
    "RelaxationState",
    "check_oracle",
    "oracle_by_name",
    "relax_stream",
    "relaxation_from_bytes",
    "relaxation_to_bytes",
    "relaxed_energies",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
