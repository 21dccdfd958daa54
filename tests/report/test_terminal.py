"""The terminal report: everything is there, it fits 80 columns, and it works on any run."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mdibench.__main__ import run as mdibench
from mdibench.analysis.run_groups import Run, above_bound, evaluate_run
from mdibench.analysis.shares import Estimate
from mdibench.cli.report import report
from mdibench.record.reader import RunReader
from mdibench.report import terminal
from mdibench.report.document import Column, Table, display, raw_columns, raw_rows
from mdibench.report.tables import spans
from mdibench.report.terminal import bars, summary_lines, to_text


def fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 80


def test_the_summary_of_one_run(one_run: Path) -> None:
    text = summary_lines(one_run)
    assert fits(text)
    assert "\x1b" not in text
    for word in ("VALID", "simulated", "rate", "accuracy", "p99", "Exits by depth", "Workers",
                 "Links", "in flight over time", "6 checks passed"):  # fmt: skip
        assert word in text
    assert "energy per item n/a" in " ".join(text.split())


def test_latencies_that_differ_by_rounding_alone_have_no_plot(one_run: Path) -> None:
    """As those of one emulated worker without exits, far from saturation."""
    run = evaluate_run(RunReader(one_run))
    curve = tuple(0.02 + 3.5e-18 * place for place in range(120))
    assert curve[0] < curve[99]
    measured = replace(run.summary.measured, latency_curve_s=curve)
    alike = replace(run, summary=replace(run.summary, measured=measured))
    assert "latency, log scale" in to_text(terminal.run_content(run))
    assert "latency, log scale" not in to_text(terminal.run_content(alike))


def test_a_rate_above_the_bound_is_a_warning(one_run: Path) -> None:
    run = evaluate_run(RunReader(one_run))
    low = replace(run, summary=replace(run.summary, bound_per_s=0.5))
    finding = above_bound(low)
    assert finding is not None
    assert (finding.check, finding.level) == ("bound", "warning")
    assert "report this" in finding.remedy
    high = replace(run, summary=replace(run.summary, bound_per_s=1e9))
    assert above_bound(high) is None


def test_of_a_large_fleet_the_busiest_are_shown(
    one_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "MOST_DETAIL_ROWS", 1)
    assert "Workers: the 1 busiest of 2" in summary_lines(one_run)


@pytest.mark.parametrize("status", ["failed", "aborted", "running"])
def test_runs_of_any_status_have_a_summary(partial_run: Path, tmp_path: Path, status: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(partial_run, run)
    manifest = run / "run.json"
    manifest.write_text(manifest.read_text().replace('"running"', f'"{status}"'))
    text = summary_lines(run)
    assert fits(text)
    assert "(partial)" in text and "INVALID" in text


def test_several_runs_are_one_line_per_group(run_set: Path) -> None:
    result = CliRunner().invoke(report, [str(run_set)])
    assert result.exit_code == 0
    assert fits(result.output)
    assert "6 runs in 2 groups" in result.output
    assert [line.split()[0:2] for line in result.output.splitlines() if " 3/3 " in line] == [
        ["mdi-exit", "3/3"],
        ["local", "3/3"],
    ]


@pytest.mark.parametrize("label", ["[fast] int8", "[/cell] a", ":smile: 1 to 2"])
def test_a_label_is_no_markup(one_run: Path, tmp_path: Path, label: str) -> None:
    for name, own in (("one", label), ("other", "plain")):
        shutil.copytree(one_run, tmp_path / name)
        path = tmp_path / name / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"label": own}))
    result = CliRunner().invoke(report, [str(tmp_path)])
    assert result.exit_code == 0
    assert label in " ".join(result.output.split())


def test_long_latencies_have_no_exponents(one_run: Path) -> None:
    run = evaluate_run(RunReader(one_run))
    measured = replace(run.summary.measured, latency_curve_s=(0.02,) * 90 + (3.21,) * 10)
    shown = one_run_shown(replace(run, summary=replace(run.summary, measured=measured)))
    (line,) = [line for line in shown.splitlines() if line.startswith("latency, log scale")]
    assert line.endswith("  20 to 3,210 ms")


def one_run_shown(run: Run) -> str:
    return to_text(terminal.run_content(run))


def test_alike_findings_of_many_runs_are_one_line(run_set: Path, tmp_path: Path) -> None:
    shutil.copytree(run_set, tmp_path / "runs")
    for run in sorted((tmp_path / "runs").iterdir())[::5]:  # one of each group
        manifest = json.loads((run / "run.json").read_text())
        manifest["totals"]["offered"] += 7
        (run / "run.json").write_text(json.dumps(manifest))
    text = " ".join(CliRunner().invoke(report, [str(tmp_path / "runs")]).output.split())
    assert text.count("invalid") == 1
    assert re.search(r"invalid 2 of 6 runs \(1 of [\w-]+, 1 of [\w-]+\), the first 2026", text)
    assert "2 INVALID left out of means." in text
    assert text.count("few for a p99") <= 1


def test_a_folder_without_runs_ends_with_status_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert mdibench(["report", str(tmp_path)]) == 2
    assert "no run found here" in capfd.readouterr().err
    assert mdibench(["report", str(tmp_path / "nowhere")]) == 2
    assert "no such file or folder" in capfd.readouterr().err


def test_damaged_runs_are_named_and_the_rest_reported(
    one_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(one_run, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    assert mdibench(["report", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert "VALID" in out
    assert "skipped" in err and "bad/run.json: is damaged" in err


@pytest.mark.slow
def test_a_copy_narrows_no_interval(
    one_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder that was copied, or a simulation that was run again with its seed, is no repeat."""
    shutil.copytree(one_run, tmp_path / "runs" / "a")
    mdibench(["report", str(tmp_path)])
    alone = capfd.readouterr().out
    shutil.copytree(one_run, tmp_path / "runs" / "b")
    assert mdibench(["report", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert out == alone
    assert err.count("\n") == 1 and "runs/b: has the seed and the figures of a: a copy" in err
    mdibench(["compare", str(tmp_path), str(one_run)])
    assert capfd.readouterr().out.count("(1 run,") == 2
    mdibench(["report", str(tmp_path), "--history"])
    assert "2 VALID runs" in capfd.readouterr().out


def test_numbers_of_a_column_share_unit_and_decimals() -> None:
    table = Table(
        "t", "T", (Column("latency_s", "latency", "seconds"), Column("used", "used", "share")),
        ((Estimate(0.0123, 0.0119, 0.0141, 9), 0.5), (Estimate(0.0077, -np.inf, np.inf), None),
         (float("nan"), 0.123)),
    )  # fmt: skip
    shown = display(table)
    assert shown.headings == ("latency ms", "used %")
    assert shown.rows == (
        ("12.3 [11.9, 14.1]", "50.0"),
        ("7.7 [?, ?]", "n/a"),
        ("n/a", "12.3"),
    )
    assert display(table, "half").rows[0][0] == "12.3 ±1.8"
    assert raw_columns(table) == ["latency_s", "latency_s_low", "latency_s_high", "used"]
    assert raw_rows(table)[1] == [0.0077, None, None, None]


def test_blocks_as_spans() -> None:
    assert spans([3, 1, 2, 5]) == "1-3 5"
    assert spans([]) == "-"


def test_bars() -> None:
    assert bars(np.array([0, 1, 4, 8])) == " ▁▄█"
    assert bars(np.array([0.0, 0.0])) == "  "


def test_names_are_cut_between_words_or_else_at_a_hyphen() -> None:
    assert terminal._wrapped("3-Node-Mesh, mdi-exit") == "3-Node-Mesh,\nmdi-exit"
    assert terminal._wrapped("join-shortest-queue") == "join-shortest-\nqueue"
