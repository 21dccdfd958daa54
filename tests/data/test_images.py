"""Pictures of a folder: made up here, decoded when they are asked for, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdibench.assembly.workload import load_items
from mdibench.config.network_keys import Count
from mdibench.config.schema import ModelSection, PicturesSection
from mdibench.data.dataset import dataset_of, item_format
from mdibench.data.images import decode
from mdibench.errors import UserError

COLOURS = {"red": (250, 5, 5), "green": (5, 250, 5), "blue": (5, 5, 250)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty pictures of one colour each, in several forms and modes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "pictures"
    (place / "sub").mkdir(parents=True)
    lines = []
    for number in range(30):
        name = list(COLOURS)[number % 3]
        size = (40 + number, 60 - number)
        picture = Image.new("RGB", size, COLOURS[name])
        kind = ("jpg", "png", "webp")[number // 10]
        file = f"{'sub/' if number % 2 else ''}{number}.{kind}"
        (picture if number % 4 else picture.convert("RGBA" if kind == "png" else "RGB")).save(
            place / file
        )
        lines.append(f"{file},{name}")
    (place / "labels.csv").write_text("file,label\n" + "\n".join(lines) + "\n")
    return place


def of(folder: Path, side: Count = 24, broken: str = "refuse") -> ModelSection:
    pictures = PicturesSection(side=side, broken=broken)
    return ModelSection(dataset=f"images:{folder}", pictures=pictures)


def test_items_are_the_pictures_and_their_labels(folder: Path) -> None:
    data = dataset_of(of(folder))
    assert data.classes == ("blue", "green", "red")
    assert [len(s) for s in (data.train, data.calibration, data.evaluation)] == [21, 3, 6]
    for split in (data.train, data.calibration, data.evaluation):
        items = split.inputs[:]
        assert items.shape == split.inputs.shape == (len(split), 3, 24, 24)
        assert items.dtype == np.uint8
        expected = np.array([COLOURS[data.classes[label]] for label in split.labels])
        assert np.abs(items.mean((2, 3)) - expected).max() < 6
        assert (split.inputs[1] == items[1]).all()
        assert (split.inputs[np.array([2, 0])] == items[[2, 0]]).all()
    again = dataset_of(of(folder))
    assert again.train.digest() == data.train.digest() != data.evaluation.digest()
    assert again.evaluation.first(2).digest() != data.evaluation.digest()


def test_the_format_is_known_from_the_labels_alone(folder: Path) -> None:
    name = f"images:{folder.name}"
    assert item_format(name, str(folder.parent)) == ((3, 224, 224), 3)
    (folder / "classes.txt").write_text("red\ngreen\nblue\nyellow\n")
    assert item_format(name, str(folder.parent)) == ((3, 224, 224), 4)
    assert dataset_of(of(folder)).classes[0] == "red"


def test_the_middle_is_taken_at_the_usual_scale(tmp_path: Path) -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, :, 0] = np.arange(128)[None]
    Image.fromarray(pixels).save(tmp_path / "x.png")
    item = decode(tmp_path / "x.png", 56)  # 64 x 128 stays at its size, 56 of it are kept
    assert (item[0] == np.arange(36, 92)[None]).all()
    assert (item[1:] == 0).all()


def test_splits_may_be_given(folder: Path) -> None:
    lines = (folder / "labels.csv").read_text().splitlines()[1:]
    (folder / "labels.csv").write_text("\n".join(line + ", evaluation" for line in lines))
    data = dataset_of(of(folder))
    assert (len(data.train), len(data.evaluation)) == (0, 30)


def test_a_source_decodes_and_sends_raw_bytes(folder: Path) -> None:
    items = load_items(of(folder))
    raw, size = items.fetch(4)
    assert raw.shape == (3, 24, 24) and size == raw.nbytes == 3 * 24 * 24
    assert items.data is not None and items.data["decode_s"] > 0


def test_broken_files_are_refused_or_skipped_by_name(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (folder / "0.jpg").read_bytes()
    (folder / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "sub" / "11.png").write_text("no picture")
    with pytest.raises(UserError, match="broken picture") as caught:
        dataset_of(of(folder))
    assert [Path(problem.where).name for problem in caught.value.problems] == ["0.jpg", "11.png"]
    assert 'set model.pictures.broken = "skip"' in str(caught.value)
    data = dataset_of(of(folder, broken="skip"))
    assert len(data.train) + len(data.calibration) + len(data.evaluation) == 28
    assert "0.jpg is left out: broken picture" in caplog.text
    (folder / "0.jpg").write_bytes(whole)
    (folder / "sub" / "11.png").unlink()
    Image.new("RGB", (30, 30)).save(folder / "sub" / "11.png")
    assert len(dataset_of(of(folder)).train) == 21


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("0.jpg,rod", "labels.csv:32", 'label "rod" is no class; did you mean "red"?'),
        ("31.jpg,red", "labels.csv:32", 'no picture "31.jpg"; give its path'),
        ("1.jpg", "labels.csv:32", "1 fields instead of file,label"),
        ("2.jpg,red,tests", "labels.csv:32", '"tests" is no split; known: train, calibration'),
        ("2.jpg,red", "labels.csv:32", '"2.jpg" is listed twice; keep one'),
    ],
)
def test_a_line_that_is_wrong(folder: Path, line: str, where: str, message: str) -> None:
    (folder / "classes.txt").write_text("red\ngreen\nblue\n")
    with (folder / "labels.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError) as caught:
        item_format(f"images:{folder}")
    [problem] = caught.value.problems
    assert problem.where.endswith(where)
    assert message in str(problem)


def test_many_mistakes_are_ten_lines_and_how_many_more(folder: Path) -> None:
    (folder / "classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError) as caught:
        item_format(f"images:{folder}")
    assert len(caught.value.problems) == 11
    assert str(caught.value.problems[-1]) == "and 20 more like these"


def test_folders_and_labels_that_are_not_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r'no folder ".*nowhere"; give "images:FOLDER"'):
        item_format("images:nowhere")
    (folder / "classes.txt").write_text("red\nred\nblue\n")
    with pytest.raises(UserError, match=r"classes.txt: a class is named twice"):
        item_format(f"images:{folder}")
    (folder / "labels.csv").unlink()
    with pytest.raises(UserError, match=r"labels.csv: cannot read the labels: No such file"):
        item_format(f"images:{folder}")
