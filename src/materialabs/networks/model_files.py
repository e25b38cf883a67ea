"""A trained model on disk: one folder with weights, card, calibration and domain.

``weights.safetensors`` holds all members in half precision, ``calibration.json`` what turns their
answers into intervals, ``domain.npz`` what they have learned from, ``difficulty.npz``, where
outsiders were trained, what is hard to predict, and ``card.json`` everything else, with the SHA-256
of the others. A folder is whole once its card is there, and a file that is not the one its card
names is refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import torch

from materialabs.errors import IntegrityError, NotFound, one_line
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.calibration import Calibration
from materialabs.networks.composition_network import CompositionNetworkShape
from materialabs.networks.difficulty import Difficulty
from materialabs.networks.domain import Domain
from materialabs.networks.ensembles import BondEnsemble, CompositionEnsemble, State
from materialabs.networks.heads import Head
from materialabs.networks.learning_tasks import Scaling
from materialabs.networks.weight_files import hash_of, read_tensors, write_tensors, write_whole

WEIGHTS, CARD = "weights.safetensors", "card.json"
CALIBRATION, DOMAIN, DIFFICULTY = "calibration.json", "domain.npz", "difficulty.npz"

SCHEMA: Final = 1
"""Version of the folder's layout."""

GEOMETRIES: Final = ("relaxed", "unrelaxed")
"""Inputs that intervals and domains are fitted for apart."""

LARGEST_CARD: Final = 50_000_000
"""Bytes; a larger JSON file is not a card."""


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """What the folder of a model holds.

    Parameters
    ----------
    card
        Everything that is told of the model.
    heads
        What it predicts.
    ensemble
        Its members.
    calibrations
        By geometry and head; none where too few rows were held out.
    temperatures
        By head, what softens the probabilities of classes.
    spreads
        By geometry and head, the usual spread of the members, where too few rows were held out to
        learn how widths follow it.
    domains
        By geometry; none where there were too few rows.
    difficulties
        By geometry; none where no outsiders were trained.
    """

    card: dict[str, Any]
    heads: tuple[Head, ...]
    ensemble: BondEnsemble | CompositionEnsemble
    calibrations: dict[tuple[str, str], Calibration]
    temperatures: dict[str, float]
    spreads: dict[tuple[str, str], float]
    domains: dict[str, Domain]
    difficulties: dict[str, Difficulty]


def write_weights(folder: Path, states: Sequence[State], scaling: Scaling) -> None:
    """Write the members in half precision, and the scaling of their outputs."""
    tensors = {
        f"member-{number}.{name}": value.to(torch.float16)
        for number, state in enumerate(states)
        for name, value in state.items()
    }
    tensors["scaling.mean"] = torch.from_numpy(scaling.mean.copy())
    tensors["scaling.spread"] = torch.from_numpy(scaling.spread.copy())
    # One entry only: safetensors writes several in any order, and equal models have equal files.
    write_tensors(folder / WEIGHTS, tensors, {"schema": str(SCHEMA)})


def read_weights(folder: Path, sha256: str | None = None) -> tuple[list[State], Scaling]:
    """The members' weights in single precision, exactly as stored, and the scaling."""
    tensors, _ = read_tensors(folder / WEIGHTS, sha256)
    states: dict[int, State] = {}
    for name, value in tensors.items():
        member, _, rest = name.partition(".")
        if member.startswith("member-"):
            states.setdefault(int(member.removeprefix("member-")), {})[rest] = value.float()
    scaling = Scaling(tensors["scaling.mean"].numpy(), tensors["scaling.spread"].numpy())
    return [states[number] for number in sorted(states)], scaling


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of a model whole or not at all."""
    write_whole(path, data, code="model.write")


def write_json(path: Path, document: Any) -> None:
    """Write JSON whole or not at all; what is not a number becomes null."""
    write_bytes(path, (json.dumps(plain(document), indent=1) + "\n").encode())


def plain(value: Any) -> Any:
    """Values that JSON knows: numpy's numbers become Python's, NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_calibrations(
    folder: Path,
    calibrations: Mapping[tuple[str, str], Calibration],
    temperatures: Mapping[str, float],
    spreads: Mapping[tuple[str, str], float],
) -> None:
    """Write what makes intervals and probabilities of the members' answers."""
    document: dict[str, Any] = {geometry: {} for geometry in GEOMETRIES}
    usual: dict[str, dict[str, float]] = {geometry: {} for geometry in GEOMETRIES}
    for (geometry, head), spread in spreads.items():
        usual[geometry][head] = spread
    for (geometry, head), calibration in calibrations.items():
        document[geometry][head] = calibration.to_dict()
    write_json(
        folder / CALIBRATION, document | {"temperatures": dict(temperatures), "spreads": usual}
    )


def write_domains(folder: Path, domains: Mapping[str, Domain]) -> None:
    """Write what the members have learned from."""
    _write_arrays(folder / DOMAIN, {key: one.to_arrays() for key, one in domains.items()})


def write_difficulties(folder: Path, difficulties: Mapping[str, Difficulty]) -> None:
    """Write what is hard to predict; without any, no such file stays."""
    if not difficulties:
        (folder / DIFFICULTY).unlink(missing_ok=True)
        return
    _write_arrays(folder / DIFFICULTY, {key: one.to_arrays() for key, one in difficulties.items()})


def _write_arrays(path: Path, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write arrays of several parts, each name after its part's."""
    arrays = {f"{part}.{name}": array for part, own in parts.items() for name, array in own.items()}
    memory = io.BytesIO()
    np.savez_compressed(memory, allow_pickle=False, **arrays)
    write_bytes(path, memory.getvalue())


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that a card vouches for."""
    names = [WEIGHTS, CALIBRATION, DOMAIN]
    if (folder / DIFFICULTY).is_file():
        names.append(DIFFICULTY)
    return {name: hash_of(folder / name) for name in names}


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model's folder."""
    path = folder / CARD
    if not path.is_file():
        raise NotFound(
            f"{folder} holds no model: a folder with a {CARD} is one; training that was stopped "
            "goes on when its line is run again.",
            code="model.missing",
        )
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise ValueError("it is too large")
        card = json.loads(path.read_text(encoding="utf-8"))
        if card["schema"] != SCHEMA:
            raise ValueError(f"it has schema {card['schema']}, not {SCHEMA}")
        if not isinstance(card["files"], dict):
            raise ValueError("it names no files")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(
            f"{path} is not the card of a model ({error}): restore it.", code="model.card"
        ) from None
    return dict(card)


def read_model(folder: Path) -> ModelFiles:
    """Read a model's folder, refusing any file that is not the one that its card names."""
    card = read_card(folder)
    for name in dict.fromkeys((WEIGHTS, CALIBRATION, DOMAIN, *_difficulty_of(card))):
        _require_same(folder / name, card["files"].get(name, ""))
    try:
        return _assembled(folder, card)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, BadZipFile) as error:
        if isinstance(error, IntegrityError):
            raise
        raise IntegrityError(
            f"{folder} is not a whole model ({one_line(error)}): restore it.",
            code="model.broken",
        ) from None


def _assembled(folder: Path, card: dict[str, Any]) -> ModelFiles:
    states, scaling = read_weights(folder)
    shape = card["network"]["shape"]
    ensemble: BondEnsemble | CompositionEnsemble = (
        BondEnsemble(BondNetworkShape.of(shape), states, scaling)
        if card["network"]["reads"] == "crystals"
        else CompositionEnsemble(
            CompositionNetworkShape(**shape | {"heads": tuple(shape["heads"])}), states, scaling
        )
    )
    document = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
    calibrations = {
        (geometry, head): Calibration.from_dict(values)
        for geometry in GEOMETRIES
        for head, values in document[geometry].items()
    }
    return ModelFiles(
        card,
        tuple(Head.from_dict(head) for head in card["heads"]),
        ensemble,
        calibrations,
        {name: float(value) for name, value in document["temperatures"].items()},
        {
            (geometry, head): float(spread)
            for geometry in GEOMETRIES
            for head, spread in document["spreads"][geometry].items()
        },
        {key: Domain.from_arrays(own) for key, own in _read_arrays(folder / DOMAIN).items()},
        {
            key: Difficulty.from_arrays(own)
            for name in _difficulty_of(card)
            for key, own in _read_arrays(folder / name).items()
        },
    )


def _difficulty_of(card: Mapping[str, Any]) -> list[str]:
    """The file of what is hard to predict, where a model has one."""
    return [DIFFICULTY] if DIFFICULTY in card["files"] else []


def _read_arrays(path: Path) -> dict[str, dict[str, Any]]:
    """What :func:`_write_arrays` wrote, by part and name."""
    parts: dict[str, dict[str, Any]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in sorted(arrays.files):
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = arrays[key]
    return parts


def _require_same(path: Path, sha256: str) -> None:
    if path.is_file() and hash_of(path) == sha256:
        return
    wrong = "is not the file that its card names (its SHA-256 differs)" if path.is_file() else (
        "is missing"
    )  # fmt: skip
    raise IntegrityError(
        f"{path} {wrong}: install the package again, or restore the model's folder.",
        code="weights.changed",
    )
