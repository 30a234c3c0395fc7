"""The Python interface: the same verbs as the command line, returning values instead of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository import undo as repository_undo
from gitxexp.repository.config_hash import config_hash, flatten
from gitxexp.repository.operation import Operation
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.repository.version import AnyVersion, Level, parse
from gitxexp.workflows.experiments import describe, rebuild
from gitxexp.workflows.experiments import init as experiments_init
from gitxexp.workflows.experiments import plan as experiments_plan
from gitxexp.workflows.experiments import tag as experiments_tag
from gitxexp.workflows.experiments.collect import Wanted
from gitxexp.workflows.experiments.init import SetUp
from gitxexp.workflows.experiments.plan import Plan, Request
from gitxexp.workflows.experiments.rebuild import Rebuilt
from gitxexp.workflows.experiments.tag import Tagged
from gitxexp.workflows.models import candidates as models_candidates
from gitxexp.workflows.models import promote as models_promote
from gitxexp.workflows.models import prune as models_prune
from gitxexp.workflows.models.candidates import ModelList
from gitxexp.workflows.models.promote import Promoted, PromoteRequest
from gitxexp.workflows.models.prune import Pruned

if TYPE_CHECKING:
    from gitxexp.workflows.merge.diff import FileDiff
    from gitxexp.workflows.merge.merge import Merged


class Repository:
    """One repository. Every method raises :class:`gitxexp.common.errors.XexpError` with a hint."""

    def __init__(self, path: Path | str = ".") -> None:
        self._project = Project.open(path)

    @property
    def path(self) -> Path:
        """The top of the work tree."""
        return self._project.top

    def init(self, *, dvc: bool = True, dry_run: bool = False) -> SetUp:
        """Set the repository up, as ``git xexp init``."""
        return experiments_init.init(self._project, dvc=dvc, dry_run=dry_run)

    def tag(self, version: str | None = None, **options: Any) -> Tagged:
        """Snapshot the experiment, as ``git xexp tag``.

        ``options``: level ("major", "minor", "patch"), name, run, best, params, metrics, text,
        labels, everything, commit, stamp.
        """
        return experiments_tag.tag(self._project, _request(version, options))

    def plan(self, version: str | None = None, **options: Any) -> Plan:
        """What :meth:`tag` would do now; changes nothing."""
        return experiments_plan.plan(self._project, _request(version, options))

    def experiments(self) -> list[Experiment]:
        """Every experiment of the repository, newest first."""
        return self._project.experiments()

    def merge(self, *sources: str, rebase: bool = False, **options: Any) -> Merged:
        """Bring other experiments' rows in, as ``git xexp merge`` (or ``rebase``, without asking).

        ``options``: strategy, only, models, engine, commit, message, and the fields of
        :class:`gitxexp.tables.plan.MergeOptions`. Raises Conflicted with all conflicts.
        """
        from gitxexp.workflows.merge import (
            merge as merge_merge,  # late: a training script needs none of it
        )

        return merge_merge.merge(self._project, merge_merge.request(sources, rebase, options))

    def diff(self, a: str, b: str | None = None, **options: Any) -> list[FileDiff]:
        """The rows that differ between two versions (b None: the work tree), as ``git xexp diff``.

        ``options``: paths, key, limit.
        """
        from gitxexp.workflows.merge import diff as merge_diff  # late, as above

        request = merge_diff.DiffRequest(a, b, **options)
        return list(merge_diff.differences(self._project, request))

    def candidates(self, slot: str | None = None, metric: str | None = None) -> ModelList:
        """Production and every candidate, the best first, as ``git xexp candidates list``."""
        return models_candidates.list_models(self._project, slot, metric)

    def promote(self, version: str | None = None, **options: Any) -> Promoted:
        """Put a model into production, as ``git xexp promote``.

        ``options``: run, best, worktree, rollback, slot, why; keep, commit, tag, yes. Raises
        NoAnswer when it would be worse, unless ``yes``.
        """
        how = {
            name: options.pop(name) for name in ("keep", "commit", "tag", "yes") if name in options
        }
        request = PromoteRequest(version=_version(version), **options)
        plan = models_promote.plan_promotion(self._project, request)
        if plan.doubt and not how.get("yes"):
            raise NoAnswer(plan.doubt, "yes=True promotes it all the same")
        return models_promote.promote(
            self._project, request, plan, models_promote.PromoteOptions(**how)
        )

    def prune(self, keep: int = 5, *, force: bool = False, **rules: Any) -> Pruned:
        """Remove candidates that are proved to be elsewhere, as ``git xexp prune``.

        ``rules``: metric, per, older_than (seconds), unranked, slot.
        """
        wanted = models_prune.PruneRules(keep=keep, **rules)
        plan = models_prune.plan_prune(self._project, wanted)
        return models_prune.prune(
            self._project, wanted, plan, models_prune.PruneOptions(force=force)
        )

    def undo(self, count: int = 1, *, force: bool = False) -> list[Operation]:
        """Take the last operations back."""
        return repository_undo.undo_last(self._project, count, force=force)

    def log(self) -> list[Operation]:
        """The operations of the repository, newest first."""
        return self._project.log.operations()

    def rebuild_registry(self) -> Rebuilt:
        """Restore the registry from the tags."""
        return rebuild.rebuild(self._project)


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
    plan = experiments_plan.plan(project, Request(wanted=wanted, everything=True))
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
