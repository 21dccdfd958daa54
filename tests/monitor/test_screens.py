"""Whole screens at fixed sizes, as text that a reviewer can read.

``MDIBENCH_GOLDEN=write pytest tests/monitor/test_screens.py`` writes them anew.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from mdibench.monitor.app.app import MonitorApp
from mdibench.monitor.app.paint.drawing import ASCII, Options
from tests.monitor.support import LiveRun, Time, monitor, ready, screen_text, shows, start
from tests.monitor.synthetic import Synthetic

GOLDEN = Path(__file__).parent / "golden"
SIZES = [(80, 24), (120, 36), (200, 60), (60, 16), (44, 12), (20, 5)]


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    run = start(tmp_path_factory.mktemp("four"), Synthetic(ranks=4, rate=56, service_s=0.012))
    run.until(8.7)
    return run


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    synthetic = Synthetic(ranks=64, rate=120, service_s=0.007, duration_s=1.2, warmup_s=0.3)
    run = start(tmp_path_factory.mktemp("many"), synthetic)
    run.until(1.3)
    return run


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    synthetic = Synthetic(ranks=2, rate=40, drop_every=9, scheme="ddi", mode="fixed-rate")
    run = start(tmp_path_factory.mktemp("two"), synthetic)
    run.until(9.1)
    return run


def check(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("MDIBENCH_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


async def check_sizes(name: str, app: MonitorApp, pilot: Any, sizes: list[tuple[int, int]]) -> None:
    """One app at one size after the other: what resizing must do, too."""
    for width, height in sizes:
        await pilot.resize_terminal(width, height)
        await pilot.pause()
        text = screen_text(app)
        assert all(len(line) <= width for line in text.splitlines())
        check(f"{name}-{width}x{height}", text)


@pytest.mark.slow
async def test_overview_at_every_size(four: LiveRun) -> None:
    app = monitor(four.folder, Time())
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(app, pilot)
        await check_sizes("overview", app, pilot, SIZES)


@pytest.mark.slow
async def test_each_panel_alone(four: LiveRun) -> None:
    app = monitor(four.folder, Time())
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(app, pilot)
        for key in "123456":
            await pilot.press(key)
            await pilot.pause()
            check(f"panel-{key}-100x30", screen_text(app))
        await pilot.press("3")
        await check_sizes("panel-3", app, pilot, [(80, 24)])


@pytest.mark.slow
async def test_what_lies_over_the_panels(four: LiveRun) -> None:
    app = monitor(four.folder, Time())
    async with app.run_test(size=(110, 36)) as pilot:
        await ready(app, pilot)
        over = (("story", "i", "scheduled"), ("help", "question_mark", "taking away"),
                ("end-run", "e", "End this run"))  # fmt: skip
        for name, key, words in over:
            await pilot.press(key)
            await shows(pilot, words)
            check(f"{name}-110x36", screen_text(app))
            await pilot.press("escape")


@pytest.mark.slow
async def test_sixty_four_ranks(many: LiveRun) -> None:
    app = monitor(many.folder, Time())
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await check_sizes("many", app, pilot, [(80, 24), (200, 60)])


@pytest.mark.slow
async def test_two_ranks_without_unicode(two: LiveRun) -> None:
    app = monitor(two.folder, Time(), options=Options(glyphs=ASCII))
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        check("two-ascii-120x36", screen_text(app))
