"""Add the models that imported runs logged as candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.workflows.imports.run import Imported
from gitxexp.workflows.models.add import add


@dataclass(frozen=True)
class AddedModels:
    """The paths of the models that were ``added``, and why that of a run was not, by run."""

    added: Sequence[str]
    problems: Mapping[str, str]


def add_models(project: Project, done: Imported, *, wait: bool = True) -> AddedModels:
    """Add the model of each run that logged one as its candidate."""
    added: list[str] = []
    problems: dict[str, str] = {}
    for run, files in done.models.items():
        try:
            added.append(add(project, files[0], run, wait=wait).path)
        except XexpError as error:
            problems[run] = error.message
    return AddedModels(added, problems)
