"""Snapshots: independent of how rows are batched, with figures that are checked by hand."""

import math
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mdibench.monitor.app.paint.drawing import Options
from mdibench.monitor.app.paint.ranks import rank_lines
from mdibench.monitor.columns import CodedColumn
from mdibench.monitor.facts import facts_of
from mdibench.monitor.snapshot import Snapshot
from mdibench.monitor.snapshot_view import ViewRequest, snapshot_at
from mdibench.monitor.tables import Tables
from mdibench.record import schema
from tests.monitor.synthetic import Rows, Synthetic

RUN = Synthetic(ranks=3, rate=40, duration_s=4.0, warmup_s=1.0, drop_every=7)
FACTS = facts_of(RUN.manifest())


@cache
def rows() -> Rows:
    return RUN.rows()


def tables_of(*portions: Rows) -> Tables:
    tables = Tables(FACTS.ranks, FACTS.exits)
    for portion in portions:
        tables.extend(portion)
    return tables


def at(tables: Tables, moment_s: float, **given: Any) -> Snapshot:
    return snapshot_at(tables, FACTS, ViewRequest(moment_s, 5.0, **given))


def same(a: Any, b: Any) -> bool:
    """Equality that takes NaN for NaN, all the way down."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 2000), max_size=6), st.floats(0, 6))
def test_in_chunks_is_as_at_once(cuts: list[int], moment_s: float) -> None:
    edges = [0, *sorted(cuts), len(rows())]
    portions = [rows()[a:b] for a, b in pairwise(edges)]
    assert same(at(tables_of(*portions), moment_s), at(tables_of(rows()), moment_s))


@settings(max_examples=25)
@given(st.floats(0.3, 6))
def test_a_moment_of_the_whole_is_that_moment_as_it_was(moment_s: float) -> None:
    """Replay shows what a live monitor saw: later rows do not change an earlier moment."""
    sooner = [(table, row) for table, row in rows() if known_s(table, row) <= moment_s]
    then, now = at(tables_of(sooner), moment_s), at(tables_of(rows()), moment_s)
    for name in ("flow", "quality", "latency", "recent_latency", "control", "exits", "links"):
        if then.end_s and tables_of(sooner).newest_s >= moment_s - 1e-9:
            assert same(getattr(then, name), getattr(now, name)), name


def known_s(table: str, row: dict[str, Any]) -> float:
    times = [row.get(name) for name in ("t_s", "completed_s", "scheduled_s")]
    return float(next(t for t in times if t is not None))


def test_columns_give_the_same_as_rows() -> None:
    """The bulk way of a finished run, with its coded texts and NaN for null."""
    bulk = Tables(FACTS.ranks, FACTS.exits)
    for table, columns in schema.TABLES.items():
        some = [row for name, row in rows() if name == table]
        stored = {c.name: as_stored([row.get(c.name) for row in some], c.type) for c in columns}
        bulk.load(table, stored)
    assert same(at(bulk, 4.2), at(tables_of(rows()), 4.2))


def as_stored(values: list[Any], kind: str) -> Any:
    if kind == "text":
        words = sorted({v for v in values if v is not None})
        codes = [words.index(v) if v is not None else -1 for v in values]
        return CodedColumn(np.array(codes, np.int64), words)
    if kind in ("ints", "floats"):
        return values
    return np.array([np.nan if v is None else float(v) for v in values])


def test_counts_add_up_at_every_moment() -> None:
    tables = tables_of(rows())
    for moment_s in np.arange(0.4, 5.0, 0.2):
        flow = at(tables, float(moment_s)).flow
        assert flow.admitted == flow.offered - flow.dropped
        assert flow.completed + flow.dropped + flow.lost <= flow.offered


def test_figures_of_the_end() -> None:
    """Measured is what was due after the warm-up, whenever it ended."""
    snapshot = at(tables_of(rows()), 5.0)
    items = [row for table, row in rows() if table == "items"]
    done = [row for row in items if row["status"] == "ok" and row["completed_s"] <= 5.0]
    measured = [row for row in done if 1.0 <= row["scheduled_s"] < 5.0]
    assert len(measured) < sum(row["completed_s"] >= 1.0 for row in done)
    assert snapshot.flow.completed == len(done)
    assert snapshot.flow.dropped == sum(row["status"] == "dropped" for row in items)
    assert snapshot.quality.run.count == len(measured)
    assert snapshot.quality.run.hits == sum(row["correct"] for row in measured)
    assert sum(view.left for view in snapshot.exits) == len(measured)
    assert snapshot.latency.largest == max(row["latency_s"] for row in measured)


def test_a_lost_item_is_a_wrong_one() -> None:
    lost = {"item": 9999, "sample": 9999, "scheduled_s": 2.0, "status": "lost"}
    before = at(tables_of(rows()), 9.0).quality
    after = at(tables_of([*rows(), ("items", lost)]), 9.0).quality
    for share in ("run", "recent", "of_offered"):
        assert getattr(after, share).hits == getattr(before, share).hits
        assert getattr(after, share).count == getattr(before, share).count + 1


def test_dropped_items_count_as_wrong_ones_of_those_offered() -> None:
    quality = at(tables_of(rows()), 5.0).quality
    assert quality.of_offered.hits == quality.run.hits
    assert quality.of_offered.count > quality.run.count


def test_rates_look_back_five_seconds() -> None:
    tables = tables_of(Synthetic(ranks=3, rate=40, duration_s=9.0, service_s=0.005).rows())
    snapshot = snapshot_at(tables, FACTS, ViewRequest(10.0, 10.0))
    assert abs(snapshot.flow.completed_per_s - 40) < 4
    assert abs(snapshot.flow.offered_per_s - 40) < 4


def test_a_silent_rank_grows_stale() -> None:
    run = Synthetic(ranks=3, duration_s=4.0, warmup_s=1.0, silent_rank=2, silent_from_s=2.0)
    ranks = at(tables_of(run.rows()), 4.0).ranks
    assert [rank.stale for rank in ranks] == [False, False, True]
    assert ranks[2].age_s > 2.0


def test_offload_matrix_counts_tasks() -> None:
    links = at(tables_of(rows()), 5.0).links
    last = {
        (row["source"], row["target"]): row["tasks"]
        for table, row in rows()
        if table == "links" and row["t_s"] <= 5.0
    }
    assert {pair: links.tasks[pair[0]][pair[1]] for pair in last} == last


def test_links_of_a_long_run_come_from_kept_matrices() -> None:
    tables, plain = tables_of(rows()), tables_of(rows())
    tables.links.stride = 50
    for moment_s in (4.9, 1.0, 3.3):
        assert same(at(tables, moment_s).links, at(plain, moment_s).links)


def test_nothing_known_yet_is_a_picture_too() -> None:
    snapshot = at(tables_of(), 0.0)
    assert snapshot.state.word == "starting"
    assert snapshot.flow.offered == 0
    assert math.isnan(snapshot.latency.p50)
    assert not any(rank.reported for rank in snapshot.ranks)


def test_unknown_tables_columns_and_ranks_are_left_alone() -> None:
    tables = tables_of(rows())
    before = at(tables, 4.0).flow
    tables.extend([("weather", {"t_s": 99.0}), ("links", {"t_s": 4.0, "source": 77, "target": 0})])
    tables.extend([("events", {"t_s": 4.0, "rank": 0, "level": "info", "colour": "green"})])
    assert at(tables, 4.0).flow == before


def test_missing_columns_are_null() -> None:
    tables = tables_of([("items", {"item": 1, "status": "ok", "completed_s": 1.0})])
    tables.extend([("telemetry", {"t_s": 1.0, "rank": 0})])
    snapshot = at(tables, 1.0)
    assert snapshot.flow.completed == 1
    assert math.isnan(snapshot.control.threshold)


def test_a_span_limits_the_charts_only() -> None:
    tables = tables_of(rows())
    whole, last = at(tables, 4.0), at(tables, 4.0, span_s=1.0)
    assert last.history.edges_s[0] == 3.0
    assert whole.history.edges_s[0] == 0.0
    assert same(whole.flow, last.flow)


def test_slowest_items_come_slowest_first() -> None:
    snapshot = at(tables_of(rows()), 5.0)
    latency = {r["item"]: r.get("latency_s") for t, r in rows() if t == "items"}
    slow = [latency[item] for item in snapshot.slowest]
    assert slow == sorted(slow, reverse=True)
    assert len(slow) == 20


def test_a_host_that_tells_its_condition_has_a_column_in_the_wide_view() -> None:
    """On the line of its first rank; the others have none of their own."""

    def shown(told: dict[str, Any]) -> str:
        telling = [(table, {**row, **told} if row.get("rank") == 0 else row) for table, row in hot]
        lines = rank_lines(at(tables_of(telling), 3.0), 200, 10, Options())
        return "\n".join("".join(text for text, _ in line) for line in lines)

    hot = [(table, row) for table, row in rows() if table == "telemetry"]
    assert "heat" not in shown({})
    text = shown({"temperature_c": 84.6, "clock_hz": 1.5e9, "throttled": True})
    assert "85°C 1.5GHz throttled" in text
    assert text.count("n/a") == 2
    assert "85°C 1.5GHz " in shown({"temperature_c": 84.6, "clock_hz": 1.5e9, "throttled": False})
