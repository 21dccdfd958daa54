"""``mdibench check``: what a user sees, within 80 columns, and what programs read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdibench.__main__ import run
from mdibench.analysis.formatting import format_one
from mdibench.assembly.workload import model_info
from mdibench.config.schema import ModelSection
from mdibench.errors import Problem, UserError
from mdibench.network.plan import Link
from mdibench.report import plan_text
from tests.network.examples import model_of

MODEL = model_of(0.001, 0.002, 0.003, 0.004, 0.005)


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up network, so that nothing loads torch."""
    monkeypatch.setattr("mdibench.assembly.workload.model_info", lambda model: MODEL)


def written(folder: Path, text: str) -> str:
    path = folder / "c.toml"
    path.write_text(text)
    return str(path)


def test_prints_who_hosts_what_and_what_links_carry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'scheme.name = "mdi"\ntopology.name = "line"\nemulation.link = "wifi-5ghz"'
    assert run(["check", written(tmp_path, text), "--ranks", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines.index("rank  device  blocks  neighbours  ms/item")
    assert lines[table + 1 : table + 4] == [
        "0     real    1-3     1           6",
        "1     real    4       0 2         4",
        "2     real    5       1           5",
    ]
    table = lines.index("link   kind       codec  tasks/item  bytes/item")
    assert lines[table + 1 : table + 3] == [
        "0 > 1  wifi-5ghz  none   1           3.91 KiB",
        "1 > 2  wifi-5ghz  none   1           3.91 KiB",
    ]
    assert "So spread, rank 0 is the first to fill up, at 166.7 items/s." in lines
    assert "The first link to fill up is 0 > 1, at 6250 items/s." in lines


@pytest.mark.parametrize("scheme", ["local", "ddi", "mdi-exit"])
@pytest.mark.parametrize("ranks", ["1", "4", "30"])
def test_fits_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scheme: str, ranks: str
) -> None:
    text = """
    [emulation]
    device = "a-device-with-a-name-that-is-longer-than-anybody-would-ever-want-to-read-it"
    link = "wifi-2.4ghz"
    [emulation.devices]
    a-device-with-a-name-that-is-longer-than-anybody-would-ever-want-to-read-it = {gflops = 1}
    """
    file = written(tmp_path, text)
    assert run(["check", file, "--ranks", ranks, "--set", f"scheme.name={scheme}"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert max(len(line) for line in output.out.splitlines()[1:]) <= 80


def test_large_plans_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", written(tmp_path, "placement.copies = 9"), "--ranks", "50"]) == 0
    output = capsys.readouterr().out
    assert "... and 10 more ranks" in output
    assert "more links" in output


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'topology.name = "2-node"\nemulation = {device = ["real", "generic"]}'
    assert run(["check", written(tmp_path, text), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["plan"]["ranks"] == 2
    assert data["plan"]["devices"] == [None, "generic"]
    assert data["config"]["scheme"]["threshold"] == 0.8
    assert data["model"]["name"] == "example"
    assert data["expected_per_item"]["links"][0]["source"] == 0
    assert any("assumption" in note for note in data["notes"])


def test_the_config_says_how_many_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", written(tmp_path, 'topology.name = "5-mesh"')]) == 0
    assert "ranks      5" in capsys.readouterr().out
    assert run(["check", written(tmp_path, "")]) == 0
    assert "ranks      4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("run.sed = 1", [':1: run.sed: unknown key; did you mean "seed"?']),
        (
            'topology.name = "7-mesh"\nscheme.threshold = [1]',
            [
                ':1: topology.name: "7-mesh" is a topology of 7 ranks, and this run has 3;'
                ' use --ranks 7 (simulate: --workers 7) or mpirun -n 7, or topology "full"',
                ':2: scheme.threshold: 1 threshold for the 5 exits of "example"; give one'
                " number for all, or one for each exit (the last is never used)",
            ],
        ),
        (
            "this is a poem",
            [
                ":1:6: not TOML: expected '=' after a key in a key/value pair;"
                ' lines read key = value, with texts in "quotes"'
            ],
        ),
    ],
)
def test_mistakes_end_with_status_2_and_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, lines: list[str]
) -> None:
    file = written(tmp_path, text)
    assert run(["check", file, "--ranks", "3"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [f"mdibench: {file}{line}" for line in lines]


@pytest.mark.slow
def test_an_unknown_network_is_not_one_without_weights() -> None:
    with pytest.raises(UserError, match='unknown network "digits"; did you mean "digits-cnn"'):
        model_info(ModelSection(name="digits"))


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err.endswith("none.toml: no such file; give the config's path\n")


def test_notes_about_what_is_allowed_and_odd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
    placement.blocks = {1 = [1, 2, 3, 4, 5]}
    emulation.device = "tiny"
    emulation.devices.tiny = {gflops = 1, memory_mb = 0.0001}
    """
    assert run(["check", written(tmp_path, text), "--ranks", "3"]) == 0
    output = capsys.readouterr().out
    assert "note: each of ranks 0 2 hosts no block and can only relay" in output
    assert "note: the source does not host block 1: raw items travel" in output
    assert "note: rank 1: weights (1.95 KiB) exceed tiny's memory" in output


@pytest.mark.parametrize(
    ("link", "text"),
    [
        (Link(), "real"),
        (Link(loss=0.1), "loss 0.1"),
        (Link(941e6, 1e-4, 2e-5), "ethernet-1g"),
        (Link(941e6, 1e-4, 2e-5, loss=0.5), "941 Mbit/s, 0.1+0.02 ms, loss 0.5"),
        (Link(None, 0.25), "250+0 ms"),
    ],
)
def test_links_in_words(link: Link, text: str) -> None:
    assert plan_text.link_text(link) == text


def test_spans_and_sizes() -> None:
    assert plan_text.spans([3, 1, 2, 7, 5, 6]) == "1-3 5-7"
    assert plan_text.spans([]) == "-"
    assert [format_one("bytes", n) for n in (0, 999, 4000, 5e6, 3e9)] == [
        "0 B",
        "999 B",
        "3.91 KiB",
        "4.77 MiB",
        "2.79 GiB",
    ]


def test_mistakes_of_the_model_and_of_the_topology_come_together_with_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(model: object) -> None:
        raise UserError(Problem("unknown data set 'cifar11'", "model.dataset", "did you mean"))

    monkeypatch.setattr("mdibench.assembly.workload.model_info", unknown)
    file = written(tmp_path, '[topology]\nname = "5-mes"\n[model]\ndataset = "cifar11"\n')
    assert run(["check", file]) == 2
    model, topology = capsys.readouterr().err.splitlines()
    assert model.startswith(f"mdibench: {file}:4: model.dataset: unknown data set 'cifar11'")
    assert topology.startswith(f'mdibench: {file}:2: topology.name: unknown topology "5-mes"')
