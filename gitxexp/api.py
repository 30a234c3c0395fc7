"""The Python interface: the same verbs as the command line, returning values instead of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp import (
    describe,
    experiments,
    operations,
    rebuilding,
    setting_up,
    tagging,
)
from gitxexp.collect import Wanted
from gitxexp.confighash import config_hash, flatten
from gitxexp.errors import NoAnswer, XexpError
from gitxexp.experiments import Plan, Request
from gitxexp.history import Experiment
from gitxexp.models import listing, placing, promoting, pruning, taking
from gitxexp.models.finding import Wish
from gitxexp.models.listing import Listing
from gitxexp.models.placing import Promoted
from gitxexp.models.taking import Pruned
from gitxexp.oplog import Operation
from gitxexp.project import Project
from gitxexp.rebuilding import Rebuilt
from gitxexp.setting_up import SetUp
from gitxexp.tagging import Tagged
from gitxexp.version import AnyVersion, Level, parse

if TYPE_CHECKING:
    from gitxexp.merge.asking import Merged
    from gitxexp.merge.differences import FileDiff


class Repository:
    """One repository. Every method raises :class:`gitxexp.errors.XexpError` with a hint."""

    def __init__(self, path: Path | str = ".") -> None:
        self._project = Project.open(path)

    @property
    def path(self) -> Path:
        """The top of the work tree."""
        return self._project.top

    def init(self, *, dvc: bool = True, dry_run: bool = False) -> SetUp:
        """Set the repository up, as ``git xexp init``."""
        return setting_up.init(self._project, dvc=dvc, dry_run=dry_run)

    def tag(self, version: str | None = None, **options: Any) -> Tagged:
        """Snapshot the experiment, as ``git xexp tag``.

        ``options``: level ("major", "minor", "patch"), name, run, best, params, metrics, text,
        labels, everything, commit, stamp.
        """
        return tagging.tag(self._project, _request(version, options))

    def plan(self, version: str | None = None, **options: Any) -> Plan:
        """What :meth:`tag` would do now; changes nothing."""
        return experiments.plan(self._project, _request(version, options))

    def experiments(self) -> list[Experiment]:
        """Every experiment of the repository, newest first."""
        return self._project.experiments()

    def merge(self, *sources: str, rebase: bool = False, **options: Any) -> Merged:
        """Bring other experiments' rows in, as ``git xexp merge`` (or ``rebase``, without asking).

        ``options``: strategy, only, models, engine, commit, message, and the fields of
        :class:`gitxexp.merge.plan.MergeOptions`. Raises Conflicted with all conflicts.
        """
        from gitxexp.merge import asking, merging  # late: a training script needs none of it

        return merging.merge(self._project, asking.request(sources, rebase, options))

    def diff(self, a: str, b: str | None = None, **options: Any) -> list[FileDiff]:
        """The rows that differ between two versions (b None: the work tree), as ``git xexp diff``.

        ``options``: paths, key, limit.
        """
        from gitxexp.merge import differences  # late, as above

        request = differences.Request(a, b, **options)
        return list(differences.differences(self._project, request))

    def candidates(self, slot: str | None = None, metric: str | None = None) -> Listing:
        """Production and every candidate, the best first, as ``git xexp candidates list``."""
        return listing.listing(self._project, slot, metric)

    def promote(self, version: str | None = None, **options: Any) -> Promoted:
        """Put a model into production, as ``git xexp promote``.

        ``options``: run, best, worktree, rollback, slot, why; keep, commit, tag, yes. Raises
        NoAnswer when it would be worse, unless ``yes``.
        """
        how = {
            name: options.pop(name) for name in ("keep", "commit", "tag", "yes") if name in options
        }
        wish = Wish(version=_version(version), **options)
        plan, _ = promoting.plan(self._project, wish)
        if plan.doubt and not how.get("yes"):
            raise NoAnswer(plan.doubt, "yes=True promotes it all the same")
        return placing.promote(self._project, wish, plan, placing.Options(**how))

    def prune(self, keep: int = 5, *, force: bool = False, **rules: Any) -> Pruned:
        """Remove candidates that are proved to be elsewhere, as ``git xexp prune``.

        ``rules``: metric, per, older_than (seconds), unranked, slot.
        """
        wanted = pruning.Rules(keep=keep, **rules)
        plan, _ = pruning.plan(self._project, wanted)
        return taking.prune(self._project, wanted, plan, taking.Options(force=force))

    def undo(self, count: int = 1, *, force: bool = False) -> list[Operation]:
        """Take the last operations back."""
        return operations.undo(self._project, count, force=force)

    def log(self) -> list[Operation]:
        """The operations of the repository, newest first."""
        return self._project.log.operations()

    def rebuild_registry(self) -> Rebuilt:
        """Restore the registry from the tags."""
        return rebuilding.rebuild(self._project)


def open(path: Path | str = ".") -> Repository:  # the public name is gitxexp.open
    """The repository around ``path``; raises XexpError where there is none."""
    return Repository(path)


def context(
    params: Mapping[str, Any] | None = None, path: Path | str = "."
) -> dict[str, str | bool]:
    """What a training script passes to its tracker, so that every row can be traced.

    Keys: ``version`` (the next one), ``git_commit``, ``git_branch`` ("" when detached), ``dirty``
    (tracked files differ from the commit), ``dvc_hash`` (the six digits of a description),
    ``data_commit`` (the last one that changed a data pointer, "" if none) and, if ``params`` are
    given, ``config_hash``. Raises XexpError outside a repository or before its first commit.
    """
    project = Project.open(path)
    wanted = (
        Wanted(use_run=False) if params is None else Wanted(params=flatten(params), use_run=False)
    )
    plan = experiments.plan(project, Request(wanted=wanted, everything=True))
    data = describe.data_outputs(plan.payload.artifacts, project.config)
    owners = {o.pointer for o in plan.outputs if o.path in data}
    found: dict[str, str | bool] = {
        "version": str(plan.version),
        "git_commit": plan.head,
        "git_branch": plan.branch or "",
        "dirty": bool(plan.modified or plan.changed),
        "dvc_hash": plan.payload.data,
        "data_commit": _last_change(project, owners),
    }
    if params is not None:
        found["config_hash"] = config_hash(params)
    return found


def _last_change(project: Project, paths: set[str]) -> str:
    if not paths:
        return ""
    return project.at_top.text("log", "-1", "--format=%H", "--", *sorted(paths))


def _version(text: str | None) -> AnyVersion | None:
    number = None if text is None else parse(text)
    if text is not None and number is None:
        raise XexpError(f"'{text}' is not a version (like e0.3.0 or exp-NAME-v1)")
    return number


def _request(version: str | None, options: dict[str, Any]) -> Request:
    number = _version(version)
    given = dict(options)
    names = ("run", "best", "params", "metrics")
    wanted = Wanted(**{name: given.pop(name) for name in names if name in given})
    level = given.pop("level", None)
    return Request(
        version=number,
        level=Level(level) if level else None,
        wanted=wanted,
        labels=tuple(given.pop("labels", ())),
        **given,
    )
