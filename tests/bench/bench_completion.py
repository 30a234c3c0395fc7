"""What a TAB costs with 2,000 tags, in each shell: python tests/bench/bench_completion.py

For each shell: the time from the key to the completed line, less the time of a TAB that completes a
file in the same shell (the shell's own cost); and the engine alone. Medians of 21.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.shells import Shell

COUNT, REPEATS = 2000, 21


def repository(folder: Path) -> None:
    """2,000 annotated tags of ours, packed as after a clone."""
    run = lambda *args, **kw: subprocess.run(args, cwd=folder, check=True, **kw)  # noqa: E731
    run("git", "init", "-q", "-b", "main")
    lines = ["commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 1\nx\n"]
    lines.append("M 100644 inline only-one-file\ndata 1\nx\n")
    for number in range(COUNT):
        name = f"e0.{number // 20}.{number % 20}"
        text = f'model=bert | lr=0.{number} | f1=0.89 | text\n\n[xexp]\nrun = "r-{number}"\n'
        tagger = f"tagger A <a@b> {1700000000 + number} +0000"
        lines.append(f"tag {name}\nfrom refs/heads/main\n{tagger}\ndata {len(text)}\n{text}\n")
    run("git", "fast-import", "--quiet", input="".join(lines), text=True)
    run("git", "reset", "-q", "--hard")
    run("git", "gc", "-q")


def median(shell: Shell, line: str) -> float:
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        shell.tab(line)
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        os.environ.update(HOME=name, GIT_CONFIG_NOSYSTEM="1")
        folder = base / "repo"
        folder.mkdir()
        repository(folder)
        print(f"{COUNT} tags; milliseconds, medians of {REPEATS}")
        for kind in ("bash", "zsh", "fish"):
            with Shell(kind, folder, base / kind) as shell:
                for line in ("git xexp get e0.9", "git xexp get ", "cat only"):
                    shell.tab(line)
                own = median(shell, "cat only")
                verb = median(shell, "git xexp wor") - own
                some = median(shell, "git xexp get e0.99.1") - own
                every = median(shell, "git xexp get ") - own
                assert not shell.python_ran
            print(f"{kind:5} own {own:5.1f}   verb +{verb:5.1f}   version, typed in part"
                  f" +{some:5.1f}   all {COUNT} +{every:5.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
