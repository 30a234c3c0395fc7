"""``git xexp get`` against ``dvc get``, as medians of interleaved runs, each a process of its own.

    python tests/bench/bench_get.py [ROUNDS]

Prints each ratio with the limit that the project set itself. Needs dvc on PATH's interpreter.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DVC = [sys.executable, "-m", "dvc"]
XEXP = [sys.executable, "-m", "gitxexp"]


def seal(folder: Path) -> None:
    """A home of its own, so that neither side reads or writes the user's settings."""
    (folder / "home").mkdir()
    (folder / "home/.gitconfig").write_text("[user]\n\tname = a\n\temail = a@example.org\n")
    os.environ |= {
        "HOME": str(folder / "home"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def call(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def make(folder: Path, megabytes: int = 50, files: int = 5000) -> Path:
    """A repository with a model, a directory of many files, a local remote and tag e0.1.0."""
    repo = folder / "repo"
    (repo / "data/raw").mkdir(parents=True)
    (repo / "model.bin").write_bytes(os.urandom(megabytes * 1_000_000))
    for number in range(files):
        (repo / f"data/raw/f{number}.txt").write_text(f"content {number}\n" * 20)
    call("git", "init", "-q", "-b", "main", cwd=repo)
    call(*DVC, "init", "-q", cwd=repo)
    call(*DVC, "remote", "add", "-q", "-d", "store", str(folder / "remote"), cwd=repo)
    call(*DVC, "add", "-q", "model.bin", "data/raw", cwd=repo)
    call("git", "add", "-A", cwd=repo)
    call("git", "commit", "-q", "-m", "one", cwd=repo)
    call("git", "tag", "-a", "-m", "model=x | f1=0.9 | one", "e0.1.0", cwd=repo)
    return repo


def measure(commands: dict[str, list[str]], cwd: Path, rounds: int, out: Path) -> dict[str, float]:
    """Median seconds of each command, taken in turn; ``out`` is removed before each."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            out.unlink(missing_ok=True)
            start = time.perf_counter()
            call(*command, cwd=cwd)
            times[name].append(time.perf_counter() - start)
            assert out.is_file()
    return {name: statistics.median(values) for name, values in times.items()}


def show(title: str, ours: float, theirs: float, limit: float) -> None:
    ratio = ours / theirs
    verdict = "ok" if ratio <= limit else "MISSED"
    print(f"{title:<44} {ours:7.3f} s / {theirs:7.3f} s = {ratio:5.2f}  (limit {limit}) {verdict}")


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seal(folder)
        repo = make(folder)
        out = folder / "out"
        ours = [*XEXP, "get", "e0.1.0"]
        theirs = [*DVC, "get", "-q", "-f", ".", "--rev", "e0.1.0", "-o", str(out)]
        to = ["-o", str(out)]
        commands = {
            "verified": [*ours, "model.bin", *to],
            "unverified": [*ours, "model.bin", *to, "--no-verify"],
            "dvc": [*theirs, "model.bin"],
        }
        found = measure(commands, repo, rounds, out)
        show("50 MB from the cache, verified", found["verified"], found["dvc"], 0.35)
        show("50 MB from the cache, --no-verify", found["unverified"], found["dvc"], 0.2)
        path = "data/raw/f4321.txt"
        found = measure({"xexp": [*ours, path, *to], "dvc": [*theirs, path]}, repo, rounds, out)
        show("one file of a 5,000-file directory", found["xexp"], found["dvc"], 0.25)
        call(*DVC, "push", "-q", cwd=repo)
        shutil.rmtree(repo / ".dvc/cache")
        found = measure(
            {"xexp": [*ours, "model.bin", *to], "dvc": [*theirs, "model.bin"]}, repo, rounds, out
        )
        show("50 MB from a local-directory remote", found["xexp"], found["dvc"], 0.5)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
