"""How quick reading is: ``python tests/bench/bench_explore.py [TAGS] [ROUNDS]``.

Makes a repository with TAGS (2,000) experiment tags and prints medians of ROUNDS (11) runs, each
beside what it is measured against, taken in turn so that a busy machine weighs on both. Processor
time, which says little of what runs side by side, is steadier where others use the machine.

With 100,000 tags and more, the verbs of a day are measured beside git's own listing of the tags, and
their peak of memory is printed; the first one after all tags are new beside git's listing with contents.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from multiprocessing import Process
from pathlib import Path

from gitxexp.repository import config_hash, tag_message
from gitxexp.repository.tag_message import Payload

LIMITS = {"list warm": 2.5, "list cold": 12.0, "--version": 1.5}
MANY = 100_000  #: tags from which on git's listing is what counts
WARM, COLD, MEMORY = 4.0, 3.0, 120  #: multiples of git's listing, and megabytes
REFS = ["git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags"]
CONTENTS = ["git", "for-each-ref", "--format=%(objectname) %(refname) %(contents)", "refs/tags"]


def message(number: int) -> str:
    """The tag message of experiment ``number``."""
    params = {"model": f"bert-{number % 7}", "lr": 10 ** -(1 + number % 5), "epochs": number % 30,
              "batch_size": 2 ** (number % 8), "seed": number, "train.dropout": number % 10 / 10,
              "train.optimizer": "adam", "data.path": "data/train.parquet"}  # fmt: skip
    metrics = {"f1": (number * 7919 % 10007) / 10007, "loss": (number * 104729 % 9973) / 9973,
               "accuracy": (number * 31 % 997) / 997, "latency_ms": 10 + number % 90}  # fmt: skip
    digits = f"{number:032x}"
    return tag_message.encode(
        Payload(
            headline=f"model={params['model']} | lr={params['lr']} | f1={metrics['f1']:.4f}"
            f" | data={digits[-6:]} | experiment {number}",
            version=version(number),
            text=f"experiment {number}",
            config_hash=config_hash.config_hash(params),
            data=digits[-6:],
            run=f"run-{number}",
            run_commit="0" * 40,
            code=digits[:12],
            reason="minor: lr changed",
            results="results/experiments.db",
            table="predictions",
            labels=("baseline",) if number % 10 == 0 else (),
            params=params,
            metrics=metrics,
            artifacts={"data/train.parquet": f"md5:{digits}", "model.bin": f"md5:{digits[::-1]}"},
        )
    )


def version(number: int) -> str:
    """The version of experiment ``number``."""
    return f"e{number // 400}.{number // 20 % 20}.{number % 20}"


def make(folder: Path, tags: int) -> None:
    """A repository in ``folder``: a commit and an annotated tag for every experiment."""
    lines = []
    for number in range(tags):
        when = 1_700_000_000 + 60 * number
        text = message(number)
        lines += [
            f"commit refs/heads/main\nmark :{number + 1}\ncommitter A <a@b.c> {when} +0000",
            f"data 1\nx\nM 644 inline count\ndata {len(str(number))}\n{number}\n",
            f"tag {version(number)}\nfrom :{number + 1}\ntagger A <a@b.c> {when} +0000",
            f"data {len(text.encode())}\n{text}",
        ]
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    stream = "\n".join(lines).encode()
    subprocess.run(["git", "fast-import", "--quiet"], input=stream, cwd=folder, check=True)
    subprocess.run(["git", "reset", "-q", "--hard"], cwd=folder, check=True)


def xexp() -> list[str]:
    """The installed command, or this Python's module where there is none."""
    beside = Path(sys.executable).with_name("git-xexp")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "gitxexp"]


def measure(command: Sequence[str], folder: Path, quiet: bool = False) -> tuple[float, float]:
    """Milliseconds that ``command`` takes, and those of processor time with its children's.

    ``quiet``: its remarks are not shown, and it may answer "no" (1).
    """
    start = time.perf_counter()
    remarks = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=remarks)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in ((0, 1) if quiet else (0,)), command
    return 1000 * (time.perf_counter() - start), 1000 * (used.ru_utime + used.ru_stime)


def compare(name: str, command: Sequence[str], base: Sequence[str], folder: Path, rounds: int,
            cold: bool = False, quiet: bool = False, shown: str | None = None) -> None:  # fmt: skip
    """Print the medians of ``command`` and ``base``, under ``shown`` or ``name``, and of the ratios of
    neighbouring runs: a machine of many users is now quick, now slow."""
    ours, theirs = [], []
    measure(command, folder, quiet), measure(base, folder)
    for _ in range(rounds):
        if cold:
            (folder / ".git/xexp/tags.cache").unlink(missing_ok=True)
        ours.append(measure(command, folder, quiet))
        theirs.append(measure(base, folder))
    (one, one_cpu), (other, other_cpu) = map(_medians, (ours, theirs))
    pairs = [(a / b, c / d) for (a, c), (b, d) in zip(ours, theirs, strict=True)]
    ratio, ratio_cpu = _medians(pairs)
    limit = LIMITS.get(name)
    goal = f"  (at most {limit})" if limit else ""
    title = name if shown is None else shown
    print(f"{title:18} {one:7.1f} ms  {other:6.1f} ms {base[-1]:14} ratio {ratio:5.2f}"
          f"  processor {one_cpu:6.1f} / {other_cpu:5.1f} = {ratio_cpu:5.2f}{goal}")  # fmt: skip


def against_git(folder: Path, rounds: int) -> None:
    """Print the verbs of a day as multiples of git's listing, and their memory."""
    newest = subprocess.run(["git", "tag", "--sort=-v:refname"], cwd=folder, check=True,
                            capture_output=True, text=True).stdout.split(maxsplit=1)[0]  # fmt: skip
    with closing(sqlite3.connect(folder / "runs.db")) as db, db:
        db.execute("CREATE TABLE runs (run_id, lr, f1)")
        db.execute("INSERT INTO runs VALUES ('new', 0.1, 0.5)")
    for command in (["git", "config", "user.name", "A"], ["git", "config", "user.email", "a@b.c"],
                    [*xexp(), "init", "-q", "--no-dvc"], ["git", "add", "-A"],
                    ["git", "commit", "-q", "-m", "runs"]):  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    LIMITS.update(dict.fromkeys(("-n 20", "show", "status", "suggest"), WARM), cold=COLD)
    compare("cold", [*xexp(), "list", "-n", "20"], CONTENTS, folder, rounds, cold=True)
    for name, words in {"-n 20": ["list", "-n", "20"], "show": ["show", newest],
                        "status": ["status"], "suggest": ["tag", "--suggest"]}.items():  # fmt: skip
        compare(name, [*xexp(), *words], REFS, folder, rounds, quiet=True)
        peak = _peak([*xexp(), *words], folder)
        print(f"{'':18} at most {peak} MB of memory (at most {MEMORY})")


def _peak(command: Sequence[str], folder: Path) -> int:
    """The most memory that a command holds, in MB."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return used.ru_maxrss // 1024


def _medians(measured: Sequence[tuple[float, float]]) -> tuple[float, float]:
    elapsed, used = zip(*measured, strict=True)
    return statistics.median(elapsed), statistics.median(used)


def main() -> None:
    """Make the repository, measure, print."""
    tags = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 11
    click = [sys.executable, "-c", "import click"]
    nothing = [sys.executable, "-c", "pass"]
    folder = Path(tempfile.mkdtemp(prefix="xexp-bench-"))
    os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")  # compiled, as when installed
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        repository = folder / "repository"
        maker = Process(target=make, args=(repository, tags))  # whose memory is not a child's
        maker.start()
        maker.join()
        if tags >= MANY:
            against_git(repository, rounds)
            return
        where = (repository, rounds)
        compare("list cold", [*xexp(), "explore", "list"], click, *where, cold=True)
        compare("list warm", [*xexp(), "explore", "list"], click, *where)
        compare(
            "list sorted", [*xexp(), "explore", "list", "--sort", "f1", "-n", "20"], click, *where
        )
        compare("list json", [*xexp(), "explore", "list", "--json"], click, *where)
        compare("show", [*xexp(), "explore", "show", "e1.0.0"], click, *where)
        compare("diff", [*xexp(), "explore", "diff", "e0.1.0", "e1.0.0"], click, *where)
        compare("--version", [*xexp(), "--version"], nothing, *where)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
