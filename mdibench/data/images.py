"""Pictures of a folder as items: ``images:FOLDER``, decoded one by one when a run asks for them.

The folder holds ``labels.csv``: a line ``file,label`` for each picture, and where wanted a third
field, its split (``train``, ``calibration`` or ``evaluation``). Without it the pictures are divided
at random, always in the same way. A file ``classes.txt``, one name a line, gives the classes and
their order; without it they are the labels that occur.

An item is the square in the middle of its picture, in colour, uint8 ``[3, side, side]``: the
shorter side is scaled to 8/7 of ``side`` first, as is usual for ImageNet (256 to 224).
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdibench.config.messages import choose
from mdibench.config.schema import PicturesSection
from mdibench.data.dataset import DIVISION_SEED, IMAGES, Dataset, Split
from mdibench.errors import Problem, UserError
from mdibench.record.files import cache_folder, write_text_cached

LABELS, CLASSES = "labels.csv", "classes.txt"
SPLITS = ("train", "calibration", "evaluation")
SHARES = (0.7, 0.1)
"""Of the pictures, for training and calibration; the rest is for evaluation."""
MOST_PROBLEMS = 10
"""Lines about one labels file, at most."""
WHERE = "model.dataset"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Picture:
    """A line of the labels file."""

    file: Path
    label: int
    split: str
    """Empty where the file does not say."""


class Pictures:
    """Items that are decoded when they are asked for; indexed as a uint8 array ``[N, C, H, W]``."""

    def __init__(self, files: Sequence[Path], side: int) -> None:
        self._files = list(files)
        self._side = side

    def __len__(self) -> int:
        return len(self._files)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, 3, side, side)``."""
        return len(self), 3, self._side, self._side

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """One item for a whole number, else a batch."""
        if isinstance(index, int | np.integer):
            return decode(self._files[index], self._side)
        chosen = np.arange(len(self))[index]
        items = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for at, which in enumerate(chosen):
            items[at] = decode(self._files[which], self._side)
        return items

    def first(self, count: int | None) -> Pictures:
        """The first ``count`` items, not yet decoded."""
        return Pictures(self._files[:count], self._side)

    def digest(self) -> str:
        """SHA-256 of the files' contents."""
        digest = hashlib.sha256(str(self._side).encode())
        for file in self._files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def decode(file: Path, side: int) -> NDArray[np.uint8]:
    """The middle of the picture in ``file``, ``[3, side, side]``; UserError for a broken one."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            picture.draft("RGB", (side * 8 // 7,) * 2)  # JPEG: decode no more than is needed
            whole = picture.convert("RGB")
    except Exception as failure:  # Pillow's readers raise what they meet
        first = (str(failure).strip().splitlines() or [""])[0][:200]
        what = f"broken picture ({type(failure).__name__}: {first})"
        remedy = 'mend or remove it, or set model.pictures.broken = "skip"'
        raise UserError(Problem(what, str(file), remedy)) from failure
    scale = side * 8 / 7 / min(whole.size)
    size = [max(side, round(length * scale)) for length in whole.size]
    left, top = ((length - side) // 2 for length in size)
    scaled = whole.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    square = scaled.crop((left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(square, np.uint8).transpose(2, 0, 1))


def load_images(name: str, data_dir: str | None, section: PicturesSection) -> Dataset:
    """The data set ``images:FOLDER``; a relative folder is looked for in ``data_dir``.

    Every picture is decoded once, when a folder is new or has changed. Raises UserError, one
    problem for each mistake in the files.
    """
    folder = folder_of(name, data_dir)
    classes, pictures = _read(folder)
    broken = _broken(folder, [picture.file for picture in pictures], section.side)
    if broken and section.broken == "refuse":
        remedy = 'mend or remove it, or set model.pictures.broken = "skip"'
        raise _limited([Problem(f"broken picture ({why})", f, remedy) for f, why in broken.items()])
    for file, why in broken.items():
        log.warning("%s is left out: broken picture (%s)", file, why)
    kept = [picture for picture in pictures if str(picture.file) not in broken]
    return Dataset(name, classes, **_splits(kept, folder, section.side))


def image_format(name: str, data_dir: str | None, side: int) -> tuple[tuple[int, int, int], int]:
    """Shape of an item and number of classes; only the labels are read."""
    classes, _ = _read(folder_of(name, data_dir))
    return (3, side, side), len(classes)


def folder_of(name: str, data_dir: str | None) -> Path:
    """The folder that ``images:FOLDER`` means; UserError where there is none."""
    folder = Path(data_dir or "").expanduser() / Path(name.removeprefix(IMAGES)).expanduser()
    if not folder.is_dir() or name == IMAGES:
        remedy = f'give "{IMAGES}FOLDER" with pictures and their {LABELS}'
        raise UserError(Problem(f'no folder "{folder}"', WHERE, remedy))
    return folder


# --- labels --------------------------------------------------------------------------------------


def _read(folder: Path) -> tuple[tuple[str, ...], list[Picture]]:
    """Classes, and all pictures in the order of the labels file."""
    rows = list(_rows(folder / LABELS))
    classes = _classes(folder / CLASSES, [row[1] for _, row in rows])
    problems: list[Problem] = []
    pictures: dict[Path, Picture] = {}
    for where, row in rows:
        picture, problem = _picture(folder, row, classes)
        if problem is None and picture.file in pictures:
            problem = f'"{row[0]}" is listed twice', "keep one of the lines"
        if problem is not None:
            problems.append(Problem(problem[0], where, problem[1]))
        pictures[picture.file] = picture
    if problems:
        raise _limited(problems)
    return classes, list(pictures.values())


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """``file:line`` and the fields of each line; UserError where they are not two or three."""
    remedy = "write a line file,label for each picture"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        why = "not UTF-8" if isinstance(failure, ValueError) else str(failure.strerror)
        raise UserError(Problem(f"cannot read the labels: {why}", str(path), remedy)) from failure
    for number, row in enumerate(csv.reader(lines, skipinitialspace=True), start=1):
        fields = [field.strip() for field in row]
        if not any(fields) or (number == 1 and fields[:2] == ["file", "label"]):
            continue
        if not 2 <= len(fields) <= 3:
            what = f"{len(fields)} fields instead of file,label or file,label,split"
            raise UserError(Problem(what, f"{path}:{number}", remedy))
        yield f"{path}:{number}", fields


def _classes(path: Path, labels: Sequence[str]) -> tuple[str, ...]:
    if path.is_file():
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        classes = [line for line in lines if line]
    else:
        numbers = all(label.isdigit() for label in labels)
        classes = sorted(set(labels), key=int if numbers else str)
    if len(set(classes)) < 2 or len(set(classes)) < len(classes):
        where = path if path.is_file() else path.parent / LABELS
        what = "a class is named twice" if len(set(classes)) > 1 else "fewer than two classes"
        raise UserError(Problem(what, str(where), "name each class once, and at least two"))
    return tuple(classes)


def _picture(
    folder: Path, row: Sequence[str], classes: Sequence[str]
) -> tuple[Picture, tuple[str, str] | None]:
    """The picture of a line, and what is wrong with it, with the remedy."""
    name, label, split = (*row, "")[:3]
    known = label in classes
    picture = Picture(folder / name, classes.index(label) if known else -1, split)
    if not known:
        return picture, (f'label "{label}" is no class', choose(label, classes))
    if split and split not in SPLITS:
        return picture, (f'"{split}" is no split', choose(split, SPLITS))
    if not picture.file.is_file():
        return picture, (f'no picture "{name}"', "give its path within the folder")
    return picture, None


def _splits(pictures: Sequence[Picture], folder: Path, side: int) -> dict[str, Split]:
    """The three splits: as the labels say, else divided at random, always in the same way."""
    if any(picture.split for picture in pictures):
        named = [picture.split or "train" for picture in pictures]
    else:
        order = np.random.default_rng(DIVISION_SEED).permutation(len(pictures))
        edges = np.cumsum([round(share * len(pictures)) for share in SHARES])
        named = [SPLITS[int(np.searchsorted(edges, place, "right"))] for place in order]
    chosen = {
        split: [picture for picture, own in zip(pictures, named, strict=True) if own == split]
        for split in SPLITS
    }
    if not chosen["evaluation"]:
        what = "no picture is left for evaluation"
        raise UserError(Problem(what, str(folder / LABELS), "list more pictures, or their splits"))
    return {
        split: Split(
            Pictures([picture.file for picture in held], side),
            np.array([picture.label for picture in held], np.int64),
        )
        for split, held in chosen.items()
    }


# --- broken files --------------------------------------------------------------------------------


def _broken(folder: Path, files: Sequence[Path], side: int) -> dict[str, str]:
    """The files that do not decode, and why; looked at once, until one of them changes."""
    stamps = [(str(f), (stat := f.stat()).st_size, stat.st_mtime_ns) for f in files]
    key = hashlib.sha256(json.dumps([str(folder.resolve()), stamps]).encode()).hexdigest()[:32]
    kept = cache_folder() / "pictures" / f"{key}.json"
    with suppress(OSError, ValueError):
        known = json.loads(kept.read_text(encoding="utf-8"))
        return {str(file): str(why) for file, why in known.items()}
    if len(files) > 1000:
        log.info("decoding %d pictures once, to find broken ones", len(files))
    found = {}
    for file in files:
        try:
            decode(file, side)
        except UserError as failure:
            found[str(file)] = failure.problems[0].what.partition("(")[2].removesuffix(")")
    write_text_cached(kept, json.dumps(found))
    return found


def _limited(problems: Sequence[Problem]) -> UserError:
    """The first problems, and how many more there are."""
    more = len(problems) - MOST_PROBLEMS
    rest = [Problem(f"and {more} more like these")] if more > 0 else []
    return UserError(*problems[:MOST_PROBLEMS], *rest)
