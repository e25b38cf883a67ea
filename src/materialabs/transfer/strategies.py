"""Ways to learn a measured property, behind one face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.descriptors import padded
from materialabs.errors import InputError, IntegrityError
from materialabs.forests import Forest
from materialabs.threads import map_chunks
from materialabs.transfer.described import ALLOYING, PHYSICAL, STATISTICS, Described
from materialabs.transfer.gaussian_process import Process
from materialabs.transfer.sources import blocks_of

if TYPE_CHECKING:
    from materialabs.transfer.tuning import Tuned

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


class Fitted(Protocol):
    """A strategy that has learned."""

    def answers(self, described: Described) -> tuple[Floats, Floats]:
        """Mean [n, k], and what tells large errors from small ones [n], never below zero."""
        ...

    def to_arrays(self) -> Arrays:
        """Named arrays, for a file."""
        ...


class Strategy(Protocol):
    """A way to learn; it holds settings only and is never changed by learning."""

    @property
    def name(self) -> str:
        """What it is called in cards."""
        ...

    def fit(self, described: Described, targets: Floats, seed: int) -> Fitted:
        """Learn from rows; whatever it scales or chooses, it takes from these rows alone.

        Parameters
        ----------
        described
            n rows.
        targets
            [n, k], all known.
        seed
            The same seed learns the same.
        """
        ...

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> Fitted:
        """What :meth:`Fitted.to_arrays` gave, ready to answer."""
        ...


@dataclass(frozen=True)
class Trees:
    """Extremely randomised trees on some blocks.

    Parameters
    ----------
    name
        What it is called.
    blocks
        Names of the blocks that are read.
    """

    name: str
    blocks: tuple[str, ...]

    def fit(self, described: Described, targets: Floats, seed: int) -> Fitted:
        """Grow the forest."""
        return FittedTrees(self, Forest.grow(described.table(self.blocks), targets, seed=seed))

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> Fitted:
        """The forest of a file."""
        return FittedTrees(self, Forest.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class FittedTrees:
    """A forest and the blocks that it reads."""

    strategy: Trees
    forest: Forest

    def answers(self, described: Described) -> tuple[Floats, Floats]:
        """Mean over the trees, and their disagreement."""
        mean, spread = self.forest.answers(described.table(self.strategy.blocks))
        return mean, np.sqrt((spread**2).mean(axis=1))

    def to_arrays(self) -> Arrays:
        """The forest's arrays."""
        return self.forest.to_arrays()


@dataclass(frozen=True)
class Boosted:
    """Trees that each learn what those before have left over; parameters as in Trees."""

    name: str
    blocks: tuple[str, ...]

    def fit(self, described: Described, targets: Floats, seed: int) -> Fitted:
        """Grow the trees one after the other."""
        return FittedBoosted(self, Forest.boost(described.table(self.blocks), targets, seed=seed))

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> Fitted:
        """The trees of a file."""
        return FittedBoosted(self, Forest.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class FittedBoosted:
    """Boosted trees and the blocks that they read."""

    strategy: Boosted
    forest: Forest

    def answers(self, described: Described) -> tuple[Floats, Floats]:
        """The boosted sum; how boosted trees disagree tells nothing."""
        mean, _ = self.forest.answers(described.table(self.strategy.blocks))
        return mean, np.zeros(len(mean))

    def to_arrays(self) -> Arrays:
        """The trees' arrays."""
        return self.forest.to_arrays()


@dataclass(frozen=True)
class Kernel:
    """A Gaussian process on some blocks, which it weighs itself; parameters as in Trees."""

    name: str
    blocks: tuple[str, ...]

    def fit(self, described: Described, targets: Floats, seed: int) -> Fitted:
        """Choose lengths and strengths, and remember the rows."""
        return FittedKernel(self, Process.fit(self.tables(described), targets, seed=seed))

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> Fitted:
        """The process of a file."""
        return FittedKernel(self, Process.from_arrays(arrays))

    def tables(self, described: Described) -> list[Floats]:
        """Each block's numbers, the conditions last."""
        tables = [described.blocks[name].values for name in self.blocks]
        return [*tables, described.conditions.values]


@dataclass(frozen=True, eq=False)
class FittedKernel:
    """A process and the blocks that it reads."""

    strategy: Kernel
    process: Process

    def answers(self, described: Described) -> tuple[Floats, Floats]:
        """Mean, and distance from all rows seen."""
        return self.process.answers(self.strategy.tables(described))

    def to_arrays(self) -> Arrays:
        """The process' arrays."""
        return self.process.to_arrays()


TOGETHER: Final = 2
"""Networks that learn from the same rows."""


@dataclass(frozen=True)
class Networks:
    """Composition networks that learn on and answer together.

    Parameters
    ----------
    name
        What it is called.
    starts
        Names of the sources as whose networks they begin, in turn; without any, from nothing.
    """

    name: str
    starts: tuple[str, ...] = ()

    def fit(self, described: Described, targets: Floats, seed: int) -> FittedNetworks:
        """Let the networks learn, as many at once as torch may use threads, each on one."""
        from torch import get_num_threads, set_num_threads

        from materialabs.transfer.tuning import tune

        begun = [described.sources[name].ensemble.networks[0] for name in self.starts]
        conditions = described.conditions.values

        def learned(number: int) -> Tuned:
            start = begun[number % len(begun)] if begun else None
            return tune(
                described.compositions, conditions, targets, start, TOGETHER * seed + number
            )

        threads = get_num_threads()
        set_num_threads(1)
        try:
            return FittedNetworks(tuple(map_chunks(learned, range(TOGETHER), threads=threads)))
        finally:
            set_num_threads(threads)

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> FittedNetworks:
        """The networks of a file."""
        from materialabs.transfer.tuning import Tuned

        return FittedNetworks(
            tuple(
                Tuned.from_arrays(
                    {name.removeprefix(f"{number}."): one for name, one in arrays.items()
                     if name.startswith(f"{number}.")}
                )
                for number in range(TOGETHER)
            )
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FittedNetworks:
    """Networks that have learned."""

    networks: tuple[Tuned, ...]

    def answers(self, described: Described) -> tuple[Floats, Floats]:
        """Mean over the networks, and their disagreement; equal rows are worked out once."""
        conditions = described.conditions.values
        asked = np.hstack([*padded(described.compositions), conditions])
        _, first, place = np.unique(asked, axis=0, return_index=True, return_inverse=True)
        cells, given = described.compositions[first], conditions[first]
        told = np.stack([one.answers(cells, given) for one in self.networks])
        spread = np.sqrt(told.var(axis=0).mean(axis=1))
        return told.mean(axis=0)[place], spread[place]

    def to_arrays(self) -> Arrays:
        """The arrays of each network, by its number."""
        return {
            f"{number}.{name}": array
            for number, one in enumerate(self.networks)
            for name, array in one.to_arrays().items()
        }


TREES, BOOSTED, KERNEL, NETWORKS = "trees", "boosted trees", "kernel", "networks"


def strategies_for(
    sources: Sequence[str], starts: Sequence[str] = (), *, networks: bool = True
) -> tuple[Strategy, ...]:
    """The strategies that nested validation weighs; those without sources guard against bad ones.

    Parameters
    ----------
    sources
        Names of the sources whose blocks are there; possibly none.
    starts
        Names of the sources as whose networks others begin; possibly none.
    networks
        Whether networks are among them, which take most of the time.
    """
    begun = f"{NETWORKS} from {', '.join(starts)}" if starts else NETWORKS
    last: tuple[Strategy, ...] = (Networks(begun, tuple(starts)),) if networks else ()
    physical = (STATISTICS, ALLOYING)
    plain: tuple[Strategy, ...] = (
        Trees(TREES, physical), Boosted(BOOSTED, physical), Kernel(KERNEL, PHYSICAL),
    )  # fmt: skip
    if not sources:
        return (*plain, *last)
    learned, told = blocks_of(sources), ", ".join(sources)
    return (
        *plain,
        Boosted(f"{BOOSTED} with {told}", (*physical, *learned)),
        Kernel(f"{KERNEL} with {told}", (*PHYSICAL, *learned)),
        *last,
    )


KINDS: Final[dict[str, type[Trees] | type[Boosted] | type[Kernel] | type[Networks]]] = {
    "trees": Trees, "boosted": Boosted, "kernel": Kernel, "networks": Networks,
}  # fmt: skip
"""Strategies that a model's folder may name; besides its name each has one list of names."""


def document_of(strategy: Strategy) -> dict[str, Any]:
    """A strategy as JSON values."""
    for kind, known in KINDS.items():
        if isinstance(strategy, known):
            return {"kind": kind} | {
                name: value if isinstance(value, str) else list(value)
                for name, value in asdict(strategy).items()
            }
    raise InputError(f"The strategy {strategy.name!r} cannot be kept in a model's folder.")


def strategy_of(document: Mapping[str, Any]) -> Strategy:
    """Read what :func:`document_of` gave."""
    try:
        known = KINDS[document["kind"]]
        names = document["starts" if known is Networks else "blocks"]
        return known(str(document["name"]), tuple(map(str, names)))
    except (KeyError, TypeError) as error:
        raise IntegrityError(
            f"This does not describe a strategy ({error}): restore the model's folder."
        ) from None
