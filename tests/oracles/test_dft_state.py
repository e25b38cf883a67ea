from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gpaw_here import gpaw_python

from materialabs.oracles import dft_state as room
from materialabs.oracles.dft_state import dft_state, espresso_state, pseudopotential_state


def test_gpaw_that_is_there_is_said_with_its_version() -> None:
    found = dft_state(gpaw_python())[0]
    assert found.ok
    assert "83 elements" in found.what


def test_gpaw_that_is_not_there_comes_with_the_way_to_mend_it(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    found = dft_state(bare)[0]
    assert not found.ok
    assert "pip install materialabs[dft]" in found.mend


def test_pw_that_is_not_there_comes_with_the_way_to_mend_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room.shutil, "which", lambda _: None)
    monkeypatch.setattr(room, "cp2k_file", lambda: None)
    assert "apt-get install quantum-espresso" in espresso_state().mend
    assert "cp2k-data" in pseudopotential_state().mend


def test_pw_that_is_there_needs_no_mending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.shutil, "which", lambda _: "/usr/bin/pw.x")
    monkeypatch.setattr(room, "cp2k_file", lambda: Path("/usr/share/cp2k/GTH_POTENTIALS"))
    assert espresso_state().ok and not espresso_state().mend
    assert pseudopotential_state().ok
