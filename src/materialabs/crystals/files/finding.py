"""From what a user names (a path, a pattern, a folder, a list) to files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from materialabs.crystals.files.formats import known_ending
from materialabs.errors import FileError

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""What :func:`~materialabs.crystals.files.read` takes."""


def find_files(paths: Paths) -> tuple[list[Path], list[tuple[str, str]]]:
    """Files that are meant, sorted within each pattern and folder.

    Returns
    -------
    The files, and (what was named, why it gives nothing) for each that gives none.

    Raises
    ------
    FileError
        When nothing is named, or a pattern matches nothing.
    """
    named = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not named:
        raise FileError("No files are named: give a path, a pattern or a folder.")
    files: list[Path] = []
    missing: list[tuple[str, str]] = []
    for one in named:
        found, reason = _find(os.fspath(one))
        files += found
        if reason:
            missing.append((os.fspath(one), reason))
    return list(dict.fromkeys(files)), missing


def _find(name: str) -> tuple[list[Path], str]:
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return _search(path)
        if path.exists() or not glob.has_magic(name):
            return ([path], "") if path.exists() else ([], "does not exist")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return [], f"cannot be opened: {reason or error}"
    matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - patterns may be absolute
    files = [Path(match) for match in matches if not Path(match).is_dir()]
    if not files:
        return [], "matches no file"
    return files, ""


def _search(folder: Path) -> tuple[list[Path], str]:
    """Files of known kinds in a folder and the folders inside it."""
    files: list[Path] = []
    errors: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        files += [
            Path(root) / name
            for name in sorted(names)
            if not name.startswith(".") and known_ending(name)
        ]
    if errors:
        return files, f"cannot be opened: {errors[0].strerror or errors[0]}"
    if not files:
        return [], "is a folder that holds no file of a known kind"
    return files, ""
