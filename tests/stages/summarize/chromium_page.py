"""A page in headless Chromium: frames that a script measures, and PDF."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-extensions",
         "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000"]  # fmt: skip
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT CHECKED: no Chromium here (Debian: apt-get install chromium)"
)


def measured(body: str, folder: Path, *flags: str) -> tuple[list[dict], str]:
    """Return what the script of `body` found in its frames, and what Chromium said."""
    page = folder / "frames.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{body}", encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
    found = re.search(r"FOUND(.*)END", done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1))), done.stderr


def frame(text: str, width: int, height: int = 900) -> str:
    """Return a frame of a width that holds a page."""
    style = f"width:{width}px;height:{height}px;border:0"
    return f'<iframe style="{style}" srcdoc="{html.escape(text)}"></iframe>'


def opened(text: str) -> str:
    """Return the page with every chapter and note open."""
    return text.replace("<details", "<details open")


def dark(text: str) -> str:
    """Return the page with the rules of a dark screen made to hold."""
    found = text.replace("@media screen and (prefers-color-scheme: dark)", "@media all")
    assert found != text
    return found


def printed(text: str, folder: Path, paper: str) -> Path:
    """Return the PDF of the page on a paper of CSS's name."""
    page, pdf = folder / "printed.html", folder / f"{paper}.pdf"
    page.write_text(text.replace("@page {", f"@page {{ size: {paper};"), encoding="utf-8")
    subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={pdf}", page.as_uri()],
        capture_output=True, check=True, timeout=1200,
    )  # fmt: skip
    return pdf
