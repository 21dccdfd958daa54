"""Fetching a data set from its home, with its checksum: only when the user asks for it."""

from __future__ import annotations

import importlib
import sys
import tarfile
from pathlib import Path
from typing import Any

from mdibench.data.cache import cache_folder
from mdibench.data.cifar10 import FOLDER, TEST_FILE, TRAIN_FILES, check_files
from mdibench.errors import Problem, UserError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""As published beside the download."""


def fetch_cifar10(folder: Path | None = None, url: str = URL, checksum: str = MD5) -> Path:
    """Download CIFAR-10's binary version and unpack it; the folder with its six files.

    Nothing is downloaded where the files are already there and whole. Raises UserError without
    pooch, without a network and where the checksum is wrong.
    """
    target = folder or cache_folder()
    if _is_whole(target / FOLDER):
        return target / FOLDER
    archive = Path(_download(target, url, checksum))
    _unpack(archive, target)
    archive.unlink()
    check_files(target / FOLDER)
    return target / FOLDER


def _is_whole(folder: Path) -> bool:
    try:
        check_files(folder)
    except UserError:
        return False
    return True


def _download(target: Path, url: str, checksum: str) -> str:
    pooch = _pooch()
    try:
        return str(
            pooch.retrieve(
                url,
                known_hash=f"md5:{checksum}",
                fname="cifar-10-binary.tar.gz",
                path=target,
                downloader=pooch.HTTPDownloader(progressbar=_Bar(), timeout=30),
            )
        )
    except ValueError as failure:
        remedy = "try again later; the file at the source differs from the published one"
        raise UserError(Problem("wrong checksum, nothing kept", url, remedy)) from failure
    except OSError as failure:  # requests' errors are OSErrors too
        remedy = f"copy {FOLDER} to {target} by hand, or set MDIBENCH_DATA to where it is"
        what = f"no connection ({type(failure).__name__})"
        raise UserError(Problem(what, url, remedy)) from failure


def _pooch() -> Any:
    try:
        pooch: Any = importlib.import_module("pooch")
    except ImportError as failure:
        remedy = 'pip install "mdibench[data]"'
        raise UserError(Problem("fetching needs the package pooch", "data", remedy)) from failure
    pooch.get_logger().setLevel("ERROR")
    return pooch


def _unpack(archive: Path, target: Path) -> None:
    """Take the six files and the class names out of ``archive``, and nothing else."""
    wanted = {f"{FOLDER}/{name}" for name in (*TRAIN_FILES, TEST_FILE, "batches.meta.txt")}
    (target / FOLDER).mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name in wanted else None
            if content is not None:
                (target / member.name).write_bytes(content.read())


class _Bar:
    """What pooch wants of a progress bar, drawn by rich on a terminal, else silent."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        console = Console(file=sys.stderr)
        self._bar = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("cifar10", total=None)
        self._bar.start()

    @property
    def total(self) -> int | None:
        """Bytes to come."""
        return None

    @total.setter
    def total(self, value: int) -> None:
        self._bar.update(self._task, total=value)

    def update(self, count: int) -> None:
        """``count`` more bytes are here."""
        self._bar.advance(self._task, count)

    def reset(self) -> None:
        """Pooch starts over to reach the total once more."""
        self._bar.reset(self._task)

    def close(self) -> None:
        """The download has ended."""
        self._bar.stop()
