"""Whether another node's log grew out of what was believed of it, and where it did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from materialabs.errors import IntegrityError, MaterialabsError
from materialabs.ledger.merkle import (
    TILE_WIDTH,
    consistency_proof,
    leaf_hash,
    subtree_root,
    verify_consistency,
)
from materialabs.ledger.notes import Checkpoint
from materialabs.store.evidence import Evidence, MirrorError, described, leaf_text
from materialabs.store.log import DatabaseHashes, LogTables, read_leaves
from materialabs.store.node import Node, NodeHashes

MOST_COMPARED: Final = 4000
"""Tiles that are compared to name the entry that was changed: a million entries."""


@dataclass(frozen=True)
class Held:
    """What is here of another node's log.

    Parameters
    ----------
    log
        Where it stands.
    size
        Entries that are here.
    believed
        The checkpoint that was believed last.
    """

    log: LogTables
    size: int
    believed: Checkpoint


def require_growth(connection: Connection, held: Held, node: Node, shown: Checkpoint) -> None:
    """Refuse a checkpoint that does not stand for what was believed, and more.

    Raises
    ------
    MirrorError
        Naming the first entry that differs, where it can be found.
    """
    old = held.believed
    if shown.size < old.size:
        _refuse_shrunken(connection, held, node, shown)
    try:
        proof = consistency_proof(NodeHashes(node, shown.size), old.size, shown.size)
        verify_consistency(old.size, shown.size, proof, old.root, shown.root)
    except IntegrityError as error:
        raise MirrorError(_difference(connection, held, node, shown)) from error


def _refuse_shrunken(connection: Connection, held: Held, node: Node, shown: Checkpoint) -> None:
    """A smaller log than before: cut short, or with entries dropped from its middle."""
    sizes = f"The log {shown.origin} shrank from {held.believed.size} to {shown.size} entries"
    if shown.size > held.size:
        raise MirrorError(Evidence("shrunken", f"{sizes}."))
    root = held.believed.root
    if shown.size:
        root = subtree_root(DatabaseHashes(connection, held.log), 0, shown.size)
    if root == shown.root:
        raise MirrorError(Evidence("shrunken", f"{sizes}: its newest entries were dropped."))
    raise MirrorError(_difference(connection, held, node, shown))


def _difference(connection: Connection, held: Held, node: Node, shown: Checkpoint) -> Evidence:
    """Name the first entry in which what is shown differs from what is here."""
    log = shown.origin
    try:
        index = _first_difference(connection, held, node, shown)
    except MaterialabsError:
        index = None
    if index is None:
        sizes = f"{held.believed.size} entries that were believed and the {shown.size} shown now"
        return Evidence("forked", f"The log {log} is forked: the {sizes} have no common past.")
    ours = read_leaves(connection, index, min(index + 2, held.size), held.log)
    number = index // TILE_WIDTH
    width = min(TILE_WIDTH, shown.size - number * TILE_WIDTH)
    try:
        sent = node.entries(number, width)[index - number * TILE_WIDTH]
    except (MaterialabsError, IndexError):
        sent = b""
    kind = "dropped" if len(ours) > 1 and sent == ours[1] else "rewritten"
    words = f"it was {described(ours[0])}"
    if kind == "rewritten" and sent:
        words += f" and is shown as {described(sent)}"
    message = f"The log {log} is forked: entry {index} was {kind}; {words}."
    return Evidence(kind, message, index=index, held=leaf_text(ours[0]), sent=leaf_text(sent))


def _first_difference(
    connection: Connection, held: Held, node: Node, shown: Checkpoint
) -> int | None:
    reader = NodeHashes(node, shown.size)
    common = min(held.size, shown.size)
    for start in range(0, min(common, MOST_COMPARED * TILE_WIDTH), TILE_WIDTH):
        stop = min(start + TILE_WIDTH, common)
        theirs = reader.read(0, start, stop)
        ours = [leaf_hash(leaf) for leaf in read_leaves(connection, start, stop, held.log)]
        for place, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
            if mine != other:
                return start + place
    return None
