"""Data shared by the rules of a check: read once, on first use."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository import commit
from gitxexp.repository.config import Config
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.changes import standing
from gitxexp.storage.dvc.places import cache_dirs, has_dvc
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.standing import Standing
from gitxexp.storage.objects import find_object
from gitxexp.trackers.run import Run
from gitxexp.trackers.runs import latest_run
from gitxexp.workflows.checks import bounds
from gitxexp.workflows.checks.dataclass_fields import Fields, fields_of
from gitxexp.workflows.checks.report import CheckRequest
from gitxexp.workflows.experiments import collect, stores
from gitxexp.workflows.experiments.column_roles import role_rules

if TYPE_CHECKING:
    from gitxexp.workflows.merge.dropped_rows import MergeCheck


@dataclass(frozen=True)
class ChangedFile:
    """A file that differs from HEAD or is untracked; ``state`` as of :func:`.commit.status`."""

    path: str
    state: str

    @property
    def is_new(self) -> bool:
        """Whether git does not track it."""
        return self.state == commit.UNTRACKED


class Context:
    """One check. Without a repository ``at`` is None, and only files are checked."""

    def __init__(self, project: Project | None, request: CheckRequest) -> None:
        self.at = project
        self.request = request
        self.skipped: list[tuple[str, str]] = []  #: rules that could not be applied, and why
        self.seen: set[Path] = set()  #: folders whose entries a rule examined

    @property
    def project(self) -> Project:
        """The repository, for rules that only apply inside one."""
        assert self.at is not None
        return self.at

    @cached_property
    def config(self) -> Config:
        """The settings of the repository, or the defaults."""
        return self.at.config if self.at is not None else Config()

    @cached_property
    def bounds(self) -> bounds.Bounds:
        """The bounds of the rules."""
        return bounds.parse(self.config.check_bounds)

    @cached_property
    def since(self) -> float | None:
        """When the version given by ``since`` was tagged, in seconds since 1970; raises XexpError
        if it does not exist."""
        if self.request.since is None:
            return None
        if self.at is None:
            raise XexpError(
                f"--since {self.request.since} names a version, and there is no repository here",
                "run it in the repository, or name a run: --run ID",
            )
        from gitxexp.workflows.explore.show import experiment_of  # late: few checks ask for it

        return float(experiment_of(self.at, self.request.since)[0].date)

    def skip(self, rule: str, why: str) -> None:
        """Record that a rule could not be applied."""
        if (rule, why) not in self.skipped:
            self.skipped.append((rule, why))

    def shown(self, path: Path) -> str:
        """Return a path relative to the top of the work tree, or unchanged."""
        if self.at is None or self.at.places.top is None:
            return str(path)
        return self.at.inside(path.absolute()) or str(path)

    @cached_property
    def changes(self) -> tuple[ChangedFile, ...]:
        """What ``git status`` lists."""
        return tuple(ChangedFile(path, state) for state, path in commit.status(self.project))

    @cached_property
    def fields(self) -> Fields | None:
        """The named dataclass."""
        name = self.request.params_from
        return fields_of(self.project.top, name) if name else None

    @cached_property
    def params(self) -> dict[str, Any]:
        """The parameters that a run will log, by dotted name: those of the named dataclass, else of
        the parameter files, plus those that the caller gives."""
        if self.fields is not None:
            return {**self.fields.values, **self.request.params}
        written = collect.written_params(self.project.top, self.config)
        own = {n: v for n, v in written.items() if not collect.is_ignored(n, self.config)}
        return {**own, **self.request.params}

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The DVC outputs of the work tree; none if a pointer is unreadable, which is reported by
        the command that needs it."""
        top = self.project.top
        try:
            return tuple(self.project.outputs()) if has_dvc(top) else ()
        except XexpError:
            return ()

    @cached_property
    def objects(self) -> dict[Path, Output]:
        """The cache objects of the work tree's DVC outputs."""
        found = {}
        for out in self.outputs:
            if out.oid is not None and out.cached:
                path = find_object(cache_dirs(self.project.top / out.root), out.oid, out.legacy)
                if path is not None:
                    found[path] = out
        return found

    @property
    def watched(self) -> list[Path]:
        """Files outside git's listing that a check reads."""
        if self.at is None or self.at.places.top is None:
            return []
        return [*self.objects, *self.seen]

    @cached_property
    def standing(self) -> Standing:
        """Outputs that differ from their pointers."""
        if not self.outputs:
            return Standing()
        return standing(self.project.top, self.outputs, self.project.stat_cache, self.project.git)

    @cached_property
    def merges(self) -> MergeCheck | None:
        """The merges since the named commit, if any."""
        if not self.request.base:
            return None
        from gitxexp.workflows.merge.dropped_rows import merges  # late: few checks ask for it

        return merges(self.project, self.request.base)

    @cached_property
    def databases(self) -> list[Path]:
        """The results databases of the repository."""
        return stores.databases(self.project.top, self.config)

    @cached_property
    def latest(self) -> list[Run]:
        """The latest run of each results database that can be read."""
        rules, table = role_rules(self.config), self.config.results_table or None
        found = []
        for path in self.databases:
            try:
                run = latest_run(path, table, rules)
            except XexpError:
                continue
            if run is not None:
                found.append(run)
        return found
