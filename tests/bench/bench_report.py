"""How quick a page is: ``python tests/bench/bench_report.py [EXPERIMENTS] [ROUNDS]``.

Makes a repository with EXPERIMENTS (2,000) experiment tags and prints how long ``git xexp report`` takes
and how long vl-convert takes to give the script that draws, which is kept after the first page; and, where
Chromium and chromedriver are installed, when the table of the page can be used and all charts are drawn.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.bench_explore import make, measure, xexp
from tests.workflows.report.test_browser import Browser, found_browser

#: Seconds beyond vl-convert's own, and until the page is open.
MAKING, OPENING = 3.0, 2.0
_MARK = "return performance.getEntriesByName(arguments[0])[0].startTime"
VEGA = "import vl_convert; vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')"


def main(experiments: int = 2000, rounds: int = 5) -> None:
    """Make the repository, measure, print."""
    folder = Path(tempfile.mkdtemp(prefix="xexp-bench-"))
    os.environ |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(folder),
        "XDG_CACHE_HOME": f"{folder}/cache",
    }
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")  # compiled, as when installed
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        repository = folder / "repository"
        make(repository, experiments)
        command = [*xexp(), "report", "-o", "report.html"]
        _compile(command, folder)
        first, first_busy = measure(command, repository)
        own, own_busy = measure([sys.executable, "-c", VEGA], repository)
        later = [measure(command, repository) for _ in range(rounds)]
        again, busy = (statistics.median(each) for each in zip(*later, strict=True))
        print(f"vl-convert's own   {own:7.0f} ms  processor {own_busy:6.0f} ms")
        print(f"first page         {first:7.0f} ms  processor {first_busy:6.0f} ms"
              f"  beyond vl-convert {(first - own) / 1000 / MAKING:.2f} of {MAKING:.0f} s")  # fmt: skip
        print(f"each further one   {again:7.0f} ms  processor {busy:6.0f} ms  (at most {1000 * MAKING:.0f})"
              f"  {again / 1000 / MAKING:.2f} of that")  # fmt: skip
        size = (repository / "report.html").stat().st_size
        print(f"size               {size / 1e6:7.2f} MB")
        _open(repository / "report.html", folder / "browser", rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(command: Sequence[str], folder: Path) -> None:
    """Make a page of another repository first: an installed package has its bytecode."""
    make(folder / "other", 3)
    cache = {"XDG_CACHE_HOME": str(folder / "another-cache")}
    subprocess.run(command, cwd=folder / "other", env=os.environ | cache, check=True)


def _open(page: Path, profile: Path, rounds: int) -> None:
    found = found_browser()
    if found is None:
        print("no Chromium and chromedriver to open it in")
        return
    browser = Browser(*found, profile)
    try:
        marks: dict[str, list[float]] = {"xexp-table": [], "xexp-charts": []}
        busy = []
        for _ in range(rounds):
            browser.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
            browser.open(page)
            told = browser.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
            busy += [1000 * m["value"] for m in told if m["name"] == "TaskDuration"]
            for name, times in marks.items():
                times.append(
                    browser.js(
                        "return performance.getEntriesByName(arguments[0])[0].startTime", name
                    )
                )
            time.sleep(0.2)
    finally:
        browser.driver.quit()
    print(
        f"{'processor':18} {statistics.median(busy):7.0f} ms of the page's thread until all is drawn"
    )
    for name, times in marks.items():
        median = statistics.median(times)
        shown = f"{median / 1000 / OPENING:.2f} of {OPENING:.0f} s"
        print(f"{name.removeprefix('xexp-'):18} {median:7.0f} ms in Chromium  {shown}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
