"""One experiment, and the difference between two, as what JSON can hold."""

from __future__ import annotations

from typing import Any

from gitxexp.explore.comparing import Comparison, Side
from gitxexp.explore.rows import show_date
from gitxexp.explore.showing import Details


def details(found: Details) -> dict[str, Any]:
    """``explore show --json``."""
    experiment, said = found.experiment, found.experiment.payload
    return {
        "version": experiment.name,
        "headline": said.headline,
        "text": said.text,
        "date": show_date(experiment.date),
        "tagger": experiment.tagger,
        "tag": experiment.oid,
        "commit": experiment.commit,
        "branches": list(found.branches),
        "labels": list(said.labels),
        "config_hash": said.config_hash or None,
        "same_config": list(found.same_config),
        "data": said.data or None,
        "run": said.run or None,
        "run_commit": said.run_commit or None,
        "results": said.results or None,
        "table": said.table or None,
        "parent": found.parent.name if found.parent else None,
        "reason": said.reason or None,
        "handwritten": said.handwritten,
        "params": dict(said.params),
        "metrics": dict(said.metrics),
        "artifacts": [artifact._asdict() for artifact in found.artifacts],
        "promotions": [promotion._asdict() for promotion in found.promotions],
        "since_parent": comparison(found.since) if found.since else None,
        "rows": [link._asdict() | {"database": str(link.database)} for link in found.rows],
    }


def comparison(found: Comparison) -> dict[str, Any]:
    """``explore diff --json``."""
    return {
        "before": _side(found.before),
        "after": _side(found.after),
        "params": [change._asdict() for change in found.params],
        "metrics": [delta._asdict() for delta in found.metrics],
        "artifacts": [change._asdict() for change in found.artifacts],
        "code": [file._asdict() for file in found.files],
        "different": found.different,
    }


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "commit": side.commit, "run": side.run or None}
