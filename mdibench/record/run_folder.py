"""The folder of a run: its manifest ``run.json``, its live stream and, at the end, its tables.

Rank 0 writes through ``RunWriter``; everybody else reads. While ``live.jsonl`` exists it is the
whole truth about the run's records; it is removed only after every table is safely on disk.

The manifest names its writer so that no other process can be taken for it: a pid alone is used
again, means another process in another container, and nothing on another host or after a restart.
Beside it stand the kernel's boot, the pid namespace and the process's start.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from mdibench.errors import Problem, UserError, say
from mdibench.record import schema
from mdibench.record.files import write_text_whole
from mdibench.record.stream import LiveWriter, refuse_other_major

START_TOLERANCE_S = 2.0
"""Start times are computed from the boot time, which moves when the clock is set."""


def boot_id() -> str:
    """The kernel's boot on this host, empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The namespace in which this process's pid counts, empty where the system does not tell."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def this_process() -> dict[str, Any]:
    """The facts of this process for a manifest."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "pid_namespace": pid_namespace(),
        "process_started_s": psutil.Process().create_time(),
    }


def may_live(facts: Mapping[str, Any]) -> bool:
    """Whether the process of ``facts`` may still be there: false only where that is certain."""
    pid = facts.get("pid")
    if not isinstance(pid, int) or facts.get("host") != socket.gethostname():
        return True
    boot, namespace = facts.get("boot_id"), facts.get("pid_namespace")
    if boot and boot != boot_id():  # the host was started anew, or another one has its name
        return True
    if namespace and namespace != pid_namespace():
        return True
    return lives(pid, facts.get("process_started_s"))


def lives(pid: int, started_s: float | None = None) -> bool:
    """Whether process ``pid`` of this namespace is there, and is the one that started then."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        born_s = process.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return started_s is None or abs(born_s - started_s) < START_TOLERANCE_S


# --- run folder ----------------------------------------------------------------------------------

MANIFEST = "run.json"
SWEEP_RECORD = "sweep.json"
"""In the folder of a sweep; see ``mdibench.sweep.sweep_record``."""
STREAM = "live.jsonl"
RESERVE = ".reserve"
RESERVE_BYTES = 256 * 1024
"""Kept while a run goes on: room for its last manifest on a disk that is full."""
NO_RUNS = "`mdibench run CONFIG` makes a run, in results/ here unless its config says otherwise"
STOP = "stop"
"""A file of this name in a run's folder asks the run to end in good order."""
SILENCE_S = 30.0
"""A run that still says ``running`` after this long without a record has lost its writer."""


def create(results: Path, name: str, started: datetime, token: str) -> Path:
    """Make the folder of a new run: ``<UTC time>-<name>-<token>`` below ``results``."""
    stamp = started.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = results / f"{stamp}-{name}-{token}"
    try:
        folder.mkdir(parents=True)
    except OSError as failure:
        what = f"cannot make the run's folder: {failure.strerror}"
        raise UserError(Problem(what, str(folder), "choose another run.results")) from failure
    return folder


class RunWriter:
    """Writes a run into ``folder``, which ``create`` made. Used by one thread of rank 0."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        version = {"schema": [schema.MAJOR, schema.MINOR], "status": "running", "reason": ""}
        self._manifest = version | manifest
        self._stream = LiveWriter(folder / STREAM)
        self.append = self._stream.append
        """``append(row)``: remember a row. The stream's own method, for speed."""
        self._write_manifest()
        (folder / RESERVE).write_bytes(bytes(RESERVE_BYTES))

    def flush(self) -> None:
        """Make every appended row readable to others, and safe from the death of this process.

        Raises ``UserError`` where the disk is full or the folder is gone.
        """
        with self.recording():
            self._stream.flush()
            self._stream.check_in_place()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Let an ``OSError`` of a file in this folder become one line with a remedy."""
        try:
            yield
        except OSError as failure:
            raise UserError(_cannot_record(self.folder, failure)) from failure

    @property
    def warnings(self) -> list[str]:
        """What the manifest warns of so far."""
        return list(self._manifest.get("warnings", ()))

    def update(self, **fields: Any) -> None:
        """Replace ``fields`` of the manifest, on disk too."""
        self._manifest.update(fields)
        self._write_manifest()

    def finish(self, status: str, reason: str, **fields: Any) -> None:
        """End the run: stream ended, tables written, manifest final, stream removed.

        Raises ``UserError`` when the tables could not be written (a full disk, say). The stream
        then stays, with every record in it, and the manifest has a warning that says so.
        """
        self._manifest.update(fields, status=status, reason=reason)
        (self.folder / RESERVE).unlink(missing_ok=True)
        try:
            with self.recording():
                self._stream.end(status, reason)
                self._stream.close()
                if status != "complete":  # whoever stopped it may not wait for the tables
                    self._write_manifest()
        except UserError as failure:
            self._end_unwritten(failure)
            if status == "complete":
                raise
            return
        try:
            self._write_tables()
        finally:
            self._write_manifest()
        (self.folder / STREAM).unlink(missing_ok=True)

    def _end_unwritten(self, failure: UserError) -> None:
        """Say in the manifest, if nowhere else, that the records break off."""
        if self._manifest["status"] == "complete":
            self._manifest.update(status="failed", reason=str(failure))
        with suppress(OSError):
            self._write_manifest()

    def _write_tables(self) -> None:
        from mdibench.record.tables import write_tables

        try:
            misfits = write_tables(self.folder / STREAM, self.folder)
        except OSError as failure:
            what = f"cannot write the run's tables: {failure.strerror or failure}"
            problem = Problem(what, str(self.folder), f"its records are safe in {STREAM}")
            self._warn(str(problem))
            raise UserError(problem) from failure
        if misfits:
            self._warn(f"{misfits} recorded values did not fit their column and became null")

    def _warn(self, text: str) -> None:
        self._manifest["warnings"] = [*self._manifest.get("warnings", ()), text]

    def _write_manifest(self) -> None:
        text = json.dumps(_plain(self._manifest), indent=1) + "\n"
        write_text_whole(self.folder / MANIFEST, text)


def _cannot_record(folder: Path, failure: OSError) -> Problem:
    """What stopped the recording, with the free space where that may be the reason."""
    if not folder.is_dir():
        what = "the run's folder was removed or moved while it was written"
        return Problem(what, str(folder), "leave it in place until the run has ended")
    free = shutil.disk_usage(folder).free
    what = f"cannot record: {failure.strerror or failure}, {free / 2**20:.1f} MiB free"
    remedy = f"make room or choose another run.results; what was flushed is in {STREAM}"
    return Problem(what, str(folder), remedy)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the run in ``folder``; ``UserError`` where it is missing or damaged."""
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
        major = int(json.loads(text)["schema"][0])
    except OSError as failure:
        raise UserError(Problem(f"cannot be read: {failure.strerror}", str(path))) from None
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        raise UserError(Problem("is damaged: not the manifest of a run", str(path))) from None
    refuse_other_major(major, path)
    from mdibench.record.manifest_schema import parse

    try:
        return parse(text)
    except ValueError as failure:
        raise UserError(Problem(f"is damaged: {failure}", str(path))) from None


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """Every run among and below ``paths``, by start time; ``UserError`` for a path that is not.

    A folder with a damaged manifest is listed too, so that its reader can name it.
    """
    missing = [
        Problem("no such file or folder", str(p), NO_RUNS) for p in paths if not Path(p).exists()
    ]
    if missing:
        raise UserError(*missing)
    found = {run.resolve(): run for path in paths for run in _runs_below(Path(path))}
    return sorted(found.values(), key=lambda run: (_started(run), run.name))


def status(folder: Path, now_s: float | None = None) -> str:
    """``running``, ``complete``, ``aborted`` or ``failed``.

    A run that says ``running`` reads as ``aborted`` when its writer is gone from this host, or
    when nothing was written for ``SILENCE_S`` before ``now_s`` (seconds since the epoch).
    """
    manifest = read_manifest(folder)
    said = str(manifest.get("status", "aborted"))
    if said != "running":
        return said
    now_s = time.time() if now_s is None else now_s
    silence_s = now_s - _written_s(folder)
    return "running" if may_live(manifest) and silence_s <= SILENCE_S else "aborted"


def _plain(value: Any) -> Any:
    """``value`` as strict JSON takes it: no NaN, no tuple, no numpy scalar, no path."""
    if isinstance(value, dict):
        return {str(key): _plain(below) for key, below in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(below) for below in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _runs_below(path: Path) -> Iterator[Path]:
    if path.name == MANIFEST:
        path = path.parent
    if not path.is_dir():
        return
    seen: set[tuple[int, int]] = set()
    for folder, below, files in os.walk(path, onerror=_left_out, followlinks=True):
        if not _is_new(folder, seen):  # a link that leads back up, or to a folder seen before
            below.clear()
            continue
        if MANIFEST in files:
            below.clear()
            yield Path(folder)
        below[:] = sorted(name for name in below if not name.startswith("."))


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    facts = Path(folder).stat()
    key = (facts.st_dev, facts.st_ino)
    is_new = key not in seen
    seen.add(key)
    return is_new


def _left_out(failure: OSError) -> None:
    say(f"{failure.filename}: {failure.strerror}; left out")


def _started(run: Path) -> str:
    try:
        return str(read_manifest(run).get("started_utc", ""))
    except UserError:
        return ""


def _written_s(folder: Path) -> float:
    return max(_modified_s(folder / name) for name in (MANIFEST, STREAM))


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
