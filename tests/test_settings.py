"""Settings come from the environment and refuse nonsense."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from materialabs.settings import Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("MATERIALABS_"):
            monkeypatch.delenv(name)


def test_the_defaults_use_the_cores_there_are() -> None:
    settings = Settings()
    assert settings.threads == len(os.sched_getaffinity(0))
    assert settings.data is None
    assert settings.progress


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("threads", "3", 3), ("data", "/tmp", Path("/tmp")), ("progress", "false", False)],
)
def test_each_setting_is_read_from_the_environment(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MATERIALABS_{name.upper()}", text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize("text", ["0", "2000", "many"])
def test_an_impossible_number_of_threads_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATERIALABS_THREADS", text)
    with pytest.raises(ValidationError, match="threads"):
        Settings()


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Settings(colour="red")  # type: ignore[call-arg]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().threads = 5  # type: ignore[misc]
