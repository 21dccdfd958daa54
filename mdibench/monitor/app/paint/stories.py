"""An item's story as text: where its time went, and why each step was taken."""

from __future__ import annotations

import math
import textwrap

from mdibench.monitor.app.paint.lines import (
    ACCENT,
    BAD,
    DIM,
    FAINT,
    GOOD,
    PLAIN,
    STRONG,
    WARN,
    Line,
    fill,
    rank_role,
    width_of,
)
from mdibench.monitor.story import Chapter, Story
from mdibench.monitor.text import bytes_of, count, milliseconds, percent


def story(told: Story, width: int) -> list[Line]:
    """The whole story in ``width`` cells; as many lines as it takes."""
    lines = [_headline(told), *_facts(told, width), []]
    if told.chapters and not math.isnan(told.latency_s):
        lines += [*_shares(told, width), []]
    beside = all(STEP + len(chapter.why) <= width for chapter in told.chapters)
    for chapter in told.chapters:
        lines += _chapter(chapter, width, beside)
    if not told.chapters:
        lines.append([("no steps were recorded for this item (run.trace samples them)", DIM)])
    return lines


def _headline(told: Story) -> Line:
    line: Line = [(f"item {count(told.item)}", STRONG), ("   ", PLAIN)]
    if told.status == "ok":
        right = told.label is not None and told.label == told.prediction
        line += [
            (f"label {told.label}   prediction {told.prediction} ", PLAIN),
            ("✓" if right else "✗", GOOD if right else BAD),
            (f"   exit {told.exit}", PLAIN),
            (f"   {milliseconds(told.latency_s)}", STRONG),
        ]
    else:
        line.append((told.status, WARN if told.status == "in flight" else BAD))
        line.append((f"  {told.reason}", PLAIN))
    return line


def _facts(told: Story, width: int) -> list[Line]:
    """When, how far, and over which ranks; the ranks on a line of their own where need be."""
    line: Line = [(f"scheduled {told.scheduled_s:.4f} s", DIM)]
    if told.status == "no such item":
        line = [("this run offered none of that number", DIM)]
    elif math.isnan(told.scheduled_s):
        line = [("not finished yet", DIM)]
    admission_s = told.admitted_s - told.scheduled_s
    if not math.isnan(admission_s):
        line.append((f"   admitted +{milliseconds(admission_s)}", DIM))
    if told.hops is not None and told.wire_bytes is not None:
        line.append((f"   {told.hops} hops, {bytes_of(told.wire_bytes)} on the wire", DIM))
    if told.attempts > 1:
        line.append((f"   {told.attempts} attempts", WARN))
    path: Line = []
    for place, rank in enumerate(told.path):
        path += [(" → " if place else "", DIM), (str(rank), rank_role(rank))]
    both = [*line, ("   ", PLAIN), *path]
    return [both] if width_of(both) <= width else [line, path]


def _shares(told: Story, width: int) -> list[Line]:
    """Where the latency went, as one bar and its legend."""
    parts = [
        ("computing", told.computed_s, GOOD, "█"),
        ("in input queues", told.waited_input_s, WARN, "▓"),
        ("in output queues", told.waited_output_s, ACCENT, "▒"),
        ("on the way", told.elsewhere_s, DIM, "░"),
    ]
    room = max(10, min(width - 2, 96))
    picture: Line = []
    legends: list[Line] = [[]]
    for name, part_s, role, glyph in parts:
        share = part_s / told.latency_s if told.latency_s > 0 else 0.0
        picture.append((glyph * round(share * room), role))
        entry: Line = [(f"{glyph} ", role), (f"{name} {percent(share)}   ", PLAIN)]
        if width_of([*legends[-1], *entry]) > width + 3:
            legends.append([])
        legends[-1] += entry
    return [picture, *legends]


STEP = 64
"""Cells of a step without its reason."""


def _chapter(chapter: Chapter, width: int, beside: bool) -> list[Line]:
    """The step, and its reason ``beside`` it or on the next line."""
    step: Line = [
        (f"{chapter.t_s:9.4f} s  ", DIM),
        (f"rank {chapter.rank:<3}", rank_role(chapter.rank)),
        (f"{chapter.queue:>5} ", DIM),
        (f"{milliseconds(chapter.queued_s):>9}  ", PLAIN),
    ]
    if chapter.kind == "compute":
        step += [(f"{chapter.note:<14}", PLAIN), (f"{milliseconds(chapter.duration_s):>9}", PLAIN)]
    else:
        role = rank_role(chapter.target) if chapter.target is not None else PLAIN
        step.append((f"{chapter.note:<23}", role))
    if beside:
        return [[*fill(step, STEP), (chapter.why, DIM)]]
    indent = " " * 13
    first, *rest = textwrap.wrap(chapter.why, max(20, width - len(indent) - 2)) or [""]
    below: list[Line] = [[(indent + "  ", PLAIN), (part, DIM)] for part in rest]
    return [step, [(indent + "└ ", FAINT), (first, DIM)], *below]
