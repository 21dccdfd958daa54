"""Search for the highest rate under a latency objective: one run after the other, each at a rate.

A rate passes when the percentile of the latency of all items scheduled in the measured window is
within the objective; the latency of a dropped or lost item is infinite. ``Bisection`` doubles or
halves the rate until one passes and one fails, then bisects on the logarithm: the middle of 10 and
40 is 20. The trace of the search is in ``search.json``, beside the runs.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from mdibench.assembly.workload import planned
from mdibench.config.messages import toml
from mdibench.config.reading import parse_config, read_text, resolved
from mdibench.config.schema import CLOCKED_MODES, RunConfig, SearchSection
from mdibench.errors import MdibenchError, Problem, UserError
from mdibench.network.planning import usual_ranks
from mdibench.record.files import write_text_whole
from mdibench.record.run_folder import find_runs
from mdibench.sweep.crew import POLL_S, Assignment, Crew, CrewJob, time_limit_s

SEARCH_FILE = "search.json"
MAJOR, MINOR = 1, 0
MAX_DOUBLINGS = 12
"""Doublings or halvings before the search gives up: a factor of 4096."""

LatencyOf = Callable[[Path, float], float]
"""The latency of a run (folder) at a percentile (0 to 100) in seconds, or infinity."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the search; ``run`` is its folder, relative to the search's."""

    rate_per_s: float
    latency_s: float | None
    """At the objective's percentile; None for infinite."""
    passed: bool
    run: str


class Search:
    """A search with a checked config, ready to run."""

    def __init__(
        self, config: Path, overrides: tuple[str, ...], ranks: int | None, latency_of: LatencyOf
    ) -> None:
        self._path, self._overrides, self._latency_of = config, overrides, latency_of
        self.config = parse_config(read_text(config), str(config), overrides)
        self.wanted = _wanted(self.config, str(config))
        self.ranks = ranks or usual_ranks(self.config) or _no_ranks(self.config)
        planned(self.config, self.ranks)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{self.config.run.name}-search-{stamp}-{secrets.token_hex(2)}"
        self.folder = Path(self.config.run.results) / name
        self.trials: list[Trial] = []
        self.bisection = Bisection(self.config.admission.rate_per_s, self.wanted.precision)

    def run(self, report: Callable[[Trial], None]) -> float | None:
        """Search; returns the highest rate that passed, in items per second, or None."""
        while (rate := self.bisection.next_rate()) is not None:
            trial = self._try(rate)
            self.bisection.tell(rate, trial.passed)
            self.trials.append(trial)
            self._write(self.bisection.next_rate() is None)
            report(trial)
        return self.bisection.highest

    def _try(self, rate: float) -> Trial:
        place = self.folder / f"trial-{len(self.trials) + 1:02}"
        place.mkdir(parents=True)
        own = (
            f"admission.interarrival_s={1 / rate!r}",
            f"run.results={toml(str(place))}",
            f"run.label={toml(f'{rate:.6g} per s')}",
        )
        self._perform(CrewJob(str(self._path), self._overrides + own, self.ranks))
        (run,) = find_runs([place])
        latency_s = self._latency_of(run, self.wanted.percentile)
        return Trial(
            rate_per_s=rate,
            latency_s=latency_s if latency_s < float("inf") else None,
            passed=latency_s <= self.wanted.objective_ms / 1e3,
            run=str(run.relative_to(self.folder)),
        )

    def _perform(self, job: CrewJob) -> None:
        crew = Crew(self.folder / ".crew.json", [Assignment(job, time_limit_s(self.config.run))])
        try:
            while not (results := crew.poll()):
                time.sleep(POLL_S)
        finally:
            crew.stop()
        if reason := results[0][0]:
            raise MdibenchError(f"the search's run failed: {reason}")

    def _write(self, over: bool) -> None:
        facts = {
            "schema": [MAJOR, MINOR],
            "written_utc": datetime.now(timezone.utc).isoformat(),
            "over": over,
            "ranks": self.ranks,
            "search": self.wanted.model_dump(),
            "highest_rate_per_s": self.bisection.highest,
            "lowest_failing_rate_per_s": self.bisection.lowest,
            "trials": [asdict(trial) for trial in self.trials],
            "config": resolved(self.config),
        }
        write_text_whole(self.folder / SEARCH_FILE, json.dumps(facts, indent=1) + "\n")


def _wanted(config: RunConfig, where: str) -> SearchSection:
    """The config's [search]; raises UserError unless the rate of arrivals can be set."""
    if config.search is None:
        remedy = "add [search] with objective_ms"
        raise UserError(Problem("there is no [search] in this config", where, remedy))
    admission = config.admission
    if not admission.clocked or admission.arrivals == "trace":
        what = "a search sets the rate of arrivals, which these arrivals do not follow"
        remedy = f"give mode = {' or '.join(CLOCKED_MODES)}, and arrivals constant or poisson"
        raise UserError(Problem(what, config.where("admission", "mode"), remedy))
    return config.search


def _no_ranks(config: RunConfig) -> int:
    what = "how many ranks does this config need?"
    raise UserError(Problem(what, config.where("topology"), "give --ranks N"))


class Bisection:
    """Call ``next_rate``, try it, call ``tell``; until ``next_rate`` is None.

    ``highest`` passed, ``lowest`` failed; they end within ``precision`` (relative) of each other.
    """

    def __init__(self, start: float, precision: float) -> None:
        self.highest: float | None = None
        self.lowest: float | None = None
        self._start = start
        self._precision = precision

    def next_rate(self) -> float | None:
        """The rate to try next; None when the search is over."""
        if self.highest is None and self.lowest is None:
            return self._start
        if self.lowest is None:
            assert self.highest is not None
            return self._within(2 * self.highest)
        if self.highest is None:
            return self._within(self.lowest / 2)
        if self.lowest <= self.highest * (1 + self._precision):
            return None
        return math.sqrt(self.highest * self.lowest)

    def tell(self, rate: float, passed: bool) -> None:
        """Enter the result of ``rate``."""
        if passed:
            self.highest = max(rate, self.highest or rate)
        else:
            self.lowest = min(rate, self.lowest or rate)

    def _within(self, rate: float) -> float | None:
        return rate if abs(math.log2(rate / self._start)) <= MAX_DOUBLINGS else None
