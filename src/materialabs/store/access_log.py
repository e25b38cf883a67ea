"""The second log: who used what, and when; written in batches, away from the requests.

Each use is a leaf of a Merkle tree of its own, under a checkpoint that the log's key signs in the
name ``ORIGIN/access``, so that what was used cannot be rewritten afterwards any more than what was
stored. It is off unless a node is told to keep it, and the first log does not depend on it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from materialabs.errors import IntegrityError, MaterialabsError
from materialabs.ledger.merkle import Frontier, leaf_hash
from materialabs.ledger.notes import Checkpoint, Signer, Verifier, open_checkpoint
from materialabs.store.database import reading, writing
from materialabs.store.identity import log_verifier
from materialabs.store.log import read_frontier
from materialabs.store.schema import access_checkpoints, access_entries
from materialabs.store.store import Store

LOGGER: Final = logging.getLogger("materialabs.access")

NOBODY: Final = "anonymous"
"""Who asks without a key."""

MOST_WAITING: Final = 100_000
"""Uses that wait to be written; beyond that they are counted, and the count is written."""

BATCH: Final = 1000
"""Uses written in one transaction at most."""

PAUSE: Final = 1.0
"""Seconds between writes."""

LONGEST_TEXT: Final = 500
"""Characters kept of what was used."""


@dataclass(frozen=True)
class Use:
    """One use.

    Parameters
    ----------
    who
        Name of the API key, or :data:`NOBODY`.
    what
        What was asked for: a method and a path, without the query.
    status
        HTTP status of the answer.
    moment
        POSIX seconds.
    """

    who: str
    what: str
    status: int
    moment: int

    def to_leaf(self) -> bytes:
        """The use as one line of canonical JSON."""
        import rfc8785

        leaf: bytes = rfc8785.dumps(
            {"moment": self.moment, "status": self.status, "what": self.what, "who": self.who}
        )
        return leaf


class AccessLog:
    """Takes uses without making anyone wait, and writes them; a context manager.

    Parameters
    ----------
    store
        Where they are written.
    name_of
        Gives the name behind an ``Authorization`` header; asked by the writer, not by requests.
    """

    def __init__(self, store: Store, name_of: Callable[[str], str]) -> None:
        self._store = store
        self._name_of = name_of
        self._waiting: queue.Queue[tuple[str, str, int, int]] = queue.Queue(MOST_WAITING)
        self._lost = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def note(self, authorization: str, what: str, status: int) -> None:
        """Take one use; never waits."""
        try:
            use = (authorization[:LONGEST_TEXT], what[:LONGEST_TEXT], status, int(time.time()))
            self._waiting.put_nowait(use)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, and stop."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write all that waits; what cannot be written is told to the server's own log."""
        while uses := self._taken():
            try:
                write_uses(self._store, uses)
            except (MaterialabsError, SQLAlchemyError) as error:
                LOGGER.error("%d uses could not be written: %s", len(uses), error)

    def _taken(self) -> list[Use]:
        uses: list[Use] = []
        names: dict[str, str] = {}
        while len(uses) < BATCH and not self._waiting.empty():
            authorization, what, status, moment = self._waiting.get_nowait()
            if authorization not in names:
                names[authorization] = self._name_of(authorization) if authorization else NOBODY
            uses.append(Use(names[authorization], what, status, moment))
        lost, self._lost = self._lost, 0
        if lost:
            what = f"{lost} uses came too fast to be written"
            uses.append(Use(NOBODY, what, 0, int(time.time())))
        return uses


def write_uses(store: Store, uses: Sequence[Use]) -> int:
    """Append uses to the second log in one transaction; gives its size."""
    identity = store.identity
    signer = Signer(_origin(identity.origin), identity.log.private)
    with writing(store.engine) as connection:
        frontier = _frontier(connection)
        rows = []
        for use in uses:
            leaf = use.to_leaf()
            row = {"moment": use.moment, "who": use.who, "what": use.what, "leaf": leaf}
            rows.append({"position": frontier.size, **row})
            frontier.append(leaf_hash(leaf))
        connection.execute(insert(access_entries), rows)
        note = str(Checkpoint(signer.name, frontier.size, frontier.root()).note([signer]))
        connection.execute(delete(access_checkpoints))
        connection.execute(
            insert(access_checkpoints).values(
                size=frontier.size, peaks=b"".join(frontier.peaks), note=note
            )
        )
    return frontier.size


def _frontier(connection: Connection) -> Frontier:
    row = connection.execute(select(access_checkpoints)).one_or_none()
    return Frontier() if row is None else read_frontier(int(row.size), bytes(row.peaks))


def _origin(log: str) -> str:
    return f"{log}/access"


@dataclass(frozen=True)
class Usage:
    """How often something was used.

    Parameters
    ----------
    what, who
        What, and by whom.
    uses
        How often.
    last
        The last time, POSIX seconds.
    """

    what: str
    who: str
    uses: int
    last: int


def usage(store: Store, since: int = 0, most: int = 100) -> list[Usage]:
    """What was used most, and by whom.

    Parameters
    ----------
    store
        Whose second log.
    since
        From this moment on, POSIX seconds.
    most
        Lines to give.
    """
    table = access_entries
    count = func.count().label("uses")
    query = (
        select(table.c.what, table.c.who, count, func.max(table.c.moment).label("last"))
        .where(table.c.moment >= since)
        .group_by(table.c.what, table.c.who)
        .order_by(count.desc(), table.c.what, table.c.who)
        .limit(most)
    )
    with reading(store.engine) as connection:
        rows = connection.execute(query).all()
    return [Usage(row.what, row.who, row.uses, row.last) for row in rows]


def verify_access(store: Store) -> int:
    """Check the second log against its signed checkpoint; gives its size.

    Raises
    ------
    IntegrityError
        Naming the first entry that was changed, or saying that entries were removed or added.
    """
    own = log_verifier(store.engine)
    with reading(store.engine) as connection:
        row = connection.execute(select(access_checkpoints)).one_or_none()
        entries = connection.execute(select(access_entries).order_by(access_entries.c.position))
        frontier = Frontier()
        for entry in entries:
            _require_same(entry, frontier.size)
            frontier.append(leaf_hash(bytes(entry.leaf)))
    if row is None or own is None:
        if frontier.size:
            raise IntegrityError("The log of access has entries and no checkpoint.")
        return 0
    checkpoint = open_checkpoint(row.note, Verifier(_origin(own.name), own.public))
    if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()):
        raise IntegrityError(
            f"The log of access has {frontier.size} entries that are not the {checkpoint.size} "
            "that its checkpoint was signed for."
        )
    return frontier.size


def _require_same(row: object, position: int) -> None:
    """Refuse a row that does not say what its leaf says, or that follows a gap."""
    import json

    place = getattr(row, "position", -1)
    if place != position:
        raise IntegrityError(f"Entry {position} of the log of access is missing.")
    try:
        document = json.loads(bytes(getattr(row, "leaf", b"")))
        said = tuple(document[name] for name in ("moment", "who", "what"))
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"Entry {position} of the log of access was changed.") from error
    if said != tuple(getattr(row, name, None) for name in ("moment", "who", "what")):
        raise IntegrityError(f"Entry {position} of the log of access was changed.")
