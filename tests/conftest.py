"""What the tests of every room share."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "materialabs", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("materialabs")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The reference data; tests that need it skip with one line where it is absent."""
    folder = Path(os.environ.get("MATERIALABS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}: set MATERIALABS_DATA")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--summary", help="write what passed, failed and how long it took, as JSON")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Keep the outcome of a long run, so that it can be committed."""
    path = config.getoption("--summary")
    if not path:
        return
    outcomes = ("passed", "failed", "error", "skipped")
    reports = {name: terminalreporter.stats.get(name, []) for name in outcomes}
    document = {name: len(found) for name, found in reports.items()}
    tests = {
        report.nodeid: {"outcome": name, "seconds": round(getattr(report, "duration", 0.0), 1)}
        for name, found in reports.items()
        for report in found
    }
    text = json.dumps({**document, "tests": dict(sorted(tests.items()))}, indent=1) + "\n"
    temporary = Path(f"{path}.part")
    temporary.write_text(text)
    temporary.replace(path)
