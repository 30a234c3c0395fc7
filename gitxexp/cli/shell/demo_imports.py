"""Import what most commands of the demo need, once, in the process that they are forked from.

DVC and its dependencies take more than half a second to import, and the demo runs thirty commands.
"""

from __future__ import annotations

import gc
import importlib
import sqlite3
from contextlib import closing, suppress

from gitxexp.storage.sqlite_write import database

NAMES = (
    "dvc.cli", "dvc.cli.parser", "dvc.cachemgr", "dvc.data_cloud", "dvc.dvcfile", "dvc.lock",
    "dvc.repo", "dvc.repo.graph", "dvc.repo.index", "dvc.repo.plots", "dvc.repo.stage",
    "dvc.repo.trie", "dvc.rwlock", "dvc.stage", "dvc.utils.strictyaml", "dvc_data.index",
    "dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "git", "networkx", "rich.progress",
    "ruamel.yaml", "scmrepo.git", "scmrepo.noscm",
    "gitxexp.cli.main", "gitxexp.cli.commands.promote", "gitxexp.cli.commands.run",
    "gitxexp.cli.commands.sweep", "gitxexp.cli.commands.tag", "gitxexp.cli.commands.worktree",
    "gitxexp.workflows.experiments.tag", "gitxexp.workflows.models.promote",
    "gitxexp.workflows.runs.run", "gitxexp.workflows.worktrees.create",
    "gitxexp.trackers.adapters.event_tables", "gitxexp.trackers.adapters.mlflow_files",
    "gitxexp.trackers.adapters.optuna", "gitxexp.trackers.adapters.xetrack",
)  # fmt: skip

for name in NAMES:
    with suppress(ImportError):  # another DVC may have moved it; the command that needs it will say
        importlib.import_module(name)
with closing(sqlite3.connect(":memory:")) as connection:
    database(connection)
gc.freeze()  # imported modules stay: commands need not search them for garbage
