"""How ranks agree before a run: one message for what a user can mend, and nobody left waiting."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mdibench.core.records import SOURCE
from mdibench.errors import Problem, UserError

if TYPE_CHECKING:
    from mdibench.transport.mpi import Group

T = TypeVar("T")


def together(group: Group, step: Callable[[], T]) -> T:
    """Do ``step`` on every rank; if any rank's user has something to mend, all ranks raise it."""
    result, problems = _attempt(step)
    shared = group.share(problems)
    _raise([problem for of_rank in shared for problem in of_rank])
    return result[0]


def from_source(group: Group, step: Callable[[], Any]) -> Any:
    """What ``step`` gives on rank 0 (JSON-able), on every rank; a ``UserError`` likewise."""
    message = None
    if group.rank == SOURCE:
        message = json.dumps(_attempt(step)).encode()
    result, problems = json.loads(group.broadcast(message))
    _raise(problems)
    return result[0]


def _attempt(step: Callable[[], T]) -> tuple[list[T], list[Sequence[str]]]:
    """The result in a list, or none and the problems."""
    try:
        return [step()], []
    except UserError as error:
        return [], [(p.what, p.where, p.remedy) for p in error.problems]


def _raise(problems: Sequence[Sequence[str]]) -> None:
    distinct = dict.fromkeys(tuple(problem) for problem in problems)
    if distinct:
        raise UserError(*(Problem(*parts) for parts in distinct))
