"""The documents keep pace: the example of docs/analysis.md runs, docs/files.md has every column.

After a change of the schema: ``python tests/test_docs.py`` rewrites docs/files.md.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest

from mdibench.analysis.frames import RUN_COLUMNS
from mdibench.core.rows import ROWS
from mdibench.record import schema

DOCS = Path(__file__).parents[1] / "docs"
MARK = "<!-- tables: made by tests/test_docs.py -->"


def tables() -> str:
    """Every table of the run files, as Markdown."""
    lines = []
    for table, columns in schema.TABLES.items():
        lines += [f"### {table}", "", str(ROWS[table].__doc__), ""]
        lines += _rows(
            [(c.name, f"{c.type} or null" if c.nullable else c.type, c.meaning) for c in columns]
        )
    lines += ["### runs", "", "Only as a frame of `mdibench.load`: one row per run.", ""]
    lines += _rows([(name, kind, text) for name, (kind, text) in RUN_COLUMNS.items()])
    return "\n".join(lines)


def _rows(rows: list[tuple[str, str, str]]) -> list[str]:
    cells = [
        f"| `{name}` | {kind} | {text.replace('|', chr(92) + '|')} |" for name, kind, text in rows
    ]
    return ["| column | type | meaning |", "| --- | --- | --- |", *cells, ""]


def test_files_md_has_every_column() -> None:
    assert (DOCS / "files.md").read_text(encoding="utf-8").partition(MARK)[
        2
    ].strip() == tables().strip()


@pytest.mark.slow
def test_the_example_of_analysis_md_runs(
    run_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run_set, tmp_path / "results" / "example")
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    text = (DOCS / "analysis.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/analysis.md", "exec"), names)
    assert (tmp_path / "queues.png").stat().st_size > 5000


def main() -> None:
    path = DOCS / "files.md"
    before = path.read_text(encoding="utf-8").partition(MARK)[0]
    path.write_text(f"{before}{MARK}\n\n{tables().strip()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()


def test_messages_of_the_troubleshooting_page_exist() -> None:
    package = Path(__file__).parents[1] / "mdibench"
    sources = " ".join(path.read_text("utf-8") for path in sorted(package.rglob("*.py")))
    sources = re.sub(r"""["']\s+f?["']""", "", re.sub(r"\{[^{}]*\}", "…", sources))
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    firsts = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    messages = [text for cell in firsts for text in re.findall(r"`([^`]+)`", cell)]
    assert len(messages) > 50
    parts = [part.strip() for text in messages for part in text.split("…")]
    assert [part for part in parts if len(part) > 3 and part not in sources] == []
