"""An item's story as lines: where its time went, and the reason of each step."""

from __future__ import annotations

import math
import textwrap

from mdibench.analysis.formatting import bytes_of, count, milliseconds, percent
from mdibench.monitor.app.paint.drawing import (
    ACCENT,
    BAD,
    DIM,
    FAINT,
    GOOD,
    PLAIN,
    STRONG,
    WARN,
    Line,
    padded,
    rank_role,
    width_of,
)
from mdibench.monitor.story import Story, StoryStep


def story_lines(story: Story, width: int) -> list[Line]:
    """The whole story in ``width`` cells, on any number of lines."""
    lines = [_headline(story), *_facts(story, width), []]
    if story.steps and not math.isnan(story.latency_s):
        lines += [*_shares(story, width), []]
    beside = all(STEP_WIDTH + len(step.reason) <= width for step in story.steps)
    for step in story.steps:
        lines += _story_step(step, width, beside)
    if not story.steps:
        lines.append([("no steps were recorded for this item (run.trace samples them)", DIM)])
    return lines


def _headline(story: Story) -> Line:
    line: Line = [(f"item {count(story.item)}", STRONG), ("   ", PLAIN)]
    if story.status == "ok":
        right = story.label is not None and story.label == story.prediction
        line += [
            (f"label {story.label}   prediction {story.prediction} ", PLAIN),
            ("✓" if right else "✗", GOOD if right else BAD),
            (f"   exit {story.exit}", PLAIN),
            (f"   {milliseconds(story.latency_s)}", STRONG),
        ]
    else:
        line.append((story.status, WARN if story.status == "in flight" else BAD))
        line.append((f"  {story.reason}", PLAIN))
    return line


def _facts(story: Story, width: int) -> list[Line]:
    """Times, hops and path; the path is on its own line where the first is too short."""
    line: Line = [(f"scheduled {story.scheduled_s:.4f} s", DIM)]
    if story.status == "no such item":
        line = [("this run offered none of that number", DIM)]
    elif math.isnan(story.scheduled_s):
        line = [("not finished yet", DIM)]
    admission_s = story.admitted_s - story.scheduled_s
    if not math.isnan(admission_s):
        line.append((f"   admitted +{milliseconds(admission_s)}", DIM))
    if story.hops is not None and story.wire_bytes is not None:
        line.append((f"   {story.hops} hops, {bytes_of(story.wire_bytes)} on the wire", DIM))
    if story.attempts > 1:
        line.append((f"   {story.attempts} attempts", WARN))
    path: Line = []
    for place, rank in enumerate(story.path):
        path += [(" → " if place else "", DIM), (str(rank), rank_role(rank))]
    both = [*line, ("   ", PLAIN), *path]
    return [both] if width_of(both) <= width else [line, path]


def _shares(story: Story, width: int) -> list[Line]:
    """Where the latency went, as one bar and its legend."""
    parts = [
        ("computing", story.computed_s, GOOD, "█"),
        ("in input queues", story.waited_input_s, WARN, "▓"),
        ("in output queues", story.waited_output_s, ACCENT, "▒"),
        ("on the way", story.elsewhere_s, DIM, "░"),
    ]
    room = max(10, min(width - 2, 96))
    picture: Line = []
    legends: list[Line] = [[]]
    for name, part_s, role, glyph in parts:
        share = part_s / story.latency_s if story.latency_s > 0 else 0.0
        picture.append((glyph * round(share * room), role))
        entry: Line = [(f"{glyph} ", role), (f"{name} {percent(share)}   ", PLAIN)]
        if width_of([*legends[-1], *entry]) > width + 3:
            legends.append([])
        legends[-1] += entry
    return [picture, *legends]


STEP_WIDTH = 64
"""Cells of a step without its reason."""


def _story_step(step: StoryStep, width: int, beside: bool) -> list[Line]:
    """The step with its reason, ``beside`` it or on the next line."""
    line: Line = [
        (f"{step.t_s:9.4f} s  ", DIM),
        (f"rank {step.rank:<3}", rank_role(step.rank)),
        (f"{step.queue:>5} ", DIM),
        (f"{milliseconds(step.queued_s):>9}  ", PLAIN),
    ]
    if step.kind == "compute":
        line += [(f"{step.note:<14}", PLAIN), (f"{milliseconds(step.duration_s):>9}", PLAIN)]
    else:
        role = rank_role(step.target) if step.target is not None else PLAIN
        line.append((f"{step.note:<23}", role))
    if beside:
        return [[*padded(line, STEP_WIDTH), (step.reason, DIM)]]
    indent = " " * 13
    first, *rest = textwrap.wrap(step.reason, max(20, width - len(indent) - 2)) or [""]
    below: list[Line] = [[(indent + "  ", PLAIN), (part, DIM)] for part in rest]
    return [line, [(indent + "└ ", FAINT), (first, DIM)], *below]
