"""``registry import``: register configurations from files that the registry does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitxexp.common.text import counted
from gitxexp.repository import commit as repository_commit
from gitxexp.repository.registry import Registry
from gitxexp.repository.repository import Project
from gitxexp.workflows.models.inventory import author
from gitxexp.workflows.registry import configurations
from gitxexp.workflows.registry.configurations import ImportedConfig
from gitxexp.workflows.registry.select import commit_registry


def import_configs(
    project: Project, files: Sequence[Path], *, commit: bool = True, wait: bool = True
) -> list[ImportedConfig]:
    """Register the configurations of ``files`` in the repository's registry, and commit it.

    Raises XexpError for a file that holds none.
    """
    project.recover_first(wait=wait)
    project.require_set_up()
    found = configurations.read_configs(configurations.known_to(project), files)
    fresh = sum(one.new for one in found)
    if not fresh:
        return found
    if commit:
        repository_commit.check_ready(project)
    with project.operation("registry import", wait=wait) as running:
        running.save_file(project.registry.path, renamed=True)
        with project.registry.rewrite() as db:
            configurations.put_configs(db, found, author(project))
        said = counted(fresh, "configuration")
        if commit:
            running.outcome["commit"] = commit_registry(project, running, f"Import {said}")
        running.summary.append(said)
    return found


def import_into(path: Path, files: Sequence[Path]) -> list[ImportedConfig]:
    """Do the same with the registry in a file, created if missing."""
    file = Registry(path)
    with configurations.rewriting(file) as db:
        found = configurations.read_configs(configurations.known_in(file), files)
        configurations.put_configs(db, found, "")
    return found
