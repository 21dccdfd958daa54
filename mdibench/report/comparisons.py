"""Comparisons: B against A as text and JSON, and a referee's page on a set of runs.

The page lists the claims that the runs support and those that they do not, about each group's
figures and about every group against its baseline, with what would settle them. Called by ``cli``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mdibench.analysis.comparable_sets import comparable_sets
from mdibench.analysis.comparison import Comparison, Difference, compare
from mdibench.analysis.formatting import NOT_AVAILABLE, Cell, format_one
from mdibench.analysis.run_groups import METRICS, Metric, RunGroup
from mdibench.analysis.shares import Estimate
from mdibench.errors import IncomparableRuns
from mdibench.report.document import (
    Column,
    Document,
    ReportSection,
    Table,
    raw_columns,
    raw_rows,
)
from mdibench.report.terminal import text_table, to_text


def comparison_text(found: Comparison) -> str:
    """The comparison for a terminal."""
    lines = [f"A  {_side_text(found.a)}", f"B  {_side_text(found.b)}", ""]
    rows = [_comparison_row(difference) for difference in found.differences]
    headings = ("metric", "A", "B", "B / A", "p", "B is")
    text = to_text(text_table(headings, (False, True, True, True, True, False), rows))
    lines.append(text.rstrip("\n"))
    lines += ["", f"by {', '.join(dict.fromkeys(d.method for d in found.differences))}"]
    lines += [f"caution: {text}" for text in found.cautions]
    if found.differing:
        lines += ["differs in:", *(f"  {key}: {a} -> {b}" for key, a, b in found.differing)]
    return to_text("\n".join(lines))


def _side_text(group: RunGroup) -> str:
    runs = len(group.runs)
    where = os.path.commonpath([run.summary.identity.folder for run in group.runs])
    return f"{group.name} ({runs} run{'s' * (runs != 1)}, {where})"


def _comparison_row(found: Difference) -> list[str]:
    kind = found.metric.kind
    sides = [_stacked(format_one(kind, side, "half")) for side in (found.a, found.b)]
    p = "<0.001" if found.p_adjusted < 0.001 else f"{found.p_adjusted:.3f}"
    p = NOT_AVAILABLE if math.isnan(found.p_adjusted) else p
    return [found.metric.title, *sides, _ratio_text(found.ratio.estimate), p, found.word]


def _stacked(text: str) -> str:
    return text.replace(" ±", "\n±")


def _ratio_text(estimate: Estimate) -> str:
    if not estimate.known:
        return NOT_AVAILABLE
    bounds = "" if math.isnan(estimate.low) else f"\n[{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.value:.3f}{bounds}"


def comparison_table(found: Comparison) -> Table:
    """A comparison as a table of raw cells."""
    columns = (
        Column("metric", "metric"), Column("a", "A", "number"), Column("b", "B", "number"),
        Column("ratio", "B / A", "number"), Column("difference", "B - A", "number"),
        Column("p_adjusted", "p (Holm)", "p"), Column("word", "B is"),
        Column("method", "method"),
    )  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (d.metric.key, d.a, d.b, d.ratio.estimate, d.shift.estimate, d.p_adjusted, d.word, d.method)
        for d in found.differences
    )
    return Table("comparison", "B against A", columns, rows)


def comparison_json(found: Comparison) -> str:
    """The comparison as JSON."""
    shown = comparison_table(found)
    names = raw_columns(shown)
    content = {
        "a": [run.summary.identity.id for run in found.a.runs],
        "b": [run.summary.identity.id for run in found.b.runs],
        "pairs": found.pairs,
        "metrics": [dict(zip(names, row, strict=True)) for row in raw_rows(shown)],
        "differing": [dict(zip(("key", "a", "b"), row, strict=True)) for row in found.differing],
        "cautions": list(found.cautions),
    }
    return json.dumps(content, indent=1) + "\n"


# --- the referee's page -------------------------------------------------------------------------

CLAIMED = ("throughput", "accuracy", "latency-mean", "p95", "p99")
"""Metrics that a reader may want to quote."""
SMALL_CHANGE = 0.05
"""A change whose detection is estimated where no difference is significant."""
MOST_TIMES = 1000.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What one might write about the runs. ``remedy`` says what would settle it where they do not
    support it."""

    text: str
    supported: bool
    reason: str
    remedy: str = ""


def referee_page(groups: Sequence[RunGroup]) -> Document:
    """All claims about ``groups``, and about each against the baseline of its comparable set."""
    found = [claim for group in groups for claim in (*_about(group), *_figures(group))]
    for of in comparable_sets(groups, any_load=True):
        for group in of.groups:
            if group is not of.baseline:
                found += _against(of.baseline, group)
    good = [claim for claim in found if claim.supported]
    open_ = [claim for claim in found if not claim.supported]
    columns = (Column("claim", "claim"), Column("reason", "why"))
    settle = Column("remedy", "what would settle it")
    tables = (
        Table("supported", "Supported", columns, tuple((c.text, c.reason) for c in good)),
        Table("unsupported", "Not supported", (*columns, settle),
              tuple((c.text, c.reason, c.remedy) for c in open_)),
    )  # fmt: skip
    subtitle = f"{len(good)} claims are supported, {len(open_)} are not"
    text = "Intervals are at 95 %, tests at 5 % after Holm's correction over the metrics of a pair."
    section = ReportSection("claims", "Claims", (text,), tables)
    return Document("What these runs show", subtitle, (section,))


def _about(group: RunGroup) -> Iterator[Claim]:
    """Whether the runs measure what they claim to, and whether more than one was made."""
    left_out = len(group.runs) - len(group.counted)
    sound = all(run.verdict == "VALID" for run in group.counted)
    if sound and not left_out:
        yield Claim(f"{group.name} measured a steady system", True, "every run is VALID")
    for run in group.runs:
        for finding in run.findings:
            if finding.level == "invalid":
                text = f"{group.name} measured a steady system in {run.summary.identity.id}"
                yield Claim(text, False, finding.text, finding.remedy)
    if len(group.runs) == 1:
        text = f"{group.name} would show the same figures in another run"
        reason = "one run: how much runs differ among themselves is unknown"
        yield Claim(text, False, reason, "repeat it with other seeds, e.g. five times in a sweep")


def _figures(group: RunGroup) -> Iterator[Claim]:
    for metric in (METRICS[key] for key in CLAIMED):
        found = group.estimate(metric)
        if found.known:
            yield _figure(group, metric, found)


def _figure(group: RunGroup, metric: Metric, found: Estimate) -> Claim:
    text = f"{group.name}: {metric.title} is {format_one(metric.kind, found)}"
    runs = len(group.counted)
    if math.isinf(found.value):
        reason = "more items than that share were dropped or lost"
        return Claim(text, True, reason)
    if math.isfinite(found.low) and math.isfinite(found.high):
        reason = f"{found.n:,} observations" if runs == 1 else f"interval over {runs} runs"
        return Claim(text, True, reason)
    if found.sufficiency > 0:
        reason = f"worth {found.sufficiency:.0%} of the independent items that an interval needs"
        times = _times(1.2 / found.sufficiency)
        return Claim(text, False, reason, f"{times} the items: longer runs, or more of them")
    return Claim(text, False, "no interval", "repeat it with other seeds")


def _against(base: RunGroup, other: RunGroup) -> Iterator[Claim]:
    try:
        found = compare(base, other, [METRICS[key] for key in CLAIMED]).differences
    except IncomparableRuns as reason:
        yield Claim(f"{other.name} differs from {base.name}", False, str(reason), "other runs")
        return
    for difference in found:
        yield _difference(base, other, difference)


def _difference(base: RunGroup, other: RunGroup, found: Difference) -> Claim:
    ratio, title = found.ratio.estimate, found.metric.title
    if found.word in ("better", "worse"):
        text = f"{other.name} is {found.word} than {base.name} in {title}: {_times_of(ratio)}"
        return Claim(text, True, f"p = {_p(found.p_adjusted)} by {found.method}")
    text = f"{other.name} differs from {base.name} in {title}"
    if found.word == "cannot tell":
        return Claim(text, False, f"cannot tell by {found.method}", "longer runs, or more of them")
    reason = f"p = {_p(found.p_adjusted)} by {found.method}; B / A is {_times_of(ratio)}"
    return Claim(text, False, reason, _to_see_a_change(ratio))


def _times_of(ratio: Estimate) -> str:
    if not ratio.known:
        return "?"
    return f"{ratio.value:.3f} times, {ratio.low:.3f} to {ratio.high:.3f}"


def _p(p_value: float) -> str:
    return "less than 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _to_see_a_change(ratio: Estimate) -> str:
    """An interval narrows with the root of what it is over."""
    half = ratio.half_width
    if not math.isfinite(half):
        return "longer runs, or more of them"
    times = (half / SMALL_CHANGE) ** 2
    if times <= 1:
        return f"nothing: a change of {SMALL_CHANGE:.0%} would show"
    return f"{_times(times)} the runs would show a change of {SMALL_CHANGE:.0%}"


def _times(factor: float) -> str:
    return f"{math.ceil(factor):,} times" if factor < MOST_TIMES else "very many times"


def as_text(page: Document) -> str:
    """For a terminal: one claim after the other."""
    (section,) = page.sections
    lines = [page.title, page.subtitle, *section.text]
    for table in section.tables:
        lines += ["", table.title]
        for row in table.rows:
            claim, reason, *remedy = (str(cell) for cell in row)
            lines.append(f"  {claim}")
            lines.append(f"    {reason}" + "".join(f"; to settle it: {r}" for r in remedy if r))
    return "\n".join(lines) + "\n"
