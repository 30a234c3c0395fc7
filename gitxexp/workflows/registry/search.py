"""``registry search``: full-text search over experiments and runs, best first.

The words are in a separate full-text index (sqlite.org/fts5.html) in the git common dir, so that
the tracked registry stays small. It is rebuilt when the tags or the registry change, and may be
deleted at any time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common import sqlite
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.repository.config_hash import flatten
from gitxexp.repository.numbers import is_of
from gitxexp.repository.repository import Project
from gitxexp.repository.version import patterns

if TYPE_CHECKING:
    from gitxexp.workflows.registry.configurations import RegistryConfig

_FORMAT = 3

#: The searched fields, with the weight of a match.
_FIELDS = {
    "headline": 4.0, "text": 4.0, "labels": 6.0, "name": 8.0, "params": 2.0, "run": 4.0,
    "command": 2.0, "subject": 2.0, "log": 0.5,
}  # fmt: skip

#: Bytes searched at the end of a log.
_LOG = 8192

#: What surrounds a match in a snippet.
MARKS = ("\x01", "\x02")


class Match(NamedTuple):
    """What was found: an experiment, or a run without a version. ``excerpt`` has :data:`MARKS`
    around each match, and ``where`` names its field."""

    version: str  #: "" for a run that was not tagged
    run: str  #: the tracker's run, and the id of the record
    date: int | None  #: seconds since 1970
    headline: str
    labels: tuple[str, ...]
    where: str
    excerpt: str
    score: float  #: higher is better


def search(
    project: Project, words: Sequence[str], *, labels: Sequence[str] = (), limit: int | None = None
) -> list[Match]:
    """Return experiments and runs that match all ``words`` and ``labels``, best first.

    A word may end in ``*`` (any ending) or begin with ``-`` (must not be there); words in double
    quotes form a phrase. Raises UsageError if there is nothing to search for.
    """
    wanted = _wanted(words, labels)
    refs = project.git.refs_later("HEAD", *patterns(project.prefix))
    stamp = _stamp(project, refs())
    path = (
        project.state
        / f"search-{zlib.crc32(os.fsencode(f'{_place(project)}{project.prefix}')):08x}.db"
    )
    try:
        return _ask(path, stamp, wanted, labels, limit)
    except (sqlite3.Error, _Stale):
        pass
    try:
        make(project, path, stamp)
        return _ask(path, stamp, wanted, labels, limit)
    except (OSError, sqlite3.Error):  # nothing can be written: the index is for the next search
        return _matches_of(_documents(project), wanted, labels, limit)


def _wanted(words: Sequence[str], labels: Sequence[str]) -> str:
    wanted = query(words)
    if not wanted and not labels:
        raise UsageError("there is nothing to search for", "such as: git xexp search bert -draft")
    return wanted


def query(words: Sequence[str]) -> str:
    """Convert the words to an FTS5 query; "" if nothing can match.

    Every word becomes a separate phrase, so nothing in it is parsed as an operator.
    """
    must: list[str] = []
    without: list[str] = []
    for text, negative, prefix in _terms(" ".join(words)):
        term = '"' + text.replace('"', '""') + '"' + ("*" if prefix else "")
        (without if negative else must).append(term)
    if not must and without:
        must = [f"{{anything}} : {_ANYTHING}"]
    found = " AND ".join(must)
    return found if not without else f"({found}) NOT ({' OR '.join(without)})"


#: A word in every document, for queries with only excluded words.
_ANYTHING = "xexpdocument"


def _terms(text: str) -> Iterator[tuple[str, bool, bool]]:
    """Return each word or quoted phrase: its text, whether it is excluded, whether it is a prefix."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        negative = text[at] == "-" and at + 1 < len(text) and not text[at + 1].isspace()
        at += negative
        if text[at] == '"':
            end = text.find('"', at + 1)
            end = len(text) if end < 0 else end
            word, at = text[at + 1 : end], end + 1
        else:
            end = next((n for n in range(at, len(text)) if text[n].isspace()), len(text))
            word, at = text[at:end], end
        prefix = text[at : at + 1] == "*" or word.endswith("*")
        at += text[at : at + 1] == "*"
        word = word.rstrip("*")
        if any(char.isalnum() for char in word):
            yield word, negative, prefix


# -- the index -----------------------------------------------------------------------------------


class _Stale(Exception):
    """The index was built from other tags, or another registry."""


def _place(project: Project) -> Path:
    return project.places.top or project.places.git_dir


def _stamp(project: Project, refs: Mapping[str, str]) -> str:
    """The inputs of an index: the tags, and the state of the registry."""
    tags = zlib.crc32(
        "".join(f"{name} {oid}\n" for name, oid in refs.items()).encode("utf-8", "replace")
    )
    found = None
    if project.places.top is not None:
        with suppress(OSError):
            stat = project.registry.path.stat()
            found = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return f"{_FORMAT} {tags:08x} {len(refs)} {found}"


def _ask(
    path: Path, stamp: str, wanted: str, labels: Sequence[str], limit: int | None
) -> list[Match]:
    with closing(sqlite.connect(path, "ro")) as db:
        row = db.execute("SELECT stamp FROM source").fetchone()
        if row is None or row[0] != stamp:
            raise _Stale
        return list(_matches(db, wanted, labels, limit))


def _matches(
    db: sqlite3.Connection, wanted: str, labels: Sequence[str], limit: int | None
) -> Iterator[Match]:
    weights = ", ".join(str(weight) for weight in (*_FIELDS.values(), 0.0))
    own = "".join(" AND instr(char(10) || d.label_list || char(10), ?)" for _ in labels)
    values: list[Any] = [f"\n{label}\n" for label in labels]
    columns = "d.version, d.run, d.date, d.headline, d.label_list"
    if wanted:
        first, last = MARKS
        sql = (
            f"SELECT {columns}, snippet(documents_fts, -1, '{first}', '{last}', '…', 24),"
            f" -bm25(documents_fts, {weights}) AS score, {', '.join(f'd.{n}' for n in _FIELDS)}"
            " FROM documents_fts JOIN documents d ON d.rowid = documents_fts.rowid"
            f" WHERE documents_fts MATCH ?{own} ORDER BY score DESC, d.date DESC LIMIT ?"
        )
        values = [wanted, *values]
    else:
        sql = (
            f"SELECT {columns}, d.headline, 0.0, d.headline FROM documents d WHERE true{own}"
            " ORDER BY d.date DESC LIMIT ?"
        )
    names = tuple(_FIELDS) if wanted else ("headline",)
    for version, run, date, headline, listed, excerpt, score, *texts in db.execute(
        sql, [*values, -1 if limit is None else limit]
    ):
        where = _field_of(excerpt, names, texts)
        shown = " ".join(excerpt.split()) if where else headline
        own_labels = tuple(filter(None, listed.split("\n")))
        yield Match(version, run, date, headline, own_labels, where, shown, round(score, 6))


def _field_of(excerpt: str, names: Sequence[str], texts: Sequence[str]) -> str:
    """Return the field of an excerpt; "" if it is not shown."""
    first, last = MARKS
    plain = excerpt.replace(first, "").replace(last, "").strip("…")
    found = (name for name, text in zip(names, texts, strict=True) if plain in text)
    return next(found, "")


def make(project: Project, path: Path, stamp: str) -> None:
    """Rebuild the index in a temporary file and rename it into place."""
    from gitxexp.common.files import atomic_write

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, closing(sqlite3.connect(temporary)) as connection:
        _fill(connection, _documents(project), stamp)


def _fill(connection: sqlite3.Connection, documents: Iterable[dict[str, Any]], stamp: str) -> None:
    from gitxexp.storage.sqlite_write import database  # 130 ms, for the first search after a change

    db = database(connection)
    with db.atomic():
        table = db.table("documents")
        table.insert_all(documents, columns={"date": int})
        if not table.exists():
            table.create(dict.fromkeys(_COLUMNS, str) | {"date": int})
        names = [*_FIELDS, "anything"]
        table.enable_fts(names, fts_version="FTS5", tokenize="unicode61 remove_diacritics 2")
        db.table("source").insert({"stamp": stamp})


def search_in(
    path: Path, words: Sequence[str], *, labels: Sequence[str] = (), limit: int | None = None
) -> list[Match]:
    """Run :func:`search` on a registry file, without a repository or a stored index."""
    from gitxexp.workflows.registry.configurations import existing, known_in

    wanted = _wanted(words, labels)
    return _matches_of(map(_of_known, known_in(existing(path))), wanted, labels, limit)


def _matches_of(
    documents: Iterable[dict[str, Any]], wanted: str, labels: Sequence[str], limit: int | None
) -> list[Match]:
    with closing(sqlite3.connect(":memory:")) as db:
        _fill(db, documents, "")
        return list(_matches(db, wanted, labels, limit))


def _of_known(one: RegistryConfig) -> dict[str, Any]:
    """An entry of a registry as a document: a standalone configuration is named by its hash."""
    payload = one.payload
    return _document(
        version=one.version, date=None, name=one.config_hash,
        headline=payload.headline if payload else one.config.description,
        text=one.config.description, labels=one.config.labels,
        params=flatten(one.config.params), run=payload.run if payload else one.name, command=None,
        subject="", log="",
    )  # fmt: skip


_COLUMNS = ("version", "date", "label_list", *_FIELDS, "anything")


def _documents(project: Project) -> Iterator[dict[str, Any]]:
    experiments = project.experiments()
    runs = project.registry.runs() if project.places.top is not None else []
    by_version = {run["version"]: run for run in reversed(runs) if run["version"]}
    subjects = _subjects(project, [e.commit for e in experiments])
    for experiment in experiments:
        payload = experiment.payload
        run = by_version.pop(experiment.name, None)
        yield _document(
            version=experiment.name, date=experiment.date, name=experiment.name,
            headline=payload.headline, text=payload.text, labels=payload.labels,
            params=payload.params, run=" ".join(filter(None, [payload.run, run and run["id"]])),
            command=run, subject=subjects.get(experiment.commit, ""), log=_end_of_log(project, run),
        )  # fmt: skip
    if project.places.top is None:
        return
    for entry in project.registry.configurations():
        yield _document(
            version="", date=_seconds(entry.at), name=entry.hash,
            headline=f"configuration {entry.hash[7:19]} {entry.description}".rstrip(),
            text=entry.description, labels=entry.labels, params=entry.params, run=entry.hash[7:19],
            command=None, subject="", log="",
        )  # fmt: skip
    known = {experiment.name for experiment in experiments}
    annotations = project.annotations
    for version, row in project.registry.rows().items():
        if version in known or not is_of(version, project.prefix):
            continue
        payload = annotations.over(version, row)
        yield _document(
            version=version, date=None, name=version, headline=payload.headline, text=payload.text,
            labels=payload.labels, params=payload.params, run=payload.run,
            command=by_version.pop(version, None), subject="", log="",
        )  # fmt: skip
    for run in runs:
        if not run["version"]:
            yield _document(
                version="", date=_seconds(run["started"]), name=run["id"],
                headline=f"run {run['id']} {run['status']}", text=str(run["note"] or ""), labels=(),
                params=run["params"], run=" ".join([run["id"], *_tracker_runs(run)]), command=run,
                subject="", log=_end_of_log(project, run),
            )  # fmt: skip


def _document(
    *,
    version: str,
    date: int | None,
    name: str,
    headline: str,
    text: str,
    labels: Sequence[str],
    params: Any,
    run: str,
    command: Mapping[str, Any] | None,
    subject: str,
    log: str,
) -> dict[str, Any]:
    pairs = params.items() if isinstance(params, Mapping) else ()
    words = command["command"] if command else ()
    return {
        "version": version,
        "date": date,
        "label_list": "\n".join(labels),
        "name": name,
        "headline": headline,
        "labels": ", ".join(labels),
        "text": text,
        "params": " ".join(f"{key}={_shown(value)}" for key, value in pairs),
        "run": run,
        "command": " ".join(map(str, words)) if isinstance(words, list | tuple) else str(words),
        "subject": subject,
        "log": log,
        "anything": _ANYTHING,
    }


def _shown(value: Any) -> str:
    from gitxexp.repository.tag_message import show

    return json.dumps(value) if isinstance(value, list | dict) else show(value)


def _tracker_runs(run: Mapping[str, Any]) -> list[str]:
    tables = run["tables"] if isinstance(run["tables"], list) else []
    return [str(each["run"]) for each in tables if isinstance(each, dict) and "run" in each]


def _seconds(text: str) -> int | None:
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None


def _subjects(project: Project, commits: Iterable[str]) -> dict[str, str]:
    """The first line of each commit's message; none for a missing commit."""
    wanted = list(dict.fromkeys(commits))
    found: dict[str, str] = {}
    for commit, item in zip(wanted, project.git.cat(wanted), strict=True):
        if item is not None:
            message = item[2].decode("utf-8", "replace").partition("\n\n")[2]
            found[commit] = message.partition("\n")[0]
    return found


def _end_of_log(project: Project, run: Mapping[str, Any] | None) -> str:
    """The last part of a run's log; "" if it is not here."""
    from gitxexp.workflows.runs.record import RunFolders  # late: only needed to build an index

    if run is None:
        return ""
    with (
        suppress(OSError, XexpError),
        RunFolders(project.state).log(run["id"]).open("rb") as stream,
    ):
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _LOG))
        return stream.read(_LOG).decode("utf-8", "replace")
    return ""
