"""``registry rebuild``: restore the registry from the tags."""

from __future__ import annotations

from gitxexp.common.dataclass import dataclass
from gitxexp.repository import registry, tag_message
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment


@dataclass(frozen=True)
class Rebuilt:
    """Versions restored or updated, those up to date, and those only in the registry."""

    restored: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]


def rebuild(project: Project, *, wait: bool = True) -> Rebuilt:
    """Restore the registry of this work tree from the tags of all its projects.

    Data that only the registry has is kept, for example if a tag was recreated by hand.
    """
    project.recover_first(wait=wait)
    project.require_set_up(registry=False)
    known = project.registry.rows()
    tagged = {e.name: _merged(known.get(e.name), e) for e in project.tags_of_all().experiments}
    stale = [
        name for name, found in tagged.items() if not registry.same(_stored(found), known.get(name))
    ]
    if stale or not project.registry.path.exists():
        with project.operation("registry rebuild", wait=wait) as running:
            running.save_file(project.registry.path, renamed=True)
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


def _merged(known: Payload | None, experiment: Experiment) -> Payload:
    """Return the content of the tag, completed from its row.

    A handwritten tag has its own text but no data: if there is a row, only the text is taken from
    the tag.
    """
    said = experiment.payload._replace(version=experiment.name)
    if known is None:
        return said
    if said.handwritten and (known.run or known.config_hash or known.params):
        return known._replace(headline=said.headline, text=said.text or known.text)
    texts = {name: getattr(said, name) or getattr(known, name) for name in tag_message.TEXTS}
    return said._replace(
        **texts,
        labels=tuple(sorted({*known.labels, *said.labels})),
        params={**known.params, **said.params},
        metrics={**known.metrics, **said.metrics},
        context={**known.context, **said.context},
        artifacts={**known.artifacts, **said.artifacts},
    )


def _stored(found: Payload) -> Payload:
    """Return the payload as read back from the registry, which does not mark handwritten tags."""
    return found._replace(handwritten=False, labels=tuple(sorted(found.labels)))
