"""Write src/materialabs/generation/wyckoff.json.gz: the Wyckoff positions of the 230 groups.

Nothing is copied from a table. The points that an operation (R, t) of a group leaves where they
are, up to lattice translations, form flats (points, lines, planes) of the torus R^3/Z^3; the
closure of these flats under intersection, in classes under the group, are the Wyckoff positions
(International Tables A, section 1.4.4). Each intersection is a system of linear congruences,
solved exactly through the Smith normal form. Only the names (letters and oriented site-symmetry
symbols) come from moyopy, which is asked about a test crystal with an atom on each position.

Run ``python scripts/make_wyckoff_table.py``; it takes twenty seconds.
"""

from __future__ import annotations

import gzip
import itertools
import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).parent.parent / "src" / "materialabs" / "generation" / "wyckoff.json.gz"

DENOMINATOR = 24
"""All translations and special coordinates are whole multiples of 1/24."""

PRIMITIVE_ROWS = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, "1/2", "-1/2"), (0, "1/2", "1/2")),
    "C": (("1/2", "-1/2", 0), ("1/2", "1/2", 0), (0, 0, 1)),
    "I": (("-1/2", "1/2", "1/2"), ("1/2", "-1/2", "1/2"), ("1/2", "1/2", "-1/2")),
    "F": ((0, "1/2", "1/2"), ("1/2", 0, "1/2"), ("1/2", "1/2", 0)),
    "R": (("2/3", "1/3", "1/3"), ("-1/3", "1/3", "1/3"), ("-1/3", "-2/3", "1/3")),
}
"""Primitive vectors in terms of the conventional ones, for each centring."""

Matrix = tuple[tuple[Any, ...], ...]
Vector = tuple[Any, ...]


def times(left: Matrix, right: Matrix) -> Matrix:
    """Product of two matrices given as tuples of rows."""
    columns = tuple(zip(*right, strict=True))
    return tuple(
        tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in columns)
        for row in left
    )


def apply(matrix: Matrix, vector: Vector) -> Vector:
    """Matrix times column vector."""
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


@cache
def smith(matrix: Matrix, columns: int) -> tuple[Matrix, tuple[int, ...], Matrix]:
    """Unimodular U, V and the diagonal s with U A V = diag(s), for an integer matrix A."""
    rows = len(matrix)
    a = [list(row) for row in matrix]
    u = [[int(i == j) for j in range(rows)] for i in range(rows)]
    v = [[int(i == j) for j in range(columns)] for i in range(columns)]
    diagonal = []
    for step in range(min(rows, columns)):
        while True:
            entries = [
                (abs(a[i][j]), i, j)
                for i in range(step, rows)
                for j in range(step, columns)
                if a[i][j]
            ]
            if not entries:
                break
            _, pivot_row, pivot_column = min(entries)
            a[step], a[pivot_row] = a[pivot_row], a[step]
            u[step], u[pivot_row] = u[pivot_row], u[step]
            for table in (a, v):
                for row in table:
                    row[step], row[pivot_column] = row[pivot_column], row[step]
            pivot = a[step][step]
            for i in range(step + 1, rows):
                factor = a[i][step] // pivot
                a[i] = [x - factor * y for x, y in zip(a[i], a[step], strict=True)]
                u[i] = [x - factor * y for x, y in zip(u[i], u[step], strict=True)]
            for j in range(step + 1, columns):
                factor = a[step][j] // pivot
                for table in (a, v):
                    for row in table:
                        row[j] -= factor * row[step]
            if not any(a[i][step] for i in range(step + 1, rows)) and not any(a[step][step + 1 :]):
                break
        if not any(any(row[step:]) for row in a[step:]):
            break
        diagonal.append(a[step][step])
    return tuple(map(tuple, u)), tuple(diagonal), tuple(map(tuple, v))


@cache
def row_echelon(matrix: Matrix) -> Matrix:
    """Hermite normal form by rows of an integer matrix of full row rank."""
    a = [list(row) for row in matrix]
    top = 0
    for column in range(3):
        while True:
            entries = [(abs(a[i][column]), i) for i in range(top, len(a)) if a[i][column]]
            if not entries:
                break
            _, pivot = min(entries)
            a[top], a[pivot] = a[pivot], a[top]
            for i in range(top + 1, len(a)):
                factor = a[i][column] // a[top][column]
                a[i] = [x - factor * y for x, y in zip(a[i], a[top], strict=True)]
            if not any(a[i][column] for i in range(top + 1, len(a))):
                break
        if top < len(a) and a[top][column]:
            if a[top][column] < 0:
                a[top] = [-x for x in a[top]]
            for i in range(top):
                factor = a[i][column] // a[top][column]
                a[i] = [x - factor * y for x, y in zip(a[i], a[top], strict=True)]
            top += 1
    return tuple(map(tuple, a))


@cache
def annihilator(directions: Matrix) -> Matrix:
    """Whole-number equations Q x = constant of the flats with these directions (columns)."""
    width = len(directions[0])
    u, diagonal, _ = smith(directions, width)
    return row_echelon(u[len(diagonal) :])


@dataclass(frozen=True)
class Flat:
    """Points ``origin + directions t`` of the torus; ``directions`` has its vectors as columns."""

    origin: Vector
    directions: Matrix

    @property
    def freedom(self) -> int:
        """Number of free parameters."""
        return len(self.directions[0])

    def key(self) -> tuple[Matrix, Vector]:
        """What two descriptions of the same flat have in common."""
        equations = annihilator(self.directions)
        return equations, tuple(value % 1 for value in apply(equations, self.origin))

    def moved(self, rotation: Matrix, translation: Vector) -> Flat:
        """The image under an operation."""
        origin = tuple(
            a + b for a, b in zip(apply(rotation, self.origin), translation, strict=True)
        )
        moved = times(rotation, self.directions) if self.freedom else self.directions
        return Flat(origin, moved)

    def fixed_by(self, rotation: Matrix, translation: Vector) -> bool:
        """Whether each of its points stays where it is, up to lattice translations."""
        image = self.moved(rotation, translation)
        still = all((a - b) % 1 == 0 for a, b in zip(image.origin, self.origin, strict=True))
        return still and image.directions == self.directions

    def within(self, rotation: Matrix, translation: Vector) -> list[Flat]:
        """The parts of this flat that an operation leaves where they are."""
        change = tuple(
            tuple(value - int(i == j) for j, value in enumerate(row))
            for i, row in enumerate(rotation)
        )
        wanted = tuple(
            -(a + b) for a, b in zip(apply(change, self.origin), translation, strict=True)
        )
        if self.freedom == 0:
            return []
        u, diagonal, v = smith(times(change, self.directions), self.freedom)
        right = apply(u, wanted)
        rank = len(diagonal)
        if any(value % 1 for value in right[rank:]):
            return []
        basis = times(self.directions, v)
        free = tuple(row[rank:] for row in basis)
        solutions = itertools.product(
            *(
                [Fraction(right[i] + m, diagonal[i]) for m in range(abs(diagonal[i]))]
                for i in range(rank)
            )
        )
        return [
            Flat(
                tuple(
                    (x + sum(row[i] * t[i] for i in range(rank))) % 1
                    for x, row in zip(self.origin, basis, strict=True)
                ),
                free,
            )
            for t in solutions
        ]


Operation = tuple[Matrix, Vector]


def wyckoff_flats(operations: list[Operation]) -> list[list[Flat]]:
    """All Wyckoff positions of a group given on a primitive basis, as orbits of flats."""
    everything = Flat((Fraction(0),) * 3, ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    known: dict[tuple[Matrix, Vector], int] = {}
    orbits: list[list[Flat]] = []
    waiting = [everything]
    while waiting:
        flat = waiting.pop()
        if flat.key() in known:
            continue
        images = {image.key(): image for image in (flat.moved(*g) for g in operations)}
        known.update(dict.fromkeys(images, len(orbits)))
        orbits.append(list(images.values()))
        for operation in operations:
            if not flat.fixed_by(*operation):
                waiting.extend(flat.within(*operation))
    return orbits


def symmetry_of(number: int) -> tuple[str, list[Operation], list[Operation], Matrix]:
    """Centring, conventional operations (one for each primitive one), primitive ones, basis."""
    import moyopy

    given = moyopy.operations_from_number(number)
    operations = []
    centrings = []
    for rotation, translation in zip(given.rotations, given.translations, strict=True):
        matrix = tuple(tuple(int(x) for x in row) for row in rotation)
        vector = tuple(Fraction(round(x * DENOMINATOR), DENOMINATOR) % 1 for x in translation)
        if matrix == ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
            centrings.append(vector)
        operations.append((matrix, vector))
    centring = _centring(centrings)
    rows = tuple(tuple(Fraction(x) for x in row) for row in PRIMITIVE_ROWS[centring])
    to_conventional = tuple(zip(*rows, strict=True))
    to_primitive = _inverse(to_conventional)
    chosen: dict[Matrix, Vector] = {}
    for matrix, vector in sorted(operations, key=lambda item: (item[1], item[0])):
        chosen.setdefault(matrix, vector)
    order = list(dict.fromkeys(matrix for matrix, _ in operations))
    conventional = [(matrix, chosen[matrix]) for matrix in order]
    primitive = [
        (
            _whole(times(times(to_primitive, matrix), to_conventional)),
            tuple(x % 1 for x in apply(to_primitive, vector)),
        )
        for matrix, vector in conventional
    ]
    return centring, conventional, primitive, to_conventional


def _centring(vectors: list[Vector]) -> str:
    half = Fraction(1, 2)
    if len(vectors) == 1:
        return "P"
    if len(vectors) == 4:
        return "F"
    if len(vectors) == 3:
        return "R"
    return {(half, half, half): "I", (half, half, 0): "C", (0, half, half): "A"}[
        next(vector for vector in vectors if any(vector))
    ]


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    adjugate = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return tuple(tuple(Fraction(x) / determinant for x in row) for row in adjugate)


def _whole(matrix: Matrix) -> Matrix:
    if any(Fraction(x).denominator != 1 for row in matrix for x in row):
        raise ArithmeticError("an operation is not whole-numbered on the primitive basis")
    return tuple(tuple(int(x) for x in row) for row in matrix)


def conventional_form(flat: Flat, to_conventional: Matrix) -> tuple[Vector, Matrix]:
    """Origin and directions (as rows) on the conventional basis, in their plainest form."""
    origin = list(apply(to_conventional, flat.origin))
    rows = _rational_echelon(
        [list(apply(to_conventional, column)) for column in zip(*flat.directions, strict=True)]
        if flat.freedom
        else []
    )
    for row in rows:
        pivot = next(i for i, x in enumerate(row) if x)
        shift = origin[pivot] / row[pivot]
        origin = [x - shift * y for x, y in zip(origin, row, strict=True)]
    scaled = []
    for row in rows:
        scale = int(np.lcm.reduce([Fraction(x).denominator for x in row]))
        scaled.append(tuple(int(x * scale) for x in row))
    return tuple(x % 1 for x in origin), tuple(scaled)


def _rational_echelon(rows: list[list[Any]]) -> list[list[Any]]:
    top = 0
    for column in range(3):
        pivot = next((i for i in range(top, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[top], rows[pivot] = rows[pivot], rows[top]
        lead = rows[top][column]
        rows[top] = [Fraction(x) / lead for x in rows[top]]
        for i in range(len(rows)):
            if i != top and rows[i][column]:
                factor = rows[i][column]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[top], strict=True)]
        top += 1
    return rows


def _plainness(form: tuple[Vector, Matrix]) -> tuple[Any, ...]:
    """Prefer x,0,0 to 0,0,x, few entries, no signs and small fractions, as the tables do."""
    origin, directions = form
    flat = [x for row in directions for x in row]
    return (
        sum(x < 0 for x in flat),
        sum(x != 0 for x in flat),
        [-x for x in flat],
        sum(origin),
        origin,
    )


@dataclass(frozen=True)
class Position:
    """One Wyckoff position: a representative flat and the operations that make its orbit."""

    origin: Vector
    directions: Matrix
    orbit: tuple[int, ...]


def positions_of(number: int) -> tuple[str, list[Operation], list[Position]]:
    """Derive centring, operations and unnamed positions of a space group."""
    centring, conventional, primitive, to_conventional = symmetry_of(number)
    to_primitive = _inverse(to_conventional)
    positions = []
    for orbit in wyckoff_flats(primitive):
        forms = [conventional_form(flat, to_conventional) for flat in orbit]
        origin, directions = min(forms, key=_plainness)
        flat = Flat(
            apply(to_primitive, origin),
            tuple(zip(*(apply(to_primitive, row) for row in directions), strict=True))
            if directions
            else ((), (), ()),
        )
        images: dict[Any, int] = {}
        for index, operation in enumerate(primitive):
            image = flat.moved(*operation)
            images.setdefault((tuple(x % 1 for x in image.origin), image.directions), index)
        positions.append(Position(origin, directions, tuple(sorted(images.values()))))
    return centring, conventional, positions


GENERIC = (0.1234, 0.3719, 0.2183)
"""Parameters, in lattice units, that lie on no symmetry element."""


def named(
    number: int, centring: str, operations: list[Operation], positions: list[Position]
) -> list[tuple[str, str]]:
    """Letter and site-symmetry symbol of each position, asked of moyopy."""
    import moyopy

    cell = _test_lattice(moyopy.SpaceGroupType(number).crystal_family)
    rows = np.array([[float(Fraction(x)) for x in row] for row in PRIMITIVE_ROWS[centring]])
    general = max(range(len(positions)), key=lambda i: len(positions[i].directions))
    coordinates: list[np.ndarray[Any, Any]] = []
    kinds: list[int] = []
    places = [(general, offset) for offset in (0.02913, 0.04391, 0.08737)]
    places += [(index, 0.0) for index in range(len(positions))]
    for kind, (index, offset) in enumerate(places):
        position = positions[index]
        point = np.array([float(x) for x in position.origin])
        for row, value in zip(position.directions, GENERIC, strict=False):
            point = point + np.array(row, float) * (value + offset * (1 + row[0]))
        for choice in position.orbit:
            rotation, translation = operations[choice]
            image = np.array(rotation, float) @ point + np.array([float(x) for x in translation])
            coordinates.append(np.linalg.solve(rows.T, image) % 1)
            kinds.append(kind + 1)
    dataset = moyopy.MoyoDataset(
        moyopy.Cell(
            basis=(rows @ cell).tolist(),
            positions=[x.tolist() for x in coordinates],
            numbers=kinds,
        ),
        symprec=1e-5,
        setting=moyopy.Setting.standard(),
    )
    if dataset.number != number:
        raise ArithmeticError(f"the test crystal of group {number} has group {dataset.number}")
    return _read_names(dataset, rows, coordinates, operations, positions)


def _read_names(
    dataset: Any,
    rows: np.ndarray[Any, Any],
    coordinates: list[np.ndarray[Any, Any]],
    operations: list[Operation],
    positions: list[Position],
) -> list[tuple[str, str]]:
    """Names by place in moyopy's frame, which may differ from ours by a normaliser."""
    names: dict[int, tuple[str, str]] = {}
    inverse = np.linalg.inv(np.array(dataset.std_linear))
    shift = np.array(dataset.std_origin_shift)
    cells = np.array(list(itertools.product(range(-2, 3), repeat=3)), float) @ rows
    flats = [_images(position, operations) for position in positions]
    for place, letter, symbol in zip(
        coordinates, dataset.wyckoffs, dataset.site_symmetry_symbols, strict=True
    ):
        point = inverse @ (place - shift)
        index = _position_at(point - np.floor(point) + cells, flats)
        if names.setdefault(index, (letter, symbol)) != (letter, symbol):
            raise ArithmeticError("a position has two names")
    if len(names) != len(positions) or len({letter for letter, _ in names.values()}) != len(names):
        raise ArithmeticError("the names and the positions do not pair up")
    return [names[index] for index in range(len(positions))]


def _images(
    position: Position, operations: list[Operation]
) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Start of each flat of an orbit, and the projector onto what is normal to it."""
    origin = np.array([float(x) for x in position.origin])
    directions = np.array(position.directions, float).reshape(-1, 3)
    images = []
    for choice in position.orbit:
        rotation, translation = operations[choice]
        turned = np.array(rotation, float)
        along = turned @ directions.T
        normal = np.eye(3) - along @ np.linalg.pinv(along)
        images.append((turned @ origin + np.array([float(x) for x in translation]), normal))
    return images


def _position_at(
    points: np.ndarray[Any, Any],
    flats: list[list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]],
) -> int:
    """The position with the least freedom of which a flat holds one of equivalent points."""
    freedom = [round(3 - np.trace(images[0][1])) for images in flats]
    for index in sorted(range(len(flats)), key=freedom.__getitem__):
        for start, normal in flats[index]:
            if np.abs((points - start) @ normal.T).max(axis=1).min() < 1e-6:
                return index
    raise ArithmeticError("a point lies on no position")


def _test_lattice(family: Any) -> np.ndarray[Any, Any]:
    """A lattice with exactly the symmetry of a crystal family; rows are vectors."""
    a, b, c = 7.0, 8.3, 9.7
    shapes = {
        "Triclinic": [[a, 0, 0], [1.3, b, 0], [0.9, 1.7, c]],
        "Monoclinic": [[a, 0, 0], [0, b, 0], [-1.9, 0, c]],
        "Orthorhombic": [[a, 0, 0], [0, b, 0], [0, 0, c]],
        "Tetragonal": [[a, 0, 0], [0, a, 0], [0, 0, c]],
        "Hexagonal": [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]],
        "Cubic": [[a, 0, 0], [0, a, 0], [0, 0, a]],
    }
    return np.array(shapes[str(family).rsplit(".", maxsplit=1)[-1]], float)


def group_row(number: int) -> dict[str, Any]:
    """Everything that the table keeps about one space group."""
    import moyopy

    kind = moyopy.SpaceGroupType(number)
    centring, operations, positions = positions_of(number)
    names = named(number, centring, operations, positions)
    order = sorted(
        range(len(positions)), key=lambda i: "abcdefghijklmnopqrstuvwxyzA".index(names[i][0])
    )
    return {
        "number": number,
        "symbol": kind.hm_short.replace(" ", ""),
        "family": str(kind.crystal_family).rsplit(".", maxsplit=1)[-1].lower(),
        "centring": centring,
        "operations": [
            [*(x for row in rotation for x in row), *map(_parts, translation)]
            for rotation, translation in operations
        ],
        "positions": [
            {
                "letter": names[i][0],
                "site_symmetry": names[i][1],
                "origin": [_parts(x) for x in positions[i].origin],
                "directions": [list(row) for row in positions[i].directions],
                "orbit": list(positions[i].orbit),
            }
            for i in order
        ],
    }


def _parts(value: Fraction) -> int:
    """A fraction as a whole number of 1/24."""
    scaled = value * DENOMINATOR
    if Fraction(scaled).denominator != 1:
        raise ArithmeticError(f"{value} is no multiple of 1/{DENOMINATOR}")
    return int(scaled)


def main() -> None:
    """Derive all groups and write the table."""
    groups = [group_row(number) for number in range(1, 231)]
    document = {
        "about": "Wyckoff positions of the 230 space groups in their standard settings, derived "
        "by scripts/make_wyckoff_table.py; translations and origins in units of 1/24",
        "primitive_rows": {
            name: [[int(Fraction(x) * DENOMINATOR) for x in row] for row in rows]
            for name, rows in PRIMITIVE_ROWS.items()
        },
        "groups": groups,
    }
    text = json.dumps(document, separators=(",", ":"))
    temporary = TARGET.with_suffix(".tmp")
    temporary.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    temporary.replace(TARGET)
    print(f"{len(groups)} groups, {sum(len(g['positions']) for g in groups)} positions")


if __name__ == "__main__":
    main()
