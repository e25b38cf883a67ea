"""Relax crystals for another process, which hands them over one by one as there is room.

``python -m materialabs.oracles.relaxation_worker``; messages are those of
:mod:`materialabs.oracles.calculator_worker`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.oracles.calculator_worker import read_message, write_message
from materialabs.oracles.named import oracle_by_name
from materialabs.oracles.oracle import BaseOracle
from materialabs.oracles.potential import Potential
from materialabs.oracles.relaxation import RelaxationSettings, RelaxationState
from materialabs.oracles.relaxation_bytes import relaxation_to_bytes
from materialabs.oracles.relaxing import BatchLimits, relax_stream


def _numbers(data: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, dtype=np.uint8)


class _Link:
    """The two pipes to the process that asks."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self.requests, self.answers = requests, answers

    def incoming(self) -> Iterator[tuple[int, Crystals, RelaxationState | None]]:
        """Ask for crystals until there are no more."""
        while True:
            write_message(self.answers, {"say": "want"}, {})
            message = read_message(self.requests)
            if message is None or message[0]["index"] < 0:
                return
            head, arrays = message
            state = None
            if "state" in arrays:
                state = RelaxationState.from_bytes(arrays["state"].tobytes())
            yield head["index"], Crystals.from_bytes(arrays["crystal"].tobytes()), state

    def save(self, index: int, state: RelaxationState) -> None:
        """Tell where a relaxation stands."""
        arrays = {"state": _numbers(state.to_bytes())}
        write_message(self.answers, {"say": "state", "index": index}, arrays)


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Build the oracle that the first message names, and relax what comes, job after job."""
    oracle: BaseOracle | None = None
    while (message := read_message(requests)) is not None:
        try:
            task = message[0]
            oracle = oracle or oracle_by_name(task["name"], **task["options"])
            _relax(oracle, task, _Link(requests, answers))
        except Exception as error:  # the other side says it to the user
            write_message(answers, {"say": "error", "text": f"{type(error).__name__}: {error}"}, {})
            return


def _relax(oracle: BaseOracle, task: dict[str, Any], link: _Link) -> None:
    limits = oracle.limits if isinstance(oracle, Potential) else BatchLimits(1)
    finished = relax_stream(
        oracle.evaluate, link.incoming(), RelaxationSettings.from_dict(task["settings"]),
        oracle.level, limits=BatchLimits(1) if task["alone"] else limits, save=link.save,
    )  # fmt: skip
    for index, relaxation in finished:
        arrays = {"relaxation": _numbers(relaxation_to_bytes(relaxation))}
        write_message(link.answers, {"say": "done", "index": index}, arrays)
    write_message(link.answers, {"say": "end"}, {})


def main() -> None:
    """Work on standard input and output; prints go to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    work(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
