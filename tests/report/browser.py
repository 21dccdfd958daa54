"""A page as headless Chromium sees it: its document, console, network requests and picture.

By hand: ``python tests/analysis/browser.py PICTURE.png RUNS...`` reports RUNS and takes the picture
that ``docs/report.md`` shows.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-first-run",
    "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip
OWN_HOSTS = (".google.com", ".googleapis.com", ".gvt1.com")
"""Whom the browser itself calls, whatever page is open."""


@dataclass(frozen=True)
class Visit:
    """``requests`` are the addresses that the page, not the browser, asked for."""

    document: str
    console: list[str]
    requests: list[str]


def chromium() -> str | None:
    """The browser's program, where there is one."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    return None


def visit(page: Path) -> Visit:
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "net.json"
        done = _run(scratch, f"--log-net-log={log}", "--dump-dom", page.resolve().as_uri())
        events = json.loads(log.read_text())["events"]
    urls = {e["params"]["url"] for e in events if "url" in (e.get("params") or {})}
    console = re.findall(r"CONSOLE[:(].*", done.stderr)
    return Visit(done.stdout, console, sorted(url for url in urls if not _is_own(url)))


def _is_own(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return url.startswith(("file:", "data:")) or f".{host}".endswith(OWN_HOSTS)


def picture(page: Path, target: Path, width: int = 1120, height: int = 1760) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        size = f"--window-size={width},{height}"
        _run(scratch, size, f"--screenshot={target.resolve()}", page.resolve().as_uri())


def _run(scratch: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = chromium()
    assert program is not None
    return subprocess.run(
        [program, *OPTIONS, f"--user-data-dir={scratch}/profile", *arguments],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "report.html"
        command = [sys.executable, "-m", "mdibench", "report", *sys.argv[2:], "--html", str(made)]
        subprocess.run(command, check=True)
        picture(made, Path(sys.argv[1]))
