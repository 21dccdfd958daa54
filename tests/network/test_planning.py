# ruff: noqa: E501 (messages stand here as users see them, on one line)
"""Plans: their guarantees, and one line for every mistake of a user."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.config.reading import parse_config
from mdibench.config.schema import EventEntry, RunConfig
from mdibench.network.plan import Link, ModelInfo, Plan
from mdibench.network.planning import FleetState, fleet_states, make_plan, plan_facts, usual_ranks
from mdibench.policy.schemes import SCHEMES
from tests.network.examples import FIVE, model_of, planned, refused

ALL = frozenset({1, 2, 3, 4, 5})


class TestDefaults:
    def test_one_rank(self) -> None:
        plan = make_plan(RunConfig(), 1, FIVE)
        assert plan.blocks == (ALL,)
        assert plan.neighbours == ((),)
        assert plan.toward_source == ((),)
        assert plan.links == {}
        assert plan.next_hops == ({1: (), 2: (), 3: (), 4: (), 5: ()},)

    def test_partition_on_a_full_graph_of_real_devices(self) -> None:
        plan = make_plan(RunConfig(), 3, FIVE)
        assert (plan.topology, plan.placement) == ("full", "partition")
        assert [sorted(held) for held in plan.blocks] == [[1], [2, 3], [4, 5]]
        assert plan.devices == (None, None, None)
        assert set(plan.links.values()) == {Link()}
        assert not Link().emulated


class TestPlacements:
    @pytest.mark.parametrize("name", sorted(SCHEMES))
    def test_schemes_choose_or_leave_it_to_the_config(self, name: str) -> None:
        plan = planned(f'scheme.name = "{name}"\nplacement.copies = 2', 3)
        expected = {
            "local": "source",
            "ddi": "replicate",
            "mdi": "partition",
            "static-exit": "partition",
        }
        assert plan.placement == expected.get(name, "copies = 2")

    def test_local_works_at_any_size(self) -> None:
        plan = planned('scheme.name = "local"', 3)
        assert plan.blocks == (ALL, frozenset(), frozenset())

    def test_ddi_puts_every_block_on_every_rank(self) -> None:
        assert planned('scheme.name = "ddi"', 2).blocks == (ALL, ALL)

    def test_explicit(self) -> None:
        plan = planned("[placement.blocks]\n0 = [1, 2]\n1 = [2, 3, 4, 5]", 3)
        assert plan.blocks == (frozenset({1, 2}), frozenset({2, 3, 4, 5}), frozenset())
        assert plan.placement == "explicit"
        assert plan.hosts(2) == (0, 1)

    def test_balance_follows_measured_seconds(self) -> None:
        plan = planned("", 2, model_of(1.0, 1.0, 1.0, 1.0, 4.0))
        assert [sorted(held) for held in plan.blocks] == [[1, 2, 3, 4], [5]]

    def test_balance_follows_the_devices(self) -> None:
        text = """
        [emulation]
        device = ["slow", "fast"]
        devices.slow.block_ms = [40, 40, 40, 40, 40]
        devices.fast.block_ms = [10, 10, 10, 10, 10]
        """
        assert [sorted(held) for held in planned(text, 2).blocks] == [[1], [2, 3, 4, 5]]


class TestTopologies:
    def test_a_one_way_ring(self) -> None:
        plan = planned('topology.name = "3-circular"', 3)
        assert plan.next_hops[0][2] == (1,)
        assert plan.next_hops[0][4] == (1,)
        assert plan.toward_source == ((), (2,), (0,))
        assert plan.neighbours == ((1, 2), (0, 2), (0, 1))
        assert len(plan.links) == 6

    def test_edges_both_ways_and_one_way(self) -> None:
        assert planned("topology.edges = [[0, 1]]", 2).neighbours == ((1,), (0,))
        text = "topology.edges = [[0, 1], [1, 2], [2, 0]]\ntopology.one_way = true"
        ring = planned(text, 3)
        named = planned('topology.name = "3-circular"', 3)
        assert ring.next_hops == named.next_hops
        assert ring.topology == "edges"


class TestLinks:
    def test_a_profile_for_all_and_figures_for_one(self) -> None:
        text = """
        transport.codec = "fp16"
        emulation.link = "wifi-5ghz"
        [[topology.links]]
        between = [0, 1]
        bandwidth_mbps = 8
        codec = "int8"
        [[topology.links]]
        between = [2, 0]
        one_way = true
        profile = "lte"
        loss = 0.1
        """
        links = planned(text, 3).links
        assert links[1, 2] == links[2, 1] == links[0, 2] == Link(200e6, 0.0015, 0.0015, 0, "fp16")
        assert links[0, 1] == links[1, 0] == Link(8e6, 0.0015, 0.0015, 0, "int8")
        assert links[2, 0] == Link(20e6, 0.025, 0.015, 0.1, "fp16")

    def test_figures_without_emulation_hold_too(self) -> None:
        links = planned("topology.links = [{ between = [0, 1], delay_ms = 3 }]", 2).links
        assert links[0, 1] == Link(None, 0.003)
        assert links[0, 1].emulated

    def test_states_take_a_one_way_edge_back_over_the_same_link(self) -> None:
        text = 'topology.name = "3-circular"\ntopology.links = [{between = [0, 1], delay_ms = 5}]'
        links = planned(text, 3).links
        assert links[0, 1] == links[1, 0] == Link(None, 0.005)


class TestDevices:
    def test_seconds_from_flops_and_overhead(self) -> None:
        text = 'emulation.device = "mine"\nemulation.devices.mine = {gflops = 2, overhead_ms = 3, memory_mb = 1}'
        device = planned(text, 2, model_of(1.0, 1.0, flops=4_000_000)).devices[1]
        assert device is not None
        assert device.block_s == pytest.approx((0.005, 0.005))
        assert device.memory_bytes == 1024**2
        assert device.basis == "given in the config"

    def test_measured_times_take_precedence(self) -> None:
        text = 'emulation.device = "mine"\nemulation.devices.mine = {gflops = 2, block_ms = [1, 2], basis = "lab"}'
        device = planned(text, 1, model_of(1.0, 1.0)).devices[0]
        assert device is not None
        assert (device.block_s, device.basis) == ((0.001, 0.002), "lab")

    def test_every_profile_says_that_it_is_no_measurement(self) -> None:
        from mdibench.network.devices import DEVICES, LINKS

        bases = [d.basis for d in DEVICES.values()] + [link.basis for link in LINKS.values()]
        for basis in bases:
            assert basis.startswith(("estimate: ", "assumption: "))
            assert "measured" not in basis.replace("not measured", "")

    def test_a_mix_with_real_ranks(self) -> None:
        plan = planned('emulation.device = ["real", "jetson-nano"]', 2)
        assert plan.devices[0] is None
        assert plan.devices[1] is not None


@pytest.mark.parametrize(
    ("text", "ranks", "lines"),
    [
        (
            'topology.name = "5-mesh"',
            4,
            [
                'c.toml:1: topology.name: "5-mesh" is a topology of 5 ranks, and this run has 4; use --ranks 5 (simulate: --workers 5) or mpirun -n 5, or topology "full"'
            ],
        ),
        (
            'topology.name = "circular"',
            1,
            [
                'c.toml:1: topology.name: "circular" is a topology of 2 ranks or more, and this run has 1; use --ranks 2 (simulate: --workers 2) or mpirun -n 2, or topology "full"'
            ],
        ),
        (
            'topology.name = "5-mash"',
            5,
            ['c.toml:1: topology.name: unknown topology "5-mash"; did you mean "5-mesh"?'],
        ),
        (
            "topology.edges = [\n[0, 1],\n[1, 4],\n[2, 2],\n[1, 0],\n]",
            3,
            [
                "c.toml:3: topology.edges[1]: there is no rank 4 among the 3 ranks of this run; use --ranks 5 (simulate: --workers 5) or mpirun -n 5, or ranks from 0 to 2",
                "c.toml:4: topology.edges[2]: rank 2 is linked with itself; join two different ranks",
                "c.toml:5: topology.edges[3]: the edge 1 - 0 is given twice; give each edge once",
            ],
        ),
        (
            "topology.edges = [[0, 1]]",
            4,
            [
                "c.toml:1: topology.edges: no task can get from the source to ranks 2, 3; add edges that lead there, or use fewer ranks"
            ],
        ),
        (
            "topology.edges = [[0, 1]]\ntopology.one_way = true",
            2,
            [
                "c.toml:1: topology.edges: no result can get back to the source from rank 1; add edges that lead back to rank 0"
            ],
        ),
        (
            'topology.name = "line"\n[[topology.links]]\nbetween = [0, 2]\n[[topology.links]]\nbetween = [0, 9]\n[[topology.links]]\nbetween = [1, 1]',
            3,
            [
                'c.toml:2: topology.links[0]: there is no edge 0 - 2 in the topology "line"; describe an edge of the topology',
                "c.toml:4: topology.links[1]: there is no rank 9 among the 3 ranks of this run; use --ranks 10 (simulate: --workers 10) or mpirun -n 10, or ranks from 0 to 2",
                "c.toml:6: topology.links[2]: rank 1 is linked with itself; join two different ranks",
            ],
        ),
        (
            "topology.links = [{ between = [0, 1] }, { between = [1, 0], one_way = true }]",
            2,
            [
                "c.toml:1: topology.links[1]: the link 1 - 0 is given twice; describe each link once, or each way with one_way = true"
            ],
        ),
        (
            'topology.links = [{ between = [0, 1], profile = "wify-5ghz" }]\nemulation.link = "adsl"',
            2,
            [
                'c.toml:1: topology.links[0]: unknown link profile "wify-5ghz"; did you mean "wifi-5ghz"?',
                'c.toml:2: emulation.link: unknown link profile "adsl"; known: ethernet-1g, wifi-5ghz, wifi-2.4ghz, lte',
            ],
        ),
        (
            'emulation.device = "jetson-nanno"',
            2,
            [
                'c.toml:1: emulation.device: unknown device "jetson-nanno"; did you mean "jetson-nano"?'
            ],
        ),
        (
            'emulation.device = ["generic"]',
            2,
            [
                "c.toml:1: emulation.device: 1 device for 2 ranks; give one for each rank, one name for all, or use --ranks 1 (simulate: --workers 1) or mpirun -n 1"
            ],
        ),
        (
            'emulation.device = "mine"\nemulation.devices.mine.block_ms = [1, 2, 3, 4]',
            2,
            [
                'c.toml:2: emulation.devices.mine.block_ms: 4 times for the 5 blocks of "example"; give one time for each block with its head, in order'
            ],
        ),
        (
            "scheme.threshold = [0.5, 0.6]",
            1,
            [
                'c.toml:1: scheme.threshold: 2 thresholds for the 5 exits of "example"; give one number for all, or one for each exit (the last is never used)'
            ],
        ),
        (
            "placement.copies = 2",
            1,
            [
                "c.toml:1: placement.copies: 2 copies of each block do not fit on 1 rank; use --ranks 2 (simulate: --workers 2) or mpirun -n 2 or more, or copies = 1"
            ],
        ),
        (
            "[placement.blocks]\n0 = [1, 2, 6]\n1 = [4]\n3 = [5]",
            2,
            [
                "c.toml:2: placement.blocks.0: there is no block 6; blocks are 1 to 5",
                "c.toml:4: placement.blocks.3: there is no rank 3 among the 2 ranks of this run; use --ranks 4 (simulate: --workers 4) or mpirun -n 4, or ranks from 0 to 1",
                "c.toml:1: placement.blocks: no rank hosts block 3; give it to a rank",
            ],
        ),
        (
            "[topology]\nedges = [[0, 1]]\n[placement.blocks]\n1 = [1, 2, 3, 4]\n2 = [5]",
            3,
            [
                "c.toml:2: topology.edges: no task can get from the source to rank 2; add edges that lead there, or use fewer ranks",
                "c.toml:3: placement.blocks: the source cannot reach block 5: only rank 2 hosts it; give it to a rank that tasks can reach, or add edges",
            ],
        ),
    ],
)
def test_one_line_for_each_mistake(text: str, ranks: int, lines: list[str]) -> None:
    assert refused(text, ranks) == lines


def test_mistakes_of_all_kinds_are_reported_together() -> None:
    text = """
    topology.name = "5-mesh"
    emulation.device = "abacus"
    placement.copies = 9
    scheme.threshold = [1]
    """
    assert [line.split(": ")[1] for line in refused(text, 4)] == [
        "topology.name",
        "emulation.device",
        "scheme.threshold",
        "placement.copies",
    ]


def test_a_config_made_in_code_with_an_unknown_scheme() -> None:
    config = RunConfig.model_validate({"scheme": {"name": "mdi-exti"}})
    with pytest.raises(Exception, match=r'unknown scheme "mdi-exti"; did you mean "mdi-exit"'):
        make_plan(config, 2, FIVE)


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        ('topology.name = "3-circular"', 3),
        ('topology.name = "6-mesh"', 6),
        ("topology.edges = [[0, 3], [1, 2]]", 4),
        ('emulation.device = ["generic", "generic"]', 2),
        ("placement.blocks = {0 = [1], 2 = [2]}", 3),
        ('topology.name = "full"', None),
        ("", None),
    ],
)
def test_the_ranks_that_a_config_is_made_for(text: str, ranks: int | None) -> None:
    assert usual_ranks(parse_config(text, "c.toml")) == ranks


def check(plan: Plan) -> None:
    """The properties that workers rely on."""
    for block in range(1, plan.exits + 1):
        assert plan.hosts(block)
        for rank in range(plan.ranks):
            ways = plan.next_hops[rank][block]
            assert set(ways) <= set(plan.neighbours[rank])
            assert ways or plan.hosts(block) == (rank,)
    for rank in range(plan.ranks):
        home = plan.toward_source[rank]
        assert set(home) <= set(plan.neighbours[rank])
        assert bool(home) == (rank != 0)
        assert rank not in plan.neighbours[rank]
        for other in plan.neighbours[rank]:
            assert rank in plan.neighbours[other]
            assert (rank, other) in plan.links
    assert len(plan.links) == sum(len(neighbours) for neighbours in plan.neighbours)
    assert len(plan.devices) == len(plan.blocks) == plan.ranks


@pytest.mark.slow
@given(
    st.integers(2, 9),
    st.sampled_from(["full", "circular", "line", "star"]),
    st.sampled_from(["partition = true", "copies = 2", "replicate = true"]),
    st.sampled_from(sorted(SCHEMES)),
    st.lists(st.floats(0.001, 1), min_size=1, max_size=6),
)
def test_every_plan_keeps_its_guarantees(
    ranks: int, name: str, way: str, scheme: str, seconds: list[float]
) -> None:
    text = f'topology.name = "{name}"\nplacement.{way}\nscheme.name = "{scheme}"'
    plan = planned(text, ranks, model_of(*seconds))
    check(plan)
    assert plan == planned(text, ranks, model_of(*seconds))
    facts = plan_facts(plan)
    assert json.loads(json.dumps(facts)) == facts


def test_facts_for_the_manifest() -> None:
    text = 'emulation = {device = ["real", "generic"], link = "ethernet-1g"}\nplacement.copies = 2'
    facts = plan_facts(planned(text, 2, model_of(1.0, 1.0)))
    profile = facts.pop("device_profiles")["generic"]
    assert profile["block_s"] == [0.0011, 0.0011]
    assert profile["basis"].startswith("assumption")
    link: dict[str, object] = {"tasks": True}
    link |= {
        "bandwidth_bps": 941e6,
        "delay_s": 1e-4,
        "jitter_s": 2e-5,
        "loss": 0.0,
        "codec": "none",
    }
    assert facts == {
        "ranks": 2,
        "exits": 2,
        "topology": "full",
        "placement": "copies = 2",
        "blocks": [[1, 2], [1, 2]],
        "neighbours": [[1], [0]],
        "links": [{"source": 0, "target": 1, **link}, {"source": 1, "target": 0, **link}],
        "devices": [None, "generic"],
    }


@pytest.mark.parametrize("emulated", [False, True])
def test_a_plan_survives_its_way_to_other_ranks(emulated: bool) -> None:
    emulation = '[emulation]\ndevice = "jetson-nano"\nlink = "wifi-5ghz"' if emulated else ""
    config = parse_config(f'[topology]\nname = "5-mesh"\n{emulation}', "config.toml")
    plan = make_plan(config, 5, FIVE)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert ModelInfo.from_json(json.loads(json.dumps(asdict(FIVE)))) == FIVE


class TestFleetStates:
    """What scripted events leave of a plan, one after the other."""

    @staticmethod
    def last(*events: dict[str, object]) -> FleetState:
        numbered = [EventEntry(at_s=float(at), **event) for at, event in enumerate(events, 1)]
        return fleet_states(numbered)[-1][1]

    def test_whoever_joins_was_absent_before(self) -> None:
        (before_s, before), (at_s, after) = fleet_states(
            [EventEntry(at_s=3.0, kind="join", rank=2)]
        )
        assert (before_s, before.blocks([ALL] * 3)) == (-math.inf, [ALL, ALL, frozenset()])
        assert (at_s, after) == (3.0, FleetState())

    def test_a_worker_that_starts_anew_is_as_fast_as_at_the_start(self) -> None:
        slow, fail, join = (
            {"kind": kind, "rank": 1, **more}
            for kind, more in (("slow", {"factor": 4.0}), ("fail", {}), ("join", {}))
        )
        assert self.last(slow, fail).slowness == {1: 4.0}
        assert self.last(slow, fail, join) == FleetState()

    def test_one_that_left_and_came_back_is_still_slow(self) -> None:
        slow = {"kind": "slow", "rank": 1, "factor": 4.0}
        gone = self.last(slow, {"kind": "leave", "rank": 1})
        assert (gone.left, gone.blocks([ALL, ALL])) == ({1}, [ALL, ALL])
        back = self.last(slow, {"kind": "leave", "rank": 1}, {"kind": "join", "rank": 1})
        assert back == FleetState(slowness={1: 4.0})

    def test_links_change_both_ways_and_keep_what_no_event_names(self) -> None:
        links = {(0, 1): Link(1e6), (1, 0): Link(1e6), (1, 2): Link(1e6), (2, 1): Link(1e6)}
        slower = {"kind": "link", "between": (1, 0), "bandwidth_mbps": 0.5}
        later = {"kind": "link", "between": (0, 1), "delay_ms": 20.0}
        fail = {"kind": "fail", "rank": 2}
        changed = Link(0.5e6, 0.02)
        assert self.last(slower, later, fail).links(links) == {(0, 1): changed, (1, 0): changed}

    def test_more_load_changes_nothing_of_the_fleet(self) -> None:
        assert self.last({"kind": "load", "factor": 2.0}) == FleetState()
