"""Lists of experiments or runs: which rows, in which order, with which columns."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common.errors import XexpError, suggestion
from gitxexp.repository.config import Config
from gitxexp.repository.config_hash import same_value
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment, Tags
from gitxexp.repository.version import NamedVersion, parse
from gitxexp.trackers import column_names
from gitxexp.trackers.column_names import Role
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.explore import filters, rows
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row

if TYPE_CHECKING:
    from gitxexp.repository.tag_message import Payload
    from gitxexp.workflows.runs.record import RunRecord

#: The roles that a recorded metric may have today: None is that of what is in a file only.
_MEASURED = (Role.METRIC, None)
#: Default number of parameter columns in a listing.
_MOST_PARAMS = 6


class ListQuery(NamedTuple):
    """What to list. ``columns`` () means the usual ones; names after a ``+`` are added to them."""

    sort: str | None = None
    reverse: bool = False
    filter: str | None = None
    labels: tuple[str, ...] = ()
    limit: int | None = None
    columns: tuple[str, ...] = ()
    runs: bool = False  #: the runs of the results databases instead of experiments
    where: str | None = None  #: a condition in SQL
    all_projects: bool = False  #: include every project of the repository
    names: tuple[str, ...] = ()  #: only these: versions, runs, config-hash prefixes, revisions

    @property
    def plain(self) -> bool:
        """Whether it only needs the first experiments, in their existing order."""
        chosen = self.labels or self.names or self.runs
        ordered = self.filter is None and self.where is None and self.sort is None
        return self.limit is not None and ordered and not chosen


class ListColumn(NamedTuple):
    """One column: what it is, and its value in every row."""

    name: ColumnName
    values: Sequence[Any]
    maximize: bool | None = None  #: whether more is better; None if not applicable

    @property
    def best(self) -> frozenset[int]:
        """The rows with the best value, computed on demand."""
        if self.maximize is None:
            return frozenset()
        return best_places(self.values, maximize=self.maximize)


class ExperimentList(NamedTuple):
    """Rows in order, and columns in order. ``total`` counts rows before the limit."""

    rows: Sequence[Row]
    columns: Sequence[ListColumn]
    total: int
    hint: str = ""  #: set if a requested name looks like another


def list_experiments(project: Project, query: ListQuery) -> ExperimentList:
    """Return the rows that ``query`` selects; raises XexpError for an unknown name or an invalid
    filter."""
    named = map(parse, query.names)
    others = any(version and version.prefix not in ("", project.prefix) for version in named)
    project.every_project = query.all_projects or others
    later = project.tags_later()
    config = project.config
    tags = later()
    if query.plain and (found := _newest(tags, query, config)) is not None:
        return found
    known = tags.experiments
    every = _runs(project, known) if query.runs else list(map(rows.of_experiment, known))
    return listing(every, query, config, _named(project, every, query.names, tags))


def listing(
    every: Sequence[Row], query: ListQuery, config: Config, kept: Sequence[Row] | None = None
) -> ExperimentList:
    """Return those of the rows ``every`` (or of the subset ``kept``) that ``query`` selects,
    ignoring its ``names`` and ``runs``; raises as :func:`list_experiments` does."""
    names = ColumnNames(every)
    kept, asked = every if kept is None else kept, list[ColumnName]()
    if query.filter is not None:
        kept, asked = rows.select(kept, query.filter, names)
    if query.where is not None:
        from gitxexp.workflows.explore import where  # late: imports DuckDB

        kept = where.select(kept, query.where, names)
    hints = [_similar_label(label, every) for label in query.labels]
    for label in query.labels:
        kept = [row for row in kept if label in (row.field("label") or ())]
    if query.sort is not None:
        key = names.find(query.sort)
        asked.append(key)
        kept = in_order(kept, key, config, reverse=query.reverse)
    elif query.reverse:
        kept = kept[::-1]
    kept = kept[: query.limit]
    chosen = choose_columns(kept, names, query, asked, config)
    shown = [_shown(kept, name, config) for name in chosen]
    return ExperimentList(kept, shown, len(every), next(filter(None, hints), ""))


def every_row(project: Project, *, runs: bool, newest: int | None = None) -> list[Row]:
    """Every experiment, or every run, newest first; with ``newest``, at least so many."""
    later = project.tags_later()
    _ = project.config  # while git answers
    if runs:
        return _runs(project, later().experiments, newest)
    return list(map(rows.of_experiment, later().newest(newest) if newest else later().experiments))


def _newest(tags: Tags, query: ListQuery, config: Config) -> ExperimentList | None:
    """Return the list of the first experiments, without reading others; None if a requested column
    is in none of them."""
    found = tags.oldest(query.limit) if query.reverse else tags.newest(query.limit)
    kept = list(map(rows.of_experiment, found))
    names = ColumnNames(kept)
    try:
        chosen = choose_columns(kept, names, query, [], config)
    except XexpError:
        return None
    return ExperimentList(kept, [_shown(kept, name, config) for name in chosen], tags.count)


def _named(
    project: Project, every: Sequence[Row], names: Sequence[str], tags: Tags
) -> Sequence[Row]:
    """Return the rows that ``names`` refer to; raises XexpError for an unknown one."""
    if not names:
        return every
    from gitxexp.workflows.experiments.resolve import (
        resolve,  # late: a list of all does not need it
    )

    kept: dict[int, Row] = {}
    for name in names:
        found = {at: row for at, row in enumerate(every) if _is_named(row, name)}
        if not found:
            there = resolve(project, name, tags).experiment
            found = {at: row for at, row in enumerate(every) if there and row.experiment == there}
        kept |= found
    return [kept[at] for at in sorted(kept)]


def _is_named(row: Row, name: str) -> bool:
    run, hash_ = str(row.field("run") or ""), str(row.field("config_hash") or "")
    if name in (row.field("version"), run):
        return True
    if len(name) < 4:
        return False
    digits = name.removeprefix("sha256:").lower()
    return run.startswith(name) or (len(digits) > 3 and hash_.startswith(f"sha256:{digits}"))


def _similar_label(label: str, known: Sequence[Row]) -> str:
    """Return a hint if no row has the label."""
    labels = list(dict.fromkeys(each for row in known for each in row.field("label") or ()))
    return "" if label in labels else suggestion(label, labels) or ""


def _runs(project: Project, known: Sequence[Experiment], newest: int | None = None) -> list[Row]:
    """The runs of this work tree's results databases, and those that ``run`` and ``sweep``
    recorded, newest first, with their versions; with ``newest``, at least so many per database."""
    from gitxexp.trackers.times import moment
    from gitxexp.workflows.experiments import (
        collect,  # late: imports database readers, which a list of tags does not need
    )

    tagged = {e.payload.run: e for e in reversed(known) if e.payload.run}
    by_hand = {e.name: e for e in known if e.payload.handwritten}  # their runs name the version
    from gitxexp.workflows.runs import (
        record,  # late: imports the registry, which a list of tags does not need
    )

    records = record.read(project)
    by_run: dict[str, list[record.RunRecord]] = {}
    for one in records:
        for found in {found.run for found in one.tables}:
            by_run.setdefault(found, []).append(one)
    by_version = {e.name: e for e in known}
    runs = []
    seen = set()
    relative = cache(project.shown)
    for run in collect.all_runs(project.top, project.config, newest):
        own = by_run.get(run.id, [])
        if len(own) > 1:  # keep each run's own: the rows belong to several
            continue
        experiment = tagged.get(run.id) or by_hand.get(run.declared_version or "")
        if experiment is None and own and own[0].is_one:  # in another table than the run tagged
            experiment = by_version.get(own[0].version)
        when = moment(run.ended)
        fields = {
            "run": run.id,
            "version": experiment.name if experiment else (run.versions or (None,))[-1],
            "date": when.seconds if when.rank == 2 else _ended(own),
            "label": experiment.payload.labels if experiment else (),
            "text": experiment.payload.text or None if experiment else None,
            "commit": run.commits[-1] if run.commits else None,
            "rows": run.rows,
            "results": relative(run.database),
            **_of_record(own[0] if own else None),
        }
        seen |= {part.run for part in run.parts} | {run.id}
        params, metrics = run.params, run.metrics
        if said := _said(own, tagged.get(run.id)):  # also what is in files only
            params = collect.overlay(collect.params_today(said.params, run, project.config), params)
            measured = {n: v for n, v in said.metrics.items() if run.roles.get(n) in _MEASURED}
            metrics = collect.overlay(measured, metrics)
        runs.append(Row(params, metrics, experiment, fields, run))
    for one in records:
        if not seen.intersection(found.run for found in one.tables):
            runs.append(_recorded(one, by_version.get(one.version) or tagged.get(one.name)))
    if not records:
        return runs
    return sorted(runs, key=lambda row: -(row.field("date") or 0.0))


def _said(own: Sequence[RunRecord], tagged: Experiment | None) -> RunRecord | Payload | None:
    """Return what holds all parameters and metrics of a run: its record, else its tag."""
    if own:
        return own[0] if own[0].is_one else None
    return tagged.payload if tagged else None


def _ended(own: Sequence[RunRecord]) -> float | None:
    """When a run ended of which the tracker has no time."""
    from gitxexp.workflows.runs import record  # late, as above

    return record.seconds_of(own[0].ended or own[0].started) if own else None


def _of_record(one: RunRecord | None) -> dict[str, Any]:
    """Return the fields of a run that are only in its record."""
    if one is None:
        return dict.fromkeys(("record", "status", "took", "command", "sweep"))
    command = " ".join(map(shlex.quote, one.command))
    return {
        "record": one.id,
        "status": one.status,
        "took": one.seconds,
        "command": command or None,
        "sweep": one.sweep or None,
    }


def _recorded(one: RunRecord, experiment: Experiment | None) -> Row:
    """Return the row of a run that is not in the results."""
    from gitxexp.workflows.runs import record  # late, as above

    fields = {
        "run": one.name,
        "version": one.version or None,
        "date": record.seconds_of(one.ended or one.started),
        "label": experiment.payload.labels if experiment else (),
        "text": experiment.payload.text or None if experiment else None,
        "commit": one.run_commit or None,
        "rows": sum(found.rows for found in one.tables),
        "results": next((found.database for found in one.tables), None),
        **_of_record(one),
    }
    return Row(one.params, one.metrics, experiment, fields)


# -- order ---------------------------------------------------------------------------------------


def in_order(kept: Sequence[Row], key: ColumnName, config: Config, *, reverse: bool) -> list[Row]:
    """Sort best, newest or highest version first, parameters and texts ascending; missing values
    last.

    Rows that are equal keep their order, newest first.
    """
    down = reverse != _downwards(key, config)
    present = [(order, row) for row in kept if (order := _order(key, row)) is not None]
    absent = [row for row in kept if _order(key, row) is None]
    present.sort(key=lambda pair: pair[0], reverse=down)
    return [*(row for _, row in present), *absent]


def _downwards(key: ColumnName, config: Config) -> bool:
    if key.kind == "metric":
        return column_names.maximize(key.name, directions(config))
    return key.kind == "field" and key.name in ("date", "version", "rows")


def directions(config: Config) -> dict[str, bool]:
    """The configured directions: metric → whether more is better."""
    return dict.fromkeys(config.metrics_maximize, True) | dict.fromkeys(
        config.metrics_minimize, False
    )


def _order(key: ColumnName, row: Row) -> tuple[Any, ...] | None:
    """Return a sort key, numbers before texts; None for a missing value."""
    value = key.value(row)
    if key.kind == "field" and key.name == "version":
        return version_order(value)
    if key.kind == "field" and key.name == "label":
        return (1, ", ".join(value)) if value else None
    if filters.missing(value):
        return None
    amount = filters.number(value)
    return (0, amount) if amount is not None else (1, filters.as_text(value))


def version_order(value: Any) -> tuple[Any, ...] | None:
    """Return a sort key for versions; None for anything else."""
    version = parse(value) if isinstance(value, str) else None
    if version is None:
        return None
    if isinstance(version, NamedVersion):
        return (0, version.prefix, version.name, version.number)
    return (1, version.prefix, version.major, version.minor, version.patch)


# -- columns -------------------------------------------------------------------------------------


def choose_columns(
    kept: Sequence[Row],
    names: ColumnNames,
    query: ListQuery,
    asked: Sequence[ColumnName],
    config: Config,
) -> list[ColumnName]:
    """Return the columns of a list: those that ``query`` names, or the defaults plus those
    ``asked`` for."""
    wanted = [names.find(name) for name in query.columns if not name.startswith("+")]
    added = [names.find(name[1:]) for name in query.columns if name.startswith("+")]
    if wanted:
        return list(dict.fromkeys([*wanted, *added]))
    params = _varying_params(kept, names, config)
    metrics = [
        ColumnName("metric", name)
        for name in describe.key_metrics(dict.fromkeys(names.metrics), config)
    ]
    params += [name for name in (*asked, *added) if name.kind == "param"]
    metrics = [*(name for name in asked if name.kind == "metric"), *metrics]
    metrics += [name for name in added if name.kind == "metric"]
    first = ["run", "version", "date"] if query.runs else ["version", "date"]
    if query.runs and any(row.field("status") for row in kept):
        first.insert(2, "status")
    last = ("text",) if query.runs else ("data", "text")
    last = (*(name.name for name in (*asked, *added) if name.kind == "field"), *last)
    fields = [[ColumnName("field", name) for name in group] for group in (first, last)]
    return list(dict.fromkeys([*fields[0], *params, *metrics, *fields[1]]))


def _varying_params(kept: Sequence[Row], names: ColumnNames, config: Config) -> list[ColumnName]:
    """Return the parameters that differ between these rows, most distinctive first."""
    varying = [name for name in names.params if _varies(kept, name)]
    key = [describe.find_param(dict.fromkeys(varying), name) for name in config.params_key]
    ordered = [name for name in key if name] + column_names.key_params_order(varying)
    return [ColumnName("param", name) for name in list(dict.fromkeys(ordered))[:_MOST_PARAMS]]


def _varies(kept: Sequence[Row], name: str) -> bool:
    first = None
    for row in kept:
        value = row.params.get(name)
        if value is None and column_names.has_aliases(name):
            value = ColumnName("param", name).value(row)
        if value is None:
            continue
        if first is None:
            first = value
        elif value != first and not same_value(value, first):
            return True
    return False


def _shown(kept: Sequence[Row], name: ColumnName, config: Config) -> ListColumn:
    values = rows.column(kept, name)
    if name.kind != "metric":
        return ListColumn(name, values)
    return ListColumn(name, values, column_names.maximize(name.name, directions(config)))


def best_places(values: Iterable[Any], *, maximize: bool) -> frozenset[int]:
    """Return the indices of the best value; none if all are equal."""
    numbers = [
        (n, at) for at, value in enumerate(values) if (n := filters.number(value)) is not None
    ]
    if len({amount for amount, _ in numbers}) < 2:
        return frozenset()
    top = (max if maximize else min)(amount for amount, _ in numbers)
    return frozenset(at for amount, at in numbers if amount == top)
