"""docs/your-own-model.md, run unchanged: its files are written, its commands executed."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "your-own-model.md"
STANDINS = str(Path(__file__).parent / "standins")
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.mpi, pytest.mark.timeout(300)]


def blocks(kind: str) -> list[str]:
    return [text for found, text in FENCE.findall(PAGE.read_text()) if found in kind.split()]


def command(line: str, folder: Path) -> str:
    program, *arguments = shlex.split(line)
    assert program == "mdibench"
    done = subprocess.run(
        [sys.executable, "-m", "mdibench", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([STANDINS, *sys.path])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout


def test_the_page_as_it_stands(tmp_path: Path) -> None:
    for text in blocks("python toml"):
        name = text.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(text)
    commands = [line for text in blocks("sh") for line in text.splitlines()]
    for line in commands:
        command(line, tmp_path)
    kinds = [line.split()[1] for line in commands]
    assert kinds == ["check", "train", "profile", "run", "train", "run", "check"]
    profile = json.loads((tmp_path / "my_profile" / "profile.json").read_text())
    shapes = [block["output_shape"] for block in profile["blocks"]]
    assert shapes == [[64, 8, 8], [128, 4, 4], [256, 2, 2], [512]]
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("results/*/run.json")]
    by_name = {run["model"]["name"]: run for run in runs}
    assert by_name.keys() == {"torchvision:resnet18", "my_vit:vit"}
    for run in runs:
        assert run["status"] == "complete"
        assert run["totals"]["ok"] > 0
    tokens = by_name["my_vit:vit"]["model"]["blocks"][0]["output_shape"]
    assert tokens == [17, 64]
    [folder] = tmp_path.glob("results/*my-vit*")
    exits = pq.read_table(folder / "items.parquet", columns=["exit"])["exit"].to_pylist()
    assert max(exits) > 1  # token maps went to the other ranks
