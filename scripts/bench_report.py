"""How long the page of a large sweep takes to make and to open in a headless browser.

Makes a sweep from a real result (`--result`) with changed numbers, renders its report.html, and opens it and
an empty page in turn; the difference is what the page costs. Goal: 500 rows open in less than 2 s.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_aggregate import make

from optbench.delivery.report import page_of

GOAL_SECONDS = 2.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def open_seconds(browser: str, page: Path, profile: Path) -> float:
    """Seconds from the browser's start until it has loaded a page, run its script and told the result."""
    command = [browser, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    begun = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - begun


def main() -> int:
    """Print the figures; exit 1 if the goal is missed, 2 without a browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--result", type=Path, required=True, help="a result.json to start from")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        parser.error(f"needs a browser: one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make(place / "sweep", json.loads(chosen.result.read_text()), chosen.rows)
        begun = time.perf_counter()
        html = page_of(place / "sweep").html()
        made = time.perf_counter() - begun
        pages = {"sweep": place / "sweep.html", "empty": place / "empty.html"}
        pages["sweep"].write_text(html, encoding="utf-8")
        pages["empty"].write_text("<!DOCTYPE html><title>empty</title>")
        open_seconds(browser, pages["empty"], place / "profile")
        seconds: dict[str, list[float]] = {name: [] for name in pages}
        for _ in range(chosen.repeats):
            for name, page in pages.items():
                seconds[name].append(open_seconds(browser, page, place / "profile"))
    extra = statistics.median(a - b for a, b in zip(seconds["sweep"], seconds["empty"], strict=True))
    opened = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"rows       {chosen.rows:8,}")
    print(f"page       {len(html) / 1e6:8.2f} MB, made in {made:.2f} s")
    print(f"opened in  {opened['sweep']:8.2f} s, an empty page in {opened['empty']:.2f} s")
    print(f"difference {extra:8.2f} s; goal {GOAL_SECONDS:g} s: {'PASS' if extra < GOAL_SECONDS else 'FAIL'}")
    return 0 if extra < GOAL_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
