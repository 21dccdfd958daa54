"""The HTML report in a browser: no request, no error, complete content, and no cut text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mdibench.cli.report import report
from mdibench.report.report import SECTIONS
from tests.report.browser import Page, chromium, driver, opened, visit
from tests.synthetic_runs import PAIR, write_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
]
driven = pytest.mark.skipif(driver() is None, reason="no chromedriver on this machine")
LONG = "a label of a cell that is rather long, 3-Node-Mesh, join-shortest-queue, T_e 0.85"


@pytest.fixture(scope="module")
def page(run_set: Path, partial_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_run(folder / "run", replace(PAIR, items=600, label=LONG, kind="hardware", ranks=3))
    path = folder / "report.html"
    runs = [str(run_set), str(partial_run), str(folder)]
    result = CliRunner().invoke(report, [*runs, "--html", str(path)])
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def shown(page: Path) -> Iterator[Page]:
    with opened(page) as found:
        yield found


def test_the_page_asks_for_nothing_and_has_every_section(page: Path) -> None:
    seen = visit(page)
    assert seen.requests == []
    assert seen.console == []
    assert seen.document.count("<section id=") == len(SECTIONS) == 12
    drawn, narrow = seen.document.count("<svg role="), seen.document.count('class="narrow"')
    assert drawn - narrow == seen.document.count("<figure ") >= 8
    assert narrow >= 6
    assert "Why is two slower than one?" in seen.document
    assert page.stat().st_size < 2e6 / 2  # eight runs: 2 MB are for sixteen


def test_this_would_notice_requests_and_errors(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<script>console.error("boom")</script><img src="http://example.com/a.png">'
        '<meta http-equiv="Content-Security-Policy" content="img-src data:">'
    )
    seen = visit(bad)
    assert any("boom" in line for line in seen.console)
    assert seen.requests == ["http://example.com/a.png"]


@driven
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_no_text_is_cut_on_a_screen(shown: Page, width: int, dark: bool) -> None:
    shown.show(width, dark=dark)
    assert shown.cut() == []
    paper, ink = shown.script(
        "return [getComputedStyle(document.body).backgroundColor, "
        "getComputedStyle(document.querySelector('svg.figure text')).fill]"
    )
    assert paper == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    assert ink == ("rgb(226, 229, 233)" if dark else "rgb(34, 34, 34)")


@driven
def test_a_narrow_screen_shows_figures_that_fit_and_can_be_read(shown: Page) -> None:
    shown.show(400)
    beyond, smallest = shown.script("""
        const all = [...document.querySelectorAll("svg.figure")].filter((e) => e.clientWidth);
        const beyond = all.filter((e) => e.clientWidth > document.documentElement.clientWidth);
        const size = (text) => parseFloat(getComputedStyle(text).fontSize);
        const sizes = all.map((svg) => svg.getScreenCTM().a * Math.min(
          ...[...svg.querySelectorAll("text")].map(size)));
        return [beyond.length, Math.min(...sizes)];
    """)
    assert beyond == 0
    assert smallest > 8


@driven
def test_a_table_that_goes_on_beyond_the_edge_says_so_until_its_end_is_seen(shown: Page) -> None:
    shown.show(400)
    box = """
        const boxes = [...document.querySelectorAll(".scroll")].filter((e) => e.clientWidth);
        const wide = boxes.filter((e) => e.scrollWidth > e.clientWidth + 2);
    """
    assert shown.script(f"{box} return wide.length > 0")
    assert shown.script(f"{box} return boxes.every((e) => "
                        "e.classList.contains('more') === wide.includes(e))")  # fmt: skip
    shown.script(f"{box} wide[0].scrollLeft = 1e6; wide[0].dispatchEvent(new Event('scroll'))")
    assert not shown.script(f"{box} return wide[0].classList.contains('more')")


@driven
def test_a_print_shows_all_without_scroll_bars(shown: Page) -> None:
    """1032 pixels are the width of A4 landscape without its margins."""
    shown.show(1032, media="print")
    shown.script("dispatchEvent(new Event('beforeprint'))")
    assert shown.script("return document.querySelectorAll('details:not([open])').length") == 0
    assert shown.cut(in_print=True) == []
    shown.script("dispatchEvent(new Event('afterprint'))")
    assert shown.pdf().startswith(b"%PDF")


@driven
def test_this_would_notice_cut_text(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    wide = "<div style='width: 50px; overflow: hidden; white-space: nowrap'>longer than that</div>"
    bad.write_text(
        f"{wide}<svg class='figure' width=50 height=20><text y=10>too long a text</text>"
    )
    with opened(bad) as found:
        found.show(400)
        assert len(found.cut()) == 2


@driven
def test_tables_sort_and_marks_tell_their_values(shown: Page) -> None:
    shown.show(1280)
    order = """
        const table = document.querySelector("#table-groups"), at = arguments[0];
        table.querySelectorAll("th button")[at].click();
        return [...table.tBodies[0].rows].map((row) => Number(row.cells[2].dataset.order));
    """
    up, down = shown.script(order, 2), shown.script(order, 2)
    assert up == sorted(up)
    assert down == sorted(up, reverse=True) != up
    told = shown.script(
        "const mark = document.querySelector('#figure-rates [data-tip]');"
        "const moved = new PointerEvent('pointermove', {bubbles: true});"
        "mark.querySelector('path').dispatchEvent(moved);"
        "return document.getElementById('tip').textContent"
    )
    assert " /s" in told
    first = shown.script(
        "const cell = document.querySelector('#table-groups td');"
        "return [getComputedStyle(cell).position, getComputedStyle(cell).left]"
    )
    assert first == ["sticky", "0px"]
