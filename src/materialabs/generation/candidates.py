"""What a generator gives back: crystals with their lineage, and why the rest was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from materialabs.crystals.batch import Crystals


@dataclass(frozen=True, eq=False)
class Candidates:
    """Generated crystals, most probable first, and the count of every reason for refusal.

    Parameters
    ----------
    crystals
        With the columns ``parent``, ``probability``, ``generator``, ``substitution`` and
        ``orbit``.
    reasons
        Why parents, ions or products were left out, and how many times.
    """

    crystals: Crystals
    reasons: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.crystals)

    def __repr__(self) -> str:
        refused = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common(3))
        return f"Candidates({self.crystals!r}; refused: {refused or 'none'})"

    @classmethod
    def concat(cls, parts: Sequence[Candidates]) -> Candidates:
        """Join candidates in order and add up their reasons."""
        reasons: Counter[str] = Counter()
        for part in parts:
            reasons.update(part.reasons)
        return cls(Crystals.concat([part.crystals for part in parts]), reasons)
