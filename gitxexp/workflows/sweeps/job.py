"""One run of a sweep: in a worktree of the pool, from its parameters to its outputs.

It needs only files that all processes of the sweep see, so a thread or a cluster worker can run it.
Outputs go into the run's own folder; ``outcome.json`` is written last, and marks the run as ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import DATABASES, database_kind
from gitxexp.common.sql import quote
from gitxexp.repository.config import Config, DeclaredHere, ProjectFolder
from gitxexp.trackers.databases import reading
from gitxexp.trackers.runs import latest_run
from gitxexp.trackers.tables import tables_of
from gitxexp.workflows.experiments import collect, describe, stores
from gitxexp.workflows.experiments.collect import Collected, RunChoice
from gitxexp.workflows.experiments.column_roles import role_rules
from gitxexp.workflows.runs import parameters
from gitxexp.workflows.runs.environment import RunContext, environment, words
from gitxexp.workflows.runs.execute import Execution, execute, processes_of
from gitxexp.workflows.runs.record import RowsFound
from gitxexp.workflows.sweeps import artifact_uris
from gitxexp.workflows.sweeps.pool import Differences, Tree, stat_of

#: Bytes of the end of a log stored with the outcome.
_TAIL = 4000
_OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Job:
    """What to run. ``tree`` is the worktree, ``folder`` receives the run's outputs, ``below`` the
    folder in the worktree that the command runs in, ``whole`` all parameters with those to set."""

    number: int
    attempt: int
    tree: Path
    folder: Path
    below: str
    command: tuple[str, ...]
    params: dict[str, Any]
    whole: dict[str, Any]
    context: RunContext
    variables: dict[str, str]
    config: Config
    timeout: float | None = None
    home: Path | None = None  #: the user's work tree, which its rows and their files come to

    @property
    def kept(self) -> Path:
        """The folder of the files that are kept, named as by :meth:`RunFolders.kept`."""
        return self.folder / "files"

    def file(self, path: str) -> Path:
        """Where the file ``path`` of the run is kept."""
        return self.kept / path.replace("%", "%25").replace("/", "%2F")


@dataclass(frozen=True)
class Kept:
    """An output of the run, now in its folder. ``role``: model, results, metrics, params or output."""

    path: str
    role: str
    size: int


@dataclass(frozen=True)
class JobOutcome:
    """The outcome of a run. ``why``: exit, timeout, stopped, or error (it could not be started)."""

    attempt: int
    code: int
    why: str
    started: float
    ended: float
    log_hash: str = ""
    log_size: int = 0
    tail: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()
    tracker: str = ""  #: the tracker that logged its rows
    tracker_run: str = ""  #: the tracker's own name of it
    results: str = ""  #: the results database that contains it
    table: str = ""
    rows: int = 0
    notes: tuple[str, ...] = ()
    beside: tuple[RowsFound, ...] = ()  #: what other trackers logged of it

    def without_rows(self, why: str) -> JobOutcome:
        """Return the outcome with its results databases only kept as files, because of ``why``."""
        kept = tuple(replace(k, role="output") if k.role == "results" else k for k in self.kept)
        return replace(self, kept=kept, tracker_run="", rows=0, beside=(),
                       notes=(*self.notes, why))  # fmt: skip

    @classmethod
    def load(cls, folder: Path) -> JobOutcome | None:
        """The outcome in a run's folder; None while there is none."""
        try:
            return cls.of(json.loads((folder / _OUTCOME).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> JobOutcome:
        """The outcome that :meth:`as_dict` gave."""
        kept = tuple(Kept(**item) for item in data.get("kept", ()))
        beside = tuple(RowsFound(**item) for item in data.get("beside", ()))
        more = {"kept": kept, "beside": beside, "notes": tuple(data.get("notes", ()))}
        return cls(**{**data, **more})

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    def save(self, folder: Path) -> None:
        """Write it into the run's folder, in one step."""
        temporary = folder / f"{_OUTCOME}.{os.getpid()}"
        temporary.write_text(json.dumps(self.as_dict()), "utf-8")
        temporary.replace(folder / _OUTCOME)


def run(
    job: Job,
    stop: Callable[[], bool],
    started: Callable[[int], None] | None = None,
    *,
    echo: bool = False,
    out: int = 1,
    tied: bool = False,
) -> JobOutcome:
    """Run the job; never raises because of the command. ``started`` receives its process group;
    ``echo``, ``out`` and ``tied`` are those of :func:`.execute.execute`."""
    if job.folder.exists():  # left by an attempt whose worker was killed
        end_processes(job.context.run)
        shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    tree = _tree(job.tree)
    try:
        tree.reset()
        files = parameters.plan(tree.top, job.config, _for_files(job))
        parameters.write(tree.top, files, durable=False)
        done = execute(
            words(job.command, job.context, job.params),
            cwd=tree.top / job.below,
            env=environment(job.context, job.variables),
            log=job.context.log,
            timeout=job.timeout,
            stop=stop,
            echo=echo,
            out=out,
            started=started,
            tied=tied,
        )
    except (XexpError, OSError) as error:
        outcome = _not_run(job, error)
    else:
        outcome = _left(job, tree, done)
    outcome.save(job.folder)
    return outcome


def end_processes(run: str) -> None:
    """Terminate what an abandoned run has left."""
    for pid in processes_of(run):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


_trees: dict[Path, Tree] = {}


def _tree(top: Path) -> Tree:
    """Return the worktree, reread only if another process sealed it; a worker outlives sweeps."""
    known = _trees.get(top)
    if known is None or known.sealed != stat_of(top.with_suffix(".json")):
        known = _trees[top] = Tree.load(top)
    return known


def _for_files(job: Job) -> dict[str, Any]:
    """The parameters that go into files: all but those used only in a word of the command."""
    names = parameters.unknown(job.tree, job.config, job.params)
    return {name: value for name, value in job.params.items() if name not in names}


def _not_run(job: Job, error: Exception) -> JobOutcome:
    import time

    now = time.time()
    text = error.message if isinstance(error, XexpError) else str(error)
    with suppress(OSError):
        job.context.log.parent.mkdir(parents=True, exist_ok=True)
        job.context.log.write_text(f"{text}\n", "utf-8")
    return JobOutcome(
        job.attempt, 127, "error", now, now, tail=text, params=job.whole, notes=(text,)
    )


def _left(job: Job, tree: Tree, done: Execution) -> JobOutcome:
    """Move the run's outputs into its folder."""
    notes: list[str] = [done.log_error] if done.log_error else []
    if not (tree.top / ".git").exists():
        notes.append("it deleted its own worktree")
    try:
        differences = tree.differences()
        place = tree.place = tree.place or ProjectFolder(tree.top, job.config.folder)
        config = job.config._replace(pipelines=_declared(tree, differences), place=place)
        collected = _collected(tree, config, differences)
        kept = tuple(_keep(job, tree, config, differences))
    except (XexpError, OSError, sqlite3.Error) as error:
        differences, collected, kept = Differences(), Collected({}, {}), ()
        notes.append(f"its results cannot be read: {error}")
    its = collected.run
    return JobOutcome(
        job.attempt,
        done.code,
        done.why,
        done.started,
        done.ended,
        done.log_hash,
        done.log_size,
        _tail(job.context.log),
        collected.params or job.whole,
        collected.metrics,
        collected.context,
        kept,
        its.tracker if its else "",
        its.id if its else "",
        os.path.relpath(its.database, tree.top) if its else "",
        its.table if its else "",
        its.rows if its else 0,
        tuple(notes),
        tuple(
            RowsFound(os.path.relpath(other.database, tree.top), part.table, part.run, part.rows)
            for other in collected.beside
            for part in other.parts
        ),
    )


def _declared(tree: Tree, found: Differences) -> DeclaredHere:
    """The pipelines of a worktree, read once as long as no run changes them."""
    changed = any(
        path.endswith((".dvc", "dvc.yaml", "dvc.lock")) for path in (*found.written, *found.removed)
    )
    if changed:
        return DeclaredHere(tree.top, tree.place)
    if tree.declared is None:
        tree.declared = DeclaredHere(tree.top, tree.place)
    return tree.declared


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _collected(tree: Tree, config: Config, found: Differences) -> Collected:
    """Parameters and metrics of this run only: from the files and databases that it wrote."""
    written = set(found.written)
    measures = config.pipelines.read.declared.metrics if config.pipelines else ()
    for name in measures:
        if name not in written:
            (tree.top / name).unlink(missing_ok=True)  # from an earlier run; a reset restores it
    sources = [name for name in written if _is_results(tree.top / name)]
    folders = {
        folder
        for name in written
        for folder in _parents(name)
        if folder.rpartition("/")[2] in ("dvclive", "mlruns")
    }
    places = (*sorted(sources), *sorted(folders))
    only = config._replace(
        metrics_files=tuple(name for name in config.metrics_files if name in written),
        results_databases=(*places, stores.ONLY),
    )
    beside = [
        (name, run.id)
        for name in (places if len(places) > 1 else ())
        if (run := latest_run(tree.top / name, None, role_rules(config)))
    ]
    return collect.collect(tree.top, only, RunChoice(beside=tuple(beside)))


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _is_results(path: Path) -> bool:
    if path.suffix.lower() not in DATABASES:
        return False
    try:
        return database_kind(path) in ("sqlite", "duckdb")
    except XexpError:
        return False


def _keep(job: Job, tree: Tree, config: Config, found: Differences) -> Iterator[Kept]:
    """Move what is worth keeping into the run's folder, and its parameter files."""
    written = set(found.written)
    for path in (*found.written, *(name for name in config.params_files if name not in written)):
        role = _role(path, tree, config)
        source = tree.top / path
        if role is None or source.is_symlink() or not source.is_file():
            continue
        if role == "results" and _is_results(source):
            _settle(source)
            _forget_name(source, job.context.run)
        target = job.file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in written:
            source.replace(target)
        else:
            shutil.copyfile(source, target)
        if role == "results" and job.home is not None:
            artifact_uris.move(target, path, tree.top, job.home)
        yield Kept(path, role, target.stat().st_size)


def _settle(database: Path) -> None:
    """Bring the rows of a ``-wal`` into the file itself."""
    if not database.with_name(f"{database.name}-wal").exists():
        return
    with suppress(sqlite3.Error), closing(sqlite.connect(database, "rw")) as db:
        db.execute("PRAGMA journal_mode = DELETE").fetchone()


def _forget_name(database: Path, run: str) -> None:
    """Clear ``{version}`` in rows: only the winner gets a version, when it is tagged."""
    try:
        if database_kind(database) != "sqlite":
            return
        tables = reading(database, tables_of)
        with closing(sqlite.connect(database, "rw")) as db:
            for table in tables:
                for column in map(quote, table.version_columns):
                    sql = f"UPDATE {quote(table.name)} SET {column} = NULL WHERE {column} = ?"
                    db.execute(sql, (run,))
    except (XexpError, sqlite3.Error):  # a NOT NULL column keeps its value
        return


def _role(path: str, tree: Tree, config: Config) -> str | None:
    """Return the role of a written file in its run; None if it is not kept."""
    if path.endswith(("-wal", "-shm", "-journal")):
        return None
    if path in config.params_files:
        return "params"
    if path in config.metrics_files:
        return "metrics"
    if config.pipelines and path in config.pipelines.read.declared.locks:
        return "output"  # it belongs to the models and metrics that it names
    if _is_results(tree.top / path) or "/mlruns/" in f"/{path}":
        return "results"
    role = describe.role(path, config)
    if role is describe.OutputRole.MODEL and _is_model(path):
        return "model"
    return "output" if path in tree.placed or role is describe.OutputRole.RESULTS else None


def _is_model(path: str) -> bool:
    return not path.endswith((".pyc", ".gitignore", ".dvc"))
