"""The page of the log: what anyone needs to keep an eye on it."""

from __future__ import annotations

from typing import Final

from materialabs.ledger.entries import LogEntry
from materialabs.server.crystal_page import moment
from materialabs.server.markup import Part, element, facts, table
from materialabs.store.database import reading
from materialabs.store.identity import log_verifier
from materialabs.store.log import read_keyring, read_leaves, read_state
from materialabs.store.mirrors import mirrors
from materialabs.store.store import Store
from materialabs.store.witness import cosigned_checkpoint

NEWEST: Final = 25
"""Entries that are shown."""


def log_parts(store: Store) -> list[Part]:
    """Everything below the page's head."""
    head: list[Part] = [
        element("h1", "Log"),
        element(
            "p", "Every record here is an entry that its contributor has signed, in a tree that "
            "shows any later change.", class_="soft",
        ),
    ]  # fmt: skip
    verifier = log_verifier(store.engine)
    if verifier is None:
        return [*head, element("p", "The log is empty.")]
    with reading(store.engine) as connection:
        size = read_state(connection).frontier.size
        first = max(0, size - NEWEST)
        leaves = read_leaves(connection, first, size)
        ring = read_keyring(connection, verifier.public)
    names = {identity: key.name for identity, key in ring.keys.items()}
    rows: list[list[Part]] = [
        [first + place, moment(entry.time), entry.kind,
         names.get(entry.contributor, entry.contributor),
         element("code", entry.record[:16]), entry.licence]
        for place, entry in enumerate(map(LogEntry.parse, leaves))
    ]  # fmt: skip
    return [
        *head,
        element(
            "div",
            facts([("Entries", f"{size:,}")]),
            element("p", element("span", "Log's public key", class_="soft small"),
                    element("br"), element("code", verifier.to_text()), class_="key"),
            class_="card",
        ),
        element("h2", "Newest entries"),
        table(("Entry", "Time", "Kind", "Contributor", "Record", "Licence"), rows[::-1], (0,)),
        *_mirrors(store),
        element("h2", "Signed checkpoint"),
        element("div", element("pre", cosigned_checkpoint(store), class_="mono"), class_="card"),
    ]  # fmt: skip


def _mirrors(store: Store) -> list[Part]:
    """Other nodes' logs that are kept here."""
    rows: list[list[Part]] = [
        [one.verifier.name, one.url, f"{one.size:,}",
         element("span", one.evidence[-1].message, class_="bad") if one.evidence else "none"]
        for one in mirrors(store)
    ]  # fmt: skip
    if not rows:
        return []
    return [
        element("h2", "Mirrored logs"),
        table(("Log", "Address", "Entries", "Caught"), rows, (2,)),
    ]
