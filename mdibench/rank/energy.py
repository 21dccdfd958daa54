"""The energy of a host during a run, where it has a meter that this process may read.

One rank of each host reads it with every telemetry sample: the meter counts everything that runs
on the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

SYSFS = Path("/sys")
_MICRO = 1e-6


class Meter(Protocol):
    """An energy meter; ``name`` says what it measures."""

    name: str

    def joules(self) -> float:
        """Energy since the meter was made. Raises OSError when it can no longer be read."""


class Rapl:
    """RAPL counters of the processor packages, in microjoules; they wrap after some minutes.

    ``zones`` are powercap folders of Linux with ``energy_uj`` and ``max_energy_range_uj``.
    """

    def __init__(self, zones: Sequence[Path]) -> None:
        self.name = f"RAPL, {len(zones)} package{'s' * (len(zones) > 1)}"
        self._ranges = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
        self._last = {zone: _number(zone / "energy_uj") for zone in zones}
        self._total_uj = 0

    def joules(self) -> float:
        """Energy since the meter was made."""
        for zone, last in self._last.items():
            now = self._last[zone] = _number(zone / "energy_uj")
            self._total_uj += now - last if now >= last else now - last + self._ranges[zone]
        return self._total_uj * _MICRO


class Ina3221:
    """A Jetson's board power (``VDD_IN``, as tegrastats shows it), integrated between readings.

    ``volts`` and ``amperes`` are its sysfs files, in millivolts and milliamperes.
    """

    name = "INA3221, VDD_IN"

    def __init__(
        self, volts: Path, amperes: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._volts, self._amperes, self._clock = volts, amperes, clock
        self._read_s, self._watts = clock(), self._power()
        self._total_j = 0.0

    def joules(self) -> float:
        """Energy since the meter was made, by the trapezoidal rule."""
        now_s, watts = self._clock(), self._power()
        self._total_j += (watts + self._watts) / 2 * (now_s - self._read_s)
        self._read_s, self._watts = now_s, watts
        return self._total_j

    def _power(self) -> float:
        return _number(self._volts) * _number(self._amperes) * _MICRO


def find_meter(sysfs: Path = SYSFS) -> Meter | None:
    """The host's meter; None if it has none or this process may not read it."""
    try:
        return _rapl(sysfs) or _ina3221(sysfs)
    except (OSError, ValueError):
        return None


def _rapl(sysfs: Path) -> Rapl | None:
    zones = [
        zone
        for zone in sorted((sysfs / "class/powercap").glob("intel-rapl:*"))
        if (zone / "name").read_text().startswith("package")
    ]
    return Rapl(zones) if zones else None


def _ina3221(sysfs: Path) -> Ina3221 | None:
    for label in sorted((sysfs / "bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*/in*_label")):
        if label.read_text().strip() == "VDD_IN":
            channel = label.name.removeprefix("in").removesuffix("_label")
            return Ina3221(
                label.with_name(f"in{channel}_input"), label.with_name(f"curr{channel}_input")
            )
    return None


def _number(path: Path) -> int:
    return int(path.read_text())
