"""``--db FILE``: the registry in a plain file instead of the repository's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gitxexp.cli.options import Labels, open_project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitxexp.workflows.registry.configurations import RegistryConfig

F = TypeVar("F", bound=Callable[..., Any])


def db_option(function: F) -> F:
    """The option of every verb of the registry."""
    text = "The registry in FILE, without a repository."
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--db", type=path, metavar="FILE", help=text)(function)


def labels_option(function: F) -> F:
    """The option of the verbs that list entries with some labels alone."""
    text = "Only with this label (repeatable, or several with commas)."
    names = ("-l", "--label", "--tags", "labels")
    option = click.option(*names, type=Labels(), metavar="LABEL", multiple=True, help=text)
    return option(function)


def entries_of(db: Path | None) -> Sequence[RegistryConfig]:
    """All entries of the file, or of the repository around the current folder."""
    from gitxexp.workflows.registry import configurations

    if db is not None:
        return configurations.known_in(configurations.existing(db))
    return configurations.known_to(open_project())
