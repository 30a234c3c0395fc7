"""Compare experiments side by side: parameters, metrics, artifacts and code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.repository.config_hash import same_value
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import ChangeKind, status
from gitxexp.storage.dvc.places import has_dvc
from gitxexp.storage.git import Git, GitError
from gitxexp.trackers import column_names
from gitxexp.workflows.experiments import code_hash, describe
from gitxexp.workflows.explore import filters
from gitxexp.workflows.explore.query import best_places, directions

if TYPE_CHECKING:
    from gitxexp.workflows.checks.intervals import Interval
    from gitxexp.workflows.checks.sample import Sample

#: In place of the hash of a database that is being written to.
UNWRITTEN = "md5:(open)"


class ComparedSide(NamedTuple):
    """One of the two. ``commit`` None is the work tree; ``partial``: its tag is incomplete."""

    name: str
    commit: str | None
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    artifacts: Mapping[str, str]
    run: str = ""
    partial: bool = False


class ValueChange(NamedTuple):
    """A parameter or artifact that differs; None means absent."""

    name: str
    before: Any
    after: Any


class MetricChange(NamedTuple):
    """A metric of either side. ``relative`` is a fraction of the value before; ``better`` is None
    if nothing changed or there is nothing to compare. ``low`` to ``high`` is the 95% interval of
    ``delta``, if the rows of both are here and allow one; if it contains 0, the change may be
    noise."""

    name: str
    before: Any
    after: Any
    delta: float | int | None
    relative: float | None
    better: bool | None
    low: float | None = None
    high: float | None = None

    @property
    def noise(self) -> bool:
        """Whether the interval of the difference contains 0."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


class CodeFileChange(NamedTuple):
    """A code file that differs; line counts are None for a binary file, or if it was not ``fetched``
    by a partial clone."""

    path: str
    added: int | None
    deleted: int | None
    fetched: bool = True

    @property
    def uncounted(self) -> str:
        """Why there are no line counts; "" if there are."""
        if not self.fetched:
            return "not fetched"
        return "binary" if self.added is None or self.deleted is None else ""


class Comparison(NamedTuple):
    """The differences in ``after``. ``metrics`` has all metrics, the other fields only changes."""

    before: ComparedSide
    after: ComparedSide
    params: Sequence[ValueChange]
    metrics: Sequence[MetricChange]
    artifacts: Sequence[ValueChange]
    files: Sequence[CodeFileChange]

    @property
    def different(self) -> bool:
        """Whether anything at all differs."""
        metrics = any(not _same(d.before, d.after) for d in self.metrics)
        return bool(self.params or metrics or self.artifacts or self.files)


def of_experiment(project: Project, experiment: Experiment) -> ComparedSide:
    """A tagged experiment; the artifacts that its tag does not name are read from its commit."""
    payload = experiment.payload
    artifacts: Mapping[str, str] = payload.artifacts
    if payload.handwritten:
        outputs = pointers.outputs_here(project.git, experiment.commit) or []
        artifacts = pointers.contents(outputs)
    return ComparedSide(experiment.name, experiment.commit, payload.params, payload.metrics, artifacts,
                payload.run, payload.handwritten)  # fmt: skip


def of_work_tree(project: Project) -> ComparedSide:
    """The work tree as it is: its files, and the latest run of its results databases."""
    top = project.top
    from gitxexp.workflows.experiments import (
        collect,  # late: imports database readers, which two tags do not need
    )

    collected = collect.collect(top, project.config, collect.RunChoice())
    outputs = project.outputs() if has_dvc(top) else []
    artifacts = pointers.contents(outputs)
    for change in status(top, outputs, project.stat_cache, project.progress) if outputs else []:
        if change.kind is not ChangeKind.MISSING:  # an output that is not checked out is unchanged
            artifacts[change.output.path] = change.actual or UNWRITTEN
    run = collected.run.id if collected.run else ""
    return ComparedSide("work tree", None, collected.params, collected.metrics, artifacts, run)


def compare(project: Project, before: ComparedSide, after: ComparedSide) -> Comparison:
    """Everything that differs between the two."""
    top = project.commits
    return Comparison(
        before,
        after,
        param_changes(before, after),
        sure(project, before, after, deltas(project, before.metrics, after.metrics)),
        _changes(before.artifacts, after.artifacts),
        [
            file
            for file in _files(top, before, after)
            if code_hash.is_code(file.path, project.config)
        ],
    )


def param_changes(before: ComparedSide, after: ComparedSide) -> list[ValueChange]:
    """The parameters that differ. Of a handwritten tag only the parameters that it names are
    compared."""
    changes: dict[str, ValueChange] = {}
    for name, old in before.params.items():
        full = describe.find_param(after.params, name) or name
        changes[full] = ValueChange(full, old, after.params.get(full))
    for name, new in after.params.items():
        if name not in changes:
            full = describe.find_param(before.params, name) or name
            changes[name] = ValueChange(name, before.params.get(full), new)
    changed = [
        c
        for c in changes.values()
        if not same_value(c.before, c.after)
        and not (before.partial and c.before is None)
        and not (after.partial and c.after is None)
    ]
    order = column_names.key_params_order(sorted(c.name for c in changed))
    return sorted(changed, key=lambda change: order.index(change.name))


def deltas(
    project: Project, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[MetricChange]:
    """Every metric of either side, the primary one first."""
    # Use the later side's name if the two sides name the same metric differently.
    old = {n if n in after else column_names.alias_in(after, n) or n: n for n in before}
    names = sorted({*old, *after})
    primary = describe.primary_metric(names, project.config)
    ordered = [*([primary] if primary else []), *column_names.key_metrics_order(names)]
    known = directions(project.config)
    found = []
    for name in dict.fromkeys(ordered):
        value = before.get(old.get(name, name))
        found.append(_delta(name, value, after.get(name), column_names.maximize(name, known)))
    return found


def sure(
    project: Project, before: ComparedSide, after: ComparedSide, found: list[MetricChange]
) -> list[MetricChange]:
    """Return the changes, with intervals where the rows in the results allow them."""
    changed = [one for one in found if one.delta]
    if not changed or before.run == after.run != "":
        return found
    old = _samples(project, before, {one.name: one.before for one in changed})
    new = _samples(project, after, {name: after.metrics[name] for name in old})
    return [_with_interval(one, old.get(one.name), new.get(one.name)) for one in found]


def _samples(project: Project, side: ComparedSide, metrics: Mapping[str, Any]) -> dict[str, Sample]:
    """Return the samples of ``metrics`` from the rows of a side, by name."""
    from gitxexp.workflows.checks import differences  # late: it reads databases

    version = side.name if side.commit else ""
    return differences.samples(project, differences.RecordedRun(side.run, version, metrics))


def _with_interval(
    change: MetricChange, before: Sample | None, after: Sample | None
) -> MetricChange:
    if before is None or after is None or not change.delta:
        return change
    from gitxexp.workflows.checks import sample

    interval = sample.difference(after, before)
    return change._replace(low=interval.low, high=interval.high)


def _delta(name: str, before: Any, after: Any, maximize: bool) -> MetricChange:
    old, new = filters.number(before), filters.number(after)
    if old is None or new is None:
        return MetricChange(name, before, after, None, None, None)
    delta = new - old if math.isfinite(old) or new != old else 0
    relative = delta / abs(old) if old and math.isfinite(old) else None
    better = (delta > 0) is maximize if delta else None
    return MetricChange(name, before, after, delta, relative, better)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ValueChange]:
    names = sorted({*before, *after})
    return [
        ValueChange(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)
    ]


# -- several --------------------------------------------------------------------------------------


class ValueRow(NamedTuple):
    """A parameter or artifact that differs between experiments; None if absent."""

    name: str
    values: Sequence[Any]


class MetricRow(NamedTuple):
    """A metric in each of several: its values, the 95% intervals where rows allow them, the indices
    of the best, and the change of each further one from the first."""

    name: str
    values: Sequence[Any]
    intervals: Sequence[Interval | None]
    best: frozenset[int]
    changes: Sequence[MetricChange]


class FileRow(NamedTuple):
    """A code file, and the change of each further experiment from the first; None if unchanged."""

    path: str
    changes: Sequence[CodeFileChange | None]


class SideBySide(NamedTuple):
    """Several experiments in columns, each compared with the first.

    ``metrics`` has all metrics, the other fields only what differs.
    """

    sides: Sequence[ComparedSide]
    params: Sequence[ValueRow]
    metrics: Sequence[MetricRow]
    artifacts: Sequence[ValueRow]
    files: Sequence[FileRow]

    @property
    def different(self) -> bool:
        """Whether anything at all differs."""
        metrics = any(not _same(row.values[0], one) for row in self.metrics for one in row.values)
        return bool(self.params or metrics or self.artifacts or self.files)


def side_by_side(project: Project, sides: Sequence[ComparedSide]) -> SideBySide:
    """Return everything that differs between any of ``sides`` (at least one)."""
    top = project.commits
    files = [_files(top, sides[0], side) for side in sides[1:]]
    paths = sorted({file.path for changed in files for file in changed})
    by_path = [{file.path: file for file in changed} for changed in files]
    return SideBySide(
        sides,
        _param_rows(sides),
        _metric_rows(project, sides),
        _artifact_rows(sides),
        [
            FileRow(path, [changed.get(path) for changed in by_path])
            for path in paths
            if code_hash.is_code(path, project.config)
        ],
    )


def _names(
    each: Iterable[Mapping[str, Any]], find: Callable[[dict[str, None], str], str | None]
) -> dict[str, None]:
    """Return all names in order; names spelled differently (``find``) appear as in the first."""
    names: dict[str, None] = {}
    for values in each:
        for name in values:
            other = find(names, name)
            if other is None or other in values:
                names[name] = None
    return names


def _param_rows(sides: Sequence[ComparedSide]) -> list[ValueRow]:
    names = _names([side.params for side in sides], describe.find_param)
    rows = []
    for name in column_names.key_params_order(names):
        values = [side.params.get(describe.find_param(side.params, name) or name) for side in sides]
        # Of a handwritten tag only the parameters that it names are compared.
        told = [
            v for side, v in zip(sides, values, strict=True) if v is not None or not side.partial
        ]
        if any(not same_value(told[0], value) for value in told):
            rows.append(ValueRow(name, values))
    return rows


def _metric_rows(project: Project, sides: Sequence[ComparedSide]) -> list[MetricRow]:
    names = _names([side.metrics for side in sides], column_names.alias_in)
    spelled = [
        {
            name: name if name in s.metrics else column_names.alias_in(s.metrics, name)
            for name in names
        }
        for s in sides
    ]
    table = [
        {name: s.metrics.get(own[name] or name) for name in names}
        for s, own in zip(sides, spelled, strict=True)
    ]
    known = [_samples(project, side, row) for side, row in zip(sides, table, strict=True)]
    primary = describe.primary_metric(names, project.config)
    ordered = [*([primary] if primary else []), *column_names.key_metrics_order(names)]
    found = []
    for name in dict.fromkeys(ordered):
        maximize = column_names.maximize(name, directions(project.config))
        values = [row[name] for row in table]
        changes = [
            _with_interval(
                _delta(name, values[0], value, maximize), known[0].get(name), one.get(name)
            )
            for value, one in zip(values[1:], known[1:], strict=True)
        ]
        own = [one[name].interval if name in one else None for one in known]
        best = best_places(values, maximize=maximize)
        found.append(MetricRow(name, values, own, best, changes))
    return found


def _artifact_rows(sides: Sequence[ComparedSide]) -> list[ValueRow]:
    rows = (
        ValueRow(path, [side.artifacts.get(path) for side in sides])
        for path in sorted({path for side in sides for path in side.artifacts})
    )
    return [row for row in rows if len(set(row.values)) > 1]


# -- code ----------------------------------------------------------------------------------------


def _revs(before: ComparedSide, after: ComparedSide) -> list[str]:
    """The arguments of ``git diff`` for two sides, in their order."""
    if before.commit is None:
        return ["-R", after.commit or "HEAD"]
    return [before.commit, *([after.commit] if after.commit else [])]


def _files(git: Git, before: ComparedSide, after: ComparedSide) -> list[CodeFileChange]:
    if before.commit == after.commit:
        return []
    changed = ("diff", "--no-ext-diff", "--no-renames", "-z", *_revs(before, after))
    try:
        fields = git.fields(*changed, "--numstat", "--")
    except GitError as error:
        if not error.unfetched:
            raise
        names = git.fields(*changed, "--name-only", "--")
        return [CodeFileChange(name, None, None, fetched=False) for name in names]
    files = []
    for field in fields:
        added, deleted, path = field.split("\t", 2)
        files.append(CodeFileChange(path, _count(added), _count(deleted)))
    return files


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def patch(project: Project, comparison: Comparison, *, colour: bool) -> str:
    """The patch of the code files that differ, as ``git diff`` prints it; "" if none does."""
    paths = [file.path for file in comparison.files]
    if not paths:
        return ""
    git = project.commits
    return git.text(
        "--literal-pathspecs", "diff", "--no-ext-diff", "--no-renames",
        f"--color={'always' if colour else 'never'}",
        *_revs(comparison.before, comparison.after), "--", *paths,
    )  # fmt: skip
