"""A hull as rows: for the command line, for JSON, and for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from materialabs.hull.hull import Hull

ROWS_SHOWN = 15


def rows_of(hull: Hull) -> list[dict[str, Any]]:
    """One row for each entry, the most stable first; plain numbers and texts, ready for JSON.

    Energies are eV/atom: as given, above the elements, above the hull, and against all else that
    the atoms can form. The decomposition of a stable phase is what it would form without itself.
    """
    formulas = hull.compositions.reduced_formulas()
    rivals = hull.decomposition_energy(hull.compositions, hull.energies)
    on_hull = hull.decompose(hull.compositions).mixtures()
    without = hull.competing_phases(hull.compositions).mixtures()
    order = np.lexsort((np.array(formulas), hull.distances)).tolist()
    return [
        {
            "formula": formulas[row],
            "id": hull.ids[row],
            "energy": float(hull.energies.values[row]),
            "formation_energy": float(hull.formation_energies[row]),
            "distance": float(hull.distances[row]),
            "stable": bool(hull.stable[row]),
            "decomposition_energy": float(rivals[row]),
            "decomposition": without[row] if hull.stable[row] else on_hull[row],
        }
        for row in order
    ]


def summary_of(hull: Hull) -> dict[str, Any]:
    """A hull as one JSON object: system, level, kind, counts and all rows."""
    return {
        "system": hull.system,
        "kind": hull.energies.kind,
        "level": hull.level_text,
        "entries": len(hull),
        "stable": int(hull.stable.sum()),
        "rows": rows_of(hull),
    }


def table_html(hull: Hull) -> str:
    """A short table for a notebook: the stable phases first."""
    rows = rows_of(hull)[:ROWS_SHOWN]
    body = "".join(
        f"<tr><td>{subscripts(row['formula'])}</td><td>{escape(row['id'])}</td>"
        f"<td>{row['formation_energy']:.4f}</td><td>{row['distance']:.4f}</td>"
        f"<td>{escape(row['decomposition'])}</td></tr>"
        for row in rows
    )
    more = len(hull) - len(rows)
    note = f"<p>and {more} more</p>" if more else ""
    return (
        f"<p>{escape(repr(hull))}</p><table><thead><tr><th>phase</th><th>id</th>"
        "<th>formation energy (eV/atom)</th><th>above the hull (eV/atom)</th>"
        f"<th>decomposes into</th></tr></thead><tbody>{body}</tbody></table>{note}"
    )


def subscripts(formula: str) -> str:
    """A formula for HTML, its amounts as subscripts."""
    pieces: list[str] = []
    for character in formula:
        if character.isdecimal() or character == ".":
            if pieces and pieces[-1].endswith("</sub>"):
                pieces[-1] = pieces[-1].removesuffix("</sub>") + character + "</sub>"
            else:
                pieces.append(f"<sub>{character}</sub>")
        else:
            pieces.append(escape(character))
    return "".join(pieces)
