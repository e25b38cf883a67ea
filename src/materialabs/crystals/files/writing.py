"""Write crystals to files, whole or not at all."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO, cast

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import ase_writer, cif_writer, extxyz, optimade, poscar
from materialabs.crystals.files import pymatgen_json as pymatgen_form
from materialabs.crystals.files.names import fields_from
from materialabs.crystals.files.plain import json_text, plain
from materialabs.crystals.files.rows import rows_of
from materialabs.errors import InputError, ResourceError, one_line

Pieces = Callable[[Crystals], Iterable[str]]

LONGEST_FILE_NAME: Final = 100
"""Characters of a file name that is made from an id."""

SYMMETRY_TOLERANCE: Final = 0.01
"""Angstrom; atoms this near to their symmetric place are taken to be on it (pymatgen's default)."""


def _cif_pieces(crystals: Crystals) -> Iterator[str]:
    yield from cif_writer.blocks_of(crystals)


def _poscar_pieces(crystals: Crystals) -> Iterator[str]:
    if len(crystals) != 1:
        raise InputError(
            f"A POSCAR holds one crystal and there are {len(crystals)}: give a folder."
        )
    yield poscar.poscar_of(crystals)


def _json_pieces(crystals: Crystals) -> Iterator[str]:
    documents = pymatgen_form.documents_of(crystals)
    if len(crystals) == 1:
        yield json_text(next(documents))
        return
    yield from _listed(documents)


def _listed(documents: Iterable[dict[str, Any]]) -> Iterator[str]:
    separator = "["
    for document in documents:
        yield separator + json_text(document)
        separator = ",\n"
    yield "]\n"


def _row_pieces(crystals: Crystals) -> Iterator[str]:
    for row in rows_of(crystals):
        yield json_text(row) + "\n"


def _optimade_pieces(crystals: Crystals) -> Iterator[str]:
    head = json_text(optimade.document_of(crystals))
    yield head[:-1] + ', "data": '
    yield from _listed(optimade.resources_of(crystals))
    yield "}\n"


def _optimade_lines(crystals: Crystals) -> Iterator[str]:
    yield json_text({"x-optimade": {"api_version": optimade.VERSION}}) + "\n"
    for resource in optimade.resources_of(crystals):
        yield json_text(resource) + "\n"


def _csv_pieces(crystals: Crystals) -> Iterator[str]:
    names = [name for name in crystals.columns if name != "id"]
    yield _csv_line(["id", *fields_from(dict.fromkeys(names)), "cif"])
    blocks = cif_writer.blocks_of(crystals)
    for index, (name, block) in enumerate(zip(crystals.ids(), blocks, strict=True)):
        row = crystals.columns.row(index)
        cells = [plain(row[name]) if name in row else "" for name in names]
        texts = [json_text(cell) if isinstance(cell, (list, dict)) else cell for cell in cells]
        yield _csv_line([name, *texts, block])


def _csv_line(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


_TEXT: Final[dict[str, Pieces]] = {
    "cif": _cif_pieces,
    "poscar": _poscar_pieces,
    "extxyz": extxyz.frames_of,
    "json": _json_pieces,
    "jsonl": _row_pieces,
    "optimade": _optimade_pieces,
    "optimade-jsonl": _optimade_lines,
    "csv": _csv_pieces,
}
"""Formats that are text, as the pieces that they are written in."""

_BINARY: Final[dict[str, Callable[[Crystals, Path], None]]] = {
    "ase-db": ase_writer.write_database,
    "ase-json": ase_writer.write_json_database,
    "traj": ase_writer.write_trajectory,
}
"""Formats that a library of ASE writes to a path."""

ORDERED_ONLY: Final = {
    "poscar": "A POSCAR",
    "extxyz": "An extended XYZ file",
    "ase-db": "An ASE database",
    "ase-json": "An ASE database",
    "traj": "An ASE trajectory",
}
"""Formats without partial occupancy."""

_ALIASES: Final = {"pymatgen": "json", "vasp": "poscar", "xyz": "extxyz", "ndjson": "jsonl"}

_ENDINGS: Final = {
    ".cif": "cif", ".vasp": "poscar", ".poscar": "poscar", ".xyz": "extxyz",
    ".extxyz": "extxyz", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "csv", ".db": "ase-db", ".traj": "traj",
}  # fmt: skip

_FOLDER_ENDINGS: Final = {"cif": ".cif", "poscar": ".vasp"}
"""Formats of one crystal a file, and the ending of their files."""

_PACKERS: Final[dict[str, Callable[..., Any]]] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
}  # fmt: skip


def write(
    crystals: Crystals, path: str | os.PathLike[str], *, format: str | None = None
) -> list[Path]:
    """Write crystals to one file, or one file each into a folder; never half a file.

    Parameters
    ----------
    crystals
        The batch.
    path
        A file, packed where it ends in .gz, .bz2 or .xz; or for CIF and POSCAR a folder (one that
        exists, or a name that ends in ``/``), where each file is named by its crystal's id.
    format
        ``cif``, ``poscar``, ``extxyz``, ``json`` (pymatgen), ``jsonl`` (rows), ``optimade``,
        ``optimade-jsonl``, ``csv``, ``ase-db``, ``ase-json`` or ``traj``; by default told by the
        path, CIF for a folder.

    Returns
    -------
    The files written.

    Raises
    ------
    DisorderError
        When the format cannot hold partial occupancy and a crystal, which is named, has it.
    """
    if len(crystals) == 0:
        raise InputError("There are no crystals to write.")
    target = Path(path).expanduser()
    folder = _is_folder(os.fspath(path), target, format)
    kind = _kind(target, format, folder)
    if kind in ORDERED_ONLY:
        crystals.require_order(ORDERED_ONLY[kind])
    if folder:
        return _write_folder(crystals, target, kind)
    if kind == "poscar" and len(crystals) != 1:
        raise InputError(
            f"A POSCAR holds one crystal and there are {len(crystals)}: give a folder."
        )
    with replacing(target) as unfinished:
        if kind in _BINARY:
            _BINARY[kind](crystals, unfinished)
        else:
            _write_text(_TEXT[kind](crystals), unfinished, target.suffix.lower())
    return [target]


def write_symmetrised_cif(
    crystals: Crystals,
    path: str | os.PathLike[str],
    *,
    tolerance: float = SYMMETRY_TOLERANCE,
) -> list[Path]:
    """Write CIFs with their space group, conventional cell and independent atoms only.

    Parameters
    ----------
    crystals
        The batch.
    path
        A file, or a folder as for :func:`write`.
    tolerance
        Angstrom; how far an atom may be from its symmetric place.
    """
    if len(crystals) == 0:
        raise InputError("There are no crystals to write.")
    target = Path(path).expanduser()
    if not _is_folder(os.fspath(path), target, "cif"):
        with replacing(target) as unfinished:
            pieces = (_symmetrised(crystals[i], tolerance) for i in range(len(crystals)))
            _write_text(pieces, unfinished, target.suffix.lower())
        return [target]
    files = []
    _make_folder(target)
    for index, name in enumerate(_file_names(crystals.ids(), ".cif")):
        with replacing(target / name) as unfinished:
            _write_text([_symmetrised(crystals[index], tolerance)], unfinished, "")
        files.append(target / name)
    return files


def require_writable(path: str | os.PathLike[str], *, format: str | None = None) -> None:
    """Refuse a place where :func:`write` could not write, before long work begins.

    Parameters
    ----------
    path, format
        As in :func:`write`.
    """
    target = Path(path).expanduser()
    folder = _is_folder(os.fspath(path), target, format)
    _kind(target, format, folder)
    place = target if folder else _real_file(target).parent
    while folder and not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        why = "may not be written to" if place.is_dir() else "is not a folder that exists"
        raise ResourceError(f"{target} cannot be written: {place} {why}.")


def _symmetrised(crystal: Crystals, tolerance: float) -> str:
    from pymatgen.io.cif import CifWriter

    name = crystal.ids()[0]
    (structure,) = crystal.replace(columns={}, site_columns={}).to_pymatgen()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            text = str(CifWriter(structure, symprec=tolerance, significant_figures=10))
        except Exception as error:  # spglib finds no symmetry in some strained cells
            raise InputError(
                f"The symmetry of crystal {name!r} was not found at {tolerance:g} angstrom "
                f"({one_line(error, 100)}): try another tolerance."
            ) from None
    block = re.sub(r"[^A-Za-z0-9_.+-]", "_", name) or "crystal"
    return re.sub(r"^data_.*$", f"data_{block}", text, count=1, flags=re.MULTILINE)


def _is_folder(given: str, target: Path, format_name: str | None) -> bool:
    if given.endswith(("/", os.sep)) or target.is_dir():
        return True
    one_each = _ALIASES.get(format_name or "", format_name) in _FOLDER_ENDINGS
    named = target.name.upper().startswith(("POSCAR", "CONTCAR"))
    return one_each and not target.suffix and not named


def _kind(target: Path, format_name: str | None, folder: bool) -> str:
    if format_name is not None:
        lower = format_name.lower().lstrip(".")
        kind = _ALIASES.get(lower, lower)
        if kind not in _TEXT and kind not in _BINARY:
            raise InputError(
                f"There is no format {format_name!r} to write; there are "
                f"{', '.join([*_TEXT, *_BINARY])}.",
                code="file.unknown_format",
            )
    elif folder:
        kind = "cif"
    else:
        kind = _kind_by_name(target)
    if folder and kind not in _FOLDER_ENDINGS:
        raise InputError(f"The format {kind!r} goes into one file: give a file name, not a folder.")
    if kind in _BINARY and target.suffix.lower() in _PACKERS:
        raise InputError(f"The format {kind!r} is not packed: leave out {target.suffix!r}.")
    return kind


def _kind_by_name(target: Path) -> str:
    name = target.name
    if target.suffix.lower() in _PACKERS:
        name = target.stem
    if name.upper().startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    if name.lower().endswith((".optimade.json", ".optimade.jsonl")):
        return "optimade" if name.lower().endswith(".json") else "optimade-jsonl"
    kind = _ENDINGS.get(Path(name).suffix.lower())
    if kind is None:
        raise InputError(
            f"The ending of {target.name!r} names no format: use one of "
            f"{', '.join(_ENDINGS)}, or give format=.",
            code="file.unknown_format",
        )
    return kind


def _write_folder(crystals: Crystals, folder: Path, kind: str) -> list[Path]:
    _make_folder(folder)
    files = []
    for index, name in enumerate(_file_names(crystals.ids(), _FOLDER_ENDINGS[kind])):
        with replacing(folder / name) as unfinished:
            _write_text(_TEXT[kind](crystals[index]), unfinished, "")
        files.append(folder / name)
    return files


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"The folder {folder} cannot be made: {error.strerror or error}."
        ) from None


def _file_names(ids: list[str], ending: str) -> Iterator[str]:
    """Names without anything that a path means, each different."""
    taken: set[str] = set()
    for name in ids:
        stem = re.sub(r"[^A-Za-z0-9._+-]", "_", name).lstrip(".-")[:LONGEST_FILE_NAME] or "crystal"
        candidate, number = stem, 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{stem}_{number}"
        taken.add(candidate.lower())
        yield candidate + ending


def _write_text(pieces: Iterable[str], path: Path, packer: str) -> None:
    opener = _PACKERS.get(packer, open)
    with cast("TextIO", opener(path, "wt", encoding="utf-8", newline="\n")) as stream:
        stream.writelines(pieces)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside the target that takes its place when all went well.

    Raises
    ------
    ResourceError
        When the folder is missing, may not be written to, or is full.
    """
    target = _real_file(target)
    try:
        handle, name = tempfile.mkstemp(prefix=".unfinished-", dir=target.parent)
    except OSError as error:
        raise ResourceError(f"{target} cannot be written: {error.strerror or error}.") from None
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(target)
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        raise ResourceError(f"{target} cannot be written: {error.strerror or error}.") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _real_file(target: Path) -> Path:
    """The file that a link leads to; a device or a pipe would be replaced by a file and is not."""
    try:
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "a device or a pipe"
            raise InputError(f"{target} is {kind}: name a file to write.")
        return target.resolve() if target.is_symlink() else target
    except OSError as error:
        raise ResourceError(f"{target} cannot be written: {error.strerror or error}.") from None


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
