"""Several processes that train together, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from materialabs.errors import ExternalError, one_line


@dataclass(frozen=True)
class Processes:
    """The processes of one training, and which of them this is.

    Parameters
    ----------
    rank
        Of this process, from 0.
    count
        Of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started; alone where it started none.

    GPUs talk through NCCL, processors through gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    if count == 1:
        yield Processes()
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        distributed.init_process_group("nccl" if gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ExternalError(
            f"The processes could not be joined ({one_line(error, 150)}): start them with torchrun."
        ) from error
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()
