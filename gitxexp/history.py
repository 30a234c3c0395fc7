"""The experiments of a repository, read from its annotated tags.

A parsed tag is cached under the tag's object id, so a cached one can never be stale; a warm listing
costs one ``git for-each-ref`` and one read of the cache, whatever the number of tags.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitxexp import payload as payloads
from gitxexp import version as versions
from gitxexp.gitio import Git, decode
from gitxexp.payload import Payload
from gitxexp.version import AnyVersion, NamedVersion

PATTERNS = ("refs/tags/e[0-9]*", "refs/tags/exp-*")

#: Part of the cache's key: parsed again when the way of parsing changes.
_FORMAT = 1

_TAGGER = re.compile(r"tagger (.*?) ?<([^>]*)> (-?\d+) ([+-]\d{4})")

_FIELDS = ("headline", "version", "text", "config_hash", "data", "run", "run_commit", "code", "parent",
           "reason", "results", "table", "labels", "params", "metrics", "artifacts",
           "handwritten")  # fmt: skip
_LABELS = _FIELDS.index("labels")


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment: an annotated tag that points at a commit.

    ``date`` is in seconds since the epoch, ``tagger`` a name without the address.
    """

    version: AnyVersion
    oid: str  #: of the tag object
    commit: str
    date: int
    tagger: str
    payload: Payload

    @property
    def name(self) -> str:
        """The tag's short name."""
        return str(self.version)


def taken(git: Git) -> list[AnyVersion]:
    """Every version that a tag of any kind occupies, experiment or not."""
    found = (versions.parse(ref.removeprefix("refs/tags/")) for ref in git.refs(*PATTERNS))
    return [version for version in found if version is not None]


def experiments(git: Git, cache: Path) -> list[Experiment]:
    """Every experiment of the repository, newest first. Foreign tags are skipped, never an error."""
    named = [
        (version, oid)
        for ref, oid in git.refs(*PATTERNS).items()
        if (version := versions.parse(ref.removeprefix("refs/tags/"))) is not None
    ]
    parsed = _parsed(git, cache, {oid for _, oid in named})
    found = [
        Experiment(version, oid, row[0], row[1], row[2], _payload(row[3]))
        for version, oid in named
        if (row := parsed.get(oid)) is not None
    ]
    found.sort(key=_newest_first, reverse=True)
    return found


def _newest_first(experiment: Experiment) -> tuple[int, tuple[Any, ...]]:
    version = experiment.version
    if isinstance(version, NamedVersion):
        return experiment.date, (-1, version.number, 0, version.name)
    return experiment.date, (version.major, version.minor, version.patch, "")


def _parsed(git: Git, cache: Path, oids: set[str]) -> Mapping[str, Any]:
    """oid → parsed row, or None where the object is no experiment."""
    known = _load(cache) if oids else {}
    missing = sorted(oids - known.keys())
    if missing:
        fresh = {oid: _parse(item) for oid, item in zip(missing, git.cat(missing), strict=True)}
        _store(cache, fresh, stale=known.keys() - oids)
        known |= fresh
    return known


def _parse(item: tuple[str, str, bytes] | None) -> list[Any] | None:
    """``[commit, date, tagger, [payload fields]]`` of a tag object that points at a commit."""
    if item is None or item[1] != "tag":
        return None
    head, _, message = decode(item[2]).partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 2 or lines[1] != "type commit":
        return None
    tagger, date = "", 0
    for line in lines[2:]:
        if match := _TAGGER.fullmatch(line):
            tagger, date = match[1], int(match[3])
    payload = payloads.decode(message.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    fields = [getattr(payload, name) for name in _FIELDS]
    return [lines[0].removeprefix("object "), date, tagger, fields]


def _payload(fields: list[Any]) -> Payload:
    fields[_LABELS] = tuple(fields[_LABELS])
    return Payload(*fields)


def _load(cache: Path) -> dict[str, Any]:
    """The cache's content; an unreadable cache is an empty one, because it can be made anew."""
    if not cache.exists():
        return {}
    try:
        with closing(sqlite3.connect(cache, timeout=5)) as db:
            rows = db.execute("SELECT oid, data FROM tags WHERE format = ?", (_FORMAT,)).fetchall()
        data = json.loads(f"[{','.join(row[1] for row in rows)}]")
    except (sqlite3.DatabaseError, ValueError) as error:
        if not isinstance(error, sqlite3.OperationalError):
            with suppress(OSError):
                cache.unlink()
        return {}
    return {row[0]: item for row, item in zip(rows, data, strict=True)}


def _store(cache: Path, fresh: Mapping[str, Any], stale: Iterable[str]) -> None:
    """Best effort: a listing must work where the cache cannot be written (read-only, full disk)."""
    rows = [(oid, _FORMAT, json.dumps(row)) for oid, row in fresh.items()]
    with suppress(sqlite3.Error, OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache, timeout=5)) as db, db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS tags (oid TEXT PRIMARY KEY, format INTEGER NOT NULL,"
                " data TEXT NOT NULL) WITHOUT ROWID"
            )
            db.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)
            db.executemany("DELETE FROM tags WHERE oid = ?", [(oid,) for oid in stale])
