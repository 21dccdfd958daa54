"""``mdibench compile``: machine code of the modules that every event passes through."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from mdibench import compiled
from mdibench.cli import busy
from mdibench.errors import Problem, UserError

SOURCES = (
    "compute/onnx_engine.py",
    "core/*.py",
    "policy/*.py",
    "rank/computing.py",
    "rank/loop.py",
    "rank/scripted_events.py",
    "simulation/world.py",
    "transport/links.py",
    "transport/mpi.py",
    "transport/outbox.py",
    "transport/post_office.py",
)
INTERPRETED = ("core/rows.py", "*/__init__.py")
UNTYPED = ("mpi4py", "onnx", "onnxruntime", "pandas", "scipy", "torch")
"""Libraries whose types would be read for nothing, which takes a minute."""
RECORD = "statically_frozen"
DATACLASS = "dataclass(init=False, unsafe_hash=True)"
UNSUPPORTED = "Unsupported default attribute value"
"""A warning of mypyc: without that attribute, machine code crashes."""
OPTIMISATION = "3"
TOOLS = "pip install 'mypy>=2' setuptools, and a C compiler, e.g. apt install gcc python3-dev"


@click.command("compile")
@click.option("--force", is_flag=True, help="Compile again what is compiled already.")
def compile_modules(force: bool) -> None:
    """Make machine code of state machines, policies, loop and simulator.

    Takes a minute or two, a C compiler and mypy. The results of runs are the same; a rank needs
    less processor time per item, and a simulation runs three times as fast. Once per host and
    Python; after a change of the sources, and with MDIBENCH_COMPILED=0, they run as Python.
    """
    folder = compiled.build_folder()
    if folder.is_dir() and not force:
        click.echo(f"compiled already: {folder}")
        return
    with busy("compiling, which takes a minute or two"):
        build(folder)
    click.echo(f"compiled: {folder}")


def build(folder: Path, optimisation: str = OPTIMISATION) -> None:
    """Compile the present sources, and put the build to ``folder``: all of it or nothing.

    Raises UserError where a tool is missing or fails, with the line that says why.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".draft-") as draft:
        stage = Path(draft)
        sources = shutil.ignore_patterns("__pycache__", "weights", "presets")
        shutil.copytree(compiled.PACKAGE, stage / "mdibench", ignore=sources)
        for path in _chosen(stage / "mdibench"):
            path.write_text(with_constructors(path.read_text(encoding="utf-8")), encoding="utf-8")
        _compile(stage, optimisation)
        made = stage / "made" / "mdibench"
        made.mkdir(parents=True)
        for name in compiled.COPIED:
            shutil.move(stage / "mdibench" / name, made / name)
        shutil.rmtree(folder, ignore_errors=True)
        made.parent.rename(folder)


def _compile(stage: Path, optimisation: str) -> None:
    """Fill ``stage`` with extension modules beside their sources, in a process of its own."""
    (stage / "mypy.ini").write_text(
        "[mypy]\nignore_missing_imports = true\nfollow_imports = silent\n"
        + "".join(f"[mypy-{name},{name}.*]\nfollow_imports = skip\n" for name in UNTYPED)
    )
    command = [sys.executable, "-c", f"from {__name__} import _build_here; _build_here()"]
    environment = os.environ | {
        compiled.SWITCH: "0",
        "PYTHONPATH": str(compiled.PACKAGE.parent),
        "MYPYC_OPT_LEVEL": optimisation,
    }
    done = subprocess.run(command, cwd=stage, env=environment, capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line] or ["nothing"]
    told = [line for line in said if "error: " in line or UNSUPPORTED in line]
    if done.returncode or told:
        why = told[0] if told else said[-1]
        raise UserError(Problem(f"the modules do not compile: {why}", remedy=TOOLS))


def _build_here() -> None:
    """In the folder of the stage: C of all ``SOURCES``, then the extension modules."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    modules = mypycify(
        ["--config-file", "mypy.ini", *map(str, _chosen(Path("mdibench")))],
        opt_level=os.environ["MYPYC_OPT_LEVEL"],
        debug_level="0",
        group_name="mdibench.core.machine_code",
    )
    command = build_ext(Distribution({"name": "mdibench", "ext_modules": modules}))
    command.build_lib = "."
    command.build_temp = "build"
    command.ensure_finalized()
    command.run()


def _chosen(package: Path) -> list[Path]:
    """The modules to compile. Beside a class, those whose classes derive from it must be there."""
    chosen = {path for pattern in SOURCES for path in package.glob(pattern)}
    chosen -= {path for pattern in INTERPRETED for path in package.glob(pattern)}
    return sorted(chosen)


# --- records -------------------------------------------------------------------------------------


def with_constructors(source: str) -> str:
    """``source`` with the constructors of its ``statically_frozen`` classes written out.

    ``dataclasses`` makes them at import, as Python, which takes seven times as long as one that is
    compiled; some ten records are made for every task.
    """
    tree = ast.parse(source)
    records = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_record(node)]
    if not records:
        return source
    for record in records:
        record.decorator_list = [ast.parse(DATACLASS, mode="eval").body]
        record.body.append(_constructor(record))
    after_future = next(n for n, node in enumerate(tree.body) if isinstance(node, ast.ImportFrom))
    tree.body.insert(after_future + 1, ast.parse("from dataclasses import dataclass").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_record(node: ast.ClassDef) -> bool:
    return [ast.unparse(decorator) for decorator in node.decorator_list] == [RECORD]


def _constructor(record: ast.ClassDef) -> ast.stmt:
    """``__init__`` of a record, whose fields lose their defaults to its arguments."""
    fields = [field for field in record.body if isinstance(field, ast.AnnAssign)]
    arguments, lines = ["self"], []
    for field in fields:
        name = ast.unparse(field.target)
        argument = f"{name}: {ast.unparse(field.annotation)}"
        if isinstance(field.value, ast.Call):  # field(default=..., ...)
            options = {option.arg: option for option in field.value.keywords}
            argument += f" = {ast.unparse(options.pop('default').value)}"
            field.value.keywords = list(options.values())
        elif field.value is not None:
            argument += f" = {ast.unparse(field.value)}"
            field.value = None
        arguments.append(argument)
        lines.append(f"    self.{name} = {name}")
    head = f"def __init__({', '.join(arguments)}) -> None:"
    return ast.parse("\n".join([head, *(lines or ["    pass"])])).body[0]
