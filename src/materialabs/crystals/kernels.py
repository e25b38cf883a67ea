"""Compiled search for the neighbours of every atom.

The way, for one crystal after the other:

1. The crystal becomes a stack of rectangular bricks (:mod:`materialabs.crystals.brick_kernels`).
2. Coordinates are rounded to one common grid, as fine as the largest of them allows. Sums and
   differences are then exact, and both directions of a pair get the same distance to the bit.
3. A box around the atoms is cut into bins where that saves work; most cells stay whole.
4. For each bin, all images of atoms within reach of the bin's box are gathered, and each atom of
   the bin is compared with all of them (:mod:`materialabs.crystals.lane_kernels`).
5. Edges are written in the order of the atoms.

Arrays of one crystal: ``points`` and ``images`` float64 [3, room], ``names`` int32, ``box``
float64 [6] (lowest and highest corner), ``boxes`` float64 [bins, 6] (centres and half edges).
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from materialabs.crystals.bin_kernels import (
    assign_bins,
    bin_range,
    choose_bins,
    keep_order,
    sort_into_bins,
)
from materialabs.crystals.brick_kernels import FIELD, orient, place_atoms, round_to_grid
from materialabs.crystals.lane_kernels import LANES, keep_near, keep_reaching

FARTHEST_IMAGE = 12_000
"""Cells between an atom and its image for shifts to fit 16 bits."""

TOLERANCE = 1e-8
"""Angstrom; pairs this much beyond the cut-off still count, against rounding."""

MARGIN = 1e-9
"""Angstrom, and the same share of the coordinates: slack where images are gathered."""

DONE, FULL, MANY, FAR = 0, 1, 2, 3
"""How :func:`find_edges` ends: all done, output full, too many edges, atoms too far away."""


@njit(cache=True, nogil=True)
def most_shifts(box: Any, edges: Any, reach: float) -> float:
    """At most this many shifts bring a box within reach of itself."""
    number = 1.0
    for axis in range(3):
        if edges[axis, axis] > 0.0:
            number *= 2.0 * (box[axis + 3] - box[axis] + reach) / edges[axis, axis] + 2.0
    return number


@njit(cache=True, nogil=True)
def step_range(extent: float, offset: float, period: float) -> tuple[int, int]:
    """The whole steps k with |offset + k * period| <= extent; only 0 without a period."""
    if period == 0.0:
        return 0, 0
    return math.ceil((-extent - offset) / period), math.floor((extent - offset) / period)


@njit(cache=True, nogil=True)
def list_shifts(
    box: Any, edges: Any, whole: Any, reach: float, shifts: Any, codes: Any
) -> tuple[int, bool]:
    """List the lattice vectors that bring a box within reach of itself, zero first.

    Parameters
    ----------
    box, edges, whole, reach
        The box, and the bricks as :func:`orient` gives them.
    shifts, codes
        float64 [3, room] in angstrom and int64 [room] packed: what is listed.

    Returns
    -------
    tuple
        How many there are, and whether one is too far to be packed.
    """
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    shifts[0, 0], shifts[1, 0], shifts[2, 0], codes[0] = 0.0, 0.0, 0.0, 0
    count, far = 1, False
    low2, high2 = step_range(z + reach, 0.0, edges[2, 2])
    for k2 in range(low2, high2 + 1):
        shift_z = k2 * edges[2, 2]
        square = reach**2 - max(abs(shift_z) - z, 0.0) ** 2
        rest_y = math.sqrt(max(square, 0.0))
        offset_y = k2 * edges[2, 1]
        low1, high1 = step_range(y + rest_y, offset_y, edges[1, 1])
        for k1 in range(low1, high1 + 1):
            shift_y = offset_y + k1 * edges[1, 1]
            rest_x = math.sqrt(max(square - max(abs(shift_y) - y, 0.0) ** 2, 0.0))
            offset_x = k2 * edges[2, 0] + k1 * edges[1, 0]
            low0, high0 = step_range(x + rest_x, offset_x, edges[0, 0])
            for k0 in range(low0, high0 + 1):
                if k0 == 0 and k1 == 0 and k2 == 0:
                    continue
                shifts[0, count] = offset_x + k0 * edges[0, 0]
                shifts[1, count], shifts[2, count] = shift_y, shift_z
                code = 0.0
                for axis in range(2, -1, -1):
                    steps = k0 * whole[0, axis] + k1 * whole[1, axis] + k2 * whole[2, axis]
                    far |= abs(steps) > FARTHEST_IMAGE
                    code = code * FIELD + steps
                codes[count] = np.int64(code)
                count += 1
    return count, far


@njit(cache=True, nogil=True)
def take_images(
    points: Any, names: Any, start: int, stop: int, shifts: Any, t: int, mark: int,
    boxes: Any, b: int, square: float, images: Any, marked: Any, filled: int,
) -> Any:  # fmt: skip
    """Add those atoms ``start:stop``, moved by shift t, that lie within reach of bin b's box."""
    return keep_reaching(
        points, names, start, stop, shifts[0, t], shifts[1, t], shifts[2, t], boxes[b],
        mark, square, images, marked, filled,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def gather(
    points: Any, names: Any, starts: Any, boxes: Any, bins: Any, box: Any, b: int,
    shifts: Any, count: int, bits: int, reach: float, images: Any, marked: Any,
) -> Any:  # fmt: skip
    """Gather the images of atoms within reach of a bin's box, the bin's own atoms first.

    Parameters
    ----------
    points, names, starts, boxes, bins, box, b
        The sorted atoms, their bins, and the bin that is asked for.
    shifts, count, bits, reach
        The shifts, how many, where their number stands in a marked name, and the reach.
    images, marked
        Become the images and their names: ``shift << bits | atom``.

    Returns
    -------
    int
        How many there are, or -1 when there is no room for them.
    """
    square = reach * reach
    room = images.shape[1] - LANES
    if starts[b + 1] - starts[b] > room:
        return -1
    filled = take_images(
        points, names, starts[b], starts[b + 1], shifts, 0, 0, boxes, b, square, images, marked, 0
    )
    if len(boxes) == 1:
        if filled + count * filled > room:
            return -1
        for t in range(1, count):
            filled = take_images(
                points, names, starts[0], starts[1], shifts, t, t << bits, boxes, 0, square,
                images, marked, filled,
            )  # fmt: skip
        return filled
    for t in range(count):
        low0, high0 = bin_range(boxes, b, 0, box, bins, shifts[0, t], reach)
        low1, high1 = bin_range(boxes, b, 1, box, bins, shifts[1, t], reach)
        low2, high2 = bin_range(boxes, b, 2, box, bins, shifts[2, t], reach)
        for b0 in range(low0, high0):
            for b1 in range(low1, high1):
                for b2 in range(low2, high2):
                    other = (b0 * bins[1] + b1) * bins[2] + b2
                    if t == 0 and other == b:
                        continue
                    start, stop = starts[other], starts[other + 1]
                    if filled + stop - start > room:
                        return -1
                    filled = take_images(
                        points, names, start, stop, shifts, t, t << bits, boxes, b, square,
                        images, marked, filled,
                    )  # fmt: skip
    return filled


@njit(cache=True, nogil=True)
def compare(
    points: Any, names: Any, start: int, stop: int, images: Any, marked: Any, count: int,
    limit: float, found: Any, squares: Any, filled: int, spans: Any,
) -> Any:  # fmt: skip
    """Compare the atoms of a bin with all images near it, and keep the pairs within the limit.

    Parameters
    ----------
    points, names, start, stop
        The atoms of the bin.
    images, marked, count
        The images.
    limit
        Largest squared distance, square angstrom.
    found, squares, filled
        Marked names and squared distances of the pairs, and how many there are.
    spans
        int64 [2, room], becomes where the pairs of each atom start and stop.
    """
    for place in range(start, stop):
        own = names[place]
        spans[0, own] = filled
        filled = keep_near(
            images, marked, 0, count, points[0, place], points[1, place], points[2, place], own,
            limit, found, squares, filled,
        )  # fmt: skip
        spans[1, own] = filled
    return filled


@njit(cache=True, nogil=True)
def write_edges(
    count: int, base: int, spans: Any, found: Any, squares: Any, bits: int, codes: Any,
    wraps: Any, first: Any, second: Any, image: Any, distance: Any, degrees: Any,
) -> Any:  # fmt: skip
    """Write the pairs of one crystal in the order of its atoms; give how many there are.

    Parameters
    ----------
    count, base
        Number of atoms, and the number that the first of them has in the batch.
    spans, found, squares, bits
        The pairs, as :func:`compare` and :func:`gather` leave them.
    codes, wraps
        Packed shifts of the images, and those taken off the atoms.
    first, second, image, distance, degrees
        Become the edges and their number for each atom.
    """
    low, places = np.uint32((1 << bits) - 1), np.uint32(bits)
    middle = np.int64(FIELD / 2 * (1.0 + FIELD + FIELD * FIELD))
    written = 0
    for i in range(count):
        start, stop = spans[0, i], spans[1, i]
        own = wraps[i] + middle
        length = stop - start
        degrees[i] = length
        names, apart = found[start:stop], squares[start:stop]
        f, s = first[written : written + length], second[written : written + length]
        d, shift = distance[written : written + length], image[written : written + length]
        for e in range(length):
            name = np.uint32(names[e])
            other = name & low
            code = codes[name >> places] - wraps[other] + own
            f[e] = base + i
            s[e] = base + other
            d[e] = apart[e]
            shift[e, 0] = (code & 0xFFFF) - 0x8000
            shift[e, 1] = ((code >> 16) & 0xFFFF) - 0x8000
            shift[e, 2] = ((code >> 32) & 0xFFFF) - 0x8000
        written += length
    return written


@njit(cache=True, nogil=True)
def find_edges(
    lattice: Any, frac: Any, offsets: Any, pbc: Any, cutoffs: Any, begin: int, end: int, base: int,
    most: int, first: Any, second: Any, image: Any, distance: Any, degrees: Any,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Find all pairs of atoms within the cut-off, crystal after crystal.

    Parameters
    ----------
    lattice, frac, offsets, pbc
        A batch of crystals (:class:`materialabs.crystals.batch.Crystals`).
    cutoffs
        float64 [n], the cut-off of each crystal, angstrom.
    begin, end
        The crystals that are searched.
    base
        The atom of the batch that counts as number zero.
    most
        No more edges than this may be found.
    first, second, image, distance
        The output, filled from the front: int32 [room], int32 [room], int16 [room, 3] and
        float64 [room].
    degrees
        int64, becomes the number of edges of each atom from ``base`` on.

    Returns
    -------
    tuple
        Where it stopped, the edges written, how it ended (``DONE``, ``FULL``, ``MANY`` or
        ``FAR``), and for ``FULL`` the room that the crystal needs.
    """
    whole, edges, frame = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    box, bins = np.empty(6), np.empty(3, np.int64)
    home, points = np.empty((3, 0)), np.empty((3, 0))
    wraps, spans = np.empty(0, np.int64), np.empty((2, 0), np.int64)
    names, chosen = np.empty(0, np.int32), np.empty(0, np.int32)
    shifts, codes = np.empty((3, 0)), np.empty(0, np.int64)
    images, marked = np.empty((3, 1024)), np.empty(1024, np.int32)
    found, squares = np.empty(0, np.int32), np.empty(0)
    used = 0
    for c in range(begin, end):
        start, count = offsets[c], offsets[c + 1] - offsets[c]
        if count == 0:
            continue
        if count + LANES > home.shape[1]:
            room = 2 * count + LANES
            home, points = np.empty((3, room)), np.empty((3, room))
            wraps, spans = np.empty(room, np.int64), np.empty((2, room), np.int64)
            names, chosen = np.empty(room, np.int32), np.empty(room, np.int32)
        orient(lattice[c], pbc[c], whole, edges, frame)
        if place_atoms(frac[start : start + count], pbc[c], whole, edges, frame, home, wraps):
            return c, used, FAR, 0
        limit = cutoffs[c] + TOLERANCE
        round_to_grid(home, count, edges, limit, box)
        reach = limit + MARGIN * (1.0 + np.max(np.abs(box)) + limit)
        bits = 0
        while (1 << bits) < count:
            bits += 1
        bound = most_shifts(box, edges, reach)
        if bound * (1 << bits) > 2**31 - 1:
            return c, used, MANY, 0
        if bound > len(codes):
            shifts, codes = np.empty((3, int(bound) + 1)), np.empty(int(bound) + 1, np.int64)
        shift_count, far = list_shifts(box, edges, whole, reach, shifts, codes)
        if far:
            return c, used, FAR, 0
        total = choose_bins(box, count, reach, bins)
        starts, boxes = np.empty(total + 1, np.int64), np.empty((total, 6))
        if total == 1:
            keep_order(home, count, box, points, names, starts, boxes)
        else:
            assign_bins(home, count, box, bins, chosen)
            sort_into_bins(home, count, chosen, points, names, starts, boxes)
        filled = 0
        for b in range(total):
            near = -1
            while near < 0:
                near = gather(
                    points, names, starts, boxes, bins, box, b, shifts, shift_count, bits, reach,
                    images, marked,
                )  # fmt: skip
                if near < 0:
                    room = 2 * images.shape[1]
                    images, marked = np.empty((3, room)), np.empty(room, np.int32)
            needed = filled + near * (starts[b + 1] - starts[b]) + LANES
            if needed > len(found):
                room = 2 * needed
                larger, wider = np.empty(room, np.int32), np.empty(room)
                larger[:filled], wider[:filled] = found[:filled], squares[:filled]
                found, squares = larger, wider
            filled = compare(
                points, names, starts[b], starts[b + 1], images, marked, near, limit * limit,
                found, squares, filled, spans,
            )  # fmt: skip
            if used + filled > most:
                return c, used, MANY, 0
        for e in range(filled):
            squares[e] = math.sqrt(squares[e])
        if used + filled > len(distance):
            return c, used, FULL, filled
        used += write_edges(
            count, start - base, spans, found, squares, bits, codes, wraps,
            first[used:], second[used:], image[used:], distance[used:], degrees[start - base :],
        )  # fmt: skip
    return end, used, DONE, 0
