"""Open a file, packed or not, and never read more of it than is allowed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from materialabs.crystals.files.limits import Limits
from materialabs.errors import FileError, one_line

HEAD: Final = 1 << 16
"""Bytes that are looked at to tell the format."""

BLOCK: Final = 1 << 20
"""Bytes that are unpacked at a time."""

PACKED: Final = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
"""First bytes of packed files."""

SUFFIXES: Final = (".gz", ".bz2", ".xz")

UNPACKING_ERRORS: Final = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than a number of bytes, with sentences for damage."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self._left = most
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        try:
            data = self._stream.read(min(len(view), BLOCK))
        except EOFError:
            raise FileError("is cut short: its packed stream has no end") from None
        except UNPACKING_ERRORS as error:
            raise FileError(f"is damaged: it cannot be unpacked ({one_line(error)})") from None
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror or error}") from None
        self._left -= len(data)
        if self._left < 0:
            raise FileError(
                f"is larger than {self._most:,} bytes when unpacked: raise the limit to read it",
                code="file.too_large",
            )
        view[: len(data)] = data
        return len(data)


@dataclass(frozen=True)
class Source:
    """A file to read.

    Parameters
    ----------
    path
        Where it is.
    limits
        How much of it is read.
    """

    path: Path
    limits: Limits

    @property
    def name(self) -> str:
        """File name without the ending of a packer."""
        name = self.path.name
        return self.path.stem if name.lower().endswith(SUFFIXES) else name

    @property
    def stem(self) -> str:
        """File name without endings, the id of a crystal that has no other."""
        return self.name.rpartition(".")[0] or self.name

    @contextmanager
    def open(self, most: int | None = None) -> Iterator[io.BufferedReader]:
        """The unpacked bytes, at most ``most`` of them."""
        self._require_regular()
        try:
            raw = self.path.open("rb")
        except OSError as error:
            raise FileError(f"cannot be opened: {error.strerror or error}") from None
        with raw:
            stream = _unpacked(raw)
            bounded = _Bounded(stream, self.limits.unpacked_bytes if most is None else most)
            yield io.BufferedReader(bounded, BLOCK)

    def _require_regular(self) -> None:
        try:
            mode = self.path.stat().st_mode
        except OSError as error:
            raise FileError(f"cannot be opened: {error.strerror or error}") from None
        except ValueError:
            raise FileError("cannot be opened: its name is not allowed") from None
        if stat.S_ISDIR(mode):
            raise FileError("is a folder, not a file")
        if not stat.S_ISREG(mode):
            raise FileError("is a device or a pipe, not a file")

    def head(self) -> bytes:
        """The first unpacked bytes."""
        with self.open() as stream:
            return stream.read(HEAD)

    def read_bytes(self) -> bytes:
        """All unpacked bytes of a file that is held in memory whole."""
        with self.open(self.limits.file_bytes) as stream:
            return stream.read()

    def text(self) -> str:
        """All of it as text."""
        return decoded(self.read_bytes())

    def lines(self) -> Iterator[str]:
        """Lines without their ends; one that is too long is refused."""
        with self.open() as stream:
            longest = self.limits.entry_bytes
            first = True
            while line := stream.readline(longest + 1):
                if len(line) > longest:
                    raise FileError(f"has a line of more than {longest:,} bytes")
                yield decoded(line).rstrip("\r\n") if first else _plain(line).rstrip("\r\n")
                first = False

    @contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """A file in which one can jump: itself, or its unpacked copy, gone afterwards."""
        with self.open(self.limits.file_bytes) as stream:
            if not is_packed(self.path):
                stream.close()
                with self.path.open("rb") as plain:
                    yield plain
                return
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(stream, copy, BLOCK)
                copy.seek(0)
                yield cast("BinaryIO", copy)

    @contextmanager
    def plain_path(self) -> Iterator[Path]:
        """A path to the unpacked file, for programs that insist on a path."""
        if not is_packed(self.path):
            self._require_regular()
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "unpacked"
            with self.open(self.limits.file_bytes) as stream, copy.open("wb") as target:
                shutil.copyfileobj(stream, target, BLOCK)
            yield copy


def is_packed(path: Path) -> bool:
    """True when the first bytes are those of a packer."""
    with path.open("rb") as stream:
        return _packer(stream.read(8)) != ""


def _packer(start: bytes) -> str:
    return next((name for magic, name in PACKED.items() if start.startswith(magic)), "")


def _unpacked(raw: BinaryIO) -> BinaryIO:
    start = raw.read(8)
    raw.seek(0)
    packer = _packer(start)
    if packer == "gz":
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    if packer == "bz2":
        return cast("BinaryIO", bz2.BZ2File(raw))
    if packer == "xz":
        return cast("BinaryIO", lzma.LZMAFile(raw))
    return raw


def decoded(data: bytes) -> str:
    """Text of bytes: UTF-8, UTF-16 where marked, or else Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return _plain(data.removeprefix(b"\xef\xbb\xbf"))


def _plain(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
