"""Networks that go wrong while a run is on, in the ways that ranks go wrong."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mdibench.models.network import MultiExitNetwork
from mdibench.rank.ending import REPORT_TIMEOUT_S
from mdibench.record import tables

CALLS_BEFORE = 50
"""More than the measurement of block times needs."""


def rank() -> int:
    """This process's rank, as its launcher says."""
    return int(os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0")))


class Passing(nn.Module):
    """Hands its input on; after a few calls on the wrong rank, ``fault`` happens."""

    def __init__(self, fault: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._fault = fault
        self._calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self._calls += 1
        if self._calls > CALLS_BEFORE and rank() == int(os.environ.get("FAULTY_RANK", "1")):
            self._fault()
        return x.float()


class Unsure(nn.Module):
    """Never confident: every item goes through all blocks."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(x.shape[0], 10)


def _network(fault: Callable[[], None]) -> MultiExitNetwork:
    blocks = [Passing(fault) for _ in range(2)]
    return MultiExitNetwork("faulty", blocks, [Unsure(), Unsure()], (1, 32, 32), 10)


def raising() -> MultiExitNetwork:
    """An exception while computing."""

    def fault() -> None:
        raise RuntimeError("the block gave up")

    return _network(fault)


def raising_before_slow_files() -> MultiExitNetwork:
    """The same, and rank 0 takes its time to write the tables of the run."""
    write_tables = tables.write_tables

    def slow(*arguments: Any) -> int:
        time.sleep(REPORT_TIMEOUT_S + 1.5)
        return write_tables(*arguments)

    tables.write_tables = slow
    return raising()


def leaving() -> MultiExitNetwork:
    """A SystemExit while computing."""

    def fault() -> None:
        raise SystemExit(7)

    return _network(fault)


def stray() -> MultiExitNetwork:
    """An exception in a thread that nobody joins."""

    def strayed() -> None:
        raise LookupError("a stray thread died")

    def fault() -> None:
        threading.Thread(target=strayed).start()
        time.sleep(0.05)

    return _network(fault)


def working() -> MultiExitNetwork:
    """Nothing goes wrong."""
    return _network(lambda: None)
