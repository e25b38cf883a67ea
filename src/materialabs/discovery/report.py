"""The report of a campaign: one HTML file that needs nothing else, and a folder of files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from materialabs.crystals.files.writing import replacing
from materialabs.discovery.costs import cost_rows
from materialabs.discovery.dossiers import Dossier, make_dossier, write_dossier
from materialabs.discovery.findings import Finding
from materialabs.discovery.novelty import KnownList, known_lists, read_list
from materialabs.discovery.two_levels import SecondLook, best_of, looks
from materialabs.errors import FileError
from materialabs.store import tasks
from materialabs.store.database import reading

if TYPE_CHECKING:
    from materialabs.discovery.campaign import Campaign

NEAR_MISSES: Final = 6
"""Compounds above the hull that are shown with a picture."""


@dataclass(frozen=True, eq=False)
class ReportContents:
    """What a report tells, gathered once.

    Parameters
    ----------
    campaign
        Whose report it is.
    """

    campaign: Campaign

    @property
    def lists(self) -> list[KnownList]:
        """What compounds are compared with."""
        return self._read[0]

    @property
    def lost_lists(self) -> list[str]:
        """A sentence for each list that was given and cannot be read any more."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[list[KnownList], list[str]]:
        row = self.campaign.row
        lists, lost = known_lists(self.campaign.store, row.known_until, []), []
        for path in row.known:
            try:
                lists.append(read_list(path))
            except FileError as error:
                lost.append(f"The list {path} was not compared with: {error}")
        return lists, lost

    @cached_property
    def dossiers(self) -> list[Dossier]:
        """One for each stable compound, those found before those given."""
        findings = self.campaign.findings
        if findings.missing:
            return []
        chosen = sorted(findings.stable, key=lambda one: (one.given, one.formula))
        return [make_dossier(findings, one, self.lists) for one in chosen]

    @cached_property
    def near_misses(self) -> list[Finding]:
        """The nearest above the hull, one of each formula."""
        findings = self.campaign.findings
        if findings.missing:
            return []
        stable = {one.formula for one in findings.stable}
        near = [one for one in best_of(findings, len(findings.good)) if one.formula not in stable]
        return near[:NEAR_MISSES]

    @cached_property
    def rounds(self) -> list[dict[str, Any]]:
        """What each round planned and found."""
        return self.campaign.rounds

    @cached_property
    def events(self) -> list[str]:
        """What happened that a reader should know."""
        with reading(self.campaign.store.engine) as connection:
            return [row.sentence for row in tasks.said(connection, self.campaign.id)]

    @cached_property
    def costs(self) -> list[dict[str, Any]]:
        """Measured cost, beside chance and beside a perfect chooser."""
        if self.campaign.findings.missing:
            return []
        richest = max((one.get("candidates", 0) for one in self.rounds), default=0)
        return cost_rows(self.campaign.findings, richest)

    @cached_property
    def looks(self) -> list[SecondLook]:
        """Verifications at other levels."""
        return looks(self.campaign.store, self.campaign)


def write_report(campaign: Campaign, path: Path, *, folders: bool = True) -> Path:
    """Write the report, and beside it a folder for each stable compound.

    Parameters
    ----------
    campaign
        Finished, stopped or running.
    path
        Of the HTML file; the folders stand in one of its name without ``.html``.
    folders
        Whether to write these.
    """
    from materialabs.discovery.report_page import page

    contents = ReportContents(campaign)
    place = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}-compounds")
    text = page(contents, place.name if folders and contents.dossiers else "")
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    if folders:
        for one in contents.dossiers:
            write_dossier(one, place)
    return path


def summary(campaign: Campaign) -> dict[str, Any]:
    """A campaign as one JSON object."""
    findings = campaign.findings
    request = campaign.row.request
    document: dict[str, Any] = {
        "id": campaign.id,
        "system": campaign.system,
        "level": str(request.hull_level),
        "state": campaign.state,
        "reason": campaign.reason,
        "budget": str(campaign.row.budget),
        "calls": findings.calls,
        "computing_seconds": findings.seconds,
        "rounds": campaign.rounds,
        "request": request.to_dict(),
        "task_keys": sorted(one.key for one in findings.listed),
    }
    if findings.missing:
        return document | {"missing_elements": findings.missing, "stable": []}
    return document | {"stable": [one.formula for one in findings.stable],
                       "found": [one.formula for one in findings.found],
                       "relaxations": campaign.table()}  # fmt: skip
