"""How much of a file is read before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from materialabs.crystals.validate import SanityLimits


@dataclass(frozen=True)
class Limits(SanityLimits):
    """Sizes that guard memory and time, beside the limits of a sane crystal.

    Parameters
    ----------
    entry_bytes
        Most bytes of one entry of a file that is read piece by piece: a line of JSON lines, a
        block of a CIF.
    file_bytes
        Most bytes, unpacked, of a file that has to be held in memory whole.
    unpacked_bytes
        Most bytes, unpacked, of any file.
    entries
        Most entries of one file.
    """

    entry_bytes: int = 64 << 20
    file_bytes: int = 2 << 30
    unpacked_bytes: int = 256 << 30
    entries: int = 50_000_000
