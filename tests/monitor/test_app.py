"""Keys and mouse, and events of the run while it is shown."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from mdibench.monitor.app.app import MonitorApp
from mdibench.monitor.app.dialogs import Help
from mdibench.monitor.app.keys import BINDINGS, WORDS
from mdibench.monitor.app.pane import Pane
from mdibench.record import run_folder
from tests.monitor.support import LiveRun, Time, again, monitor, ready, screen_text, shows, start
from tests.monitor.synthetic import Synthetic

pytestmark = pytest.mark.slow
SHORT = Synthetic(ranks=4, rate=40, duration_s=6.0, warmup_s=1.0, service_s=0.01)


@pytest.fixture
def run(tmp_path: Path) -> LiveRun:
    live = start(tmp_path, SHORT)
    live.until(4.0)
    return live


def pane(app: object, name: str) -> str:
    return app.query_one(f"#{name}", Pane).text  # type: ignore[attr-defined, no-any-return]


async def test_a_run_that_ends_while_it_is_shown(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        assert "● running" in pane(app, "heading")
        run.until(5.0)
        await again(app, pilot)
        assert app.snapshot.t_s == pytest.approx(5.0)
        run.finish()
        await again(app, pilot)
        assert "✓ complete" in pane(app, "heading")
        await pilot.press("q")
    assert app.return_value is not None
    assert app.return_value.over


async def test_a_finished_run_without_input_is_drawn_once(
    run: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.finish()
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await again(app, pilot)
        drawn: list[object] = []
        render_lines = Widget.render_lines

        def counted(self: Widget, crop: Region) -> list[Strip]:
            drawn.append(self)
            return render_lines(self, crop)

        monkeypatch.setattr(Widget, "render_lines", counted)
        for _ in range(3):
            await again(app, pilot)
        assert drawn == []
        await pilot.press("c")
        assert drawn


@dataclass
class Launched:
    """A run that was launched and has no folder yet."""

    name: str = "fixed_acc"
    ranks: int = 4
    folder: Path | None = None
    stage: str = "loading digits-cnn and digits"
    done: float = 0.25
    over: bool = False


@pytest.mark.parametrize("width", [50, 80, 120, 200])
async def test_a_launched_run_is_shown_before_it_has_a_folder(run: LiveRun, width: int) -> None:
    run.finish()
    launched = Launched()
    app = MonitorApp(launched, pace_s=3600.0)
    async with app.run_test(size=(width, 36)) as pilot:
        await shows(pilot, "○ loading digits-cnn and d")
        assert pane(app, "timeline").count("━") == round((width - 2) / 4)
        await pilot.press("space", "end", "slash", "w", "i", "x", "e")  # nothing to act on yet
        assert screen_text(app).splitlines()[-1].strip().startswith("? help  q quit")
        launched.folder = run.folder
        await shows(pilot, "✓ complete")
        await pilot.press("q")
    assert app.return_value is not None
    app.close_feed()


async def test_a_launched_run_that_ends_without_a_folder_closes_the_screen() -> None:
    launched = Launched()
    app = MonitorApp(launched)
    async with app.run_test() as pilot:
        await shows(pilot, "○ loading")
        launched.over = True
        for _ in range(400):
            if app._exit:
                break
            await pilot.pause(0.01)
    assert app._exit
    assert app.return_value is None


async def test_a_run_that_dies(run: LiveRun) -> None:
    path = run.folder / run_folder.MANIFEST
    time = Time()
    app = monitor(run.folder, time)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        time.now_s += 3.5
        await again(app, pilot)
        assert "▲ stalled · no report for 4 s" in pane(app, "heading")
        assert "▲" in pane(app, "ranks")
        manifest = json.loads(path.read_text()) | {"status": "aborted", "reason": "rank 2 died"}
        path.write_text(json.dumps(manifest))
        time.now_s += 1.0
        await again(app, pilot)
        assert "✗ aborted · rank 2 died" in pane(app, "heading")


async def test_pause_freezes_everything_but_the_state(run: LiveRun) -> None:
    time = Time()
    app = monitor(run.folder, time)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await pilot.press("space")
        before = {each.id: each.text for each in app.query(Pane) if each.id != "timeline"}
        run.until(5.5)
        time.now_s += 1.5
        await again(app, pilot)
        after = {each.id: each.text for each in app.query(Pane) if each.id != "timeline"}
        assert after == before
        assert "‖ paused" in pane(app, "heading")
        await pilot.press("end")
        assert app.snapshot.t_s == pytest.approx(5.5)


async def test_replay_seeks_plays_and_stops(run: LiveRun) -> None:
    run.finish()
    time = Time()
    app = monitor(run.folder, time)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        end_s = app.snapshot.end_s
        await pilot.press("home")
        assert app.snapshot.t_s == 0.0
        await pilot.press("shift+right", "right")
        assert app.snapshot.t_s == pytest.approx(11 * max(0.2, end_s / 100))
        await pilot.press("home", "right_square_bracket")
        time.now_s += 1.5
        await again(app, pilot)
        assert app.snapshot.t_s == pytest.approx(3.0)
        assert "replay 2×" in pane(app, "heading")
        time.now_s += 100.0
        await again(app, pilot)
        assert app.snapshot.t_s == end_s
        await pilot.press("space")
        assert app.snapshot.t_s == 0.0


async def test_keys_choose_what_is_shown(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await pilot.press("c")
        assert app.options.chart == "rate"
        await pilot.press("C", "C")
        assert app.options.chart == "control"
        await pilot.press("l", "w")
        assert app.options.log
        assert app.request.span_s == 60.0
        await pilot.press("5")
        assert app.alone == "topology"
        await pilot.press("escape", "escape")
        assert app.alone is None
        await pilot.press("tab", "m")
        assert (app.bare, app.alone) == (True, "ranks")
        await pilot.press("m")
        assert (app.bare, app.alone) == (False, None)
        await pilot.press("plus")
        assert app.pace_s == 1.0


async def test_ranks_are_selected_sorted_and_filtered(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await pilot.press("greater_than_sign", "down")
        assert pane(app, "ranks").splitlines()[3].startswith("▸2")
        await pilot.press("s", "s")
        assert app.options.sort == "device"
        await pilot.press("S")
        first = [line[1] for line in pane(app, "ranks").splitlines()[1:5]]
        assert first == ["0", "1", "2", "3"]
        await pilot.press("slash", *"node-b", "enter")
        assert len(pane(app, "ranks").splitlines()) == 2
        await pilot.press("escape", "slash", *"!node-b", "enter")
        assert "node-b" not in pane(app, "ranks")
        assert len(pane(app, "ranks").splitlines()) == 4
        await pilot.press("escape")
        assert len(pane(app, "ranks").splitlines()) == 5


async def test_the_mouse_sorts_selects_and_scrolls(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        busy = pane(app, "ranks").splitlines()[0].index("busy") + 1
        await pilot.click("#ranks", offset=(busy + 1, 1))
        assert (app.options.sort, app.options.reverse) == ("busy", True)
        await pilot.click("#ranks", offset=(busy + 1, 1))
        assert not app.options.reverse
        await pilot.click("#ranks", offset=(5, 2))
        assert app.options.selected != 0


async def test_the_story_of_an_item(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await pilot.press("i")
        slowest = app.snapshot.slowest
        await shows(pilot, f"item {slowest[0]}")
        await pilot.press("down")
        await shows(pilot, f"item {slowest[1]}")
        await pilot.press(*"17", "enter")
        await shows(pilot, "item 17 ")
        await pilot.press(*"99999", "enter")
        await shows(pilot, "no steps were recorded")
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


async def test_export_and_picture_go_into_the_run_folder(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await pilot.press("x", "p", "p")
        names = sorted(path.name for path in (run.folder / "monitor").iterdir())
        assert names == [
            "00004.00s-1.svg", "00004.00s-2.svg", "00004.00s-events.csv", "00004.00s-exits.csv",
            "00004.00s-history.csv", "00004.00s-links.csv", "00004.00s-ranks.csv",
        ]  # fmt: skip
        ranks = (run.folder / "monitor" / "00004.00s-ranks.csv").read_text().splitlines()
        assert len(ranks) == 5
        assert ranks[0].startswith("rank,host,device,blocks,age_s,input_queue")
        svg = (run.folder / "monitor" / "00004.00s-1.svg").read_text()
        assert "<svg" in svg
        assert "font-family: 'Fira Code', 'DejaVu Sans Mono'" in svg
        assert "@font-face" not in svg  # nothing from elsewhere


async def test_ending_a_run_asks_first(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await pilot.press("e", "n")
        assert not (run.folder / "stop").exists()
        await pilot.press("e", "y")
        assert (run.folder / "stop").exists()


async def test_leaving_never_touches_the_run(run: LiveRun) -> None:
    before = sorted(path.name for path in run.folder.iterdir())
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+c")
    assert sorted(path.name for path in run.folder.iterdir()) == before


async def test_a_stream_of_another_major_is_reported_on_the_screen(run: LiveRun) -> None:
    stream = run.folder / run_folder.STREAM
    stream.write_text(stream.read_text().replace('"schema": [1', '"schema": [2', 1))
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        assert "schema 2 cannot be read" in " ".join(screen_text(app).split())


async def test_every_theme_knows_every_role(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot)
        roles = set(app.styles_of_roles)
        seen = [app.theme]
        for _ in range(4):
            await pilot.press("t")
            seen.append(app.theme)
            assert set(app.styles_of_roles) == roles
        assert seen == ["mdi-dark", "mdi-light", "mdi-safe", "ansi-dark", "mdi-dark"]


async def test_without_colour_states_and_queues_can_still_be_read(
    run: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        assert app.theme == "ansi-dark"
        assert "● running" in pane(app, "heading")
        assert any(shade in pane(app, "chart-queues") for shade in "░▒▓█")
        assert "\x1b[38" not in app.export_screenshot()


async def test_the_command_palette_has_every_key(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot)
        commands = {command.title: command.help for command in app.get_system_commands(app.screen)}
        assert {binding.id for binding in BINDINGS} - {*WORDS} == {"back", "interrupt"} | {
            "picture-anywhere"
        }
        assert {*WORDS.values()} - {*commands} == {"Play slower", "Play faster"}  # it is followed
        assert commands["Step back by a tenth of the run"] == "key Shift+←"
        assert commands["Select the previous rank"] == "key <"


async def test_the_footer_says_what_is_possible_now(run: LiveRun) -> None:
    app = monitor(run.folder)
    async with app.run_test(size=(160, 36)) as pilot:
        await ready(app, pilot)

        def footer() -> str:
            return screen_text(app).splitlines()[-1]

        assert "space pause" in footer()
        assert "e end run" in footer()
        assert "step" not in footer()
        await pilot.press("left")
        assert "← → step  Home End seek  [ ] speed 1×" in footer()
        await pilot.press("end", "slash")
        await pilot.pause()
        assert footer().split() == ["Enter", "keep", "the", "filter", "Esc", "clear", "it"]
        await pilot.press("escape")
        await pilot.pause()
        assert "q quit" in footer()
        await pilot.click("#footer", offset=(3, 0))
        await pilot.pause()
        assert isinstance(app.screen, Help)


async def test_the_footer_of_a_finished_run_plays(run: LiveRun) -> None:
    run.finish()
    app = monitor(run.folder)
    async with app.run_test(size=(160, 36)) as pilot:
        await ready(app, pilot)
        line = screen_text(app).splitlines()[-1]
        assert "space play  ← → step  Home End seek  [ ] speed 1×" in line
        assert "end run" not in line
        assert "End the run: it drains and writes its files" not in {
            command.title for command in app.get_system_commands(app.screen)
        }
