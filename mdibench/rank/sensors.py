"""A host's energy, temperature, clock and throttling, from the files of Linux and of vendors.

One rank of each host reads them with every telemetry sample: they count everything that runs on
the host. What a host does not tell is None: virtual machines mostly tell nothing.

* Energy: the counters of Intel and AMD processors (RAPL), a Jetson's INA3221.
* Temperature: the hottest sensor of the processor, in ``class/thermal`` (boards, x86 packages) or
  ``class/hwmon`` (desktops).
* Clock: the mean of all cores that ``cpufreq`` reports.
* Throttling: the flags of a Raspberry Pi's firmware, which ``vcgencmd get_throttled`` prints too;
  the counters of Intel processors and of a Jetson's over-current events; the state of cooling
  devices that lower the processor's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from mdibench.assembly.manifest import RunPreamble
from mdibench.assembly.sampling import Condition, ProcessFacts

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


# --- temperature, clock, throttling --------------------------------------------------------------

FIRMWARE = "devices/platform/soc/soc:firmware/get_throttled"
HELD_BACK_NOW = 0b1111
"""Of the firmware's flags: under-voltage, frequency capped, throttled, soft temperature limit."""
PROCESSOR_ZONES = ("cpu", "x86_pkg_temp", "soc", "tj", "acpitz", "bigcore", "littlecore")
"""How the type of a thermal zone begins that tells of the processor."""
PROCESSOR_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
COOLING = ("processor", "thermal-cpufreq", "cpufreq", "cpu-")
COUNTERS = (
    "devices/system/cpu/cpu*/thermal_throttle/*_throttle_count",
    "class/hwmon/hwmon*/oc*_event_cnt",
)


@dataclass(frozen=True, slots=True)
class Sensors:
    """The files of a host that can be read; a sampling reads each of them once."""

    temperatures: tuple[Path, ...]
    clocks: tuple[Path, ...]
    flags: tuple[Path, ...]
    states: tuple[Path, ...]
    counters: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What it measures, for the manifest; empty where there is nothing."""
        parts = {
            "temperature": self.temperatures,
            "clock": self.clocks,
            "throttling": (*self.flags, *self.states, *self.counters),
        }
        return ", ".join(part for part, files in parts.items() if files)

    def reader(self) -> Callable[[], Condition]:
        """Reads the condition; throttling by counters means: since the reading before."""
        before = _known(self.counters)

        def read() -> Condition:
            nonlocal before
            counted = _known(self.counters)
            signs = [flag & HELD_BACK_NOW for flag in _known(self.flags, base=16).values()]
            signs += _known(self.states).values()
            signs += [count - before.get(path, count) for path, count in counted.items()]
            before |= counted
            degrees = [milli / 1000 for milli in _known(self.temperatures).values()]
            clocks = [1000.0 * kilo for kilo in _known(self.clocks).values()]
            return Condition(
                temperature_c=max(degrees, default=None),
                clock_hz=sum(clocks) / len(clocks) if clocks else None,
                throttled=any(sign > 0 for sign in signs) if signs else None,
            )

        return read


def find_sensors(sysfs: Path = SYSFS) -> Sensors:
    """What this host tells."""
    zones = _typed(sysfs.glob("class/thermal/thermal_zone*/type"), PROCESSOR_ZONES, "temp")
    chips = _typed(sysfs.glob("class/hwmon/hwmon*/name"), PROCESSOR_CHIPS, "temp*_input")
    cooling = _typed(sysfs.glob("class/thermal/cooling_device*/type"), COOLING, "cur_state")
    return Sensors(
        temperatures=_readable(zones or chips),
        clocks=_readable(sysfs.glob("devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")),
        flags=_readable([sysfs / FIRMWARE], base=16),
        states=_readable(cooling),
        counters=_readable(path for pattern in COUNTERS for path in sysfs.glob(pattern)),
    )


def facts_reader(preamble: RunPreamble, rank: int) -> Callable[[], ProcessFacts]:
    """Reads the figures of this process and, on the first rank of a host, those of the host.

    Where devices are emulated, the host's meter does not measure those.
    """
    hosts = [each["host"] for each in preamble.ranks]
    first = hosts.index(hosts[rank]) == rank
    meter = find_meter() if first and not any(preamble.plan.devices) else None
    condition = find_sensors().reader() if first else Condition
    process = psutil.Process()

    def read() -> ProcessFacts:
        times = process.cpu_times()
        rss_bytes, cpu_s = process.memory_info().rss, times.user + times.system
        return ProcessFacts(rss_bytes, cpu_s, _joules(meter), condition())

    return read


def _joules(meter: Meter | None) -> float | None:
    if meter is not None:
        with suppress(OSError, ValueError):  # a failing meter must not end the run
            return meter.joules()
    return None


def _typed(files: Iterable[Path], kinds: tuple[str, ...], wanted: str) -> list[Path]:
    """The ``wanted`` files beside those of ``files`` whose text begins with one of ``kinds``."""
    found: list[Path] = []
    for file in sorted(files):
        try:
            kind = file.read_text().strip().lower()
        except OSError:
            continue
        if kind.startswith(kinds):
            found += sorted(file.parent.glob(wanted))
    return found


def _readable(paths: Iterable[Path], base: int = 10) -> tuple[Path, ...]:
    return tuple(_known(sorted(paths), base))


def _known(paths: Iterable[Path], base: int = 10) -> dict[Path, int]:
    """The numbers in ``paths``; a sensor that is switched off answers with an error."""
    numbers = {}
    for path in paths:
        try:
            numbers[path] = int(path.read_text(), base)
        except (OSError, ValueError):
            continue
    return numbers
