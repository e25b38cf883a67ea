"""An oracle that answers for a batch at once and leaves the relaxing to us."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from materialabs.crystals.batch import Crystals
from materialabs.oracles.oracle import DEFAULT_SETTINGS, BaseOracle, SaveState
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState
from materialabs.oracles.relaxing import BatchLimits, pair_up, relax_stream


class Potential(BaseOracle):
    """A potential: say ``level`` and ``evaluate``, and relaxation of many crystals follows."""

    limits: BatchLimits = BatchLimits()
    """How many crystals are evaluated together."""

    def stream(
        self,
        crystals: Crystals,
        settings: RelaxationSettings = DEFAULT_SETTINGS,
        *,
        states: Mapping[int, RelaxationState] | None = None,
        save: SaveState | None = None,
    ) -> Iterator[tuple[int, Relaxation]]:
        """Relax each crystal and give each result, with its position, as soon as it is there."""
        return relax_stream(
            self.evaluate, pair_up(crystals, states), settings, self.level,
            limits=self.limits, save=save,
        )  # fmt: skip
