"""What a machine has for running mdibench, and what it lacks: one small probe per subject.

Probes that need another program take ``ask``, which runs one and tells what it said: nothing
here loads MPI or torch into this process.
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

from mdibench.rank.energy import SYSFS, find_meter

FactState = Literal["ok", "note", "missing"]

LEAST_PYTHON = (3, 10)
SHOWN_PACKAGES = ("torch", "mpi4py", "numpy", "pandas", "pyarrow", "pydantic", "textual")
ASK_TIMEOUT_S = 60.0

LIBRARY_PROGRAM = (
    "import mpi4py; mpi4py.rc.initialize = False\n"
    "from mpi4py import MPI\n"
    "import json; print(json.dumps([MPI.get_vendor()[0], MPI.Get_library_version()]))"
)
RANKS_PROGRAM = (
    "from mpi4py import MPI\n"
    "world = MPI.COMM_WORLD\n"
    "world.Barrier()\n"
    "levels = ('single', 'funneled', 'serialized', 'multiple')\n"
    "if world.rank == 0: print('ranks', world.size, 'threads', levels[MPI.Query_thread()])"
)
TORCH_PROGRAM = (
    "import json, torch\n"
    "gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None\n"
    "print(json.dumps([torch.get_num_threads(), gpu]))"
)
STEADY_GOVERNORS = (None, "performance")
STEADY_REMEDY = "sudo cpupower frequency-set -g performance, for steady figures"
LAUNCHER_VARIABLES = re.compile(r"^(PMI|PMIX|OMPI|PRTE|HYDRA|HYDI|MPI_LOCAL|MPIR_CVAR)")


@dataclass(frozen=True, slots=True)
class MachineFact:
    """What a probe found. ``missing`` is something that runs cannot do without."""

    name: str
    state: FactState
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What another program said: its exit status (-1: could not be run), stdout and stderr."""

    status: int
    output: str
    errors: str = ""

    @property
    def last_line(self) -> str:
        """The line in which programs usually say what went wrong."""
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


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> MachineFact:
    """The interpreter."""
    text = f"{platform.python_implementation()} {'.'.join(map(str, version))}, {sys.executable}"
    if version[:2] < LEAST_PYTHON:
        return MachineFact("python", "missing", text, "mdibench needs Python 3.10 or newer")
    return MachineFact("python", "ok", text)


def packages(required: Iterable[str] | None = None) -> MachineFact:
    """The packages that mdibench itself asks for."""
    try:
        names = sorted(_required_packages() if required is None else required)
    except metadata.PackageNotFoundError:
        return MachineFact(
            "packages", "missing", "mdibench is not installed", "pip install mdibench"
        )
    versions = {name: _version(name) for name in names}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        remedy = f"pip install {' '.join(absent)}"
        return MachineFact("packages", "missing", f"not installed: {', '.join(absent)}", remedy)
    told = [f"{name} {versions[name]}" for name in SHOWN_PACKAGES if name in versions]
    return MachineFact("packages", "ok", f"all {len(names)} there: {', '.join(told)}")


def processor(cores: int, memory_bytes: int, model: str) -> MachineFact:
    """Cores and memory that this process may use."""
    text = f"{model}, {cores} core{'s' if cores > 1 else ''}, {memory_bytes / 2**30:.1f} GiB memory"
    if cores < 2:
        return MachineFact(
            "processor", "note", text, "ranks on this host will share one core; emulate devices"
        )
    return MachineFact("processor", "ok", text)


def memory_limit(total_bytes: int, limit_file: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Memory that this process may use: a container's limit where there is one."""
    try:
        written = limit_file.read_text().strip()
    except OSError:
        return total_bytes
    return min(total_bytes, int(written)) if written.isdigit() else total_bytes


def governor(name: str | None) -> MachineFact:
    """Whether the processor's clock may move during a run."""
    if name in STEADY_GOVERNORS:
        return MachineFact(
            "clock", "ok", name or "the system does not tell of a frequency governor"
        )
    return MachineFact("clock", "note", f"frequency governor {name}", STEADY_REMEDY)


def torch(ask: Ask) -> MachineFact:
    """Whether torch loads, and with how many threads."""
    answer = ask([sys.executable, "-c", TORCH_PROGRAM])
    if answer.status != 0:
        return MachineFact("torch", "missing", answer.last_line, "pip install torch")
    threads, gpu = json.loads(answer.output)
    device = f"; CUDA: {gpu} (model.device)" if gpu else "; no CUDA device"
    return MachineFact(
        "torch", "ok", f"{threads} threads by default, fewer with several ranks{device}"
    )


def terminal(is_terminal: bool, columns: int, lines: int) -> MachineFact:
    """Whether the live monitor can draw here."""
    if is_terminal and columns >= 80 and lines >= 20:
        return MachineFact("terminal", "ok", f"{columns} x {lines}")
    if is_terminal:
        return MachineFact("terminal", "note", f"{columns} x {lines}", "the monitor wants 80 x 20")
    remedy = "progress comes as plain lines; run `mdibench monitor` in a terminal"
    return MachineFact("terminal", "note", "output is no terminal", remedy)


def datasets(cifar10: Path | None) -> MachineFact:
    """Data sets that runs can use at once; ``cifar10`` is its folder, where there is one."""
    if cifar10 is not None:
        return MachineFact("data", "ok", f"digits; cifar10 in {cifar10}")
    return MachineFact("data", "note", "digits; no cifar10", "mdibench data fetch cifar10")


def namespaces(ask: Ask) -> MachineFact:
    """Whether links can be shaped for real: network namespaces and tc."""
    if shutil.which("unshare") is None:
        return MachineFact("namespaces", "note", "no unshare program", "install util-linux")
    allowed = ask(["unshare", "--net", "true"]).status == 0
    lacking = [program for program in ("ip", "tc") if shutil.which(program) is None]
    if not allowed:
        return MachineFact(
            "namespaces", "note", "not permitted", "links can be emulated, not shaped by tc"
        )
    if lacking:
        return MachineFact(
            "namespaces", "note", f"permitted; no {' or '.join(lacking)}", "install iproute2"
        )
    return MachineFact(
        "namespaces", "ok", "permitted, with ip and tc: links can be shaped for real"
    )


def energy(sysfs: Path = SYSFS) -> MachineFact:
    """Whether the energy of a run can be read."""
    meter = find_meter(sysfs)
    if meter is not None:
        return MachineFact("energy", "ok", meter.name)
    files = sorted((sysfs / "class/powercap").glob("*/energy_uj"))
    if files and not any(os.access(file, os.R_OK) for file in files):
        remedy = f"sudo chmod a+r {sysfs}/class/powercap/*/energy_uj"
        return MachineFact("energy", "note", "RAPL counters are not readable", remedy)
    what = "neither RAPL nor a Jetson's INA3221: energy stays unknown"
    return MachineFact("energy", "note", what)


def folder(path: Path) -> MachineFact:
    """Whether run folders can be written here."""
    place = path if path.is_dir() else path.parent
    if os.access(place, os.W_OK):
        return MachineFact("results", "ok", f"{path.resolve()} can be written")
    return MachineFact(
        "results", "note", f"{path.resolve()} cannot be written", "--set run.results=…"
    )


def as_dict(finding: MachineFact) -> Mapping[str, str]:
    """For JSON."""
    return {
        "name": finding.name,
        "state": finding.state,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _required_packages() -> list[str]:
    """Names in mdibench's own list, extras left out."""
    lines = metadata.requires("mdibench") or []
    return [
        re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in lines if "extra" not in line
    ]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


# --- mpi probe ---------------------------------------------------------------------------------
# Which MPI library mpi4py loads, which launcher there is, and whether the two fit.
#
# A launcher of one kind with a library of the other is the oldest trap of mpi4py: every rank thinks
# that it is alone. Everything happens in other processes: MPI must not start in this one.

INSTALL = "pip install 'mdibench[mpich]', or load your cluster's MPI module"
MPICH_LIKE = ("MPICH", "Intel MPI", "MVAPICH", "Cray MPI")
"""Libraries that Hydra, MPICH's launcher, starts."""

Which = Callable[[str], "str | None"]


@dataclass(frozen=True, slots=True)
class Launcher:
    """A program that starts ranks: ``kind`` is MPICH, Open MPI or Slurm."""

    path: str
    kind: str
    on_path: bool


def library(ask: Ask) -> tuple[str, MachineFact]:
    """The MPI library that mpi4py loads: its vendor (empty for none), and what was found."""
    answer = ask([sys.executable, "-c", LIBRARY_PROGRAM])
    if answer.status != 0:
        return "", MachineFact("MPI library", "missing", answer.last_line, INSTALL)
    vendor, version = json.loads(answer.output.strip().splitlines()[-1])
    told = plain_version(str(version).splitlines()[0])
    name = "" if told.split()[:1] == [vendor] else f"{vendor}: "
    return vendor, MachineFact("MPI library", "ok", f"{name}{told}"[:100])


def plain_version(line: str) -> str:
    """What a library says of itself in one line, without padding: ``MPICH 5.0.2``."""
    return " ".join(line.replace("Version:", "").split())


def find_launcher(
    ask: Ask, which: Which = shutil.which, beside: Path = Path(sys.executable).parent
) -> Launcher | None:
    """The launcher that a user's ``mpirun`` means, else the one beside this Python, else srun."""
    for name in ("mpirun", "mpiexec"):
        found = which(name)
        if found:
            return Launcher(found, _kind(ask, found), True)
    own = beside / "mpirun"
    if own.exists():
        return Launcher(str(own), _kind(ask, str(own)), False)
    srun = which("srun")
    return Launcher(srun, "Slurm", True) if srun else None


def launcher(found: Launcher | None, vendor: str) -> MachineFact:
    """Whether there is a launcher, and whether it is of the library's kind."""
    if found is None:
        return MachineFact("launcher", "missing", "no mpirun, mpiexec or srun", INSTALL)
    text = f"{found.kind or 'unknown kind'}, {found.path}"
    if vendor and not fits(found.kind, vendor):
        return MachineFact(
            "launcher",
            "missing",
            f"{text} does not start {vendor}: every rank would think that it is alone",
            f"use {vendor}'s own mpirun, or choose the library with MPI4PY_MPIABI",
        )
    if not found.on_path:
        return MachineFact(
            "launcher", "note", f"{text} (not on PATH)", "use that path, or --ranks N"
        )
    return MachineFact("launcher", "ok", text)


def fits(kind: str, vendor: str) -> bool:
    """Whether a launcher of this kind starts ranks of this library."""
    if kind in ("Slurm", ""):
        return True
    return vendor == kind or (kind == "MPICH" and vendor in MPICH_LIKE)


def two_ranks(ask: Ask, found: Launcher | None) -> MachineFact:
    """Start two ranks and see whether they see each other."""
    name = "two ranks"
    if found is None or found.kind == "Slurm":
        return MachineFact(name, "note", "not tried: no mpirun")
    options = ["--oversubscribe", "--bind-to", "none"] if found.kind == "Open MPI" else []
    answer = ask([found.path, "-n", "2", *options, sys.executable, "-c", RANKS_PROGRAM])
    said = next((line for line in answer.output.splitlines() if line.startswith("ranks ")), "")
    if said.startswith("ranks 2 "):
        return MachineFact(name, "ok", f"start and see each other; thread level {said.split()[-1]}")
    if said.startswith("ranks 1 "):
        remedy = "launcher and MPI library do not fit; see above"
        return MachineFact(name, "missing", "each thinks that it is alone", remedy)
    return MachineFact(name, "missing", f"do not start: {answer.last_line[:100]}", INSTALL)


def run_command(found: Launcher | None, vendor: str) -> list[str]:
    """How to start a run on the hosts of a file, and what that file must look like."""
    kind = found.kind if found else vendor
    hidden = found is not None and not found.on_path
    path = found.path if found and hidden else "mpirun"
    program = f"{sys.executable if hidden else 'python'} -m mdibench run CONFIG"
    if kind == "Slurm":
        return [f"srun -n 4 --mpi=pmix {program}", "or --mpi=pmi2, as the cluster has it"]
    if kind == "Open MPI":
        return [f"{path} --hostfile hostfile -n 4 {program}", "hostfile: lines HOST slots=4"]
    return [f"{path} -f hostfile -n 4 {program}", "hostfile: lines HOST:4"]


def _kind(ask: Ask, path: str) -> str:
    """The kind of an ``mpirun``, by what it says of itself; empty for an unknown one."""
    said = ask([path, "--version"]).output.lower()
    if "open mpi" in said or "open-mpi" in said or "prte" in said:
        return "Open MPI"
    if "hydra" in said or "mpich" in said or "intel(r) mpi" in said:
        return "MPICH"
    return "Slurm" if "slurm" in said else ""
