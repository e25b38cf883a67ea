"""Check other nodes' logs that are mirrored here, each against its own key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, select

from materialabs.errors import MaterialabsError
from materialabs.ledger.merkle import HASH_SIZE
from materialabs.ledger.notes import Verifier
from materialabs.store import schema
from materialabs.store.log import mirrored
from materialabs.store.trust import trusted
from materialabs.store.verify_log import LogAudit, raw


def mirror_audits(
    connection: Connection, keys: Path | None, everything: bool
) -> Iterator[LogAudit | tuple[str, str]]:
    """An audit for each mirrored log, or (place, sentence) where its row says nothing sound.

    Parameters
    ----------
    connection
        Inside a reading transaction.
    keys
        Folder where the keys of logs are remembered.
    everything
        Check all signatures again.
    """
    table = schema.mirrored_logs
    for row in connection.execute(select(table).order_by(table.c.id)).all():
        place = f"mirrored log {row.origin}"
        try:
            verifier = Verifier.parse(row.verifier)
            before = trusted(row.origin, keys)
        except (MaterialabsError, UnicodeError) as error:
            yield place, f"The row of the {place} was changed: {error}"
            continue
        right = (verifier.name, verifier.to_text()) == (row.origin, row.verifier)
        if not right or (before is not None and before.verifier != verifier):
            yield place, f"The key of the {place} is not the one that was trusted."
            continue
        proof = raw(row.proof)
        hashes = [proof[start : start + HASH_SIZE] for start in range(0, len(proof), HASH_SIZE)]
        yield LogAudit(
            connection, mirrored(row.id), verifier, int(row.size), raw(row.peaks), str(row.note),
            hashes, before=before, everything=everything,
        )  # fmt: skip
