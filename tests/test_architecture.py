"""docs/architecture.md keeps pace with the code: rooms, files, and the tables of transitions.

After a change of the tables: ``python tests/test_architecture.py`` rewrites their diagrams.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest

from mdibench.core import events, transitions
from mdibench.core.node import TO_SOURCE
from mdibench.core.pressure_worker import PressureWorker
from mdibench.core.worker import Worker
from mdibench.core.worker_base import REACTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = DOCS / "architecture.md"
BEGIN = "<!-- transitions: made by tests/test_architecture.py -->"
END = "<!-- end of transitions -->"
ROOMS_BEGIN, ROOMS_END = "## The rooms", "## A walk"
LOOSE = {"__init__", "__main__", "compiled", "errors"}
"""Modules outside any room."""

# --- the tables as Markdown ----------------------------------------------------------------------


def transitions_text() -> str:
    """Events, instructions and the three state diagrams."""
    task_moves = [(move.before, move.after, move.cause) for move in transitions.TASK_MOVES]
    parts = [
        "### Events and instructions",
        *_table("event", ["for", "meaning"], [_event(kind) for kind in get_args(events.Event)]),
        *_table(
            "instruction",
            ["meaning"],
            [(kind.__name__, _meaning(kind)) for kind in get_args(events.Instruction)],
        ),
        "### A task on one worker",
        *_diagram(task_moves, start="elsewhere", ends={"exited", "sent", "cancelled"}),
        "### An item at the source",
        *_diagram(_moves(transitions.ITEM_MOVES), start="new", ends={"ok", "dropped", "lost"}),
        "### The phases of a run",
        *_diagram(_moves(transitions.PHASE_MOVES), start="", ends={"ended"}),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip()


def _event(kind: type[Any]) -> tuple[str, str, str]:
    """An event with the machine that the tables dispatch it to."""
    machine = "the source" if kind in TO_SOURCE else "the worker"
    return kind.__name__, "both" if kind is events.Tick else machine, _meaning(kind)


def _meaning(kind: type[Any]) -> str:
    """The first paragraph of its docstring."""
    paragraph = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    return paragraph.replace("\n", " ").replace("``", "`")


def _table(first: str, others: list[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    names = [first, *others]
    cells = [f"| `{name}` | {' | '.join(rest)} |" for name, *rest in rows]
    return ["", f"| {' | '.join(names)} |", "| --- " * len(names) + "|", *cells, ""]


def _moves(table: transitions.Moves) -> list[tuple[str, str, str]]:
    return [(before, after, cause) for (before, after), cause in table.items()]


def _diagram(moves: list[tuple[str, str, str]], start: str, ends: set[str]) -> list[str]:
    """A Mermaid state diagram; ``start`` is drawn as the initial dot."""
    states = dict.fromkeys(state for move in moves for state in move[:2] if state != start)
    lines = [f'    state "{state}" as {_id(state)}' for state in states if _id(state) != state]
    if not start:
        lines.append(f"    [*] --> {_id(next(iter(states)))}")
    for before, after, cause in moves:
        origin = "[*]" if before == start else _id(before)
        assert not set(cause) & set(":;"), f"Mermaid ends a label there: {cause}"
        lines.append(f"    {origin} --> {_id(after)}: {cause}")
    lines += [f"    {_id(state)} --> [*]" for state in states if state in ends]
    return ["", "```mermaid", "stateDiagram-v2", *lines, "```", ""]


def _id(state: str) -> str:
    return re.sub(r"\W", "_", state)


def test_the_page_has_the_transitions_of_the_code() -> None:
    between = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert between.strip() == transitions_text()


def test_every_event_is_handled_once() -> None:
    assert {*REACTIONS, *TO_SOURCE} == set(get_args(events.Event))
    assert not REACTIONS.keys() & TO_SOURCE.keys()
    assert Worker.reactions.keys() == PressureWorker.reactions.keys() == REACTIONS.keys()


@pytest.mark.parametrize(
    ("moves", "start", "ends"),
    [
        (
            [(move.before, move.after) for move in transitions.TASK_MOVES],
            "elsewhere",
            {"exited", "sent", "cancelled"},
        ),
        (transitions.ITEM_MOVES, "new", {"ok", "dropped", "lost"}),
        (transitions.PHASE_MOVES, "admitting", {"ended"}),
    ],
)
def test_every_state_is_reached_and_only_ends_are_final(
    moves: Iterable[tuple[str, str]], start: str, ends: set[str]
) -> None:
    left, reached = {before for before, _ in moves}, {after for _, after in moves}
    assert left - reached <= {start}
    assert reached - left == ends


# --- rooms ---------------------------------------------------------------------------------------


def layers() -> list[set[str]]:
    """The rooms of the import contract, one set per layer, from the top."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    (contract,) = [c for c in contracts if c["type"] == "layers"]
    return [set(re.split(r"\s*\|\s*", layer)) for layer in contract["layers"]]


def test_the_page_lists_the_rooms_in_the_order_of_the_import_contract() -> None:
    table = PAGE.read_text(encoding="utf-8").partition(ROOMS_BEGIN)[2].partition(ROOMS_END)[0]
    listed = [
        set(re.findall(r"`(\w+)/?`", cell))
        for cell in re.findall(r"^\| ([^|]*`[^|]*) \|", table, re.M)
    ]
    assert listed == layers()


def test_the_contract_names_every_room_and_no_module_is_loose() -> None:
    package = ROOT / "mdibench"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folders == set().union(*layers()) - LOOSE
    assert {path.stem for path in package.glob("*.py")} == LOOSE
    for path in package.rglob("*.py"):
        assert (path.parent / "__init__.py").exists(), path


def test_every_room_says_what_it_is() -> None:
    for path in (ROOT / "mdibench").glob("*/__init__.py"):
        docstring = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
        assert len(docstring.split()) >= 25, path


@pytest.mark.parametrize(
    "page", [*sorted(DOCS.glob("*.md")), ROOT / "README.md"], ids=lambda p: p.name
)
def test_files_that_the_documents_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`(?:python )?([\w./-]+/[\w-]+\.py)\b", text):
        assert (ROOT / name).exists() or (ROOT / "mdibench" / name).exists(), f"{page.name}: {name}"


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{transitions_text()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
