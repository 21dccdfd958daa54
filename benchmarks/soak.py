"""A long run under random disturbance: ``python -m benchmarks.soak [--items N] [--ranks N]``.

Items as fast as they go through null blocks, over MPI, while scripted events slow ranks down, let
them fail, leave and join, at times drawn from a seed. Rank 0 has the first block and the others all
later ones, so that most items cross a link twice. Checks that every item ended once, and tells
memory and descriptors of each rank over time. Exit status 1 where something was lost, counted
twice, or grew.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

import mdibench
from mdibench.rank import launch
from mdibench.record.run_folder import find_runs, read_manifest

MOST_GROWTH_MIB = 1.0
"""Memory that a rank may gain in an hour, extrapolated."""
SETTLED = 0.5
"""Share of the run after which memory counts: until then buffers and queues still grow."""

CONFIG = """
[run]
name = "soak"
warmup_s = 0.0
items = {items}
drain_s = 60.0
sample_s = 1.0
results = "{results}"
[model]
name = "null"
[scheme]
name = "round-robin"
source_offloads_raw = true
[placement]
blocks = {{ {blocks} }}
[topology]
name = "full"
[admission]
mode = "offline"
max_in_flight = 200
[transport]
suspect_after_s = 1.0
"""
EVENT = '[[events]]\nat_s = {at_s:.2f}\nkind = "{kind}"\n{more}\n'


def script(seed: int, ranks: int, until_s: float) -> str:
    """Events from 2 s on, one every few seconds; a rank that goes comes back."""
    draw, events, at_s = random.Random(seed), [], 2.0
    while at_s < until_s:
        rank, kind = draw.randrange(1, ranks), draw.choice(["slow", "fail", "fail", "leave"])
        if kind == "slow":
            factor = draw.choice([1.0, 2.0, 4.0])
            events.append((at_s, kind, f"rank = {rank}\nfactor = {factor}"))
        else:
            events.append((at_s, kind, f"rank = {rank}"))
            events.append((at_s + draw.uniform(1.5, 4.0), "join", f"rank = {rank}"))
            at_s += 4.0
        at_s += draw.uniform(1.0, 4.0)
    return "".join(EVENT.format(at_s=t, kind=kind, more=more) for t, kind, more in events)


def descriptors(pids: list[int]) -> list[int]:
    """Open files of each rank that is still there."""
    return [psutil.Process(pid).num_fds() for pid in pids if psutil.pid_exists(pid)]


def soak(items: int, ranks: int, seed: int, until_s: float) -> int:
    """Run, and tell what became of it; the number of faults."""
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "soak.toml"
        blocks = ", ".join(["0 = [1]", *(f"{rank} = [2, 3, 4, 5]" for rank in range(1, ranks))])
        text = CONFIG.format(items=items, results=place, blocks=blocks)
        config.write_text(text + script(seed, ranks, until_s))
        line = launch.command(launch.find_mpirun(), ranks, None, ["run", str(config), "--quiet"])
        begun_s = time.monotonic()
        with subprocess.Popen(
            line, env=launch.child_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ) as job:  # fmt: skip
            open_files = _watch(job, Path(place))
        (run,) = find_runs([place])
        return report(run, time.monotonic() - begun_s, open_files, job.returncode)


def _watch(job: subprocess.Popen[bytes], place: Path) -> list[list[int]]:
    """Descriptors of all ranks, every other second."""
    seen: list[list[int]] = []
    while job.poll() is None:
        time.sleep(2.0)
        runs = find_runs([place])
        if runs and job.poll() is None:
            counts = descriptors([facts["pid"] for facts in read_manifest(runs[0])["ranks"]])
            seen += [counts] if counts else []
    return seen


def report(run: Path, seconds: float, open_files: list[list[int]], status: int) -> int:
    """Print the figures; the number of faults."""
    totals, frames = read_manifest(run)["totals"], mdibench.load(run)
    ended = totals["ok"] + totals["dropped"] + totals["lost"]
    print(f"exit status {status}, {seconds:.0f} s; {totals}")
    faults = [
        (status != 0, "the run failed"),
        (totals["offered"] != ended, "items without an end"),
        (not frames.items.item.is_unique, "items that ended twice"),
        (len(frames.items) != totals["offered"], "rows that are not one for each item"),
        (totals["lost"] > 0, f"{totals['lost']} items lost"),
    ]
    print("events:", frames.events.kind.value_counts().to_dict())
    lost = frames.items[frames.items.status == "lost"]
    if len(lost):
        print("lost:", lost.reason.value_counts().to_dict())
    for rank, table in frames.telemetry.groupby("rank"):
        late = table[table.t_s > SETTLED * table.t_s.max()]
        slope = float(np.polyfit(late.t_s, late.rss_bytes, 1)[0]) / 2**20
        grown = f"{slope * (late.t_s.iloc[-1] - late.t_s.iloc[0]):+.2f} in the second half"
        size = f"{late.rss_bytes.iloc[-1] / 2**20:.1f} MiB"
        print(f"rank {rank}: {size}, {grown}, {3600 * slope:+.1f} an hour")
    if len(open_files) > 2:
        early, last = open_files[1], open_files[-1]
        print(f"descriptors: {early} at first, {last} at last")
        faults.append((max(last) > max(early) + 4, "descriptors grow"))
    said = [text for is_so, text in faults if is_so]
    print("faults:", ", ".join(said) or "none")
    return len(said)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events-until-s", type=float, default=600.0)
    given = parser.parse_args()
    return min(1, soak(given.items, given.ranks, given.seed, given.events_until_s))


if __name__ == "__main__":
    sys.exit(main())
