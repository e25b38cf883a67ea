"""Hand an unusual CIF block to pymatgen's parser and keep what it has to say as notes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from materialabs.crystals.files.entries import Entry
from materialabs.errors import FileError, one_line

if TYPE_CHECKING:
    from pymatgen.core import Structure

LONGEST_TEXT = 4 << 20
"""Bytes of one block; pymatgen compares all sites with each other."""

WITHOUT_SYMMETRY = "Defaulting to P1"
"""Part of what pymatgen says where it found no operations."""

NOISE = ("Issues encountered", "Cannot determine chemical composition from CIF")
"""Parts of messages that tell nothing of the crystal."""


def entry_through_pymatgen(text: str, group: str = "") -> Entry:
    """Read one data block with pymatgen.

    Parameters
    ----------
    text
        The block.
    group
        The space group that it names, empty for none; one that is not found is refused.
    """
    from pymatgen.io.cif import CifParser

    if len(text) > LONGEST_TEXT:
        raise FileError(f"has an unusual CIF block of more than {LONGEST_TEXT:,} characters")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            parser = CifParser.from_str(text, occupancy_tolerance=1.01)
            found = parser.parse_structures(primitive=False, on_error="raise")
            entry = entry_of_structure(found[0])
        except Exception as error:  # whatever its parsing runs into, the block is not readable
            reason = one_line(error, 200).rstrip(".") or type(error).__name__
            raise FileError(f"cannot be read as a CIF: {reason}") from None
    texts = [*parser.warnings, *(str(item.message) for item in heard if _telling(item.message))]
    if group and any(WITHOUT_SYMMETRY in text for text in texts):
        raise FileError(f"names the space group {group!r}, which is not known, and no operations")
    telling = [text for text in texts if not any(one in text for one in NOISE)]
    entry.notes += list(dict.fromkeys(" ".join(text.split())[:300] for text in telling))
    return entry


def _telling(message: Warning | str) -> bool:
    return isinstance(message, UserWarning)


def entry_of_structure(structure: Structure) -> Entry:
    """An entry from a pymatgen structure, through the batch conversion."""
    from materialabs.crystals.convert import from_pymatgen

    moments = structure.site_properties.get("magmom")
    if moments is not None:
        structure.remove_site_property("magmom")
    batch = from_pymatgen(structure)
    site_columns: dict[str, Any] = dict(batch.site_columns.items())
    if moments is not None:
        vectors = np.array([np.asarray(getattr(m, "global_moment", m), float) for m in moments])
        name = "magnetic_moment" if vectors.ndim == 1 else "magnetic_moment_vector"
        site_columns[name] = vectors
    table = batch.occupancy
    shares = None
    if table is not None:
        shares = [
            dict(zip(table.occupants[a:b].tolist(), table.fractions[a:b].tolist(), strict=True))
            for a, b in zip(table.offsets[:-1], table.offsets[1:], strict=True)
        ]
    return Entry(
        batch.lattice[0],
        batch.frac,
        batch.numbers.tolist(),
        tuple(batch.pbc[0].tolist()),
        site_columns=site_columns,
        shares=shares,
    )
