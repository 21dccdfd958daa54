"""``mdibench doctor``: every probe with fakes, and the whole command once on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mdibench.__main__ import run
from mdibench.assembly.environment import SharedMemory
from mdibench.cli.doctor import finding_lines
from mdibench.rank import machine, mpi_check
from mdibench.rank.machine import Answer, Ask, MachineCheck
from mdibench.rank.mpi_check import Launcher

HYDRA = Answer(0, "HYDRA build details:\n    Version: 5.0.2\n")
OPEN_MPI = Answer(0, "mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/\n")


def says(answer: Answer) -> Ask:
    """A program that always says the same."""
    return lambda command: answer


class Recorder:
    """Keeps the commands it was asked to run."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> Answer:
        self.commands.append(list(command))
        return self.answer


class TestLibrary:
    def test_found(self) -> None:
        answer = Answer(0, json.dumps(["MPICH", "MPICH Version:      5.0.2\nMPICH Release: x"]))
        vendor, finding = mpi_check.check_library(says(answer))
        assert (vendor, finding.state, finding.text) == ("MPICH", "ok", "MPICH 5.0.2")

    def test_its_own_name_differs_from_its_vendor(self) -> None:
        answer = Answer(0, json.dumps(["Open MPI", "Open MPI v5.0.11, package: Open MPI root"]))
        _, finding = mpi_check.check_library(says(answer))
        assert finding.text.startswith("Open MPI: Open MPI v5.0.11")

    def test_not_loadable(self) -> None:
        answer = Answer(1, "", "Traceback\nRuntimeError: cannot load MPI library")
        vendor, finding = mpi_check.check_library(says(answer))
        assert vendor == ""
        assert finding.state == "missing"
        assert finding.text == "RuntimeError: cannot load MPI library"
        assert "mdibench[mpich]" in finding.remedy


class TestLauncher:
    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (HYDRA, "MPICH"),
            (OPEN_MPI, "Open MPI"),
            (Answer(0, "Intel(R) MPI Library for Linux* OS, Version 2021.9"), "MPICH"),
            (Answer(0, "prterun (PRRTE) 3.0"), "Open MPI"),
            (Answer(0, "something else"), ""),
            (Answer(-1, "", "no such program"), ""),
        ],
    )
    def test_kinds(self, answer: Answer, kind: str, tmp_path: Path) -> None:
        found = mpi_check.find_launcher(says(answer), lambda name: f"/usr/bin/{name}", tmp_path)
        assert found == Launcher("/usr/bin/mpirun", kind, on_path=True)

    def test_the_one_beside_python_when_the_path_has_none(self, tmp_path: Path) -> None:
        (tmp_path / "mpirun").touch()
        found = mpi_check.find_launcher(says(HYDRA), lambda name: None, tmp_path)
        assert found == Launcher(str(tmp_path / "mpirun"), "MPICH", on_path=False)
        assert mpi_check.check_launcher(found, "MPICH").state == "note"

    def test_slurm(self, tmp_path: Path) -> None:
        only_srun = {"srun": "/bin/srun"}.get
        found = mpi_check.find_launcher(says(HYDRA), only_srun, tmp_path)
        assert found == Launcher("/bin/srun", "Slurm", on_path=True)
        assert mpi_check.check_launcher(found, "Open MPI").state == "ok"

    def test_none(self, tmp_path: Path) -> None:
        found = mpi_check.find_launcher(says(HYDRA), lambda name: None, tmp_path)
        assert found is None
        assert mpi_check.check_launcher(found, "MPICH").state == "missing"

    @pytest.mark.parametrize(
        ("kind", "vendor", "state"),
        [
            ("MPICH", "MPICH", "ok"),
            ("MPICH", "Intel MPI", "ok"),
            ("Open MPI", "Open MPI", "ok"),
            ("", "MPICH", "ok"),
            ("Open MPI", "MPICH", "missing"),
            ("MPICH", "Open MPI", "missing"),
        ],
    )
    def test_must_be_of_the_librarys_kind(self, kind: str, vendor: str, state: str) -> None:
        finding = mpi_check.check_launcher(Launcher("/bin/mpirun", kind, True), vendor)
        assert finding.state == state
        if state == "missing":
            assert vendor in finding.text
            assert "alone" in finding.text


class TestTwoRanks:
    @pytest.mark.parametrize(
        ("answer", "state", "text"),
        [
            (
                Answer(0, "ranks 2 threads multiple\n"),
                "ok",
                "start in one world; thread level multiple",
            ),
            (
                Answer(0, "ranks 1 threads multiple\n" * 2),
                "missing",
                "each is alone in a world of size 1",
            ),
            (Answer(1, "", "not enough slots\n"), "missing", "do not start: not enough slots"),
            (Answer(-1, "", "timed out"), "missing", "do not start: timed out"),
            (Answer(7, ""), "missing", "do not start: exit status 7"),
        ],
    )
    def test_what_comes_of_it(self, answer: Answer, state: str, text: str) -> None:
        finding = mpi_check.check_two_ranks(says(answer), Launcher("mpirun", "MPICH", True))
        assert (finding.state, finding.text) == (state, text)

    def test_open_mpi_needs_leave_for_more_ranks_than_cores(self) -> None:
        recorder = Recorder(Answer(0, "ranks 2 threads multiple"))
        mpi_check.check_two_ranks(recorder, Launcher("mpirun", "Open MPI", True))
        assert recorder.commands[0][:6] == [
            "mpirun", "-n", "2", "--oversubscribe", "--bind-to", "none"
        ]  # fmt: skip

    def test_is_not_tried_without_mpirun(self) -> None:
        recorder = Recorder(Answer(0, ""))
        assert mpi_check.check_two_ranks(recorder, None).state == "note"
        assert mpi_check.check_two_ranks(recorder, Launcher("srun", "Slurm", True)).state == "note"
        assert recorder.commands == []


@pytest.mark.parametrize(
    ("kind", "command", "hostfile"),
    [
        ("MPICH", "mpirun -f hostfile -n 4 python -m mdibench run CONFIG", "HOST:4"),
        ("Open MPI", "mpirun --hostfile hostfile -n 4 python -m mdibench run CONFIG", "slots=4"),
        ("Slurm", "srun -n 4 --mpi=pmix python -m mdibench run CONFIG", "pmi2"),
    ],
)
def test_the_run_command_is_the_launchers(kind: str, command: str, hostfile: str) -> None:
    said = mpi_check.run_command(kind, Launcher("/bin/x", kind, True))
    assert said[0] == command
    assert hostfile in said[1]


def test_a_launcher_off_the_path_is_given_whole() -> None:
    said = mpi_check.run_command("MPICH", Launcher("/venv/bin/mpirun", "MPICH", False))
    assert said[0].startswith("/venv/bin/mpirun -f hostfile -n 4 /")


@pytest.mark.parametrize("has_hostfile", [False, True])
def test_the_way_that_fits_the_place_comes_first(
    has_hostfile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mpi_check.shutil, "which", lambda name: f"/bin/{name}")
    found = mpi_check.run_commands(Launcher("/bin/x", "MPICH", True), "MPICH", has_hostfile)
    here, several = found[::-1] if has_hostfile else found
    assert here[1] == "mdibench run fixed_acc --ranks 4 --tui"
    assert several[1].startswith("mpirun -f hostfile")


def test_under_slurm_only_srun_starts_runs() -> None:
    found = mpi_check.run_commands(Launcher("/bin/srun", "Slurm", True), "MPICH", False)
    assert [lines[1].partition(" ")[0] for lines in found] == ["srun"]


class TestHost:
    def test_python(self) -> None:
        assert machine.check_python((3, 10, 1)).state == "ok"
        assert machine.check_python((3, 9, 18)).state == "missing"

    def test_packages(self) -> None:
        assert machine.check_packages().state == "ok"
        assert machine.check_packages(["click"]).state == "ok"
        lacking = machine.check_packages(["click", "no-such-package-1", "no-such-package-2"])
        assert lacking.text == "not installed: no-such-package-1, no-such-package-2"
        assert lacking.remedy == "pip install no-such-package-1 no-such-package-2"

    def test_processor(self) -> None:
        finding = machine.check_processor(4, 8 * 2**30, "Board")
        assert (finding.state, finding.text) == ("ok", "Board, 4 cores, 8.0 GiB memory")
        assert machine.check_processor(1, 2**30, "Board").state == "note"

    def test_a_cpu_quota_is_told(self) -> None:
        finding = machine.check_processor(1, 2**31, "Board", 0.5)
        assert (finding.state, finding.text) == (
            "note",
            "Board, 0.5 cores by quota, 2.0 GiB memory",
        )
        assert "--cpus" in finding.remedy

    def test_shared_memory(self) -> None:
        small = machine.check_shared_memory(SharedMemory(2**20, 2**20))
        assert small.state == "missing"
        assert small.text == "1.0 MiB in /dev/shm for 2 ranks, which need 4 MiB"
        assert "--shm-size" in small.remedy
        assert machine.check_shared_memory(SharedMemory(2**26, 2**26)).state == "ok"
        assert machine.check_shared_memory(None).state == "note"

    def test_governor(self) -> None:
        assert machine.check_governor(None).state == "ok"
        assert machine.check_governor("performance").state == "ok"
        assert machine.check_governor("powersave").state == "note"

    def test_torch(self) -> None:
        assert "4 threads" in machine.check_torch(says(Answer(0, "[4, null]"))).text
        assert machine.check_torch(says(Answer(0, '[4, "H100"]'))).text.endswith(
            "CUDA: H100 (model.device)"
        )
        broken = machine.check_torch(says(Answer(1, "", "ImportError: libc10.so")))
        assert (broken.state, broken.text) == ("missing", "ImportError: libc10.so")

    def test_terminal(self) -> None:
        assert machine.check_terminal(True, 120, 40).state == "ok"
        assert machine.check_terminal(True, 60, 40).remedy == "the monitor needs 80 x 20"
        assert "monitor" in machine.check_terminal(False, 80, 24).remedy

    def test_datasets(self, tmp_path: Path) -> None:
        assert machine.check_datasets(None).remedy == "mdibench data fetch cifar10"
        assert str(tmp_path) in machine.check_datasets(tmp_path).text

    def test_namespaces(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert machine.check_namespaces(says(Answer(0, ""))).text == "no unshare program"
        self.program(tmp_path / "unshare")
        assert machine.check_namespaces(says(Answer(1, ""))).text == "not permitted"
        assert machine.check_namespaces(says(Answer(0, ""))).text == "permitted; no ip or tc"
        self.program(tmp_path / "ip")
        self.program(tmp_path / "tc")
        assert machine.check_namespaces(says(Answer(0, ""))).state == "ok"

    def test_energy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert machine.check_energy(tmp_path).state == "note"
        zone = tmp_path / "class/powercap/intel-rapl:0"
        zone.mkdir(parents=True)
        for name, text in (("name", "package-0"), ("energy_uj", "1"), ("max_energy_range_uj", "9")):
            (zone / name).write_text(text)
        found = machine.check_energy(tmp_path)
        assert (found.state, found.text) == ("ok", "RAPL, 1 package")

    def test_results(self, tmp_path: Path) -> None:
        assert machine.check_folder(tmp_path / "results").state == "ok"
        assert machine.check_folder(tmp_path / "no" / "such" / "folder").state == "note"

    @staticmethod
    def program(path: Path) -> None:
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)


class TestAsk:
    def test_runs_outside_of_any_mpi_job(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PMI_RANK", "0")
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
        assert machine.ask(["/usr/bin/env"]).status == 0
        names = [line.split("=")[0] for line in machine.ask(["/usr/bin/env"]).output.splitlines()]
        assert "PMI_RANK" not in names
        assert "OMPI_COMM_WORLD_SIZE" not in names
        assert os.environ["PMI_RANK"] == "0"

    def test_a_program_that_is_not_there(self) -> None:
        answer = machine.ask(["/no/such/program"])
        assert answer.status == -1
        assert "/no/such/program" in answer.last_line


def test_lines_fit_80_columns() -> None:
    findings = [
        MachineCheck("python", "ok", "x" * 30),
        MachineCheck("a long name", "missing", "words " * 40, "remedies " * 40),
    ]
    lines = finding_lines(findings)
    assert lines[0] == "ok    python       " + "x" * 30
    assert lines[1].startswith("LACK  a long name  words")
    assert max(len(line) for line in lines) <= 80


@pytest.mark.slow
@pytest.mark.mpi
class TestForReal:
    def test_this_machine(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = run(["doctor", "--json"])
        output = capsys.readouterr()
        data = json.loads(output.out)
        assert status == (0 if data["ready"] else 3)
        states = {finding["name"]: finding["state"] for finding in data["findings"]}
        assert states["python"] == states["packages"] == states["torch"] == "ok"

    def test_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(["doctor"])
        output = capsys.readouterr().out
        assert "To start a run on" in output
        assert "python" in output.splitlines()[0]


def test_whether_a_killed_worker_ends_the_run_is_told() -> None:
    ulfm = says(Answer(0, "          FT MPI support: yes\n"))
    open_mpi, mpich = Launcher("/x/bin/mpirun", "Open MPI", True), Launcher("/x", "MPICH", True)
    assert mpi_check.check_fault_tolerance(ulfm, open_mpi).state == "ok"
    assert "--with-ft ulfm" in mpi_check.check_fault_tolerance(ulfm, open_mpi).text
    for without in (mpi_check.check_fault_tolerance(says(Answer(0, "")), open_mpi),
                    mpi_check.check_fault_tolerance(ulfm, mpich),
                    mpi_check.check_fault_tolerance(ulfm, None)):  # fmt: skip
        assert without.state == "note"
        assert without.text.startswith("the launcher ends the job")
