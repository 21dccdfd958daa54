from mdibench.monitor.app.paint.panels import positions
from mdibench.monitor.facts import facts_of
from tests.monitor.synthetic import Synthetic


def test_facts_of_a_run() -> None:
    facts = facts_of(Synthetic(ranks=4).manifest())
    assert (facts.ranks, facts.exits, facts.scheme) == (4, 5, "mdi-exit")
    assert facts.setting == "mdi-exit · emulated jetson-nano / wifi-5ghz · full"
    assert facts.planned_s == 12.0
    assert len(facts.links) == 12


def test_an_empty_manifest_has_neutral_facts() -> None:
    facts = facts_of({})
    assert (facts.ranks, facts.exits) == (1, 1)
    assert facts.planned_s is None
    assert facts.setting == ""


def test_a_short_plan_is_filled_up() -> None:
    facts = facts_of({"plan": {"ranks": 3, "blocks": [[1]], "hosts": None}})
    assert facts.blocks == ((1,), (), ())
    assert facts.hosts == ("", "", "")


def test_items_instead_of_time_have_no_planned_end() -> None:
    assert facts_of({"config": {"run": {"items": 500, "duration_s": 9.0}}}).planned_s is None


def test_positions() -> None:
    full = positions([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    assert full[0] == (0.5, 0.0)
    line = positions([[1], [0, 2], [1]])
    assert [line[n] for n in range(3)] == [(0.0, 0.5), (0.5, 0.5), (1.0, 0.5)]
    star = positions([[2], [2], [0, 1, 3], [2]])
    assert star[2] == (0.5, 0.5)
    assert positions([[]]) == {0: (0.5, 0.5)}
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in positions([[]] * 64).values())
