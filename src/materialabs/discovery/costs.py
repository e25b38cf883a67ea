"""What finding cost, beside chance and beside a chooser that never errs."""

from __future__ import annotations

from typing import Any

from materialabs.discovery.findings import Findings

CLAIMS = (
    ("random choice", 0.02, 250_000, 20_000.0),
    ("active learning", 0.10, 25_000, 2_000.0),
    ("active learning with graph networks", 0.33, 5_000, 500.0),
)
"""Published figures for 500,000 candidates: share found, calculations, hours (MateriaLabs white
paper, figure 2). They are claims to compare with and not results of this program."""


def cost_rows(findings: Findings, candidates: int) -> list[dict[str, Any]]:
    """Measured cost of a campaign, and of the same finds by chance and by a perfect chooser.

    Parameters
    ----------
    findings
        Of the campaign.
    candidates
        How many candidates it could choose from in its richest round.

    Notes
    -----
    Chance is the expectation for drawing without replacement, if the stable compounds found here
    were the only ones among the candidates: each draw then finds one with the same probability.
    A perfect chooser relaxes the elements and then one crystal for each compound found.
    """
    found = len(findings.found)
    tried = [one for one in findings.listed if one.role == "candidate" and not one.reused]
    given = findings.calls - len(tried)
    hours = findings.seconds / 3600.0 / max(findings.calls, 1)
    pool = max(candidates, len(tried), 1)
    expected = found * len(tried) / pool
    needed = given + (found * (pool + 1) / (found + 1) if found else 0.0)
    perfect = given + found
    return [
        _row("this campaign", found, findings.calls, hours, pool),
        _row("chance, with as many calls (expected)", expected, findings.calls, hours, pool),
        _row("chance, until all of these are found (expected)", found, needed, hours, pool),
        _row("a perfect chooser", found, perfect, hours, pool),
    ]


def _row(name: str, found: float, calls: float, hours: float, pool: int) -> dict[str, Any]:
    return {
        "way": name,
        "found": round(found, 2),
        "calls": round(calls, 1),
        "found for each call": found / calls if calls else 0.0,
        "share of candidates relaxed": calls / pool,
        "computing hours": calls * hours,
    }
