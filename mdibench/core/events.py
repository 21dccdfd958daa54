"""The vocabulary of the state machines: events go in, instructions come out.

Every driver (MPI, emulated, simulated) speaks exactly these words, so that a policy cannot tell
in which world it runs.
"""

from __future__ import annotations

from typing import TypeAlias

from mdibench.compiled import statically_frozen
from mdibench.core.records import Copy, Outcome, Result, State, Task
from mdibench.core.rows import Row

# --- events: what happened -----------------------------------------------------------------------


@statically_frozen
class Arrived:
    """A message from a neighbour: its state, and a task or a result unless it was pure gossip."""

    sender: int
    state: State
    body: Task | Result | None = None


@statically_frozen
class Computed:
    """The engine finished its oldest batch: one outcome per task, in order."""

    outcomes: tuple[Outcome, ...]
    seconds: float


@statically_frozen
class LinkFree:
    """The link to ``target`` took one more task in full: it has room for another."""

    target: int


@statically_frozen
class Delivered:
    """A task reached ``target``, ``seconds`` after it was handed to the link."""

    target: int
    seconds: float


@statically_frozen
class ThresholdsSet:
    """The source announced new exit thresholds, one per exit."""

    thresholds: tuple[float, ...]


@statically_frozen
class Suspected:
    """A worker lost touch with ``rank``, which may hold ``copies``."""

    rank: int
    copies: tuple[Copy, ...]


@statically_frozen
class Refused:
    """A task of ``copy`` came from ``sender`` and could not be read: it is not in any queue."""

    sender: int
    copy: Copy


@statically_frozen
class Cancelled:
    """The source is done with these items: whatever copy of one is still about is for nothing."""

    items: tuple[int, ...]


@statically_frozen
class Presence:
    """The neighbour ``rank`` is part of the fleet, or leaves it in good order.

    One that leaves gets no new tasks and is not suspected; it finishes what it has. A ``fresh``
    one starts anew: what was known of it, and counted with it, no longer holds. It gets no tasks
    before it has spoken, for it may still throw away what reaches it.
    """

    rank: int
    here: bool
    fresh: bool = False


@statically_frozen
class Tick:
    """The time that ``next_wake`` asked for has come."""


@statically_frozen
class StopRequested:
    """Somebody wants the run to end: admit nothing more, drain, finish."""

    reason: str


Event: TypeAlias = (
    Arrived
    | Computed
    | LinkFree
    | Delivered
    | ThresholdsSet
    | Suspected
    | Refused
    | Cancelled
    | Presence
    | Tick
    | StopRequested
)

# --- instructions: what to do --------------------------------------------------------------------


@statically_frozen
class Compute:
    """Run these tasks, all of one block, after those of earlier ``Compute``s.

    Each is answered with its ``Computed``.
    """

    tasks: tuple[Task, ...]


@statically_frozen
class Send:
    """Send ``body`` (or pure state) to the neighbour ``target``.

    A task is answered with ``LinkFree`` and ``Delivered``.
    """

    target: int
    state: State
    body: Task | Result | None = None


@statically_frozen
class Finish:
    """A result is at home: the source's ledger takes it."""

    result: Result


@statically_frozen
class ReportSuspect:
    """Tell the source that ``rank`` fell silent, with ``copies`` possibly in its hands."""

    rank: int
    copies: tuple[Copy, ...]


@statically_frozen
class Announce:
    """Tell every worker the new thresholds."""

    thresholds: tuple[float, ...]


@statically_frozen
class Cancel:
    """Tell every worker that copies of these items are for nothing."""

    items: tuple[int, ...]


@statically_frozen
class Note:
    """A row for the run's files."""

    row: Row


@statically_frozen
class EndRun:
    """Everything admitted is accounted for: stop all ranks. ``reason``: who ended it early."""

    reason: str


Instruction: TypeAlias = Compute | Send | Finish | ReportSuspect | Announce | Cancel | Note | EndRun
