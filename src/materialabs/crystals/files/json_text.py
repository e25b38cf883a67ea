"""JSON piece by piece: lines, elements of a long list, or one document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from materialabs.crystals.files.opening import BLOCK, Source, decoded
from materialabs.errors import FileError, one_line

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = " \t\r\n"


def load(text: str) -> Any:
    """Read one JSON document, with a sentence for what is wrong."""
    try:
        return json.loads(text)
    except RecursionError:
        raise FileError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise FileError(
            f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise FileError(f"is not valid JSON: {one_line(error)}") from None


def lines(source: Source) -> Iterator[tuple[int, str]]:
    """Line numbers and lines that are not blank."""
    for number, line in enumerate(source.lines(), 1):
        if line and not line.isspace():
            yield number, line


def elements(source: Source) -> Iterator[tuple[int, Any]]:
    """The elements of a JSON list one after the other, without holding the list.

    Raises
    ------
    FileError
        Where the text stops being a list.
    """
    with source.open() as stream:
        buffer = _Buffer(stream, source.limits.entry_bytes)
        if buffer.next_character() != "[":
            raise FileError("is not a JSON list")
        buffer.position += 1
        index = 0
        while (character := buffer.next_character()) != "]":
            if index:
                if character != ",":
                    raise FileError(f"is not valid JSON after element {index} of its list")
                buffer.position += 1
            yield index, buffer.element()
            index += 1


class _Buffer:
    """Text of a stream, of which only the unread part is kept."""

    def __init__(self, stream: Any, longest: int) -> None:
        self._stream = stream
        self._longest = longest
        self._rest = b""
        self._text = ""
        self.position = 0

    def next_character(self) -> str:
        """The next character that is not a space, not yet taken; empty at the end."""
        while True:
            while self.position < len(self._text):
                if self._text[self.position] not in _SPACE:
                    return self._text[self.position]
                self.position += 1
            if not self._more(BLOCK):
                raise FileError("is not valid JSON: its list is not closed")

    def element(self) -> Any:
        """Decode the next value, reading on while it is cut off."""
        self.next_character()
        size = BLOCK
        while True:
            try:
                value, self.position = _DECODER.raw_decode(self._text, self.position)
                if self.position < len(self._text) or not self._more(BLOCK):
                    return value
                # a value that ends with the text may go on in what follows
                start = self.position
                if self._text[start] in _SPACE + ",]":
                    return value
            except RecursionError:
                raise FileError("is nested too deeply") from None
            except json.JSONDecodeError as error:
                if len(self._text) - self.position > self._longest or not self._more(size):
                    raise FileError(f"is not valid JSON: {error.msg} in its list") from None
                size *= 2
            except ValueError as error:
                raise FileError(f"is not valid JSON: {one_line(error)}") from None

    def _more(self, size: int) -> bool:
        data = self._stream.read(size)
        if not data:
            return False
        whole = self._rest + data
        cut = len(whole) - _unfinished(whole)
        self._rest = whole[cut:]
        self._text = self._text[self.position :] + decoded(whole[:cut])
        self.position = 0
        return True


def _unfinished(data: bytes) -> int:
    """Bytes at the end that begin a UTF-8 character which goes on in the next block."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
    return 0
