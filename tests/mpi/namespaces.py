"""Two network namespaces joined by a shaped veth pair, and mpirun that puts one rank in each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mpi.jobs import environment, mpirun

NAMES = ("mdibench-test-0", "mdibench-test-1")
ADDRESSES = ("10.213.7.1", "10.213.7.2")
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


def why_not() -> str:
    """Why namespaces cannot be used here; empty where they can."""
    if not (shutil.which("ip") and shutil.which("tc")):
        return "ip and tc (iproute2) are not installed"
    made = _run("ip", "netns", "add", f"{NAMES[0]}-try")
    if made.returncode:
        return f"network namespaces are not permitted: {made.stderr.strip()}"
    link = _run("ip", "-n", f"{NAMES[0]}-try", "link", "add", "try0", "type", "veth")
    shaped = _run(
        *("ip", "netns", "exec", f"{NAMES[0]}-try", "tc", "qdisc", "add", "dev", "try0", "root"),
        *("tbf", "rate", "1mbit", "burst", "8kb", "latency", "1s"),
    )
    _run("ip", "netns", "del", f"{NAMES[0]}-try")
    if link.returncode or shaped.returncode:
        return f"no veth pair or no tc tbf: {link.stderr.strip()} {shaped.stderr.strip()}"
    version = _run(mpirun(), "--version").stdout
    return "" if "HYDRA" in version.upper() else "the launcher is not MPICH's hydra"


@dataclass(frozen=True)
class World:
    """Two hosts that are none; ``run`` starts a rank on each."""

    script: Path

    def run(self, *program: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        """``mdibench PROGRAM...`` on both, with every byte between them on the shaped wire."""
        line = [
            *("ip", "netns", "exec", NAMES[0], mpirun()),
            *("-launcher", "ssh", "-launcher-exec", str(self.script)),
            *("-localhost", ADDRESSES[0], "-hosts", ",".join(ADDRESSES), "-n", "2", "-ppn", "1"),
            *(sys.executable, "-m", "mdibench", *program),
        ]
        # MPICH's other network module, UCX, would cross the namespaces by shared memory.
        wire = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": DEVICE}
        return _run(*line, timeout_s=timeout_s, env=environment(**wire))


@contextmanager
def shaped_pair(folder: Path, rate: str) -> Iterator[World]:
    """Two namespaces whose only link carries ``rate`` (as tc writes it) each way."""
    try:
        _build(rate)
        cases = (f'{a}) name="{n}";;' for a, n in zip(ADDRESSES, NAMES, strict=True))
        script = folder / "launch.sh"
        script.write_text(LAUNCH.format(cases="\n".join(cases)))
        script.chmod(0o755)
        yield World(script)
    finally:
        for name in NAMES:
            _run("ip", "netns", "del", name)


def _build(rate: str) -> None:
    for name in NAMES:
        _must("ip", "netns", "add", name)
    peer = ("type", "veth", "peer", "name", DEVICE, "netns", NAMES[1])
    _must("ip", "link", "add", DEVICE, "netns", NAMES[0], *peer)
    for name, address in zip(NAMES, ADDRESSES, strict=True):
        _must("ip", "-n", name, "link", "set", "lo", "up")
        _must("ip", "-n", name, "link", "set", DEVICE, "up")
        _must("ip", "-n", name, "addr", "add", f"{address}/24", "dev", DEVICE)
        shape = ("root", "tbf", "rate", rate, "burst", "8kb", "latency", "2s")
        _must("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", DEVICE, *shape)


def _must(*line: str) -> None:
    _run(*line).check_returncode()


def _run(
    *line: str, timeout_s: float = 20, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = line
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout_s, env=env
    )
