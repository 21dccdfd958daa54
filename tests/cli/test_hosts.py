"""A hostfile: what it is for, and what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdibench.__main__ import run
from mdibench.errors import USAGE_ERROR, UserError
from mdibench.rank.launch import check_hosts


@pytest.mark.parametrize("command", [("run", "c.toml"), ("probe",), ("doctor",)])
def test_a_hostfile_without_ranks_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    (tmp_path / "hosts").write_text("nowhere\n")
    assert run([*command, "--hostfile", str(tmp_path / "hosts")]) == USAGE_ERROR
    (line,) = capfd.readouterr().err.splitlines()
    assert "--hostfile is for starting ranks: add --ranks N." in line


MPICH_FORM = """
# source first
jetson-0
  192.168.1.7:2
pi1:1 binding=rr ifname=eth0 user=me
"""


def test_hosts_in_the_launchers_form_pass(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(MPICH_FORM)
    check_hosts(hosts, open_mpi=False)
    hosts.write_text("pi1 slots=2 max_slots=4\n")
    check_hosts(hosts, open_mpi=True)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("pi1\npi2 slots=2\n", ":2", "Open MPI's form, and this mpirun is MPICH's"),
        ("pi1:x\n", ":1", 'not a host: "pi1:x"; write HOST or HOST:RANKS'),
        ("pi1:0\n", ":1", "write HOST or HOST:RANKS"),
        ("pi1\npi1 pi2\n", ":2", "write HOST or HOST:RANKS"),
        ("pi1,pi2\n", ":1", "write HOST or HOST:RANKS"),
        ("pi1 # the source\n", ":1", "write HOST or HOST:RANKS"),
        ("\n# nothing yet\n", "", "names no host; one host per line, source first"),
    ],
)
def test_a_line_that_mpich_cannot_read_is_named(
    tmp_path: Path, text: str, line: str, said: str
) -> None:
    """MPICH's launcher ends without a word, or in half a page, or runs everything here."""
    hosts = tmp_path / "hosts"
    hosts.write_text(text)
    with pytest.raises(UserError) as failure:
        check_hosts(hosts, open_mpi=False)
    (problem,) = map(str, failure.value.problems)
    assert problem.startswith(f"{hosts}{line}: ") and said in problem


def test_open_mpi_too_wants_a_host(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is this really a hostfile"):
        check_hosts(hosts, open_mpi=True)
    hosts.write_text("")
    with pytest.raises(UserError, match="names no host"):
        check_hosts(hosts, open_mpi=True)
