"""Tensors on disk: safetensors files, written whole or not at all, checked by their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from materialabs.errors import IntegrityError, ResourceError

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and text beside them into a file that appears when it is whole."""
    from safetensors.torch import save

    # Copies: safetensors refuses tensors that share memory, and wants them on the CPU.
    data = save({n: v.detach().cpu().contiguous().clone() for n, v in tensors.items()}, metadata)
    write_whole(path, data, code="weights.write")


def write_whole(path: Path, data: bytes, *, code: str) -> None:
    """Write a file whole or not at all; ``code`` names the error of a full or closed disk."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ResourceError(
            f"{path} could not be written ({error.strerror or error}): make room and run the same "
            "line again.",
            code=code,
        ) from None


def read_tensors(path: Path, sha256: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors and text; with a hash, only the very file that is meant."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise IntegrityError(
            f"{path} is missing: install the package again, or restore the model's folder.",
            code="weights.missing",
        )
    if sha256 is not None and hash_of(path) != sha256:
        raise IntegrityError(
            f"{path} is not the file that its card names (its SHA-256 differs): install the "
            "package again, or restore the model's folder.",
            code="weights.changed",
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"{path} cannot be read as safetensors ({error}): restore it, or remove it to start "
            "again.",
            code="weights.broken",
        ) from None


def hash_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
