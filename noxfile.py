"""Checks of the project: ``nox`` runs all of them, ``nox -s NAME`` one.

Sessions use the environment that nox itself runs in (``pip install -e '.[mpich,dev]'``), for torch
is too large to install once per session; only the torch-free core is tested in environments of
its own, on the other Python versions that this machine has.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

PASSED, FAILED, NONE_LEFT = 0, 1, 5
"""Exit codes of pytest: the last one where no test is left to run."""

nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "imports", "core", "tests"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types of the package."""
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom."""
    session.run("lint-imports")


def interpreter(version: str) -> str:
    """The interpreter of ``version``: pyenv's where it has one, else whatever the PATH has."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(versions.glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else version


@nox.session(python=[interpreter(v) for v in ("3.10", "3.12", "3.13")], venv_backend="venv")
def core(session: nox.Session) -> None:
    """The core and the policies on other Pythons, without torch, numpy or MPI."""
    session.install("pytest", "pytest-timeout", "hypothesis")
    session.run(
        "python", "-m", "pytest", "-q", "tests/core", "tests/policy",
        "-o", "asyncio_mode=", "-W", "ignore::pytest.PytestConfigWarning",
        env={"PYTHONPATH": "."},
    )  # fmt: skip


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, on all cores but for those marked ``alone``; or what pytest is told.

    A test of several ranks can lose a race for the cores to the tests beside it. What fails there
    runs once more with the cores for itself, and fails the session if it fails again.
    """
    if session.posargs:
        session.run("pytest", "-q", *session.posargs)
        return
    side_by_side = ("-m", "not alone", "-n", "auto", "--dist", "worksteal")
    session.run("pytest", "-q", *side_by_side, success_codes=[PASSED, FAILED])
    again = ("-m", "not alone", "--last-failed", "--last-failed-no-failures", "none")
    session.run("pytest", "-q", *again, success_codes=[PASSED, NONE_LEFT])
    session.run("pytest", "-q", "-m", "alone")


@nox.session
def bench(session: nox.Session) -> None:
    """What the harness itself costs: prints the tables of docs/performance.md."""
    session.run("python", "-m", "benchmarks", *session.posargs)
