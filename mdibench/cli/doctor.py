"""``mdibench doctor``: what this machine has for runs, what it lacks, and how to start one here.

Under mpirun, with several ranks: whether their hosts fit each other.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from mdibench import errors
from mdibench.cli.hosts import check_hostfile
from mdibench.rank import host_comparison, machine, mpi_check
from mdibench.rank.machine import MachineCheck
from mdibench.report import WIDTH

MARKS = {"ok": "ok  ", "note": "note", "missing": "LACK"}


@click.command()
@click.option("--ranks", type=click.IntRange(2), help="Compare the hosts of this many ranks.")
@click.option("--hostfile", type=click.Path(path_type=Path), help="Hosts for --ranks.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(ranks: int | None, hostfile: Path | None, as_json: bool) -> int:
    """Say what this machine has and what it lacks.

    Starts two ranks for a moment, to see whether launcher and MPI library fit. Under mpirun, or
    with --ranks N, all ranks start, and their hosts are compared. Exit status 0 where runs can
    start, 3 where something that they need is missing.
    """
    check_hostfile(hostfile, ranks)
    from mdibench.assembly.environment import launch_facts

    if ranks is not None:
        from mdibench.rank.launch import run_ranks

        return run_ranks(ranks, hostfile, ["doctor", *(["--json"] if as_json else [])])
    launch = launch_facts()
    if launch.size > 1:
        return _compare_hosts(launch.rank == 0, as_json)
    return _examine(as_json)


def _compare_hosts(speaks: bool, as_json: bool) -> int:
    """All ranks come here; one ``speaks`` for them."""
    ranks = host_comparison.gather()
    findings = host_comparison.compare(ranks)
    if speaks:
        if not as_json:
            click.echo("\n".join(host_comparison.host_lines(ranks)) + "\n")
        _tell(findings, as_json, {"ranks": list(ranks)})
    return _status(findings)


def _examine(as_json: bool) -> int:
    """This host alone."""
    vendor, library = mpi_check.check_library(machine.ask)
    found = mpi_check.find_launcher(machine.ask)
    findings = [
        machine.check_python(),
        machine.check_packages(),
        library,
        mpi_check.check_launcher(found, vendor),
        mpi_check.check_two_ranks(machine.ask, found),
        *_host(),
    ]
    command = mpi_check.run_command(found, vendor)
    _tell(findings, as_json, {"run": command})
    if not as_json:
        click.echo("\nTo start a run:\n  " + "\n  ".join(command))
    return _status(findings)


def _tell(findings: Sequence[MachineCheck], as_json: bool, more: Mapping[str, Any]) -> None:
    """Print the findings; ``more`` goes into the JSON."""
    if as_json:
        told = [machine.as_dict(finding) for finding in findings]
        ready = _status(findings) == errors.OK
        click.echo(json.dumps({"ready": ready, **more, "findings": told}, indent=2))
    else:
        click.echo("\n".join(lines(findings)))


def _status(findings: Sequence[MachineCheck]) -> int:
    missing = any(finding.state == "missing" for finding in findings)
    return errors.CRITERIA_FAILED if missing else errors.OK


def lines(findings: Sequence[MachineCheck]) -> list[str]:
    """Findings within 80 columns: a mark, a name, what was found, and what would help."""
    margin = " " * (max(len(finding.name) for finding in findings) + 8)
    told: list[str] = []
    for finding in findings:
        head = f"{MARKS[finding.state]}  {finding.name}".ljust(len(margin))
        told += wrap(head + finding.text, WIDTH, subsequent_indent=margin)
        if finding.remedy:
            remedy = f"-> {finding.remedy}"
            told += wrap(remedy, WIDTH, initial_indent=margin, subsequent_indent=margin)
    return told


def _host() -> list[MachineCheck]:
    """Everything about this host that is not MPI."""
    import psutil

    from mdibench.assembly.environment import cores, host_facts

    facts = host_facts()
    size = shutil.get_terminal_size()
    memory_bytes = machine.memory_limit(psutil.virtual_memory().total)
    return [
        machine.check_processor(cores(), memory_bytes, str(facts["cpu"])),
        machine.check_governor(None if facts["governor"] is None else str(facts["governor"])),
        machine.check_torch(machine.ask),
        machine.check_terminal(sys.stdout.isatty(), size.columns, size.lines),
        machine.check_datasets(_cifar10()),
        machine.check_namespaces(machine.ask),
        machine.check_energy(),
        machine.check_folder(Path("results")),
    ]


def _cifar10() -> Path | None:
    from mdibench.data.cifar10 import find_folder

    try:
        return find_folder()
    except errors.UserError:
        return None
