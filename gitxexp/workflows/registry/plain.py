"""Label, describe and delete entries by name: in a file without a repository (``--db``), and a
repository's configurations registered without a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.errors import XexpError
from gitxexp.common.text import some
from gitxexp.repository import commit as repository_commit
from gitxexp.repository.repository import Project
from gitxexp.workflows.models.inventory import author
from gitxexp.workflows.registry import configurations
from gitxexp.workflows.registry.annotate import Annotated, Annotation
from gitxexp.workflows.registry.configurations import RegistryConfig
from gitxexp.workflows.registry.select import commit_registry

if TYPE_CHECKING:
    from sqlite_utils import Database


def annotate_in(path: Path, names: Sequence[str], wanted: Annotation) -> list[Annotated]:
    """Give the entries of a registry file labels or a description."""
    file = configurations.existing(path)
    with configurations.rewriting(file) as db:
        before = [configurations.find(configurations.known_in(file), name) for name in names]
        configurations.relabelled(db, before, wanted.add, wanted.remove, wanted.text, "")
    after = configurations.known_in(file)
    return [_annotated(one, configurations.find(after, _key(one))) for one in before]


def delete_in(path: Path, names: Sequence[str]) -> list[str]:
    """Delete entries of a registry file; return their names."""
    file = configurations.existing(path)
    with configurations.rewriting(file) as db:
        entries = configurations.known_in(file)
        gone = [configurations.find(entries, name) for name in names]
        configurations.deleted(db, gone)
    return [one.name for one in gone]


def only_configurations(project: Project, names: Sequence[str]) -> list[RegistryConfig]:
    """Return the configurations that ``names`` refer to; none if they are experiments, or unknown.

    Raises XexpError for a mixture.
    """
    if project.places.top is None:
        return []
    entries = configurations.known_to(project)
    found = []
    for name in names:
        try:
            one = configurations.find(entries, name)
        except XexpError:
            continue
        found += [] if one.version else [one]
    if found and len(found) < len(names):
        raise XexpError(
            "experiments and configurations are changed one after the other", "name only one kind"
        )
    return found


def annotate_configurations(
    project: Project,
    found: Sequence[RegistryConfig],
    wanted: Annotation,
    *,
    commit: bool = True,
    wait: bool = True,
) -> list[Annotated]:
    """Label or describe configurations in the repository's registry."""
    if not (wanted.add or wanted.remove or wanted.text is not None):
        return [_annotated(one, one) for one in found]
    _change(
        project,
        "registry label",
        f"Label {some([one.name for one in found], 3)}",
        lambda db: configurations.relabelled(
            db, found, wanted.add, wanted.remove, wanted.text, author(project)
        ),
        commit=commit,
        wait=wait,
    )
    after = configurations.known_in(project.registry)
    return [_annotated(one, configurations.find(after, _key(one))) for one in found]


def delete_configurations(
    project: Project, found: Sequence[RegistryConfig], *, commit: bool = True, wait: bool = True
) -> list[str]:
    """Delete configurations from the repository's registry; return their names."""
    names = [one.name for one in found]
    _change(
        project, "registry delete", f"Delete {some(names, 3)}",
        lambda db: configurations.deleted(db, found), commit=commit, wait=wait,
    )  # fmt: skip
    return names


def _change(
    project: Project,
    verb: str,
    said: str,
    action: Callable[[Database], None],
    *,
    commit: bool,
    wait: bool,
) -> None:
    if commit:
        repository_commit.check_ready(project)
    with project.operation(verb, wait=wait) as running:
        running.save_file(project.registry.path, renamed=True)
        with project.registry.rewrite() as db:
            action(db)
        if commit:
            running.outcome["commit"] = commit_registry(project, running, said)
        running.summary.append(said)


def _key(one: RegistryConfig) -> str:
    return one.version or one.config_hash


def _annotated(before: RegistryConfig, after: RegistryConfig) -> Annotated:
    config = after.config
    return Annotated(before.name, config.labels, config.description, after.config != before.config)
