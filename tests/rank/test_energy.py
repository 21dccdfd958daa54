"""Meters on synthetic sysfs trees: counters that wrap, changing power, hosts without a meter."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdibench.rank.sensors import Ina3221, find_meter


def rapl_zone(sysfs: Path, number: str, name: str, energy_uj: int, range_uj: int = 1000) -> Path:
    zone = sysfs / "class/powercap" / f"intel-rapl:{number}"
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{energy_uj}\n")
    (zone / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return zone / "energy_uj"


def test_packages_are_summed_and_counters_wrap(tmp_path: Path) -> None:
    one = rapl_zone(tmp_path, "0", "package-0", 900)
    other = rapl_zone(tmp_path, "1", "package-1", 10)
    rapl_zone(tmp_path, "0:0", "core", 500)  # part of a package
    rapl_zone(tmp_path, "2", "psys", 500)  # all of the machine, packages included
    meter = find_meter(tmp_path)
    assert meter is not None
    assert meter.name == "RAPL, 2 packages"
    assert meter.joules() == 0.0
    one.write_text("950")
    other.write_text("40")
    assert meter.joules() == pytest.approx(80e-6)
    one.write_text("20")  # 70 more, over the end of the counter
    assert meter.joules() == pytest.approx(150e-6)


def test_a_jetsons_power_is_integrated(tmp_path: Path) -> None:
    folder = tmp_path / "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    folder.mkdir(parents=True)
    for channel, label in ((1, "VDD_CPU_GPU_CV"), (2, "VDD_IN")):
        (folder / f"in{channel}_label").write_text(f"{label}\n")
        (folder / f"in{channel}_input").write_text("5000\n")
        (folder / f"curr{channel}_input").write_text("800\n")
    found = find_meter(tmp_path)
    assert isinstance(found, Ina3221)
    now_s = 10.0
    meter = Ina3221(folder / "in2_input", folder / "curr2_input", lambda: now_s)
    now_s = 12.0
    assert meter.joules() == pytest.approx(8.0)  # 4 W for 2 s
    (folder / "curr2_input").write_text("1200\n")
    now_s = 13.0
    assert meter.joules() == pytest.approx(13.0)  # between 4 and 6 W for 1 s


def test_a_host_without_a_meter_or_with_an_unreadable_one(tmp_path: Path) -> None:
    assert find_meter(tmp_path) is None
    rapl_zone(tmp_path, "0", "package-0", 1).write_text("")
    assert find_meter(tmp_path) is None
