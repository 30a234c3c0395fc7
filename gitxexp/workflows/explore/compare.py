"""Two experiments side by side: parameters, metrics, artifacts and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitxexp.repository.config_hash import same_value
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import Kind, status
from gitxexp.storage.dvc.places import is_dvc_repo
from gitxexp.storage.git import Git
from gitxexp.trackers import column_names
from gitxexp.workflows.experiments import code_hash, describe
from gitxexp.workflows.explore import filters
from gitxexp.workflows.explore.query import directions

#: In place of the hash of a database that is being written to.
UNWRITTEN = "md5:(open)"


class ComparedSide(NamedTuple):
    """One of the two. ``commit`` None is the work tree; ``partial``: names not all it had."""

    name: str
    commit: str | None
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    artifacts: Mapping[str, str]
    run: str = ""
    partial: bool = False


class ValueChange(NamedTuple):
    """A parameter or artifact that differs; None stands for one that is not there."""

    name: str
    before: Any
    after: Any


class MetricChange(NamedTuple):
    """A metric of either side. ``relative`` is a fraction of the value before; ``better`` is None
    where nothing changed or there is nothing to compare. From ``low`` to ``high`` is the 95% interval of
    ``delta``, where the predictions of both are here; one that holds 0 may be noise."""

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
        """Whether the interval of the difference holds 0."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


class CodeFileChange(NamedTuple):
    """A code file that differs; line counts are None for a binary file."""

    path: str
    added: int | None
    deleted: int | None


class Comparison(NamedTuple):
    """What is different in ``after``. ``metrics`` holds all of them, the others only changes."""

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
        outputs = pointers.outputs_at(project.git, experiment.commit)
        artifacts = pointers.contents(outputs)
    return ComparedSide(experiment.name, experiment.commit, payload.params, payload.metrics, artifacts,
                payload.run, payload.handwritten)  # fmt: skip


def of_work_tree(project: Project) -> ComparedSide:
    """The work tree as it is: its files, and the latest run of its results databases."""
    top = project.top
    from gitxexp.workflows.experiments import (
        collect,  # late: the readers of databases, where two tags need none
    )

    collected = collect.collect(top, project.config, collect.Wanted())
    outputs = pointers.outputs_in(top) if is_dvc_repo(top) else []
    artifacts = pointers.contents(outputs)
    for change in status(top, outputs, project.stat_cache, project.progress) if outputs else []:
        if change.kind is not Kind.MISSING:  # not checked out is not changed
            artifacts[change.output.path] = change.actual or UNWRITTEN
    run = collected.run.id if collected.run else ""
    return ComparedSide("work tree", None, collected.params, collected.metrics, artifacts, run)


def compare(project: Project, before: ComparedSide, after: ComparedSide) -> Comparison:
    """Everything that differs between the two."""
    top = project.at_top if project.places.top else project.git
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
    """The parameters that differ. Of a hand-written tag only what it names is asked for."""
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
    # By the name that the later side has, where the two call one thing by two names.
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
    """The changes with the intervals of those that predictions in the results can tell."""
    values = {
        one.name: (one.before, one.after) for one in found if one.delta and _is_rate(one.name)
    }
    if not values:
        return found
    from gitxexp.workflows.checks import (
        differences,  # late: it reads databases, which a listing need not
    )

    known = differences.of_runs(project, before.run, after.run, values)
    return [
        one._replace(low=known[one.name].low, high=known[one.name].high)
        if one.name in known
        else one
        for one in found
    ]


def _is_rate(name: str) -> bool:
    """Whether predictions and truth tell the metric."""
    return column_names.canonical(name) in ("accuracy", "error_rate")


def _delta(name: str, before: Any, after: Any, maximize: bool) -> MetricChange:
    old, new = filters.number(before), filters.number(after)
    if old is None or new is None:
        return MetricChange(name, before, after, None, None, None)
    delta = new - old
    relative = delta / abs(old) if old and abs(old) != float("inf") else None
    better = (delta > 0) is maximize if delta else None
    return MetricChange(name, before, after, delta, relative, better)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ValueChange]:
    names = sorted({*before, *after})
    return [
        ValueChange(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)
    ]


# -- code ----------------------------------------------------------------------------------------


def _revs(before: ComparedSide, after: ComparedSide) -> list[str]:
    """The arguments of ``git diff`` for two sides, in their order."""
    if before.commit is None:
        return ["-R", after.commit or "HEAD"]
    return [before.commit, *([after.commit] if after.commit else [])]


def _files(git: Git, before: ComparedSide, after: ComparedSide) -> list[CodeFileChange]:
    if before.commit == after.commit:
        return []
    fields = git.fields(
        "diff", "--no-ext-diff", "--no-renames", "--numstat", "-z", *_revs(before, after), "--"
    )
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
    git = project.at_top if project.places.top else project.git
    return git.text(
        "--literal-pathspecs", "diff", "--no-ext-diff", "--no-renames",
        f"--color={'always' if colour else 'never'}",
        *_revs(comparison.before, comparison.after), "--", *paths,
    )  # fmt: skip
