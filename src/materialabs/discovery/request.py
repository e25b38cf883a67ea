"""What a campaign is asked for, and the identity that it has by it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_system
from materialabs.discovery.constraints import Constraints
from materialabs.discovery.objectives import MOST_OBJECTIVES, Objective
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.levels import Level
from materialabs.oracles.relaxation import RelaxationSettings

STRATEGIES: Final = ("mixed", "likeliest", "improvement", "greedy", "uncertainty", "random")
"""How a batch is chosen (:mod:`materialabs.discovery.acquisition`)."""

FEWEST_ELEMENTS, MOST_ELEMENTS = 2, 8

DEFAULT_BATCH: Final = 8
"""Relaxations between two looks at the hull."""

GENERATION: Final = 2
"""Rises when the same request would be answered by other candidates."""


@dataclass(frozen=True)
class CampaignRequest:
    """System, constraints, level, strategy and seed; together they are the campaign's identity.

    Parameters
    ----------
    system
        Such as ``Li-P-S``.
    level
        Of the oracle.
    settings
        Of its relaxations.
    constraints
        What candidates must satisfy.
    strategy
        One of :data:`STRATEGIES`.
    model
        Name of what predicts; empty for what is learned from the campaign's own results.
    objectives
        What is wanted beside stability.
    batch
        Relaxations in a round.
    seed
        Of everything random.
    deterministic
        Relax one crystal at a time and never from a saved state, so that a disturbed campaign
        ends with the tasks of an undisturbed one.
    withheld
        Reduced formulas that are taken out of everything given, prototypes and store alike, so
        that finding them means something.
    """

    system: str
    level: Level
    settings: RelaxationSettings = field(default_factory=RelaxationSettings)
    constraints: Constraints = field(default_factory=Constraints)
    strategy: str = "mixed"
    model: str = ""
    objectives: tuple[Objective, ...] = ()
    batch: int = DEFAULT_BATCH
    seed: int = 0
    deterministic: bool = False
    withheld: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        numbers = parse_system(self.system)
        object.__setattr__(self, "system", "-".join(sorted(SYMBOLS[number] for number in numbers)))
        _require_size(self.system, len(numbers))
        if self.strategy not in STRATEGIES:
            known = ", ".join(STRATEGIES)
            raise InputError(f"A strategy is one of {known}, not {self.strategy!r}.")
        if self.batch < 1:
            raise InputError(f"A round relaxes at least one crystal, not {self.batch}.")
        if self.seed < 0:
            raise InputError(f"The seed is a whole number from zero, not {self.seed}.")
        self.constraints.require_possible(numbers)
        pressed = replace(self.settings, pressure=self.constraints.pressure)
        object.__setattr__(self, "settings", pressed)
        object.__setattr__(self, "objectives", tuple(self.objectives))
        if len(self.objectives) > MOST_OBJECTIVES:
            raise InputError(
                f"A campaign weighs at most {MOST_OBJECTIVES} objectives beside stability, not "
                f"{len(self.objectives)}."
            )
        named = Compositions.parse(self.withheld).reduced_formulas()
        object.__setattr__(self, "withheld", tuple(sorted(named)))

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers, rising."""
        return parse_system(self.system)

    @property
    def hull_level(self) -> Level:
        """The level of what stands on the hull: enthalpies under pressure are one of their own."""
        if self.constraints.pressure == 0.0:
            return self.level
        note = f"enthalpy at {self.constraints.pressure:g} GPa"
        return replace(self.level, settings=", ".join(t for t in (self.level.settings, note) if t))

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {
            "generation": GENERATION,
            "system": self.system,
            "level": self.level.to_dict(),
            "settings": self.settings.to_dict(),
            "constraints": self.constraints.to_dict(),
            "strategy": self.strategy,
            "model": self.model,
            "objectives": [one.to_dict() for one in self.objectives],
            "batch": self.batch,
            "seed": self.seed,
            "deterministic": self.deterministic,
            "withheld": list(self.withheld),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read :meth:`to_dict`'s form."""
        return cls(
            document["system"],
            Level.from_dict(document["level"]),
            RelaxationSettings.from_dict(document["settings"]),
            Constraints.from_dict(document["constraints"]),
            document["strategy"],
            document["model"],
            tuple(Objective.from_dict(one) for one in document["objectives"]),
            document["batch"],
            document["seed"],
            document["deterministic"],
            tuple(document["withheld"]),
        )

    @property
    def identity(self) -> str:
        """SHA-256 of the request, in hex: the same line means the same campaign."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _require_size(system: str, count: int) -> None:
    if count < FEWEST_ELEMENTS:
        raise InputError(
            f"{system} is one element: a campaign needs a system of {FEWEST_ELEMENTS} to "
            f"{MOST_ELEMENTS}, such as Li-P-S.",
            code="campaign.system",
        )
    if count > MOST_ELEMENTS:
        raise InputError(
            f"{system} has {count} elements: a campaign takes {FEWEST_ELEMENTS} to "
            f"{MOST_ELEMENTS}, so leave some out.",
            code="campaign.system",
        )
