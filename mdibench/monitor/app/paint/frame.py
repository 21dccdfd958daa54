"""Above and below the panels: the heading with the run's state, and the time line."""

from __future__ import annotations

from mdibench.analysis.formatting import accuracy, clock, count, milliseconds, rate
from mdibench.monitor.app.paint.drawing import (
    ACCENT,
    BAD,
    DIM,
    FAINT,
    GOOD,
    PLAIN,
    STRONG,
    WARN,
    Glyphs,
    Line,
    Options,
    cut,
    ellipsis,
    joined,
    justified,
    padded,
    width_of,
)
from mdibench.monitor.snapshot import Snapshot

STATE_ROLES = {
    "starting": DIM, "warm-up": ACCENT, "running": ACCENT, "draining": ACCENT,
    "complete": GOOD, "aborted": BAD, "failed": BAD, "stalled": BAD,
}  # fmt: skip


def state(snapshot: Snapshot, glyphs: Glyphs) -> Line:
    """The state's glyph and word."""
    word = snapshot.state.word
    return [(f"{glyphs.states[word]} {word}", STATE_ROLES[word])]


def heading(snapshot: Snapshot, width: int, options: Options) -> Line:
    """One line: the run's name and setting, its state, and its progress."""
    facts = snapshot.facts
    right: Line = [*_watching(snapshot, options), *state(snapshot, options.glyphs)]
    reason = snapshot.state.reason
    if reason and not snapshot.state.healthy and width >= 70:
        right.append((f" · {ellipsis(reason, width // 3)}", BAD))
    right += [("   ", PLAIN), *_progress(snapshot), (" ", PLAIN)]
    if width_of(right) + 12 > width:
        right = [*state(snapshot, options.glyphs), (" ", PLAIN)]
    room = max(0, width - width_of(right) - 3)
    left: Line = [(" mdibench", STRONG), ("  ", PLAIN), (facts.name, PLAIN)]
    if width_of(left) + 4 < room and facts.setting:
        left.append((ellipsis(f" · {facts.setting}", room - width_of(left)), DIM))
    return justified(cut(left, room + 1), right, width)


def _watching(snapshot: Snapshot, options: Options) -> Line:
    """Paused or replaying; empty while the newest moment is followed."""
    glyphs = options.glyphs.states
    if options.paused:
        return [(f"{glyphs['paused']} paused", WARN), ("   ", PLAIN)]
    if not options.following:
        return [(f"{glyphs['replay']} replay {options.speed:g}×", WARN), ("   ", PLAIN)]
    return []


def _progress(snapshot: Snapshot) -> Line:
    planned_s = snapshot.facts.planned_s
    now = clock(snapshot.t_s)
    if snapshot.over:
        return [(now, PLAIN), (" / ", DIM), (clock(snapshot.end_s), DIM)]
    if planned_s is None:
        return [(now, PLAIN)]
    return [(now, PLAIN), (" / ", DIM), (clock(planned_s), DIM)]


def beginning_heading(name: str, stage: str, passed_s: float, width: int, glyphs: Glyphs) -> Line:
    """The heading while a launched run has no folder yet: its config, and what it does."""
    right: Line = [(f"{glyphs.states['starting']} {ellipsis(stage, max(8, width // 2))}", DIM)]
    passed: Line = [("   ", PLAIN), (clock(passed_s), PLAIN)]
    left: Line = [(" mdibench", STRONG), ("  ", PLAIN), (name, PLAIN)]
    if width_of(left) + width_of(right) + width_of(passed) + 3 <= width:
        right += passed
    right.append((" ", PLAIN))
    return justified(cut(left, max(0, width - width_of(right) - 2)), right, width)


def beginning_timeline(done: float, width: int, glyphs: Glyphs) -> Line:
    """A bar of how far the beginning has come, from 0 to 1."""
    full, empty = ("=", "-") if glyphs.name == "ascii" else ("━", "─")
    room = max(0, width - 2)
    filled = round(done * room)
    return [(" ", PLAIN), (full * filled, ACCENT), (empty * (room - filled), FAINT)]


def timeline(snapshot: Snapshot, width: int, options: Options) -> Line:
    """The run from start to end: the moment shown, phases, and marks of notable events."""
    times = f" {snapshot.t_s:.1f} s" if options.replay or not options.following else ""
    whole_s = _length_s(snapshot)
    room = width - 2 - len(times)
    if room < 10:
        return [(times, DIM)]
    place = min(room - 1, int(snapshot.t_s / whole_s * room)) if whole_s > 0 else 0
    cells = [("━" if at <= place else "─", ACCENT if at <= place else FAINT) for at in range(room)]
    if options.glyphs.name == "ascii":
        cells = [("=" if at <= place else "-", role) for at, (_, role) in enumerate(cells)]
    for mark in snapshot.marks:
        at = min(room - 1, max(0, int(mark.t_s / whole_s * room))) if whole_s > 0 else 0
        drawn = _MARKS.get(mark.kind)
        if drawn and _RANKING.index(cells[at][1]) < _RANKING.index(drawn[1]):
            cells[at] = drawn
    cells[place] = ("●" if options.glyphs.name != "ascii" else "O", STRONG)
    return padded(joined([(" ", PLAIN), *cells, (times, PLAIN)]), width)


_MARKS = {"phase": ("┿", WARN), "trouble": ("▲", BAD), "loss": ("×", BAD)}
_RANKING = (FAINT, ACCENT, WARN, BAD)


def _length_s(snapshot: Snapshot) -> float:
    """The length of the time line: planned, or actual where the run took longer or has ended."""
    planned_s = snapshot.facts.planned_s
    if snapshot.over or planned_s is None:
        return snapshot.end_s
    return max(planned_s, snapshot.end_s)


# --- footer ---------------------------------------------------------------------------------------

FooterKey = tuple[str, str, str]
"""A key as a person names it, what it does now, and the action behind it."""


def footer_keys(snapshot: Snapshot | None, options: Options) -> list[FooterKey]:
    """What is possible now, the most important first."""
    if options.filtering:
        return [("Enter", "keep the filter", "filter_done"), ("Esc", "clear it", "back")]
    over = snapshot is not None and snapshot.over
    goes = not options.paused and not (over and options.following)
    verb = "pause" if goes else "play" if over else "go on"
    keys = [("?", "help", "help"), ("q", "quit", "leave"), ("space", verb, "pause")]
    if over or not options.following:
        keys += [("← →", "step", "seek(1)"), ("Home End", "seek", "to_start")]
        keys += [("[ ]", f"speed {options.speed:g}×", "speed(1)")]
    if not over:
        keys += [("e", "end run", "end_run")]
    return [
        *keys,
        ("1-6", "panels", "panel('ranks')"),
        ("c", "chart", "chart(1)"),
        ("/", "filter", "filter"),
        ("s", "sort", "sort(1)"),
        ("i", "item", "story"),
        ("x", "export", "export"),
        ("p", "picture", "picture"),
        ("^p", "palette", "command_palette"),
    ]


def footer(snapshot: Snapshot, width: int, options: Options) -> Line:
    """The keys of this moment in one line, as many as fit."""
    return keys_line(footer_keys(snapshot, options), width)


def keys_line(keys: list[FooterKey], width: int) -> Line:
    """``keys`` in one line, as many as fit."""
    line: Line = []
    for place, (key, label, _) in enumerate(keys):
        more = 2 if place < len(keys) - 1 else 0
        if width_of(line) + len(key) + len(label) + 3 + more > width:
            return padded([*line, (" …", DIM)], width)
        line += [(f" {key}", ACCENT), (f" {label} ", DIM)]
    return padded(line, width)


def footer_action(x: int, snapshot: Snapshot | None, options: Options) -> str | None:
    """The action under cell ``x`` of the footer."""
    end = 0
    for key, label, action in footer_keys(snapshot, options):
        end += len(key) + len(label) + 3
        if x < end:
            return action
    return None


def short_lines(snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
    """The run on a screen of a few cells: the most important figures first."""
    flow, p95_s = snapshot.flow, snapshot.recent_latency.p95
    lines: list[Line] = [
        state(snapshot, options.glyphs),
        [(rate(flow.completed_per_s), STRONG), (" /s", PLAIN)],
        [(accuracy(snapshot.quality.run), STRONG), (" right", PLAIN)],
        [("p95 ", DIM), (milliseconds(p95_s), PLAIN)],
        [("lost ", DIM), (count(flow.dropped + flow.lost), PLAIN)],
    ]
    if height == 1:
        return [cut([piece for line in lines for piece in [*line, (" ", PLAIN)]], width)]
    return [cut(line, width) for line in lines[:height]]
