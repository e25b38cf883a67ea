"""Which format a file has, told by its content first and its name second."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from materialabs.crystals.files.entries import Parsed
from materialabs.crystals.files.opening import SUFFIXES, Source
from materialabs.errors import FileError, InputError

Reader = Callable[[Source], Iterator[Parsed]]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Parameters
    ----------
    name
        What it is called in ``format=``.
    meaning
        In words.
    reader
        Module and function that read it.
    endings
        Endings of its files' names, in lower case.
    names
        Whole names of its files, in lower case.
    """

    name: str
    meaning: str
    reader: tuple[str, str]
    endings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


FORMATS: Final = {
    kind.name: kind
    for kind in (
        Format("cif", "CIF", ("cif", "read_cif"), (".cif", ".mcif")),
        Format("poscar", "VASP POSCAR", ("poscar", "read_poscar"),
               (".vasp", ".poscar", ".contcar"), ("poscar", "contcar")),
        Format("extxyz", "extended XYZ", ("extxyz", "read_extxyz"), (".xyz", ".extxyz")),
        Format("json", "JSON of pymatgen, OPTIMADE, ASE, or rows", ("json_objects", "read_json"),
               (".json",)),
        Format("jsonl", "JSON lines", ("json_objects", "read_json_lines"),
               (".jsonl", ".ndjson")),
        Format("ase-db", "ASE database", ("ase_sqlite", "read_ase_sqlite"), (".db",)),
        Format("traj", "ASE trajectory", ("trajectory", "read_trajectory"), (".traj",)),
        Format("vasprun", "vasprun.xml", ("vasprun", "read_vasprun"), (".xml",)),
        Format("csv", "table with a column of CIFs", ("tables", "read_table"),
               (".csv", ".tsv")),
    )
}  # fmt: skip
"""Every format that is read."""

_ALIASES: Final = {
    "xyz": "extxyz", "pymatgen": "json", "optimade": "json", "ase-json": "json", "vasp": "poscar",
    "ndjson": "jsonl", "optimade-jsonl": "jsonl",
}  # fmt: skip

_FLOATS: Final = re.compile(r"\s*(?:[-+.\deEdD]+\s+){2}[-+.\deEdD]+")
_DATA_LINE: Final = re.compile(rb"^[ \t]*data_", re.IGNORECASE | re.MULTILINE)


def known_ending(name: str) -> bool:
    """True for a file that a folder search takes."""
    return _by_name(_unpacked_name(name)) is not None


def _unpacked_name(name: str) -> str:
    lower = name.lower()
    ending = next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), "")
    return lower.removesuffix(ending)


def _by_name(name: str) -> str | None:
    for kind in FORMATS.values():
        if name.endswith(kind.endings) and kind.endings:
            return kind.name
        if any(
            name == whole or name.startswith((f"{whole}.", f"{whole}_")) for whole in kind.names
        ):
            return kind.name
    return None


def named(format_name: str) -> str:
    """The proper name of a format that a user gives."""
    lower = format_name.lower().lstrip(".")
    name = _ALIASES.get(lower, lower)
    if name not in FORMATS:
        raise InputError(
            f"There is no format {format_name!r}; there are {', '.join(FORMATS)}.",
            code="file.unknown_format",
        )
    return name


def reader_of(format_name: str) -> Reader:
    """The function that reads a format, imported when it is first needed."""
    module, function = FORMATS[format_name].reader
    return cast("Reader", getattr(import_module(f"{__package__}.{module}"), function))


def detect(source: Source) -> str:
    """Tell the format of a file.

    Raises
    ------
    FileError
        When it is empty, binary of no known kind, or nothing fits.
    """
    head = source.head()
    if not head:
        raise FileError("is empty")
    name = _by_name(_unpacked_name(source.path.name))
    return _by_magic(head) or _by_text(head, name)


def _by_magic(head: bytes) -> str | None:
    if head.startswith(b"SQLite format 3\x00"):
        return "ase-db"
    if head.startswith((b"- of Ulm", b"AFFormat")):
        return "traj"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise FileError(
            "is a pickle, which can run any program when it is opened: it is never read"
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    if b"\x00" in head:
        raise FileError("is binary, of no kind that is read")
    return None


def _by_text(head: bytes, name: str | None) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise FileError("is empty")
    if text.startswith((b"<?xml", b"<modeling", b"<!DOCTYPE")):
        return "vasprun"
    if text[:1] in (b"{", b"["):
        return "jsonl" if name == "jsonl" and text[:1] == b"{" else "json"
    if name in ("csv", "cif", "extxyz", "poscar"):
        return name
    guess = _by_lines(text)
    if guess is None:
        raise FileError(
            "is of no kind that is read: name the kind with format=, one of " + ", ".join(FORMATS)
        )
    return guess


def _by_lines(text: bytes) -> str | None:
    if _DATA_LINE.search(text):
        return "cif"
    lines = text[:4096].decode("latin-1").splitlines()
    if lines and lines[0].strip().isdecimal():
        return "extxyz"
    if len(lines) > 6 and all(_FLOATS.match(line) for line in lines[2:5]):
        return "poscar"
    if lines and re.search(r"(^|[,;\t])\"?(cif|structure)\"?([,;\t]|$)", lines[0]):
        return "csv"
    return None
