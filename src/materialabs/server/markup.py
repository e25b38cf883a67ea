"""HTML that cannot be broken into: whatever is not markup already is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, TypeAlias

from fastapi.responses import HTMLResponse

from materialabs.server.style import STYLE


class Html(str):
    """Text that is markup; every other text is escaped where it is put in."""

    __slots__ = ()


Part: TypeAlias = str | int | float | None

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded from anywhere, and no script runs, whatever a page holds."""

_VOID: Final = frozenset({"input", "br", "meta", "link"})
_DIGITS: Final = re.compile(r"\d+(?:\.\d+)?")


def joined(parts: Iterable[Part]) -> Html:
    """Parts one after the other, escaped where they are not markup."""
    texts = (part if isinstance(part, Html) else escape("" if part is None else str(part))
             for part in parts)  # fmt: skip
    return Html("".join(texts))


def element(name: str, /, *parts: Part, **attributes: Part | bool) -> Html:
    """One element; ``class_`` and ``for_`` lose their underscore, others take a hyphen for it.

    An attribute that is true stands without a value; one that is false or nothing is left out.
    """
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(str(value), quote=True)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{told}>" + ("" if name in _VOID else f"{joined(parts)}</{name}>"))


def table(
    heads: Sequence[Part],
    rows: Iterable[Sequence[Part]],
    numeric: Iterable[int] = (),
    wrapped: Iterable[int] = (),
) -> Html:
    """A table that scrolls sideways where the window is narrow.

    Parameters
    ----------
    heads, rows
        Cells.
    numeric
        Columns of numbers, which are set flush right.
    wrapped
        Columns of longer texts.
    """
    kinds = dict.fromkeys(numeric, "number") | dict.fromkeys(wrapped, "text")

    def line(kind: str, cells: Sequence[Part]) -> Html:
        made = (element(kind, cell, class_=kinds.get(place)) for place, cell in enumerate(cells))
        return element("tr", joined(made))

    head = element("thead", line("th", heads))
    body = element("tbody", joined(line("td", row) for row in rows))
    return element("div", element("table", head, body), class_="wide")


def facts(pairs: Iterable[tuple[Part, Part]]) -> Html:
    """Names with what they are; unknown ones are left out."""
    return element(
        "dl",
        joined(
            element("div", element("dt", name), element("dd", value))
            for name, value in pairs
            if value not in (None, "")
        ),
    )


def formula(text: str) -> Html:
    """A formula with its numbers set low."""
    plain = escape(text)
    return Html(_DIGITS.sub(lambda found: f"<sub>{found.group()}</sub>", plain))


def page(title: str, *parts: Part, status: int = 200) -> HTMLResponse:
    """A whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} - materialabs"),
        element("style", Html(STYLE)),
    )
    links = (("/", "Crystals"), ("/ledger", "Log"), ("/docs", "Interface"),
             ("/optimade/v1/info", "OPTIMADE"))  # fmt: skip
    top = element(
        "header",
        element("a", "materialabs", href="/", class_="brand"),
        element("nav", joined(element("a", name, href=place) for place, name in links)),
    )
    body = element("body", top, element("main", *parts))
    text = "<!doctype html>\n" + element("html", head, body, lang="en")
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff",
               "referrer-policy": "same-origin"}  # fmt: skip
    return HTMLResponse(text, status_code=status, headers=headers)
