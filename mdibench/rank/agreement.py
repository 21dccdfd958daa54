"""Agreement of all ranks on a step that can fail because of the user's input.

The user gets one message, and no rank waits for another that has left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from mdibench.assembly.workload import with_cuts
from mdibench.config.schema import RunConfig
from mdibench.core.records import SOURCE
from mdibench.errors import Problem, UserError

if TYPE_CHECKING:
    from mdibench.transport.mpi import RankGroup

T = TypeVar("T")


def together(group: RankGroup, step: Callable[[], T]) -> T:
    """Run ``step`` on every rank; if it raises UserError on any, all ranks raise the problems."""
    result, problems = _attempt(step)
    shared = group.share(problems)
    _raise([problem for of_rank in shared for problem in of_rank])
    return result[0]


def from_source(group: RankGroup, step: Callable[[], Any]) -> Any:
    """Run ``step`` on rank 0; every rank returns its (JSON-able) result or raises its UserError."""
    message = None
    if group.rank == SOURCE:
        message = json.dumps(_attempt(step)).encode()
    result, problems = json.loads(group.broadcast(message))
    _raise(problems)
    return result[0]


def with_agreed_cuts(config: RunConfig, group: RankGroup) -> RunConfig:
    """The config with rank 0's cuts of a whole network, so that all ranks have the same blocks."""
    if ":" not in config.model.name:
        return config

    def cuts() -> list[str] | None:
        with suppress(UserError):  # making the plan raises it again, with its place in the file
            found = with_cuts(config).model.cuts
            return list(found) if isinstance(found, tuple) else None
        return None

    made = from_source(group, cuts)
    if made is None:
        return config
    model = config.model.model_copy(update={"cuts": tuple(made)})
    return config.model_copy(update={"model": model})


def _attempt(step: Callable[[], T]) -> tuple[list[T], list[Sequence[str]]]:
    """The result in a list and no problems, or an empty list and the problems."""
    try:
        return [step()], []
    except UserError as error:
        return [], [(p.what, p.where, p.remedy) for p in error.problems]


def _raise(problems: Sequence[Sequence[str]]) -> None:
    distinct = dict.fromkeys(tuple(problem) for problem in problems)
    if distinct:
        raise UserError(*(Problem(*parts) for parts in distinct))
