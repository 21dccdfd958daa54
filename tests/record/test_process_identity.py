"""A pid is another process in another namespace, on another host, or a while later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mdibench.record.run_folder import RunWriter, lives, may_live, status, this_process


def test_this_process_lives() -> None:
    facts = this_process()
    assert may_live(facts)
    assert lives(facts["pid"], facts["process_started_s"])


def dead() -> int:
    """A pid that was in use a moment ago."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    return child.pid


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"process_started_s": 1.0}, "aborted"),  # the pid belongs to another process by now
        ({"pid": "dead"}, "aborted"),
        ({"pid": "dead", "pid_namespace": "pid:[1]"}, "running"),  # in another container
        ({"pid": "dead", "boot_id": "another"}, "running"),  # on another host of this name
        ({"pid": "dead", "host": "elsewhere"}, "running"),
        ({"pid": "dead", "boot_id": "", "pid_namespace": ""}, "aborted"),
    ],
)
def test_a_run_is_running_unless_its_writer_is_certainly_gone(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    facts = this_process() | changed
    if facts["pid"] == "dead":
        facts["pid"] = dead()
    RunWriter(tmp_path, facts)
    assert status(tmp_path) == expected
