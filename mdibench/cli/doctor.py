"""``mdibench doctor``: what this machine has for runs, what it lacks, and how to start one here.

Under mpirun, with several ranks: whether their hosts are compatible.
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
from mdibench.cli import busy, check_hostfile
from mdibench.rank import machine, mpi_check
from mdibench.rank.machine import MachineCheck
from mdibench.report import TEXT_WIDTH

STATE_LABELS = {"ok": "ok  ", "note": "note", "missing": "LACK"}


@click.command()
@click.option("--ranks", type=click.IntRange(2), help="Compare the hosts of this many ranks.")
@click.option("--hostfile", type=click.Path(path_type=Path), help="Hosts for --ranks.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(ranks: int | None, hostfile: Path | None, as_json: bool) -> int:
    """Check what this machine has and what it lacks.

    Starts two ranks to see whether launcher and MPI library are compatible. Under mpirun, or
    with --ranks N, all ranks start, and their hosts are compared. Exit status 0 where runs can
    start, 3 where something that they need is missing.
    """
    from mdibench.rank.launch import facts, run_ranks

    check_hostfile(hostfile, ranks)
    if ranks is not None:
        return run_ranks(ranks, hostfile, ["doctor", *(["--json"] if as_json else [])])
    launch = facts()
    if launch.size > 1:
        return _compare_hosts(launch.rank == 0, as_json)
    return _examine(as_json)


def _compare_hosts(prints: bool, as_json: bool) -> int:
    """Compare the hosts of all ranks; the rank that ``prints`` shows the result."""
    ranks = mpi_check.gather()
    findings = mpi_check.compare(ranks)
    if prints:
        if not as_json:
            click.echo("\n".join(mpi_check.host_lines(ranks)) + "\n")
        _print_findings(findings, as_json, {"ranks": list(ranks)})
    return _status(findings)


def _examine(as_json: bool) -> int:
    """Check this host alone."""
    with busy("checking the MPI library and its launcher") as now:
        vendor, library = mpi_check.check_library(machine.ask)
        found = mpi_check.find_launcher(machine.ask)
        findings = [
            machine.check_python(),
            machine.check_packages(),
            library,
            mpi_check.check_launcher(found, vendor),
        ]
        now("starting two ranks")
        findings += [
            mpi_check.check_two_ranks(machine.ask, found),
            mpi_check.check_fault_tolerance(machine.ask, found),
        ]
        now("checking this host")
        findings += _host()
    starts = mpi_check.run_commands(found, vendor, Path("hostfile").is_file())
    _print_findings(findings, as_json, {"run": [line for _, *lines in starts for line in lines]})
    if not as_json:
        for purpose, *lines in starts:
            click.echo(f"\n{purpose}:\n  " + "\n  ".join(lines))
    return _status(findings)


def _print_findings(
    findings: Sequence[MachineCheck], as_json: bool, more: Mapping[str, Any]
) -> None:
    """Print the findings; ``more`` goes into the JSON."""
    if as_json:
        entries = [machine.as_dict(finding) for finding in findings]
        ready = _status(findings) == errors.OK
        click.echo(json.dumps({"ready": ready, **more, "findings": entries}, indent=2))
    else:
        click.echo("\n".join(finding_lines(findings)))


def _status(findings: Sequence[MachineCheck]) -> int:
    missing = any(finding.state == "missing" for finding in findings)
    return errors.CRITERIA_FAILED if missing else errors.OK


def finding_lines(findings: Sequence[MachineCheck]) -> list[str]:
    """Findings in 80 columns: a label, a name, the finding and its remedy."""
    indent = " " * (max(len(finding.name) for finding in findings) + 8)
    entries: list[str] = []
    for finding in findings:
        head = f"{STATE_LABELS[finding.state]}  {finding.name}".ljust(len(indent))
        entries += wrap(head + finding.text, TEXT_WIDTH, subsequent_indent=indent)
        if finding.remedy:
            remedy = f"-> {finding.remedy}"
            entries += wrap(remedy, TEXT_WIDTH, initial_indent=indent, subsequent_indent=indent)
    return entries


def _host() -> list[MachineCheck]:
    """Everything about this host that is not MPI."""
    from mdibench.assembly import environment
    from mdibench.assembly.environment import cores, host_facts, memory_bytes

    facts = host_facts()
    size = shutil.get_terminal_size()
    quota = environment.cpu_quota()
    return [
        machine.check_processor(cores(), memory_bytes(), str(facts["cpu"]), quota),
        machine.check_shared_memory(environment.shared_memory()),
        machine.check_governor(None if facts["governor"] is None else str(facts["governor"])),
        machine.check_torch(machine.ask),
        machine.check_compiled(),
        machine.check_terminal(sys.stdout.isatty(), size.columns, size.lines),
        machine.check_datasets(_cifar10()),
        machine.check_namespaces(machine.ask),
        machine.check_energy(),
        machine.check_conditions(),
        machine.check_folder(Path("results")),
    ]


def _cifar10() -> Path | None:
    from mdibench.data.cifar10 import find_folder

    try:
        return find_folder()
    except errors.UserError:
        return None
