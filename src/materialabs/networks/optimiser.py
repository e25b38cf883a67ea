"""The optimiser: every direction of a weight matrix learns at the same pace.

The gradient of a layer's matrix is nearly of low rank: a few directions drown the rest. Here the
momentum of each matrix is replaced by the orthogonal matrix next to it (Jordan et al. 2024, "Muon";
Newton and Schulz's iteration with his coefficients) and scaled so that its entries are as large as
AdamW's steps (Liu et al. 2025), so that one learning rate serves both. Embeddings, vectors and thin
matrices, for which this means nothing, follow AdamW (Loshchilov and Hutter 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

LEAST_SIDE = 16
"""Rows and columns from which a matrix is treated as one."""

MOMENTUM = 0.95
"""Share of the momentum that stays at each step."""

BETAS = (0.9, 0.99)
"""Shares of AdamW's averages that stay at each step."""

ITERATIONS = 5
"""Steps of Newton and Schulz; the singular values then lie between about 0.7 and 1.2."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that drives singular values towards one."""

USUAL_STEP = 0.2
"""Root mean square of the entries of AdamW's step, relative to the learning rate."""


class Optimiser:
    """Moves the weights of a network down the gradient.

    Parameters
    ----------
    network
        Whose weights move.
    decay
        Weight decay, relative to the learning rate.
    precision
        That directions are orthogonalised in; bfloat16 is quicker, float32 hardly depends on the
        order in which gradients were summed.
    """

    def __init__(
        self, network: nn.Module, decay: float, precision: torch.dtype = torch.float32
    ) -> None:
        self.decay, self.precision = decay, precision
        self.matrices = matrices_of(network)
        self.momenta = {name: torch.zeros_like(value) for name, value in self.matrices.items()}
        self.others = {n: p for n, p in network.named_parameters() if n not in self.matrices}
        groups = [{"params": list(self.others.values())}]  # possibly empty
        self.adam = torch.optim.AdamW(groups, weight_decay=decay, betas=BETAS)
        shapes: dict[tuple[int, ...], list[str]] = {}
        for name, value in self.matrices.items():
            shapes.setdefault(tuple(sorted(value.shape)), []).append(name)
        self.alike = list(shapes.values())

    def forget_gradients(self) -> None:
        """Drop the gradients of the last step."""
        for parameter in (*self.matrices.values(), *self.others.values()):
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move all weights that have a gradient, at this learning rate."""
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        for names in self.alike:
            self._move([name for name in names if self.matrices[name].grad is not None], rate)

    def _move(self, names: Sequence[str], rate: float) -> None:
        """Move matrices of one shape, some of them perhaps transposed."""
        directions = []
        for name in names:
            gradient, momentum = self.matrices[name].grad, self.momenta[name]
            assert gradient is not None
            momentum.lerp_(gradient, 1.0 - MOMENTUM)
            directions.append(_wide(gradient.lerp(momentum, MOMENTUM)))
        if not directions:
            return
        found = orthogonal(torch.stack(directions), self.precision)
        for name, direction in zip(names, found, strict=True):
            weights = self.matrices[name]
            size = USUAL_STEP * max(weights.shape) ** 0.5
            weights.mul_(1.0 - rate * self.decay)
            weights.add_(direction if _is_wide(weights) else direction.mT, alpha=-rate * size)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs beside the weights."""
        kept = {f"momentum.{name}": value for name, value in self.momenta.items()}
        for name, parameter in self.others.items():
            state = self.adam.state.get(parameter)
            if state:
                kept[f"first.{name}"] = state["exp_avg"]
                kept[f"second.{name}"] = state["exp_avg_sq"]
        return kept

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Go on from a checkpoint that was made after so many steps."""
        for name, momentum in self.momenta.items():
            momentum.copy_(tensors[f"momentum.{name}"])
        for name, parameter in self.others.items():
            if f"first.{name}" in tensors:
                self.adam.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": tensors[f"first.{name}"].to(parameter.device),
                    "exp_avg_sq": tensors[f"second.{name}"].to(parameter.device),
                }


def matrices_of(network: nn.Module) -> dict[str, Tensor]:
    """Weights of the linear maps of a network that have at least ``LEAST_SIDE`` on each side."""
    found: dict[str, Tensor] = {}
    for place, module in network.named_modules():
        if isinstance(module, nn.Linear) and min(module.weight.shape) >= LEAST_SIDE:
            found[f"{place}.weight" if place else "weight"] = module.weight
    return found


def orthogonal(matrices: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """Wide matrices [m, r, c] with their singular values brought close to one."""
    linear, cubic, quintic = COEFFICIENTS
    norms = matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    found: Tensor = (matrices / norms).to(precision)
    for _ in range(ITERATIONS):
        square = found @ found.mT
        found = linear * found + (cubic * square + quintic * (square @ square)) @ found
    return found.to(dtype=matrices.dtype)


def _is_wide(matrix: Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _wide(matrix: Tensor) -> Tensor:
    return matrix if _is_wide(matrix) else matrix.mT
