"""Uncommitted files that a command would run."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gitxexp.repository import config as settings
from gitxexp.repository.commit import Changes
from gitxexp.repository.config import Config
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.pipeline import runs_alike
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.code_hash import is_by_hand, is_code
from gitxexp.workflows.experiments.plan import is_ours

#: Suffixes that a running program rarely reads; it may well read a prompt or a list in ``.txt``.
_DOCUMENTS = (".md", ".rst")


def tracked(changes: Changes) -> list[str]:
    """What ``-a`` commits: files tracked or added to the index that differ from HEAD. The registry
    alone, which every run writes, does not justify a commit."""
    return [path for path in (*changes.modified, *changes.staged_new) if path != settings.REGISTRY]


def modified(project: Project, changes: Changes) -> list[str]:
    """The files that differ from HEAD, or are added to the index, and may be part of what runs. Metrics and
    plots that an earlier run left are not: this one writes its own; nor are documents, or a ``dvc.yaml``
    in which DVCLive has said what to show."""
    config = project.config
    return [
        path
        for path in (*changes.modified, *changes.staged_new)
        if not is_ours(path)
        and not path.lower().endswith(_DOCUMENTS)
        and (is_by_hand(path, config) or path in config.params_files or _is_data(path, config))
        and not runs_alike(project.at_top, path, "HEAD")
    ]


def _is_data(path: str, config: Config) -> bool:
    """Whether git itself tracks the data at ``path``, according to the configuration."""
    return bool(config.data_paths) and describe.role(path, config) is describe.OutputRole.DATA


def untracked(project: Project, command: Sequence[str], changes: Changes) -> list[str]:
    """Return the files that the command names and git neither tracks nor ignores. (Other files it
    may read are unknown here; ``check --before`` lists them.)"""
    found = []
    for word in command:
        path = project.git.cwd / word
        # a text is longer than the name of a file can be, which is an error to pathlib
        is_file = os.path.isfile(path)  # noqa: PTH113
        inside = project.inside(path.resolve()) if is_file else None
        if inside is None or not is_code(inside, project.config):
            continue
        folders = inside.split("/")[:-1]
        parents = {"/".join(folders[:count]) + "/" for count in range(1, len(folders) + 1)}
        if inside in changes.untracked or not parents.isdisjoint(changes.untracked):
            found.append(inside)
    return found
