"""How a batch shows itself in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from materialabs.crystals.batch import Crystals

ROWS_SHOWN = 10


def table_html(crystals: Crystals) -> str:
    """A small table: id, formula, atoms, volume; the first rows only."""
    shown = crystals[:ROWS_SHOWN]
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(formula)}</td><td>{count}</td>"
        f"<td>{volume / max(count, 1):.2f}</td></tr>"
        for name, formula, count, volume in zip(
            shown.ids(), shown.reduced_formulas(), shown.counts, shown.volumes, strict=True
        )
    )
    more = f"<p>and {len(crystals) - ROWS_SHOWN} more</p>" if len(crystals) > ROWS_SHOWN else ""
    return (
        f"<p>{len(crystals)} crystals</p><table><thead><tr><th>id</th><th>formula</th>"
        f"<th>atoms</th><th>volume (Å³/atom)</th></tr></thead><tbody>{rows}</tbody></table>{more}"
    )
