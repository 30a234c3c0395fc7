"""Run records: what ``run``, ``sweep`` and ``rerun`` record about each run in the registry.

An active run is a folder ``xexp/runs/ID`` in the git common directory with a lock that its process
holds (``flock(2)``: the kernel releases it when the process ends), its log, and what is known so
far. When the run ends, its record becomes a row of ``runs`` in the registry. If the process was
killed, :func:`settle` makes that row at the next command.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion
from gitxexp.common.files import atomic_write, naming
from gitxexp.common.notes import stays
from gitxexp.common.text import counted
from gitxexp.repository import config as settings
from gitxexp.repository import registry
from gitxexp.repository.registry import Registry
from gitxexp.repository.version import parse

if TYPE_CHECKING:
    from sqlite_utils import Database

    from gitxexp.repository.repository import Project

#: The state of a run: active, or ended with exit code 0, with another code, by Ctrl-C or on
#: request, by timeout, or because its parent process was killed.
Status = Literal["running", "done", "failed", "stopped", "timeout", "killed"]

#: How the note of a kept rerun begins.
RERUN = "a rerun of "

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,80}\Z")


@dataclass(frozen=True)
class RowsFound:
    """Rows that a run logged: the database by path from the top, the table, the tracker's id of the
    run there, how many rows are new, and how many of the same id were there ``before``."""

    database: str
    table: str
    run: str
    rows: int
    before: int = 0


@dataclass(frozen=True)
class RunRecord:
    """One run. Times are ISO 8601, UTC; hashes say their algorithm; texts are "" if not known."""

    id: str
    status: Status
    command: tuple[str, ...] = ()  #: its words, as they were given
    folder: str = ""  #: where it ran, from the top of the work tree
    version: str = ""  #: the version it was tagged as
    code: int | None = None  #: exit code; 128 plus the number of a terminating signal
    started: str = ""
    ended: str = ""
    host: str = ""
    user: str = ""
    python: str = ""  #: the version of the Python that ran
    packages: str = ""  #: the hash of its packages; :meth:`Registry.packages` has them
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    #: hash of the parameters at its start: those of the files, and ``-S``
    config_hash: str = ""
    data: str = ""  #: the data hash, six digits
    run_commit: str = ""  #: the commit that ran
    code_hash: str = ""  #: hash of its code files, independent of the rest of the commit
    branch: str = ""
    patch: str = ""  #: hash of the difference from the commit (``--dirty``)
    outputs: Mapping[str, str] = field(default_factory=dict)  #: path → hash of changed outputs
    kept: Mapping[str, str] = field(default_factory=dict)  #: the same for files kept in its folder
    log: str = ""  #: the hash of its log
    tables: tuple[RowsFound, ...] = ()
    sweep: str = ""  #: the id of its sweep
    note: str = ""  #: why information is missing

    @property
    def tracker_run(self) -> str:
        """The tracker's id of the run, the last one where it logged several; "" if none."""
        return self.tables[-1].run if self.tables else ""

    @property
    def name(self) -> str:
        """The run id used in tags: the tracker's, else its own."""
        return self.tracker_run or self.id

    @property
    def is_one(self) -> bool:
        """Whether it logged one run in each table, so that all of its rows are of one run."""
        return all(self.run_in(rows.table) for rows in self.tables)

    def run_in(self, table: str) -> str:
        """The tracker's id of its only run in a table; "" if it logged none there, or several."""
        found = {rows.run for rows in self.tables if rows.table == table}
        return found.pop() if len(found) == 1 else ""

    @property
    def apart(self) -> bool:
        """Whether it ran in a separate worktree, so that its files never were in the user's."""
        return bool(self.sweep) or self.note.startswith(RERUN)

    @property
    def seconds(self) -> float | None:
        """How long it took, if known."""
        began, ended = seconds_of(self.started), seconds_of(self.ended)
        return None if began is None or ended is None else round(ended - began, 3)

    def named(self, text: str) -> bool:
        """Whether a text is one of the ids of the run."""
        return text == self.id or any(text == rows.run for rows in self.tables)

    def as_row(self) -> dict[str, Any]:
        """As the registry holds it."""
        return asdict(self)


_NAMES = tuple(one.name for one in fields(RunRecord))
_TEXTS = tuple(one.name for one in fields(RunRecord) if one.type == "str")


def new_id() -> str:
    """The id of a new run: when it starts (UTC), and random digits, so that ids sort by time."""
    start = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{start}-{os.urandom(3).hex()}"


def timestamp(seconds: float | None = None) -> str:
    """Format a time (default: now) for records."""
    seconds = time.time() if seconds is None else seconds
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def seconds_of(text: str) -> float | None:
    """A time of a record in seconds since 1970; None if invalid."""
    from datetime import datetime  # late: a list of experiments does not need it

    with suppress(ValueError):
        return datetime.fromisoformat(text).timestamp()
    return None


def whose() -> dict[str, Any]:
    """``host`` and ``user`` of a record that begins here."""
    import getpass  # late: not needed to list runs

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return {"host": os.uname().nodename, "user": user}


def loaded(row: Mapping[str, Any]) -> RunRecord:
    """Parse the record from a registry row, which is untrusted."""
    known = {name: row[name] for name in _NAMES if name in row}
    for name in _TEXTS:
        known[name] = str(known.get(name) or "")
    for name in ("params", "metrics", "outputs", "kept"):
        value = known.get(name)
        known[name] = value if isinstance(value, dict) else {}
    for name in ("outputs", "kept"):
        known[name] = {path: str(value) for path, value in known[name].items()}
    words = known.get("command")
    known["command"] = tuple(map(str, words)) if isinstance(words, list | tuple) else ()
    known["tables"] = tuple(_rows_found(known.get("tables")))
    code = known.get("code")
    known["code"] = code if isinstance(code, int) else None
    known["status"] = known.get("status") or "killed"
    return RunRecord(**known)


def _rows_found(value: Any) -> Iterator[RowsFound]:
    for each in value if isinstance(value, list | tuple) else ():
        with suppress(TypeError, ValueError, KeyError):
            own = dict(each)
            database, table, run = (str(own[name]) for name in ("database", "table", "run"))
            yield RowsFound(database, table, run, int(own["rows"]), int(own.get("before") or 0))


# -- in the registry -----------------------------------------------------------------------------


def put(db: Database, records: Iterable[RunRecord]) -> None:
    """Insert records into a registry that is being rewritten (:meth:`Registry.rewrite`), each
    replacing an older one with the same id."""
    for record in records:
        registry.put_run(db.conn, record.as_row())


def write(
    project: Project,
    records: Sequence[RunRecord],
    packages: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write records, and lists of packages by their hashes, into the registry of the work tree in
    one step; does nothing without records. The repository's lock must be held, or an operation must
    have saved the file."""
    if not records:
        return
    project.registry.put_runs((one.as_row() for one in records), packages or {})
    first, *more = records
    if more or first.sweep:
        stays(f"{counted(len(records), 'run')} recorded: git xexp explore runs")
    else:
        stays(f"run {first.id} is recorded; tag it later: git xexp tag --run {first.id}")


def read(project: Project) -> list[RunRecord]:
    """Return every known run record, newest first: those in the registry, the active ones, and
    killed ones not yet settled. Writes nothing."""
    known = [loaded(row) for row in project.registry.runs()] if project.places.top else []
    ids = {record.id for record in known}
    unsettled = [record for record in RunFolders(project.state).unsettled() if record.id not in ids]
    folders: dict[str, str] = {}

    def is_own(one: RunRecord) -> bool:
        version = parse(one.version)
        if version is not None or project.places.top is None:
            return version is None or version.prefix == project.prefix
        if one.folder not in folders:
            folders[one.folder] = settings.folder_of(project.places.top, one.folder)
        return folders[one.folder] == project.folder

    every = filter(is_own, (*known, *unsettled))
    return sorted(every, key=lambda one: (one.started, one.id), reverse=True)


def find(records: Sequence[RunRecord], name: str) -> RunRecord | None:
    """Return the record with that id or tracker run, or the newest one tagged as that version; else
    the only one whose id begins with ``name``.

    Raises XexpError if several begin with it. None if there is none.
    """
    for matches in (
        [one for one in records if one.named(name)],
        [one for one in records if one.version == name],
    ):
        if matches:
            return matches[0]
    begin = [
        one
        for one in records
        if one.id.startswith(name) or any(rows.run.startswith(name) for rows in one.tables)
    ]
    if len(begin) > 1:
        ids = ", ".join(one.id for one in begin[:5])
        raise XexpError(f"run '{name}' is ambiguous: {ids}", "give more of its id")
    return begin[0] if begin else None


def ids_of(records: Iterable[RunRecord]) -> Callable[[str], Sequence[str]]:
    """Return what gives the ids that a tracker's run has in all of its tables, its own first, where
    its record ties them."""
    owners: dict[str, list[RunRecord]] = {}
    for one in records:
        for id in {rows.run for rows in one.tables}:
            owners.setdefault(id, []).append(one)

    def ids(run: str) -> Sequence[str]:
        own = owners.get(run, [])
        tied = own[0].tables if len(own) == 1 and own[0].is_one else ()
        return list(dict.fromkeys((run, *(rows.run for rows in tied))))

    return ids


def require(records: Sequence[RunRecord], name: str) -> RunRecord:
    """Like :func:`find`; raises XexpError with similar ids if there is none."""
    found = find(records, name)
    if found is not None:
        return found
    ids = [word for one in records for word in (one.id, one.version, one.tracker_run) if word]
    newest = f"the newest are: {', '.join(one.id for one in records[:3])}" if records else (
        "git xexp run makes one: git xexp run -- python train.py"
    )  # fmt: skip
    raise XexpError(f"there is no record of a run '{name}'", suggestion(name, ids, newest))


# -- folders of runs -----------------------------------------------------------------------------


class RunFolders:
    """The folders of runs below the state directory ``state`` (``xexp`` in the git common dir)."""

    def __init__(self, state: Path) -> None:
        self.path = state / "runs"

    def of(self, id: str) -> Path:
        """The folder of a run. Raises XexpError for an invalid id, as from an untrusted registry."""
        if not _ID.match(id):
            raise XexpError(f"'{id}' is not the id of a run", "git xexp explore list --runs")
        return self.path / id

    def log(self, id: str) -> Path:
        """The path of a run's log, existing or not."""
        return self.of(id) / "log"

    def kept(self, id: str, path: str) -> Path:
        """The kept path of a run's file ``path`` (from the top), existing or not."""
        return self.of(id) / "files" / path.replace("%", "%25").replace("/", "%2F")

    @contextmanager
    def under_way(self, record: RunRecord, work_tree: Path) -> Iterator[UnderWay]:
        """Create the folder of a starting run. It is settled if :meth:`UnderWay.settled` was called
        when the block ends; else the next command treats it as killed."""
        folder = self.of(record.id)
        folder.mkdir(parents=True, exist_ok=False)
        with (folder / "running").open("w+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            started = UnderWay(folder, file, str(work_tree))
            started.note(record)
            yield started

    def unsettled(self) -> list[RunRecord]:
        """The active runs, and those whose process was killed (see their status)."""
        found = []
        for path in self._journals():
            with suppress(OSError, ValueError, KeyError, TypeError):
                held, journal = _look(path)
                record = loaded(journal["record"])
                if held:
                    found.append(replace(record, status="running"))
                else:
                    found.append(_killed(record, path))
        return found

    def running_in(self, work_tree: Path) -> list[RunRecord]:
        """The active runs in a work tree."""
        found = []
        for path in self._journals():
            with suppress(OSError, ValueError, KeyError, TypeError):
                held, journal = _look(path)
                if held and journal["work_tree"] == str(work_tree):
                    found.append(loaded(journal["record"]))
        return found

    def killed(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The journal, with its content, of each run whose process was killed."""
        for path in self._journals():
            with suppress(OSError, ValueError):
                held, journal = _look(path)
                if not held:
                    yield path, journal

    @property
    def any(self) -> bool:
        """Whether a run is active or was killed; very cheap."""
        return next(self._journals(), None) is not None

    def _journals(self) -> Iterator[Path]:
        with suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                path = Path(entry.path, "running")
                if path.exists():
                    yield path


@dataclass
class UnderWay:
    """A run that has begun: its folder and its journal."""

    folder: Path
    file: IO[str]
    work_tree: str
    group: int = 0

    @cached_property
    def log(self) -> Path:
        """The file of its log."""
        return self.folder / "log"

    def note(self, record: RunRecord, group: int | None = None) -> None:
        """Record what is known so far; ``group``: the process group of the command."""
        self.group = self.group if group is None else group
        text = json.dumps(
            {"record": record.as_row(), "work_tree": self.work_tree, "group": self.group}
        )
        with naming(self.folder / "running"):
            self.file.seek(0)
            self.file.write(text)
            self.file.truncate()
            self.file.flush()

    def keep(self, top: Path, path: str) -> None:
        """Keep a copy of the small file ``path`` of the work tree at ``top``."""
        target = RunFolders(self.folder.parent.parent).kept(self.folder.name, path)
        target.parent.mkdir(exist_ok=True)
        with atomic_write(target, durable=False) as temporary:
            temporary.write_bytes((top / path).read_bytes())

    def forget(self) -> None:
        """Discard a run that never began."""
        for name in ("running", "log", "patch"):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def settled(self) -> None:
        """Mark the record as saved in the registry."""
        (self.folder / "running").unlink(missing_ok=True)


def _look(path: Path) -> tuple[bool, dict[str, Any]]:
    """Return whether a process holds the journal, and its content."""
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            held = False
        except BlockingIOError:
            held = True
        text = file.read()
    return held, json.loads(text) if text else {}


def _killed(record: RunRecord, journal: Path) -> RunRecord:
    """The record of a run whose process is gone. If its command had not ended, its end is taken to be
    its last output."""
    if record.status != "running":
        return record
    log = journal.with_name("log")
    last = (log if log.exists() else journal).stat().st_mtime
    note = "git xexp was killed while it ran"
    return replace(record, status="killed", ended=timestamp(last), note=note)


def settle(project: Project, *, wait: bool = True) -> list[RunRecord]:
    """Record the runs whose process was killed, and terminate what is left of their commands.

    Returns them. Each goes into the registry of the work tree that it ran in, if that still exists,
    else into this one. Call it before a command that changes something.
    """
    folders = RunFolders(project.state)
    if not folders.any:
        return []
    settled = []
    with project.locked(wait=wait):
        for path, journal in list(folders.killed()):
            if not journal:  # killed before it recorded anything
                path.unlink(missing_ok=True)
                continue
            record = _killed(loaded(journal["record"]), path)
            _end(record.id, journal.get("group"))
            for place in (journal.get("work_tree"), str(project.places.top or "")):
                if place and settings.is_set_up(Path(place)):
                    settled += _put_missing(Registry(Path(place) / settings.REGISTRY), record)
                    break
            path.unlink(missing_ok=True)
    return settled


def _put_missing(own: Registry, record: RunRecord) -> list[RunRecord]:
    """Insert a record, unless it was written before its process was killed; return those inserted."""
    if any(row["id"] == record.id for row in own.runs()):
        return []
    with own.rewrite() as db:
        put(db, [record])
    return [record]


def _end(id: str, group: Any) -> None:
    """Terminate the orphaned processes of a run; a reused process id is detected by its
    environment."""
    from gitxexp.workflows.runs.execute import processes_of  # late: hardly ever needed

    left = processes_of(id)
    if isinstance(group, int) and group in left:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
