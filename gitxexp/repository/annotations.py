"""Labels and descriptions given to experiments after they were tagged.

A tag is never moved, so these are kept in the registry, each with its author and time; of two
changes to one label, or two descriptions, the later one wins on every machine. An experiment is
shown as its tag with these applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.repository.tag_message import SEPARATOR, Payload

if TYPE_CHECKING:
    from gitxexp.repository.registry import AnnotationChange

#: Format of the cache file: a row for the registry's state, one for each change, and one that marks
#: the file as complete. Labels and descriptions never contain these characters.
_FORMAT, _ROW, _FIELD, _END = 1, "\x1e", "\x1f", "end"


class Annotations:
    """Later changes by version, oldest first."""

    def __init__(self, changes: Iterable[Sequence[str]] = ()) -> None:
        self._by_version: dict[str, list[Sequence[str]]] = {}
        for change in changes:
            self._by_version.setdefault(change[0], []).append(change)

    def __bool__(self) -> bool:
        return bool(self._by_version)

    def of(self, version: str) -> list[AnnotationChange]:
        """The changes to one version, oldest first."""
        from gitxexp.repository.registry import (
            AnnotationChange,
        )  # late: imports sqlite3, which a listing does not need

        return [AnnotationChange(*each) for each in self._by_version.get(version, ())]

    def over(self, version: str, payload: Payload) -> Payload:
        """Return ``payload`` with the current labels and description of ``version``."""
        changes = self._by_version.get(version)
        if not changes:
            return payload
        labels = dict.fromkeys(payload.labels)
        text = None
        for _, _, what, value, _ in changes:
            if what == "+":
                labels[value] = None
            elif what == "-":
                labels.pop(value, None)
            elif what == "text":
                text = " ".join(value.split())
        if text is not None:
            payload = payload._replace(headline=_headline(payload, text), text=text)
        return payload._replace(labels=tuple(labels))


def _headline(payload: Payload, text: str) -> str:
    """Replace the prose, the last part of the headline."""
    old = " ".join(payload.text.split())
    if payload.handwritten:
        parts = [part for part in payload.headline.split(SEPARATOR) if "=" in part]
        return SEPARATOR.join([*parts, text])
    fields = payload.headline
    if old and fields.endswith(old):
        fields = fields.removesuffix(old).removesuffix(SEPARATOR)
    return SEPARATOR.join(filter(None, [fields, text]))


def load(path: Path, cache: Path) -> Annotations:
    """The annotations of the registry at ``path``.

    They are cached in the file ``cache`` with the stat of the registry, which is replaced on every
    write, so a listing opens no database. Raises XexpError as the registry does.
    """
    try:
        stat = path.stat()
    except OSError:
        return Annotations()
    key = f"{_FORMAT} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino} {stat.st_ctime_ns} {path}"
    found = _cached(cache, key)
    if found is None:
        from gitxexp.repository.registry import Registry  # late, as above

        found = [tuple(change) for change in Registry(path).changes()]
        with suppress(OSError):  # a listing must work without write access
            _store(cache, key, found)
    return Annotations(found)


def _cached(cache: Path, key: str) -> Sequence[Sequence[str]] | None:
    """Return the cached changes of the registry identified by ``key``; None if they belong to
    another."""
    try:
        head, *rows = cache.read_bytes().decode("utf-8", "surrogateescape").split(_ROW)
    except OSError:
        return None
    changes = [row.split(_FIELD) for row in rows]
    whole = head == key and changes and changes.pop() == [_END]
    return changes if whole and all(len(change) == 5 for change in changes) else None


def _store(cache: Path, key: str, changes: Iterable[Sequence[str]]) -> None:
    from gitxexp.common.files import atomic_write

    cache.parent.mkdir(parents=True, exist_ok=True)
    content = _ROW.join([key, *map(_FIELD.join, changes), _END])
    with atomic_write(cache) as temporary:
        temporary.write_bytes(content.encode("utf-8", "surrogateescape"))
