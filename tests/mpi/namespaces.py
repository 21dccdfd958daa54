"""Network namespaces joined by a bridge, and mpirun that puts one rank in each.

Each has one link, whose rate is shaped and which can be cut.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mpi.jobs import environment, mpirun

PREFIX = "mdibench-test"
SWITCH = f"{PREFIX}-switch"
DEVICE = "veth0"
LAUNCH = """#!/bin/sh
# hydra calls this as: script [-x] host command...
[ "$1" = "-x" ] && shift
case "$1" in
{cases}
esac
shift
exec ip netns exec "$name" sh -c "$*"
"""


def name(rank: int) -> str:
    """The namespace of a rank."""
    return f"{PREFIX}-{rank}"


def address(rank: int) -> str:
    """Its address."""
    return f"10.213.7.{rank + 1}"


def why_not() -> str:
    """Why namespaces cannot be used here; empty where they can."""
    if not (shutil.which("ip") and shutil.which("tc")):
        return "ip and tc (iproute2) are not installed"
    trial = f"{PREFIX}-try"
    made = _run("ip", "netns", "add", trial)
    if made.returncode:
        return f"network namespaces are not permitted: {made.stderr.strip()}"
    link = _run("ip", "-n", trial, "link", "add", "try0", "type", "veth")
    bridge = _run("ip", "-n", trial, "link", "add", "br0", "type", "bridge")
    shaped = _run(
        *("ip", "netns", "exec", trial, "tc", "qdisc", "add", "dev", "try0", "root"),
        *("tbf", "rate", "1mbit", "burst", "8kb", "latency", "1s"),
    )
    _run("ip", "netns", "del", trial)
    if failed := [one.stderr.strip() for one in (link, bridge, shaped) if one.returncode]:
        return f"no veth pair, bridge or tc tbf: {' '.join(failed)}"
    version = _run(mpirun(), "--version").stdout
    return "" if "HYDRA" in version.upper() else "the launcher is not MPICH's hydra"


WIRE = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": DEVICE}
"""MPICH's other network module, UCX, would cross the namespaces by shared memory."""


@dataclass(frozen=True)
class World:
    """Hosts that are none; ``run`` starts a rank on each."""

    script: Path
    ranks: int

    def line(self, *program: str) -> list[str]:
        """The command that starts ``mdibench PROGRAM...`` on all of them."""
        hosts = ",".join(map(address, range(self.ranks)))
        return [
            *("ip", "netns", "exec", name(0), mpirun()),
            *("-launcher", "ssh", "-launcher-exec", str(self.script)),
            *("-localhost", address(0), "-hosts", hosts, "-n", str(self.ranks), "-ppn", "1"),
            *(sys.executable, "-m", "mdibench", *program),
        ]

    def run(self, *program: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        """Run it to its end, with every byte between the ranks on the shaped wires."""
        return _run(*self.line(*program), timeout_s=timeout_s, env=environment(**WIRE))

    def cut(self, rank: int) -> None:
        """Take the link of ``rank`` away."""
        _must("ip", "-n", name(rank), "link", "set", DEVICE, "down")

    def mend(self, rank: int) -> None:
        """Give it back."""
        _must("ip", "-n", name(rank), "link", "set", DEVICE, "up")


@contextmanager
def shaped_hosts(folder: Path, rate: str, ranks: int = 2) -> Iterator[World]:
    """Namespaces whose links carry ``rate`` (as tc writes it) each way."""
    try:
        _build(rate, ranks)
        cases = (f'{address(rank)}) name="{name(rank)}";;' for rank in range(ranks))
        script = folder / "launch.sh"
        script.write_text(LAUNCH.format(cases="\n".join(cases)))
        script.chmod(0o755)
        yield World(script, ranks)
    finally:
        for each in (SWITCH, *map(name, range(ranks))):
            _run("ip", "netns", "del", each)


def _build(rate: str, ranks: int) -> None:
    _must("ip", "netns", "add", SWITCH)
    _must("ip", "-n", SWITCH, "link", "add", "br0", "type", "bridge")
    _must("ip", "-n", SWITCH, "link", "set", "br0", "up")
    for rank in range(ranks):
        host, port = name(rank), f"port{rank}"
        _must("ip", "netns", "add", host)
        peer = ("type", "veth", "peer", "name", port, "netns", SWITCH)
        _must("ip", "link", "add", DEVICE, "netns", host, *peer)
        _must("ip", "-n", SWITCH, "link", "set", port, "master", "br0", "up")
        _must("ip", "-n", host, "link", "set", "lo", "up")
        _must("ip", "-n", host, "link", "set", DEVICE, "up")
        _must("ip", "-n", host, "addr", "add", f"{address(rank)}/24", "dev", DEVICE)
        shape = ("root", "tbf", "rate", rate, "burst", "8kb", "latency", "2s")
        _must("ip", "netns", "exec", host, "tc", "qdisc", "add", "dev", DEVICE, *shape)


def _must(*line: str) -> None:
    _run(*line).check_returncode()


def _run(
    *line: str, timeout_s: float = 20, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = line
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout_s, env=env
    )
