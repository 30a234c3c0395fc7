"""``git xexp sweep``: what a run costs beside its command, by threads and by Dask, and beside others.

Prints, per run: 200 times ``true`` with 2 jobs (wanted: at most 60 ms all in), the same with a model of
1 MB (at most 120 ms), on two Dask worker processes (at most twice the threads), ``xargs -P2``, and,
where asked for, ``dvc exp run --queue``. Then a pool of 4 worktrees over 5,000 files beside one ``worktree
new`` (at most twice), and 1,000 runs of 20 rows merged (at most 3 s, memory flat).

    python tests/bench/bench_sweep.py [RUNS] [FILES] [MERGED] [--dvc]
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gitxexp.repository.repository import Project
from gitxexp.workflows.sweeps import pool, results

PYTHON = sys.executable
#: A training in 10 ms that leaves 1 MB.
MODEL = "head -c 1000000 /dev/zero > models/model.bin; echo '{\"f1\": 0.5}' > metrics.json"
ROWS = (
    "CREATE TABLE runs (track_id TEXT, timestamp TEXT, f1 REAL, PRIMARY KEY (track_id, timestamp))"
)


def call(*args: str | Path, cwd: Path) -> float:
    """Seconds for a command, which is silent; an error ends the benchmark with its output."""
    started = time.perf_counter()
    done = subprocess.run([str(arg) for arg in args], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started


def build(folder: Path, files: int) -> Path:
    """A repository with ``files`` data files, a model that DVC tracks, and parameters."""
    repo = folder / "repo"
    (repo / "images").mkdir(parents=True)
    for number in range(files):
        (repo / f"images/{number:05}.bin").write_bytes(os.urandom(700))
    (repo / "models").mkdir()
    (repo / "models/model.bin").write_bytes(b"first")
    (repo / "params.yaml").write_text("lr: 0.1\nepochs: 0\n")
    call("git", "init", "-q", "-b", "main", cwd=repo)
    call(PYTHON, "-m", "dvc", "init", "-q", cwd=repo)
    names = ["models/model.bin", *(["images"] if files else [])]
    call(PYTHON, "-m", "dvc", "add", "-q", *names, cwd=repo)
    call(PYTHON, "-m", "gitxexp", "init", "-q", cwd=repo)
    call("git", "add", "-A", cwd=repo)
    call("git", "commit", "-q", "-m", "first", cwd=repo)
    return repo


def sweep(repo: Path, runs: int, *options: str, command: tuple[str, ...] = ("true",)) -> float:
    """Seconds a run."""
    words = ("sweep", "-q", "--force", "-j", "2", "-S", f"epochs=range(1,{runs + 1})", *options)
    seconds = call(PYTHON, "-m", "gitxexp", *words, "--", *command, cwd=repo)
    call("git", "checkout", "-q", ".", cwd=repo)
    return seconds / runs


def dvc_queue(repo: Path, runs: int) -> float:
    """Seconds a run of DVC's own queue."""
    (repo / "dvc.yaml").write_text("stages:\n  t:\n    cmd: 'true'\n    params: [epochs]\n")
    call("git", "add", "-A", cwd=repo)
    call("git", "commit", "-q", "-m", "stage", cwd=repo)
    words = ("exp", "run", "--queue", "-S", f"epochs=range(1,{runs + 1})")
    seconds = call(PYTHON, "-m", "dvc", *words, cwd=repo)
    return (
        seconds + call(PYTHON, "-m", "dvc", "exp", "run", "--run-all", "-j", "2", cwd=repo)
    ) / runs


@contextmanager
def sealed() -> Iterator[Path]:
    """A folder to work in, without anybody's configuration."""
    folder = Path(tempfile.mkdtemp(prefix="bench-sweep-"))
    os.environ.update(DVC_NO_ANALYTICS="1", DVC_SITE_CACHE_DIR=str(folder / "site"))
    os.environ["GIT_CONFIG_GLOBAL"] = str(folder / "gitconfig")
    (folder / "gitconfig").write_text("[user]\n\tname = A\n\temail = a@example.org\n")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def pooled(repo: Path) -> tuple[float, float]:
    """Seconds for 4 worktrees of a pool in one process, and for one ``worktree new``."""
    one = call(PYTHON, "-m", "gitxexp", "worktree", "new", "one", cwd=repo)
    code = (
        "from gitxexp.repository.repository import Project\n"
        "from gitxexp.workflows.sweeps import pool\n"
        "project = Project.open('.')\n"
        "pool.make(project, project.state / 'trees', project.git.resolve('HEAD'), 4)\n"
    )
    four = call(PYTHON, "-c", code, cwd=repo)
    project = Project.open(repo)
    pool.remove(project, project.state / "trees")
    return four, one


def merged(repo: Path, runs: int) -> tuple[float, int]:
    """Seconds for merging the rows of ``runs`` runs in batches, and the growth of memory in bytes."""
    sources = []
    for number in range(-1, runs):
        path = repo / ("runs.db" if number < 0 else f".git/run-{number}.db")
        with closing(sqlite3.connect(path)) as db:
            db.execute(ROWS)
            rows = [(f"run-{number}", str(step), step / 20) for step in range(20)]
            db.executemany("INSERT INTO runs VALUES (?, ?, ?)", rows)
            db.commit()
        sources += [path] if number >= 0 else []
    project = Project.open(repo)
    results.merge(project, {"runs.db": sources[:100]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    for at in range(100, runs, 100):
        results.merge(project, {"runs.db": sources[at : at + 100]})
    seconds = (time.perf_counter() - started) / max(1, runs - 100) * runs
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def line(name: str, value: float, unit: str, wanted: str = "") -> None:
    """One measured value."""
    print(f"{name:34} {value:8.1f} {unit:3} {wanted and 'wanted: at most '}{wanted}", flush=True)


def main(runs: int = 200, files: int = 5000, count: int = 1000, *, dvc: bool = False) -> None:
    """Measure everything once."""
    with sealed() as folder:
        repo = build(folder, 0)
        bare = sweep(repo, runs) * 1000
        line("sweep of true, a run", bare, "ms", "60")
        model = sweep(repo, runs, command=("sh", "-c", MODEL)) * 1000
        line("with a model of 1 MB, a run", model, "ms", "120")
        start = sweep(repo, 1, "--engine", "local") - sweep(repo, 1)
        dask = sweep(repo, runs, "--engine", "local") * 1000
        line("on two Dask workers, a run", dask, "ms")
        line("ratio to threads", dask / bare, "", "2")
        line("of it the start of the workers", start * 1000 / runs, "ms")
        script = f"seq {runs} | xargs -P2 -n1 true"
        line("xargs -P2, a run", call("sh", "-c", script, cwd=repo) / runs * 1000, "ms")
        if dvc:
            line("dvc exp run --queue, a run", dvc_queue(repo, 4) * 1000, "ms")
        four, one = pooled(build(folder / "large", files))
        line("a pool of 4 worktrees", four, "s")
        line("one worktree new", one, "s")
        line("ratio", four / one, "", "2")
        seconds, memory = merged(build(folder / "merge", 0), count)
        line(f"{count} runs of 20 rows merged", seconds, "s", "3")
        line("memory grew by", memory / 1e6, "MB", "20")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word != "--dvc"]
    main(*numbers, dvc="--dvc" in sys.argv)
