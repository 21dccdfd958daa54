"""The reference of a config's keys: complete, valid, and the same in docs/config.md.

After a change of a key: ``python tests/cli/test_keys.py`` rewrites docs/config.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
from click.testing import CliRunner

from mdibench.cli.keys import keys, reference, sections
from mdibench.config import schema
from mdibench.config.network_keys import ConfigSection
from mdibench.config.reading import parse_config, resolved
from mdibench.config.schema import RunConfig
from mdibench.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "config.md"
START, END = "```toml\n", "\n```\n"


def test_the_reference_is_the_default_config() -> None:
    assert resolved(parse_config(reference(), "keys")) == resolved(RunConfig())


def test_every_key_says_what_it_means() -> None:
    tables = [
        t for t in vars(schema).values() if isinstance(t, type) and issubclass(t, ConfigSection)
    ]
    silent = [
        f"{table.__name__}.{key}"
        for table in tables
        if table is not RunConfig
        for key, field in table.model_fields.items()
        if not field.description and key not in ("links", "devices")
    ]
    assert silent == []


def test_optional_tables_read_when_their_comments_are_taken_away() -> None:
    lines = reference("topology").splitlines()
    text = "\n".join(line.removeprefix("#") for line in lines if not line.startswith("# "))
    values = {"between =": "between = [0, 1]"}
    rows = [values.get(line, "" if line.endswith(" =") else line) for line in text.splitlines()]
    assert tomli.loads("\n".join(rows))["topology"]["links"] == [
        {"between": [0, 1], "one_way": False}
    ]


def test_one_table_alone() -> None:
    shown = CliRunner().invoke(keys, ["admission"]).output
    assert "[admission]" in shown and "[run]" not in shown
    assert shown.strip() == reference("admission")


def test_an_unknown_table_is_reported_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r'"admission"\?'):
        CliRunner().invoke(keys, ["admision"], catch_exceptions=False)


def test_the_page_says_the_same() -> None:
    assert PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0] == reference()
    assert all(f"[{name}]" in reference() or f"[[{name}]]" in reference() for name in sections())


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(before + START + reference() + END + rest.partition(END)[2], encoding="utf-8")
