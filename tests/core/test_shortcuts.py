"""What the core remembers to save time must always be what it would work out anew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from mdibench.core.neighbours import Neighbour
from mdibench.core.worker import Worker
from mdibench.policy.algorithms import Candidate
from tests.core.test_conservation import specs
from tests.worlds import Spec, run


@settings(max_examples=60)
@given(specs())
def test_shortcuts_change_nothing(spec: Spec) -> None:
    """The same trace, whether candidates and unrest are remembered or worked out every time."""
    quick = run(spec).rows

    def candidate(self: Neighbour) -> Candidate:
        return Candidate(self.rank, self.input_queue, self.gamma_s, self.hop_delay_s)

    def restless(self: Worker) -> bool:
        if self.output_queue:
            return True
        neighbours = self.neighbours.values()
        return any(n.needs_telling(self.waiting, self.gamma_s) for n in neighbours)

    def waiting(self: Worker) -> int:
        return len(self.input_queue) + sum(len(batch) for batch in list(self._batches)[1:])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Neighbour, "as_candidate", candidate)
        patch.setattr(Worker, "_restless", restless)
        patch.setattr(Worker, "waiting", property(waiting))
        patch.setattr(Worker, "soonest_wake", lambda self: float("-inf"))
        assert run(spec).rows == quick
