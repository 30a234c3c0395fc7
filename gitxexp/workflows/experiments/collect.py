"""Collect an experiment: its run, parameters and metrics, from where they were written.

Precedence, weakest first: the parameter files, the parameters that ``dvc.lock`` recorded, the
tracker's run, ``-P``; and for metrics: the metrics files, the tracker's run, ``-M``. A value of the
run that a parameter file holds under a dotted name (``lr`` and ``train.lr``) takes that name.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion
from gitxexp.common.notes import note
from gitxexp.common.values import is_number, is_ordered
from gitxexp.repository.config import Config
from gitxexp.repository.config_hash import flatten
from gitxexp.repository.tag_message import Payload
from gitxexp.storage.dvc.places import readable
from gitxexp.storage.dvc.pointers import outputs_in
from gitxexp.storage.git import Git
from gitxexp.tables.rules import STAMPS
from gitxexp.trackers import runs as trackers_runs
from gitxexp.trackers.column_names import Role, role_of
from gitxexp.trackers.files import read_metrics, read_params
from gitxexp.trackers.roles import kept as kept_params
from gitxexp.trackers.run import Windows
from gitxexp.trackers.runs import find_run, latest_run
from gitxexp.trackers.times import Moment, moment
from gitxexp.workflows.experiments import describe, stores
from gitxexp.workflows.experiments.column_roles import role_rules

if TYPE_CHECKING:
    from gitxexp.trackers.run import Run


_NAME_IT = "a column of times or runs; [results] table in .xexp/config.toml can name one"


@dataclass(frozen=True)
class RunChoice:
    """Which run to take, and what the command line adds."""

    run: str | None = None
    best: str | None = None  #: the metric whose best run is taken
    among: frozenset[str] | None = None  #: the runs to choose from; None: all
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    #: false before a run: the latest one is the previous run, whose values are the defaults
    use_run: bool = True
    files_only: bool = False  #: no tracker run: only files and the command line
    ahead: bool = False  #: the parameters of the next run, not those in ``dvc.lock``
    unwritten: frozenset[str] = frozenset()  #: metrics files of an earlier run
    windows: Windows = field(default_factory=dict)  #: the rows of the run, if others share its id
    #: where the run logged, if to several places: database by path from the top, and the id there
    beside: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Collected:
    """Parameters and metrics by dotted name, their run, and notes for the user."""

    params: dict[str, Any]
    metrics: dict[str, Any]
    run: Run | None = None
    notes: tuple[str, ...] = ()
    context: dict[str, Any] = field(default_factory=dict)  #: recorded, never compared
    roles: dict[str, Role] = field(default_factory=dict)  #: of the run's columns
    beside: tuple[Run, ...] = ()  #: what the run is in other databases

    def comparable(self, before: Payload, config: Config) -> dict[str, Any]:
        """Return an experiment's parameters by today's roles and settings, including those that
        were context when it was tagged."""
        today = self.roles | dict.fromkeys(self.params, Role.PARAM)
        aside = {n: v for n, v in before.context.items() if self.roles.get(n) is Role.PARAM}
        found = kept_params({**aside, **before.params}, today)
        return {name: value for name, value in found.items() if not is_ignored(name, config)}

    def undecided(self, before: Mapping[str, Any]) -> list[str]:
        """Return numbers that may or may not be parameters and that differ from ``before``."""
        return [
            name
            for name, value in self.context.items()
            if isinstance(value, int)
            and name in before
            and before[name] != value
            and self.roles.get(name) is Role.CONTEXT
            and role_of(name) is None
        ]


def collect(top: Path, config: Config, wanted: RunChoice) -> Collected:
    """Collect one experiment of the work tree at ``top``.

    Raises XexpError if the requested run is in no results database.
    """
    chosen = _ChosenRun() if wanted.files_only else _choose(top, config, wanted)
    run, beside, notes = chosen.run, list(chosen.beside), list(chosen.notes)
    before = None
    if not wanted.use_run:
        before, run = run, None
    stale = _of_earlier_run(top, config, run) if run is not None else frozenset[str]()
    written = written_params(top, config, ahead=wanted.ahead, without=stale)
    recorded = {} if wanted.ahead else _recorded(top, config)
    params = overlay(written, recorded)
    metrics = _file_metrics(top, config, wanted.unwritten | stale)
    if run is not None:
        beside += _beside(top, config, wanted, run)
        for other in beside:  # the last writer counts most
            params = overlay(params, other.params)
            metrics = overlay(metrics, other.metrics)
        params = overlay(params, run.params)
        if run.roles.get("step") is Role.CONTEXT:  # DVCLive also counts steps in its metrics file
            metrics.pop("step", None)
        metrics = overlay(metrics, run.metrics)
        notes += run.notes
    elif before is not None:
        params = overlay(params, before.params)
    params = overlay(params, wanted.params)
    metrics = overlay(metrics, wanted.metrics)
    kept = {
        name: value
        for name, value in sorted(params.items())
        if value is not None and not is_ignored(name, config) and name not in wanted.metrics
    }
    numbers = {k: v for k, v in sorted(metrics.items()) if v is not None and k not in wanted.params}
    absent = tuple(
        f"{name} does not exist: its runs are not considered"
        for name in stores.absent_databases(top, config)
    )
    remarks = (*absent, *notes, *_edited_since(recorded, written))
    source = run or before
    roles = source.roles if source else {}
    return Collected(kept, numbers, run, remarks, _context(run), roles, tuple(beside))


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` updated with ``over``; a plain name replaces the only dotted name that ends
    in it."""
    merged = dict(base)
    for name, value in over.items():
        if name in merged or "." in name:
            merged[name] = value
            continue
        longer = [known for known in base if known.endswith(f".{name}")]
        merged[longer[0] if len(longer) == 1 else name] = value
    return merged


def all_runs(top: Path, config: Config, newest: int | None = None) -> list[Run]:
    """Every run of every results database once, newest first; with ``newest``, runs before the last
    so many of a database may be left out."""
    rules, table = role_rules(config), config.results_table or None
    paths = _having_table(stores.sources(top, config), table)
    found = [run for path in paths for run in trackers_runs.runs(path, table, rules, newest)]
    dated = [stores.dated(top, run) for run in _once(found)]
    return sorted(dated, key=_when, reverse=True)


def _once(runs: Sequence[Run]) -> list[Run]:
    """Drop the runs that another database contains completely: the parts of a merged one."""
    runs = _without_copies(runs)
    sizes = Counter(run.database for run in runs)
    by_id: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: -sizes[run.database]):
        kept = by_id.setdefault(run.id, [])
        if not any(run.database != one.database and _holds(one, run) for one in kept):
            kept.append(run)
    return [run for run in runs if any(run is one for one in by_id[run.id])]


def merged_parts(paths: Sequence[Path], config: Config) -> list[Path]:
    """Return the databases among ``paths`` whose runs are all in another one, as after ``merge -o``."""
    rules, table = role_rules(config), config.results_table or None
    if len(paths) < 2:
        return []
    found = [run for path in paths for run in trackers_runs.runs(path, table, rules)]
    whole = {run.database for run in _once(found)}
    return sorted({run.database for run in found} - whole)


def _without_copies(runs: Sequence[Run]) -> Sequence[Run]:
    """Drop the runs imported from a store that is itself read here."""
    own = {run.id for run in runs if run.tracker != "imported"}
    return [
        run
        for run in runs
        if run.tracker != "imported"
        or run.id not in own
        or run.context.get("origin") not in ("mlflow", "dvclive")
    ]


def _holds(whole: Run, part: Run) -> bool:
    """Whether a run contains all of ``part``; a tag may have stamped it since."""
    values = {k: v for k, v in part.values.items() if v is not None and k.lower() not in STAMPS}
    return all(k in whole.values and whole.values[k] == v for k, v in values.items())


def _having_table(paths: list[Path], table: str | None) -> list[Path]:
    """Return the databases that have the configured table; all if none has, to report that."""
    if table is None or len(paths) < 2:
        return paths
    return [path for path in paths if trackers_runs.has_runs(path, table)] or paths


def without_runs(top: Path, config: Config) -> list[str]:
    """Return the existing configured databases without a table of distinguishable runs."""
    if config.results_table:
        return []  # a missing database is reported separately
    paths = stores.databases(top, config) if config.results_databases else []
    return [p.relative_to(top).as_posix() for p in paths if not trackers_runs.has_runs(p, None)]


def _when(run: Run) -> Moment:
    return moment(run.ended)


def maximize(config: Config, metric: str) -> bool:
    """Whether more of ``metric`` is better: by configuration, else by its name."""
    return describe.maximize(config, metric)


@dataclass(frozen=True)
class _ChosenRun:
    """The run that is asked for, or that wrote last; what it is in other databases, where that is
    certain; and notes."""

    run: Run | None = None
    beside: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()


def _choose(top: Path, config: Config, wanted: RunChoice) -> _ChosenRun:
    rules, table = role_rules(config), config.results_table or None
    if wanted.best:
        runs = all_runs(top, config)
        if wanted.among is not None:
            runs = [run for run in runs if run.id in wanted.among]
        best, notes = _best(runs, wanted.best, maximize(config, wanted.best))
        return _ChosenRun(best, notes=tuple(notes))
    if wanted.run:
        named = _named(all_runs(top, config), wanted.run, config)
        if any((part.table, part.run) in wanted.windows for part in named.parts):
            named = find_run(named.database, named.id, table, rules, wanted.windows)
        return _ChosenRun(named)
    paths = _having_table(stores.sources(top, config), table)
    latest = [run for path in paths if (run := latest_run(path, table, rules))]
    if len(latest) > 1:
        latest = [stores.dated(top, run) for run in latest]
    # A table without times belongs to the last run, and its time is unknown.
    run = max((run for run in latest if run.ended), key=_when, default=None)
    if run is not None:  # a merged database has more runs than its parts
        same = [one for one in latest if one.id == run.id and _when(one) == _when(run)]
        if len(same) > 1:
            run = max(same, key=lambda one: len(trackers_runs.run_rows(one.database, table)))
    run = run or next(iter(latest), None)
    silent = [] if run else without_runs(top, config)
    notes = [f"{name} has no table with {_NAME_IT}" for name in silent]
    others = [one for one in latest if run and one.database != run.database and _together(one, run)]
    beside = [one for one in others if run and one.id == run.id]
    for one in others:
        if one not in beside:
            name = one.database.relative_to(top).as_posix()
            notes.append(
                f"{name} has run {one.id} of the same time, whose values are not taken: git xexp run"
                " takes all that one command logs"
            )
    return _ChosenRun(run, tuple(beside), tuple(notes))


#: Seconds between the last rows of one run in two databases.
_APART = 60


def _together(one: Run, other: Run) -> bool:
    """Whether two runs were active at the same time or, under one id, shortly after another."""
    own, its = ([moment(run.started or run.ended), moment(run.ended)] for run in (one, other))
    if any(time.rank < 2 for time in (*own, *its)):
        return False
    if own[0] <= its[1] and its[0] <= own[1]:
        return True
    return one.id == other.id and abs(own[1].seconds - its[1].seconds) < _APART


def _beside(top: Path, config: Config, wanted: RunChoice, run: Run) -> list[Run]:
    """Return what ``run`` is called in other databases, or in tables that are not joined with its own."""
    rules, table = role_rules(config), config.results_table or None
    found = []
    for name, id in wanted.beside:
        path = top / name
        if path != run.database or not run.named(id):
            found.append(
                find_run(path, id, table if path.is_file() else None, rules, wanted.windows)
            )
    return found


def _named(runs: Sequence[Run], name: str, config: Config) -> Run:
    exact = [run for run in runs if run.id == name]
    matching = exact or [run for run in runs if run.id.startswith(name)]
    if len(matching) == 1 or exact:
        return matching[0]
    if matching:
        ids = ", ".join(run.id for run in matching[:5])
        raise XexpError(f"run '{name}' is ambiguous: {ids}", "give more of its id")
    if not runs:
        where = ", ".join(config.results_databases) or "no database has any"
        raise XexpError(
            f"no run '{name}': there are no runs ({where})",
            "train first, or fetch the results: dvc pull\n"
            "if they are elsewhere, set [results] databases in .xexp/config.toml",
        )
    known = [run.id for run in runs]
    newest = f"the newest runs are: {', '.join(known[:3])}"
    raise XexpError(f"no run '{name}' in the results", suggestion(name, known, newest))


def _best(runs: Sequence[Run], metric: str, most: bool) -> tuple[Run, list[str]]:
    ranked = [run for run in runs if is_ordered(run.metrics.get(metric))]
    if not ranked:
        known = sorted({name for run in runs for name in run.metrics})
        rest = f"the metrics of the runs are: {', '.join(known) or 'none'}"
        raise XexpError(
            f"no run has a value for metric '{metric}'", suggestion(metric, known, rest)
        )
    pick = max if most else min
    top_value = pick(run.metrics[metric] for run in ranked)
    best = [run for run in ranked if run.metrics[metric] == top_value]
    notes = []
    if len(best) > 1:
        others = ", ".join(run.id for run in best[1:4])
        notes.append(f"{metric}={top_value} is shared by {others}; took the newest, {best[0].id}")
    return best[0], notes


#: Sections of a parameter file with settings of this program or notes: not parameters.
_NO_PARAMS = ("experiment.version", "experiment.description", "merge.*", "sweep.*")


def params_today(params: Mapping[str, Any], run: Run, config: Config) -> dict[str, Any]:
    """Return those recorded parameters of a run that are parameters by today's roles and settings."""
    found = kept_params(params, run.roles)
    return {name: value for name, value in found.items() if not is_ignored(name, config)}


def is_ignored(name: str, config: Config) -> bool:
    """Whether a name in a parameter file is not a parameter."""
    ignored = (*_NO_PARAMS, *config.params_ignore)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in ignored)


#: Longer texts of context stay in the database.
_LONGEST_CONTEXT = 200


def _context(run: Run | None) -> dict[str, Any]:
    """Return the context of a run that fits in a tag."""
    return {
        name: value
        for name, value in sorted(run.context.items() if run else ())
        if isinstance(value, bool | int | float)
        or (isinstance(value, str) and 0 < len(value) <= _LONGEST_CONTEXT)
    }


def _of_earlier_run(top: Path, config: Config, run: Run) -> frozenset[str]:
    """The parameter and metrics files that DVCLive wrote in a run before ``run`` started."""
    declared = config.pipelines.read.declared.params if config.pipelines else ()
    names = (*config.params_files, *(name for name, _ in declared), *metrics_files(config))
    folders = {name.rpartition("/")[0] for name in names if "dvclive" in name.split("/")[:-1]}
    found: list[Path] = []
    for path in (top / folder for folder in folders if run.started):
        if path != run.database and path.is_dir() and trackers_runs.has_runs(path):
            other = latest_run(path)
            if other is not None and _when(stores.dated(top, other)) < moment(run.started):
                found += trackers_runs.files_of(other)
    return frozenset(path.relative_to(top).as_posix() for path in found)


def written_params(
    top: Path, config: Config, *, ahead: bool = False, without: Container[str] = ()
) -> dict[str, Any]:
    """Read the parameter files: the configured ones, and those in ``dvc.yaml``, except those in
    ``without``; ``ahead`` of a run without what DVCLive wrote in the last one."""
    params: dict[str, Any] = {}
    files: dict[str, tuple[str, ...]] = dict.fromkeys(config.params_files, ())
    declared = config.pipelines.read.declared.params if config.pipelines else ()
    for name, keys in (*files.items(), *(pair for pair in declared if pair[0] not in files)):
        if name in without or (ahead and "dvclive" in name.split("/")):
            continue
        file = readable(top, name)
        if file is not None and file.is_file() and not (name not in files and _is_python(name)):
            values = flatten(read_params(file))
            params |= {k: v for k, v in values.items() if not keys or _is_below(k, keys)}
    return params


def _is_python(name: str) -> bool:
    return name.endswith(".py")


def _is_below(name: str, keys: tuple[str, ...]) -> bool:
    return any(name == key or name.startswith(f"{key}.") for key in keys)


def _recorded(top: Path, config: Config) -> dict[str, Any]:
    """Read the parameters that the stages of each ``dvc.lock`` ran with."""
    params: dict[str, Any] = {}
    for name in config.pipelines.read.declared.locks if config.pipelines else ("dvc.lock",):
        lock = readable(top, name)
        stages = read_params(lock).get("stages") if lock is not None and lock.is_file() else None
        for stage in stages.values() if isinstance(stages, dict) else ():
            values = stage.get("params") if isinstance(stage, dict) else None
            for written in values.values() if isinstance(values, dict) else ():
                params |= flatten(written) if isinstance(written, dict) else {}
    return params


def _edited_since(recorded: Mapping[str, Any], written: Mapping[str, Any]) -> list[str]:
    """Return a note on parameters edited after the pipeline ran."""
    edited = [n for n, value in recorded.items() if n in written and written[n] != value]
    if not edited:
        return []
    name = edited[0]
    more = f" (and {len(edited) - 1} more)" if edited[1:] else ""
    ran, now = (f"{name}={values[name]}" for values in (recorded, written))
    return [f"the pipeline ran with {ran}, the file has {now}{more}: dvc repro"]


def _file_metrics(top: Path, config: Config, without: Container[str] = ()) -> dict[str, Any]:
    """Read the numbers in metrics files: the configured ones, then those that a pipeline declares,
    except those in ``without``.

    A name in several declared files is qualified by the file, even if the values are equal.
    """
    metrics: dict[str, Any] = {}
    for name in config.metrics_files:
        file = readable(top, name) if name not in without else None
        if file is not None and file.is_file():
            metrics |= flatten(read_metrics(file))
    others = config.pipelines.read.declared.metrics if config.pipelines else ()
    by_file = {
        name: _declared_metrics(top, name)
        for name in others
        if name not in config.metrics_files and name not in without
    }
    files = Counter(metric for numbers in by_file.values() for metric in numbers)
    for name, numbers in by_file.items():
        stem = name.rpartition(".")[0].replace("/", ".")
        for metric, value in numbers.items():
            metrics[metric if files[metric] == 1 else f"{stem}.{metric}"] = value
    # The NaN of a run that diverged is a number.
    return {name: value for name, value in metrics.items() if is_number(value)}


def metrics_files(config: Config) -> list[str]:
    """The metrics files by path from the top: the configured ones, and those that a pipeline declares."""
    declared = config.pipelines.read.declared.metrics if config.pipelines else ()
    return list(dict.fromkeys((*config.metrics_files, *declared)))


def _declared_metrics(top: Path, name: str) -> dict[str, Any]:
    """The numbers of one declared file; none, with a note, if it is on record and missing here, or if
    it is not a table of numbers."""
    file = readable(top, name)
    if file is None:
        return {}
    if not file.is_file():
        if _is_on_record(top, name):
            note(f"{name} is declared as metrics and is not here: dvc pull")
        return {}
    try:
        return {k: v for k, v in flatten(read_metrics(file)).items() if is_number(v)}
    except XexpError as error:
        note(f"{error.message}; it is declared as metrics")
        return {}


def _is_on_record(top: Path, name: str) -> bool:
    """Whether DVC, in a pointer of the work tree, or git has the file: else nothing has made it yet."""
    try:
        outputs = [out for out in outputs_in(top) if out.hash or out.files]
    except XexpError:  # whatever needs the pointers will say so
        return True
    return any(out.holds(name) for out in outputs) or Git(top).tracks(name)
