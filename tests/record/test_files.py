"""A file is written whole or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mdibench.record.files import (
    cache_folder,
    draft_of,
    one_at_a_time,
    write_cached,
    write_text_whole,
    write_whole,
)


def test_a_file_appears_with_its_folder_and_without_a_draft(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_text_whole(path, "𝜏\n")
    assert path.read_text(encoding="utf-8") == "𝜏\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")

    def half(draft: Path) -> None:
        draft.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_draft_takes_no_name_of_a_users_file(tmp_path: Path) -> None:
    draft = draft_of(tmp_path / "w.safetensors")
    assert draft.parent == tmp_path
    assert draft.name.startswith(".w.safetensors.")
    assert draft.suffix == ".draft"


def test_the_cache_is_where_the_user_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mdibench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "mdibench"


def test_what_many_want_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path, made = cache_folder() / "scores" / "answers", []

    def want(number: int) -> None:
        with one_at_a_time(path):
            if not path.exists():
                made.append(number)
                write_cached(path, lambda draft: draft.write_text("yes"))

    with ThreadPoolExecutor(8) as several:
        list(several.map(want, range(8)))
    assert len(made) == 1


def test_without_a_cache_each_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mdibench").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with one_at_a_time(cache_folder() / "scores" / "answers"):
        pass
