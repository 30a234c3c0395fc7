"""``registry label`` and ``registry describe``: labels and descriptions given after tagging."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.text import some
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import registry
from gitxexp.repository.annotations import Annotations
from gitxexp.repository.registry import AnnotationChange
from gitxexp.repository.repository import Project
from gitxexp.workflows.models.inventory import author
from gitxexp.workflows.registry.select import Entry, commit_registry, entries, now


@dataclass(frozen=True)
class Annotated:
    """An experiment with its labels and text as they are now; ``changed`` by this command."""

    version: str
    labels: tuple[str, ...]
    text: str
    changed: bool


@dataclass(frozen=True)
class Annotation:
    """Labels to add and to remove, or a description to give."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    text: str | None = None

    def changes(
        self, entry: Entry, annotations: Annotations, who: str, at: str
    ) -> list[AnnotationChange]:
        """Return the changes to record for an experiment; none if it is already as requested."""
        today = annotations.over(entry.version, entry.payload)
        signs = [("+", label) for label in self.add if label not in today.labels]
        signs += [("-", label) for label in self.remove if label in today.labels]
        if self.text is not None and self._says(annotations, entry) != self.text:
            signs.append(("text", self.text))
        return [AnnotationChange(entry.version, at, what, value, who) for what, value in signs]

    def _says(self, annotations: Annotations, entry: Entry) -> str:
        given = [change.value for change in annotations.of(entry.version) if change.what == "text"]
        return given[-1] if given else entry.payload.text


def annotate(
    project: Project,
    names: Sequence[str],
    wanted: Annotation,
    *,
    commit: bool = True,
    wait: bool = True,
) -> list[Annotated]:
    """Record labels or a description of the experiments in the registry, and commit it.

    The tags stay as they are. Raises XexpError for an unknown experiment, or if the commit fails.
    """
    _check(wanted)
    project.recover_first(wait=wait)
    project.require_set_up()
    found = entries(project, names)
    before = project.annotations
    who, at = author(project), now()
    changes = [c for entry in found for c in wanted.changes(entry, before, who, at)]
    if changes:
        _note(project, found, changes, commit=commit, wait=wait)
    after = project.annotations
    changed = {change.version for change in changes}
    return [
        Annotated(entry.version, today.labels, today.text, entry.version in changed)
        for entry in found
        for today in (after.over(entry.version, entry.payload),)
    ]


def _note(
    project: Project,
    found: Iterable[Entry],
    changes: Sequence[AnnotationChange],
    *,
    commit: bool,
    wait: bool,
) -> None:
    verb = "registry describe" if changes[0].what == "text" else "registry label"
    if commit:
        repository_commit.check_ready(project)
    with project.operation(verb, wait=wait) as running:
        running.save_file(project.registry.path, renamed=True)
        with project.registry.rewrite() as db:
            for entry in found:
                if entry.row is None:  # a tag that is not in the registry yet
                    registry.put(db, entry.version, entry.payload)
            registry.add_changes(db, changes)
        said = _said(changes)
        if commit:
            subject = f"{verb.split()[1].capitalize()} {said}"
            running.outcome["commit"] = commit_registry(project, running, subject)
        running.summary.append(said)


def _said(changes: Sequence[AnnotationChange]) -> str:
    """``e0.1.0: +baseline -old``"""
    versions = some(list(dict.fromkeys(change.version for change in changes)), 3)
    if changes[0].what == "text":
        return f"{versions}: {' '.join(changes[0].value.split())}"
    labels = dict.fromkeys(f"{change.what}{change.value}" for change in changes)
    return f"{versions}: {' '.join(labels)}"


def _check(wanted: Annotation) -> None:
    both = set(wanted.add) & set(wanted.remove)
    if both:
        raise XexpError(f"label '{min(both)}' is to be added and removed", "give one of the two")
    if wanted.text is not None and not wanted.text.strip():
        raise XexpError("the description is empty: nothing was changed", "give a text: -m TEXT")
