"""What a campaign may spend: oracle calls, or time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from materialabs.errors import InputError

_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d)\s*")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Budget:
    """Oracle calls or seconds; exactly one of the two.

    Parameters
    ----------
    calls
        Relaxations, elements and prototypes included. What is known already costs nothing.
    seconds
        Time that the campaign runs, over all its starts.
    """

    calls: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str | int | Budget) -> Budget:
        """Read ``60`` (oracle calls), ``"30m"``, ``"2h"`` or ``"90 s"``."""
        if isinstance(text, Budget):
            return text
        given = str(text).strip()
        if re.fullmatch(r"[+-]?\d+", given):
            return cls(calls=_above_zero(int(given)))
        match = _TIME.fullmatch(given)
        if match is None or float(match[1]) <= 0:
            raise InputError(
                f"A budget is a number of oracle calls above zero, such as 60, or a time, such as "
                f"30m or 2h; not {given!r}.",
                code="campaign.budget",
            )
        return cls(seconds=float(match[1]) * _SECONDS[match[2]])

    def require_elements(self, count: int) -> None:
        """Refuse a budget that the elements alone use up."""
        if self.calls is not None and self.calls <= count:
            raise InputError(
                f"A budget of {self.calls} oracle call{'' if self.calls == 1 else 's'} is not "
                f"enough: the {count} elements are relaxed first, so give at least {count + 1}.",
                code="campaign.budget",
            )

    def plus(self, more: Budget) -> Budget:
        """A budget extended by another of the same kind."""
        if (self.calls is None) != (more.calls is None):
            mine = "oracle calls" if self.seconds is None else "time"
            raise InputError(f"The campaign counts {mine}: extend it by the same.")
        if self.calls is not None and more.calls is not None:
            return Budget(calls=self.calls + more.calls)
        return Budget(seconds=(self.seconds or 0.0) + (more.seconds or 0.0))

    def __str__(self) -> str:
        if self.calls is not None:
            return f"{self.calls} oracle calls"
        minutes = (self.seconds or 0.0) / 60.0
        return f"{minutes:g} minutes"


def _above_zero(calls: int) -> int:
    if calls < 1:
        raise InputError(
            f"A budget is a number of oracle calls above zero, not {calls}.",
            code="campaign.budget",
        )
    return calls
