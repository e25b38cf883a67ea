"""What was read, what was refused and why."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 3
"""Reasons that a warning quotes."""


class RefusedWarning(UserWarning):
    """Some files or entries were not read; pass ``report=ReadReport()`` to see each."""


@dataclass(frozen=True)
class Refusal:
    """One file or entry that was not read.

    Parameters
    ----------
    path
        The file.
    place
        Where inside the file: a line, a block, an index; empty for the whole file.
    reason
        What is wrong with it.
    """

    path: str
    place: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.path} ({self.place})" if self.place else self.path
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class Note:
    """Something that a reader should know of an entry that was read."""

    path: str
    place: str
    text: str

    def __str__(self) -> str:
        where = f"{self.path} ({self.place})" if self.place else self.path
        return f"{where}: {self.text}"


@dataclass
class ReadReport:
    """Filled by :func:`~materialabs.crystals.files.read`.

    Parameters
    ----------
    read
        Number of crystals read.
    entries
        Everything that was refused.
    notes
        What was changed or left open on reading, for entries that were read.
    """

    read: int = 0
    entries: list[Refusal] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Number of files and entries refused."""
        return len(self.entries)

    def table(self) -> str:
        """The refused ones as a table of text: file, place, reason."""
        if not self.entries:
            return f"{self.read:,} crystals read, none refused."
        rows = [("file", "place", "reason")]
        rows += [(entry.path, entry.place, entry.reason) for entry in self.entries]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        lines = [
            f"{path:<{widths[0]}}  {place:<{widths[1]}}  {reason}" for path, place, reason in rows
        ]
        return "\n".join([f"{self.read:,} crystals read, {self.refused:,} refused.", *lines])

    def __str__(self) -> str:
        return self.table()

    def sentence(self) -> str:
        """Count and first reasons in one sentence."""
        first = "; ".join(str(entry) for entry in self.entries[:SHOWN])
        more = f"; and {self.refused - SHOWN:,} more" if self.refused > SHOWN else ""
        return f"{self.refused:,} refused, {self.read:,} crystals read. {first}{more}"
