"""``mdibench init``, ``presets``, and presets by name wherever a config is expected."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mdibench import __version__
from mdibench.__main__ import run as mdibench
from mdibench.config.presets import DEFAULT, PRESETS, SYNONYMS, located
from mdibench.config.reading import load_config
from tests.mpi.jobs import environment, mpirun
from tests.terminals import Terminal

ROOT = Path(__file__).parents[2]
BENCH_CONFIGS = ROOT / "bench_configs"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_packaged_copy_of_a_config(name: str) -> None:
    text = (BENCH_CONFIGS / f"{name}.toml").read_text(encoding="utf-8")
    assert PRESETS[name].path.read_text(encoding="utf-8") == text.replace("bench_configs/", "")
    assert load_config(Path(name)).run.name == name
    assert PRESETS[name].command in text.replace("bench_configs/", "")


def test_init_writes_the_config_of_a_first_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mdibench(["init"]) == 0
    out = capsys.readouterr().out
    assert out == f"to run it: {PRESETS[DEFAULT].command}\n"
    written = (here / "fixed_acc.toml").read_text(encoding="utf-8")
    assert written == PRESETS["fixed_acc"].path.read_text(encoding="utf-8")


def test_init_under_another_name_has_that_name_in_its_commands(here: Path) -> None:
    assert mdibench(["init", "own-boards", "--to", "lab.toml"]) == 0
    text = (here / "lab.toml").read_text(encoding="utf-8")
    assert "mdibench run lab.toml --ranks 5 --hostfile hosts" in text
    assert "boards.toml" not in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["init", "fixed_rat"], 'fixed_rat: there is no such preset; did you mean "fixed_rate"?'),
        (["init", "zzz"], "zzz: there is no such preset; known: fixed_acc, fixed_rate, boards"),
        (["init"], "fixed_acc.toml: is there already; keep it, name another with --to FILE"),
        (["init", "--to", "folder"], "folder: this is a folder"),
        (["init", "--to", "none/x.toml"], "none/x.toml: cannot be written: No such file"),
        (["run", "fixed_ac", "--ranks", "2"], 'no such file, and no preset; did you mean "fixed_a'),
        (["check", "fleet.toml"], "fleet.toml: no such file; `mdibench init fleet` writes one"),
        (["run"], "Missing argument 'CONFIG': a file, or one of `mdibench presets`."),
    ],
)
def test_bad_input_is_one_clear_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    (here / "fixed_acc.toml").write_text("# mine", encoding="utf-8")
    (here / "folder").mkdir()
    assert mdibench(arguments) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert line in err
    assert (here / "fixed_acc.toml").read_text(encoding="utf-8") == "# mine"


def test_force_overwrites(here: Path) -> None:
    (here / "smoke.toml").write_text("old", encoding="utf-8")
    assert mdibench(["init", "smoke", "--force"]) == 0
    assert load_config(Path("smoke.toml")).run.name == "smoke"


def test_a_file_comes_before_a_preset(here: Path) -> None:
    assert located(Path("smoke")) == PRESETS["smoke"].path
    (here / "smoke").write_text('[run]\nname = "own"\n', encoding="utf-8")
    assert located(Path("smoke")) == Path("smoke")
    assert load_config(Path("smoke")).run.name == "own"
    assert located(Path("no\0name")) == Path("no\0name")
    assert {*SYNONYMS.values()} <= {*PRESETS}


def test_presets_are_listed_with_their_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert mdibench(["presets"]) == 0
    out = capsys.readouterr().out
    assert all(f"mdibench init {name} && {p.command}" in out for name, p in PRESETS.items())


def test_one_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert mdibench(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"mdibench, version {__version__}"
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"version\s*[:=]\s*\{?([\d.]+\d)", citation) == ["1.2.0", *[__version__] * 2]
    newest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert newest is not None
    assert newest[1] == __version__


def test_citation_has_the_entry_of_the_readme() -> None:
    entry = re.search(r"@misc\{.*?\n\}", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert entry is not None
    citation = re.sub(r"^#  ? ?", "", (ROOT / "CITATION.cff").read_text("utf-8"), flags=re.M)
    assert entry[0] in citation


def test_the_shell_completes_presets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_MDIBENCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "mdibench run fixed")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):  # click's own way
        mdibench([])
    assert "plain,fixed_acc" in capsys.readouterr().out


# --- on a terminal -------------------------------------------------------------------------------


@pytest.mark.slow
def test_run_without_a_config_offers_the_presets(here: Path) -> None:
    with Terminal([sys.executable, "-m", "mdibench", "run"], here, environment()) as terminal:
        terminal.shows("Which one?")
        assert all(name in terminal.text for name in PRESETS)
        terminal.type("9\r")
        terminal.shows("there is no such preset")
        terminal.type("boards\r")
        terminal.shows("to run it: mdibench run boards.toml")
        assert terminal.wait() == 0
    assert (here / "boards.toml").is_file()


@pytest.mark.slow
def test_far_more_ranks_than_cores_are_asked_for(here: Path) -> None:
    line = [sys.executable, "-m", "mdibench", "run", "smoke", "--ranks", "4000"]
    with Terminal(line, here, environment()) as terminal:
        terminal.shows("Start them all the same?")
        assert "4000 ranks on" in terminal.text
        terminal.type("n\r")
        assert terminal.wait() == 130


# --- from the wheel ------------------------------------------------------------------------------


def wheel_in(folder: Path) -> Path:
    """The wheel of this checkout."""
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling")
    pytest.importorskip("hatch_fancy_pypi_readme", reason="it writes the index page")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return next(folder.glob("mdibench-*.whl"))


def installed(wheel: Path, venv: Path) -> Path:
    """The command of ``wheel`` in a new environment that borrows this one's other packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    packages = next(venv.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:  # a pure wheel is its files
        archive.extractall(packages)
    ours = next(p for p in map(Path, sys.path) if (p / "click" / "__init__.py").is_file())
    (packages / "borrowed.pth").write_text(f"{ours}\n", encoding="utf-8")
    here = Path(sys.prefix)  # the launcher and its libraries, where a wheel brought them
    for source in [*here.glob("bin/mpi*"), *here.glob("bin/hydra*"), *here.glob("lib/*")]:
        if not (venv / source.relative_to(here)).exists():
            (venv / source.relative_to(here)).symlink_to(source)
    command = venv / "bin" / "mdibench"
    text = f"#!{venv}/bin/python\nfrom mdibench.__main__ import main\nmain()\n"
    command.write_text(text, encoding="utf-8")
    command.chmod(0o755)
    return command


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_from_the_wheel_alone_to_a_report(tmp_path: Path) -> None:
    mpirun()
    wheel = wheel_in(tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        page = next(n for n in archive.namelist() if n.endswith("METADATA"))
        metadata = archive.read(page).decode()
    assert f"Version: {__version__}" in metadata
    assert not re.search(r"\]\((?!https?:|#)", metadata), "relative links on an index page"
    command = installed(wheel, tmp_path / "venv")
    folder = tmp_path / "empty"
    folder.mkdir()
    variables = environment()
    variables["PYTHONPATH"] = ""

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [str(command), *arguments],
            cwd=folder, env=variables, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(tmp_path / "venv") in subprocess.run(
        [str(tmp_path / "venv/bin/python"), "-c", "import mdibench; print(mdibench.__file__)"],
        cwd=folder, env=variables, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    said("init")
    line = [str(command), "run", "fixed_acc.toml", "--ranks", "4", "--tui"]
    line += ["--set", "run.warmup_s=0.5", "--set", "run.duration_s=1.5"]
    with Terminal(line, folder, variables) as terminal:
        terminal.shows("complete", 60)
        terminal.type("q")
        assert terminal.wait(30) == 0
    assert "mdi-exit" in said("report", "results/")


def test_help_is_quick() -> None:
    """Neither help nor version imports what a command needs."""
    program = (
        "import sys; from mdibench.__main__ import run; run(['--help']); "
        "print(sorted({'pydantic', 'numpy', 'psutil', 'rich', 'textual'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert mdibench(["rnu", "smoke"]) == 2
    assert 'There is no command "rnu"; did you mean "run"?' in capsys.readouterr().err


def test_a_config_into_a_folder_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mdibench(["init", "--to", str(tmp_path / "lab" / "x.toml")]) == 2
    assert f'make the folder "{tmp_path / "lab"}" first' in capsys.readouterr().err


def test_presets_fit_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert mdibench(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 or " && " in line for line in lines)  # commands stay whole
