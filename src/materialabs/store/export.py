"""Write what a filter selects to files that others read, whole or not at all, page by page."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from materialabs.crystals.files.writing import replacing
from materialabs.errors import InputError, NotFound, ResourceError
from materialabs.progress import track
from materialabs.store.export_pages import StoredPage, composition_pages, structure_pages
from materialabs.store.export_texts import (
    cif_text,
    csv_head,
    csv_lines,
    frames,
    optimade_head,
    optimade_lines,
    record_lines,
)
from materialabs.store.query import Results
from materialabs.store.store import Store

FORMATS: Final = ("cif", "extxyz", "csv", "jsonl", "parquet", "optimade-jsonl", "ro-crate")
"""What is written: structures (cif, extxyz, optimade-jsonl), values (csv), both (jsonl, parquet,
ro-crate)."""

ENDINGS: Final = {
    ".optimade.jsonl": "optimade-jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv",
    ".xyz": "extxyz", ".extxyz": "extxyz", ".parquet": "parquet",
}  # fmt: skip
"""Ends of file names, the longest first."""


@dataclass
class Exported:
    """What an export wrote.

    Parameters
    ----------
    files
        A folder counts as one.
    structures, records
        How many.
    left_out
        (structure, reason) of what the format cannot hold.
    """

    files: list[Path] = field(default_factory=list)
    structures: int = 0
    records: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def count(self, page: StoredPage) -> None:
        """Add one page."""
        self.structures += len(page.rows)
        self.records += sum(len(records) for records in page.records.values())


@dataclass(frozen=True)
class Selection:
    """What is exported.

    Parameters
    ----------
    filter
        An OPTIMADE filter; empty for everything, records without a crystal included.
    sort
        Property names joined by commas, a minus before those that fall.
    predicted
        Whether models' values count for bare property names in the filter.
    """

    filter: str = ""
    sort: str = ""
    predicted: bool = False

    def results(self, store: Store) -> Results:
        """The structures."""
        return store.query(self.filter, sort=self.sort, predicted=self.predicted)


def export(
    store: Store,
    output: str | Path,
    *,
    filter: str = "",
    sort: str = "",
    predicted: bool = False,
    format: str = "",
    licence: str = "",
    progress: bool | None = None,
) -> Exported:
    """Write structures and values; every value carries its method and level.

    Parameters
    ----------
    store
        Where from.
    output
        A file whose ending names the format, or a folder that does not exist yet (CIF files, or
        an RO-Crate).
    filter, sort, predicted
        As for :meth:`Store.query`. With an empty filter, records without a crystal are written
        too where the format holds them.
    format
        One of :data:`FORMATS`; by default told by the ending, CIF for a folder.
    licence
        Of an RO-Crate as a whole: a URL or a name such as CC-BY-4.0; by default those that its
        records were given under.
    progress
        Show a bar; by default on a terminal.
    """
    target = Path(output).expanduser()
    kind = _format(target, format)
    chosen = Selection(filter, sort, predicted)
    done = Exported([target])
    if kind == "ro-crate":
        from materialabs.store.ro_crate import write_crate

        with building_folder(target) as folder:
            write_crate(store, chosen, folder, licence, done, progress)
        return done
    if kind == "cif":
        with building_folder(target) as folder:
            write_cifs(store, chosen, folder, done, progress)
    elif kind == "parquet":
        from materialabs.store.export_parquet import write_parquet

        with replacing(target) as unfinished:
            write_parquet(pages(store, chosen, kind, done, progress), unfinished)
    else:
        with replacing(target) as unfinished:
            write_lines(store, chosen, kind, unfinished, done, progress)
    return done


def _format(target: Path, given: str) -> str:
    if given:
        if given not in FORMATS:
            raise InputError(f"There is no format {given!r}; there are {', '.join(FORMATS)}.")
        return given
    name = target.name.lower()
    found = next((kind for ending, kind in ENDINGS.items() if name.endswith(ending)), None)
    if found is not None:
        return found
    if target.suffix and not target.is_dir():
        raise InputError(
            f"The ending of {target.name!r} names no format; name one of {', '.join(FORMATS)}."
        )
    return "cif"


def pages(
    store: Store, chosen: Selection, kind: str, done: Exported, progress: bool | None
) -> Iterator[StoredPage]:
    """The pages of a selection that a format holds, counted."""
    results = chosen.results(store)
    total = results.count()
    whole = not chosen.filter.strip() and kind in ("csv", "jsonl", "parquet")
    found = structure_pages(store, results)
    for page in track(found, label=f"exporting {total} structures", show=progress):
        done.count(page)
        yield page
    if whole:
        for page in composition_pages(store):
            done.count(page)
            yield page
    if not done.structures and not done.records:
        raise NotFound("The filter selects nothing, so that nothing was written.")


Lines = Callable[[Store, StoredPage, Exported], Iterator[str]]

_LINES: Final[dict[str, tuple[Callable[[], str], Lines]]] = {
    "csv": (csv_head, lambda _store, page, _done: csv_lines(page)),
    "jsonl": (lambda: "", lambda store, page, _done: record_lines(store, page)),
    "optimade-jsonl": (optimade_head, lambda _store, page, _done: optimade_lines(page)),
    "extxyz": (lambda: "", lambda _store, page, done: frames(page, done.left_out)),
}


def write_lines(
    store: Store,
    chosen: Selection,
    kind: str,
    path: Path,
    done: Exported,
    progress: bool | None,
) -> None:
    """Write a format that is text to a path of its own."""
    head, lines = _LINES[kind]
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(head())
        for page in pages(store, chosen, kind, done, progress):
            stream.writelines(lines(store, page, done))


def write_cifs(
    store: Store, chosen: Selection, folder: Path, done: Exported, progress: bool | None
) -> None:
    """One CIF for each structure, named by formula and crystal."""
    for page in pages(store, chosen, "cif", done, progress):
        for place, row in enumerate(page.rows):
            formula = "".join(sign for sign in row["formula"] if sign.isalnum() or sign == ".")
            path = folder / f"{formula[:60]}_{row['name']}.cif"
            path.write_text(cif_text(page, place), encoding="utf-8")


@contextmanager
def building_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside the target that takes its place when all went well."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists already: name a folder that does not, or an empty one.")
    try:
        folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target.absolute().parent))
    except OSError as error:
        raise ResourceError(f"{target} cannot be written: {error.strerror or error}.") from error
    try:
        yield folder
        mask = os.umask(0o022)
        os.umask(mask)
        folder.chmod(0o777 & ~mask)
        folder.replace(target)
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        raise ResourceError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
