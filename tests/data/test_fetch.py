import hashlib
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mdibench.cli.data import data
from mdibench.data import cifar10
from mdibench.data.cifar10 import fetch_cifar10
from mdibench.errors import UserError

pytest.importorskip("pooch", reason="fetching needs the extra [data]")

RECORDS = 20


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cifar10, "FILE_RECORDS", RECORDS)
    home = tmp_path / "home"
    folder = home / cifar10.FOLDER
    folder.mkdir(parents=True)
    rows = np.zeros((RECORDS, cifar10.RECORD_BYTES), np.uint8)
    rows[:, 0] = np.arange(RECORDS) % 10
    for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
        rows.tofile(folder / name)
    (folder / "readme.html").write_text("not wanted")
    path = home / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=cifar10.FOLDER)
    return path


@pytest.fixture
def url(archive: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{archive.name}"
        server.shutdown()
        thread.join()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_the_six_files_arrive_and_nothing_else(archive: Path, url: str, tmp_path: Path) -> None:
    folder = fetch_cifar10(tmp_path / "to", url, md5(archive))
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted((*cifar10.TRAIN_FILES, cifar10.TEST_FILE))
    assert [path.name for path in (tmp_path / "to").iterdir()] == [cifar10.FOLDER]
    assert len(cifar10.load_cifar10(str(tmp_path / "to")).evaluation) == RECORDS


def test_a_wrong_checksum_keeps_nothing(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="wrong checksum, nothing kept"):
        fetch_cifar10(tmp_path / "to", url, "0" * 32)
    assert not list((tmp_path / "to").glob("*"))


def test_no_network_says_what_to_do_by_hand(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no connection .* by hand, or set MDIBENCH_DATA"):
        fetch_cifar10(tmp_path, "http://127.0.0.1:9/none", "0" * 32)


def test_what_is_there_is_not_fetched_again(archive: Path) -> None:
    folder = fetch_cifar10(archive.parent, "http://127.0.0.1:9/none", "0" * 32)
    assert folder == archive.parent / cifar10.FOLDER


def test_the_command_lists_and_describes() -> None:
    listed = CliRunner().invoke(data, ["list"])
    assert "cifar10" in listed.output
    described = CliRunner().invoke(data, ["describe", "digits"])
    assert "evaluation: 2,000 items (0 " in described.output
