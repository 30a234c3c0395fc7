"""``git xexp worktree new`` against the same by hand: ``git worktree add`` and ``dvc checkout``.

One 500 MB file and a directory of 5,000 small ones, hard links. By hand means what a user has to
do: the worktree without checkout, the cache and link type into ``config.local``, ``git checkout``, ``dvc
checkout``. Prints the medians, the ratio (wanted: at most 1.15) and the blocks that the data of the
new worktree takes beyond the cache (wanted: none).

Then the processor time of each further one of several (``worktree new a b c …``), against ``git worktree
add`` and links alone (wanted: at most 3), where DVC tracks the FILES, and where it tracks one.

    python tests/bench/bench_worktree.py [RUNS] [MEGABYTES] [FILES]
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

PYTHON = sys.executable


def call(*args: str | Path, cwd: Path) -> None:
    """Run a command silently; an error ends the benchmark with its output."""
    done = subprocess.run([str(arg) for arg in args], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")


def build(folder: Path, megabytes: int, files: int) -> Path:
    """The repository: ``train.npy`` and ``images/`` in the cache, linked."""
    repo = folder / "repo"
    (repo / "images").mkdir(parents=True)
    with (repo / "train.npy").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    for number in range(files):
        (repo / f"images/{number:05}.bin").write_bytes(os.urandom(700))
    call("git", "init", "-q", "-b", "main", cwd=repo)
    call(PYTHON, "-m", "dvc", "init", "-q", cwd=repo)
    call(PYTHON, "-m", "dvc", "config", "--local", "cache.type", "hardlink", cwd=repo)
    call(PYTHON, "-m", "dvc", "add", "-q", "train.npy", "images", cwd=repo)
    call("git", "add", "-A", cwd=repo)
    call("git", "commit", "-q", "-m", "data", cwd=repo)
    os.sync()  # the data has long been on the disk when a user makes a worktree
    return repo


def by_hand(repo: Path, tree: Path) -> float:
    """Seconds for the same worktree made with git and dvc alone."""
    started = time.perf_counter()
    call("git", "worktree", "add", "-q", "--no-checkout", "-b", "hand", tree, cwd=repo)
    call("git", "checkout", "-q", "HEAD", "--", ".", cwd=tree)
    config = f"[cache]\n    dir = {repo}/.dvc/cache\n    type = hardlink\n"
    (tree / ".dvc/config.local").write_text(config)
    call(PYTHON, "-m", "dvc", "checkout", "-q", cwd=tree)
    return time.perf_counter() - started


def by_us(repo: Path, tree: Path) -> float:
    """Seconds for ``git xexp worktree new``."""
    command = ("worktree", "new", "ours", "--path", tree, "--link", "hardlink")
    started = time.perf_counter()
    call(PYTHON, "-m", "gitxexp", *command, cwd=repo)
    return time.perf_counter() - started


def processor() -> float:
    """Seconds of processor time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def further(repo: Path, count: int = 6) -> tuple[float, float]:
    """Processor time of each further worktree in one command, and of ``git worktree add`` and links."""
    names = [f"w{number}" for number in range(count + 1)]
    new, links = ("worktree", "new"), ("--link", "hardlink")
    marks = [processor()]
    call(PYTHON, "-m", "gitxexp", *new, "one", *links, cwd=repo)
    marks.append(processor())
    call(PYTHON, "-m", "gitxexp", *new, *names, *links, cwd=repo)
    marks.append(processor())
    for name in names[1:]:
        tree = repo.parent / f"hand-{name}"
        call("git", "worktree", "add", "-q", "-b", name, tree, cwd=repo)
        call("cp", "-rl", "train.npy", "images", tree, cwd=repo)
    marks.append(processor())
    for name in ("one", *names):
        drop(repo, repo.parent / f"exp-{name}", f"exp/{name}")
    for name in names[1:]:
        drop(repo, repo.parent / f"hand-{name}", name)
    one, several, hand = (after - before for before, after in pairwise(marks))
    return (several - one) / count, hand / count


def blocks(tree: Path) -> int:
    """Bytes that the data takes for itself: files that are not links to the cache."""
    data = [tree / "train.npy", *(tree / "images").iterdir()]
    return sum(s.st_blocks * 512 for s in (p.lstat() for p in data) if s.st_nlink == 1)


def drop(repo: Path, tree: Path, branch: str) -> None:
    """The worktree and its branch gone, as if never made."""
    call("git", "worktree", "remove", "--force", tree, cwd=repo)
    call("git", "branch", "-D", branch, cwd=repo)


def main(runs: int = 5, megabytes: int = 500, files: int = 5000) -> None:
    """Alternate both ways and print what they took."""
    folder = Path(tempfile.mkdtemp(prefix="bench-worktree-"))
    os.environ.update(DVC_NO_ANALYTICS="1", DVC_SITE_CACHE_DIR=str(folder / "site"))
    os.environ["GIT_CONFIG_GLOBAL"] = str(folder / "gitconfig")
    (folder / "gitconfig").write_text("[user]\n\tname = A\n\temail = a@example.org\n")
    try:
        repo = build(folder, megabytes, files)
        hand, ours, free, taken = [], [], 0, 0
        for number in range(runs):
            hand.append(by_hand(repo, folder / f"hand{number}"))
            before = shutil.disk_usage(folder).free
            ours.append(by_us(repo, folder / f"ours{number}"))
            free = before - shutil.disk_usage(folder).free
            taken = blocks(folder / f"ours{number}")
            drop(repo, folder / f"hand{number}", "hand")
            drop(repo, folder / f"ours{number}", "exp/ours")
        print(f"by hand          {median(hand):6.2f} s")
        print(f"git xexp         {median(ours):6.2f} s")
        print(f"ratio            {median(ours) / median(hand):6.2f}    wanted: at most 1.15")
        print(f"data copied      {taken:6} bytes in blocks; free space fell by {free / 1e6:.1f} MB")
        (folder / "few").mkdir()
        most = 0.0
        for tracked, where in ((files, repo), (1, build(folder / "few", 1, 1))):
            pairs = [further(where) for _ in range(max(3, runs))]
            each, alone = median(a for a, _ in pairs), median(b for _, b in pairs)
            times = median(a / b for a, b in pairs)
            most = max(most, times)
            print(
                f"each further one {each * 1000:6.0f} ms of the processor, {tracked:,} files in a folder"
            )
            print(f"git and links    {alone * 1000:6.0f} ms")
            print(f"ratio            {times:6.2f}    wanted: at most 3")
        if most > 3 or taken or median(ours) > 1.15 * median(hand):
            sys.exit(1)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
