"""Whose keys a store signs with: the log's own, and the contributor's."""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.ledger.keys import ContributorKey
from materialabs.ledger.notes import Signer, Verifier
from materialabs.store.database import read_info, reading, write_info, writing


def key_folder() -> Path:
    """Where keys are unless told otherwise: materialabs/keys in the user's configuration."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "materialabs" / "keys"


@dataclass(frozen=True)
class Identity:
    """The keys that a store writes with.

    Parameters
    ----------
    log
        Signs the log's checkpoints and speaks for the log.
    contributor
        Signs records.
    made
        Files that were made just now, to be said once.
    """

    log: ContributorKey
    contributor: ContributorKey
    origin: str
    made: tuple[Path, ...] = ()

    @property
    def signer(self) -> Signer:
        """The log's key under the log's name."""
        return Signer(self.origin, self.log.private)


def open_identity(engine: Engine, folder: Path | None = None) -> Identity:
    """The keys for a store, made on first use.

    Parameters
    ----------
    engine
        The store's database; it remembers the name of its log.
    folder
        Where the keys are; :func:`key_folder` by default.
    """
    place = folder or key_folder()
    made: list[Path] = []
    contributor = _load_or_make(place / "contributor.key", _own_name(), made)
    with reading(engine) as connection:
        text = read_info(connection, "log_verifier")
    if text is None:
        log, origin = _new_log(engine, place, made)
    else:
        verifier = Verifier.parse(text)
        origin = verifier.name
        log = _load_log_key(place, verifier)
    return Identity(log, contributor, origin, tuple(made))


def log_verifier(engine: Engine) -> Verifier | None:
    """The public key that the store claims for its log; nothing before the first write."""
    with reading(engine) as connection:
        text = read_info(connection, "log_verifier")
    return None if text is None else Verifier.parse(text)


def _new_log(engine: Engine, folder: Path, made: list[Path]) -> tuple[ContributorKey, str]:
    log = ContributorKey.new("log")
    origin = f"materialabs/{log.id}"
    with writing(engine) as connection:
        known = read_info(connection, "log_verifier")
        if known is None:
            path = _log_path(folder, log.id)
            log.save(path)
            made.append(path)
            write_info(connection, "log_verifier", Signer(origin, log.private).verifier.to_text())
            return log, origin
    verifier = Verifier.parse(known)
    return _load_log_key(folder, verifier), verifier.name


def _load_log_key(folder: Path, verifier: Verifier) -> ContributorKey:
    from materialabs.ledger.keys import key_id

    path = _log_path(folder, key_id(verifier.public))
    if not path.exists():
        raise NotFound(
            f"Writing to this store needs its log's key, {path.name}, in {folder}: copy it from "
            "the machine that made the store, or send records to that machine's server."
        )
    log = ContributorKey.load(path)
    if log.public != verifier.public:
        raise IntegrityError(f"{path} is not the key of the log {verifier.name}.")
    return log


def _log_path(folder: Path, identity: str) -> Path:
    return folder / f"log-{identity}.key"


def _load_or_make(path: Path, name: str, made: list[Path]) -> ContributorKey:
    if path.exists():
        return ContributorKey.load(path)
    key = ContributorKey.new(name)
    try:
        key.save(path)
    except InputError:
        return ContributorKey.load(path)  # another process made it in this very moment
    made.append(path)
    return key


def _own_name() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "contributor"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-") or "contributor"
