"""A page as headless Chromium sees it: its document, console, network requests and picture.

By hand: ``python -m tests.report.browser FOLDER RUNS...`` reports RUNS and takes the pictures that
docs/gallery.md shows.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

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


def driver() -> str | None:
    """The program that drives the browser, where there is one."""
    return shutil.which("chromedriver") if chromium() else None


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


def _run(scratch: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = chromium()
    assert program is not None
    return subprocess.run(
        [program, *OPTIONS, f"--user-data-dir={scratch}/profile", *arguments],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip


# --- driven --------------------------------------------------------------------------------------

CUT = """
const print = arguments[0], found = [], edge = document.documentElement.clientWidth + 1;
const name = (e) => `${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 40)}`;
if (document.documentElement.scrollWidth > edge) found.push(
  `the page is ${document.documentElement.scrollWidth} wide`);
for (const e of document.body.querySelectorAll("*")) {
  if (!e.offsetParent || e.closest("svg") || e.closest("#tip")) continue;
  const style = getComputedStyle(e), scrolls = ["auto", "scroll"].includes(style.overflowX);
  if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth && style.display !== "inline"
      && (print || !scrolls) && style.overflowX !== "visible") found.push(name(e));
  const box = e.getBoundingClientRect(), inside = e.closest(".scroll, figure");
  if (box.right > edge && (print || !inside)) found.push(name(e));
}
for (const svg of document.querySelectorAll("svg.figure")) {
  const all = svg.getBoundingClientRect();
  if (!all.width) continue;
  for (const text of svg.querySelectorAll("text")) {
    const box = text.getBoundingClientRect();
    if (box.left < all.left - 1 || box.right > all.right + 1 || box.top < all.top - 1
        || box.bottom > all.bottom + 1) found.push(`${svg.ariaLabel}: ${text.textContent}`);
  }
}
return [...new Set(found)].slice(0, 20);
"""
"""Elements whose text is cut: beyond the page, clipped, or beyond their figure. What scrolls counts
in print alone."""


class Page:
    """An open page in a driven browser."""

    def __init__(self, session: str) -> None:
        self._session = session

    def command(self, name: str, **values: Any) -> Any:
        """A command of the DevTools protocol."""
        return _post(f"{self._session}/goog/cdp/execute", {"cmd": name, "params": values})

    def script(self, text: str, *arguments: Any) -> Any:
        return _post(f"{self._session}/execute/sync", {"script": text, "args": list(arguments)})

    def show(self, width: int, height: int = 900, dark: bool = False, media: str = "") -> None:
        """As wide a window, in the reader's colours, on a screen or for print."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        colours = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", media=media, features=[colours])

    def cut(self, in_print: bool = False) -> list[str]:
        found = self.script(CUT, in_print)
        assert isinstance(found, list)
        return found

    def picture(self, target: Path) -> None:
        data = self.command("Page.captureScreenshot", format="png")["data"]
        target.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        options = {"preferCSSPageSize": True, "printBackground": True}
        return base64.b64decode(self.command("Page.printToPDF", **options)["data"])


@contextmanager
def opened(page: Path) -> Iterator[Page]:
    """``page`` in a browser that chromedriver drives."""
    program = driver()
    assert program is not None
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen([program, "--port=0"], stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            lines = iter(process.stdout)
            port = next(
                m[1] for line in lines if (m := re.search(r"successfully on port (\d+)", line))
            )
            arguments = [*OPTIONS, f"--user-data-dir={scratch}/profile"]
            wanted = {"goog:chromeOptions": {"binary": chromium(), "args": arguments}}
            begun = _post(
                f"http://127.0.0.1:{port}/session", {"capabilities": {"alwaysMatch": wanted}}
            )
            session = f"http://127.0.0.1:{port}/session/{begun['sessionId']}"
            _post(f"{session}/url", {"url": page.resolve().as_uri()})
            yield Page(session)
            urlopen(Request(session, method="DELETE"), timeout=30).close()
        finally:
            process.terminate()


def _post(address: str, values: dict[str, Any]) -> Any:
    request = Request(address, json.dumps(values).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]


def main() -> None:
    """The pictures of the documentation."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "report.html"
        command = [sys.executable, "-m", "mdibench", "report", *sys.argv[2:], "--html", str(made)]
        subprocess.run(command, check=True)
        with opened(made) as page:
            for name, width, height, dark in (
                ("report", 1280, 1000, False),
                ("report-dark", 1280, 1000, True),
                ("report-narrow", 400, 800, False),
            ):
                page.show(width, height, dark)
                page.picture(target / f"{name}.png")


if __name__ == "__main__":
    main()
