"""CHGNet's energy of a batch, and its derivative by the bond vectors in one backward pass.

The network is that of Deng et al., Nature Machine Intelligence 5, 1031 (2023), version 0.3.0. The
first layer of each convolution acts on the parts of its input before they are put together (by
atom, by bond, by angle), which is the same sum with a fraction of the multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, silu

from materialabs.oracles.chgnet_graph import ANGLE_CUTOFF, BOND_CUTOFF, BondGraph, NetworkAnswer
from materialabs.oracles.chgnet_weights import WIDTH, Weights, load_weights

ENVELOPE_POWER: Final = 8
"""Of the polynomial that takes a bond smoothly to nothing at the cut-off."""

COSINE_MARGIN: Final = 1.0 - 1e-6
"""Cosines are scaled by this, so that the angle of a straight line has a derivative."""


@lru_cache(maxsize=4)
def weights_on(name: str, device: str) -> Any:
    """The weights with every array a tensor on a device."""
    return _tensors(load_weights(name), device)


def _tensors(value: Any, device: str) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return torch.tensor(np.asarray(value), device=device)
    if isinstance(value, tuple):
        return tuple(_tensors(item, device) for item in value)
    assert is_dataclass(value) and not isinstance(value, type)
    changed = {item.name: _tensors(getattr(value, item.name), device) for item in fields(value)}
    return type(value)(**changed)


def evaluate_graph(graph: BondGraph, name: str, device: str) -> NetworkAnswer:
    """Energies, their slopes and moments of all atoms of a graph."""
    weights: Weights = weights_on(name, device)
    vectors = torch.tensor(graph.vectors, device=device, requires_grad=True)
    energies, moments = _network(weights, graph, vectors)
    slopes = np.zeros_like(graph.vectors)
    if len(graph.distance):
        (found,) = torch.autograd.grad(energies.sum(), vectors)
        slopes = found.cpu().numpy()
    return NetworkAnswer(
        energies.detach().double().cpu().numpy(), slopes, moments.detach().double().cpu().numpy()
    )


@dataclass(frozen=True, eq=False)
class _Places:
    """The graph's index arrays as tensors."""

    first: Tensor
    second: Tensor
    short: Tensor
    centre: Tensor
    one: Tensor
    other: Tensor

    @classmethod
    def of(cls, graph: BondGraph, device: torch.device) -> _Places:
        return cls(
            *(torch.tensor(np.asarray(getattr(graph, item.name)), device=device, dtype=torch.int64)
              for item in fields(cls))
        )  # fmt: skip


def _network(weights: Any, graph: BondGraph, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Energy and moment of every atom."""
    places = _Places.of(graph, vectors.device)
    numbers = torch.tensor(graph.numbers, device=vectors.device) - 1
    lengths = vectors.norm(dim=1)
    basis = _radial(lengths, weights.frequencies, BOND_CUTOFF)
    flow = basis @ weights.bond_weights
    atoms = weights.embedding[numbers]
    bonds = basis @ weights.bond_embedding
    short_flow = angles = None
    if len(places.centre):
        short_lengths = lengths[places.short]
        short_basis = _radial(short_lengths, weights.short_frequencies, ANGLE_CUTOFF)
        short_flow = short_basis @ weights.short_bond_weights
        directions = vectors[places.short] / short_lengths[:, None]
        sign = torch.tensor(graph.sign, device=vectors.device)
        cosines = (directions[places.one] * directions[places.other]).sum(1) * sign
        harmonics = _harmonics(cosines, weights.angle_frequencies)
        angles = (harmonics @ weights.angle_embedding).repeat(2, 1)
    for turn in range(3):
        atoms = _atom_convolution(weights.atom_blocks[turn], atoms, bonds, flow, places)
        if angles is None or short_flow is None:
            continue
        change = _bond_convolution(
            weights.bond_blocks[turn], atoms, bonds, angles, short_flow, places
        )
        bonds = bonds.index_add(0, places.short, change)
        if turn < len(weights.angle_blocks):
            angles = _angle_change(weights.angle_blocks[turn], atoms, bonds, angles, places)
    moments = (atoms @ weights.moment + weights.moment_bias).abs()
    atoms = _atom_convolution(weights.atom_blocks[3], atoms, bonds, flow, places)
    return _readout(weights, atoms) + weights.reference[numbers], moments


def _radial(lengths: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
    """Bessel functions times an envelope [E, 31] (Gasteiger et al., ICLR 2020, eq. 7 and 8)."""
    share = lengths / cutoff
    p = ENVELOPE_POWER
    envelope = (
        1.0
        - (p + 1) * (p + 2) / 2 * share**p
        + p * (p + 2) * share ** (p + 1)
        - p * (p + 1) / 2 * share ** (p + 2)
    )
    envelope = torch.where(share < 1.0, envelope, 0.0)
    scale = (envelope / lengths * np.sqrt(2.0 / cutoff)).float()
    values: Tensor = scale[:, None] * torch.sin(share.float()[:, None] * frequencies)
    return values


def _harmonics(cosines: Tensor, frequencies: Tensor) -> Tensor:
    """Sines and cosines of multiples of an angle [A, 31]."""
    turns = torch.acos(cosines * COSINE_MARGIN).float()[:, None] * frequencies
    constant = torch.full_like(turns[:, :1], 1.0 / np.sqrt(2.0))
    values: Tensor = torch.cat([constant, torch.sin(turns), torch.cos(turns)], 1)
    return values / float(np.sqrt(np.pi))


def _gated(block: Any, hidden: Tensor) -> Tensor:
    """Core times gate, each through its layer norm [., 64] from both side by side [., 128]."""
    core = layer_norm(hidden[:, :WIDTH], (WIDTH,), block.scale[:WIDTH], block.shift[:WIDTH])
    gate = layer_norm(hidden[:, WIDTH:], (WIDTH,), block.scale[WIDTH:], block.shift[WIDTH:])
    return silu(core) * torch.sigmoid(gate)


def _second(block: Any, first: Tensor) -> Tensor:
    hidden = silu(first)
    core = linear(hidden[:, :WIDTH], block.second[0].T, block.second_bias[:WIDTH])
    gate = linear(hidden[:, WIDTH:], block.second[1].T, block.second_bias[WIDTH:])
    return torch.cat([core, gate], 1)


def _atom_convolution(
    block: Any, atoms: Tensor, bonds: Tensor, flow: Tensor, places: _Places
) -> Tensor:
    """Atoms changed by what comes over their bonds, in both directions of each."""
    centre, neighbour = (atoms @ block.atoms).split(2 * WIDTH, dim=1)
    shared = bonds @ block.bonds + block.bias
    ways = torch.cat(
        [
            centre[places.first] + neighbour[places.second] + shared,
            centre[places.second] + neighbour[places.first] + shared,
        ]
    )
    messages = _gated(block, _second(block, ways)) * flow.repeat(2, 1)
    ends = torch.cat([places.first, places.second])
    gathered = torch.zeros_like(atoms).index_add(0, ends, messages)
    changed: Tensor = atoms + gathered @ block.out
    return changed


def _angle_inputs(
    block: Any, atoms: Tensor, bonds: Tensor, angles: Tensor, places: _Places
) -> Tensor:
    """The first layer over angles, once with each of both bonds as the one that changes."""
    changed, other = (bonds[places.short] @ block.bonds).split(2 * WIDTH, dim=1)
    shared = (atoms @ block.atoms + block.bias)[places.centre]
    ways = torch.cat(
        [
            changed[places.one] + other[places.other] + shared,
            changed[places.other] + other[places.one] + shared,
        ]
    )
    inputs: Tensor = ways + angles @ block.angles
    return inputs


def _bond_convolution(
    block: Any, atoms: Tensor, bonds: Tensor, angles: Tensor, flow: Tensor, places: _Places
) -> Tensor:
    """What the angles add to the short bonds [B, 64]."""
    messages = _gated(block, _second(block, _angle_inputs(block, atoms, bonds, angles, places)))
    messages = messages * (flow[places.one] * flow[places.other]).repeat(2, 1)
    ends = torch.cat([places.one, places.other])
    gathered = torch.zeros_like(flow).index_add(0, ends, messages)
    change: Tensor = gathered @ block.out
    return change


def _angle_change(
    block: Any, atoms: Tensor, bonds: Tensor, angles: Tensor, places: _Places
) -> Tensor:
    return angles + _gated(block, _angle_inputs(block, atoms, bonds, angles, places))


def _readout(weights: Any, atoms: Tensor) -> Tensor:
    """Energy of every atom [N], eV."""
    hidden = layer_norm(atoms, (WIDTH,), weights.norm_scale, weights.norm_shift)
    for matrix, bias in weights.readout[:-1]:
        hidden = silu(hidden @ matrix + bias)
    matrix, bias = weights.readout[-1]
    energies: Tensor = (hidden @ matrix + bias)[:, 0]
    return energies
