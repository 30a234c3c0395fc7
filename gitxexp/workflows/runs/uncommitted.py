"""What a command would run that no commit holds."""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.repository import config as settings
from gitxexp.repository.commit import Changes
from gitxexp.repository.config import Config
from gitxexp.repository.repository import Project
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.code_hash import is_by_hand, is_code
from gitxexp.workflows.experiments.plan import is_ours

#: What a program that runs hardly reads; a prompt or a list in ``.txt`` it may well.
_DOCUMENTS = (".md", ".rst")


def tracked(changes: Changes) -> list[str]:
    """Whatever ``-a`` commits: what is tracked, or added to the index, and differs from HEAD. The
    registry by itself, which every run writes, is no reason for a commit."""
    return [path for path in (*changes.modified, *changes.staged_new) if path != settings.REGISTRY]


def modified(project: Project, changes: Changes) -> list[str]:
    """The files that differ from HEAD, or are added to the index, and may be part of what runs. Metrics and
    plots that an earlier run left are not: this one writes its own; nor are documents."""
    config = project.config
    return [
        path
        for path in (*changes.modified, *changes.staged_new)
        if not is_ours(path)
        and not path.lower().endswith(_DOCUMENTS)
        and (is_by_hand(path, config) or path in config.params_files or _is_data(path, config))
    ]


def _is_data(path: str, config: Config) -> bool:
    """Whether git itself holds the data at ``path``, as the configuration says."""
    return bool(config.data_paths) and describe.role(path, config) is describe.Role.DATA


def untracked(project: Project, command: Sequence[str], changes: Changes) -> list[str]:
    """The files that the command names and git neither holds nor ignores. (Of others that it may read
    nobody knows; ``check --before`` names them.)"""
    found = []
    for word in command:
        path = project.git.cwd / word
        inside = project.inside(path.resolve()) if path.is_file() else None
        if inside is None or not is_code(inside, project.config):
            continue
        folders = inside.split("/")[:-1]
        parents = {"/".join(folders[:count]) + "/" for count in range(1, len(folders) + 1)}
        if inside in changes.untracked or not parents.isdisjoint(changes.untracked):
            found.append(inside)
    return found
