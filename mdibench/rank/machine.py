"""Checks of this machine for ``mdibench doctor``: what runs need, and what is missing.

A check that needs another program takes ``ask``, which runs the program and returns its output:
nothing here loads MPI or torch into this process. The checks of MPI are in ``mpi_check``.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from mdibench import compiled
from mdibench.assembly import environment
from mdibench.rank.sensors import SYSFS, find_meter, find_sensors

CheckState = Literal["ok", "note", "missing"]

LEAST_PYTHON = (3, 10)
SHOWN_PACKAGES = ("torch", "mpi4py", "numpy", "pandas", "pyarrow", "pydantic", "textual")
ASK_TIMEOUT_S = 60.0

TORCH_PROGRAM = (
    "import json, torch\n"
    "gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None\n"
    "print(json.dumps([torch.get_num_threads(), gpu]))"
)
STEADY_GOVERNORS = (None, "performance")
STEADY_REMEDY = "sudo cpupower frequency-set -g performance, for steady figures"
COOLER_REMEDY = "cool it, or give it a stronger power supply, for steady figures"
LAUNCHER_VARIABLES = re.compile(r"^(PMI|PMIX|OMPI|PRTE|HYDRA|HYDI|MPI_LOCAL|MPIR_CVAR)")


@dataclass(frozen=True, slots=True)
class MachineCheck:
    """The result of one check. ``missing``: runs cannot start without it."""

    name: str
    state: CheckState
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A program's exit status (-1: it could not be started), stdout and stderr."""

    status: int
    output: str
    errors: str = ""

    @property
    def last_line(self) -> str:
        """The last line of stderr, else of stdout: usually the error message."""
        lines = (self.errors.strip() or self.output.strip()).splitlines()
        return lines[-1].strip() if lines else f"exit status {self.status}"


Ask = Callable[[Sequence[str]], Answer]


def ask(command: Sequence[str]) -> Answer:
    """Run a program outside any MPI job that this process may belong to."""
    variables = {k: v for k, v in os.environ.items() if not LAUNCHER_VARIABLES.match(k)}
    if os.geteuid() == 0:
        variables |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=ASK_TIMEOUT_S,
            env=variables,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        return Answer(-1, "", str(failure))
    return Answer(done.returncode, done.stdout, done.stderr)


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> MachineCheck:
    """Whether the Python interpreter is recent enough."""
    text = f"{platform.python_implementation()} {'.'.join(map(str, version))}, {sys.executable}"
    if version[:2] < LEAST_PYTHON:
        return MachineCheck("python", "missing", text, "mdibench needs Python 3.10 or newer")
    return MachineCheck("python", "ok", text)


def check_packages(required: Iterable[str] | None = None) -> MachineCheck:
    """Whether the packages that mdibench requires are installed."""
    try:
        names = sorted(_required_packages() if required is None else required)
    except metadata.PackageNotFoundError:
        return MachineCheck(
            "packages", "missing", "mdibench is not installed", "pip install mdibench"
        )
    versions = {name: _version(name) for name in names}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        remedy = f"pip install {' '.join(absent)}"
        return MachineCheck("packages", "missing", f"not installed: {', '.join(absent)}", remedy)
    shown = [f"{name} {versions[name]}" for name in SHOWN_PACKAGES if name in versions]
    return MachineCheck("packages", "ok", f"all {len(names)} installed: {', '.join(shown)}")


def check_processor(
    cores: int, memory_bytes: int, model: str, quota: float | None = None
) -> MachineCheck:
    """The cores and memory that this process may use; ``quota`` of its control group, in cores."""
    number = f"{cores} core{'s' if cores > 1 else ''}"
    if quota is not None:
        number = f"{quota:g} cores by quota"
    text = f"{model}, {number}, {memory_bytes / 2**30:.1f} GiB memory"
    if quota is not None and quota < 2:
        remedy = "the kernel stops processes beyond it: raise the limit (docker run --cpus)"
        return MachineCheck("processor", "note", text, remedy)
    if cores < 2:
        return MachineCheck(
            "processor", "note", text, "ranks on this host will share one core; emulate devices"
        )
    return MachineCheck("processor", "ok", text)


def check_compiled() -> MachineCheck:
    """Whether ranks run the state machines as machine code."""
    name = "machine code"
    if compiled.find_build() is not None:
        return MachineCheck(name, "ok", "of the present sources, for this Python")
    if os.environ.get(compiled.SWITCH) == "0":
        return MachineCheck(name, "note", f"switched off by {compiled.SWITCH}=0")
    text = "none of the present sources: a rank takes about twice the processor time per item"
    return MachineCheck(name, "note", text, "mdibench compile")


def check_shared_memory(found: environment.SharedMemory | None, ranks: int = 2) -> MachineCheck:
    """Whether ``ranks`` ranks of this host can share memory, which MPI needs at its start."""
    name = "shared memory"
    if found is None:
        return MachineCheck(name, "note", "no /dev/shm; MPI finds another way, or does not start")
    lack = environment.lacking_shared_memory(ranks, found.free)
    if lack:
        return MachineCheck(name, "missing", lack, environment.SHARED_MEMORY_REMEDY)
    most = found.free // environment.SHARED_MEMORY_A_RANK
    text = f"{found.free / 2**20:.0f} MiB free in /dev/shm"
    return MachineCheck(name, "ok", text + (f", enough for {most} ranks" if most < 32 else ""))


def check_governor(name: str | None) -> MachineCheck:
    """Whether the processor's clock frequency may change during a run."""
    if name in STEADY_GOVERNORS:
        return MachineCheck("clock", "ok", name or "the system reports no frequency governor")
    return MachineCheck("clock", "note", f"frequency governor {name}", STEADY_REMEDY)


def check_torch(ask: Ask) -> MachineCheck:
    """Whether torch loads, and with how many threads."""
    answer = ask([sys.executable, "-c", TORCH_PROGRAM])
    if answer.status != 0:
        return MachineCheck("torch", "missing", answer.last_line, "pip install torch")
    threads, gpu = json.loads(answer.output)
    device = f"; CUDA: {gpu} (model.device)" if gpu else "; no CUDA device"
    return MachineCheck(
        "torch", "ok", f"{threads} threads by default, fewer with several ranks{device}"
    )


def check_terminal(is_terminal: bool, columns: int, lines: int) -> MachineCheck:
    """Whether the live monitor can draw here."""
    if is_terminal and columns >= 80 and lines >= 20:
        return MachineCheck("terminal", "ok", f"{columns} x {lines}")
    if is_terminal:
        return MachineCheck("terminal", "note", f"{columns} x {lines}", "the monitor needs 80 x 20")
    remedy = "progress is printed as plain lines; run `mdibench monitor` in a terminal"
    return MachineCheck("terminal", "note", "output is not a terminal", remedy)


def check_datasets(cifar10: Path | None) -> MachineCheck:
    """The data sets present; ``cifar10`` is the folder of CIFAR-10, or None."""
    if cifar10 is not None:
        return MachineCheck("data", "ok", f"digits; cifar10 in {cifar10}")
    return MachineCheck("data", "note", "digits; no cifar10", "mdibench data fetch cifar10")


def check_namespaces(ask: Ask) -> MachineCheck:
    """Whether real links can be shaped, with network namespaces and tc."""
    if shutil.which("unshare") is None:
        return MachineCheck("namespaces", "note", "no unshare program", "install util-linux")
    allowed = ask(["unshare", "--net", "true"]).status == 0
    absent = [program for program in ("ip", "tc") if shutil.which(program) is None]
    if not allowed:
        return MachineCheck(
            "namespaces", "note", "not permitted", "links can be emulated, not shaped by tc"
        )
    if absent:
        return MachineCheck(
            "namespaces", "note", f"permitted; no {' or '.join(absent)}", "install iproute2"
        )
    return MachineCheck("namespaces", "ok", "permitted, with ip and tc: real links can be shaped")


def check_energy(sysfs: Path = SYSFS) -> MachineCheck:
    """Whether this host has an energy meter that can be read."""
    meter = find_meter(sysfs)
    if meter is not None:
        return MachineCheck("energy", "ok", meter.name)
    files = sorted((sysfs / "class/powercap").glob("*/energy_uj"))
    if files and not any(os.access(file, os.R_OK) for file in files):
        remedy = f"sudo chmod a+r {sysfs}/class/powercap/*/energy_uj"
        return MachineCheck("energy", "note", "RAPL counters are not readable", remedy)
    what = "neither RAPL nor a Jetson's INA3221: energy is not measured"
    return MachineCheck("energy", "note", what)


def check_conditions(sysfs: Path = SYSFS) -> MachineCheck:
    """Whether this host tells its temperature, its clock and when it is throttled."""
    sensors = find_sensors(sysfs)
    if not sensors.name:
        return MachineCheck("sensors", "note", "no temperature, clock or throttling is told here")
    now = sensors.reader()()
    figures = [
        f"{now.temperature_c:.0f} °C" if now.temperature_c is not None else "",
        f"{now.clock_hz / 1e9:.2f} GHz" if now.clock_hz is not None else "",
    ]
    text = ", ".join(filter(None, [*figures, f"can be read: {sensors.name}"]))
    if now.throttled:
        return MachineCheck("sensors", "note", f"throttled now; {text}", COOLER_REMEDY)
    return MachineCheck("sensors", "ok", text)


def check_folder(path: Path) -> MachineCheck:
    """Whether run folders can be written here."""
    target = path if path.is_dir() else path.parent
    if os.access(target, os.W_OK):
        return MachineCheck("results", "ok", f"{path.resolve()} can be written")
    return MachineCheck(
        "results", "note", f"{path.resolve()} cannot be written", "--set run.results=…"
    )


def as_dict(check: MachineCheck) -> Mapping[str, str]:
    """``check`` as JSON-able data."""
    return {
        "name": check.name,
        "state": check.state,
        "text": check.text,
        "remedy": check.remedy,
    }


def _required_packages() -> list[str]:
    """The requirements in mdibench's metadata, without the extras."""
    lines = metadata.requires("mdibench") or []
    return [
        re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in lines if "extra" not in line
    ]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
