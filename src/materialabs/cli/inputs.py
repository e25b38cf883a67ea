"""How verbs take files and settings; the one place where settings are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materialabs.cli.output import note

if TYPE_CHECKING:
    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.files import ReadReport
    from materialabs.settings import Settings

SHOWN_NOTES = 5
"""Notes on what was read that are printed."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings from the environment, with one sentence for a wrong one."""
    from pydantic import ValidationError

    from materialabs.errors import InputError
    from materialabs.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        subject = f"The setting MATERIALABS_{name}: " if name else ""
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{subject}{said}.") from error


def read_crystals(paths: Sequence[str], *, ordered: bool = False) -> tuple[Crystals, ReadReport]:
    """Read crystals and the report of what was refused."""
    from materialabs.crystals.files import ReadReport, read

    report = ReadReport()
    crystals = read(list(paths), report=report, progress=None if settings().progress else False)
    return (crystals.ordered() if ordered else crystals), report


def write_crystals(crystals: Crystals, output: Path, *, format: str | None = None) -> str:
    """Write crystals, and say where they are."""
    from materialabs.crystals.files import write

    written = write(crystals, output, format=format)
    return str(written[0]) if len(written) == 1 else f"{len(written)} files in {output}"


def said_of(report: ReadReport) -> list[dict[str, Any]]:
    """What was changed or left open on reading, as rows: each sentence and how often it holds."""
    counts = Counter(one.text for one in report.notes)
    first = {one.text: one.path for one in reversed(report.notes)}
    return [
        {"note": text, "crystals": number, "first": first[text]}
        for text, number in counts.most_common()
    ]


def show_notes(report: ReadReport) -> None:
    """Say on standard error what was changed or left open, the most frequent first."""
    rows = said_of(report)
    for row in rows[:SHOWN_NOTES]:
        note(f"{row['crystals']} x {row['note']} ({row['first']})")
    if len(rows) > SHOWN_NOTES:
        note(f"... and {len(rows) - SHOWN_NOTES} other notes; inspect --json lists all.")


def refusals(report: ReadReport) -> list[dict[str, Any]]:
    """What was refused, as rows to print."""
    return [{"file": one.path, "place": one.place, "reason": one.reason} for one in report.entries]
