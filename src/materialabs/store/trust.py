"""What this user has verified before: the key of each log, and its last checkpoint.

Kept beside the keys, outside the store, so that whoever changes the store cannot change it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materialabs.errors import IntegrityError, ResourceError
from materialabs.ledger.notes import Verifier
from materialabs.store.identity import key_folder

LARGEST_FILE = 10_000_000
"""Bytes; a larger file is not ours."""


@dataclass(frozen=True)
class Trusted:
    """A log as it was last verified.

    Parameters
    ----------
    verifier
        Its public key.
    note
        Its checkpoint then; empty where it was never verified.
    """

    verifier: Verifier
    note: str = ""


def trust_file(folder: Path | None = None) -> Path:
    """Where the verified logs are remembered."""
    return (folder or key_folder()) / "trusted.json"


def trusted(origin: str, folder: Path | None = None) -> Trusted | None:
    """What is remembered of a log."""
    entry = _read(trust_file(folder)).get(origin)
    if entry is None:
        return None
    return Trusted(Verifier.parse(entry["verifier"]), entry.get("note", ""))


def remember(log: Trusted, folder: Path | None = None) -> None:
    """Remember a verified log."""
    path = trust_file(folder)
    document = _read(path)
    document[log.verifier.name] = {"verifier": log.verifier.to_text(), "note": log.note}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(json.dumps(document, indent=1))
        temporary.replace(path)
    except OSError as error:
        raise ResourceError(f"{path} cannot be written: {error.strerror}.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()[:LARGEST_FILE]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ResourceError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is damaged: restore it from a copy.") from error
    if not isinstance(document, dict):
        raise IntegrityError(f"{path} is damaged: restore it from a copy.")
    return document
