"""CIFAR-10 from the standard binary layout (``cifar-10-batches-bin``), checked record by record.

One record is a label byte and 3,072 bytes of pixels (red, green, blue, row by row). The folder is
searched in ``data_dir``, else in ``$MDIBENCH_DATA``, else in the user's cache folder, where
``mdibench data fetch cifar10`` puts it after a check of the published checksum. Source:
A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

import importlib
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdibench.data.dataset import DIVISION_SEED, Dataset, Split
from mdibench.errors import Problem, UserError
from mdibench.record.files import cache_folder

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32
FILE_RECORDS = 10_000
CALIBRATION = 5_000

REMEDY = (
    "set model.data_dir or MDIBENCH_DATA to the folder that contains it, "
    "or run: mdibench data fetch cifar10"
)


def load_cifar10(data_dir: str | None = None) -> Dataset:
    """45,000 training, 5,000 calibration and 10,000 evaluation items (the test batch).

    Raises UserError, one problem per file, where files are missing, truncated or mislabelled.
    """
    folder = find_folder(data_dir)
    check_files(folder)
    inputs, labels = zip(*(read_batch(folder / name) for name in TRAIN_FILES), strict=True)
    training = Split(np.concatenate(inputs), np.concatenate(labels))
    order = np.random.default_rng(DIVISION_SEED).permutation(len(training))
    held_out, kept = np.split(order, [CALIBRATION])
    return Dataset(
        "cifar10",
        CLASSES,
        train=Split(training.inputs[kept], training.labels[kept]),
        calibration=Split(training.inputs[held_out], training.labels[held_out]),
        evaluation=Split(*read_batch(folder / TEST_FILE)),
    )


def candidate_folders(data_dir: str | None = None) -> list[Path]:
    """Folders to search: ``data_dir``, else ``$MDIBENCH_DATA``, else the cache folder."""
    if data_dir:
        return [Path(data_dir).expanduser()]
    named = os.environ.get("MDIBENCH_DATA")
    return [Path(named).expanduser()] if named else [cache_folder()]


def find_folder(data_dir: str | None = None) -> Path:
    """The folder with the six files; ``data_dir`` may be that folder or its parent."""
    candidates = candidate_folders(data_dir)
    for base in candidates:
        for folder in (base / FOLDER, base):
            if (folder / TEST_FILE).exists() or (folder / TRAIN_FILES[0]).exists():
                return folder
    raise UserError(Problem(f"no {FOLDER} in {candidates[0]}", "cifar10", REMEDY))


def check_files(folder: Path) -> None:
    """Raise UserError with one problem per file that is missing or has the wrong size."""
    problems = [_size_problem(folder / name) for name in (*TRAIN_FILES, TEST_FILE)]
    found = [problem for problem in problems if problem is not None]
    if found:
        raise UserError(*found)


def _size_problem(path: Path) -> Problem | None:
    expected = FILE_RECORDS * RECORD_BYTES
    if not path.is_file():
        return Problem("missing file", str(path), REMEDY)
    size = path.stat().st_size
    if size == expected:
        return None
    return Problem(
        f"{size:,} bytes instead of {expected:,}: truncated or not a CIFAR-10 batch",
        str(path),
        "fetch or copy the file again",
    )


def read_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Inputs uint8 ``[N, 3, 32, 32]`` and labels int64 ``[N]``; UserError for wrong labels."""
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as failure:
        raise UserError(Problem(f"cannot read it: {failure.strerror}", str(path))) from failure
    records = raw.reshape(-1, RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    _check_labels(labels, path)
    return records[:, 1:].reshape(-1, *SHAPE), labels


def _check_labels(labels: NDArray[np.int64], path: Path) -> None:
    """Raise UserError unless labels are 0..9 and every class is about a tenth of the batch.

    The release's batches hold 937 to 1,032 records of each class; a batch far from that was
    written in another layout (CIFAR-100, records of another size) or is damaged.
    """
    wrong = np.flatnonzero(labels >= len(CLASSES))
    if len(wrong):
        raise UserError(
            Problem(
                f"label {labels[wrong[0]]} in record {wrong[0]} ({len(wrong):,} impossible labels)",
                str(path),
                "labels are 0 to 9: fetch or copy the file again",
            )
        )
    counts = np.bincount(labels, minlength=len(CLASSES))
    if counts.min() < FILE_RECORDS // 20:
        raise UserError(
            Problem(
                f"only {counts.min()} of {len(labels):,} records are labelled "
                f"{CLASSES[int(counts.argmin())]}",
                str(path),
                "a CIFAR-10 batch holds about 1,000 of each class: fetch or copy the file again",
            )
        )


# --- download ------------------------------------------------------------------------------------

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""As published on the download page."""


def fetch_cifar10(folder: Path | None = None, url: str = URL, checksum: str = MD5) -> Path:
    """Download CIFAR-10's binary version and unpack it; the folder with its six files.

    Downloads nothing if the files are already complete. Raises UserError without pooch, without a
    network and for a wrong checksum.
    """
    target = folder or cache_folder()
    if _is_complete(target / FOLDER):
        return target / FOLDER
    archive = Path(_download(target, url, checksum))
    _unpack(archive, target)
    archive.unlink()
    check_files(target / FOLDER)
    return target / FOLDER


def _is_complete(folder: Path) -> bool:
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
    except OSError as failure:  # errors of requests are OSErrors
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
    """Extract the six files and the class names from ``archive``, and nothing else."""
    wanted = {f"{FOLDER}/{name}" for name in (*TRAIN_FILES, TEST_FILE, "batches.meta.txt")}
    (target / FOLDER).mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name in wanted else None
            if content is not None:
                (target / member.name).write_bytes(content.read())


class _Bar:
    """The progress bar that pooch expects: drawn by rich on a terminal, else nothing."""

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
        """Total bytes; None: unknown."""
        return None

    @total.setter
    def total(self, value: int) -> None:
        self._bar.update(self._task, total=value)

    def update(self, count: int) -> None:
        """``count`` more bytes have arrived."""
        self._bar.advance(self._task, count)

    def reset(self) -> None:
        """Start again at 0; pooch then advances to the total."""
        self._bar.reset(self._task)

    def close(self) -> None:
        """The download has ended."""
        self._bar.stop()
