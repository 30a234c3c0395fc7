"""What a verb costs before it does anything: ``python tests/bench/bench_startup.py [TAGS] [ROUNDS]``.

In a repository with TAGS (20) experiment tags, so that starting weighs more than working, prints for
every read command the medians of ROUNDS (11) runs beside ``python -c 'import click'`` taken in
turn, the processor time of both, how many modules are imported, and what git was started for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from bench_explore import LIMITS, compare, make, xexp

LIMITS["-h"] = 1.6
VERBS = (["-h"], ["log"], ["explore", "-h"], ["explore", "list"], ["explore", "show", "e0.0.5"],
         ["explore", "diff", "e0.0.1", "e0.0.5"], ["tag", "-h"])  # fmt: skip


def imports(args: list[str], folder: Path) -> tuple[int, dict[str, float]]:
    """How many modules a command imports, and milliseconds of each of ours with all below it."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gitxexp", *args],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    rows = re.findall(r"^import time: +\d+ \| +(\d+) \| +(\S+)$", done.stderr, re.MULTILINE)
    ours = {name: int(time) / 1000 for time, name in rows if name.split(".")[0] in OWN}
    return len(rows), ours


OWN = ("gitxexp", "click")


def started(args: list[str], folder: Path) -> Counter[str]:
    """The git commands that a command runs."""
    trace = folder / ".git/trace"
    trace.unlink(missing_ok=True)
    subprocess.run([*xexp(), *args], cwd=folder, check=True, capture_output=True,
                   env=os.environ | {"GIT_TRACE": str(trace)})  # fmt: skip
    text = trace.read_text() if trace.exists() else ""
    return Counter(re.findall(r"trace: built-in: git (\S+)", text))


def main() -> None:
    """Make the repository, measure, print."""
    tags = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 11
    click = [sys.executable, "-c", "import click"]
    folder = Path(tempfile.mkdtemp(prefix="xexp-bench-"))
    os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")  # compiled, as when installed
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        repository = folder / "repository"
        make(repository, tags)
        for args in VERBS:
            name = " ".join(args[:2])
            compare(name, [*xexp(), *args], click, repository, rounds)
            count, ours = imports(args, repository)
            heaviest = sorted(ours.items(), key=lambda item: -item[1])[:6]
            print(f"    {count} modules: ", ", ".join(f"{n} {ms:.1f}" for n, ms in heaviest))
            print("    git:", ", ".join(f"{n} {c}" for n, c in started(args, repository).items()))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
