"""What every verb shares: the manual, quiet and verbose, hints, and errors as JSON."""

from __future__ import annotations

import os
import sys
from typing import Any

from gitxexp.cli.arguments import Line
from gitxexp.cli.render import console
from gitxexp.common import streams


def apply(line: Line) -> None:
    """Set up what the options that all verbs have ask for."""
    console.choose(color=line.color, quiet=line.quiet)
    _Hinted.given = False
    _Trace.on = line.verbose
    if line.verbose and not _Trace.hooked:
        _Trace.hooked = True
        sys.addaudithook(_traced)


class _Trace:
    """An audit hook cannot be taken out again, only told to be silent."""

    on = False
    hooked = False


def _traced(event: str, args: tuple[Any, ...]) -> None:
    if _Trace.on and event == "subprocess.Popen" and isinstance(args[1], list | tuple):
        import shlex

        words = [os.fsdecode(word) for word in args[1]]
        streams.tell(f"run: {' '.join(shlex.quote(word) for word in words)}")


def manual(path: str) -> int | None:
    """Show the page of a verb by man; its exit code, or None where that cannot be done."""
    import shutil
    import subprocess

    from gitxexp.cli.shell import install
    from gitxexp.common.errors import XexpError

    verb = path.partition(" ")[0]
    name = f"git-xexp-{verb}.1" if verb else "git-xexp.1"
    try:
        page = next((p for p in install.page_files() if p.name == name), None)
    except XexpError:
        return None
    if page is None or shutil.which("man") is None:
        return None
    streams.flush()
    environment = dict(os.environ)
    if page.parent.name == "man1":
        environment["MANPATH"] = f"{page.parent.parent}:{os.environ.get('MANPATH', '')}"
    done = subprocess.run(["man", str(page)], env=environment, check=False)
    return 0 if done.returncode == 0 else None


def advises() -> bool:
    """Whether hints are wanted: ``advice.xexp``, true unless it is set to false."""
    import subprocess

    command = ["git", "config", "--type=bool", "advice.xexp"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git, or no current folder: what is said needs its hint all the more
        return True
    return done.stdout.strip() != "false"


#: What is sensible after a verb that changed something.
_NEXT = {
    "init": "git xexp tag -m 'what this experiment is'",
    "tag": "git xexp push",
    "merge": "git xexp tag --all",
    "rebase": "git xexp tag --all",
    "promote": "git xexp push",
    "prune": "git xexp candidates",
    "undo": "git xexp log",
    "worktree new": "work there, then: git xexp tag --all --name NAME",
    "worktree remove": "git xexp worktree list",
    "worktree prune": "git xexp worktree list",
    "explore cleanup": "git xexp explore list",
    "drivers uninstall": "git xexp drivers status",
    "setup": "git xexp setup --check",
    "explore checkout": "git xexp explore cleanup",
    "conflicts resolve": "git commit",
    "drivers install": "git add .gitattributes && git commit",
    "push": "git xexp explore list",
}


class _Hinted:
    """Whether the verb has said itself what comes next."""

    given = False


def hint(*lines: str) -> None:
    """Say how to go on, on standard error, unless it is to be quiet or ``advice.xexp`` is false.

    Without lines, that nothing comes next: :func:`advise` is silent then.
    """
    _Hinted.given = True
    if lines and not console.quiet() and advises():
        for text in lines:
            console.say(f"hint: {text}")


def advise(line: Line) -> None:
    """After a change, on a terminal: the next sensible command, unless ``advice.xexp`` is false."""
    command = _NEXT.get(line.path)
    told = {
        "--dry-run",
        "-n",
        "--suggest",
        "--plan",
        "--history",
        "-h",
        "--push",
        "--print-path",
        "-o",
        "--check",
        "--uninstall",
    }
    wanted = not (line.as_json or _Hinted.given or told & {*line.words})
    if command and wanted and sys.stderr.isatty():
        hint(f"next: {command}")


def error_as_json(message: str, hint: str | None, code: int) -> str:
    """One line of JSON: ``{"error": {"message", "hint" (or null), "exit_code"}}``."""
    import json

    facts = {"message": message, "hint": hint, "exit_code": code}
    return json.dumps({"error": facts}, ensure_ascii=False)
