"""The full report and its formats: all the content, the same everywhere, the same every time."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from mdibench.analysis.comparison import compare
from mdibench.analysis.explain import break_down, cuts, sentences
from mdibench.analysis.formatting import value_of
from mdibench.analysis.run_groups import METRICS, RunGroup, bound_of, evaluate_run, group_repeats
from mdibench.cli import processes
from mdibench.cli.report import report
from mdibench.record.reader import open_runs
from mdibench.report.document import Document
from mdibench.report.formats import to_html
from mdibench.report.group_figures import pareto
from mdibench.report.report import build_report
from mdibench.report.run_tables import bound_table, controller_table, energy_table, target_table
from tests.synthetic_runs import PAIR, Model, manifest, write_run

SECTIONS = [
    "summary", "comparison", "tradeoff", "latency", "exits", "queues", "workers", "network", "why",
    "checks", "environment", "limits",
]  # fmt: skip
VOID = {"meta", "link", "br", "img", "hr", "input"}


def built(*paths: Path) -> Document:
    readers, skipped = open_runs(paths)
    return build_report(group_repeats(evaluate_run(reader) for reader in readers), skipped)


@pytest.fixture(scope="module")
def full(run_set: Path, partial_run: Path) -> Document:
    return built(run_set, partial_run)


@pytest.fixture(scope="module")
def html(full: Document) -> str:
    return to_html(full)


def test_several_processes_report_the_same(
    run_set: Path, full: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = CliRunner().invoke(report, [str(run_set)])
    monkeypatch.setattr("mdibench.cli.report.MANY_ITEMS", 0)
    together = CliRunner().invoke(report, [str(run_set)])
    assert together.exit_code == alone.exit_code == 0
    assert together.stdout == alone.stdout

    start = replace(full, sections=full.sections[:1])
    with processes(wanted=True) as each:
        assert to_html(start, each) == to_html(start)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_run_in_which_everything_was_dropped_has_a_report(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", replace(PAIR, items=300, drop=1.0))
    page = tmp_path / "page.html"
    shown = CliRunner().invoke(report, [str(run)])
    drawn = CliRunner().invoke(report, [str(run), "--html", str(page)])
    assert (shown.exit_code, drawn.exit_code) == (0, 0), shown.output + drawn.output
    assert "INVALID" in shown.output
    assert page.exists()


def test_every_section_is_there(full: Document) -> None:
    assert [section.key for section in full.sections] == SECTIONS
    tables = {table.key for section in full.sections for table in section.tables}
    assert {
        "groups", "runs", "differences", "headline", "latency", "exits", "ranks", "links",
        "decisions", "overhead", "item_times", "findings", "environment", "settings",
    } <= tables  # fmt: skip
    figures = {figure.key for section in full.sections for figure in section.figures}
    assert {"dots", "tradeoff", "latency", "exits", "calibration", "queues-1", "split",
            "offloads-1", "item-time"} <= figures  # fmt: skip


class Tags(HTMLParser):
    """Checks that tags nest, and collects ids and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_sound_and_needs_nothing_else(html: str) -> None:
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert all(address.startswith(("#", "data:")) for address in tags.addresses)
    assert {address[1:] for address in tags.addresses if address.startswith("#")} <= set(tags.ids)
    assert html.count("<script") == 1
    script = files("mdibench.report").joinpath("templates/report.js").read_text().strip()
    assert f"<script>{script}</script>" in html
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert not re.search(r"@import|url\((?!#)", html)


def test_figures_are_sound_and_tell_their_values(html: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) >= 9
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.attrib["role"] == "img"
    titles = re.findall(r"<title>(.*?)</title>", html)
    assert any(re.fullmatch(r"mdi-exit: rate [\d.]+ /s \[.*\]", title) for title in titles)
    assert any("compute" in title for title in titles)


@pytest.mark.slow
def test_the_same_runs_give_the_same_page(html: str, run_set: Path, partial_run: Path) -> None:
    assert to_html(built(run_set, partial_run)) == html


@pytest.mark.slow
def test_words_of_the_runs_are_escaped(tmp_path: Path) -> None:
    model = Model(items=300, label="<script>alert('x')</script> & co")
    page = to_html(built(write_run(tmp_path / "run", model)))
    assert page.count("<script") == 1
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_report_says_what_its_numbers_do_not_support(full: Document) -> None:
    text = " ".join(full.sections[-1].text)
    assert "Simulated runs compare policies" in text
    assert "intervals say nothing about how much runs differ" in text
    assert "values of the paper: not available" in text


def test_partial_and_damaged_runs_are_marked(
    run_set: Path, partial_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    shutil.copytree(partial_run, tmp_path / "part")
    (tmp_path / "part" / "live.jsonl").write_text("garbage\n")
    found = built(run_set, tmp_path)
    summary = found.sections[0]
    assert any("bad/run.json: is damaged" in line for line in summary.text)
    statuses = [row[1:3] for row in summary.tables[1].rows]
    assert statuses.count(("complete", "VALID")) == 6
    assert ("aborted", "INVALID") in statuses or ("running", "INVALID") in statuses
    (findings,) = found.sections[SECTIONS.index("checks")].tables
    assert any("first line is damaged" in str(row[3]) for row in findings.rows)


def test_explanation_of_two_workers_slower_than_one(full: Document) -> None:
    section = full.sections[SECTIONS.index("why")]
    text = " ".join(section.text)
    assert "An average item took" in text
    assert "The source alone reaches" in text and "breaks even" in text
    tables = {table.key: table for table in section.tables}
    assert {"one_rank", "limits", "item_times", "cuts_mdi-exit"} <= set(tables)
    beside = {row[0]: row for row in tables["one_rank"].rows}["mdi-exit"]
    assert beside[4] == "local"
    assert 1.5 < float(str(beside[6])) < 1.8
    bounds_of = {row[0]: row for row in tables["limits"].rows}
    assert bounds_of["mdi-exit"][1] == "compute on rank 1"
    assert bounds_of["mdi-exit"][4] == 1


def test_a_cut_without_gain_breaks_even_nowhere(tmp_path: Path) -> None:
    """On a link of 1 Mbit/s a feature map of 4 KiB takes longer than the blocks it saves."""
    links = [{"source": 0, "target": 1, "bandwidth_bps": 1e6, "codec": "none"}]
    plan = manifest(PAIR)["plan"] | {"links": links}
    run = evaluate_run(open_runs([write_run(tmp_path / "run", PAIR, plan=plan)])[0][0])
    steps = break_down(run.reader, run.summary.window, 2)
    assert steps is not None
    found = cuts(run.summary, steps, run.reader.manifest)
    best = max(found, key=lambda cut: cut.rate_per_s)
    assert best.after == 3
    assert all(cut.break_even_bps > 1e6 for cut in found[:-1])
    assert "two workers are slower than one" in sentences(run.summary, steps, found)[-1]


def test_the_bound_is_shown_where_a_run_has_one(tmp_path: Path) -> None:
    bound = {"rate_per_s": 200.0, "binding": "compute on rank 1"}
    run = evaluate_run(open_runs([write_run(tmp_path / "run", PAIR, bound=bound)])[0][0])
    ((_, rate, most, reached, binding),) = bound_table(group_repeats([run])).rows
    assert rate == run.summary.measured.rate_per_s
    assert (value_of(most), binding) == (200.0, "compute on rank 1")
    assert value_of(reached) == value_of(rate) / 200
    from mdibench.report.terminal import summary_lines

    assert "capacity bound 200.0 /s reached" in " ".join(summary_lines(tmp_path / "run").split())


def with_an_invalid_first(run_set: Path, folder: Path) -> list[RunGroup]:
    """Both groups of ``run_set``, of which the first has an INVALID first run with a low bound."""
    shutil.copytree(run_set, folder)
    run = min(folder.iterdir())
    manifest = json.loads((run / "run.json").read_text())
    manifest["totals"]["offered"] += 7
    manifest["bound"] = {"rate_per_s": 1.0, "binding": "nothing"}
    (run / "run.json").write_text(json.dumps(manifest))
    return group_repeats(evaluate_run(reader) for reader in open_runs([folder])[0])


def test_an_invalid_run_is_left_out_of_means_and_detail(run_set: Path, tmp_path: Path) -> None:
    pair, local = with_an_invalid_first(run_set, tmp_path / "runs")
    bad, second, third = pair.runs
    assert (pair.verdict, bad.verdict) == ("2/3 VALID", "INVALID")
    rates = [run.summary.measured.rate_per_s.value for run in (second, third)]
    report = build_report([pair, local])
    tables = {table.key: table for section in report.sections for table in section.tables}
    for key, column in (("groups", 2), ("headline", 5), ("bounds", 1), ("one_rank", 2)):
        (row,) = (row for row in tables[key].rows if row[0] == pair.name)
        assert value_of(row[column]) == pytest.approx(sum(rates) / 2)
        assert key == "one_rank" or "1 INVALID left out" in tables[key].note
    assert value_of(tables["bounds"].rows[0][2]) > 100
    uses = {row[0]: row[-1] for row in tables["runs"].rows}
    assert [uses[run.summary.identity.id] for run in pair.runs] == ["left out", "detail", "mean"]
    assert pair.first is second.summary


def test_a_group_without_a_valid_run_counts_all_and_is_never_on_the_front(
    run_set: Path, partial_run: Path
) -> None:
    (best,) = group_repeats([evaluate_run(open_runs([partial_run])[0][0])] * 2)
    groups = group_repeats(evaluate_run(reader) for reader in open_runs([run_set])[0])
    assert best.verdict == "0/2 VALID"
    assert best.counted == best.runs
    assert best not in pareto([best, *groups])


def test_the_odd_valid_run_does_not_stand_for_its_group(run_set: Path, partial_run: Path) -> None:
    partial = evaluate_run(open_runs([partial_run])[0][0])
    whole = next(evaluate_run(r) for r in open_runs([run_set])[0])
    group = RunGroup("mostly partial", (partial, partial, whole))
    assert group.verdict == "1/3 VALID"
    assert group.counted == group.runs
    assert group.detailed is whole
    assert replace(group, runs=(partial, whole)).counted == (whole,)


def test_an_invalid_run_is_not_compared_nor_its_partner(run_set: Path, tmp_path: Path) -> None:
    pair, local = with_an_invalid_first(run_set, tmp_path / "runs")
    found = compare(pair, local, [METRICS["p50"]])
    assert (found.pairs, found.differences[0].method) == (2, "2 pairs of runs")
    assert (found.a.runs, found.b.runs) == (pair.runs[1:], local.runs[1:])
    assert "INVALID, left out" in found.cautions[0]
    assert "1 more left out" in found.cautions[1]


def test_a_bound_is_computed_where_the_manifest_has_none(one_run: Path) -> None:
    """Rank 1 runs block 2 for 86 % of the items and block 3 for 48 %, in 4 ms each."""
    bound = bound_of(evaluate_run(open_runs([one_run])[0][0]))
    assert bound.rate_per_s == pytest.approx(1 / ((0.86 + 0.48) * 0.004), rel=0.1)
    assert "1" in bound.binding


def test_energy_that_was_not_measured_is_not_zero(full: Document, tmp_path: Path) -> None:
    workers = full.sections[SECTIONS.index("workers")]
    assert any("Energy: n/a" in line for line in workers.text)
    ranks = [{"rank": n, "energy_meter": "RAPL"} for n in range(2)]
    written = write_run(tmp_path / "run", replace(PAIR, watts=2.0), ranks=ranks)
    run = evaluate_run(open_runs([written])[0][0])
    ((_, rank, _, joules, meter),) = energy_table({"pair": run}).rows
    assert (rank, meter) == (0, "RAPL")
    assert isinstance(joules, float) and joules > 0


@pytest.mark.parametrize(
    ("target", "word"), [(0.90, "exceeded"), (0.95, "within the interval"), (0.99, "missed")]
)
def test_a_calibrated_run_is_held_against_its_target(
    tmp_path: Path, target: float, word: str
) -> None:
    written = write_run(tmp_path / "run", PAIR, calibration={"target": target})
    run = evaluate_run(open_runs([written])[0][0])
    ((_, wanted, got, said),) = target_table({"pair": run}).rows
    assert (wanted, said) == (target, word)
    assert got == run.summary.measured.accuracy
    assert (
        target_table(
            {"given": evaluate_run(open_runs([write_run(tmp_path / "b", PAIR)])[0][0])}
        ).rows
        == ()
    )


def test_controllers_settle(tmp_path: Path) -> None:
    config = {"run": {}, "admission": {"mode": "adapt-rate"}}
    run = evaluate_run(open_runs([write_run(tmp_path / "run", PAIR, config=config)])[0][0])
    (row,) = controller_table({"pair": run}).rows
    assert row[1] == "interarrival"
    assert row[5:] == (0.2, 0.0)


@pytest.mark.slow
def test_a_single_run_and_one_without_steps_or_telemetry_have_a_page(
    one_run: Path, tmp_path: Path
) -> None:
    for name in ("steps", "telemetry", "links", "events"):
        run = tmp_path / name
        shutil.copytree(one_run, run)
        (run / f"{name}.parquet").unlink()
        found = built(run)
        assert any(f"{name}.parquet: missing" in line for line in found.sections[0].text)
        if name == "telemetry":  # without it there is least to draw
            assert not re.search(r"\bnan\b", to_html(found), re.IGNORECASE)


def invoke(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(report, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_json_has_everything_in_base_units(run_set: Path) -> None:
    content = json.loads(invoke(run_set, "--json", "-").stdout)
    assert [section["key"] for section in content["sections"]] == SECTIONS
    headline = content["sections"][1]["tables"]["headline"]
    assert [row["group"] for row in headline] == ["mdi-exit", "local"]
    assert headline[0]["latency_p50_s_low"] < headline[0]["latency_p50_s"] < 0.1
    assert headline[0]["energy_per_item_j"] is None


def test_csv_is_one_file_per_table(run_set: Path, tmp_path: Path) -> None:
    invoke(run_set, "--csv", tmp_path / "tables")
    with (tmp_path / "tables" / "groups.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["runs"] for row in rows] == ["3", "3"]
    assert float(rows[0]["rate_per_s_low"]) < float(rows[0]["rate_per_s"])


@pytest.mark.slow
def test_markdown_and_figures_go_together(run_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    invoke(run_set, "--markdown", tmp_path / "report.md", "--svg", folder, "--png", folder)
    text = (tmp_path / "report.md").read_text()
    assert text.count("\n## ") == len(SECTIONS)
    linked = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(linked) >= 8
    assert all((tmp_path / path).exists() for path in linked)
    assert (folder / "latency.png").read_bytes().startswith(b"\x89PNG")
    for row in re.findall(r"^\|.*$", text, re.MULTILINE):
        assert row.endswith("|")


def test_an_unwritable_file_is_one_clear_line(
    one_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from mdibench.__main__ import run as mdibench

    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "report.html"
    assert mdibench(["report", str(one_run), "--html", str(target)]) == 2
    assert "cannot be written" in capfd.readouterr().err
