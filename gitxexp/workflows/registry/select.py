"""Select experiments for a registry command, tagged or only in the registry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment, Tags
from gitxexp.workflows.experiments.resolve import resolve


@dataclass(frozen=True)
class Entry:
    """One experiment: ``tag`` as created, ``row`` from the registry; one may be missing."""

    version: str
    tag: Experiment | None
    row: Payload | None

    @property
    def payload(self) -> Payload:
        """Its content as recorded when it was tagged."""
        if self.row is not None:
            return self.row
        assert self.tag is not None
        return self.tag.payload._replace(version=self.version)


def entries(project: Project, names: Sequence[str]) -> list[Entry]:
    """Return the experiments that ``names`` refer to, each once: versions, runs, hash prefixes,
    revisions.

    Raises XexpError for an unknown experiment, and with the candidates for an ambiguous name.
    """
    tagged = project.tags_as_made()
    rows = project.registry.rows()
    found: dict[str, Entry] = {}
    for name in names:
        version = _version(project, name, tagged, rows)
        found[version] = Entry(version, tagged.named(version), rows.get(version))
    return list(found.values())


def _version(project: Project, name: str, tagged: Tags, rows: Mapping[str, Payload]) -> str:
    if name in rows or tagged.named(name):
        return name
    resolved = resolve(project, name, tagged)
    if resolved.experiment is None or not resolved.exact:
        near = resolved.experiment
        hint = f"the nearest before it: {near.name}" if near else "all of them: git xexp list"
        raise XexpError(f"'{name}' is not an experiment", hint)
    return resolved.experiment.name


def now() -> str:
    """Return the time in the registry's format: ISO 8601, UTC, so that it sorts by time."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="microseconds")


def commit_registry(project: Project, running: Running, subject: str) -> str:
    """Commit only the registry; return the commit's id."""
    return repository_commit.commit(project, running, [config.REGISTRY], f"{subject}\n")
