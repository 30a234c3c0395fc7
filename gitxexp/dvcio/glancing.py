"""How the outputs of a work tree stand, in little time: large files whose stat is new stay unread."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gitxexp.dvcio.changes import Change, Checker, Kind, pending, summary, walk
from gitxexp.dvcio.objects import has_object
from gitxexp.dvcio.places import cache_dirs
from gitxexp.dvcio.statcache import StatCache, key_of
from gitxexp.pointers import Output

#: So many bytes are hashed in some 20 ms. Beyond, only sizes and what is remembered are compared.
BUDGET = 8 << 20

#: So many files are looked at in some 100 ms; a directory takes no more than what is left of them.
FILES = 10_000


class Standing(NamedTuple):
    """Outputs that differ from their pointers, by path.

    ``stale``: there, but as another commit has them, and in the cache: ``dvc checkout`` loses
    nothing. It is what git leaves behind, which brings pointers and not data.
    """

    changed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    total: int = 0  #: outputs that were looked at
    remote: int = 0  #: of those stale or missing, how many the cache lacks: ``dvc pull`` has them


def standing(top: Path, outputs: Iterable[Output], cache: Path) -> Standing:
    """The standing of all outputs that DVC keeps for the work tree at ``top``.

    What is not sure (a large file that was touched and has the same size, or a directory of very
    many files) counts as unchanged.
    """
    mine = [out for out in outputs if out.cached and not (out.source and out.source.repo)]
    if not mine:
        return Standing()
    stats = StatCache(cache)
    look = _Glance(top, stats)
    try:
        found = [change for out in mine if (change := look.at(out)) is not None]
    finally:
        stats.close()
    stored = {out.root: cache_dirs(top / out.root) for out in (c.output for c in found)}
    places: dict[str, list[str]] = {"changed": [], "stale": [], "missing": []}
    for output, kind, actual in found:
        oid = actual.partition(":")[2] if actual else ""
        kept = _has(stored[output.root], oid or None, output)
        word = "missing" if kind is Kind.MISSING else "stale" if kept else "changed"
        places[word].append(output.path)
    changed, stale, missing = (tuple(paths) for paths in places.values())
    away = [c.output for c in found if c.output.path not in places["changed"]]
    remote = sum(not _has(stored[out.root], out.oid, out) for out in away)
    return Standing(changed, stale, missing, len(mine), remote)


def _has(caches: Iterable[Path], oid: str | None, out: Output) -> bool:
    return oid is not None and any(has_object(str(c), oid, out.legacy) for c in caches)


class _Glance(Checker):
    def __init__(self, top: Path, stats: StatCache) -> None:
        super().__init__(top, stats, None)
        self.left, self.files = BUDGET, FILES

    def at(self, out: Output) -> Change | None:
        """How one output differs, or None: also where that would take long to find out."""
        path = self.top / out.path
        try:
            info = path.stat()
        except OSError:
            return Change(out, Kind.MISSING)
        if out.hash is None and not out.files:
            return Change(out, Kind.NEW)
        if path.is_dir():
            self.files -= out.nfiles or 0
            if self.files < 0:
                return None
        known, size = self._known(path, info, out)
        if known is None and size > self.left:
            differs = out.size is not None and out.size != size
            return Change(out, Kind.MODIFIED) if differs else None
        if known is None:
            self.left -= size
        return self.change(out)

    def _known(self, path: Path, info: os.stat_result, out: Output) -> tuple[str | None, int]:
        """The hash as far as it is remembered, and the size in bytes."""
        name = f"{path}\0dos2unix" if out.legacy else str(path)
        if not path.is_dir():
            known = "" if pending(path) else self.stats.get(name, key_of(info))
            return known, info.st_size
        files = dict(walk(str(path)))
        size = sum(file.st_size for file in files.values())
        return self.stats.get(name, summary(files)), size
