"""docs/your-own-model.md, run unchanged: its files are written, its commands executed."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "your-own-model.md"
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
    outputs = {line.split()[1]: command(line, tmp_path) for line in commands}
    assert list(outputs) == ["check", "train", "profile", "run"]
    assert (tmp_path / "my_resnet.safetensors").exists()
    profile = json.loads((tmp_path / "my_profile" / "profile.json").read_text())
    assert [block["output_shape"][0] for block in profile["blocks"]] == [64, 128, 256, 512]
    [manifest] = tmp_path.glob("results/*/run.json")
    run = json.loads(manifest.read_text())
    assert run["status"] == "complete"
    assert run["totals"]["ok"] > 0
    assert run["model"]["name"] == "my_resnet:resnet18"
