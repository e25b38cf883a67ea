"""Steps of the optimiser against torch's own, and what makes them orthogonal."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from materialabs.networks.optimiser import (
    BETAS,
    LEAST_SIDE,
    MOMENTUM,
    Optimiser,
    matrices_of,
    orthogonal,
)

RATE, DECAY = 3e-3, 0.05


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Embedding(10, 32), nn.Linear(32, 48), nn.SiLU(), nn.Linear(48, 32, bias=False),
        nn.LayerNorm(32), nn.Linear(32, 3),
    )  # fmt: skip


def learn(model: nn.Module, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, 10, (20,), generator=random)
    wanted = torch.randn(20, 3, generator=random)
    ((model(rows) - wanted) ** 2).mean().backward()


def test_only_linear_maps_with_two_long_sides_are_matrices() -> None:
    assert sorted(matrices_of(network())) == ["1.weight", "3.weight"]
    assert list(matrices_of(nn.Linear(LEAST_SIDE, LEAST_SIDE))) == ["weight"]
    assert not matrices_of(nn.Linear(LEAST_SIDE - 1, 100))


def test_every_step_is_that_of_torch() -> None:
    ours, theirs = network(), network()
    optimiser = Optimiser(ours, DECAY)
    matrices = matrices_of(theirs)
    muon = torch.optim.Muon(
        matrices.values(), lr=RATE, weight_decay=DECAY, momentum=MOMENTUM,
        adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip
    rest = [p for n, p in theirs.named_parameters() if n not in matrices]
    adam = torch.optim.AdamW(rest, lr=RATE, weight_decay=DECAY, betas=BETAS)
    random = torch.Generator().manual_seed(2)
    for _ in range(5):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=random)
            other.grad = one.grad.clone()
        before = [value.detach().clone() for value in theirs.parameters()]
        optimiser.step(RATE)
        muon.step()  # type: ignore[no-untyped-call] # torch gives it no types
        adam.step()
        named = zip(ours.named_parameters(), theirs.parameters(), before, strict=True)
        for (name, one), other, start in named:
            # five rounds in bfloat16, which keeps two to three digits, in another order
            share = 5e-2 if name in matrices else 1e-5
            assert (one - other).norm() <= share * (other - start).norm()
            one.data.copy_(other.data)


@pytest.mark.parametrize("shape", [(16, 16), (20, 64), (48, 128)])
def test_singular_values_come_close_to_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    given = torch.randn(3, *shape) * torch.logspace(0, -1, shape[0])[:, None]
    values = torch.linalg.svdvals(orthogonal(given))
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    nearest = left @ right
    alike = (orthogonal(given) * nearest).sum((1, 2)) / orthogonal(given).norm(dim=(1, 2))
    assert (alike / nearest.norm(dim=(1, 2)) > 0.97).all()


def test_a_matrix_without_gradient_stays() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    Optimiser(model, DECAY).step(RATE)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_gradient_of_zero_moves_nothing_but_the_decay() -> None:
    model = nn.Linear(32, 32, bias=False)
    before = model.weight.detach().clone()
    model.weight.grad = torch.zeros(32, 32)
    Optimiser(model, DECAY).step(RATE)
    torch.testing.assert_close(model.weight.detach(), before * (1 - RATE * DECAY))


def test_it_goes_on_from_its_tensors_bit_for_bit() -> None:
    one = network()
    first = Optimiser(one, DECAY)
    for seed in range(4):
        first.forget_gradients()
        learn(one, seed)
        first.step(RATE)
        if seed == 1:
            weights = copy.deepcopy(one.state_dict())
            kept = {name: value.clone() for name, value in first.tensors().items()}
    other = network()
    other.load_state_dict(weights)
    second = Optimiser(other, DECAY)
    second.restore(kept, 2)
    for seed in (2, 3):
        second.forget_gradients()
        learn(other, seed)
        second.step(RATE)
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in one.state_dict().items())
