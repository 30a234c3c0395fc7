"""The experiments of a repository, read from its annotated tags.

The content of tags is cached in an SQLite file, with the listing of refs that it was read from. An
unchanged listing costs one ``git for-each-ref`` and a comparison, whatever the number of tags;
otherwise only the lines that differ are read. Tags are immutable, so the cache is never stale.

A tag's message is parsed on first use, together with its neighbours: they are stored a
:data:`_PAGE` at a time in Python's marshal format, which reads four times as fast as JSON, with a
checksum. marshal never runs code that it reads. The file can be deleted at any time.
"""

from __future__ import annotations

import marshal
import os
import re
import sqlite3
import sys
import zlib
from binascii import unhexlify
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gitxexp.common import limits
from gitxexp.repository import tag_message as payloads
from gitxexp.repository import version as versions
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.version import AnyVersion, NamedVersion, Version, patterns
from gitxexp.storage.git import Git, decode, encode

#: Recreated when the parsing changes, or the Python version (the marshal format depends on it).
_FORMAT = f"xexp tags 6 {sys.implementation.cache_tag}"

_SCHEMA = (
    # one row; refs is what git listed
    "CREATE TABLE listing (format TEXT, serial INTEGER, refs BLOB)",
    # id // _PAGE is the page; name is git's bytes; commit is NULL for what is no experiment; hash has
    # the first digits of the config hash; problem says why it is not read; the numbers are those of eX.Y.Z
    """CREATE TABLE tag (id INTEGER PRIMARY KEY, name BLOB, oid BLOB, "commit" BLOB, date INTEGER,
    run TEXT, hash TEXT, code TEXT, problem TEXT, major INTEGER, minor INTEGER, patch INTEGER)""",
    "CREATE TABLE page (id INTEGER PRIMARY KEY, crc INTEGER, rows BLOB)",
    "CREATE TABLE memo (key TEXT PRIMARY KEY, names TEXT)",
)
#: Created on first use: a cold listing of 100,000 tags waits for two indices instead of all.
_INDEXES = {
    "name": "(name)",
    "date": '(date) WHERE "commit" IS NOT NULL',
    "commit": '("commit")',
    "run": "(run) WHERE run <> ''",
    "hash": "(hash) WHERE hash <> ''",
    "code": "(code) WHERE code <> ''",
    "major": "(major, minor, patch) WHERE major IS NOT NULL",
    "problem": "(problem) WHERE problem IS NOT NULL",
}

#: Tags that are parsed, stored and read together.
_PAGE = 128
#: Up to this many tags are parsed at once; of more, only the pages that are needed.
_AT_ONCE = 4096
#: More pages than this are read by one scan.
_FEW = 200
#: Cached answers.
_MOST_MEMOS = 1000
#: Digits of a config hash that are indexed; the rest is compared.
_DIGITS = 16

_REFS = b"refs/tags/"
_TAGGER = r"tagger ([^<]*?) ?<([^>]*)> (-?[0-9]{1,18}) ([+-][0-9]{4})"
_LAST = 253402300799  #: the end of the year 9999, the last that Python's dates know

_STRING = rb'"[^"\\\x00-\x1f\x7f]*+"'
#: A tag as this program writes it, with short lines: its commit, date and [xexp] table.
_PLAIN = (
    rb"object ([0-9a-f]+)\ntype commit\ntag [^\n]*\n"
    rb"tagger [^\n<>]*<[^>\n]*> ([0-9]{1,11}) [+-][0-9]{4}\n\n"
    rb"[^\n\[]*\n\n\[xexp\]"
    rb"(\n(?:[a-z_]+ = (?:%b|[0-9]{1,18}|\[\n(?: +%b,\n)*\])\n)*+)"
    rb"\n\[(?:[^\n]{0,%d}+\n)*+" % (_STRING, _STRING, limits.MOST_DIGITS)
)


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
        """The parsed version; computed lazily, because thousands of tags are listed without it."""
        found = versions.parse(self.name)
        assert found is not None, self.name
        return found


#: Transforms an experiment before it is shown: applies later labels and descriptions.
Over = Callable[[Experiment], Experiment]

_Pages = TypeVar("_Pages", bound=Collection[int])


class Tags:
    """The experiments of one listing, and the name of every tag, of any kind, that is a version.

    Experiments come newest first. Nothing is read before it is needed.
    """

    def __init__(self, store: _Store, prefix: str = "", over: Over | None = None) -> None:
        self._store, self._over = store, over
        self.prefix = prefix  #: the prefix of their project

    def laid_over(self, over: Over) -> Tags:
        """Return the same tags, with ``over`` applied to each experiment."""
        return Tags(self._store, self.prefix, over)

    @cached_property
    def experiments(self) -> list[Experiment]:
        """Every experiment."""
        return self._made(_newest_first(list(self._store.every())))

    @cached_property
    def count(self) -> int:
        """How many experiments there are."""
        return int(self._store.rows('SELECT COUNT(*) FROM tag WHERE "commit" IS NOT NULL')[0][0])

    @cached_property
    def names(self) -> list[str]:
        """The name of every tag, of any kind, that is a version."""
        return [decode(name) for (name,) in self._store.rows("SELECT name FROM tag ORDER BY name")]

    def holds(self, version: AnyVersion) -> bool:
        """Whether a tag of any kind has this name."""
        name = encode(str(version))
        return bool(self._store.rows("SELECT 1 FROM tag WHERE name = ?", name, by="name"))

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Those of the names that no tag of any kind has, in their order."""
        import json  # late: a list does not need it

        rows = self._store.rows(
            "SELECT value FROM json_each(?) WHERE NOT EXISTS"
            " (SELECT 1 FROM tag WHERE name = CAST(value AS BLOB)) ORDER BY id",
            json.dumps(names), by="name",
        )  # fmt: skip
        return [name for (name,) in rows]

    @property
    def latest(self) -> Version | None:
        """The highest ``eX.Y.Z`` that a tag of any kind has."""
        rows = self._store.rows(
            "SELECT major, minor, patch FROM tag WHERE major IS NOT NULL "
            "ORDER BY major DESC, minor DESC, patch DESC LIMIT 1",
            by="major",
        )
        return Version(*rows[0])._replace(prefix=self.prefix) if rows else None

    def of_name(self, name: str) -> list[NamedVersion]:
        """The ``exp-NAME-vN`` versions of a name among tags of any kind."""
        start = encode(f"{self.prefix}exp-{name}-v")
        rows = self._store.rows(
            "SELECT name FROM tag WHERE name >= ? AND name < ?", start, start + b":"
        )
        found = (versions.parse(decode(name)) for (name,) in rows)
        return [each for each in found if isinstance(each, NamedVersion) and each.name == name]

    def __iter__(self) -> Iterator[Experiment]:
        """Iterate over the experiments, newest first; older ones are read lazily."""
        first = self.newest(_PAGE)
        yield from first
        if len(first) == _PAGE:
            yield from self.experiments[_PAGE:]

    def of_code(self, code: str) -> list[Experiment]:
        """The experiments with this code hash."""
        found = self._where("code = ? AND code <> ''", code) if _is_text(code) else []
        return [each for each in found if each.payload.code == code]

    @cached_property
    def skipped(self) -> Mapping[str, str]:
        """Tags that were skipped, with the reason."""
        rows = self._store.rows(
            "SELECT name, problem FROM tag WHERE problem IS NOT NULL", by="problem"
        )
        return {decode(name): why for name, why in rows}

    def newest(self, count: int | None = None) -> list[Experiment]:
        """The newest ``count`` experiments (None: all)."""
        return self.experiments if count is None else self._first(count, "DESC")

    def oldest(self, count: int | None = None) -> list[Experiment]:
        """The oldest ``count`` experiments, oldest first."""
        return self.experiments[::-1] if count is None else self._first(count, "ASC")

    def _first(self, count: int, order: str) -> list[Experiment]:
        """All tags of the last one's second are read, because the version decides their order."""
        last = self._store.rows(
            f'SELECT date FROM tag WHERE "commit" IS NOT NULL ORDER BY date {order} '
            "LIMIT 1 OFFSET ?", min(count, sys.maxsize) - 1, by="date",
        )  # fmt: skip
        if not last:
            return self.newest() if order == "DESC" else self.oldest()
        side = ">=" if order == "DESC" else "<="
        found = self._where(f"date {side} ?", last[0][0])
        return found[:count] if order == "DESC" else found[::-1][:count]

    def named(self, name: str) -> Experiment | None:
        """The experiment of that name."""
        return next(iter(self._where("name = ?", encode(name))), None)

    def among(self, names: Iterable[str]) -> list[Experiment]:
        """The experiments that have one of the names."""
        found = [one for name in set(names) if (one := self.named(name)) is not None]
        return _newest_first(found)

    def of_run(self, run: str) -> list[Experiment]:
        """The experiments of a tracker's run."""
        found = self._where("run = ? AND run <> ''", run) if _is_text(run) else []
        return [each for each in found if each.payload.run == run]

    def of_run_starting(self, start: str) -> list[Experiment]:
        """The experiments of runs with this prefix."""
        if not _is_text(start):
            return []
        found = self._where("run >= ? AND run < ? AND run <> ''", start, start + "\U0010ffff")
        return [each for each in found if each.payload.run.startswith(start)]

    def of_config(self, start: str) -> list[Experiment]:
        """The experiments whose config hash starts with these hexadecimal digits."""
        few = start[:_DIGITS]
        found = self._where("hash >= ? AND hash < ? AND hash <> ''", few, few + "g")
        whole = f"sha256:{start}"
        return [each for each in found if each.payload.config_hash.startswith(whole)]

    def at(self, commit: str) -> list[Experiment]:
        """The experiments tagged at a commit."""
        return self._where('"commit" = ?', unhexlify(commit))

    def newest_at(self, commit: str) -> Experiment | None:
        """The newest experiment tagged at a commit; one of many there is read, not all."""
        names = self.names_at([commit])
        return self.named(names[0]) if names else None

    def tagged(self, commits: Sequence[str]) -> set[str]:
        """The commits with a tagged experiment."""
        marks = ",".join("?" * len(commits))
        values = map(unhexlify, commits)
        rows = self._store.rows(
            f'SELECT "commit" FROM tag WHERE "commit" IN ({marks})', *values, by="commit"
        )
        return {commit.hex() for (commit,) in rows}

    def objects(self, oids: Collection[str]) -> list[Experiment]:
        """The experiments with these tag objects."""
        if not oids:
            return []
        wanted = set(map(unhexlify, oids))
        rows = self._store.rows('SELECT name, oid FROM tag WHERE "commit" IS NOT NULL')
        return self.among(decode(name) for name, oid in rows if oid in wanted)

    def names_at(self, commits: Collection[str]) -> list[str]:
        """The names of the experiments at any of the commits."""
        if len(commits) <= _PAGE:
            marks = ",".join("?" * len(commits))
            return self._names(f'AND "commit" IN ({marks})', tuple(map(unhexlify, commits)))
        wanted = set(map(unhexlify, commits))
        rows = self._store.rows(
            'SELECT name, date, "commit" FROM tag WHERE "commit" IS NOT NULL ORDER BY date DESC',
            by="date",
        )
        return _in_order([(name, date) for name, date, commit in rows if commit in wanted])

    def names_newest(self, count: int | None = None, before: Experiment | None = None) -> list[str]:
        """The names of all experiments, or of those after ``before`` in the list; ``count`` limits
        them, but includes all others of the last one's second."""
        condition, values = "", list[Any]()
        if before is not None:
            condition, values = "AND date <= ?", [before.date]
        if count is not None:
            last = self._store.rows(
                f'SELECT date FROM tag WHERE "commit" IS NOT NULL {condition} '
                "ORDER BY date DESC LIMIT 1 OFFSET ?", *values, min(count, sys.maxsize) - 1,
                by="date",
            )  # fmt: skip
            if last:
                condition, values = f"{condition} AND date >= ?", [*values, last[0][0]]
        names = self._names(condition, values)
        return names if before is None else names[names.index(before.name) + 1 :]

    def remembered(self, key: str, find: Callable[[], Sequence[str]]) -> tuple[str, ...]:
        """Return the names that ``find`` returns, cached under ``key``, because they take long to
        compute."""
        return self._store.remembered(key, find)

    @property
    def serial(self) -> int:
        """A number that changes when the tags change."""
        return int(self._store.serial)

    def _names(self, condition: str, values: Sequence[Any]) -> list[str]:
        return _in_order(self._store.rows(
            f'SELECT name, date FROM tag WHERE "commit" IS NOT NULL {condition} ORDER BY date DESC',
            *values, by="commit" if "commit" in condition else "date",
        ))  # fmt: skip

    def _where(self, condition: str, *values: Any) -> list[Experiment]:
        return self._made(_newest_first(self._store.where(condition, values)))

    def _made(self, found: list[Experiment]) -> list[Experiment]:
        return found if self._over is None else list(map(self._over, found))


def _in_order(rows: Sequence[tuple[bytes, int]]) -> list[str]:
    """Sort names by date, then by version within a second."""
    if not rows:
        return []
    dates = [date for _, date in rows]
    names = decode(b"\n".join([name for name, _ in rows])).split("\n")  # at once: there may be many
    if len(set(dates)) == len(rows):
        return names
    both = sorted(zip(dates, names, strict=True), key=lambda row: _order(*row), reverse=True)
    return [name for _, name in both]


def _is_text(value: str) -> bool:
    """Whether SQLite can hold it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def experiments(git: Git, cache: Path) -> list[Experiment]:
    """Every experiment of the repository, newest first. Foreign tags are skipped."""
    return tags_later(git, cache)().experiments


def tags_later(git: Git, cache: Path, prefix: str | None = "") -> Callable[[], Tags]:
    """Start listing our tags, of the project with this ``prefix`` (None: of every project); calling
    the result waits for it. Each prefix has its own ``cache``."""
    listed = git.listed_later(*patterns(prefix))

    def result() -> Tags:
        store = _Store(git, cache)  # while git is still listing
        store.update(listed())
        return Tags(store, prefix or "")

    return result


def _newest_first(found: list[Experiment]) -> list[Experiment]:
    """Sort by date; the version is parsed only if two tags have the same second."""
    if len({experiment.date for experiment in found}) == len(found):
        return sorted(found, key=attrgetter("date"), reverse=True)
    return sorted(found, key=lambda each: _order(each.date, each.name), reverse=True)


def _order(date: int, name: str) -> tuple[int, tuple[Any, ...]]:
    version = versions.parse(name)
    if isinstance(version, NamedVersion):
        return date, (-1, version.number, 0, version.name)
    return date, version or ()


# -- the file ------------------------------------------------------------------------------------


class _Read(NamedTuple):
    """One tag as read: its row and, if its message was parsed, an experiment's fields."""

    name: bytes
    oid: bytes
    commit: bytes | None = None  #: None if it is not an experiment
    date: int = 0
    run: str = ""
    hash: str = ""
    code: str = ""
    problem: str | None = None
    parsed: tuple[Any, ...] | None = None


class _Store:
    """The tags' content, cached in the file ``cache``, or in memory if that is not writable."""

    def __init__(self, git: Git, cache: Path) -> None:
        self._git, self._cache = git, cache
        self._refs = b""  #: git's listing
        self._con = _open(cache)

    def update(self, refs: bytes) -> None:
        """Update to what ``git for-each-ref`` lists now."""
        self._refs = refs
        try:
            self._update()
        except sqlite3.DatabaseError as error:
            self._leave(error)
            self._update()

    def _leave(self, error: sqlite3.DatabaseError) -> None:
        """Continue in memory: the file is read-only, full or locked for long; or it is corrupt, and
        removed so that the next command recreates it."""
        if isinstance(error, sqlite3.OperationalError):
            self._con = _in_memory(self._con)
            return
        with suppress(OSError):
            _remove(self._cache)
        self._con = _in_memory(None)

    def _update(self) -> None:
        while True:
            serial, known = self._con.execute("SELECT serial, refs FROM listing").fetchone()
            self.serial = serial
            if known == self._refs:
                return
            gone, new = _changed(known, self._refs)
            read = list(self._read(new))
            absent = {line for line, one in zip(new, read, strict=True) if one is None}
            # An object missing from the repository may arrive later: its line is omitted, so that
            # it counts as new again.
            kept = (
                [line for line in self._refs.split(b"\n") if line not in absent] if absent else ()
            )
            text = b"\n".join(kept) if absent else self._refs
            if text == known or self._write(gone, [one for one in read if one], text):
                return

    def _write(self, gone: Iterable[bytes], read: Sequence[_Read], text: bytes) -> bool:
        """False if another process wrote meanwhile."""
        con = self._con
        with _transaction(con, "IMMEDIATE"):
            if con.execute("SELECT serial FROM listing").fetchone()[0] != self.serial:
                return False
            touched: dict[int, dict[str, Any] | None] = {}
            if gone:
                self._index("name")
            for name in map(_name, gone):
                for (id_,) in con.execute("SELECT id FROM tag WHERE name = ?", (name,)).fetchall():
                    rows = self._touched(touched, id_)
                    if rows is not None:
                        rows.pop(decode(name), None)
                    con.execute("DELETE FROM tag WHERE id = ?", (id_,))
            start = con.execute("SELECT COALESCE(MAX(id), -1) + 1 FROM tag").fetchone()[0]
            for id_, one in enumerate(read, start):
                rows = self._touched(touched, id_)
                if one.commit is None or rows is None:
                    continue
                if one.parsed is None:
                    touched[id_ // _PAGE] = None
                else:
                    rows[decode(one.name)] = one.parsed
            con.executemany(
                "INSERT INTO tag VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((id_, *one[:8], *_numbers(one.name)) for id_, one in enumerate(read, start)),
            )
            if start + len(read) <= _AT_ONCE:
                for column in _INDEXES:
                    self._index(column)
            for page, rows in touched.items():
                self._put(page, rows)
            con.execute("UPDATE listing SET serial = serial + 1, refs = ?", (text,))
        self.serial += 1
        return True

    def _touched(self, touched: dict[int, dict[str, Any] | None], id_: int) -> Any:
        """The rows of a tag's page, to be changed; None if not parsed yet."""
        page = id_ // _PAGE
        if page not in touched:
            touched[page] = self._page(page)
        return touched[page]

    def _page(self, page: int) -> dict[str, Any] | None:
        """The parsed rows of a page, by name."""
        found = self._con.execute("SELECT crc, rows FROM page WHERE id = ?", (page,)).fetchone()
        if found is None:
            ids = page * _PAGE, (page + 1) * _PAGE
            some = "SELECT EXISTS (SELECT 1 FROM tag WHERE id >= ? AND id < ?)"
            return None if self._con.execute(some, ids).fetchone()[0] else {}
        return _loaded(*found)

    def _put(self, page: int, rows: Mapping[str, Any] | None) -> None:
        if rows is None:
            self._con.execute("DELETE FROM page WHERE id = ?", (page,))
            return
        content = marshal.dumps(_shared(dict(rows), {}))
        values = page, zlib.crc32(content), content
        self._con.execute("INSERT OR REPLACE INTO page VALUES (?, ?, ?)", values)

    def _index(self, column: str) -> None:
        with suppress(sqlite3.DatabaseError):  # read-only: slower
            self._con.execute(f"CREATE INDEX IF NOT EXISTS tag_{column} ON tag {_INDEXES[column]}")

    # -- queries ---------------------------------------------------------------------------------

    def rows(self, sql: str, *values: Any, by: str = "") -> list[Any]:
        """Return the rows of a query against the current listing; ``by`` is the column of the
        look-up."""
        if by:
            self._index(by)
        try:
            for _ in range(5):
                with _transaction(self._con, "DEFERRED"):
                    if self._con.execute("SELECT serial FROM listing").fetchone()[0] == self.serial:
                        return self._con.execute(sql, values).fetchall()
                self.update(self._refs)  # another process listed before or after us
            self._con = _in_memory(self._con)
        except sqlite3.DatabaseError as error:
            self._leave(error)
        self.update(self._refs)
        return self._con.execute(sql, values).fetchall()

    def where(self, condition: str, values: Sequence[Any]) -> list[Experiment]:
        """Return the experiments whose tags match a condition."""
        sql = f'SELECT id, name FROM tag WHERE "commit" IS NOT NULL AND {condition}'

        def choose() -> dict[int, list[str]]:
            wanted: dict[int, list[str]] = {}
            for id_, name in self.rows(sql, *values, by=condition.split()[0].strip('"')):
                wanted.setdefault(id_ // _PAGE, []).append(decode(name))
            return wanted

        wanted, pages = self._chosen(choose)
        return [
            _experiment(name, pages[page][name]) for page, names in wanted.items() for name in names
        ]

    def every(self) -> Iterator[Experiment]:
        """All experiments, in no order."""

        def choose() -> range:
            last = self.rows("SELECT MAX(id) FROM tag")[0][0]
            return range(0 if last is None else last // _PAGE + 1)

        _, pages = self._chosen(choose)
        make, payload = Experiment._make, Payload._make
        for rows in pages.values():
            for name, row in rows.items():
                yield make((name, *row[:4], payload(row[4])))

    def _chosen(self, choose: Callable[[], _Pages]) -> tuple[_Pages, dict[int, dict[str, Any]]]:
        """Yield pages and their rows. If another process wrote meanwhile, or the file proved
        corrupt, tags are renumbered and the query is repeated."""
        while True:
            pages = choose()
            before = self._con, self.serial
            found = self._parsed(pages)
            if (self._con, self.serial) == before:
                return pages, found

    def remembered(self, key: str, find: Callable[[], Sequence[str]]) -> tuple[str, ...]:
        known = self.rows("SELECT names FROM memo WHERE key = ?", key)
        if known:
            return tuple(known[0][0].split("\n")) if known[0][0] else ()
        names = tuple(find())
        with (
            suppress(sqlite3.DatabaseError, UnicodeEncodeError),
            _transaction(self._con, "IMMEDIATE"),
        ):
            if self._con.execute("SELECT COUNT(*) FROM memo").fetchone()[0] >= _MOST_MEMOS:
                self._con.execute("DELETE FROM memo")
            self._con.execute("INSERT OR REPLACE INTO memo VALUES (?, ?)", (key, "\n".join(names)))
        return names

    def _parsed(self, pages: Collection[int]) -> dict[int, dict[str, Any]]:
        """Return the rows of these pages, parsing and storing them if needed."""
        if len(pages) > _FEW:
            kept = self.rows("SELECT id, crc, rows FROM page")
        else:
            marks = ",".join("?" * len(pages))
            kept = self.rows(f"SELECT id, crc, rows FROM page WHERE id IN ({marks})", *pages)
        found = {id_: _loaded(crc, rows) for id_, crc, rows in kept}
        missing = [page for page in pages if found.get(page) is None]
        for page in missing:
            found[page] = self._parse(page)
        if missing:
            with suppress(sqlite3.DatabaseError), _transaction(self._con, "IMMEDIATE"):
                if self._con.execute("SELECT serial FROM listing").fetchone()[0] == self.serial:
                    for page in missing:
                        self._put(page, found[page])
        return {page: found[page] or {} for page in pages}

    def _parse(self, page: int) -> dict[str, Any]:
        rows = self.rows(
            'SELECT name, oid FROM tag WHERE "commit" IS NOT NULL AND id >= ? AND id < ?',
            page * _PAGE, (page + 1) * _PAGE,
        )  # fmt: skip
        items = self._git.cat([oid.hex() for _, oid in rows])
        parsed = {}
        for (name, oid), item in zip(rows, items, strict=True):
            one = None if item is None else _parse(name, oid, item)
            if one is not None and one.parsed is not None:
                parsed[decode(name)] = one.parsed
        return parsed

    def _read(self, lines: Sequence[bytes]) -> Iterator[_Read | None]:
        """Return the object that each line of a listing names; None if it is not in the repository."""
        quick = len(lines) > _AT_ONCE
        parts = [line.partition(b" ") for line in lines]
        items = self._git.cat([oid.decode() for oid, _, _ in parts])
        for (hexed, _, ref), item in zip(parts, items, strict=True):
            name, oid = ref.removeprefix(_REFS), unhexlify(hexed)
            if item is None:
                yield None
            else:
                yield (quick and _headed(name, oid, item)) or _parse(name, oid, item)


def _numbers(name: bytes) -> Sequence[int | None]:
    return versions.numbers(decode(name)) or (None, None, None)


def _name(line: bytes) -> bytes:
    """The short name in a line of a listing."""
    return line.partition(b" ")[2].removeprefix(_REFS)


def _changed(old: bytes, new: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the lines only in ``old``, and the version lines only in ``new``."""
    start = new.rfind(b"\n", 0, _common(old, new, 1)) + 1
    before, after = old[start:], new[start:]
    size = _common(before, after, -1)
    if size:  # from the end of a line
        size -= before.find(b"\n", len(before) - size) + 1 - (len(before) - size)
    before, after = (each[: len(each) - size] for each in (before, after))
    olds, news = (dict.fromkeys(filter(None, each.split(b"\n"))) for each in (before, after))
    gone = [line for line in olds if line not in news]
    return gone, [
        line for line in news if line not in olds and versions.spelled(decode(_name(line)))
    ]


def _common(one: bytes, other: bytes, side: int) -> int:
    """Return the number of bytes that two texts share at their start (1) or end (-1)."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if side > 0:
            same = one[low:middle] == other[low:middle]
        else:
            ends = len(one) - low, len(other) - low
            same = one[len(one) - middle : ends[0]] == other[len(other) - middle : ends[1]]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


def _plain(content: bytes) -> re.Match[bytes] | None:
    return re.fullmatch(_PLAIN, content)  # compiled late: a warm listing parses nothing


def _headed(name: bytes, oid: bytes, item: tuple[str, str, bytes]) -> _Read | None:
    """Parse the head of a tag if it is as simple as what :func:`tag_message.encode` writes and
    cannot have a problem: a listing of 100,000 must not parse every message."""
    content = item[2]
    found = _plain(content) if item[1] == "tag" else None
    if found is None or len(content) > payloads.MOST or content.count(b".") >= limits.DEEPEST:
        return None
    if content.count(b"[") + content.count(b"{") > limits.DEEPEST:
        return None
    commit, date, head = found.groups()
    run, hash_ = _said(head, b'\nrun = "'), _said(head, b'\nconfig_hash = "')
    return _Read(
        name, oid, unhexlify(commit), int(date), run, _digits(hash_), _said(head, b'\ncode = "')
    )


def _said(head: bytes, key: bytes) -> str:
    at = head.find(key)
    if at < 0:
        return ""
    start = at + len(key)
    return decode_text(head[start : head.index(b'"', start)])


def _parse(name: bytes, oid: bytes, item: tuple[str, str, bytes]) -> _Read:
    """Parse a tag object."""
    if item[1] != "tag":
        return _Read(name, oid)
    if wrong := payloads.problem(item[2]):
        return _Read(name, oid, problem=wrong)
    head, _, message = decode(item[2]).partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 2 or lines[1] != "type commit":
        return _Read(name, oid)
    tagger, date = "", 0
    for line in lines[2:]:
        if match := re.fullmatch(_TAGGER, line):
            tagger, date = match[1], min(max(int(match[3]), 0), _LAST)
    commit = lines[0].removeprefix("object ")
    payload = payloads.decode(decode_text(encode(message)))
    parsed = oid.hex(), commit, date, tagger, tuple(payload)
    hash_ = _digits(payload.config_hash)
    return _Read(name, oid, unhexlify(commit), date, payload.run, hash_, payload.code, None, parsed)


def decode_text(data: bytes) -> str:
    """Decode bytes to text that can be written anywhere."""
    return data.decode("utf-8", "replace")


def _digits(hash_: str) -> str:
    return hash_.removeprefix("sha256:")[:_DIGITS] if hash_.startswith("sha256:") else ""


def _experiment(name: str, row: tuple[Any, ...]) -> Experiment:
    oid, commit, date, tagger, payload = row
    return Experiment(name, oid, commit, date, tagger, Payload._make(payload))


def _shared(value: Any, seen: dict[str, str]) -> Any:
    """Intern equal strings in ``value``: marshal then writes each only once."""
    if isinstance(value, str):
        return seen.setdefault(value, value)
    if isinstance(value, dict):
        return {seen.setdefault(key, key): _shared(item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_shared(item, seen) for item in value)
    return value


def _loaded(crc: int, content: bytes) -> dict[str, Any] | None:
    """Return a page's rows; None if it is corrupt, because it can be recreated."""
    with suppress(ValueError, EOFError, TypeError):
        if zlib.crc32(content) == crc and isinstance(rows := marshal.loads(content), dict):
            return rows
    return None


def _open(cache: Path) -> sqlite3.Connection:
    """The file, recreated if it is not ours."""
    for attempt in range(2):
        try:
            con = _connect(cache)
            if con.execute("SELECT format FROM listing").fetchall() == [(_FORMAT,)]:
                return con
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                break
        except sqlite3.DatabaseError:
            pass
        if attempt == 0:
            with suppress(OSError, sqlite3.Error):
                _make(cache)
    return _in_memory(None)


def _make(cache: Path) -> None:
    """Replace it with an empty one. A process that has the old one open continues in memory."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_name(f"{cache.name}.{os.getpid()}")
    try:
        con = _connect(temporary)
        _create(con)
        con.close()
        _remove(cache)
        temporary.replace(cache)
    finally:
        temporary.unlink(missing_ok=True)


def _remove(cache: Path) -> None:
    """Remove it with its journal, which SQLite would replay into the next file of this name."""
    cache.unlink(missing_ok=True)
    cache.with_name(f"{cache.name}-journal").unlink(missing_ok=True)


def _connect(where: Path | str) -> sqlite3.Connection:
    con = sqlite3.connect(where, timeout=2, isolation_level=None, check_same_thread=False)
    con.execute("PRAGMA synchronous = NORMAL")
    return con


def _create(con: sqlite3.Connection) -> None:
    with _transaction(con, "IMMEDIATE"):
        for sql in _SCHEMA:
            con.execute(sql)
        con.execute("INSERT INTO listing VALUES (?, 0, x'')", (_FORMAT,))


def _in_memory(con: sqlite3.Connection | None) -> sqlite3.Connection:
    """Return a writable copy: what is not stored is read again by the next command."""
    copy = _connect(":memory:")
    if con is not None:
        with suppress(sqlite3.DatabaseError):
            con.backup(copy)
            if copy.execute("SELECT COUNT(*) FROM listing").fetchone() == (1,):
                return copy
        copy = _connect(":memory:")
    _create(copy)
    return copy


@contextmanager
def _transaction(con: sqlite3.Connection, kind: str) -> Iterator[None]:
    con.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        if con.in_transaction:  # SQLite itself rolls back on a full disk
            con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


def run_of_content(experiments: Iterable[Experiment], path: str, content: str) -> str | None:
    """Return the run that produced this content ("md5:…") of ``path``: that of the oldest tag with
    it, since later ones may only carry it along. ``experiments`` are newest first."""
    said = [e.payload for e in experiments if e.payload.artifacts.get(path) == content]
    return next((payload.run for payload in reversed(said) if payload.run), None)
