"""HTML of the report: elements that escape what they hold, tables, and how it looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

_DIGITS: Final = re.compile(r"(?<=[A-Za-z)\]])\d+(?:\.\d+)?")


class Html(str):
    """Text that is markup; every other text is escaped where it is put in."""

    __slots__ = ()


def joined(parts: Iterable[Any]) -> Html:
    """Parts one after the other, escaped where they are not markup."""
    return Html("".join(p if isinstance(p, Html) else escape(_text(p)) for p in parts))


def element(name: str, /, *parts: Any, **attributes: str) -> Html:
    """One element; ``class_`` loses its underscore."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value, quote=True)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{told}>{joined(parts)}</{name}>")


def table(heads: Sequence[Any], rows: Iterable[Sequence[Any]], *, numeric: int = 0) -> Html:
    """A table whose last ``numeric`` columns are numbers."""
    first = len(heads) - numeric

    def line(kind: str, cells: Sequence[Any]) -> Html:
        made = [
            element(kind, cell, **({"class_": "number"} if place >= first else {}))
            for place, cell in enumerate(cells)
        ]
        return element("tr", *made)

    head = element("thead", line("th", heads))
    body = element("tbody", *(line("td", row) for row in rows))
    return element("div", element("table", head, body), class_="wide")


def formula(text: str) -> Html:
    """A formula or a reaction with its amounts set low."""
    return Html(_DIGITS.sub(lambda found: f"<sub>{found.group()}</sub>", escape(text)))


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    if value is None or value != value:
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


STYLE: Final = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --back: #f5f7f9; --lead: #0b6e6e;
  --tint: #e3f1f0; --bad: #a8321f; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 Helvetica, Arial, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: .4rem 0 .2rem; letter-spacing: -.02em; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1.1rem; margin: 0 0 .4rem; }
p { margin: .5rem 0; max-width: 60rem; }
sub { font-size: .72em; line-height: 0; }
code { font: .85em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem;
  overflow-x: auto; }
.soft { color: var(--soft); } .small { font-size: .88rem; } .bad { color: var(--bad); }
.lead { font-size: 1.12rem; max-width: 60rem; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.3rem; margin: 1rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem;
  margin: 1.2rem 0; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.7rem; line-height: 1.2; color: var(--lead);
  overflow-wrap: anywhere; }
.split { display: grid; align-items: start; gap: 1.3rem;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.split > * { min-width: 0; }
.figure { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: .4rem;
  overflow-x: auto; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: .88rem; padding: .2rem .8rem .6rem; }
.wide { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: 10px;
  margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .42rem .7rem; vertical-align: baseline; }
th { color: var(--soft); font-size: .8rem; border-bottom: 1px solid var(--line); }
tbody tr + tr td { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
canvas.crystal { width: 100%; height: 300px; touch-action: none; cursor: grab;
  background: linear-gradient(#fff, #f3f6f8); border-radius: 8px; }
.tag { display: inline-block; border-radius: 99px; padding: .05rem .7rem; font-size: .8rem;
  background: var(--tint); color: var(--lead); vertical-align: middle; margin-left: .5rem; }
.tag.given { background: #eceff2; color: var(--soft); }
details > summary { cursor: pointer; color: var(--lead); margin: .6rem 0; }
dl { margin: .3rem 0; display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem;
  align-content: start; }
dd ul { margin: 0; padding-left: 1.1rem; }
dt { color: var(--soft); } dd { margin: 0; }
@media print { body { background: #fff; } .card, .figure, .tile { break-inside: avoid; } }
"""
