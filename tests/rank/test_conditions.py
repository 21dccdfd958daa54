"""Sensors on synthetic sysfs trees: boards, laptops, and machines that tell nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdibench.assembly.sampling import Condition
from mdibench.rank.machine import check_conditions
from mdibench.rank.sensors import FIRMWARE, find_sensors


def write(sysfs: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = sysfs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


PI = {
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "61234",
    "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000",
    "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2400000",
    FIRMWARE: "50000",
}
JETSON = {
    "class/thermal/thermal_zone0/type": "CPU-therm",
    "class/thermal/thermal_zone0/temp": "48500",
    "class/thermal/thermal_zone1/type": "GPU-therm",
    "class/thermal/thermal_zone1/temp": "99000",
    "class/thermal/cooling_device0/type": "thermal-cpufreq-0",
    "class/thermal/cooling_device0/cur_state": "0",
    "class/thermal/cooling_device1/type": "pwm-fan",
    "class/thermal/cooling_device1/cur_state": "3",
    "class/hwmon/hwmon1/name": "soctherm_oc",
    "class/hwmon/hwmon1/oc1_event_cnt": "7",
}
LAPTOP = {
    "class/hwmon/hwmon0/name": "nvme",
    "class/hwmon/hwmon0/temp1_input": "80000",
    "class/hwmon/hwmon1/name": "coretemp",
    "class/hwmon/hwmon1/temp1_input": "55000",
    "class/hwmon/hwmon1/temp2_input": "57000",
    "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "12",
}


def test_a_raspberry_pi_and_its_firmware_s_flags(tmp_path: Path) -> None:
    write(tmp_path, PI)
    sensors = find_sensors(tmp_path)
    assert sensors.name == "temperature, clock, throttling"
    read = sensors.reader()
    assert read() == Condition(61.234, 1.95e9, False)  # 0x50000: it happened since the start
    write(tmp_path, {FIRMWARE: "50005"})
    assert read().throttled
    check = check_conditions(tmp_path)
    assert check.state == "note"
    assert check.text.startswith("throttled now; 61 °C, 1.95 GHz")


def test_a_jetson_counts_and_cools_by_clock(tmp_path: Path) -> None:
    write(tmp_path, JETSON)
    read = find_sensors(tmp_path).reader()
    assert read() == Condition(48.5, None, False)  # a fan that turns is no throttling
    write(tmp_path, {"class/hwmon/hwmon1/oc1_event_cnt": "8"})
    assert read().throttled
    assert not read().throttled
    write(tmp_path, {"class/thermal/cooling_device0/cur_state": "2"})
    assert read().throttled


def test_a_laptop_whose_counters_grow(tmp_path: Path) -> None:
    write(tmp_path, LAPTOP)
    read = find_sensors(tmp_path).reader()
    assert read() == Condition(57.0, None, False)
    write(tmp_path, {"devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "13"})
    assert read().throttled


@pytest.mark.parametrize("text", ["", "no number"])
def test_a_sensor_that_is_switched_off_is_left_out(tmp_path: Path, text: str) -> None:
    write(tmp_path, PI)
    read = find_sensors(tmp_path).reader()
    write(tmp_path, {"class/thermal/thermal_zone0/temp": text, FIRMWARE: text})
    assert read() == Condition(None, 1.95e9, None)
    write(tmp_path, {"devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": text})
    assert find_sensors(tmp_path).name == "clock"


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    sensors = find_sensors(tmp_path)
    assert sensors.name == ""
    assert sensors.reader()() == Condition()
    assert check_conditions(tmp_path).state == "note"
