"""``git xexp registry``: what is known of experiments, searched, completed, exported, repaired."""

from __future__ import annotations

import click

from gitxexp.cli.group import Group

_SUMMARIES = {
    "search": "find experiments by words, the best first",
    "label": "add labels to experiments, or remove them",
    "describe": "give an experiment another description",
    "delete": "delete experiments: their tags and their rows",
    "rebuild": "restore what tags hold",
    "restore-tags": "make tags again that only the registry knows",
}
_HERE = "gitxexp.cli.commands.registry"
_VERBS = {
    "search": f"{_HERE}.search.search",
    "label": f"{_HERE}.label.label",
    "describe": f"{_HERE}.describe.describe",
    "delete": f"{_HERE}.delete.delete",
    "rebuild": f"{_HERE}.tags.rebuild",
    "restore-tags": f"{_HERE}.tags.restore_tags",
}


@click.group(cls=Group, lazy=_VERBS, sections={"Commands": _SUMMARIES})
def registry() -> None:
    """The tracked table of all experiments (.xexp/registry.db)."""
