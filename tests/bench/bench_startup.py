"""What a verb costs before it does anything: ``python tests/bench/bench_startup.py [TAGS] [ROUNDS]``.

In a repository with TAGS (20) experiment tags, so that starting weighs more than working, prints for
every command that only reads: medians of ROUNDS (11) runs beside ``python -c 'import click'`` taken
in turn, the processor time of both, how many modules are imported and which of ours take longest,
and what git was started for. Then ``-h`` of every command, and the status page with 2,000 tags.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import bench_models
from bench_explore import LIMITS, compare, message, version, xexp

from gitxexp.cli.main import main as root
from gitxexp.cli.shell import completion_spec

sys.path.insert(0, str(Path(__file__).parent))


LIMITS |= {"-h": 1.6, "status": 2.0}
OLD, NEW = version(5), version(15)
READS = (["status"], ["log"], ["explore", "list"], ["explore", "show", OLD],
         ["explore", "diff", OLD, NEW], ["explore", "worktrees"], ["worktree", "list"],
         ["candidates", "list"], ["promote", "--history"], ["prune", "--dry-run"],
         ["diff", OLD, NEW], ["conflicts"], ["drivers", "status"], ["completion", "bash"],
         ["setup", "--check"])  # fmt: skip
OWN = ("gitxexp", "click")


def repository(folder: Path, tags: int) -> None:
    """One that has everything: runs, a remote for models, one in production, operations, tags."""
    bench_models.repository(folder)
    run = lambda *args, **kw: bench_models.run(*args, cwd=folder, **kw)  # noqa: E731
    own = lambda *args: run(*xexp(), *args)  # noqa: E731
    (folder.parent / "store").mkdir()
    run(sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "store", "../store")
    (folder / "new.bin").write_bytes(b"model")
    (folder / ".gitignore").write_text("results/\nnew.bin\n")
    own("candidates", "add", "new.bin", "--run", "run-7")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "a candidate")
    own("promote", "--run", "run-7", "--yes")
    own("drivers", "install")
    stream = []
    for number in range(tags):
        text = message(number).encode()
        head = f"tag {version(number)}\nfrom refs/heads/main\ntagger Ada <ada@example.org>"
        stream.append(b"%s %d +0000\ndata %d\n%s\n" % (
            head.encode(), 1_700_000_000 + number, len(text), text))  # fmt: skip
    run("git", "fast-import", "--quiet", "--force", stdin=b"".join(stream))


def words(args: list[str]) -> list[str]:
    """The command line; the status page has no name."""
    return [*xexp(), *([] if args == ["status"] else args)]


def imports(args: list[str], folder: Path) -> tuple[int, dict[str, float]]:
    """How many modules a command imports, and milliseconds of each of ours with all below it."""
    given = words(args)[len(xexp()) :]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gitxexp", *given],
        cwd=folder, check=False, capture_output=True, text=True,
    )  # fmt: skip
    rows = re.findall(r"^import time: +\d+ \| +(\d+) \| +(\S+)$", done.stderr, re.MULTILINE)
    ours = {name: int(time) / 1000 for time, name in rows if name.split(".")[0] in OWN}
    return len(rows), ours


def started(args: list[str], folder: Path) -> Counter[str]:
    """The git commands that a command runs."""
    trace = folder / ".git/trace"
    trace.unlink(missing_ok=True)
    subprocess.run(words(args), cwd=folder, check=False, capture_output=True,
                   env=os.environ | {"GIT_TRACE": str(trace)})  # fmt: skip
    text = trace.read_text() if trace.exists() else ""
    return Counter(re.findall(r"trace: built-in: git (\S+)", text))


def describe(args: list[str], folder: Path) -> None:
    count, ours = imports(args, folder)
    heaviest = sorted(ours.items(), key=lambda item: -item[1])[:6]
    print(f"    {count} modules: ", ", ".join(f"{n} {ms:.1f}" for n, ms in heaviest))
    print("    git:", ", ".join(f"{n} {c}" for n, c in started(args, folder).items()) or "none")


def main() -> None:
    """Make the repositories, measure, print."""
    tags = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 11
    click = [sys.executable, "-c", "import click"]
    with tempfile.TemporaryDirectory(prefix="xexp-bench-") as name:
        base = Path(name)
        os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "HOME": name, "DVC_NO_ANALYTICS": "1"}
        for who in ("GIT_AUTHOR", "GIT_COMMITTER"):
            os.environ |= {f"{who}_NAME": "Ada", f"{who}_EMAIL": "ada@example.org"}
        os.environ["PATH"] = f"{Path(xexp()[0]).parent}{os.pathsep}{os.environ['PATH']}"
        os.environ["PYTHONPYCACHEPREFIX"] = str(base / "pycache")  # compiled, as when installed
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for folder, count in (("few", tags), ("many", 2000)):
            (base / folder).mkdir()
            repository(base / folder / "repository", count)
        subprocess.run([*xexp(), "setup"], cwd=base, check=False, capture_output=True)
        few, many = (base / folder / "repository" for folder in ("few", "many"))
        print(f"reading, {tags} tags")
        for args in READS:
            compare(
                " ".join(w for w in args if w not in (OLD, NEW)),
                words(args),
                click,
                few,
                rounds,
                quiet=True,
            )
            describe(args, few)
        print("-h")
        for path, _ in completion_spec.commands(root):
            compare(
                "-h", [*xexp(), *path.split(), "-h"], click, few, max(3, rounds // 3), shown=path
            )
        print("the status page, 2,000 tags, warm")
        compare("status", xexp(), click, many, rounds)
        describe(["status"], many)


if __name__ == "__main__":
    main()
