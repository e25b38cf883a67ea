"""Read crystals from any number of files of any kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files.entries import Entry, Parsed, Refused, assemble
from materialabs.crystals.files.finding import Paths, find_files
from materialabs.crystals.files.formats import detect, named, reader_of
from materialabs.crystals.files.limits import Limits
from materialabs.crystals.files.opening import Source
from materialabs.crystals.files.report import Note, ReadReport, Refusal, RefusedWarning
from materialabs.errors import FileError, one_line
from materialabs.progress import track

CHUNK = 2000
"""Crystals of one batch of a stream."""


def read(
    paths: Paths,
    *,
    format: str | None = None,
    report: ReadReport | None = None,
    limits: Limits | None = None,
    progress: bool | None = None,
) -> Crystals:
    """Read crystals from files; one that cannot be read never stops the rest.

    Parameters
    ----------
    paths
        A file, a pattern such as ``"structures/*.cif"``, a folder, or a list of these. Files may
        be packed (.gz, .bz2, .xz).
    format
        The kind of all the files; by default told by content and name.
    report
        Filled with what was read and what was refused, and why. Without one, a warning gives the
        number and the first reasons.
    limits
        How large files and crystals may be.
    progress
        Draw a bar or not; by default only on a terminal.

    Returns
    -------
    One batch in the order of the files, with the columns ``id`` and ``source``.

    Raises
    ------
    FileError
        When nothing at all could be read.

    Warns
    -----
    RefusedWarning
        When some were refused and no report was given.
    """
    own = ReadReport() if report is None else report
    batches = list(stream(paths, format=format, report=own, limits=limits, progress=progress))
    if report is None and own.entries:
        warnings.warn(own.sentence(), RefusedWarning, stacklevel=2)
    return Crystals.concat(batches)


def stream(
    paths: Paths,
    *,
    chunk: int = CHUNK,
    format: str | None = None,
    report: ReadReport | None = None,
    limits: Limits | None = None,
    progress: bool | None = None,
) -> Iterator[Crystals]:
    """Read crystals in batches, in memory that does not grow with the files.

    Parameters
    ----------
    paths, format, limits, progress
        As in :func:`read`.
    chunk
        Most crystals of one batch.
    report
        As in :func:`read`; it is complete when the stream has ended.
    """
    if chunk < 1:
        raise ValueError("A chunk holds at least one crystal.")
    kind = None if format is None else named(format)
    files, missing = find_files(paths)
    own = ReadReport() if report is None else report
    own.entries += [Refusal(name, "", reason) for name, reason in missing]
    before, refused = own.read, own.refused - len(missing)
    pending: list[tuple[Path, Entry]] = []
    guard = limits or Limits()
    for path, entry in _entries(files, kind, guard, own, progress):
        pending.append((path, entry))
        if len(pending) >= chunk:
            yield from _batches(pending, guard, own)
            pending = []
    yield from _batches(pending, guard, own)
    if own.read == before:
        raise FileError(_nothing(own.entries[refused:]))
    if report is None and own.entries:
        warnings.warn(own.sentence(), RefusedWarning, stacklevel=2)


def _nothing(refused: list[Refusal]) -> str:
    if not refused:
        return "No crystal was found in these files."
    more = f" ({len(refused) - 1:,} more refused)" if len(refused) > 1 else ""
    return f"Nothing could be read: {refused[0]}{more}."


def _entries(
    files: list[Path], kind: str | None, limits: Limits, report: ReadReport, show: bool | None
) -> Iterator[tuple[Path, Entry]]:
    """Every entry of every file; what is refused goes to the report."""
    many = len(files) > 1
    for path in track(files, label="reading", show=show if many else False):
        found = _parsed(Source(path, limits), kind)
        for parsed in found if many else track(found, label="reading", show=show):
            if isinstance(parsed, Entry):
                yield path, parsed
            else:
                report.entries.append(Refusal(str(path), parsed.place, parsed.reason))


def _parsed(source: Source, kind: str | None) -> Iterator[Parsed]:
    """Entries of one file; whatever ends the reading of it is one refusal."""
    count = 0
    try:
        reader = reader_of(detect(source) if kind is None else _checked(source, kind))
        for parsed in _quietly(reader(source)):
            count += 1
            if count > source.limits.entries:
                yield Refused(
                    f"entry {count}", f"is beyond the {source.limits.entries:,} that are read"
                )
                return
            yield parsed
    except Exception as error:  # whatever a file does to its parser, the next one is read
        yield Refused("" if count == 0 else f"after entry {count}", _reason(error))


def _quietly(found: Iterator[Parsed]) -> Iterator[Parsed]:
    """Overflow and the like in damaged numbers is no warning: the checks that follow find it."""
    while True:
        with np.errstate(all="ignore"):
            parsed = next(found, None)
        if parsed is None:
            return
        yield parsed


def _reason(error: Exception) -> str:
    """The sentence of an error that ended the reading of a file."""
    if isinstance(error, FileError):
        return str(error)
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    text = one_line(error)
    return f"cannot be read (unforeseen {type(error).__name__}: {text})"


def _checked(source: Source, kind: str) -> str:
    if not source.head():
        raise FileError("is empty")
    return kind


def _batches(
    pending: list[tuple[Path, Entry]], limits: Limits, report: ReadReport
) -> Iterator[Crystals]:
    """Check the pending entries and make a batch of the sound ones."""
    for path, entry in pending:
        _complete(path, entry)
    crystals, kept, refused = assemble([entry for _, entry in pending], limits)
    for index, reason in refused:
        path, entry = pending[index]
        report.entries.append(Refusal(str(path), entry.place, reason))
    for index in kept:
        path, entry = pending[index]
        for text in entry.notes:
            _note(report, str(path), entry.place, text)
    report.read += len(crystals)
    if len(crystals):
        yield crystals


def _complete(path: Path, entry: Entry) -> None:
    entry.columns.setdefault("source", f"{path}#{entry.place}" if entry.place else str(path))
    if entry.columns.get("id") is None:
        place = entry.place.rpartition(" ")[2]
        entry.columns["id"] = f"{path.stem}-{place}" if place else path.stem


def _note(report: ReadReport, path: str, place: str, text: str) -> None:
    """Keep a note once for each file."""
    last = report.notes[-50:]
    if not any(note.path == path and note.text == text for note in last):
        report.notes.append(Note(path, place, text))
