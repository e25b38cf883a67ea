"""CHGNet on a processor: the network and its derivative as compiled loops around matrix products.

Each crystal is computed by itself, so that its answer does not depend on its company, to the last
bit. :mod:`materialabs.oracles.chgnet_network` is the same network for a graphics processor.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.oracles.chgnet_angle_kernels import (
    back_over_angles,
    back_through_angles,
    change_angles,
    over_angles,
)
from materialabs.oracles.chgnet_basis_kernels import (
    COLUMNS,
    harmonics,
    radial,
    row_products,
    slopes_of_angles,
)
from materialabs.oracles.chgnet_bond_kernels import back_over_bonds, over_bonds
from materialabs.oracles.chgnet_graph import ANGLE_CUTOFF, BOND_CUTOFF, BondGraph, NetworkAnswer
from materialabs.oracles.chgnet_readout import read_out
from materialabs.oracles.chgnet_weights import WIDTH, Weights, load_weights
from materialabs.oracles.scratch import Scratch

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

TURNS: Final = 4
"""Convolutions over bonds; between them lie three over angles."""


def _turned(matrices: Array) -> Array:
    return np.ascontiguousarray(np.swapaxes(matrices, -1, -2))


def _apart(matrix: NDArray[Any]) -> Array:
    """Cut columns [., k * 64] into blocks of 64 [k, ., 64]."""
    return np.ascontiguousarray(
        matrix.reshape(len(matrix), matrix.shape[1] // WIDTH, WIDTH).transpose(1, 0, 2)
    )


def _together(blocks: Array) -> Array:
    """Put blocks [k, ., 64] side by side [., k * 64]."""
    return blocks.transpose(1, 0, 2).reshape(blocks.shape[1], len(blocks) * WIDTH)


def _padded(matrix: Array, bias: Array | float = 0.0) -> Array:
    """A matrix of the 31 functions with a row for the constant one, which carries a bias."""
    last = np.broadcast_to(np.float32(bias), (1, matrix.shape[1]))
    return np.ascontiguousarray(np.concatenate([matrix, last]).astype(np.float32))


class _Matrices:
    """The weights folded into the matrices that the compiled loops multiply by.

    Between the radial functions and the first layer of a convolution stands nothing but the
    bonds' embedding, so that both are one matrix.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        embedding = weights.bond_embedding.astype(np.float64)
        self.basis = [
            _apart(_padded((embedding @ block.bonds).astype(np.float32), block.bias))
            for block in weights.atom_blocks
        ]
        self.flow = _padded(weights.bond_weights)
        self.short_flow = _padded(weights.short_bond_weights)
        self.bonds = _padded(weights.bond_embedding)
        self.angles = _padded(weights.angle_embedding)
        self.bond_angles = [_apart(block.angles) for block in weights.bond_blocks]
        self.angle_angles = [_apart(block.angles) for block in weights.angle_blocks]
        self.second_back = [_turned(block.second) for block in weights.atom_blocks]
        self.basis_back = [_turned(matrix) for matrix in self.basis]
        self.bond_second_back = [_turned(block.second) for block in weights.bond_blocks]
        self.bond_angles_back = [_turned(matrix) for matrix in self.bond_angles]
        self.angle_angles_back = [_turned(matrix) for matrix in self.angle_angles]


@lru_cache(maxsize=4)
def _matrices(name: str) -> _Matrices:
    return _Matrices(load_weights(name))


@dataclass
class _Run:
    """One crystal's arrays on the way through the network.

    The names are those of the kernels; ``short_of`` is each bond's place among the short ones,
    or -1.
    """

    bonds: tuple[NDArray[np.int32], NDArray[np.int32]]
    angles: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
    sign: NDArray[np.int8]
    short: NDArray[np.int64]
    short_of: NDArray[np.int32]
    lengths: Doubles
    units: Doubles
    basis: Array
    basis_by_length: Array
    short_basis: Array
    short_basis_by_length: Array
    harmonics: Array
    harmonics_by_cosine: Array
    flow: Array
    short_flow: Array
    start: Array


_local = threading.local()


def _scratch() -> Scratch:
    """The memory of this thread."""
    if not hasattr(_local, "scratch"):
        _local.scratch = Scratch()
    scratch: Scratch = _local.scratch
    return scratch


def evaluate_crystal(graph: BondGraph, name: str) -> NetworkAnswer:
    """Energies, their slopes and moments of the atoms of one crystal's graph."""
    own, room = _matrices(name), _scratch()
    run = _prepared(own, graph, room)
    numbers = graph.numbers - 1
    atoms, moments, kept = _forwards(own, run, own.weights.embedding[numbers], room)
    energies, slope = read_out(own.weights, atoms)
    slopes = _backwards(own, run, kept, slope, room)
    return NetworkAnswer(energies + own.weights.reference[numbers].astype(float), slopes, moments)


def _prepared(own: _Matrices, graph: BondGraph, room: Scratch) -> _Run:
    bonds, short, angles = len(graph.distance), len(graph.short), len(graph.centre)
    short_of = np.full(bonds, -1, dtype=np.int32)
    short_of[graph.short] = np.arange(short, dtype=np.int32)
    lengths = graph.distance
    units = graph.vectors / lengths[:, None]
    names = ("basis", "by_length"), ("short_basis", "short_by_length"), ("harmonics", "by_cosine")
    basis, by_length = (room.take(name, bonds, COLUMNS) for name in names[0])
    short_basis, short_by_length = (room.take(name, short, COLUMNS) for name in names[1])
    values, by_cosine = (room.take(name, angles, COLUMNS) for name in names[2])
    radial(lengths, own.weights.frequencies, BOND_CUTOFF, basis, by_length)
    radial(
        lengths[graph.short], own.weights.short_frequencies, ANGLE_CUTOFF,
        short_basis, short_by_length,
    )  # fmt: skip
    harmonics(
        units[graph.short], graph.one, graph.other, graph.sign,
        own.weights.angle_frequencies, values, by_cosine,
    )  # fmt: skip
    flow = np.dot(basis, own.flow, room.take("flow", bonds, WIDTH))
    return _Run(
        (graph.first, graph.second), (graph.centre, graph.one, graph.other), graph.sign,
        graph.short.astype(np.int64), short_of, lengths, units, basis, by_length, short_basis,
        short_by_length, values, by_cosine, flow, short_basis @ own.short_flow,
        basis[graph.short] @ own.bonds,
    )  # fmt: skip


@dataclass
class _Kept:
    """What the way forwards leaves for the way back, by turn."""

    ends: list[Array]
    changed: list[Array]
    hidden: list[Array]
    angle_inputs: list[Array]
    angle_hidden: list[Array]
    changing: list[Array]


def _forwards(
    own: _Matrices, run: _Run, atoms: Array, room: Scratch
) -> tuple[Array, Doubles, _Kept]:
    weights = own.weights
    kept = _Kept([], [], [], [], [], [])
    count = len(run.angles[0])
    change = np.zeros_like(run.start)
    angles = room.take("angles", 2 * count, WIDTH)
    features = run.harmonics @ own.angles
    angles[0::2] = features
    angles[1::2] = features
    moments = np.zeros(len(atoms))
    for turn in range(TURNS):
        atoms = _convolved(own, run, kept, atoms, change, turn, room)
        if turn < len(weights.bond_blocks) and count:
            change = change + _bond_change(own, run, kept, atoms, change, angles, turn, room)
        if turn < len(weights.angle_blocks) and count:
            block: Any = weights.angle_blocks[turn]
            inputs = room.take(f"changing {turn}", 2, 2 * count, WIDTH)
            change_angles(
                *run.angles, _apart(atoms @ block.atoms + block.bias),
                _apart((run.start + change) @ block.bonds),
                angles, own.angle_angles[turn], block.scale, block.shift, inputs,
            )  # fmt: skip
            kept.changing.append(inputs)
        if turn == TURNS - 2:
            moments = np.abs(atoms @ weights.moment + weights.moment_bias).astype(float)
    return atoms, moments, kept


def _convolved(
    own: _Matrices, run: _Run, kept: _Kept, atoms: Array, change: Array, turn: int, room: Scratch
) -> Array:
    block = own.weights.atom_blocks[turn]
    ends, changed = _apart(atoms @ block.atoms), _apart(change @ block.bonds)
    hidden = room.take(f"hidden {turn}", 2, 2 * len(run.lengths), WIDTH)
    gathered = np.zeros_like(atoms)
    over_bonds(
        *run.bonds, ends, run.basis, own.basis[turn], run.short_of, changed, run.flow,
        block.second, block.second_bias, block.scale, block.shift, hidden, gathered,
    )  # fmt: skip
    kept.ends.append(ends)
    kept.changed.append(changed)
    kept.hidden.append(hidden)
    return atoms + gathered @ block.out


def _bond_change(
    own: _Matrices, run: _Run, kept: _Kept, atoms: Array, change: Array, angles: Array, turn: int,
    room: Scratch,
) -> Array:  # fmt: skip
    block = own.weights.bond_blocks[turn]
    inputs = room.take(f"angle inputs {turn}", 2, len(angles), WIDTH)
    hidden = room.take(f"angle hidden {turn}", 2, len(angles), WIDTH)
    gathered = np.zeros_like(change)
    over_angles(
        *run.angles, _apart(atoms @ block.atoms + block.bias),
                _apart((run.start + change) @ block.bonds),
        angles, own.bond_angles[turn], run.short_flow, block.second, block.second_bias,
        block.scale, block.shift, inputs, hidden, gathered,
    )  # fmt: skip
    kept.angle_inputs.append(inputs)
    kept.angle_hidden.append(hidden)
    return gathered @ block.out


@dataclass
class _Slopes:
    """Slopes of the energy by what the run holds."""

    atoms: Array
    change: Array
    start: Array
    basis: Array
    flow: Array
    short_flow: Array
    angles: Array


def _backwards(own: _Matrices, run: _Run, kept: _Kept, atoms: Array, room: Scratch) -> Doubles:
    count, angles = len(run.lengths), len(run.angles[0])
    slopes = _Slopes(
        atoms, np.zeros_like(run.start), np.zeros_like(run.start),
        room.zeros("basis slope", count, COLUMNS), room.zeros("flow slope", count, WIDTH),
        np.zeros_like(run.start), room.zeros("angles slope", 2 * angles, WIDTH),
    )  # fmt: skip
    for turn in reversed(range(TURNS)):
        if turn < len(kept.changing):
            _back_through_angles(own, run, kept, slopes, turn)
        if turn < len(kept.angle_inputs):
            _back_over_angles(own, run, kept, slopes, turn)
        _back_over_bonds(own, run, kept, slopes, turn)
    return _by_vectors(own, run, slopes)


def _back_over_bonds(own: _Matrices, run: _Run, kept: _Kept, slopes: _Slopes, turn: int) -> None:
    block = own.weights.atom_blocks[turn]
    ends, changed = np.zeros_like(kept.ends[turn]), np.zeros_like(kept.changed[turn])
    back_over_bonds(
        *run.bonds, kept.ends[turn], run.basis, own.basis[turn], run.short_of,
        kept.changed[turn], run.flow, own.second_back[turn], block.scale, block.shift,
        kept.hidden[turn], own.basis_back[turn], slopes.atoms @ block.out.T, ends, slopes.basis,
        changed, slopes.flow,
    )  # fmt: skip
    slopes.atoms = slopes.atoms + _together(ends) @ block.atoms.T
    slopes.change += _together(changed) @ block.bonds.T


def _back_over_angles(own: _Matrices, run: _Run, kept: _Kept, slopes: _Slopes, turn: int) -> None:
    block = own.weights.bond_blocks[turn]
    atoms = np.zeros((2, len(slopes.atoms), WIDTH), dtype=np.float32)
    bonds = np.zeros((4, len(run.start), WIDTH), dtype=np.float32)
    back_over_angles(
        *run.angles, own.bond_angles_back[turn], run.short_flow, own.bond_second_back[turn],
        block.scale, block.shift, kept.angle_inputs[turn], kept.angle_hidden[turn],
        slopes.change @ block.out.T, atoms, bonds, slopes.angles, slopes.short_flow,
    )  # fmt: skip
    _take_up(slopes, block, atoms, bonds)


def _back_through_angles(
    own: _Matrices, run: _Run, kept: _Kept, slopes: _Slopes, turn: int
) -> None:
    block = own.weights.angle_blocks[turn]
    atoms = np.zeros((2, len(slopes.atoms), WIDTH), dtype=np.float32)
    bonds = np.zeros((4, len(run.start), WIDTH), dtype=np.float32)
    back_through_angles(
        *run.angles, own.angle_angles_back[turn], block.scale, block.shift, kept.changing[turn],
        atoms, bonds, slopes.angles,
    )  # fmt: skip
    _take_up(slopes, block, atoms, bonds)


def _take_up(slopes: _Slopes, block: Any, atoms: Array, bonds: Array) -> None:
    """Bring slopes by a first layer's parts to the features that these are made of."""
    slopes.atoms = slopes.atoms + _together(atoms) @ block.atoms.T
    features = _together(bonds) @ block.bonds.T
    slopes.change += features
    slopes.start += features


def _by_vectors(own: _Matrices, run: _Run, slopes: _Slopes) -> Doubles:
    """Slopes by the bond vectors [E, 3]."""
    by_basis = slopes.basis
    by_basis += slopes.flow @ own.flow.T
    by_basis[run.short] += slopes.start @ own.bonds.T
    by_length = np.empty(len(run.lengths))
    row_products(by_basis, run.basis_by_length, by_length)
    if len(run.short):
        extra = np.empty(len(run.short))
        row_products(slopes.short_flow @ own.short_flow.T, run.short_basis_by_length, extra)
        by_length[run.short] += extra
    by_vector = by_length[:, None] * run.units
    if len(run.sign):
        by_cosine = np.empty(len(run.sign))
        both = (slopes.angles[0::2] + slopes.angles[1::2]) @ own.angles.T
        row_products(both, run.harmonics_by_cosine, by_cosine)
        from_angles = np.zeros((len(run.short), 3))
        slopes_of_angles(
            run.units[run.short], run.lengths[run.short], *run.angles[1:], run.sign, by_cosine,
            from_angles,
        )  # fmt: skip
        by_vector[run.short] += from_angles
    return by_vector
