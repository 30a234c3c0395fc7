"""A repository that has something to complete of every kind."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.experiments import tag
from tests.helpers import Clock, Repo

#: As ``init`` writes it, with a comment that has brackets, too.
SETTINGS = """\
[results]
databases = ["results/runs.db"]  # what your tracker writes; globs; [] finds them
# table = "predictions"
[models.ner]
"""
POINTER = "outs:\n- md5: {}\n  size: 3\n  hash: md5\n  path: {}\n"


def completion_project(folder: Path) -> Repo:
    """e0.9.0 to e0.11.0 and exp-sweep-v1 with artifacts of every kind, a branch and a worktree."""
    clock = Clock()
    made = Repo(folder / "repo")
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    made.git("config", "alias.x", "xexp")
    made.git("config", "alias.xget", "xexp get")
    made.git("config", "alias.look", "xexp explore")
    made.write("models/production/model.bin.dvc", POINTER.format("ab" * 16, "model.bin"))
    made.write("data/it's a set.csv.dvc", POINTER.format("cd" * 16, '"it\'s a set.csv"'))
    made.write("größe/α β.csv.dvc", POINTER.format("ef" * 16, "α β.csv"))
    made.write("images.dvc", POINTER.format("12" * 16 + ".dir", "images"))
    manifest = [
        {"md5": "ab" * 16, "relpath": "cats/one cat.png"},
        {"md5": "", "relpath": "b.png"},
        {"md5": "", "relpath": 'vögel/日本 "1" \U0001f426.png'},
    ]
    made.write(f".dvc/cache/files/md5/12/{'12' * 15}.dir", json.dumps(manifest))
    made.write("dvc.lock", "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    deps:\n"
               "    - path: train.py\n    outs:\n    - path: models/staged.bin\n      md5: aa\n")  # fmt: skip
    made.write("train.py", "print()\n")
    made.write("src/deep/tool.py", "print()\n")
    made.write(".gitignore", "/.dvc/cache\n/results\n")
    made.write(".xexp/config.toml", SETTINGS)
    for name in ("e0.9.0", "e0.10.0", "e0.11.0", "exp-sweep-v1"):
        tag(made, clock, name, {"lr": 0.1, "my batch": 3}, {"f1": 0.9, "loss": 0.2},
            text=f"about {name}", run=f"run-{name}", labels=("base line", "best"))  # fmt: skip
    made.git("branch", "feature/one")
    made.git("worktree", "add", "-q", "-b", "exp/wide", str(folder / "exp-wide"))
    note = {"name": "wide", "kind": "worktree", "commit": made.head}
    made.write(".git/worktrees/exp-wide/xexp.json", json.dumps(note))
    made.write("results/x", "")
    with sqlite3.connect(made / "results/runs.db") as db:
        db.execute("CREATE TABLE predictions (track_id TEXT, f1 REAL)")
        db.executemany("INSERT INTO predictions VALUES (?, 1)", [("old-run-1",), ("new-run-2",)])
    made.write("some results.db", "")
    return made
