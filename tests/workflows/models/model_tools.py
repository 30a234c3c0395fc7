"""What the tests of models share: three runs, each with a model file, and the state to compare."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from gitxexp.repository import commit
from gitxexp.repository.operation import OpLog
from gitxexp.repository.repository import Project
from gitxexp.workflows.models import changes, promote, prune
from tests.helpers import Done, Repo, dies

RUNS = ("run-lr-0.01", "run-lr-0.1", "run-lr-1.0")
PRODUCTION = "models/production/model.bin"
FOLDER = "models/candidates"


def content(run: str) -> bytes:
    """The bytes of a run's model: different for each, and not text."""
    return b"\0" + hashlib.sha256(run.encode()).digest() * 100


def candidate(run: str) -> str:
    return f"{FOLDER}/{run}_model.bin"


def models(repo: Repo) -> dict[str, bytes]:
    """Every model file in the work tree."""
    return {
        path.relative_to(repo.path).as_posix(): path.read_bytes()
        for path in sorted((repo / "models").rglob("*"))
        if path.is_file() and path.name != ".gitignore" and path.suffix != ".dvc"
    }


def state(repo: Repo) -> tuple[Any, ...]:
    """What a command that failed, or was undone, must leave as it was."""
    pointers = {p.name: p.read_bytes() for p in sorted((repo / "models").rglob("*.dvc"))}
    registry = (repo / ".xexp/registry.db").read_bytes()
    names = sorted(p.relative_to(repo.path).as_posix() for p in (repo / "models").rglob("*"))
    return models(repo), pointers, registry, names, repo.refs(), repo.git("status", "--porcelain")


def with_candidates(repo: Repo) -> Repo:
    """``trained`` set up, the model of run-lr-1.0 in production and tagged, the other two runs'
    models as candidates, all committed and nothing of it pushed."""
    repo.xexp("init").good()
    repo.write(PRODUCTION, content("run-lr-1.0"))
    repo.commit("set up")
    repo.xexp("tag", "-m", "base").good()
    for run in RUNS[:2]:
        source = repo.write(f"{run}.bin", content(run))
        repo.xexp("candidates", "add", source, "--run", run).good()
        source.unlink()
    repo.commit("candidates")
    return repo


def set_metric(repo: Repo, run: str, column: str, value: object) -> None:
    """Rewrite what the tracker logged."""
    with closing(sqlite3.connect(repo / "results/experiments.db")) as db, db:
        names = {row[1] for row in db.execute("PRAGMA table_info(predictions)")}
        if column not in names:
            db.execute(f"ALTER TABLE predictions ADD COLUMN {column}")
        db.execute(
            f"UPDATE predictions SET {column} = ? WHERE track_id = ? AND f1 IS NOT NULL"
            if column != "f1" else
            "UPDATE predictions SET f1 = ? WHERE track_id = ? AND f1 IS NOT NULL",
            (value, run),
        )  # fmt: skip


def killed(repo: Repo, *args: str, start: int = 1, stride: int = 1) -> Iterator[int]:
    """Run a command that dies one moment later each time; yields the moment after each death and
    after the next command has cleaned up. Ends when the command lives through."""
    around = [
        (OpLog, "record"), (OpLog, "amend"), (OpLog, "finish"), (promote, "duplicate"),
        (promote, "move"), (prune, "move"), (os, "replace"), (os, "link"), (os, "unlink"),
        (changes, "track_members"), (changes, "track_file"), (promote, "_register"),
        (commit, "commit"), (commit, "_follow"), (prune, "_delete"),
    ]  # fmt: skip
    step = start
    while code := dies(*args, cwd=repo.path, moment=step, around=around):
        assert code == -signal.SIGKILL, code
        recover(repo)
        yield step
        step += stride


def recover(repo: Repo) -> None:
    """What the next operation does first."""
    project = Project.open(repo.path)
    with project.locked():
        project.recover()


def together(repo: Repo, *commands: tuple[str, ...]) -> list[Done]:
    """Commands started at once in processes of their own."""
    started = [repo.forked(*command) for command in commands]
    return [process.done() for process in started]


def cache_object(repo: Repo, data: bytes) -> Path:
    """Where DVC keeps these bytes."""
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return repo / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}"


def remote_object(repo: Repo, data: bytes) -> Path:
    """Where the remote keeps these bytes."""
    assert repo.remote is not None
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return repo.remote / f"files/md5/{digest[:2]}/{digest[2:]}"
