"""Which process wrote a run, told so that no other process can be taken for it.

A pid alone is used again, means another process in another container, and nothing on another host
or after a restart. Beside it stand the kernel's boot, the pid namespace and the process's start.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

START_TOLERANCE_S = 2.0
"""Start times are computed from the boot time, which moves when the clock is set."""


def boot_id() -> str:
    """The kernel's boot on this host, empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The namespace in which this process's pid counts, empty where the system does not tell."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def this_process() -> dict[str, Any]:
    """The facts of this process for a manifest."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "pid_namespace": pid_namespace(),
        "process_started_s": psutil.Process().create_time(),
    }


def may_live(facts: Mapping[str, Any]) -> bool:
    """Whether the process of ``facts`` may still be there: false only where that is certain."""
    pid = facts.get("pid")
    if not isinstance(pid, int) or facts.get("host") != socket.gethostname():
        return True
    boot, namespace = facts.get("boot_id"), facts.get("pid_namespace")
    if boot and boot != boot_id():  # the host was started anew, or another one has its name
        return True
    if namespace and namespace != pid_namespace():
        return True
    return lives(pid, facts.get("process_started_s"))


def lives(pid: int, started_s: float | None = None) -> bool:
    """Whether process ``pid`` of this namespace is there, and is the one that started then."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        born_s = process.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return started_s is None or abs(born_s - started_s) < START_TOLERANCE_S
