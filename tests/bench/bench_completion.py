"""What a TAB costs with 2,000 tags, in each shell: ``python tests/bench/bench_completion.py [ROUNDS]``.

The time from the key to the completed line, less the shell's own: for ``git-xexp`` that of a TAB that
completes a file; for ``git xexp`` that of one after a git verb that nobody completes, because a shell
asks its own rules for git first (fish has hundreds). Where all versions are listed, what the shell
takes to list as many fixed words is its own, too. Medians of ROUNDS (21), taken in turn. The limits
are multiples of what ``sh`` and git alone take to print the versions in order.
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

from tests.cli.shells import Shell

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


#: What a version may cost above the shell's own, as a multiple of ``LISTING``'s time. Bash shows no
#: descriptions, zsh prints a hundred lines of them.
LIMITS = {"bash": 2.5, "zsh": 7.0, "fish": 4.0}
LISTING = "git for-each-ref --sort=-v:refname --format='%(refname:strip=2)' 'refs/tags/e*'"
OWN = {"git-xexp": "cat only", "git xexp": "git nobody only"}
ALL = f"all {COUNT}"
TYPED = {"verb": "wor", "version, typed in part": "get e0.99.1", ALL: "get "}

#: As many words as there are versions, and nothing to find out about them.
WORDS = " ".join(f"e0.{number // 20}.{number % 20}" for number in reversed(range(COUNT)))
FIXED = {
    "bash": f"fixed() {{ COMPREPLY=($words); }}; words='{WORDS}'; complete -o nosort -F fixed fixed",
    "zsh": f"words2000=({WORDS}); _fixed() {{ compadd -V fixed -a words2000 }}; compdef _fixed fixed",
    "fish": f"set -g words {WORDS}; complete -c fixed -f -k -a '(printf \"%s\\n\" $words)'",
}


def fixed(kind: str, base: Path) -> Path:
    """A script after which ``fixed`` completes to ``WORDS``."""
    script = base / f"fixed.{kind}"
    script.write_text(FIXED[kind] + "\n")
    return script


def medians(shell: Shell, lines: list[str], rounds: int) -> dict[str, float]:
    """Milliseconds of a TAB after each line; the first, which loads the scripts, does not count."""
    times: dict[str, list[float]] = {line: [] for line in lines}
    for number in range(rounds + 1):
        for line in lines:
            begun = time.perf_counter()
            shell.tab(line)
            if number:
                times[line].append(1000 * (time.perf_counter() - begun))
    return {line: statistics.median(found) for line, found in times.items()}


def unit(folder: Path, rounds: int) -> float:
    """Milliseconds that ``LISTING`` takes, median."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run(["sh", "-c", LISTING], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)


def report(kind: str, took: dict[str, float], most: float) -> None:
    listing = took["fixed "] - took["cat only"]
    for command, own in OWN.items():
        parts = [f"own {took[own]:5.1f}, listing {listing:4.1f}"]
        for name, words in TYPED.items():
            above = took[f"{command} {words}"] - took[own] - (listing if name == ALL else 0)
            over = "  OVER" if name != "verb" and above > most else ""
            parts.append(f"{name} {above:+5.1f}{over}")
        print(f"{kind:5} {command:8}  {'   '.join(parts)}   (at most {most:.1f})")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        os.environ.update(HOME=name, GIT_CONFIG_NOSYSTEM="1")
        folder = base / "repo"
        folder.mkdir()
        repository(folder)
        print(
            f"{COUNT} tags; milliseconds, medians of {rounds}; git alone {unit(folder, rounds):.1f}"
        )
        lines = [
            "fixed ",
            *OWN.values(),
            *(f"{c} {words}" for c in OWN for words in TYPED.values()),
        ]
        for kind, times in LIMITS.items():
            one = unit(folder, rounds)
            with Shell(kind, folder, base / kind) as shell:
                shell.run(f"source {fixed(kind, base)}")
                took = medians(shell, lines, rounds)
                assert not shell.python_ran
            report(kind, took, times * statistics.mean((one, unit(folder, rounds))))


if __name__ == "__main__":
    main()
