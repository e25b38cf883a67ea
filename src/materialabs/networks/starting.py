"""Networks that begin with what another model has learned, for tables too small for chemistry.

A model of a large table has learned to tell elements and surroundings apart. A network for another
property begins with those layers; only the readout, which turns sites into the property, begins at
random. All weights then learn (Yosinski et al., NeurIPS 2014; for crystals Jha et al., Nat.
Commun. 10, 5316, 2019).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Self

from torch import nn

from materialabs.errors import InputError
from materialabs.networks.bond_network import BondNetwork, BondNetworkShape
from materialabs.networks.ensembles import State
from materialabs.networks.learning_tasks import Recipe, Task
from materialabs.networks.model_files import WEIGHTS, read_card, read_weights

READOUT: Final = "readout."
"""How the names of weights begin that belong to the readout."""


@dataclass(frozen=True, eq=False)
class Start:
    """The weights of a trained model, for networks of other properties to begin with.

    Parameters
    ----------
    name
        Of the model.
    sha256
        Of its file of weights.
    shape
        Of its networks, which those that begin with it share but for the heads.
    states
        Weights of its members.
    """

    name: str
    sha256: str
    shape: BondNetworkShape
    states: tuple[State, ...]

    @classmethod
    def of(cls, folder: str | Path) -> Self:
        """Read the weights of a model's folder; a file that its card does not name is refused."""
        card = read_card(Path(folder))
        if card["network"]["reads"] != "crystals":
            raise InputError(
                f"The model {card['name']!r} reads formulas: networks of crystals begin with a "
                "model that reads crystals."
            )
        states, _ = read_weights(Path(folder), card["files"][WEIGHTS])
        shape = BondNetworkShape.of(card["network"]["shape"])
        return cls(str(card["name"]), str(card["files"][WEIGHTS]), shape, tuple(states))

    def shape_for(self, heads: tuple[str, ...]) -> BondNetworkShape:
        """The shape of networks with other heads that can begin here."""
        return replace(self.shape, heads=heads)

    def begin(self, network: nn.Module, seed: int) -> None:
        """Give a network the layers of one member, which the seed chooses; its readout stays."""
        if not isinstance(network, BondNetwork) or (
            self.shape_for(network.shape.heads) != network.shape
        ):
            raise InputError(f"A network of another shape cannot begin with {self.name!r}.")
        member = self.states[seed % len(self.states)]
        learned = {name: value for name, value in member.items() if not name.startswith(READOUT)}
        network.load_state_dict(network.state_dict() | learned)

    def to_dict(self) -> dict[str, Any]:
        """What a card tells of it."""
        return {"name": self.name, "weights_sha256": self.sha256}


@dataclass
class StartedTask(Task):
    """A task whose networks begin with a model; a checkpoint of another beginning is not resumed.

    Parameters
    ----------
    origin
        SHA-256 of the weights that networks begin with.
    """

    origin: str = ""

    @classmethod
    def of(cls, task: Task, start: Start) -> Self:
        """The same task, begun with a model."""
        return cls(**{one.name: getattr(task, one.name) for one in fields(Task)},
                   origin=start.sha256)  # fmt: skip

    def fingerprint(self, recipe: Recipe) -> str:
        """Hash of everything that decides the outcome, the first weights included."""
        return hashlib.sha256((super().fingerprint(recipe) + self.origin).encode()).hexdigest()
