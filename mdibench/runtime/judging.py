"""How confident is confident enough: thresholds as given, or calibrated to a target."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mdibench.config import RunConfig
from mdibench.runtime.assemble import thresholds_of


@dataclass(frozen=True, slots=True)
class Judging:
    """T_e^k and the temperature of each exit; ``calibration`` tells how they were chosen."""

    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...] = ()
    calibration: dict[str, Any] | None = None

    @classmethod
    def from_json(
        cls, thresholds: list[float], temperatures: list[float], calibration: dict[str, Any] | None
    ) -> Judging:
        """The reverse of ``dataclasses.asdict`` after a way through JSON."""
        return cls(tuple(thresholds), tuple(temperatures), calibration)


def judging_of(config: RunConfig, exits: int) -> Judging:
    """The config's thresholds; a target is looked up on the calibration split, on this rank."""
    scheme = config.scheme
    if scheme.target_accuracy is None and scheme.accuracy_drop is None:
        return Judging(thresholds_of(config, exits))
    from mdibench.compute.calibrated import calibrated_exits

    found = calibrated_exits(config.model, scheme)
    facts = asdict(found.chosen) | {"ece": found.ece, "items": found.items}
    return Judging(found.chosen.thresholds, found.temperatures, facts)
