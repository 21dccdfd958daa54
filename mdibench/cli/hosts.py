"""The option ``--hostfile`` of the commands that start mpirun themselves."""

from __future__ import annotations

from pathlib import Path

import click


def check_hostfile(hostfile: Path | None, ranks: int | None) -> None:
    """Refuse a hostfile without ``--ranks``: it would not be read."""
    if hostfile is not None and ranks is None:
        raise click.UsageError("--hostfile is for starting ranks: add --ranks N.")
