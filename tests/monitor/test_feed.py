"""Reading a run folder: live, finished, aborted, damaged, of other versions."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mdibench.errors import UserError
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.plain import follow
from mdibench.record import run_folder
from mdibench.record.run_folder import STOP
from tests.monitor.support import LiveRun, Time, start
from tests.monitor.synthetic import Synthetic

SHORT = Synthetic(ranks=2, rate=30, duration_s=3.0, warmup_s=1.0)


@pytest.fixture
def run(tmp_path: Path) -> LiveRun:
    return start(tmp_path, SHORT)


def feed_of(run: LiveRun, time: Time | None = None) -> RunFeed:
    time = time or Time()
    time.stream = run.folder / run_folder.STREAM
    return RunFeed(run.folder, time.clocks())


def test_a_live_run_grows(run: LiveRun) -> None:
    feed = feed_of(run)
    feed.read()
    assert feed.snapshot().state.word == "starting"
    run.until(2.0)
    assert feed.read()
    assert not feed.read()
    assert feed.snapshot().state.word == "running"
    assert feed.now_s() == pytest.approx(2.0)


def test_the_same_moment_is_the_same_snapshot_until_something_is_new(run: LiveRun) -> None:
    time = Time()
    feed = feed_of(run, time)
    run.until(2.0)
    feed.read()
    first = feed.snapshot()
    assert feed.snapshot() is first
    time.now_s += 0.1
    assert feed.snapshot().t_s == pytest.approx(2.1)
    run.finish()
    feed.read()
    assert feed.snapshot().over
    assert feed.snapshot() is feed.snapshot()


def test_run_time_goes_on_between_reports(run: LiveRun) -> None:
    time = Time()
    feed = feed_of(run, time)
    run.until(2.0)
    feed.read()
    time.now_s += 0.15
    assert feed.now_s() == pytest.approx(2.15)
    run.until(2.2)
    time.now_s += 0.05
    feed.read()
    assert feed.now_s() == pytest.approx(2.2)


def test_silence_is_stalled_and_then_aborted(run: LiveRun) -> None:
    time = Time()
    feed = feed_of(run, time)
    run.until(2.0)
    feed.read()
    time.now_s += 4.0
    assert feed.snapshot().state.word == "stalled"
    time.now_s += 27.0
    time.late_s = 31.0
    feed.read()
    assert feed.snapshot().state.word == "aborted"
    assert feed.now_s() == pytest.approx(2.0)


def test_a_stream_that_has_long_been_silent_is_stale_from_the_start(run: LiveRun) -> None:
    run.until(2.0)
    time = Time(late_s=10.0)
    feed = feed_of(run, time)
    feed.read()
    assert feed.now_s() == pytest.approx(12.0)
    assert feed.snapshot().state.word == "stalled"


def test_an_orderly_end_is_seen_through_the_open_file(run: LiveRun) -> None:
    feed = feed_of(run)
    run.until(2.0)
    feed.read()
    run.finish()
    assert not (run.folder / run_folder.STREAM).exists()
    feed.read()
    snapshot = feed.snapshot()
    assert snapshot.state.word == "complete"
    assert snapshot.flow.completed == sum(t == "items" for t, _ in SHORT.rows())


def test_an_end_before_the_first_look_is_read_from_the_tables(run: LiveRun) -> None:
    feed = feed_of(run)
    run.finish()
    time_passes(feed)
    assert feed.read()
    assert feed.snapshot().flow.completed == sum(t == "items" for t, _ in SHORT.rows())


def time_passes(feed: RunFeed) -> None:
    feed._checked_s = -1e9


def test_finished_and_live_give_the_same_picture(run: LiveRun) -> None:
    live = feed_of(run)
    run.until(1e9)
    live.read()
    run.finish()
    stored = feed_of(run)
    stored.read()
    for moment_s in (0.5, 2.0, 3.9):
        a, b = live.snapshot(moment_s), stored.snapshot(moment_s)
        assert (a.flow, a.quality, a.exits) == (b.flow, b.quality, b.exits)
        assert a.links.tasks == b.links.tasks


def test_stories_from_memory_stream_and_tables_agree(run: LiveRun) -> None:
    feed = feed_of(run)
    run.until(1e9)
    feed.read()
    item = max(feed.tables._steps, key=lambda i: len(feed.tables.steps_of(i)))
    from_memory = feed.story(item)
    feed.tables._steps.clear()
    from_stream = feed.story(item)
    run.finish()
    stored = feed_of(run)
    stored.read()
    assert from_memory == from_stream == stored.story(item)
    assert len(from_memory.steps) > 1


def test_a_failed_run_says_why(run: LiveRun) -> None:
    run.until(2.0)
    run.finish("failed", "rank 1: out of memory")
    feed = feed_of(run)
    feed.read()
    assert feed.snapshot().state.word == "failed"
    assert feed.snapshot().state.reason == "rank 1: out of memory"


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_that_is_removed_is_one_clear_line(tmp_path: Path, ended: bool) -> None:
    live = start(tmp_path, Synthetic(ranks=2, rate=20, duration_s=2.0))
    live.until(1.0)
    if ended:
        live.finish()
    time = Time()
    feed = RunFeed(live.folder, time.clocks())
    feed.read()
    shown = feed.snapshot().flow.completed
    shutil.rmtree(live.folder)
    time.now_s += 1.0
    assert feed.read()
    assert feed.problem == f"{live.folder}: the run was removed or moved while it was shown"
    assert feed.snapshot().flow.completed == shown > 0


def test_a_run_whose_writer_is_gone_is_aborted(tmp_path: Path) -> None:
    import socket

    run = start(tmp_path, SHORT, pid=2**22 + 1, host=socket.gethostname())
    run.until(2.0)
    feed = feed_of(run)
    feed.read()
    state = feed.snapshot().state
    assert (state.word, state.reason) == ("aborted", "the run died: its writer is gone")


def test_a_record_cut_in_the_middle_is_waited_for(run: LiveRun) -> None:
    run.until(2.0)
    stream = run.folder / run_folder.STREAM
    whole = stream.read_bytes()
    stream.write_bytes(whole[:-20])
    feed = feed_of(run)
    feed.read()
    before = feed.tables.newest_s
    assert feed.damaged == 0
    with stream.open("ab") as file:
        file.write(whole[-20:])
    feed.read()
    assert feed.damaged == 0
    assert feed.tables.newest_s >= before


def test_damaged_lines_are_counted_and_left_out(run: LiveRun) -> None:
    run.until(1.0)
    with (run.folder / run_folder.STREAM).open("ab") as file:
        file.write(b'["items", 1, 2]\nnonsense\n')
    feed = feed_of(run)
    feed.read()
    assert feed.damaged == 2


def test_a_newer_minor_is_read(run: LiveRun) -> None:
    run.until(2.0)
    change_stream(run, schema=[1, 99], extra="weather_c")
    feed = feed_of(run)
    feed.read()
    assert feed.problem == ""
    assert feed.snapshot().flow.completed > 0


def change_stream(run: LiveRun, schema: list[int], extra: str) -> None:
    """Rewrite the stream as a newer version would: one more column everywhere."""
    stream = run.folder / run_folder.STREAM
    first, *lines = stream.read_text().splitlines()
    header: dict[str, Any] = json.loads(first)
    header["schema"] = schema
    header["tables"] = {t: [*names, extra] for t, names in header["tables"].items()}
    grown = [json.dumps([*json.loads(line), 21.5]) for line in lines]
    stream.write_text("\n".join([json.dumps(header), *grown]) + "\n")


def test_another_major_in_the_stream_is_a_problem_on_the_screen(run: LiveRun) -> None:
    run.until(2.0)
    change_stream(run, schema=[2, 0], extra="weather_c")
    feed = feed_of(run)
    feed.read()
    assert "schema 2 cannot be read" in feed.problem
    assert not feed.read()


def test_another_major_in_the_manifest_is_refused(run: LiveRun) -> None:
    path = run.folder / run_folder.MANIFEST
    manifest = json.loads(path.read_text()) | {"schema": [2, 0]}
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="schema 2 cannot be read"):
        RunFeed(run.folder)


def test_a_damaged_table_is_a_problem_on_the_screen(run: LiveRun) -> None:
    run.finish()
    (run.folder / "items.parquet").write_bytes(b"PAR1 this is not")
    feed = feed_of(run)
    feed.read()
    assert "items.parquet" in feed.problem


def test_asking_a_run_to_end_leaves_a_file(run: LiveRun) -> None:
    feed_of(run).request_stop()
    assert (run.folder / STOP).exists()


def test_plain_lines_follow_a_run_to_its_end(run: LiveRun) -> None:
    time, written = Time(), list[str]()
    feed = feed_of(run, time)
    moments = iter([0.6, 1.4, 2.2, 3.1, 1e9])

    def sleep(seconds: float) -> None:
        moment_s = next(moments)
        time.now_s += 1.0
        run.finish() if moment_s == 1e9 else run.until(moment_s)

    follow(feed, written.append, sleep=sleep)
    words = [line.split()[2] for line in written[:-1]]
    assert words[0] == "starting"
    assert "warm-up" in words
    assert "running" in words
    assert written[-1].splitlines()[1].strip() == "complete after 00:04"
