"""A user's own table: crystals or formulas with values to learn, from files of many kinds.

The crystals stand in the table's own file (extended XYZ, JSON, an ASE database, a column ``cif`` or
``structure``), or in other files, joined by id, by file name or by order, or there are formulas
only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import ReadReport, Refusal, read, stream
from materialabs.crystals.files.finding import find_files
from materialabs.crystals.files.named_rows import (
    ENDINGS,
    WORKBOOK,
    holds_crystals,
    is_gap,
    kind_of,
)
from materialabs.crystals.files.named_rows import MISSING as MISSING
from materialabs.crystals.files.names import ID_FIELDS, KNOWN, SUFFIX
from materialabs.crystals.files.opening import SUFFIXES
from materialabs.errors import FileError, FormulaError, InputError
from materialabs.networks.table_rows import (
    ids_of,
    listed,
    names_of,
    numbered_rows,
    read_rows,
    turned,
)

FORMULAS: Final = (
    "formula", "composition", "reduced_formula", "pretty_formula", "formula_pretty",
    "chemical_formula", "compound", "name",
)  # fmt: skip
"""Names of columns that hold formulas, in the order in which they are looked for."""

NAMING: Final = re.compile(
    r"(?:.*[\W_])?(?:id|ids|identifier|jid|mpid|uid|uuid|path|file(?:[\W_]?(?:name|path))?)"
    r"|(?:(?:material|compound|structure|crystal|sample|entry)[\W_]?)?name|icsd|cod|refcode"
)
"""Names of columns, in lower case with words apart, that say which crystal a row is about."""

NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d*)?")
"""A bare number, which may be the same by accident as the id of a crystal."""

NEARLY: Final = 0.9
"""Of the rows, or of the crystals where they are fewer: what a column must name to join them."""

HALF: Final = 0.5
"""The same of a column that is called an id and holds texts, which do not agree by accident."""

REPEATED: Final = -1
"""Place of a name that several crystals bear."""


@dataclass(frozen=True, eq=False)
class LabelledTable:
    """Crystals or compositions, and the columns beside them.

    Parameters
    ----------
    inputs
        Crystals, or compositions where the table holds formulas only.
    columns
        Values by name, one for each row; ``None`` where one is missing.
    ids
        What each row is called.
    notes
        What was left out, in sentences.
    """

    inputs: Crystals | Compositions
    columns: dict[str, list[Any]]
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> list[Any]:
        """The values of one column; names that readers of crystals translate are found too."""
        for known in (name, KNOWN.get(name, name), name + SUFFIX):
            if known in self.columns:
                return self.columns[known]
        raise InputError(
            f"The table has no column {name!r}; it has {listed(self.columns)}.",
            code="table.no_column",
        )


def read_labelled(
    table: str | Path, structures: str | Path | Sequence[str] | None = None,
    *, formula: str | None = None,
) -> LabelledTable:  # fmt: skip
    """Read a table with its crystals or formulas.

    Parameters
    ----------
    table
        CSV, TSV, XLSX, JSON, JSON lines, or any file that crystals are read from.
    structures
        Files of the crystals, where they are not in the table. They are joined by id, file name or
        path; by order only if they are in a single file and no column holds ids.
    formula
        The column that holds formulas, where it has no usual name.
    """
    path = Path(table)
    if not path.is_file():
        raise FileError(f"There is no file {path}.")
    if structures is not None:
        return _joined(read_rows(path), structures)
    if formula is None and _holds_crystals(path):
        return _own_crystals(path)
    return _formulas(numbered_rows(path), formula)


# -- where the crystals are -----------------------------------------------------------------------


def _holds_crystals(path: Path) -> bool:
    """Whether a file holds crystals, by its kind and, for tables, by its columns."""
    kind = kind_of(path)
    return kind not in ENDINGS or (kind != WORKBOOK and holds_crystals(path))


def _own_crystals(path: Path) -> LabelledTable:
    report = ReadReport()
    crystals = read(str(path), report=report, progress=False)
    notes = (report.sentence(),) if report.entries else ()
    return LabelledTable(crystals, _columns_of(crystals), tuple(crystals.ids()), notes)


def _columns_of(crystals: Crystals) -> dict[str, list[Any]]:
    columns = {}
    for name in crystals.columns:
        column = crystals.columns[name]
        if column.ndim == 1:
            gone = is_missing(column).tolist()
            values = np.ma.getdata(column).tolist()
            columns[name] = [
                None if away else one for one, away in zip(values, gone, strict=True)
            ]  # fmt: skip
    return columns


def _formulas(numbered: list[tuple[int, dict[str, Any]]], formula: str | None) -> LabelledTable:
    rows = [row for _, row in numbered]
    names = names_of(rows)
    lower = {name.lower(): name for name in reversed(names)}
    wanted = formula or next((lower[one] for one in FORMULAS if one in lower), None)
    if wanted is None or wanted not in names:
        raise InputError(
            f"The table has no column {wanted or 'formula'!r} and no crystals; it has "
            f"{listed(names)}: name the column of formulas, or give the structures.",
            code="table.no_formula",
        )
    kept, compositions, wrong = [], [], ""
    for number, row in numbered:
        try:
            compositions.append(Compositions.parse([str(row.get(wanted) or "")]))
            kept.append(row)
        except FormulaError as error:
            wrong = wrong or f"row {number}: {error}"
    if not kept:
        raise InputError(f"No row of the table has a formula that can be read ({wrong})")
    left = len(rows) - len(kept)
    notes = (f"{left} rows without a readable formula are left out ({wrong})",) if left else ()
    return LabelledTable(Compositions.concat(compositions), turned(kept), ids_of(kept), notes)


# -- joining rows to crystals ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Match:
    """What a column names: texts by row, crystals by row, and a name that is there twice."""

    column: str
    by: str
    texts: dict[int, str]
    pairs: dict[int, int]
    repeated: str
    enough: bool


def _joined(rows: list[dict[str, Any]], structures: str | Path | Sequence[str]) -> LabelledTable:
    """Rows of a table beside the crystals of other files."""
    report = ReadReport()
    crystals, files = _crystals_of(structures, report)
    notes = [report.sentence()] if report.entries else []
    matches = list(_matches(rows, crystals, files))
    found = _best(matches)
    if found is None:
        _require_order(rows, crystals, files, report, matches)
        notes.append(
            f"{len(rows)} rows are joined to the crystals of {files[0].name} by their order, for "
            "the table has no column of ids"
        )
        pairs = {row: row for row in range(len(rows))}
    else:
        pairs = found.pairs
        if not _is_naming(found.column):
            notes.append(f"rows are joined to crystals by the column {found.column!r}")
    if len(pairs) < len(rows):
        notes.append(f"{len(rows) - len(pairs)} rows of the table have no crystal and are left out")
    chosen = [rows[row] for row in pairs]
    batch = crystals.take(np.array(list(pairs.values()), dtype=np.int64))
    own = {name: values for name, values in _columns_of(batch).items() if name != "id"}
    ids = batch.ids() if found is None else [found.texts[row] for row in pairs]
    return LabelledTable(batch, own | turned(chosen), tuple(ids), tuple(notes))


def _crystals_of(
    structures: str | Path | Sequence[str], report: ReadReport
) -> tuple[Crystals, list[Path]]:
    """Crystals, and the file of each: a crystal's own ``source`` may be another."""
    found, missing = find_files(structures)
    report.entries += [Refusal(name, "", reason) for name, reason in missing]
    batches, files = [], []
    for path in found:
        with suppress(FileError):  # the report says why a file gives nothing
            for batch in stream(path, report=report, progress=False):
                batches.append(batch)
                files += [path] * len(batch)
    if not batches:
        raise FileError(f"Nothing could be read: {report.sentence()}.")
    return Crystals.concat(batches), files


def _matches(rows: list[dict[str, Any]], crystals: Crystals, files: list[Path]) -> Iterator[_Match]:
    """What each column names, columns of ids first; one of bare numbers must be called an id."""
    indices = _indices(crystals, files)
    fewer = min(len(rows), len(crystals))
    for column in sorted(names_of(rows), key=_rank):
        cells = {row: cells.get(column) for row, cells in enumerate(rows)}
        texts = {row: str(cell).strip() for row, cell in cells.items() if not is_gap(cell)}
        bare = all(NUMBER.fullmatch(text) for text in texts.values())
        naming = _is_naming(column)
        if len(set(texts.values())) < min(2, len(rows)) or (bare and not naming):
            continue
        least = fewer * (HALF if naming and not bare else NEARLY)
        for by, index in indices.items():
            names = {row: _sought(text, by) for row, text in texts.items()}
            pairs = {row: index[name] for row, name in names.items() if name in index}
            bearers = Counter(pairs.values())
            shared = (row for row, at in pairs.items() if at == REPEATED or bearers[at] > 1)
            twice = next((names[row] for row in shared), "")
            yield _Match(column, by, texts, pairs, twice, len(pairs) >= least)


def _indices(crystals: Crystals, files: list[Path]) -> dict[str, dict[str, int]]:
    """Places of crystals by what they may be called: id, path (or its end), file name and stem."""
    whole = [
        (place, path, path.stem if path.suffix.lower() in SUFFIXES else path.name)
        for place, path in enumerate(files)
    ]
    return {
        "id": _places((name, place) for place, name in enumerate(crystals.ids())),
        "path": _places((end, place) for place, path, _ in whole for end in _ends(path)),
        "file name": _places((name, at) for at, path, bare in whole for name in {path.name, bare}),
        "file stem": _places((PurePath(bare).stem, place) for place, _, bare in whole),
    }


def _places(names: Iterable[tuple[str, int]]) -> dict[str, int]:
    places: dict[str, int] = {}
    for name, place in names:
        places[name] = place if places.get(name, place) == place else REPEATED
    return places


def _ends(path: Path) -> list[str]:
    """A path and what is left of it without its first folder, its first two ..."""
    parts = [part for part in path.expanduser().absolute().parts if part not in ("/", "..")]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _sought(text: str, by: str) -> str:
    """What a cell says of a crystal, as the index of ids, paths, file names or stems has it."""
    if by == "id":
        return text
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts) if by == "path" else (parts or [""])[-1]


def _best(matches: Sequence[_Match]) -> _Match | None:
    """The match that joins most rows; none, or a refusal, where rows are not told apart."""
    enough = [match for match in matches if match.enough]
    clean = [match for match in enough if not match.repeated]
    wrong = [match for match in enough if match.repeated and _is_naming(match.column)]
    if wrong and not clean:
        raise InputError(
            f"An id occurs more than once ({wrong[0].repeated!r} by the column "
            f"{wrong[0].column!r}), so that rows and crystals cannot be joined: make ids unique.",
            code="table.not_joined",
        )
    if not clean:
        return None
    best = max(clean, key=lambda match: len(match.pairs))
    for other in clean:
        _require_same(best, other)
    return best


def _require_same(one: _Match, other: _Match) -> None:
    """Refuse two columns, or two readings of one, that name different crystals in a row."""
    for row in one.pairs.keys() & other.pairs.keys():
        if one.pairs[row] != other.pairs[row]:
            raise InputError(
                f"{one.texts[row]!r} in {one.column!r} is the {one.by} of one crystal, but "
                f"{other.texts[row]!r} in {other.column!r} the {other.by} of another: leave the "
                "wrong column out.",
                code="table.not_joined",
            )


def _require_order(
    rows: list[dict[str, Any]], crystals: Crystals, files: list[Path], report: ReadReport,
    matches: Sequence[_Match],
) -> None:  # fmt: skip
    """Refuse what has no order to join by: several files, ids that fail, another number."""
    naming = [match for match in matches if _is_naming(match.column)]
    single = len(set(files)) == 1 and not report.entries
    orderly = single and len(rows) == len(crystals)
    if orderly and not naming:
        return
    hits = max((len(match.pairs) for match in naming), default=0)
    found, why, remedy = f"only {hits} of the ids are" if hits else "no id is", "", ""
    if naming:
        why = f" ({naming[0].column!r} holds {next(iter(naming[0].texts.values()))!r})"
    elif not single:
        why = ", and only the crystals of a single file that is read whole have an order"
    if orderly:
        columns = listed(list(dict.fromkeys(match.column for match in naming)))
        remedy = f", or leave {columns} out if the rows stand in the order of the crystals"
    raise InputError(
        f"The table has {len(rows)} rows and the files hold {len(crystals)} crystals, and {found} "
        f"in both{why}: give the table a column 'id' with the id or the file name of each crystal "
        f"(the first is {crystals.ids()[0]!r} in {files[0].name!r}){remedy}.",
        code="table.not_joined",
    )


def _is_naming(column: str) -> bool:
    """Whether a column says by its name that it tells crystals apart: ``mp_id``, ``fileName``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip()).lower()
    return column in ID_FIELDS or NAMING.fullmatch(words) is not None


def _rank(column: str) -> int:
    """Known fields of ids first, then columns that are called so, then others."""
    usual = list(ID_FIELDS)
    return usual.index(column) if column in usual else len(usual) + (not _is_naming(column))
