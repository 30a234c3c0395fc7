"""The experiments of a repository, read from its annotated tags.

A parsed tag is cached under the tag's object id, so a cached one can never be stale; a warm listing
costs one ``git for-each-ref`` and one read of the cache, whatever the number of tags.

The cache is one file: a line with its format, this Python's and the content's checksum, then the
content in Python's marshal form, which is read four times as fast as rows of JSON. marshal runs
nothing it reads, and a file that is cut short or not ours fails the checksum.
"""

from __future__ import annotations

import marshal
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.repository import tag_message as payloads
from gitxexp.repository import version as versions
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.version import PATTERNS, AnyVersion, NamedVersion
from gitxexp.storage.git import Git, decode

#: Parsed again when the way of parsing changes, or the Python (marshal's form is its own).
_FORMAT = f"xexp tags 5 {sys.implementation.cache_tag}"

#: The row of an object that is not in the repository; it may come, so that is not remembered.
_ABSENT: list[Any] = []

_TAGGER = r"tagger (.*?) ?<([^>]*)> (-?[0-9]{1,18}) ([+-][0-9]{4})"
_LAST = 253402300799  #: the end of the year 9999, the last that Python's dates know


class Experiment(NamedTuple):
    """One experiment: an annotated tag that points at a commit.

    ``name`` is the tag's short name and spells a version. ``date`` is in seconds since the epoch,
    ``tagger`` a name without the address.
    """

    name: str
    oid: str  #: of the tag object
    commit: str
    date: int
    tagger: str
    payload: Payload

    @property
    def version(self) -> AnyVersion:
        """What the name spells; thousands of tags are listed without asking it."""
        found = versions.parse(self.name)
        assert found is not None, self.name
        return found


class Tags(NamedTuple):
    """The experiments, newest first, and the name of every tag of any kind that spells a version."""

    experiments: list[Experiment]
    names: list[str]
    skipped: Mapping[str, str]  #: tags that are not read, and why

    @property
    def taken(self) -> list[AnyVersion]:
        """The versions that are taken."""
        return [version for name in self.names if (version := versions.parse(name)) is not None]


def taken(git: Git) -> list[AnyVersion]:
    """Every version that a tag of any kind occupies, experiment or not."""
    found = (versions.parse(ref.removeprefix("refs/tags/")) for ref in git.refs(*PATTERNS))
    return [version for version in found if version is not None]


def experiments(git: Git, cache: Path) -> list[Experiment]:
    """Every experiment of the repository, newest first. Foreign tags are skipped, never an error."""
    return tags_later(git, cache)().experiments


def tags_later(git: Git, cache: Path) -> Callable[[], Tags]:
    """All tags that are ours, begun now (git lists them) and waited for when called."""
    refs = git.refs_later(*PATTERNS)

    def result() -> Tags:
        known = _load(cache)  # while git is still listing
        named = {
            name: oid
            for ref, oid in refs().items()
            if versions.spelled(name := ref.removeprefix("refs/tags/"))
        }
        known |= _fresh(git, cache, known, set(named.values()))
        payload = Payload._make
        found = [
            Experiment(name, oid, row[0], row[1], row[2], payload(row[3]))
            for name, oid in named.items()
            if (row := known[oid]) and type(row) is not str
        ]
        skipped = {name: row for name, oid in named.items() if type(row := known[oid]) is str}
        return Tags(_newest_first(found), list(named), skipped)

    return result


def _newest_first(found: list[Experiment]) -> list[Experiment]:
    """By date; the version is asked only where two tags are of the same second."""
    if len({experiment.date for experiment in found}) == len(found):
        return sorted(found, key=attrgetter("date"), reverse=True)
    return sorted(found, key=_date_and_version, reverse=True)


def _date_and_version(experiment: Experiment) -> tuple[int, tuple[Any, ...]]:
    version = experiment.version
    if isinstance(version, NamedVersion):
        return experiment.date, (-1, version.number, 0, version.name)
    return experiment.date, version


def _fresh(git: Git, cache: Path, known: Mapping[str, Any], oids: set[str]) -> Mapping[str, Any]:
    """The rows of tags that are not cached yet (None where the object is no experiment); they are."""
    missing = sorted(oids - known.keys())
    if not missing:
        return {}
    fresh = {oid: _parse(item) for oid, item in zip(missing, git.cat(missing), strict=True)}
    present = {oid: row for oid, row in fresh.items() if row is not _ABSENT}
    _store(cache, {oid: row for oid, row in known.items() if oid in oids} | present)
    return {oid: row or None for oid, row in fresh.items()}


def _parse(item: tuple[str, str, bytes] | None) -> list[Any] | str | None:
    """``[commit, date, tagger, [payload fields]]`` of a tag object that points at a commit, or why
    it is not read."""
    if item is None:
        return _ABSENT
    if item[1] != "tag":
        return None
    if wrong := payloads.problem(item[2]):
        return wrong
    head, _, message = decode(item[2]).partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 2 or lines[1] != "type commit":
        return None
    tagger, date = "", 0
    for line in lines[2:]:
        if match := re.fullmatch(_TAGGER, line):
            tagger, date = match[1], min(max(int(match[3]), 0), _LAST)
    payload = payloads.decode(message.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return [lines[0].removeprefix("object "), date, tagger, tuple(payload)]


def _shared(value: Any, seen: dict[str, str]) -> Any:
    """``value`` with equal strings made one: marshal then writes it once, and reads it at once."""
    if isinstance(value, str):
        return seen.setdefault(value, value)
    if isinstance(value, dict):
        return {seen.setdefault(key, key): _shared(item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_shared(item, seen) for item in value)
    return value


def _load(cache: Path) -> dict[str, Any]:
    """The cache's content; an unreadable cache is an empty one, because it can be made anew."""
    try:
        head, _, content = cache.read_bytes().partition(b"\n")
        if head != _head(content):
            return {}
        found = marshal.loads(content)
    except (OSError, ValueError, EOFError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _head(content: bytes) -> bytes:
    return f"{_FORMAT} {zlib.crc32(content):08x}".encode()


def _store(cache: Path, rows: Mapping[str, Any]) -> None:
    """Best effort: a listing must work where the cache cannot be written (read-only, full disk)."""
    temporary = cache.with_name(f"{cache.name}.{os.getpid()}")
    with suppress(OSError, ValueError):
        content = marshal.dumps(_shared(dict(rows), {}))
        cache.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(_head(content) + b"\n" + content)
            temporary.replace(cache)
        finally:
            temporary.unlink(missing_ok=True)


def run_of_content(experiments: Iterable[Experiment], path: str, content: str) -> str | None:
    """The run that made this content ("md5:…") of ``path``: of the oldest tag that has it, since
    later ones may only carry it along. ``experiments`` are newest first."""
    said = [e.payload for e in experiments if e.payload.artifacts.get(path) == content]
    return next((payload.run for payload in reversed(said) if payload.run), None)
