"""Machine code of the modules used most: records, one line of complaint, and the same results."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mdibench import compiled
from mdibench.cli import compile as compiling
from mdibench.compiled import SWITCH, build_folder
from mdibench.errors import UserError

RECORDS = """\
from __future__ import annotations

from dataclasses import field
from typing import Any

from mdibench.compiled import statically_frozen


@statically_frozen
class Parcel:
    item: int
    payload: Any = field(default=None, compare=False, repr=False)
    path: tuple[int, ...] = ()
    '''Ranks.'''

    def moved(self, rank: int) -> Parcel:
        return Parcel(self.item, self.payload, (*self.path, rank))


@statically_frozen
class Nothing:
    '''No fields.'''
"""
SIMULATED = """
import hashlib, sys
from pathlib import Path
from mdibench.compiled import is_in_use
from mdibench.simulation.run import build_world
from mdibench.simulation.scenario import load_scenario
rows = []
for config in sys.argv[1:]:
    build_world(load_scenario(Path(config)), rows.append).run()
assert len(rows) > 500
print(is_in_use(), hashlib.sha256(repr(rows).encode()).hexdigest())
"""
CONFIG = """
[run]
items = {items}
results = "{results}"
trace = 0.2
[model]
engine = "onnxruntime"
[scheme]
name = "{scheme}"
[admission]
mode = "offline"
max_in_flight = 8
[topology]
name = "3-mesh"
[placement]
copies = 2
"""
EMULATED = """
[emulation]
device = "jetson-nano"
link = "wifi-5ghz"
"""


def namespace_of(source: str) -> dict[str, Any]:
    made: dict[str, Any] = {"__name__": "records"}
    sys.modules.setdefault("records", sys)  # where ``dataclasses`` looks the annotations up
    try:
        exec(source, made)
    finally:
        del sys.modules["records"]
    return made


def test_written_out_constructors_make_the_same_records() -> None:
    made = [namespace_of(text) for text in (RECORDS, compiling.with_constructors(RECORDS))]
    for records in made:
        assert "__init__" in vars(records["Parcel"])
        parcel = records["Parcel"](3, payload=b"x").moved(2).moved(5)
        assert repr(parcel) == "Parcel(item=3, path=(2, 5))"
        assert parcel.payload == b"x"
        assert parcel == records["Parcel"](3, None, (2, 5))
        assert hash(parcel) == hash(records["Parcel"](3, None, (2, 5)))
        assert records["Nothing"]() == records["Nothing"]()
    assert "def __init__" in compiling.with_constructors(RECORDS)


def test_a_source_without_records_stays_as_it_is() -> None:
    source = "def f():  # a comment\n    return 1\n"
    assert compiling.with_constructors(source) == source


def test_a_missing_tool_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Traceback\nModuleNotFoundError: No module named 'mypyc'"
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *line, **options: failed)
    with pytest.raises(UserError) as raised:
        compiling.build(tmp_path / "build")
    (problem,) = raised.value.problems
    assert "No module named 'mypyc'" in str(problem) and "pip install" in str(problem)
    assert list(tmp_path.iterdir()) == []


def test_no_interpreted_class_derives_from_a_compiled_one() -> None:
    """Python refuses it, when the class is defined."""
    package = compiled.PACKAGE
    chosen = compiling._chosen(package)
    made = {
        (".".join(path.relative_to(package.parent).with_suffix("").parts), node.name)
        for path in chosen
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    for path in set(package.rglob("*.py")) - set(chosen):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {
            name.name
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for name in node.names
            if (node.module, name.name) in made
        }
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
                assert not bases & imported, f"{path}: {node.name}"


def test_what_is_compiled_is_not_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build_folder().mkdir(parents=True)
    found = CliRunner().invoke(compiling.compile_modules, [])
    assert found.exit_code == 0 and found.output.startswith("compiled already: ")


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.timeout(600)
def test_machine_code_gives_the_same_results(tmp_path: Path) -> None:
    """In simulations of three schemes value for value, and in a run of three ranks."""
    own = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), SWITCH: "1"}
    own["PYTHONPATH"] = str(Path(compiling.__file__).parents[2])
    build = "from mdibench.cli.compile import build; from mdibench.compiled import build_folder;"
    program = [sys.executable, "-c", f"{build} build(build_folder(), '0')"]
    subprocess.run(program, check=True, env=own, timeout=500)
    configs = []
    for scheme in ("mdi-exit", "pressure", "join-shortest-queue"):
        path = tmp_path / f"{scheme}.toml"
        text = CONFIG.format(scheme=scheme, items=300, results=tmp_path / scheme)
        path.write_text(text + EMULATED)
        configs.append(str(path))
    simulate = [sys.executable, "-c", SIMULATED, *configs]
    compiled, interpreted = (
        subprocess.run(
            simulate, check=True, env=own | {SWITCH: switch}, capture_output=True, text=True
        ).stdout.split()
        for switch in ("1", "0")
    )
    assert (compiled[0], interpreted[0]) == ("True", "False")
    assert compiled[1] == interpreted[1]

    real = tmp_path / "real.toml"
    real.write_text(CONFIG.format(scheme="mdi-exit", items=300, results=tmp_path / "real"))
    run = [sys.executable, "-m", "mdibench", "run", str(real), "--ranks", "3", "-q"]
    subprocess.run(run, check=True, env=own, timeout=100)
    from mdibench.record.run_folder import find_runs, read_manifest

    (folder,) = find_runs([tmp_path / "real"])
    manifest = read_manifest(folder)
    assert manifest["totals"]["ok"] == 300
    assert all(rank["compiled"] for rank in manifest["ranks"])
