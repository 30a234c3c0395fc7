"""``import``: import runs of other trackers into the results database, each once, newer ones
replacing older."""

from __future__ import annotations

import fnmatch
import zlib
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import quote
from gitxexp.common.text import counted
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.places import has_dvc
from gitxexp.tables.plan import MergeOptions, Mode
from gitxexp.trackers.databases import Database, kind_of, reading
from gitxexp.trackers.imported_tables import KEY, RUNS, VALUES
from gitxexp.trackers.tables import all_tables
from gitxexp.workflows.experiments import stores
from gitxexp.workflows.imports import staging as stage
from gitxexp.workflows.imports.source import Progress, RunSource, SourceRun
from gitxexp.workflows.merge.inputs import (
    IncomingFile,
    MergeInputs,
    MergeJob,
    MergeSource,
    MergeStrategy,
)
from gitxexp.workflows.merge.merge import MergeRequest, merge_inputs

#: Where runs go in a repository that has no results database yet.
DEFAULT = "results/imported.db"


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and how."""

    source: RunSource
    into: str | None = None  #: the results database, from the top
    dry_run: bool = False
    commit: bool = False


@dataclass(frozen=True)
class Imported:
    """Runs in the source; of these the new and changed ones, with their values."""

    source: str
    into: str  #: the results database, from the top
    runs: int
    new: int
    changed: int
    values: int
    models: dict[str, tuple[Path, ...]]  #: run → files of models that it logged
    found: tuple[str, ...]  #: the ids of all of them
    advice: str | None = None  #: the next command
    listed: bool = True  #: whether the configuration lists the database, or the source, as results

    @property
    def unchanged(self) -> int:
        """The number of unchanged runs."""
        return self.runs - self.new - self.changed


def import_runs(
    project: Project, request: ImportRequest, progress: Progress | None = None, *, wait: bool = True
) -> Imported:
    """Import the runs of a source into the results database, as one operation.

    An interrupted import resumes where it stopped. Raises XexpError for a source that cannot be
    read.
    """
    project.recover_first(wait=wait)
    project.require_set_up()
    into = request.into or target_of(project)
    target = project.top / into
    known = digests(target)
    path = (
        project.state / "imports" / f"{zlib.crc32(f'{request.source.name} {into}'.encode()):08x}.db"
    )
    models: dict[str, tuple[Path, ...]] = {}
    with stage.staging(path, known) as staged:

        def take(run: SourceRun) -> None:
            staged.add(run)
            if run.models:
                models[run.id] = run.models

        request.source.each(take, progress)
        runs, values = staged.counts()
        seen = staged.seen
        fresh = {
            (row[0], row[1]) for row in staged.db.execute(f"SELECT origin, run_id FROM {RUNS}")
        }
    changed = len(fresh & known.keys())
    advice = None
    if runs and not request.dry_run:
        advice = _bring_in(project, request, path, into, runs, progress, wait=wait)
    if not request.dry_run:
        stage.remove(path)
    found = tuple(id for _, id in sorted(seen))
    return Imported(
        request.source.name, into, len(seen), runs - changed, changed, values, models, found, advice,
        _is_listed(project, into) or _is_listed(project, request.source.name.partition(":")[2]),
    )  # fmt: skip


def _is_listed(project: Project, into: str) -> bool:
    patterns = project.config.results_databases
    return not patterns or any(fnmatch.fnmatchcase(into, pattern) for pattern in patterns)


def _bring_in(
    project: Project,
    request: ImportRequest,
    file: Path,
    into: str,
    runs: int,
    progress: Progress | None,
    *,
    wait: bool,
) -> str | None:
    """Replace or add the runs of the staging file; return the next command."""
    top, name = project.top, request.source.name
    outputs = pointers.outputs_in(top) if has_dvc(top) else []
    output = next((one for one in outputs if one.path == into), None)
    strategy = MergeStrategy(Mode.REBASE, KEY, (RUNS, VALUES), "git xexp import")
    job = MergeJob(into, strategy, (IncomingFile(MergeSource(name, (file,)), file),), output)
    asked = MergeRequest(
        (name,),
        Mode.REBASE,
        options=MergeOptions(mode=Mode.REBASE, key=KEY, tables=(RUNS, VALUES)),
        commit=request.commit,
        message=f"Import {counted(runs, 'run')} of {name}",
    )
    return merge_inputs(project, asked, MergeInputs((job,)), "import", progress, wait=wait).advice


def target_of(project: Project) -> str:
    """Return the results database to import into, from the top: the one that already has imported
    runs, else the first configured, else the first found."""
    config, top = project.config, project.top
    found = stores.databases(top, config)
    having = [path for path in found if digests(path)]
    named = [name for name in config.results_databases if not set(name) & set("*?[")]
    for path in (*having, *(top / name for name in named), *found):
        if path.suffix.lower() in (".parquet", ".pq") or path.is_dir():
            continue
        if path.exists() and _is_foreign(path):
            continue
        inside = project.inside(path)
        if inside is not None:
            return inside
    return DEFAULT


def _is_foreign(path: Path) -> bool:
    """Whether another program's migrations check the schema of a database (MLflow's do)."""
    from gitxexp.trackers.runs import tracker_of

    try:
        return tracker_of(path) == "mlflow"
    except XexpError:
        return True


def digests(path: Path) -> dict[tuple[str, str], str]:
    """Origin and id → digest of the imported runs that a database has."""
    if kind_of(path) is None:
        return {}

    def action(database: Database) -> dict[tuple[str, str], str]:
        if not any(table.name == RUNS for table in all_tables(database)):
            return {}
        rows = database.rows(f"SELECT origin, run_id, digest FROM {quote(RUNS)}")
        return {(str(origin), str(id)): str(digest) for origin, id, digest in rows}

    return reading(path, action)
