"""Rows: whatever makes one names every column, with a value of the column's type."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest

from mdibench.assembly.sampling import ProcessFacts, link_rows, telemetry_row
from mdibench.core.events import Arrived, Note, Tick
from mdibench.core.node import Node
from mdibench.core.records import State
from mdibench.core.rows import ROWS, EventRow, ItemRow, Row, StepRow, table_of
from mdibench.core.wire import pack_rows, unpack_rows
from mdibench.rank.hooks import BackgroundErrors
from tests.worlds import Ran, Spec, full, run

SPEC = Spec(
    [frozenset({1, 2}), frozenset({2, 3}), frozenset({1, 3})],
    full(3),
    source={"duration_s": 0.5, "interarrival_s": 0.002, "max_in_flight": 20},
    worker={"suspect_after_s": 0.5},
)


@pytest.fixture(scope="module")
def ran() -> Ran:
    """Three workers under more load than they can carry: items are dropped, tasks go round."""
    return run(SPEC)


def check(rows: Iterable[Row]) -> None:
    """Every value has the type that its field declares; the row survives the wire unchanged."""
    for row in rows:
        for name, hint in get_type_hints(type(row)).items():
            assert _is_a(getattr(row, name), hint), f"{table_of(row)}.{name}: {row}"
        assert unpack_rows(pack_rows([row])) == [row]


def _is_a(value: object, hint: Any) -> bool:
    if hint in (Sequence[int], Sequence[float]):
        (element,) = get_args(hint)
        return isinstance(value, list) and all(type(number) is element for number in value)
    return type(value) in (get_args(hint) or (hint,))


def nodes(ran: Ran) -> list[Node]:
    return list(ran.world.parts.nodes)


def test_items_and_steps_fill_their_columns(ran: Ran) -> None:
    check(ran.rows)
    status = {row.status for row in ran.rows if isinstance(row, ItemRow)}
    kinds = {row.kind for row in ran.rows if isinstance(row, StepRow)}
    assert status == {"ok", "dropped"}
    assert kinds == {"compute", "send", "keep"}


def test_samples_fill_their_columns(ran: Ran) -> None:
    for node, traffic in zip(nodes(ran), ran.world.traffic, strict=True):
        check([telemetry_row(node, traffic, 2.5, ProcessFacts(1 << 20, 0.5, 3.5))])
        check([telemetry_row(node, traffic, 2.5), *link_rows(node, traffic, 2.5)])


def test_events_of_the_worker_and_the_source_fill_their_columns(ran: Ran) -> None:
    """A rank that falls silent and speaks again; the phases of the run."""
    worker = run(replace(SPEC, seed=1)).world.parts.nodes[1].worker
    told = []
    for beat in range(8):  # it listens all the time
        told += worker.handle(Tick(), 1000.0 + beat * worker.setup.heartbeat_s)
    told += worker.handle(Arrived(2, State(0, 0.0)), 1010.0)
    heard = [one.row for one in told if isinstance(one, Note)]
    check(heard)
    assert {row.kind for row in heard if isinstance(row, EventRow)} == {"suspect", "recovered"}
    phases = [row for row in ran.rows if isinstance(row, EventRow) and row.kind == "phase"]
    assert {(row.rank, row.level) for row in phases} == {(0, "info")}


def test_a_lost_item_fills_its_columns() -> None:
    spec = replace(SPEC, source={**SPEC.source, "drain_s": 0.0})
    rows = run(spec).rows
    check(rows)
    assert any(row.status == "lost" for row in rows if isinstance(row, ItemRow))


def test_a_log_line_fills_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", None)
    background = BackgroundErrors(3, lambda: 1.5)
    background.emit(logging.LogRecord("x", logging.WARNING, "x.py", 1, "%d words", (2,), None))
    rows = background.take()
    check(rows)
    assert rows == [EventRow(t_s=1.5, rank=3, level="warning", kind="log", text="2 words")]


@pytest.mark.parametrize("table", ROWS)
def test_a_producer_cannot_leave_a_column_out(table: str) -> None:
    assert ROWS[table]._field_defaults == {}
    values = dict.fromkeys(ROWS[table]._fields)
    assert table_of(ROWS[table](**values)) == table
    for name in values:
        with pytest.raises(TypeError, match=name):
            ROWS[table](**{key: None for key in values if key != name})
