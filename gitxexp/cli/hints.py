"""What every verb shares: the manual, the trace of git commands, hints, and errors as JSON."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from gitxexp.cli.render import console
from gitxexp.common import streams

if TYPE_CHECKING:
    import click

    from gitxexp.repository.repository import Project


def begin() -> None:
    """Forget what an earlier command line in this process asked for."""
    console.choose(color="auto", quiet=False, full=False)
    _Hinted.given = _Trace.on = False


class _Trace:
    """An audit hook cannot be taken out again, only told to be silent."""

    on = False
    hooked = False


def trace() -> None:
    """Say from now on which commands are run."""
    _Trace.on = True
    if not _Trace.hooked:
        _Trace.hooked = True
        sys.addaudithook(_traced)


def _traced(event: str, args: tuple[Any, ...]) -> None:
    if _Trace.on and event == "subprocess.Popen" and isinstance(args[1], list | tuple):
        import shlex

        words = [os.fsdecode(word) for word in args[1]]
        streams.tell(f"run: {' '.join(shlex.quote(word) for word in words)}")


def manual(command_path: str) -> int | None:
    """Show the page of a verb by man; its exit code, or None where that cannot be done."""
    import shutil
    import subprocess

    from gitxexp.cli.shell import install
    from gitxexp.common.errors import XexpError

    name = f"{'-'.join(command_path.split()[:3])}.1"
    try:
        page = next((p for p in install.page_files() if p.name == name), None)
    except XexpError:
        return None
    if page is None or shutil.which("man") is None:
        return None
    streams.flush()
    path = f"{page.parent.parent}:{os.environ.get('MANPATH', '')}"
    environment = {**os.environ, "MANPATH": path}
    done = subprocess.run(["man", str(page)], env=environment, check=False)
    return 0 if done.returncode == 0 else None


def advises() -> bool:
    """Whether hints are wanted: ``advice.xexp``, true unless it is set to false."""
    from gitxexp.common.errors import XexpError
    from gitxexp.storage.git import Git, boolean

    try:
        value = Git(".").setting("advice.xexp")
    except (XexpError, OSError):  # no git, or no current folder: the more a hint is needed
        return True
    return value is None or boolean(value) is not False


_PUSH = "git xexp push"

#: What is sensible after a verb that changed something.
_NEXT = {
    "init": "git xexp tag -m 'what this experiment is'",
    "tag": _PUSH,
    "merge": "git xexp tag --all",
    "rebase": "git xexp tag --all",
    "promote": _PUSH,
    "prune": "git xexp candidates",
    "undo": "git xexp log",
    "redo": "git xexp log",
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


def note_drivers(project: Project) -> None:
    """Say so in a clone that has not the merge drivers which its tracked attributes name."""
    from gitxexp.workflows.merge.driver.install import lacks_drivers

    if project.places.top is not None and lacks_drivers(project):
        console.say(
            "note: this clone has no merge drivers, so git does not merge rows: git xexp init"
        )


def hint(*lines: str) -> None:
    """Say how to go on, on standard error, unless it is to be quiet or ``advice.xexp`` is false.

    Without lines, that nothing comes next: :func:`advise` is silent then.
    """
    _Hinted.given = True
    if lines and not console.quiet() and advises():
        for text in lines:
            console.say(f"hint: {text}")


#: Options that leave nothing to do, or say themselves what comes next.
_TOLD = ("as_json", "dry_run", "suggest", "history", "push", "print_path", "output", "check",
         "uninstall")  # fmt: skip


def advise(ctx: click.Context) -> None:
    """After a change, on a terminal: the next sensible command, unless ``advice.xexp`` is false."""
    command = _NEXT.get(ctx.command_path.removeprefix("git xexp "))
    told = _Hinted.given or any(ctx.params.get(name) for name in _TOLD)
    if command and not told and sys.stderr.isatty():
        hint(f"next: {command if command != _PUSH or _has_remote() else 'git xexp explore list'}")


def _has_remote() -> bool:
    """Whether there is a git remote to push to."""
    import subprocess

    done = subprocess.run(["git", "remote"], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip())


#: What git's own command of that name has, or git, DVC and trackers have as a command, and how it is
#: done here.
_ELSEWHERE = {
    "git xexp": {
        "commit": "git xexp tag commits and tags the experiment",
        "fetch": "git xexp pull",
        "filter": "git xexp explore list --filter 'f1 > 0.8'",
        "gc": "git xexp prune deletes candidates that are stored elsewhere",
        **dict.fromkeys(
            ("metric", "metrics", "params"),
            "git xexp explore diff compares the parameters and metrics of two experiments",
        ),
    },
    "tag": {
        **dict.fromkeys(("-d", "--delete"), "git xexp undo removes the last experiment"),
        "--list": "git xexp explore list",
        **dict.fromkeys(("-f", "--force"), "a version is never moved: omit it for the next one"),
    },
    **dict.fromkeys(
        ("merge", "rebase"),
        dict.fromkeys(
            ("--abort", "--continue"),
            "a merge is never left unfinished; git xexp undo undoes it",
        ),
    ),
    "worktree": {"add": "did you mean new?"},
}


def way_here(ctx: click.Context | None, word: str) -> str | None:
    """How that is done here which is ``word`` elsewhere; None if nothing is known of it."""
    return _ELSEWHERE.get(_path(ctx).removeprefix("git xexp "), {}).get(word)


def elsewhere(ctx: click.Context | None, word: str = "") -> str:
    """A hint for a wrong ``word``: for those who know git's own command, else the usage."""
    return way_here(ctx, word) or f"{_path(ctx)} -h shows the usage"


def _path(ctx: click.Context | None) -> str:
    return ctx.command_path if ctx else "git xexp"


def error_as_json(message: str, hint: str | None, code: int) -> str:
    """One line of JSON: ``{"error": {"message", "hint" (or null), "exit_code"}}``."""
    return console.as_json({"error": {"message": message, "hint": hint, "exit_code": code}})
