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
