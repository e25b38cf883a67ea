"""What was caught against another node's log, in words and in the bytes that prove it."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from materialabs.errors import IntegrityError
from materialabs.ledger.entries import LogEntry, timestamp

CONVICTING: Final = frozenset({"forked", "rewritten", "dropped"})
"""Kinds that two signed checkpoints prove: the log showed two pasts. It is not asked again."""

MOST_EVIDENCE: Final = 100
"""Pieces kept of each mirror."""

LONGEST_NOTE: Final = 10_000
"""Characters of a checkpoint that are kept."""


@dataclass(frozen=True)
class Evidence:
    """One thing that was caught.

    Parameters
    ----------
    kind
        ``forked``, ``rewritten`` and ``dropped`` (two signed checkpoints contradict each other),
        ``shrunken``, ``damaged`` (what was sent is not what the checkpoint stands for),
        ``forged`` (a signature), ``missing`` (content that no node gives).
    message
        One sentence that names what is wrong and where.
    url, time
        Where and when it was seen.
    believed, shown
        The checkpoint that was believed before, and the one that was shown now.
    index
        The entry in question; -1 where it is not known.
    held, sent
        That entry as it is here and as it was shown, base64; empty where unknown.
    """

    kind: str
    message: str
    url: str = ""
    time: str = ""
    believed: str = ""
    shown: str = ""
    index: int = -1
    held: str = ""
    sent: str = ""

    @property
    def convicts(self) -> bool:
        """Whether this proves that the log lied, whoever looks at it."""
        return self.kind in CONVICTING and bool(self.believed and self.shown)


class MirrorError(IntegrityError):
    """Something about another node's log is wrong; nothing of it was stored.

    Parameters
    ----------
    evidence
        What was caught.
    """

    default_code = "mirror"

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(evidence.message, code=f"mirror.{evidence.kind}")
        self.evidence = evidence

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary with the evidence."""
        return (type(self), (self.evidence,))


def read_evidence(text: str) -> list[Evidence]:
    """Evidence from its stored form."""
    try:
        return [Evidence(**one) for one in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise IntegrityError("The evidence kept against a mirror is damaged.") from error


def write_evidence(listed: list[Evidence]) -> str:
    """The stored form of evidence, the oldest of too many left out."""
    return json.dumps([asdict(one) for one in listed[-MOST_EVIDENCE:]])


def completed(evidence: Evidence, url: str, believed: str, shown: str) -> Evidence:
    """Evidence with where, when, and the checkpoints."""
    known: dict[str, Any] = asdict(evidence) | {
        "url": url,
        "time": timestamp(),
        "believed": believed[:LONGEST_NOTE],
        "shown": shown[:LONGEST_NOTE],
    }
    return Evidence(**known)


def leaf_text(leaf: bytes) -> str:
    """A leaf as evidence keeps it."""
    return base64.b64encode(leaf).decode()


def described(leaf: bytes) -> str:
    """A leaf in a few words."""
    try:
        entry = LogEntry.parse(leaf)
    except IntegrityError:
        return "bytes that are no entry"
    what = f" {entry.record[:16]}" if entry.record else ""
    return f"{entry.kind}{what} of {entry.time}"
