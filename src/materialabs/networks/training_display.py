"""What a person sees while networks train: how far it is, how fast, how long still, how good."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from materialabs.networks.learning_tasks import Epoch, Recipe
from materialabs.networks.members import Watch


@contextmanager
def shown(recipes: Sequence[Recipe], rows: float, show: bool | None) -> Iterator[Watch]:
    """Draw a bar for the epochs of all members, and let Ctrl-C stop between two steps.

    Parameters
    ----------
    recipes
        Of the members.
    rows
        Rows of an epoch.
    show
        Draw or not; by default only when standard error is a terminal.
    """
    with _stopping() as stopping:
        if show is False or (show is None and not sys.stderr.isatty()):
            yield Watch(stopping=stopping)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"),
            TextColumn("{task.fields[rate]}"), TextColumn("left"), TimeRemainingColumn(),
            TextColumn("{task.fields[errors]}"),
            console=Console(stderr=True),
        ) as bar:  # fmt: skip
            yield _drawn(bar, recipes, rows, stopping)


def _drawn(bar: Any, recipes: Sequence[Recipe], rows: float, stopping: Any) -> Watch:
    total = rows * sum(recipe.epochs for recipe in recipes)
    task = bar.add_task("training", total=total, rate="", errors="")
    places = {recipe.seed: place for place, recipe in enumerate(recipes)}
    ends = [rows * sum(one.epochs for one in recipes[:place]) for place in range(len(recipes))]

    def step(member: int, count: int) -> None:
        bar.advance(task, count)

    def epoch(member: int, reached: Epoch) -> None:
        place = places[member]
        errors = ", ".join(f"{name} {value:.3f}" for name, value in reached.validation.items())
        bar.update(
            task,
            completed=ends[place] + rows * (reached.number + 1),
            description=f"member {place + 1} of {len(recipes)}, epoch {reached.number + 1}",
            rate=f"{reached.rows_per_second:,.0f} rows/s",
            errors=f"error/spread {errors}",
        )

    return Watch(step, epoch, stopping)


@contextmanager
def _stopping() -> Iterator[Any]:
    """A question that is answered yes after the first Ctrl-C; the second one ends at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
