"""Relaxations as bytes, exact, for other processes and for storage."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.errors import IntegrityError
from materialabs.levels import Level
from materialabs.oracles.relaxation import Relaxation


def relaxation_to_bytes(relaxation: Relaxation) -> bytes:
    """A relaxation as NumPy's npz of plain arrays."""
    head = {
        "status": relaxation.status,
        "reason": relaxation.reason,
        "steps": relaxation.steps,
        "force_calls": relaxation.force_calls,
        "level": relaxation.level.to_dict(),
    }
    arrays = {
        "head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8),
        "crystal": np.frombuffer(relaxation.crystal.to_bytes(), dtype=np.uint8),
        "numbers": np.array([relaxation.energy, relaxation.seconds]),
        "forces": relaxation.forces,
        "stress": relaxation.stress,
    }
    if relaxation.moments is not None:
        arrays["moments"] = relaxation.moments
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def relaxation_from_bytes(data: bytes) -> Relaxation:
    """Read what :func:`relaxation_to_bytes` wrote."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head: dict[str, Any] = json.loads(arrays["head"].tobytes())
        energy, seconds = arrays["numbers"].tolist()
        return Relaxation(
            Crystals.from_bytes(arrays["crystal"].tobytes()), energy, arrays["forces"],
            arrays["stress"], head["status"], head["reason"], head["steps"],
            head["force_calls"], seconds, Level.from_dict(head["level"]), arrays.get("moments"),
        )  # fmt: skip
    except Exception as error:  # a damaged archive can raise nearly anything
        raise IntegrityError("These bytes are no relaxation: read them anew.") from error
