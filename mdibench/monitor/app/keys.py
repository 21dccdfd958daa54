"""Every key of the monitor, with its text in the help and in the footer."""

from __future__ import annotations

from textual.binding import Binding

BINDINGS: list[Binding] = [
    Binding("question_mark,h,f1", "help", "help", key_display="?", id="help"),
    Binding("q", "leave", "quit", id="leave"),
    Binding("space", "pause", "pause", key_display="space", id="pause"),
    Binding("1", "panel('ranks')", "panels", key_display="1-6", id="panel-ranks"),
    Binding("2", "panel('exits')", "exits", show=False, id="panel-exits"),
    Binding("3", "panel('charts')", "charts", show=False, id="panel-charts"),
    Binding("4", "panel('links')", "links", show=False, id="panel-links"),
    Binding("5", "panel('topology')", "topology", show=False, id="panel-topology"),
    Binding("6", "panel('events')", "events", show=False, id="panel-events"),
    Binding("0", "panel('')", "overview", show=False, id="overview"),
    Binding("c", "chart(1)", "chart", id="chart-next"),
    Binding("C", "chart(-1)", "previous chart", show=False, id="chart-previous"),
    Binding("slash", "filter", "filter", key_display="/", id="filter"),
    Binding("s", "sort(1)", "sort", id="sort-next"),
    Binding("S", "sort(0)", "reverse the order", show=False, id="sort-reverse"),
    Binding("i,enter", "story", "item", key_display="i", id="story"),
    Binding("x", "export", "export", id="export"),
    Binding("p", "picture", "picture", id="picture"),
    Binding("f12", "picture", "picture", show=False, priority=True, id="picture-anywhere"),
    Binding("t", "theme", "theme", id="theme"),
    Binding("e", "end_run", "end run", id="end-run"),
    Binding("less_than_sign,up,k", "rank(-1)", "previous rank", show=False, id="rank-previous"),
    Binding("greater_than_sign,down,j", "rank(1)", "next rank", show=False, id="rank-next"),
    Binding("g", "rank(-1000000)", "first rank", show=False, id="rank-first"),
    Binding("G", "rank(1000000)", "last rank", show=False, id="rank-last"),
    Binding("pageup", "scroll(-10)", "scroll up", show=False, id="scroll-up"),
    Binding("pagedown", "scroll(10)", "scroll down", show=False, id="scroll-down"),
    Binding("m", "maximise", "maximise", show=False, id="maximise"),
    Binding("l", "log", "logarithmic axis", show=False, id="log"),
    Binding("w", "span", "how much of the past", show=False, id="span"),
    Binding("plus,equals_sign", "pace(1)", "refresh faster", show=False, id="pace-up"),
    Binding("minus", "pace(-1)", "refresh slower", show=False, id="pace-down"),
    Binding("left", "seek(-1)", "earlier", show=False, id="seek-back"),
    Binding("right", "seek(1)", "later", show=False, id="seek-on"),
    Binding("shift+left", "seek(-10)", "much earlier", show=False, id="seek-far-back"),
    Binding("shift+right", "seek(10)", "much later", show=False, id="seek-far-on"),
    Binding("left_square_bracket", "speed(-1)", "slower", show=False, id="speed-down"),
    Binding("right_square_bracket", "speed(1)", "faster", show=False, id="speed-up"),
    Binding("home", "to_start", "to the start", show=False, id="to-start"),
    Binding("end", "to_end", "to the newest moment", show=False, id="to-end"),
    Binding("escape", "back", "back", show=False, id="back"),
    Binding("ctrl+c", "leave", "quit", show=False, priority=True, id="interrupt"),
]

WORDS: dict[str, str] = {
    "help": "Show all keys",
    "leave": "Leave the monitor",
    "pause": "Pause, go on, or play a finished run",
    "panel-ranks": "Show the ranks alone",
    "panel-exits": "Show the exits alone",
    "panel-charts": "Show the charts alone",
    "panel-links": "Show who sends to whom alone",
    "panel-topology": "Show the topology alone",
    "panel-events": "Show the events alone",
    "overview": "Show the overview",
    "chart-next": "Show the next chart",
    "chart-previous": "Show the previous chart",
    "filter": "Filter ranks and events",
    "sort-next": "Sort the ranks by the next column",
    "sort-reverse": "Reverse the order of the ranks",
    "story": "Tell the story of an item",
    "export": "Export the tables of this moment as CSV",
    "picture": "Save the screen as an SVG picture",
    "theme": "Take the next theme",
    "end-run": "End the run: it drains and writes its files",
    "rank-previous": "Select the previous rank",
    "rank-next": "Select the next rank",
    "rank-first": "Select the first rank",
    "rank-last": "Select the last rank",
    "scroll-up": "Scroll the panel up",
    "scroll-down": "Scroll the panel down",
    "maximise": "Let the panel in focus fill the screen",
    "log": "Draw latency on a logarithmic axis, or a linear one",
    "span": "Chart the whole run, its last minute or its last ten seconds",
    "pace-up": "Refresh more often",
    "pace-down": "Refresh less often",
    "seek-back": "Step back by a hundredth of the run",
    "seek-on": "Step on by a hundredth of the run",
    "seek-far-back": "Step back by a tenth of the run",
    "seek-far-on": "Step on by a tenth of the run",
    "speed-down": "Play slower",
    "speed-up": "Play faster",
    "to-start": "Go to the start of the run",
    "to-end": "Go to the newest moment",
}
"""What each binding does, for the command palette; by its id."""
_KEY_NAMES = {
    "question_mark": "?", "slash": "/", "less_than_sign": "<", "greater_than_sign": ">",
    "plus": "+", "equals_sign": "=", "minus": "-", "left": "←", "right": "→", "up": "↑",
    "down": "↓", "left_square_bracket": "[", "right_square_bracket": "]", "home": "Home",
    "end": "End", "pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc", "space": "Space",
    "enter": "Enter", "f1": "F1", "f12": "F12", "shift": "Shift", "ctrl": "Ctrl",
}  # fmt: skip


def named_key(binding: Binding) -> str:
    """The first key of a binding as a person names it: ``Shift+←``, ``?``, ``PgUp``."""
    parts = binding.key.split(",")[0].split("+")
    return "+".join(_KEY_NAMES.get(part, part) for part in parts)


HELP: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "looking",
        (
            ("1 … 6", "one panel alone; again, 0 or Esc: the overview"),
            ("c  C", "next, previous chart"),
            ("m", "the panel in focus (Tab) fills the screen"),
            ("w", "charts: whole run, last minute, last ten seconds"),
            ("l", "logarithmic latency axis"),
            ("t", "next theme; mdi-safe is for any colour vision"),
            ("+  -", "refresh more, less often"),
            ("k M G", "after a figure: thousand, million, billion"),
        ),
    ),
    (
        "ranks and items",
        (
            ("<  >  ↑  ↓", "select a rank; g, G: the first, the last"),
            ("s  S", "sort by the next column, reverse (or click)"),
            ("/", "filter by an expression; !text: all others"),
            ("i", "the story of an item: its way, and why"),
        ),
    ),
    (
        "time",
        (
            ("space", "pause: nothing moves; again: go on, or play"),
            ("←  →", "earlier, later; with shift ten times as far"),
            ("[  ]", "play slower, faster"),
            ("Home  End", "to the start, to the newest moment"),
        ),
    ),
    (
        "taking away",
        (
            ("x", "the tables as CSV into the run's folder"),
            ("p  F12", "the screen as SVG; F12 over a dialog too"),
            ("e", "end a live run: asks, then drains cleanly"),
            ("q", "leave; a live run goes on"),
            ("Ctrl+P", "all commands by name"),
        ),
    ),
)
