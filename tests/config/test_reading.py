# ruff: noqa: E501 (messages stand here as users see them, on one line)
"""Reading of configs: all mistakes at once, each with its place and its remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.config.reading import load_config, noted, parse_config, read_trace, resolved
from mdibench.config.schema import RunConfig
from mdibench.errors import UserError


def problems(text: str, *overrides: str) -> list[str]:
    """Every problem of a config, as a user reads them."""
    with pytest.raises(UserError) as failure:
        parse_config(text, "c.toml", overrides)
    return str(failure.value).splitlines()


def test_an_empty_file_is_the_default_config() -> None:
    assert parse_config("", "c.toml") == RunConfig()


def test_every_kind_of_value() -> None:
    config = parse_config(
        """
        [scheme]
        threshold = [0.5, 1]
        [placement.blocks]
        0 = [1, 2]
        1 = [3]
        [topology]
        edges = [[0, 1]]
        links = [{ between = [0, 1], profile = "lte", one_way = true }]
        [emulation]
        device = ["a", "b"]
        [emulation.devices.a]
        block_ms = [1, 2.5]
        """,
        "c.toml",
    )
    assert config.scheme.threshold == [0.5, 1.0]
    assert config.placement.blocks == {"0": [1, 2], "1": [3]}
    assert config.topology.edges == [(0, 1)]
    assert config.topology.links[0].one_way
    assert config.emulation is not None
    assert config.emulation.devices["a"].block_ms == [1, 2.5]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[scheme]\ntreshold = 1", '2: scheme.treshold: unknown key; did you mean "threshold"?'),
        ("threshold = 1", "1: threshold: unknown key; it belongs to [scheme]"),
        ("[admision]", '1: admision: unknown section; did you mean "admission"?'),
        ("[search]", "1: search.objective_ms: this key is missing; give a number above 0"),
        (
            "\n[scheme]\nthreshold = 1.5",
            "3: scheme.threshold: 1.5 is out of range; give a number from 0 to 1,"
            " or a list of such",
        ),
        (
            "scheme = {threshold = [\n0.5,\n2]}",
            "3: scheme.threshold[1]: 2 is out of range; give a number from 0 to 1,"
            " or a list of such",
        ),
        (
            'scheme.threshold = "high"',
            '1: scheme.threshold: "high" does not fit here; give a number from 0 to 1,'
            " or a list of such",
        ),
        ("run.seed = 1.0", "1: run.seed: 1.0 does not fit here; give a whole number of at least 0"),
        (
            "run.seed = true",
            "1: run.seed: true does not fit here; give a whole number of at least 0",
        ),
        (
            f"placement.copies = 1{'0' * 400}",
            "1: placement.copies: 1000000000000000000000000000000000000... is out of range; "
            "give a whole number of at least 1, and at most 9223372036854775807",
        ),
        ("run.duration_s = 0", "1: run.duration_s: 0 is out of range; give a number above 0"),
        (
            "run.duration_s = inf",
            "1: run.duration_s: Infinity does not fit here; give a number above 0",
        ),
        (
            "admission.alpha = 1",
            "1: admission.alpha: 1 is out of range; give a number from above 0 to below 1",
        ),
        (
            'run.name = "../x"',
            '1: run.name: "../x" does not fit here; give a text of letters, digits, dots,'
            " dashes and underscores only",
        ),
        (
            'admission.mode = "adapt-rat"',
            '1: admission.mode: "adapt-rat" is not known; did you mean "adapt-rate"? allowed:'
            " adapt-rate, adapt-threshold, fixed-rate, offline, single-stream",
        ),
        (
            'transport.codec = "zip"',
            '1: transport.codec: "zip" is not known; allowed: none, fp16, int8, bottleneck',
        ),
        (
            "topology.edges = [[0, 1], [1]]",
            "1: topology.edges[1]: [1] does not fit here; give two ranks, like [0, 1]",
        ),
        (
            "topology.edges = [[0, -1]]",
            "1: topology.edges[0][1]: -1 is out of range; give a whole number of at least 0",
        ),
        ("run = 3", "1: run: 3 does not fit here; give a table"),
        (
            "emulation.device = 3",
            "1: emulation.device: 3 does not fit here; give a text, or a list of such",
        ),
        (
            'scheme.name = "mdi-exti"',
            '1: scheme.name: unknown scheme "mdi-exti"; did you mean "mdi-exit"?',
        ),
        (
            "scheme.threshold = []",
            "1: scheme.threshold: the list is empty; give one threshold, or one per exit",
        ),
        (
            "scheme.threshold = 1\nscheme.target_accuracy = 0.9",
            "2: scheme.target_accuracy: threshold and target_accuracy exclude each other;"
            " keep one of them",
        ),
        (
            "placement.copies = 1\nplacement.replicate = true",
            "2: placement.replicate: copies and replicate exclude each other; keep one of them",
        ),
        (
            'topology.name = "full"\ntopology.edges = []',
            "2: topology.edges: name and edges exclude each other; keep one of them",
        ),
        (
            "admission.queue_low = 40",
            "1: admission.queue_low: queue_low = 40 is above queue_high = 30; give queue_low <= queue_high",
        ),
        (
            "admission.queue_high = 9",
            "1: admission.queue_high: queue_low = 10 is above queue_high = 9; give queue_low <= queue_high",
        ),
        (
            "admission.beta = 0.3",
            "1: admission.beta: beta = 0.3 is above alpha = 0.2; give beta <= alpha: alpha is the step"
            " while the queues are short",
        ),
        (
            'admission.arrivals = "trace"\nadmission.mode = "fixed-rate"',
            '1: admission.arrivals: "trace" needs a trace_file; give admission.trace_file',
        ),
        (
            'admission.trace_file = "x"',
            '1: admission.trace_file: nothing reads this file; give arrivals = "trace" as well',
        ),
        (
            'admission.arrivals = "trace"\nadmission.trace_file = "x"',
            '1: admission.arrivals: mode "adapt-rate" does not follow a schedule and cannot use'
            " a trace; give mode = fixed-rate or adapt-threshold",
        ),
        (
            'scheme.threshold = 0.1\nadmission = {mode = "adapt-threshold", threshold_min = 0.5}',
            "2: admission.threshold_min: threshold_min = 0.5 is above the threshold, 0.1; the threshold starts"
            " at scheme.threshold and never falls below threshold_min",
        ),
        (
            'scheme.threshold = [0.9, 0.0, 0.0]\nadmission.mode = "adapt-threshold"',
            "1: scheme.threshold: threshold_min = 0.05 is above the threshold, 0.0; the threshold"
            " starts at scheme.threshold and never falls below threshold_min",
        ),
        (
            'run.until = "p95 known"',
            '1: run.until: cannot read "p95 known"; write e.g. "rate ± 2 %", "latency ± 5 %"',
        ),
        (
            'run.until = "rate ± 0.0 %"',
            '1: run.until: cannot read "rate ± 0.0 %"; write e.g. "rate ± 2 %", "latency ± 5 %"',
        ),
        (
            'scheme.name = "two\\nlines\\u001b[2J"',
            '1: scheme.name: unknown scheme "two lines\\x1b[2J"; known: local, ddi, mdi, static-exit,'
            " mdi-exit, random, round-robin, join-shortest-queue, pressure",
        ),
        (
            f"run.seed = {2**63}",
            "1: run.seed: 9223372036854775808 is out of range; give a whole number of at least 0, and"
            " at most 9223372036854775807",
        ),
        (
            'emulation = {device = "generic", speed_spread = 1000}',
            "1: emulation.speed_spread: 1000 is out of range; give a number from 0 to 5",
        ),
        (
            'run.items = 10\nadmission = {mode = "fixed-rate", interarrival_s = 0.05}',
            "1: run.items: 10 items arrive in 0.5 s, within the 2 s of warm-up: nothing would be measured;"
            " raise run.items, or lower run.warmup_s",
        ),
        (
            "placement.blocks.one = [1]",
            '1: placement.blocks.one: "one" is not a rank; ranks are whole numbers from 0',
        ),
        (
            "placement.blocks.1 = [2, 2]",
            "1: placement.blocks.1: a block is listed twice; list each block once",
        ),
        (
            "emulation.devices.mine = {}",
            "1: emulation.devices.mine: neither gflops nor block_ms is given; give one: the"
            " sustained rate, or a measured time for each block",
        ),
        (
            "run.seed = ",
            '1:12: not TOML: invalid value; lines read key = value, with texts in "quotes"',
        ),
    ],
)
def test_one_mistake_one_line(text: str, problem: str) -> None:
    assert problems(text) == [f"c.toml:{problem}"]


def test_a_rank_written_twice() -> None:
    found = problems("[placement.blocks]\n1 = [1]\n01 = [2]")
    assert found == [
        "c.toml:2: placement.blocks.1: rank 1 is given twice; give each rank once",
        "c.toml:3: placement.blocks.01: rank 1 is given twice; give each rank once",
    ]


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        """[run]
        seed = "x"
        [scheme]
        name = "nope"
        treshold = 1
        [admission]
        queue_low = 50
        beta = 0.9
        alpha = 7
        [search]
        """
    )
    starts = [line.split(": ")[0:2] for line in found]
    assert starts == [
        ["c.toml:2", "run.seed"],
        ["c.toml:4", "scheme.name"],
        ["c.toml:5", "scheme.treshold"],
        ["c.toml:7", "admission.queue_low"],
        ["c.toml:9", "admission.alpha"],
        ["c.toml:10", "search.objective_ms"],
    ]


class TestOverrides:
    def test_values_are_toml_or_texts(self) -> None:
        config = parse_config(
            "run.seed = 1",
            "c.toml",
            ["run.seed=7", "scheme.name=mdi", "scheme.threshold=[0.5, 0.6]", 'run.label="a=b"'],
        )
        assert (config.run.seed, config.scheme.name) == (7, "mdi")
        assert config.scheme.threshold == [0.5, 0.6]
        assert config.run.label == "a=b"

    def test_a_text_may_look_almost_like_toml(self) -> None:
        assert parse_config("", "c", ["run.label=1\nseed=3"]).run.label == "1\nseed=3"

    def test_replaces_what_excludes_it(self) -> None:
        text = 'scheme.threshold = 0.8\nplacement.copies = 2\ntopology.name = "full"'
        sets = ["scheme.target_accuracy=0.9", "placement.replicate=true", "topology.edges=[[0,1]]"]
        config = parse_config(text, "c.toml", sets)
        assert config.scheme.threshold is None
        assert config.placement.copies is None
        assert config.topology.name is None

    def test_opens_sections_and_quoted_keys(self) -> None:
        config = parse_config("", "c", ['emulation.devices."my board".gflops=3'])
        assert config.emulation is not None
        assert config.emulation.devices["my board"].gflops == 3

    @pytest.mark.parametrize(
        ("override", "problem"),
        [
            (
                "run.seed=x",
                '--set run.seed: "x" does not fit here; give a whole number of at least 0',
            ),
            ("run.sed=1", '--set run.sed: unknown key; did you mean "seed"?'),
            ("q.v=1", "--set q.v: unknown section; known: " + ", ".join(RunConfig.model_fields)),
            ("run.seed", "--set run.seed: not of the form section.key=value; e.g. run.seed=2"),
            ("seed=2", "--set seed=2: not of the form section.key=value; e.g. run.seed=2"),
            ("run.a b=2", "--set run.a b=2: not of the form section.key=value; e.g. run.seed=2"),
            ("run.name.x=2", "--set run.name.x: goes through a value that is not a table"),
            (
                "admission.queue_high=2",
                "--set admission.queue_high: queue_low = 10 is above queue_high = 2;"
                " give queue_low <= queue_high",
            ),
        ],
    )
    def test_mistakes_name_the_option(self, override: str, problem: str) -> None:
        assert problems('run.name = "x"\nadmission.queue_low = 10', override) == [problem]

    def test_two_overrides_that_exclude_each_other(self) -> None:
        found = problems("", "placement.copies=2", "placement.replicate=true")
        assert found == [
            "--set placement.replicate: copies and replicate exclude each other; keep one of them"
        ]


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b'[run]\nname = "\xff"', ":2: not UTF-8 text; is this really a config?"),
            (b"a = " + b"[" * 9999, ": not a config: nested too deep"),
            (b"a = " + b"9" * 9999, ": not a config: a number is too long"),
            (b" " * 5_000_000, ": too large for a config; at most 4 MiB are read"),
        ],
    )
    def test_files_that_are_not_configs(self, tmp_path: Path, content: bytes, problem: str) -> None:
        path = tmp_path / "c.toml"
        path.write_bytes(content)
        with pytest.raises(UserError) as failure:
            load_config(path)
        assert str(failure.value) == f"{path}{problem}"

    def test_no_file_and_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"x: no such file; give the config's path$"):
            load_config(tmp_path / "x")
        with pytest.raises(UserError, match=r"this is a folder; give a config in it$"):
            load_config(tmp_path)

    def test_an_invalid_file_name(self) -> None:
        with pytest.raises(UserError, match="cannot be read"):
            load_config(Path("a\0b"))

    def test_a_byte_order_mark_is_no_mistake(self, tmp_path: Path) -> None:
        path = tmp_path / "c.toml"
        path.write_text("\ufeffrun.seed = 3", encoding="utf-8")
        assert load_config(path).run.seed == 3


class TestTraces:
    def test_reads_times_comments_and_blank_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "trace"
        path.write_text("# measured\n0.5\n\n0.5 # twice\n2e0\n")
        assert read_trace(path) == [0.5, 0.5, 2.0]

    def test_names_every_wrong_line(self, tmp_path: Path) -> None:
        path = tmp_path / "trace"
        path.write_text("0.5\nsoon\n0.25\nnan\n-1\n")
        with pytest.raises(UserError) as failure:
            read_trace(path)
        remedy = "give ascending seconds, one number per line"
        assert str(failure.value).splitlines() == [
            f'{path}:2: "soon" is not a number; {remedy}',
            f"{path}:3: 0.25 is before the previous time, 0.5; {remedy}",
            f"{path}:4: nan is not a time; {remedy}",
            f"{path}:5: -1 is not a time; {remedy}",
        ]

    @pytest.mark.parametrize("content", ["", "# nothing\n", "0\n0.0\n"])
    def test_a_trace_without_a_later_arrival(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "trace"
        path.write_text(content)
        with pytest.raises(UserError, match="no arrival after 0 s"):
            read_trace(path)

    def test_loading_a_config_checks_its_trace(self, tmp_path: Path) -> None:
        path = tmp_path / "c.toml"
        path.write_text(
            '[admission]\nmode = "fixed-rate"\narrivals = "trace"\ntrace_file = "/nowhere/t"\n'
        )
        with pytest.raises(UserError) as failure:
            load_config(path)
        assert str(failure.value) == (
            f'{path}:4: admission.trace_file: no such file: "/nowhere/t"; one arrival time per line'
        )


class TestOrigins:
    def test_a_config_knows_where_its_values_were_written(self) -> None:
        config = parse_config("\n[topology]\nname = 'full'", "c.toml", ["run.seed=2"])
        assert config.where("topology", "name") == "c.toml:3: topology.name"
        assert config.where("topology", "links") == "c.toml:2: topology.links"
        assert config.where("placement", "copies") == "c.toml: placement.copies"
        assert config.where("run", "seed") == "--set run.seed"

    def test_a_config_made_in_code_names_keys(self) -> None:
        assert RunConfig().where("topology", "edges", 1) == "topology.edges[1]"

    def test_places_do_not_count_in_comparisons(self) -> None:
        assert parse_config("run.seed = 1", "a") == parse_config("\nrun.seed = 1", "b")


class TestResolved:
    def test_is_json_and_reads_back(self) -> None:
        config = parse_config(
            "topology.edges = [[0, 1]]\nemulation.device = 'generic'\nplacement.copies = 2", "c"
        )
        data = json.loads(json.dumps(resolved(config)))
        again = RunConfig.model_validate(data)
        assert again.topology == config.topology
        assert again.emulation == config.emulation

    def test_defaults_that_depend_on_other_keys_are_filled_in(self) -> None:
        data = resolved(RunConfig())
        assert data["scheme"]["threshold"] == 0.8
        assert data["placement"]["partition"] is True
        assert data["topology"]["name"] == "full"

    def test_what_was_chosen_stays(self) -> None:
        text = "scheme.target_accuracy = 0.9\nplacement.copies = 2\ntopology.edges = [[0, 1]]"
        data = resolved(parse_config(text, "c"))
        assert data["scheme"]["threshold"] is None
        assert data["placement"]["partition"] is False
        assert data["topology"]["name"] is None


def test_a_run_keeps_the_overrides_of_its_config_in_a_comment() -> None:
    text = "[run]\nseed = 3\n"
    overrides = ["scheme.name=mdi", 'run.label="two\nlines"']
    kept = noted(text, overrides)
    assert kept.startswith("# overrides of this file: --set=scheme.name=mdi ")
    assert kept.endswith(text) and kept.count("\n") == text.count("\n") + 1
    assert parse_config(kept, "c.toml") == parse_config(text, "c.toml")
    assert noted(text, []) == text


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(sorted(RunConfig.model_fields)) | st.text(max_size=3),
        junk
        | st.dictionaries(
            st.sampled_from(["name", "threshold", "links", "edges", "devices", "blocks", "device"])
            | st.text(max_size=3),
            junk,
        ),
        max_size=3,
    )
)
def test_any_data_gives_a_config_or_user_errors(data: dict[str, Any]) -> None:
    overrides = [
        f"{json.dumps(section)}.{json.dumps(key)}={json.dumps(value)}"
        for section, table in data.items()
        if isinstance(table, dict)
        for key, value in table.items()
    ]
    try:
        parse_config("", "c.toml", overrides)
    except UserError as failure:
        for problem in failure.problems:
            assert problem.where
            assert "Input should" not in str(problem)
