"""``registry rebuild``: everything that tags hold, back into the registry."""

from __future__ import annotations

from dataclasses import dataclass

from gitxexp.repository import registry
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload


@dataclass(frozen=True)
class Rebuilt:
    """Versions put back or brought up to date, those that were right, those only the registry has."""

    restored: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]


def rebuild(project: Project, *, wait: bool = True) -> Rebuilt:
    """Restore the registry of this work tree from the tags; nothing in it is deleted."""
    project.recover_first(wait=wait)
    project.require_set_up(registry=False)
    known = project.registry.rows()
    tagged = {e.name: e.payload._replace(version=e.name) for e in project.experiments()}
    stale = [name for name, found in tagged.items() if _stored(found) != known.get(name)]
    if stale or not project.registry.path.exists():
        with project.operation("registry rebuild", wait=wait) as running:
            running.save_file(project.registry.path)
            with project.registry.rewrite() as db:
                for number, name in enumerate(stale):
                    if project.progress is not None:
                        project.progress(number, len(stale), "experiments")
                    registry.put(db, name, tagged[name])
            running.summary.append(f"{len(stale)} restored")
    return Rebuilt(
        restored=tuple(stale),
        unchanged=tuple(name for name in tagged if name not in stale),
        kept=tuple(sorted(known.keys() - tagged.keys())),
    )


def _stored(found: Payload) -> Payload:
    """As it reads back from the registry, which does not say who wrote a tag by hand."""
    return found._replace(handwritten=False, labels=tuple(sorted(found.labels)))
