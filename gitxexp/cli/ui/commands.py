"""The commands that the keys of ``git xexp ui`` run, each after a question.

They are run as processes: what they print is shown, and a screen is never written over by what DVC or
git say on the way.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer
from gitxexp.workflows.explore.rows import Row


@dataclass(frozen=True)
class Field:
    """Something to type: what it is, what stands there, and what it may be."""

    name: str
    value: str = ""
    known: Sequence[str] = ()


@dataclass(frozen=True)
class Question:
    """``words`` makes the command of what was typed, [] while something is missing; ``plan`` is one
    that says what it would do and changes nothing."""

    text: str
    words: Callable[[Sequence[str]], list[str]]
    fields: Sequence[Field] = ()
    plan: Sequence[str] = ()


def question(name: str, row: Row | None) -> Question:
    """The question before a command on ``row``; raises NoAnswer where it makes no sense."""
    if name == "undo":
        plan = ("log", "-n", "1")
        return Question("Undo the last operation?", lambda _: ["undo", "--yes"], plan=plan)
    if row is None:
        raise NoAnswer("there is no row")
    return {
        "checkout": _checkout, "get": _get, "promote": _promote, "label": _label,
        "worktree": _worktree,
    }[name](row)  # fmt: skip


def _version(row: Row) -> str:
    """The version of a row; raises NoAnswer for a run without one."""
    if row.experiment is None:
        raise NoAnswer(
            f"run {row.field('run')} has no version",
            f"tag it first: git xexp tag --run {row.field('run')}",
        )
    return row.experiment.name


def _checkout(row: Row) -> Question:
    version = _version(row)
    return Question(
        f"Check out {version} with its data, in a worktree ../explore-{version}?",
        lambda _: ["explore", "checkout", version],
    )


def _get(row: Row) -> Question:
    version = _version(row)
    artifacts = list(row.experiment.payload.artifacts) if row.experiment else []
    models = [path for path in artifacts if "model" in path]
    first = next(iter([*models, *artifacts]), "")

    def words(typed: Sequence[str]) -> list[str]:
        path, out = (text.strip() for text in typed)
        return ["get", version, *(["-o", out] if out else []), "--", path] if path else []

    out = PurePosixPath(first)
    fields = (
        Field("File", first, artifacts),
        Field("Write it to", f"{version}-{out.name}" if first else ""),
    )
    return Question(f"Get a file of {version}?", words, fields)


def _promote(row: Row) -> Question:
    if row.experiment is not None and not row.is_run:
        words, what = ["promote", row.experiment.name], row.experiment.name
    else:
        run = str(row.field("run"))
        words, what = ["promote", "--run", run], f"run {run}"
    return Question(
        f"Promote the model of {what} to production?",
        lambda _: [*words, "--yes"],
        plan=[*words, "--dry-run"],
    )


def _label(row: Row) -> Question:
    version = _version(row)

    def words(typed: Sequence[str]) -> list[str]:
        given = [word for word in typed[0].replace(",", " ").split() if word not in ("+", "-")]
        signed = [word if word[0] in "+-" else f"+{word}" for word in given]
        return ["label", version, *signed] if signed else []

    have = ", ".join(row.field("label") or ()) or "no labels"
    return Question(
        f"Label {version} ({have})? -LABEL removes one.", words, (Field("Labels"),)
    )  # fmt: skip


def _worktree(row: Row) -> Question:
    at = row.experiment.name if row.experiment else str(row.field("commit") or "")
    if not at:
        raise NoAnswer(
            f"no commit of run {row.field('run')} is known",
            "git xexp explore list --runs shows what is known of it",
        )

    def words(typed: Sequence[str]) -> list[str]:
        name = typed[0].strip()
        return ["worktree", "new", "--at", at, "--", name] if name else []

    text = f"Start a new experiment from {at[:12]}, in a worktree and on a branch of its own?"
    return Question(text, words, (Field("Name"),))


async def output(words: Sequence[str]) -> tuple[int, list[str]]:
    """Run ``git xexp WORDS``; its exit code, and the lines that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gitxexp", *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode("utf-8", "replace").splitlines()
