"""How quick the browser is: ``python tests/bench/bench_ui.py [EXPERIMENTS] [RUNS] [ROUNDS]``.

The first frame with rows of EXPERIMENTS (2,000), from the start of the process, beside that of an empty
Textual app; and each key until the screen has it, by Textual's pilot, on the experiments and on RUNS
(100,000) rows in memory. Processor time stands beside it for a machine that others use.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_explore import make

#: Seconds beyond Textual's own start, and of a key.
FIRST, KEY = 0.5, 0.05

EMPTY = """
import os, time
from textual.app import App
from textual.widgets import Footer, Static

class Empty(App):
    def compose(self):
        yield Static("empty")
        yield Footer()

    def on_mount(self):
        self.call_after_refresh(self.exit)

Empty().run(headless=True, size=(80, 24))
print(time.time() - float(os.environ["STARTED"]), time.process_time())
"""
BROWSER = """
import os, time
from gitxexp.cli.options import open_project
from gitxexp.cli.ui.app import Browser

class Timed(Browser):
    def _show(self, data):
        super()._show(data)
        self.call_after_refresh(self.exit)

Timed(open_project()).run(headless=True, size=(80, 24))
print(time.time() - float(os.environ["STARTED"]), time.process_time())
"""
KEYS = ("down", "down", "up", "pagedown", "pagedown", "end", "home", "right", "left", "space", "down",
        "slash", "f", "1", "enter", "escape", "escape", "d", "v", "enter", "S", "S")  # fmt: skip


def started(script: str, folder: Path) -> tuple[float, float]:
    """Seconds from the start of a process to its first frame, and its processor time."""
    env = {**os.environ, "STARTED": str(time.time())}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    elapsed, used = done.stdout.split()[-2:]
    return float(elapsed), float(used)


async def keys(folder: Path, copies: int) -> list[tuple[str, float, float]]:
    """Every key, how long it took, and its processor time; on ``copies`` times the rows."""
    from gitxexp.cli.ui.app import Browser
    from gitxexp.repository.repository import Project

    app = Browser(Project.open(folder))
    found = []
    async with app.run_test(size=(80, 24)) as pilot:
        while not app.table.count:
            await pilot.pause(0.01)
        app.listing.rows = app.listing.rows * copies
        app.action_close(), app.action_close()
        await app._arrange()
        await pilot.pause(1)
        for key in KEYS:
            start, used = time.perf_counter(), time.process_time()
            app.simulate_key(key)
            await pilot.pause(0)
            while app.typed:
                await asyncio.sleep(0.001)
            found.append((key, time.perf_counter() - start, time.process_time() - used))
            await pilot.pause(0.3)
    return found


def main() -> None:
    """Make the repository, measure, print."""
    given = [int(word) for word in sys.argv[1:]]
    count, runs, rounds = [*given, *(2000, 100_000, 5)[len(given) :]]
    folder = Path(tempfile.mkdtemp(prefix="xexp-bench-"))
    os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        repository = folder / "repository"
        make(repository, count)
        subprocess.run([sys.executable, "-m", "gitxexp", "explore", "list", "-n", "1"], cwd=repository,
                       stdout=subprocess.DEVNULL, check=True)  # fmt: skip
        pairs = [(started(BROWSER, repository), started(EMPTY, repository)) for _ in range(rounds)]
        ours, theirs = (statistics.median(pair[at][0] for pair in pairs) for at in (0, 1))
        cpu, their_cpu = (statistics.median(pair[at][1] for pair in pairs) for at in (0, 1))
        print(f"first frame of {count}: {ours:.2f} s, Textual's own {theirs:.2f} s: {ours - theirs:.2f} s"
              f" beyond it (at most {FIRST}), ratio {ours / theirs:.2f};"
              f" processor {cpu:.2f} / {their_cpu:.2f} s")  # fmt: skip
        for rows in (count, runs):
            found = asyncio.run(keys(repository, max(1, rows // count)))
            took = [each[1] for each in found]
            worst = max(found, key=lambda each: each[1])
            print(f"a key on {rows} rows: median {1000 * statistics.median(took):.0f} ms, slowest"
                  f" {worst[0]} {1000 * worst[1]:.0f} ms (at most {1000 * KEY:.0f}), ratio"
                  f" {worst[1] / KEY:.2f}; processor median"
                  f" {1000 * statistics.median(each[2] for each in found):.0f} ms, most"
                  f" {1000 * max(each[2] for each in found):.0f} ms")  # fmt: skip
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
