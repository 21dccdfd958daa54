"""``mdibench doctor``: what this machine has for runs, what it lacks, and how to start one here."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import click

from mdibench import errors
from mdibench.cli import machine, mpi_probe
from mdibench.cli.machine import Finding

WIDTH = 80
MARKS = {"ok": "ok  ", "note": "note", "missing": "LACK"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> int:
    """Say what this machine has and what it lacks.

    Exit status 0 where runs can start here, 3 where something that they need is missing.
    Starts two ranks for a moment, to see whether launcher and MPI library fit.
    """
    vendor, library = mpi_probe.library(machine.ask)
    found = mpi_probe.find_launcher(machine.ask)
    findings = [
        machine.python(),
        machine.packages(),
        library,
        mpi_probe.launcher(found, vendor),
        mpi_probe.two_ranks(machine.ask, found),
        *_host(),
    ]
    command = mpi_probe.run_command(found, vendor)
    ready = not any(finding.state == "missing" for finding in findings)
    if as_json:
        told = [machine.as_dict(finding) for finding in findings]
        click.echo(json.dumps({"ready": ready, "run": command, "findings": told}, indent=2))
    else:
        click.echo("\n".join(lines(findings)))
        click.echo("\nTo start a run:\n  " + "\n  ".join(command))
    return errors.OK if ready else errors.CRITERIA_FAILED


def lines(findings: Sequence[Finding]) -> list[str]:
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


def _host() -> list[Finding]:
    """Everything about this host that is not MPI."""
    import psutil

    from mdibench.runtime.environment import cores, host_facts

    facts = host_facts()
    size = shutil.get_terminal_size()
    memory_bytes = machine.memory_limit(psutil.virtual_memory().total)
    return [
        machine.processor(cores(), memory_bytes, str(facts["cpu"])),
        machine.governor(None if facts["governor"] is None else str(facts["governor"])),
        machine.torch(machine.ask),
        machine.terminal(sys.stdout.isatty(), size.columns, size.lines),
        machine.datasets(_cifar10()),
        machine.namespaces(machine.ask),
        machine.energy(),
        machine.folder(Path("results")),
    ]


def _cifar10() -> Path | None:
    from mdibench.data.cifar10 import find_folder

    try:
        return find_folder()
    except errors.UserError:
        return None
