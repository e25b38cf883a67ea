"""CHGNet's weights: found in the installed package, checked byte for byte, folded for speed.

CHGNet: Deng et al., Nature Machine Intelligence 5, 1031 (2023). The files ship in the package
``chgnet`` on PyPI. Only files whose SHA-256 stands here are read, and only as tensors.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.levels import MP2020, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = NDArray[np.float32]

R2SCAN: Final = Level("r2SCAN", pseudopotentials="PAW-PBE", code="VASP")
"""Materials Project r2SCAN, without corrections (Huang et al., npj Comput. Mater. 2025)."""


@dataclass(frozen=True)
class WeightsFile:
    """One published set of weights.

    Parameters
    ----------
    version
        Version of the weights.
    place
        Inside the package ``chgnet``.
    sha256
        Of the file.
    emulates
        The level that it was trained to reproduce.
    """

    version: str
    place: str
    sha256: str
    emulates: Level


PUBLISHED: Final = {
    "pbe": WeightsFile(
        "0.3.0",
        "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
        MP2020,
    ),
    "r2scan": WeightsFile(
        "r2scan",
        "pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
        R2SCAN,
    ),
}
"""Weights by the functional they emulate."""


@dataclass(frozen=True, eq=False)
class AtomBlock:
    """One convolution over bonds, its first layer split into what each side brings.

    ``core`` and ``gate`` stand side by side: columns 0-63 are the core's, 64-127 the gate's.

    Parameters
    ----------
    atoms
        [64, 256]: of an atom as the centre (first 128 columns) and as the neighbour.
    bonds
        [64, 128].
    bias
        [128].
    second
        [2, 64, 64], and its bias [128].
    scale, shift
        [128], of the layer norms.
    out
        [64, 64].
    """

    atoms: Array
    bonds: Array
    bias: Array
    second: Array
    second_bias: Array
    scale: Array
    shift: Array
    out: Array


@dataclass(frozen=True, eq=False)
class BondBlock:
    """One convolution over angles that changes bonds; as :class:`AtomBlock`.

    Parameters
    ----------
    bonds
        [64, 256]: of the bond that is changed (first 128 columns) and of the other.
    angles, atoms
        [64, 128].
    """

    bonds: Array
    angles: Array
    atoms: Array
    bias: Array
    second: Array
    second_bias: Array
    scale: Array
    shift: Array
    out: Array


@dataclass(frozen=True, eq=False)
class AngleBlock:
    """One change of the angles, without a hidden layer; as :class:`BondBlock`."""

    bonds: Array
    angles: Array
    atoms: Array
    bias: Array
    scale: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class Weights:
    """All of a network, as plain arrays.

    Parameters
    ----------
    reference
        [94], eV: energy of an atom of each element before any interaction.
    embedding
        [94, 64].
    frequencies, short_frequencies, angle_frequencies
        [31], [31] and [15], of the radial and angular functions.
    bond_embedding, bond_weights, short_bond_weights, angle_embedding
        [31, 64] each.
    atom_blocks, bond_blocks, angle_blocks
        4, 3 and 2 (the published third changes angles that nothing reads).
    moment, moment_bias
        [64] and []: Bohr magneton.
    norm_scale, norm_shift
        [64], before the read-out.
    readout
        Matrices and biases of the read-out.
    """

    reference: Array
    embedding: Array
    frequencies: Array
    short_frequencies: Array
    angle_frequencies: Array
    bond_embedding: Array
    bond_weights: Array
    short_bond_weights: Array
    angle_embedding: Array
    atom_blocks: tuple[AtomBlock, ...]
    bond_blocks: tuple[BondBlock, ...]
    angle_blocks: tuple[AngleBlock, ...]
    moment: Array
    moment_bias: Array
    norm_scale: Array
    norm_shift: Array
    readout: tuple[tuple[Array, Array], ...]


def published(name: str) -> WeightsFile:
    """The published weights of this name; an unknown one is refused with those there are."""
    if name not in PUBLISHED:
        raise InputError(f"CHGNet has the weights {', '.join(PUBLISHED)}, not {name!r}.")
    return PUBLISHED[name]


def chgnet_level(name: str) -> Level:
    """The level of CHGNet with these weights; nothing is loaded for it."""
    chosen = published(name)
    return Level(
        chosen.emulates.functional,
        hubbard=chosen.emulates.hubbard,
        correction=chosen.emulates.correction,
        code="CHGNet",
        version=chosen.version,
        weights=chosen.sha256,
        emulates=chosen.emulates,
    )


@cache
def load_weights(name: str) -> Weights:
    """Read and check a published set of weights."""
    chosen = published(name)
    data = _file(chosen).read_bytes()
    if hashlib.sha256(data).hexdigest() != chosen.sha256:
        raise IntegrityError(
            f"CHGNet's file {chosen.place} is not the published one: install chgnet anew."
        )
    return _weights(_tensors(data))


def _file(chosen: WeightsFile) -> Path:
    found = find_spec("chgnet")
    if found is None or found.origin is None:
        raise NotFound("CHGNet is not installed: pip install chgnet", code="oracle.not_installed")
    path = Path(found.origin).parent / chosen.place
    if not path.exists():
        raise NotFound(
            f"chgnet {metadata.version('chgnet')} has no weights {chosen.version}: "
            "pip install chgnet>=0.4.2",
            code="oracle.no_weights",
        )
    return path


def _tensors(data: bytes) -> Mapping[str, Array]:
    import torch

    document: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {
        name: np.ascontiguousarray(tensor.numpy())
        for name, tensor in document["model"]["state_dict"].items()
    }


WIDTH: Final = 64
"""Features of an atom, a bond and an angle."""


def _pair(given: Mapping[str, Array], place: str, name: str) -> Array:
    """Core and gate of a gated layer side by side: [..., 2 * 64] from two [64, ...]."""
    return np.concatenate([given[f"{place}.mlp_{half}.{name}"].T for half in ("core", "gate")], -1)


def _second(given: Mapping[str, Array], place: str) -> Array:
    layers = [given[f"{place}.mlp_{half}.layers.3.weight"].T for half in ("core", "gate")]
    return np.ascontiguousarray(np.stack(layers))


def _norm(given: Mapping[str, Array], place: str, name: str) -> Array:
    return np.concatenate([given[f"{place}.bn{which}.{name}"] for which in (1, 2)])


def _rows(matrix: Array, part: int) -> Array:
    return np.ascontiguousarray(matrix[part * WIDTH : (part + 1) * WIDTH])


def _atom_block(given: Mapping[str, Array], index: int) -> AtomBlock:
    """The published order of inputs is centre, bond, neighbour."""
    place = f"atom_conv_layers.{index}.twoBody_atom"
    first = _pair(given, place, "layers.0.weight")
    return AtomBlock(
        np.concatenate([_rows(first, 0), _rows(first, 2)], axis=1),
        _rows(first, 1),
        _pair(given, place, "layers.0.bias"),
        _second(given, place),
        _pair(given, place, "layers.3.bias"),
        _norm(given, place, "weight"),
        _norm(given, place, "bias"),
        np.ascontiguousarray(given[f"atom_conv_layers.{index}.mlp_out.layers.1.weight"].T),
    )


def _bond_block(given: Mapping[str, Array], index: int) -> BondBlock:
    """The published order of inputs is changed bond, other bond, angle, centre."""
    place = f"bond_conv_layers.{index}.twoBody_bond"
    first = _pair(given, place, "layers.0.weight")
    return BondBlock(
        np.concatenate([_rows(first, 0), _rows(first, 1)], axis=1),
        _rows(first, 2),
        _rows(first, 3),
        _pair(given, place, "layers.0.bias"),
        _second(given, place),
        _pair(given, place, "layers.3.bias"),
        _norm(given, place, "weight"),
        _norm(given, place, "bias"),
        np.ascontiguousarray(given[f"bond_conv_layers.{index}.mlp_out.layers.1.weight"].T),
    )


def _angle_block(given: Mapping[str, Array], index: int) -> AngleBlock:
    place = f"angle_layers.{index}.twoBody_bond"
    first = _pair(given, place, "layers.1.weight")
    return AngleBlock(
        np.concatenate([_rows(first, 0), _rows(first, 1)], axis=1),
        _rows(first, 2),
        _rows(first, 3),
        _pair(given, place, "layers.1.bias"),
        _norm(given, place, "weight"),
        _norm(given, place, "bias"),
    )


def _weights(given: Mapping[str, Array]) -> Weights:
    return Weights(
        given["composition_model.fc.weight"][0],
        given["atom_embedding.embedding.weight"],
        given["bond_basis_expansion.rbf_expansion_ag.frequencies"],
        given["bond_basis_expansion.rbf_expansion_bg.frequencies"],
        given["angle_basis_expansion.fourier_expansion.frequencies"],
        np.ascontiguousarray(given["bond_embedding.weight"].T),
        np.ascontiguousarray(given["bond_weights_ag.weight"].T),
        np.ascontiguousarray(given["bond_weights_bg.weight"].T),
        np.ascontiguousarray(given["angle_embedding.weight"].T),
        tuple(_atom_block(given, index) for index in range(4)),
        tuple(_bond_block(given, index) for index in range(3)),
        tuple(_angle_block(given, index) for index in range(2)),
        given["site_wise.weight"][0],
        given["site_wise.bias"][0],
        given["readout_norm.weight"],
        given["readout_norm.bias"],
        tuple(
            (np.ascontiguousarray(given[f"mlp.layers.{layer}.weight"].T),
             given[f"mlp.layers.{layer}.bias"])
            for layer in (0, 2, 4, 7)
        ),
    )  # fmt: skip
