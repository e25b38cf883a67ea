"""A reviewer's bundle, checked by the program that stands alone."""

from __future__ import annotations

import ast
import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import materialabs.ledger.verify_bundle as standalone
from materialabs.store.bundle import bundle
from materialabs.store.store import Store
from tests.store.test_query import some_crystals, some_properties

SOURCE = Path(standalone.__file__)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("bundle")
    with Store(folder / "lab.db", keys=folder / "keys") as store:
        store.add(some_crystals(1, 30), some_properties(2, 30))
        names = [entry.record for entry in store.entries() if entry.record][:3]
        return bundle(store, names), store.identity.signer.verifier.to_text()


def test_the_program_imports_nothing_but_cryptography() -> None:
    tree = ast.parse(SOURCE.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_a_bundle_verifies_in_a_process_of_its_own(
    made: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    document, key = made
    program, file = tmp_path / "verify_bundle.py", tmp_path / "bundle.json"
    program.write_text(SOURCE.read_text())
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-I", program, file, "--key", key],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "verified: 3 records" in done.stdout


def test_another_logs_key_is_refused(made: tuple[dict[str, Any], str]) -> None:
    document, key = made
    other = key.replace("materialabs/", "materialabs/x")
    with pytest.raises(standalone.BundleError):
        standalone.verify_bundle(document, other)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every text and number of a bundle that carries meaning."""
    if isinstance(document, dict):
        return [p for k, v in document.items() if k != "version" for p in places(v, (*path, k))]
    if isinstance(document, list):
        return [p for k, v in enumerate(document) for p in places(v, (*path, k))]
    return [path]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_any_change_in_a_bundle_is_found(
    made: tuple[dict[str, Any], str], data: st.DataObject
) -> None:
    document = copy.deepcopy(made[0])
    path = data.draw(st.sampled_from(places(document)))
    holder: Any = document
    for step in path[:-1]:
        holder = holder[step]
    old = holder[path[-1]]
    if isinstance(old, int):
        holder[path[-1]] = old + data.draw(st.sampled_from([-1, 1, 2]))
    else:
        spot = data.draw(st.integers(0, len(old) - 1))
        new = data.draw(st.sampled_from([c for c in "ABab01+/" if c != old[spot]]))
        holder[path[-1]] = old[:spot] + new + old[spot + 1 :]
        if _same_bytes(old, holder[path[-1]]):
            return
    with pytest.raises((standalone.BundleError, ValueError, KeyError, TypeError)):
        standalone.verify_bundle(document, made[1])


def _same_bytes(old: str, new: str) -> bool:
    """Base64's last digit may carry bits that mean nothing."""
    import base64

    try:
        return base64.b64decode(old, validate=True) == base64.b64decode(new, validate=True)
    except ValueError:
        return False
