"""The progress bar yields every item, and draws only where somebody looks."""

from __future__ import annotations

import pytest

from materialabs.progress import track


@pytest.mark.parametrize("show", [True, False, None])
def test_every_item_is_yielded_in_order(show: bool | None) -> None:
    assert list(track([3, 1, 2], label="work", show=show)) == [3, 1, 2]


def test_items_without_a_length_are_yielded_too() -> None:
    assert list(track(iter("abc"), label="work", total=3, show=True)) == ["a", "b", "c"]
    assert list(track(iter("abc"), label="work", show=True)) == ["a", "b", "c"]


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    list(track([1], label="work"))
    assert capsys.readouterr() == ("", "")


def test_the_bar_goes_to_standard_error_and_names_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    list(track([1], label="reading files", show=True))
    out, error = capsys.readouterr()
    assert out == ""
    assert "reading files" in error


def test_items_are_taken_one_at_a_time() -> None:
    taken = []

    def source() -> object:
        for number in range(3):
            taken.append(number)
            yield number

    next(iter(track(source(), label="work", show=False)))  # type: ignore[arg-type]
    assert taken == [0]
