"""Runs made of nothing but arithmetic: a small queueing model that writes a run's rows.

Items arrive at a steady rate, take an exit drawn from a seeded generator, and wait for the rank
that runs each of their blocks. The rows have the columns, order and habits of a real stream.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

Rows = list[tuple[str, dict[str, Any]]]


@dataclass
class Synthetic:
    """A run of ``ranks`` workers: ``rows`` in stream order, ``manifest`` as rank 0 writes it."""

    ranks: int = 4
    exits: int = 5
    rate: float = 50.0
    duration_s: float = 10.0
    warmup_s: float = 2.0
    service_s: float = 0.018
    sample_s: float = 0.2
    hop_s: float = 0.004
    seed: int = 1
    drop_every: int = 0
    scheme: str = "mdi-exit"
    mode: str = "adapt-rate"
    silent_rank: int | None = None
    silent_from_s: float = math.inf
    _timed: list[tuple[float, int, str, dict[str, Any]]] = field(default_factory=list)

    def manifest(self, status: str = "running") -> dict[str, Any]:
        ranks = range(self.ranks)
        size = max(2, min(self.exits, 2 * self.exits // self.ranks + 1))
        blocks = [sorted({(n + j) % self.exits + 1 for j in range(size)}) for n in ranks]
        return {
            "schema": [1, 0], "id": "20260101T000000Z-fixed_acc-0000", "name": "fixed_acc",
            "status": status, "reason": "", "started_utc": "2026-01-01T00:00:00+00:00",
            "pid": 0, "host": "elsewhere", "kind": "emulated", "scheme": self.scheme, "label": "",
            "seed": self.seed,
            "config": {
                "run": {"name": "fixed_acc", "warmup_s": self.warmup_s,
                        "duration_s": self.duration_s, "sample_s": self.sample_s},
                "scheme": {"name": self.scheme, "threshold": 0.8, "output_queue_limit": 50},
                "admission": {"mode": self.mode, "queue_low": 10, "queue_high": 30},
                "model": {"name": "digits-cnn", "dataset": "digits"},
                "emulation": {"device": "jetson-nano", "link": "wifi-5ghz"},
            },
            "plan": {
                "ranks": self.ranks, "exits": self.exits, "topology": "full",
                "placement": "copies 2", "blocks": blocks,
                "neighbours": [[m for m in ranks if m != n] for n in ranks],
                "links": [{"source": a, "target": b, "bandwidth_bps": 50e6, "delay_s": 0.002,
                           "jitter_s": 0.0, "loss": 0.0, "codec": "none"}
                          for a in ranks for b in ranks if a != b],
                "devices": ["jetson-nano"] * self.ranks,
                "hosts": [f"node-{chr(97 + n % 26)}" for n in ranks],
            },
            "model": {"name": "digits-cnn", "classes": 10},
            "warnings": [],
        }  # fmt: skip

    def rows(self) -> Rows:
        """Every row of the run, in stream order."""
        self._timed.clear()
        self._items()
        self._events()
        self._timed.sort(key=lambda each: each[:2])
        return [(table, row) for _, _, table, row in self._timed]

    def _put(self, at_s: float, table: str, **row: Any) -> None:
        self._timed.append((at_s, len(self._timed), table, row))

    def _events(self) -> None:
        end_s = self.warmup_s + self.duration_s
        for t_s, rank, level, kind, text in (
            (self.warmup_s, 0, "info", "phase", "warm-up over"),
            (0.6 * end_s, 1, "warning", "suspect", f"rank {self.ranks - 1} silent for 1.2 s"),
            (0.65 * end_s, 1, "info", "recovered", f"rank {self.ranks - 1} speaks again"),
            (end_s, 0, "info", "phase", "draining 9 items: time is up"),
        ):
            self._put(t_s, "events", t_s=t_s, rank=rank, level=level, kind=kind, text=text)

    def _items(self) -> None:
        generator = random.Random(self.seed)
        free_s = [0.0] * self.ranks
        busy = [[] for _ in range(self.ranks)]  # type: list[list[tuple[float, float, float]]]
        hops: list[tuple[float, int, int]] = []
        leaves: list[tuple[float, int, int]] = []
        end_s = self.warmup_s + self.duration_s
        ends: list[tuple[float, float]] = []
        for item in range(int(end_s * self.rate)):
            arrived_s = item / self.rate + 0.4 * math.sin(3 * item / self.rate) / 3
            if self.drop_every and item % self.drop_every == self.drop_every - 1:
                self._put(arrived_s, "items", item=item, sample=item, label=item % 10,
                          scheduled_s=arrived_s, path="", attempts=1, status="dropped",
                          reason="too many items in flight")  # fmt: skip
                continue
            depth = min(self.exits, 1 + int(generator.expovariate(0.6)))
            now, rank, path, crossed = arrived_s, 0, [], 0
            for block in range(1, depth + 1):
                start_s = max(now, free_s[rank])
                done_s = start_s + self.service_s * (0.8 + 0.4 * generator.random())
                free_s[rank] = done_s
                busy[rank].append((now, start_s, done_s))
                path.append(rank)
                leaves_here = block == depth
                sure = generator.random() * (0.19 if leaves_here else 0.8) + 0.81 * leaves_here
                following = min(range(self.ranks), key=lambda n: (free_s[n], n))
                verdict = "exit" if block == depth else "input" if following == rank else "output"
                self._put(done_s, "steps", t_s=done_s, rank=rank, item=item, attempt=0,
                          block=block, kind="compute", queued_s=start_s - now,
                          duration_s=done_s - start_s, confidence=sure, threshold=0.8,
                          prediction=item % 10, verdict=verdict, target=None, input_queue=3,
                          output_queue=4, gamma_s=self.service_s, target_input_queue=None,
                          target_gamma_s=None, hop_delay_s=None, info_age_s=None,
                          payload_bytes=None)  # fmt: skip
                now = done_s
                if block < depth and following != rank:
                    self._put(now, "steps", t_s=now, rank=rank, item=item, attempt=0,
                              block=block + 1, kind="send", queued_s=0.001, duration_s=None,
                              confidence=None, threshold=None, prediction=None,
                              verdict="shorter", target=following, input_queue=9,
                              output_queue=5, gamma_s=self.service_s, target_input_queue=2,
                              target_gamma_s=self.service_s, hop_delay_s=self.hop_s,
                              info_age_s=0.012, payload_bytes=16384)  # fmt: skip
                    hops.append((now, rank, following))
                    now, rank, crossed = now + self.hop_s, following, crossed + 1
            leaves.append((now, rank, depth))
            right = generator.random() < 0.9 + 0.02 * depth
            ends.append((arrived_s, now))
            self._put(now, "items", item=item, sample=item, label=item % 10,
                      prediction=item % 10 if right else (item + 1) % 10, correct=right,
                      exit=depth, confidence=sure, threshold=0.8, scheduled_s=arrived_s,
                      admitted_s=arrived_s + 0.0002, completed_s=now, latency_s=now - arrived_s,
                      hops=crossed, wire_bytes=crossed * 16384, path=">".join(map(str, path)),
                      attempts=1, status="ok", reason="")  # fmt: skip
        self._samples(max(end_s, max(e for _, e in ends)), busy, hops, leaves, ends)

    def _samples(self, end_s: float, busy: Any, hops: Any, leaves: Any, ends: Any) -> None:
        counts = _Counts(self, busy, hops, leaves, ends)
        for sample in range(1, int(end_s / self.sample_s) + 1):
            t_s = sample * self.sample_s
            for rank in range(self.ranks):
                if rank == self.silent_rank and t_s >= self.silent_from_s:
                    continue
                self._put(t_s, "telemetry", **counts.telemetry(t_s, rank))
                for target in range(self.ranks):
                    if target != rank:
                        self._put(t_s, "links", **counts.link(t_s, rank, target))


class _Counts:
    """How much of everything had happened at a moment: times in order, counted by bisection."""

    def __init__(self, run: Synthetic, busy: Any, hops: Any, leaves: Any, ends: Any) -> None:
        self.run = run
        self.came = [sorted(c for c, _, _ in each) for each in busy]
        self.started = [sorted(s for _, s, _ in each) for each in busy]
        self.done = [sorted(e for _, _, e in each) for each in busy]
        self.crossed: dict[Any, list[float]] = {}
        for at, a, b in sorted(hops):
            for key in ((a, b), ("from", a), ("to", b)):
                self.crossed.setdefault(key, []).append(at)
        self.left: dict[Any, list[float]] = {}
        for at, rank, depth in sorted(leaves):
            self.left.setdefault((rank, depth), []).append(at)
        self.arrived = sorted(a for a, _ in ends)
        self.ended = sorted(e for _, e in ends)

    def link(self, t_s: float, rank: int, target: int) -> dict[str, Any]:
        crossed = bisect_right(self.crossed.get((rank, target), []), t_s)
        return {
            "t_s": t_s, "source": rank, "target": target, "messages": 2 * crossed,
            "tasks": crossed, "bytes": crossed * 16448,
            "hop_delay_s": self.run.hop_s if crossed else None, "ping_pongs": 0,
        }  # fmt: skip

    def telemetry(self, t_s: float, rank: int) -> dict[str, Any]:
        waiting = bisect_right(self.came[rank], t_s) - bisect_right(self.started[rank], t_s)
        done = bisect_right(self.done[rank], t_s)
        source, run = rank == 0, self.run
        offered = bisect_right(self.arrived, t_s)
        return {
            "t_s": t_s, "rank": rank, "input_queue": waiting, "output_queue": waiting // 3,
            "tasks": done, "busy_s": done * run.service_s, "encode_s": 0.0,
            "send_s": 0.02 * t_s, "wait_s": 0.0, "gamma_s": run.service_s,
            "sent_bytes": bisect_right(self.crossed.get(("from", rank), []), t_s) * 16448,
            "received_bytes": bisect_right(self.crossed.get(("to", rank), []), t_s) * 16448,
            "gossip_bytes": 0,
            "exits": [bisect_right(self.left.get((rank, k), []), t_s)
                      for k in range(1, run.exits + 1)],
            "threshold": 0.8, "interarrival_s": 1 / run.rate if source else None,
            "offered": offered if source else None,
            "in_flight": offered - bisect_right(self.ended, t_s) if source else None,
            "overruns": 0, "flops": 0, "refused": 0, "rss_bytes": 180_000_000 + 1_000_000 * rank,
            "cpu_s": 0.3 * t_s,
        }  # fmt: skip
