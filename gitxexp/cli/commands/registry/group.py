"""``git xexp registry``: search, label, export and repair the records of experiments."""

from __future__ import annotations

import click

from gitxexp.cli.group import Group

_SUMMARIES = {
    "search": "find experiments by words, the best first",
    "list": "list experiments and configurations",
    "show": "show an experiment or configuration",
    "compare": "compare two experiments or configurations",
    "label": "add labels to experiments, or remove them",
    "describe": "change the description of an experiment",
    "export": "write configurations to a file",
    "import": "register configurations from files",
    "delete": "delete experiments: their tags and their rows",
    "rebuild": "restore the registry from the tags",
    "restore-tags": "recreate tags that only the registry knows",
}
_HERE = "gitxexp.cli.commands.registry"
_VERBS = {
    "search": f"{_HERE}.search.search",
    "list": f"{_HERE}.entries.list_",
    "show": f"{_HERE}.entries.show",
    "compare": f"{_HERE}.entries.compare",
    "label": f"{_HERE}.label.label",
    "describe": f"{_HERE}.describe.describe",
    "export": f"{_HERE}.export.export",
    "import": f"{_HERE}.import_configs.import_configs",
    "delete": f"{_HERE}.delete.delete",
    "rebuild": f"{_HERE}.tags.rebuild",
    "restore-tags": f"{_HERE}.tags.restore_tags",
}


_SHORT = "Short for these: git xexp search, label, describe, export, delete."


@click.group(cls=Group, lazy=_VERBS, sections={"Commands": _SUMMARIES}, epilog=_SHORT)
def registry() -> None:
    """Search, label and maintain the registry of all experiments (.xexp/registry.db)."""
