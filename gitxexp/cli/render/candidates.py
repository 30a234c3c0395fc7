"""Print the list of models."""

from __future__ import annotations

from typing import Any

from gitxexp.cli.render import console, markdown
from gitxexp.cli.render.console import Column, or_dash, size
from gitxexp.trackers import column_names
from gitxexp.workflows.models.candidates import ListedModel, ModelList

#: How many metrics a table shows besides the one that ranks.
_MOST = 3


def table(found: ModelList) -> list[str]:
    """Production and candidates, the best first; ``*`` marks the best, production is named."""
    return console.table(_columns(found))


def as_markdown(found: ModelList) -> list[str]:
    """The same as a table of GitHub's Markdown, the best in bold."""
    return markdown.table(_columns(found))


def _columns(found: ModelList) -> list[Column]:
    rows = found.rows
    several = len({row.model.slot for row in rows}) > 1
    columns = [Column("slot", [row.model.slot for row in rows])] if several else []
    columns += [
        Column("model", [_role(row) for row in rows]),
        Column("run", [row.facts.run or row.model.run or "-" for row in rows], flexible=True),
        Column("version", [row.facts.version or row.facts.recorded or "-" for row in rows]),
    ]
    best = frozenset(at for at, row in enumerate(rows) if row.rank == 1)
    for name in _metrics(found):
        values = [row.facts.metrics.get(name) for row in rows]
        marked = best if name in found.metrics.values() and len(rows) > 1 else frozenset()
        cells = [or_dash(value) for value in values]
        ranks = name in found.metrics.values()
        columns.append(Column(name, cells, right=True, marked=marked, optional=int(not ranks)))
    columns += [
        Column("size", [size(row.model.size) for row in rows], right=True, optional=1),
        Column("where", [_where(row) for row in rows]),
        Column("tag", [row.tag or "-" for row in rows], optional=1),
        Column("hash", [row.model.oid[:8] for row in rows], optional=1),
        Column("file", [row.model.path for row in rows], flexible=True),
    ]
    return columns


def _role(row: ListedModel) -> str:
    role = "production" if row.model.production else "candidate"
    return role if row.state in ("tracked", "not checked out") else f"{role}, {row.state}"


def _where(row: ListedModel) -> str:
    places = ", ".join(row.places) or "nowhere"
    if console.is_terminal():
        places = places.replace("workspace", "here")
    if row.proved is not None:
        there = f"remote, proved {console.ago(row.proved)}"
        return f"{places}, {there}" if row.places else there
    return f"{places}, remote?" if row.on_remote is None else places


def _metrics(found: ModelList) -> list[str]:
    """The metrics that rank, then the best known of the others."""
    first = [name for name in found.metrics.values() if name]
    known = dict.fromkeys(name for row in found.rows for name in row.facts.metrics)
    others = [name for name in column_names.key_metrics_order(known) if name not in first]
    return list(dict.fromkeys([*first, *others[:_MOST]]))


def as_objects(found: ModelList) -> list[dict[str, Any]]:
    """``candidates list --json``."""
    return [_object(row, found.metrics.get(row.model.slot)) for row in found.rows]


def _object(row: ListedModel, metric: str | None) -> dict[str, Any]:
    model = row.model
    return {
        "slot": model.slot,
        "production": model.production,
        "path": model.path,
        "run": row.facts.run or model.run,
        "version": row.facts.version or row.facts.recorded,
        "rank": row.rank,
        "ranked_by": metric,
        "metrics": dict(row.facts.metrics),
        "size": model.size,
        "hash": model.hash,
        "recorded": model.recorded,
        "state": row.state,
        "workspace": model.there,
        "cache": row.cached,
        "remote": row.on_remote,
        "remote_proved": console.moment(row.proved),
        "tag": row.tag,
    }
