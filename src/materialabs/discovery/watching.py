"""Who is told how a campaign goes: nobody, a terminal, or a list of lines."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import Any, Protocol, Self


class Watcher(Protocol):
    """Hears what a campaign does."""

    def planning(self, number: int) -> None:
        """A round begins to be planned."""
        ...

    def planned(self, number: int, document: dict[str, Any], count: int) -> None:
        """A round was planned: so many relaxations."""
        ...

    def relaxed(self, formula: str, result: dict[str, Any]) -> None:
        """A relaxation was signed."""
        ...

    def closed(self, number: int, report: dict[str, Any]) -> None:
        """A round is over."""
        ...


class Silent:
    """Hears and says nothing."""

    def planning(self, number: int) -> None:
        """Say nothing."""

    def planned(self, number: int, document: dict[str, Any], count: int) -> None:
        """Say nothing."""

    def relaxed(self, formula: str, result: dict[str, Any]) -> None:
        """Say nothing."""

    def closed(self, number: int, report: dict[str, Any]) -> None:
        """Say nothing."""


class Terminal:
    """Draws on standard error what happens, live; a context manager.

    Parameters
    ----------
    title
        What runs.
    calls
        The budget, where it is one of calls.
    spent
        Calls spent before.
    """

    def __init__(self, title: str, calls: int | None, spent: int = 0) -> None:
        from rich.console import Console
        from rich.live import Live

        self.title, self.calls, self.spent = title, calls, spent
        self.began = time.monotonic()
        self.round, self.done, self.count = 0, 0, 0
        self.doing = "getting ready"
        self.last = ""
        self.statuses: Counter[str] = Counter()
        self.reports: list[dict[str, Any]] = []
        self.live = Live(console=Console(stderr=True), refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self.live.start()
        self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.doing = "over" if error is None else "stopped"
        self._draw()
        self.live.stop()

    def planning(self, number: int) -> None:
        """Show that candidates are being made."""
        self.round, self.doing = number, "generating and judging candidates"
        self._draw()

    def planned(self, number: int, document: dict[str, Any], count: int) -> None:
        """Show how many relaxations come."""
        self.done, self.count, self.doing = 0, count, "relaxing"
        self._draw()

    def relaxed(self, formula: str, result: dict[str, Any]) -> None:
        """Count one more."""
        self.done += 1
        self.spent += 1
        self.statuses[str(result["status"])] += 1
        energy = result["energy"]
        shown = "no energy" if energy is None else f"{energy:.3f} eV/atom"
        self.last = f"{formula}: {result['status']}, {shown}"
        self._draw()

    def closed(self, number: int, report: dict[str, Any]) -> None:
        """Add a line for the round."""
        self.reports.append({"number": number} | report)
        self._draw()

    def _draw(self) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        of = f" of {self.calls}" if self.calls else ""
        budget = f"{self.spent}{of} oracle calls"
        head = Text(f"{self.title}  ", style="bold")
        head.append(f"{budget}, {minutes}:{seconds:02d}", style="not bold")
        what = Text(f"round {self.round}: {self.doing} ({self.done} of {self.count})  {self.last}")
        parts: list[Any] = [head, self._table(), what]
        if self.calls:
            reached = min(self.spent, self.calls)
            parts.append(ProgressBar(total=self.calls, completed=reached, width=60))
        self.live.update(Group(*(part for part in parts if part is not None)))

    def _table(self) -> Any:
        if not self.reports:
            return None
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD)
        for name in ("round", "relaxed", "failed", "stable", "found", "lowest new"):
            table.add_column(name, justify="left" if name == "lowest new" else "right")
        for one in self.reports[-8:]:
            table.add_row(
                str(one["number"]), str(one["relaxed"]), str(one["failed"]), str(one["stable"]),
                str(one["found"]), ", ".join(one["new_stable"][:4]),
            )  # fmt: skip
        return table
