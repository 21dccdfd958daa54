"""The HTML report in a browser: no request, no error, complete content."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mdibench.cli.report import report
from mdibench.report.report import SECTIONS
from tests.report.browser import chromium, visit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def page(run_set: Path, partial_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    result = CliRunner().invoke(report, [str(run_set), str(partial_run), "--html", str(path)])
    assert result.exit_code == 0, result.output
    return path


def test_the_page_asks_for_nothing_and_has_every_section(page: Path) -> None:
    seen = visit(page)
    assert seen.requests == []
    assert seen.console == []
    assert seen.document.count("<section id=") == len(SECTIONS) == 12
    assert seen.document.count("<svg role=") == seen.document.count("<figure ") >= 8
    assert "Why is two slower than one?" in seen.document


def test_this_would_notice_requests_and_errors(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<script>console.error("boom")</script><img src="http://example.com/a.png">'
        '<meta http-equiv="Content-Security-Policy" content="img-src data:">'
    )
    seen = visit(bad)
    assert any("boom" in line for line in seen.console)
    assert seen.requests == ["http://example.com/a.png"]
