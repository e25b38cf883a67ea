"""The text of a CIF: data blocks with their items and loops (Hall, Allen and Brown, 1991)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from materialabs.errors import FileError

_TOKEN: Final = re.compile(
    r"""^;(?P<field>.*?)^;"""
    r"""|'(?P<single>(?:[^'\n]|'(?!\s|\Z))*+)'"""
    r"""|"(?P<double>(?:[^"\n]|"(?!\s|\Z))*+)\""""
    r"""|(?P<open>['"][^\n]*)"""
    r"""|(?P<comment>\#[^\n]*)"""
    r"""|(?P<bare>\S+)""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
"""A quote ends before a space; one that never ends takes its line, so that no line is searched
twice."""

_KEYWORD: Final = re.compile(r"(?:data_|loop_$|save_|global_$|stop_$)", re.IGNORECASE)

_BLOCK_START: Final = re.compile(r"^[ \t]*data_", re.IGNORECASE | re.MULTILINE)


@dataclass
class Block:
    """One data block.

    Parameters
    ----------
    name
        What follows ``data_``.
    items
        Single values by tag in lower case, with dots as underscores.
    loops
        Columns of values by tag, in the same form.
    """

    name: str
    items: dict[str, str] = field(default_factory=dict)
    loops: dict[str, list[str]] = field(default_factory=dict)

    def value(self, *tags: str) -> str | None:
        """The first of these tags that has a value; a loop of one row counts."""
        for tag in tags:
            found = self.items.get(tag)
            if found is None and len(self.loops.get(tag, ())) == 1:
                found = self.loops[tag][0]
            if found is not None and found not in ("?", "."):
                return found
        return None

    def column(self, *tags: str) -> list[str] | None:
        """The first of these tags that is a loop; a single value counts as one row."""
        for tag in tags:
            if tag in self.loops:
                return self.loops[tag]
            if tag in self.items:
                return [self.items[tag]]
        return None


def split_blocks(text: str) -> list[str]:
    """Cut a CIF at its ``data_`` lines; what stands before the first belongs to none."""
    starts = [match.start() for match in _BLOCK_START.finditer(text)]
    if not starts:
        return []
    return [text[start:stop] for start, stop in zip(starts, [*starts[1:], len(text)], strict=True)]


def parse_block(text: str) -> Block:
    """Read one data block."""
    tokens = _tokens(text)
    kind, header = next(tokens, ("", ""))
    if kind != "keyword" or not header.lower().startswith("data_"):
        raise FileError("is not a CIF: it does not begin with data_")
    block = Block(header[5:])
    tag: str | None = None
    loop: list[str] | None = None
    values: list[str] = []
    for kind, token in tokens:
        if kind == "value":
            if tag is not None:
                block.items[tag] = token
                tag = None
            elif loop:
                values.append(token)
            continue
        if kind == "tag" and loop is not None and not values:
            loop.append(_normal(token))
            continue
        _close_loop(block, loop, values)
        loop, values = None, []
        tag = _normal(token) if kind == "tag" else None
        if token.lower() == "loop_":
            loop = []
    _close_loop(block, loop, values)
    return block


def _normal(tag: str) -> str:
    return tag.lower().replace(".", "_")


def _close_loop(block: Block, loop: list[str] | None, values: list[str]) -> None:
    if not loop:
        return
    width = len(loop)
    if len(values) % width:
        raise FileError(
            f"has a loop of {width} columns ({loop[0]} ...) with {len(values)} values, "
            "which do not fill its rows"
        )
    for place, tag in enumerate(loop):
        block.loops[tag] = values[place::width]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "bare":
            if token[0] == "_":
                yield "tag", token
            elif _KEYWORD.match(token):
                yield "keyword", token
            else:
                yield "value", token
        elif kind != "comment":
            value = str(match.group(str(kind)))
            yield "value", value.removesuffix("\n") if kind == "field" else value
