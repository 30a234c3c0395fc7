"""The Python interface: the verbs of the command line, returning values instead of text.

What a verb needs is imported when it is called: a training script that asks for
:func:`context` waits for nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gitxexp.common.errors import NoAnswer, UsageError, XexpError
from gitxexp.experiments import Experiment, Experiments, PathLike
from gitxexp.guarded import guarded
from gitxexp.repository.repository import Project
from gitxexp.repository.version import AnyVersion, Level, parse

if TYPE_CHECKING:
    import duckdb
    import git

    from gitxexp.comparison import Comparison
    from gitxexp.repository.operation import Operation
    from gitxexp.repository.registry import Promotion
    from gitxexp.tables.plan import MergeOptions
    from gitxexp.trackers.run import ColumnFacts
    from gitxexp.workflows.artifacts.get import GetReport
    from gitxexp.workflows.artifacts.pull import Pulled
    from gitxexp.workflows.artifacts.push import Pushed, PushPlan
    from gitxexp.workflows.checks.report import CheckReport
    from gitxexp.workflows.experiments.init import SetUp
    from gitxexp.workflows.experiments.plan import Plan
    from gitxexp.workflows.experiments.rebuild import Rebuilt
    from gitxexp.workflows.experiments.renumber import Renumbered
    from gitxexp.workflows.experiments.restore_tags import RestoredTags
    from gitxexp.workflows.experiments.status import Status
    from gitxexp.workflows.experiments.tag import Tagged
    from gitxexp.workflows.experiments.template import Template
    from gitxexp.workflows.explore.plot import Plot
    from gitxexp.workflows.explore.query import ExperimentList
    from gitxexp.workflows.explore.show import ExperimentDetails
    from gitxexp.workflows.explore.verify import Verified
    from gitxexp.workflows.imports.models import AddedModels
    from gitxexp.workflows.imports.run import Imported
    from gitxexp.workflows.imports.tag import TaggedRuns
    from gitxexp.workflows.merge.conflicts import Resolved
    from gitxexp.workflows.merge.diff import FileDiff
    from gitxexp.workflows.merge.driver.install import DriverStatus
    from gitxexp.workflows.merge.driver.reports import ConflictReport
    from gitxexp.workflows.merge.merge import Merged, MergeRequest
    from gitxexp.workflows.models.add import AddedCandidate
    from gitxexp.workflows.models.cache import FreedCache
    from gitxexp.workflows.models.candidates import ModelList
    from gitxexp.workflows.models.promote import Promoted, PromotePlan, PromoteRequest
    from gitxexp.workflows.models.prune import Pruned, PrunePlan, PruneRules
    from gitxexp.workflows.registry.annotate import Annotated
    from gitxexp.workflows.registry.configurations import (
        ImportedConfig,
        ParamChange,
        RegistryConfig,
    )
    from gitxexp.workflows.registry.delete import Deleted, DeletePlan
    from gitxexp.workflows.registry.search import Match
    from gitxexp.workflows.report.report import Report
    from gitxexp.workflows.runs.record import RunRecord
    from gitxexp.workflows.runs.rerun import Rerun
    from gitxexp.workflows.runs.run import CompletedRun, Prepared
    from gitxexp.workflows.sql.converted import Conversions
    from gitxexp.workflows.sql.database import ColumnEntry
    from gitxexp.workflows.sweeps.grid import Axis
    from gitxexp.workflows.sweeps.overview import SweepStatus
    from gitxexp.workflows.sweeps.plan import SweepPlan
    from gitxexp.workflows.sweeps.sweep import Progress, Swept
    from gitxexp.workflows.worktrees.create import CreatedWorktree, ExistingWorktree
    from gitxexp.workflows.worktrees.finished import FinishedCheck
    from gitxexp.workflows.worktrees.overview import WorktreeStatus
    from gitxexp.workflows.worktrees.records import Worktree
    from gitxexp.workflows.worktrees.remove import Removed


_Kind = TypeVar("_Kind", bound=Enum)


@guarded
class Repository:
    """One repository. Every method raises :class:`gitxexp.XexpError` with a hint.

    ``wait=False``, where a method has it, raises at once if another operation holds the lock.
    """

    def __init__(self, path: PathLike = ".") -> None:
        self._project = Project.open(path)

    @property
    def path(self) -> Path:
        """The top of the work tree."""
        return self._project.top

    @cached_property
    def git(self) -> git.Repo:
        """The repository as a GitPython object; GitPython is imported on first use."""
        from gitxexp.storage.git_write import gitpython_repo

        return gitpython_repo(self._project.places.top or self._project.places.git_dir)

    def __repr__(self) -> str:
        return f"<Repository {self._project.places.top or self._project.places.git_dir}>"

    # -- start -----------------------------------------------------------------------------------

    def init(
        self,
        *,
        dvc: bool = True,
        track: bool = False,
        hooks: bool = False,
        template: str | None = None,
        prefix: str | None = None,
        dry_run: bool = False,
        wait: bool = True,
    ) -> SetUp:
        """Set up the repository (safe to run again), as ``git xexp init``.

        ``dvc=False`` leaves DVC out; ``track`` adds untracked data, models and results to it;
        ``hooks`` installs a pre-push hook that sends artifacts first; ``template`` is the name of a
        project to start from; ``prefix`` (``ranker/``) makes the folder that the repository was opened in a
        project of its own, whose versions begin with it; ``dry_run`` only says what would be done. Raises
        UsageError for a template that does not exist, or what cannot be a prefix.
        """
        from gitxexp.workflows.experiments import template as templates
        from gitxexp.workflows.experiments.init import init

        chosen = None if template is None else templates.template(template)
        return init(
            self._project,
            dvc=dvc,
            track=track,
            hooks=hooks,
            template=chosen,
            prefix=prefix,
            dry_run=dry_run,
            wait=wait,
        )

    def templates(self) -> Sequence[Template]:
        """Return the projects that :meth:`init` can start from, each with its ``name`` and
        ``summary``, as ``git xexp init --templates``."""
        from gitxexp.workflows.experiments.template import templates

        return templates()

    # -- create and share --------------------------------------------------------------------------

    def run(
        self,
        *command: str | Callable[..., Any],
        params: Mapping[str, Any] | None = None,
        config: str | None = None,
        write_config: PathLike | None = None,
        version: str | None = None,
        level: Literal["major", "minor", "patch"] | None = None,
        name: str | None = None,
        message: str = "",
        labels: Sequence[str] = (),
        include_modified: bool = False,
        dirty: bool = False,
        tag: bool = True,
        stamp: bool | None = None,
        track: bool = True,
        timeout: float | None = None,
        checks: bool = True,
        keep: bool = True,
        push: bool = False,
        remote: str | None = None,
        folder: PathLike | None = None,
        echo: bool = False,
        wait: bool = True,
    ) -> CompletedRun:
        """Run a command as an experiment, as ``git xexp run``.

        ``command`` is the list of its words (none: the configured command, or ``dvc repro``), or a
        Python function in a file that git tracks, called with ``params`` in a separate process, as
        :meth:`sweep` does. ``params`` are written to their files, on top of those of the
        configuration ``config`` (a file, a version or the start of a hash); ``write_config`` is a
        file that the configuration of the run is written to as it starts; ``version``, ``level`` or
        ``name`` (``exp-NAME-vN``) decide what it is tagged as; ``message`` and ``labels`` go into
        the tag. ``include_modified`` commits modified tracked files first, ``dirty`` runs them as
        they are, without a tag. ``tag=False`` only records the run. ``stamp`` says whether the
        version is written into its rows (None: as configured), ``track=False`` runs the first
        experiment although nothing tracks its data, ``timeout`` (seconds) ends the command,
        ``checks=False`` skips the checks before the run, ``keep=False`` keeps no copy of the model.
        ``push`` sends artifacts, branch and tag to ``remote``. It runs in ``folder`` (default: the
        top of the work tree); ``echo`` shows what it prints.

        The result has its ``record``, ``execution`` (with the exit ``code``), ``log`` and, if it
        was tagged, ``tagged``; ``problem`` says why it was not tagged. Raises XexpError, before
        anything runs, where ``git xexp run`` refuses.
        """
        from gitxexp.workflows.runs import configured
        from gitxexp.workflows.runs.functions import words_of
        from gitxexp.workflows.runs.run import RunRequest, run

        cwd = Path(folder) if folder is not None else self._project.top
        given = params or {}
        if config is not None:
            words = [each for each in command if isinstance(each, str)]
            given = configured.params_of(self._project, config, words, given)
        begin: Callable[[Prepared], None] | None = None
        if write_config is not None:
            out = Path(write_config).absolute()
            configured.check_place(out)

            def begin(prepared: Prepared) -> None:
                configured.write_config(prepared, out)

        values = {name.lstrip("+"): (value,) for name, value in given.items()}
        request = RunRequest(
            command=words_of(self._project, command, values, cwd), params=dict(given),
            version=_version(version), level=_one_of(Level, level) if level else None, name=name,
            text=message, labels=tuple(labels), everything=include_modified, dirty=dirty, tag=tag,
            push=push, remote=remote, stamp=stamp, track=track, timeout=timeout, checks=checks, keep=keep,
        )  # fmt: skip
        return run(self._project, request, cwd=cwd, begin=begin, echo=echo, wait=wait)

    def rerun(
        self,
        name: str,
        *command: str,
        rtol: float = 1e-6,
        atol: float = 0.0,
        keep: bool = False,
        timeout: float | None = None,
        echo: bool = False,
        wait: bool = True,
    ) -> Rerun:
        """Run a past experiment again in a disposable worktree and compare, as ``git xexp rerun``.

        ``name`` is a version, the id of a run record or a tracker's run; ``command`` is the list of
        words to run instead of the recorded ones. Metrics may differ by ``atol`` and, relative to
        the recorded value, by ``rtol``. ``keep`` records the run and merges its rows; ``timeout``
        (seconds) ends the command; ``echo`` shows what it prints. The result says whether it is
        ``reproduced``, and has the ``metrics`` then and now, the ``packages`` that differ, and
        which ``outputs`` have the same bytes. Raises XexpError if it cannot be run.
        """
        from gitxexp.workflows.runs.rerun import RerunRequest, rerun

        request = RerunRequest(name, command, rtol, atol, keep, timeout)
        return rerun(self._project, request, echo=echo, wait=wait)

    def runs(self) -> Sequence[RunRecord]:
        """Return every run that ``run`` or ``sweep`` recorded, newest first, and those in progress."""
        from gitxexp.workflows.runs.record import read

        return read(self._project)

    def run_log(self, name: str) -> Path:
        """Return the log file of a run, as ``git xexp explore log``; ``name`` is an id or a
        version.

        Raises XexpError if this machine has no log of the run.
        """
        from gitxexp.workflows.runs.logs import find_log

        return find_log(self._project, name).path

    def tag(
        self,
        version: str | None = None,
        *,
        level: Literal["major", "minor", "patch"] | None = None,
        name: str | None = None,
        run: str | None = None,
        best: str | None = None,
        where: str | None = None,
        of: str | None = None,
        all_runs: bool = False,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        message: str = "",
        labels: Sequence[str] = (),
        include_modified: bool = False,
        commit: bool = True,
        stamp: bool | None = None,
        drop_rows: bool = False,
        track: bool | None = None,
        bring_rows: bool = False,
        revert_outputs: bool = False,
        allow_mismatch: bool = False,
        push: bool = False,
        remote: str | None = None,
        wait: bool = True,
    ) -> Tagged:
        """Snapshot the experiment as the next version, as ``git xexp tag``.

        ``version``, or ``level`` to raise, or ``name`` (``exp-NAME-vN``) instead of what the
        changes ask for. ``run`` is the tracker run (default: the latest), or the ``best`` one by a
        metric, of those that the filter ``where`` matches and whose rows name the version ``of``,
        tagged ones too with ``all_runs``. ``params`` and ``metrics`` add to or replace what was
        collected; ``message`` and ``labels`` go into the tag. ``include_modified`` commits modified
        tracked files too; ``commit=False`` tags HEAD as it is. ``stamp`` says whether the version
        is written into the run's rows (None: as configured); ``track`` whether untracked data,
        models and results are added to DVC. ``drop_rows`` tags although results of the last commit
        are gone; ``bring_rows`` merges them first; ``revert_outputs`` tags outputs of an older
        commit, ``allow_mismatch`` files that contradict the run. ``push`` sends artifacts, branch
        and tag to ``remote``, all or nothing. Raises NoAnswer if the tag is refused.
        """
        from gitxexp.workflows.experiments.collect import RunChoice
        from gitxexp.workflows.experiments.plan import TagRequest
        from gitxexp.workflows.experiments.tag import tag, tag_and_push

        request = TagRequest(
            version=_version(version), level=_one_of(Level, level) if level else None, name=name,
            wanted=RunChoice(run=run, best=best, params=dict(params or {}), metrics=dict(metrics or {})),
            text=message, labels=tuple(labels), everything=include_modified, commit=commit,
            stamp=stamp, drop_rows=drop_rows, track=track, bring_rows=bring_rows,
            revert_outputs=revert_outputs, mismatch=allow_mismatch, where=where, of=_version(of),
            all_runs=all_runs,
        )  # fmt: skip
        if push:
            return tag_and_push(self._project, request, remote, wait=wait)
        return tag(self._project, request, wait=wait)

    def plan(
        self,
        version: str | None = None,
        *,
        level: Literal["major", "minor", "patch"] | None = None,
        name: str | None = None,
        run: str | None = None,
        best: str | None = None,
        where: str | None = None,
        of: str | None = None,
        all_runs: bool = False,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        message: str = "",
        labels: Sequence[str] = (),
        include_modified: bool = False,
        commit: bool = True,
        stamp: bool | None = None,
        drop_rows: bool = False,
        track: bool | None = None,
        bring_rows: bool = False,
        revert_outputs: bool = False,
        allow_mismatch: bool = False,
    ) -> Plan:
        """Return what :meth:`tag` would do now with ``version``, ``level``, ``name``, ``run``,
        ``best``, ``where``, ``of``, ``all_runs``, ``params``, ``metrics``, ``message``, ``labels``,
        ``include_modified``, ``commit``, ``stamp``, ``drop_rows``, ``track``, ``bring_rows``,
        ``revert_outputs`` and ``allow_mismatch``; changes nothing."""
        from gitxexp.workflows.experiments.collect import RunChoice
        from gitxexp.workflows.experiments.plan import TagRequest, plan

        request = TagRequest(
            version=_version(version), level=_one_of(Level, level) if level else None, name=name,
            wanted=RunChoice(run=run, best=best, params=dict(params or {}), metrics=dict(metrics or {})),
            text=message, labels=tuple(labels), everything=include_modified, commit=commit,
            stamp=stamp, drop_rows=drop_rows, track=track, bring_rows=bring_rows,
            revert_outputs=revert_outputs, mismatch=allow_mismatch, where=where, of=_version(of),
            all_runs=all_runs,
        )  # fmt: skip
        return plan(self._project, request)

    def renumber(self, version: str, remote: str | None = None, *, wait: bool = True) -> Renumbered:
        """Give the experiment ``version``, whose number ``remote`` (default: the one that is pushed
        to) has taken, the next one, as ``git xexp tag --renumber``. Raises XexpError if it was
        pushed."""
        from gitxexp.workflows.experiments.renumber import renumber

        old = _version(version)
        assert old is not None
        return renumber(self._project, old, remote, wait=wait)

    def push(
        self,
        *versions: str,
        git_remote: str | None = None,
        dvc_remote: str | None = None,
        everything: bool = False,
        artifacts: bool = False,
        incomplete: bool = False,
    ) -> Pushed:
        """Push artifacts, then branches and tags, of ``versions``, as ``git xexp push``.

        Without ``versions``: those of every unpushed experiment, or of every experiment with
        ``everything``. ``git_remote`` and ``dvc_remote`` default to git's and DVC's own;
        ``artifacts`` pushes only artifacts, no branch or tag; ``incomplete`` pushes even if
        artifacts are missing. Raises NoAnswer if the remote has a different tag of the same name.
        """
        from gitxexp.workflows.artifacts.push import clash, push

        planned = self.plan_push(
            *versions, git_remote=git_remote, everything=everything, artifacts=artifacts
        )
        done = push(self._project, planned, remote=dvc_remote, incomplete=incomplete)
        if planned.clashing:
            raise clash(planned)
        return done

    def plan_push(
        self,
        *versions: str,
        git_remote: str | None = None,
        everything: bool = False,
        artifacts: bool = False,
    ) -> PushPlan:
        """Return what :meth:`push` would push now with ``versions``, ``git_remote``,
        ``everything`` and ``artifacts``, as ``git xexp push --dry-run``; changes nothing."""
        from gitxexp.workflows.artifacts.push import plan
        from gitxexp.workflows.experiments.resolve import tagged

        chosen = [tagged(self._project, name) for name in versions] if versions else None
        planned = plan(self._project, chosen, git_remote=git_remote, everything=everything)
        return replace(planned, refs=(), clashing=()) if artifacts else planned

    def pull(
        self,
        git_remote: str | None = None,
        branch: str | None = None,
        *,
        rebase: bool | None = None,
        data: bool = True,
    ) -> Pulled:
        """Pull commits, experiments and the outputs they name, as ``git xexp pull``.

        ``git_remote`` and ``branch`` default to what the current branch follows; ``rebase=None``
        follows git's configuration; ``data=False`` leaves the outputs as they are. ``missing``
        names those whose content is in no cache or remote. Raises NoAnswer if git's merge stops
        with conflicts.
        """
        from gitxexp.workflows.artifacts.pull import PullRequest, pull

        return pull(self._project, PullRequest(git_remote, branch, rebase, data))

    def worktree(
        self,
        name: str,
        *,
        at: str = "HEAD",
        path: PathLike | None = None,
        branch: str | None = None,
        link: Literal["auto", "reflink", "hardlink", "symlink", "copy"] | None = None,
        fetch: bool = True,
        recurse_submodules: bool = False,
        wait: bool = True,
    ) -> CreatedWorktree:
        """Create a worktree for the experiment ``name``, as ``git xexp worktree new``.

        It starts ``at`` a version or revision, in the folder ``path`` on ``branch`` (both as
        configured by default). ``link`` is how data gets there; ``fetch=False`` fetches nothing;
        ``recurse_submodules`` fills the submodules. ``ready.missing`` names the files that could
        not be found anywhere.
        """
        from gitxexp.workflows.worktrees.create import WorktreeRequest, create

        place = None if path is None else Path(path)
        request = WorktreeRequest(
            name, at, place, branch, link, fetch, submodules=recurse_submodules
        )
        return create(self._project, request, wait=wait)

    def worktrees(
        self, *, explore: bool = False, ask_remote: bool = False
    ) -> Sequence[WorktreeStatus]:
        """Return every worktree and what exists only there, as ``git xexp worktree list``.

        ``explore`` lists only those of :meth:`checkout`, as ``git xexp explore worktrees``;
        ``ask_remote`` also queries non-local remotes.
        """
        from gitxexp.workflows.worktrees.overview import list_statuses
        from gitxexp.workflows.worktrees.records import EXPLORE

        kind = EXPLORE if explore else None
        return list_statuses(self._project, kind=kind, ask_remote=ask_remote)

    def finished_worktrees(
        self, *, worktrees: bool = True, explore: bool = True
    ) -> Sequence[FinishedCheck]:
        """Return whether each worktree of this program is finished, and why: those for experiments
        (``worktrees``: tagged, merged and safe) and those of :meth:`checkout` (``explore``:
        unchanged), as ``git xexp prune --worktrees --explore --dry-run``."""
        from gitxexp.workflows.worktrees.finished import EXPLORE, WORKTREE, check_finished

        chosen = {WORKTREE: worktrees, EXPLORE: explore}
        return check_finished(self._project, [kind for kind, on in chosen.items() if on])

    def remove_finished(
        self, found: Sequence[FinishedCheck], *, wait: bool = True
    ) -> Sequence[FinishedCheck]:
        """Remove those worktrees of ``found`` (:meth:`finished_worktrees`) that are still finished,
        as ``git xexp prune --worktrees --explore``; returns those removed."""
        from gitxexp.workflows.worktrees.finished import remove

        return remove(self._project, [each for each in found if each.finished], wait=wait)

    def remove_worktree(
        self, name: str, *, push: bool = False, force: bool = False, wait: bool = True
    ) -> Removed:
        """Remove the worktree ``name`` if nothing would be lost, as ``git xexp worktree remove``.

        ``push`` sends its work first; ``force`` removes it anyway. Raises NoAnswer otherwise.
        """
        from gitxexp.workflows.worktrees import records, remove, safety

        tree = records.find(self._project, name)
        remove.check_removable(self._project, tree)
        if push and not tree.gone:
            remove.push(self._project, tree)
        lost = [check for check in safety.checklist(self._project, tree) if not check.ok]
        if lost and not force:
            what = "; ".join(f"{check.name}: {check.text}" for check in lost)
            fixes = dict.fromkeys(check.fix for check in lost if check.fix)
            hint = "\n".join([*fixes, "force=True removes it anyway"])
            raise NoAnswer(f"{tree.name} was not removed ({what})", hint)
        return remove.remove(self._project, name, wait=wait)

    def prune_worktrees(self, *, wait: bool = True) -> Sequence[Worktree]:
        """Forget the worktrees whose folder is gone; returns them."""
        from gitxexp.workflows.worktrees.remove import prune

        return prune(self._project, wait=wait)

    def sweep(
        self,
        command: Sequence[str] | Callable[..., Any],
        grid: Mapping[str, Sequence[Any]] | None = None,
        *,
        file: PathLike | None = None,
        zipped: bool = False,
        sample: int | None = None,
        seed: int = 0,
        jobs: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        gpus: Sequence[str] = (),
        metric: str | None = None,
        sampler: str | None = None,
        trials: int | None = None,
        keep: int | None = None,
        include_modified: bool = False,
        force: bool = False,
        retry_failed: bool = False,
        engine: str | None = None,
        clone: bool = False,
        watch: Callable[[Progress], None] | None = None,
    ) -> Swept:
        """Run ``command`` once for each configuration of ``grid``, as ``git xexp sweep``.

        ``command`` is the words of one (none: the configured one), or a Python function: each run
        calls it with its configuration as keywords, in its own process and worktree. The function
        must be defined at the top level of a file that git tracks, because a run records its code
        that way. It returns a mapping of names to numbers, which is written to the metrics file.

        ``grid`` maps parameters to their values, which are combined as a product, or pairwise if
        ``zipped``; a ``file`` of TOML, YAML or CSV has a grid, too; ``sample`` of them are chosen
        at random, reproducibly for a ``seed``. ``jobs`` run at a time (None: one per processor),
        each with one of ``gpus``; a run that takes longer than ``timeout`` seconds is killed, and
        one that fails is retried ``retries`` times. ``metric`` ranks the runs (None: the primary
        one); a ``sampler`` of Optuna chooses ``trials`` configurations instead of all. The models
        of the best ``keep`` are candidates (None: of all). ``include_modified`` commits modified
        tracked files first. ``force`` also repeats runs that finished, ``retry_failed`` those that
        failed. ``engine`` is the address of a Dask scheduler, or "local"; its workers ``clone`` the
        repository if they cannot see it. ``watch`` is called with the current state whenever a run
        ends, and a few times a second.

        Returns the runs ordered by rank, with params, metrics and outcome. Raises UsageError or
        XexpError, before anything runs, where ``git xexp sweep`` refuses.
        """
        from gitxexp.workflows.sweeps.plan import SweepRequest, committed, plan
        from gitxexp.workflows.sweeps.sweep import sweep

        request = SweepRequest(
            axes=_axes(grid), command=self._sweep_words(command, grid, file), file=_path(file),
            zipped=zipped, sample=sample, seed=seed, metric=metric, jobs=jobs, timeout=timeout,
            retries=retries, gpus=tuple(gpus), force=force, retry_failed=retry_failed, engine=engine,
            sampler=sampler, trials=trials, keep=keep, everything=include_modified, clone=clone,
        )  # fmt: skip
        planned = committed(self._project, plan(self._project, request))
        return sweep(self._project, planned, watch or (lambda _: None))

    def plan_sweep(
        self,
        command: Sequence[str] | Callable[..., Any],
        grid: Mapping[str, Sequence[Any]] | None = None,
        *,
        file: PathLike | None = None,
        zipped: bool = False,
        sample: int | None = None,
        seed: int = 0,
        sampler: str | None = None,
        trials: int | None = None,
        include_modified: bool = False,
        force: bool = False,
        retry_failed: bool = False,
    ) -> SweepPlan:
        """Return the configurations that :meth:`sweep` would run now with ``command``, ``grid``,
        ``file``, ``zipped``, ``sample``, ``seed``, ``sampler``, ``trials``, ``include_modified``,
        ``force`` and ``retry_failed``, and which of its ``runs`` ran before, as ``git xexp sweep
        --dry-run``; changes nothing."""
        from gitxexp.workflows.sweeps.plan import SweepRequest, plan

        request = SweepRequest(
            axes=_axes(grid), command=self._sweep_words(command, grid, file), file=_path(file),
            zipped=zipped, sample=sample, seed=seed, sampler=sampler, trials=trials,
            everything=include_modified, force=force, retry_failed=retry_failed,
        )  # fmt: skip
        return plan(self._project, request)

    def _sweep_words(
        self,
        command: Sequence[str] | Callable[..., Any],
        grid: Mapping[str, Sequence[Any]] | None,
        file: PathLike | None,
    ) -> tuple[str, ...]:
        from gitxexp.workflows.runs.functions import words_of
        from gitxexp.workflows.runs.run import default_command

        if not callable(command):
            return tuple(command) or default_command(self._project)
        if file is not None:
            raise UsageError(
                "a function takes a grid, not a file", "sweep(function, {name: values})"
            )
        return words_of(self._project, (command,), grid or {}, self._project.git.cwd)

    def tag_winner(self, done: Swept, *, message: str = "", push: bool = False) -> Tagged | str:
        """Tag the best run of a sweep that is ``done``, with its own files, as ``git xexp sweep --tag``;
        ``message`` goes into the tag, ``push`` sends it.

        Returns only the version if the run is already an experiment. Raises NoAnswer if no run has
        a number for the metric.
        """
        from gitxexp.workflows.sweeps.winner import tag_winner

        return tag_winner(self._project, done, message, push=push)

    def sweeps(self) -> Sequence[SweepStatus]:
        """Return every sweep with its progress, newest first, as ``git xexp sweep --list``."""
        from gitxexp.workflows.sweeps import overview

        return overview.sweeps(self._project)

    def sweep_status(self, name: str | None = None) -> SweepStatus:
        """Return the progress of a sweep (``name``: the start of its id; None: the newest), as ``git
        xexp sweep --status``. Raises XexpError if there is none."""
        from gitxexp.workflows.sweeps import overview

        return overview.status(self._project, name)

    def stop_sweep(self, name: str | None = None) -> SweepStatus:
        """Stop a sweep gracefully (``name``: the start of its id; None: the running one) and wait
        for it to end, as ``git xexp sweep --stop``. Raises NoAnswer if none is running."""
        from gitxexp.workflows.sweeps import overview

        return overview.stop(self._project, name)

    # -- inspect
    # ------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return the state of the repository: HEAD, the last experiment and the next version, as
        ``git xexp status``."""
        from gitxexp.workflows.experiments.status import status

        return status(self._project)

    def experiments(self) -> Experiments:
        """Every experiment in the repository, newest first: a sequence that prints as a table and
        has ``where``, ``sort``, ``compare`` and ``to_pandas``."""
        return Experiments(self._project, self._project.experiments())

    def experiment(self, name: str) -> Experiment:
        """Return the experiment that ``name`` refers to: a version, a prefix of a config hash, a
        run, or any revision (the experiment there, or the nearest one before it). Raises XexpError
        if nothing matches."""
        from gitxexp.workflows.explore.show import experiment_of

        return Experiment(self._project, experiment_of(self._project, name)[0])

    def list(
        self,
        *names: str,
        sort: str | None = None,
        reverse: bool = False,
        filter: str | None = None,
        where: str | None = None,
        labels: Sequence[str] = (),
        limit: int | None = None,
        columns: Sequence[str] = (),
        runs: bool = False,
        all_projects: bool = False,
    ) -> ExperimentList:
        """Return experiments as a table of rows and columns, as ``git xexp explore list``.

        ``sort`` is a metric (best first), parameter, ``date`` or ``version``; ``reverse`` turns the
        order; ``names`` are versions, runs or config-hash prefixes to list (none: all); ``filter``
        is an expression (``"f1 > 0.8 and model = bert"``), ``where`` a condition in SQL; ``labels``
        are required, all of them; ``limit`` takes the first; ``columns`` chooses (``+NAME`` adds);
        ``runs`` lists the runs of the results databases instead, tagged or not; ``all_projects``
        adds those of the other projects in the repository.
        """
        from gitxexp.workflows.explore.query import ListQuery, list_experiments

        query = ListQuery(
            sort=sort, reverse=reverse, filter=filter, labels=tuple(labels), limit=limit,
            columns=tuple(columns), runs=runs, where=where, names=names, all_projects=all_projects,
        )  # fmt: skip
        return list_experiments(self._project, query)

    def filter(
        self,
        expression: str,
        *,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Experiments:
        """Return the experiments that match ``expression``, ordered by ``sort`` (default: newest
        first), at most ``limit`` of them. Raises as :meth:`Experiments.filter`."""
        found = self.experiments().filter(expression)
        return (found if sort is None else found.sort(sort))[:limit]

    def plot(
        self,
        metric: str,
        *,
        x: str | None = None,
        by: str | None = None,
        histogram: bool = False,
        runs: bool = False,
        sort: str | None = None,
        filter: str | None = None,
        where: str | None = None,
        labels: Sequence[str] = (),
        limit: int | None = None,
        log_x: bool = False,
        log_y: bool = False,
        out: PathLike | None = None,
    ) -> Plot:
        """Return the data of ``git xexp explore plot``: series of points, with their axes.

        ``x`` is ``step`` (the rows that runs logged), ``version``, ``date`` or a parameter; ``by``
        makes a series for each value of a parameter; ``histogram`` counts values of ``metric``
        instead. ``runs``, ``sort``, ``filter``, ``where``, ``labels`` and ``limit`` are as for
        :meth:`list`; ``log_x`` and ``log_y`` leave out what is not above 0. ``out`` also draws it
        to a file of SVG, PNG or HTML, by its extension. Raises XexpError for an unknown name, or if
        there is nothing to draw to a file; UsageError for any other extension.
        """
        from gitxexp.workflows.explore.plot import PlotRequest, plot
        from gitxexp.workflows.explore.query import ListQuery

        query = ListQuery(
            sort=sort, filter=filter, where=where, labels=tuple(labels), limit=limit, runs=runs
        )
        request = PlotRequest(metric, x, by, histogram, log_x, log_y, query)
        if out is None:
            return plot(self._project, request)
        from gitxexp.cli.render import plot_file
        from gitxexp.common.files import output_file

        kind = plot_file.kind_of(Path(out))
        found = plot(self._project, request)
        if found.empty:
            raise NoAnswer(
                f"there is nothing to plot: no value of {found.y.name}",
                "columns() lists what there is",
            )
        content = plot_file.as_file(found, kind)
        with output_file(Path(out)) as temporary:
            temporary.write_bytes(content)
        return found

    def columns(self, table: str | None = None) -> Sequence[ColumnFacts]:
        """Return the role of each column of the results (or only of ``table``) and the reason, as
        ``git xexp explore columns``."""
        from gitxexp.workflows.explore.columns import columns

        return columns(self._project, table)

    def show(self, version: str | None = None, *, ask_remote: bool = False) -> ExperimentDetails:
        """Return everything known about one experiment, as ``git xexp explore show``.

        ``version`` is read as by :meth:`experiment` (None: the one tagged last); ``ask_remote``
        also queries non-local remotes. Raises XexpError if there is no such experiment.
        """
        from gitxexp.workflows.explore.show import details

        return details(self._project, version, ask_remote=ask_remote)

    def verify(self, *versions: str) -> Sequence[Verified]:
        """Check what the tags of ``versions`` (default: all) say against files, hashes, results and
        registry, as ``git xexp explore verify``; ``Verified.wrong`` lists the mismatches."""
        from gitxexp.workflows.explore.verify import verify

        return verify(self._project, versions)

    def compare(self, before: str, after: str | None = None) -> Comparison:
        """Return the parameters, metrics (with their change, whether it is better, and its 95%
        interval where rows allow one), artifacts and code that differ between experiment ``before``
        and ``after`` (None: the work tree and its latest run), as ``git xexp explore diff``, as which
        it prints. Use
        :meth:`Experiments.compare` to compare several at once. Raises XexpError for an unknown
        name."""
        return self.experiment(before).diff(after)

    def patch(self, before: str, after: str | None = None) -> str:
        """Return the patch of the code between experiment ``before`` and ``after`` (None: the work
        tree) in git's form, "" if none differs, as ``git xexp explore diff --code``."""
        from gitxexp.workflows.explore.compare import patch

        return patch(self._project, self.compare(before, after), colour=False)

    def get(
        self,
        version: str,
        *paths: str,
        out: PathLike | None = None,
        strategy: Literal["auto", "cache", "dvc", "worktree"] = "auto",
        force: bool = False,
        verify: bool = True,
        dvc_remote: str | None = None,
    ) -> GetReport:
        """Get files or folders as ``version`` had them, as ``git xexp get``.

        ``paths`` are relative to the current folder, then to the top; globs are allowed. ``out`` is
        a file or folder (default: their original paths); ``strategy`` says where to look; ``force``
        overwrites files that differ; ``verify=False`` skips hash verification; ``dvc_remote`` is
        the remote to ask. Returns each file with its size in bytes and where it came from.
        """
        from gitxexp.storage.sources import Strategy
        from gitxexp.workflows.artifacts.get import GetRequest, get
        from gitxexp.workflows.runs.past_files import files_of

        found = files_of(self._project, version)
        request = GetRequest(
            commit=found.commit,
            own=found.own,
            called=version,
            paths=paths,
            out=None if out is None else Path(out),
            strategy=_one_of(Strategy, strategy),
            force=force,
            verify=verify,
            remote=dvc_remote,
        )
        return get(self._project, request)

    def diff(
        self,
        before: str = "HEAD",
        after: str | None = None,
        *,
        paths: Sequence[str] = (),
        key: Sequence[str] = (),
        limit: int | None = None,
    ) -> Sequence[FileDiff]:
        """Return the rows that differ between ``before`` and ``after`` (None: the work tree), two
        versions or revisions, as ``git xexp diff``.

        ``paths`` are the files to compare; ``key`` the columns that pair rows; ``limit`` the number
        of rows listed per table (counts stay complete).
        """
        from gitxexp.workflows.merge.diff import DiffRequest, differences

        request = DiffRequest(before, after, tuple(paths), tuple(key), limit)
        return [*differences(self._project, request)]

    def checkout(
        self,
        version: str,
        *,
        path: PathLike | None = None,
        link: Literal["auto", "reflink", "hardlink", "symlink", "copy"] | None = None,
        fetch: bool = True,
        wait: bool = True,
    ) -> CreatedWorktree | ExistingWorktree:
        """Check out a past experiment in a disposable worktree, as ``git xexp explore checkout``.

        ``path``, ``link`` and ``fetch`` as for :meth:`worktree`. Returns ExistingWorktree if
        ``version`` already has one.
        """
        from gitxexp.workflows.worktrees.create import WorktreeRequest, checkout
        from gitxexp.workflows.worktrees.records import EXPLORE

        place = None if path is None else Path(path)
        request = WorktreeRequest(version, version, place, None, link, fetch, EXPLORE)
        return checkout(self._project, request, wait=wait)

    def cleanup(
        self, version: str | None = None, *, force: bool = False, wait: bool = True
    ) -> Sequence[Worktree]:
        """Remove the worktrees that :meth:`checkout` created for ``version`` (None: all); returns
        those removed.

        ``force`` also removes worktrees with added or changed files.
        """
        from gitxexp.workflows.worktrees.remove import cleanup

        return cleanup(self._project, version, force=force, wait=wait)

    # -- merge results ------------------------------------------------------------------

    def merge(
        self,
        *sources: str,
        output: PathLike | None = None,
        only: Sequence[str] = (),
        models: bool = False,
        strategy: Literal["merge", "rebase", "keep"] | None = None,
        key: Sequence[str] = (),
        tables: Sequence[str] = (),
        on_conflict: Literal["fail", "ours", "theirs", "both"] = "fail",
        fill: bool = True,
        renumber: bool = False,
        rename: Mapping[str, str] | None = None,
        stringify: Sequence[str] = (),
        allow_lossy: bool = False,
        memory: int = 0,
        in_place: bool = False,
        count: bool = False,
        engine: Literal["auto", "sqlite", "duckdb"] = "auto",
        dry_run: bool = False,
        commit: bool = False,
        message: str | None = None,
        wait: bool = True,
    ) -> Merged:
        """Merge the rows of other experiments without losing any, as ``git xexp merge``.

        ``sources`` are worktrees, branches, versions, revisions or files. ``output`` is a file to
        merge plain files into instead, without artifacts: ``only``, ``models``, ``commit`` and
        ``message`` are not for it. ``only`` says what to merge (``results``, ``data``, ``models``,
        paths, globs); ``models`` also imports models as candidates; ``strategy`` overrides the
        configured one. ``key`` names key columns of tables without a key, ``tables`` the tables;
        ``on_conflict`` says what to do with two values for one key, ``fill`` whether to fill NULL
        cells of a matching key. ``renumber`` gives clashing integer keys new numbers; ``rename``
        maps incoming columns to existing ones; ``stringify`` names columns of mixed types that may
        become text; ``allow_lossy`` accepts promotions that change values. ``memory`` is in bytes
        (0: a share of what is free); ``in_place`` makes no copy, and estimates the number of
        existing rows unless ``count`` is set; ``engine`` chooses the merge engine. ``dry_run`` only
        plans; ``commit`` commits the result with ``message``. Raises Conflicted with all conflicts.
        """
        from gitxexp.tables.engine import Engine
        from gitxexp.tables.plan import MergeOptions, Mode, OnConflict
        from gitxexp.workflows.merge.inputs import Selection
        from gitxexp.workflows.merge.merge import MergeRequest

        options = MergeOptions(
            mode=Mode.MERGE, key=tuple(key), tables=tuple(tables), fill=fill,
            on_conflict=_one_of(OnConflict, on_conflict), renumber=renumber, rename=dict(rename or {}),
            stringify=tuple(stringify), allow_lossy=allow_lossy, memory=memory, in_place=in_place,
            count=count,
        )  # fmt: skip
        if output is not None:
            given = {"only": only, "models": models, "commit": commit, "message": message}
            return self._merge_files(
                sources, Path(output), options, engine, strategy, [n for n in given if given[n]],
                dry_run=dry_run,
            )  # fmt: skip
        request = MergeRequest(
            sources=sources, mode=Mode.MERGE, strategy=strategy, selection=Selection(tuple(only), models),
            options=options, engine=Engine(engine), commit=commit, message=message,
        )  # fmt: skip
        return self._merge(request, dry_run=dry_run, wait=wait)

    def rebase(
        self,
        *sources: str,
        output: PathLike | None = None,
        only: Sequence[str] = (),
        models: bool = False,
        key: Sequence[str] = (),
        tables: Sequence[str] = (),
        on_conflict: Literal["fail", "ours", "theirs", "both"] = "fail",
        fill: bool = True,
        renumber: bool = False,
        rename: Mapping[str, str] | None = None,
        stringify: Sequence[str] = (),
        allow_lossy: bool = False,
        memory: int = 0,
        in_place: bool = False,
        count: bool = False,
        engine: Literal["auto", "sqlite", "duckdb"] = "auto",
        dry_run: bool = False,
        commit: bool = False,
        message: str | None = None,
        wait: bool = True,
    ) -> Merged:
        """Merge the rows of other experiments, replacing rows with the same key, as ``git xexp
        rebase``. The key is ``key``, else the version, else the run.

        ``sources``, ``output``, ``only``, ``models``, ``tables``, ``on_conflict``, ``fill``, ``renumber``,
        ``rename``, ``stringify``, ``allow_lossy``, ``memory``, ``in_place``, ``count``, ``engine``,
        ``dry_run``, ``commit`` and ``message`` as for :meth:`merge`.
        """
        from gitxexp.tables.engine import Engine
        from gitxexp.tables.plan import MergeOptions, Mode, OnConflict
        from gitxexp.workflows.merge.inputs import Selection
        from gitxexp.workflows.merge.merge import MergeRequest

        options = MergeOptions(
            mode=Mode.REBASE, key=tuple(key), tables=tuple(tables), fill=fill,
            on_conflict=_one_of(OnConflict, on_conflict), renumber=renumber, rename=dict(rename or {}),
            stringify=tuple(stringify), allow_lossy=allow_lossy, memory=memory, in_place=in_place,
            count=count,
        )  # fmt: skip
        if output is not None:
            given = {"only": only, "models": models, "commit": commit, "message": message}
            return self._merge_files(
                sources, Path(output), options, engine, None, [n for n in given if given[n]],
                dry_run=dry_run,
            )  # fmt: skip
        request = MergeRequest(
            sources=sources, mode=Mode.REBASE, selection=Selection(tuple(only), models),
            options=options, engine=Engine(engine), commit=commit, message=message,
        )  # fmt: skip
        return self._merge(request, dry_run=dry_run, wait=wait)

    def import_runs(
        self,
        source: str,
        path: PathLike | None = None,
        *,
        into: str | None = None,
        commit: bool = False,
        dry_run: bool = False,
        wait: bool = True,
    ) -> Imported:
        """Import the runs of another tracker into the results database, as ``git xexp import``.

        ``source`` is a kind (``mlflow``, ``dvc-exp``, ``dvclive``, ``csv``, ``ndjson``,
        ``parquet``, ``wandb``, ``aim``, ``tensorboard``) with its ``path``, or both as
        ``KIND:PATH``. ``into`` is the database, relative to the top; ``commit`` commits it;
        ``dry_run`` only reads. Returns the numbers of new and of changed runs. Raises XexpError for
        a source that cannot be read.
        """
        from gitxexp.workflows.imports.find import find_source
        from gitxexp.workflows.imports.run import ImportRequest, import_runs

        words = (source,) if path is None else (source, str(path))
        found = find_source(self._project, words)
        request = ImportRequest(found, into, dry_run=dry_run, commit=commit)
        return import_runs(self._project, request, wait=wait)

    def tag_imported(self, done: Imported, *, wait: bool = True) -> TaggedRuns:
        """Tag the runs that :meth:`import_runs` found (``done``) and whose commits are in this
        repository, oldest first, as ``git xexp import --tag``."""
        from gitxexp.workflows.imports.tag import tag_runs

        return tag_runs(self._project, done.into, done.found, wait=wait)

    def add_imported_models(self, done: Imported, *, wait: bool = True) -> AddedModels:
        """Add the model that each run of :meth:`import_runs` (``done``) logged as its candidate, as
        ``git xexp import --models``; the result has the paths ``added``, and by run why one was not."""
        from gitxexp.workflows.imports.models import add_models

        return add_models(self._project, done, wait=wait)

    def conflicts(self) -> Sequence[ConflictReport]:
        """Return the databases that ``git merge`` left unmerged, each with its conflicts and every
        side's value, as ``git xexp conflicts``."""
        from gitxexp.workflows.merge.conflicts import reports

        return reports(self._project)

    def resolve(
        self,
        *paths: str,
        side: Literal["ours", "theirs", "both"] | None = None,
        rows: Mapping[int, Literal["ours", "theirs"]] | None = None,
        wait: bool = True,
    ) -> Sequence[Resolved]:
        """Merge the unmerged databases again (default: all) and stage them, as ``git xexp conflicts
        resolve``.

        ``paths`` are the databases to resolve; ``side`` wins wherever both changed ("both" keeps
        both rows if only their auto-increment ids clash: theirs get new ids), and ``rows`` maps the
        number of a single conflict, from 1, to a side. Raises NoAnswer if conflicts remain.
        """
        from gitxexp.tables.plan import OnConflict
        from gitxexp.workflows.merge.conflicts import resolve

        chosen = {number: _one_of(OnConflict, taken) for number, taken in (rows or {}).items()}
        every = _one_of(OnConflict, side) if side else None
        return resolve(self._project, paths, every, chosen, wait=wait)

    def check(
        self,
        base: str | None = None,
        *,
        paths: Sequence[PathLike] = (),
        before: bool = False,
        only: Sequence[str] = (),
        skip: Sequence[str] = (),
        since: str | None = None,
        run: str | None = None,
        id_column: str | None = None,
        train: PathLike | None = None,
        test: PathLike | None = None,
        params_from: str | None = None,
        ask_remote: bool = False,
    ) -> CheckReport:
        """Check whether a benchmark is sound, as ``git xexp check``; the result's ``findings`` list
        the problems.

        ``base`` limits the check to merges that are in HEAD but not in ``base`` (``dropped``),
        ``paths`` to these results files; ``before`` applies the pre-run rules. ``only`` and
        ``skip`` are ids of rules; ``since`` a version, ``run`` a run; ``id_column`` names the
        inputs. ``train`` and ``test`` are two files of data to compare, ``params_from`` is the
        dataclass MODULE:CLASS that a run will log; ``ask_remote`` also queries non-local remotes.
        Raises UsageError for an unknown rule.
        """
        from gitxexp.workflows.checks.check import check
        from gitxexp.workflows.checks.report import CheckRequest

        request = CheckRequest(
            paths=tuple(map(Path, paths)),
            before=before,
            only=frozenset(only),
            skip=frozenset(skip),
            since=since,
            run=run,
            id_column=id_column,
            train=None if train is None else Path(train),
            test=None if test is None else Path(test),
            base=base,
            params_from=params_from,
            ask_remote=ask_remote,
        )
        return check(self._project, request)

    def fix(self, found: CheckReport, *, dry_run: bool = False, wait: bool = True) -> Sequence[str]:
        """Apply the safe fixes for what :meth:`check` ``found``, as ``git xexp check --fix``;
        returns a description of each fix. ``dry_run`` only describes them. :meth:`undo` reverts
        them. Raises XexpError if a fix fails."""
        from gitxexp.workflows.checks.fixes import apply, fixable

        fixes = fixable(found.findings)
        if dry_run:
            return [one.summary for one in fixes]
        return apply(self._project, fixes, wait=wait)

    def drivers(self) -> DriverStatus:
        """Return which parts of the merge driver and the textconv are registered, as ``git xexp
        drivers status``."""
        from gitxexp.workflows.merge.driver.install import status

        return status(self._project)

    def install_drivers(self, *, wait: bool = True) -> Sequence[str]:
        """Register the merge driver and textconv, so that git merges and shows results row by row;
        returns what was newly registered."""
        from gitxexp.workflows.merge.driver.install import register

        return register(self._project, wait=wait)

    def uninstall_drivers(self, *, wait: bool = True) -> Sequence[str]:
        """Unregister the merge driver and textconv; returns what was removed."""
        from gitxexp.workflows.merge.driver.install import unregister

        return unregister(self._project, wait=wait)

    # -- choose models ---------------------------------------------------------------------------

    def candidates(
        self, slot: str | None = None, metric: str | None = None, *, ask_remote: bool = False
    ) -> ModelList:
        """Return production and every candidate, best first, as ``git xexp candidates list``.

        ``slot`` is a model slot (None: all), ``metric`` the metric to rank by (None: the primary
        one); ``ask_remote`` also queries non-local remotes.
        """
        from gitxexp.workflows.models.candidates import list_models

        return list_models(self._project, slot, metric, ask_remote=ask_remote)

    def add_candidate(
        self, path: PathLike, *, run: str | None = None, slot: str | None = None, wait: bool = True
    ) -> AddedCandidate:
        """Add the model file ``path`` as the candidate of ``run`` (None: the latest) in ``slot``, as
        ``git xexp candidates add``; the file itself stays where it is."""
        from gitxexp.workflows.models.add import add

        return add(self._project, Path(path), run, slot, wait=wait)

    def promote(
        self,
        version: str | None = None,
        *,
        run: str | None = None,
        best: str | None = None,
        worktree: str | None = None,
        rollback: bool = False,
        slot: str | None = None,
        message: str = "",
        keep: bool = True,
        commit: bool = True,
        tag: bool = False,
        yes: bool = False,
        wait: bool = True,
    ) -> Promoted:
        """Promote a model to production, as ``git xexp promote``.

        The model is that of ``version``, of ``run``, the ``best`` by a metric, of another
        ``worktree``, or with ``rollback`` the previous one; by default the best by the primary
        metric. ``slot`` is required if there are several; ``message`` is kept in the history.
        ``keep=False`` does not keep the replaced model as a candidate, ``commit=False`` leaves the
        pointers uncommitted, ``tag`` tags the result. Raises NoAnswer if the model is worse, unless
        ``yes``.
        """
        from gitxexp.workflows.models.promote import PromoteOptions, plan_promotion, promote

        request = _promotion(version, run, best, worktree, slot, message, rollback=rollback)
        plan = plan_promotion(self._project, request)
        if plan.doubt and not yes:
            raise NoAnswer(plan.doubt, "yes=True promotes it anyway")
        how = PromoteOptions(keep=keep, commit=commit, tag=tag, yes=yes, wait=wait)
        return promote(self._project, request, plan, how)

    def plan_promotion(
        self,
        version: str | None = None,
        *,
        run: str | None = None,
        best: str | None = None,
        worktree: str | None = None,
        rollback: bool = False,
        slot: str | None = None,
    ) -> PromotePlan:
        """Return what :meth:`promote` would do now with ``version``, ``run``, ``best``,
        ``worktree``, ``rollback`` and ``slot``, as ``git xexp promote --dry-run``; changes nothing.
        Its ``doubt`` says why the model may be worse."""
        from gitxexp.workflows.models.promote import plan_promotion

        request = _promotion(version, run, best, worktree, slot, "", rollback=rollback)
        return plan_promotion(self._project, request)

    def promotions(self, slot: str | None = None) -> Sequence[Promotion]:
        """Return who promoted what and when, newest first, in ``slot`` or in all slots, as ``git
        xexp promote --history``."""
        from gitxexp.workflows.models.history import history

        return history(self._project, slot)

    def prune(
        self,
        keep: int = 5,
        *,
        metric: str | None = None,
        per: Literal["version", "model"] | None = None,
        older_than: float | None = None,
        include_unranked: bool = False,
        slot: str | None = None,
        push: bool = False,
        force: bool = False,
        commit: bool = True,
        wait: bool = True,
    ) -> Pruned:
        """Delete candidates that are verified to be stored elsewhere, as ``git xexp prune``.

        The best ``keep`` by ``metric`` stay, per group of ``per`` if given; only candidates
        ``older_than`` this many seconds are deleted; ``include_unranked`` also deletes those
        without a number for the metric. ``slot`` limits it to one slot. ``push`` sends the only
        copies to their remote first; ``force`` deletes even the only copy (its bytes are moved
        aside, so that undo can restore them); ``commit=False`` leaves the pointer uncommitted.
        """
        from gitxexp.workflows.models.prune import PruneOptions, plan_prune, prune
        from gitxexp.workflows.models.prune import push as push_models

        rules = _pruning(keep, metric, per, older_than, slot, unranked=include_unranked)
        plan = plan_prune(self._project, rules)
        if push and plan.only_copies:
            push_models(self._project, plan)
            plan = plan_prune(self._project, rules)
        return prune(self._project, rules, plan, PruneOptions(force, commit, wait))

    def plan_prune(
        self,
        keep: int = 5,
        *,
        metric: str | None = None,
        per: Literal["version", "model"] | None = None,
        older_than: float | None = None,
        include_unranked: bool = False,
        slot: str | None = None,
    ) -> PrunePlan:
        """Return what :meth:`prune` would decide now on each candidate with ``keep``, ``metric``,
        ``per``, ``older_than``, ``include_unranked`` and ``slot``, as ``git xexp prune --dry-run``;
        changes nothing."""
        from gitxexp.workflows.models.prune import plan_prune

        rules = _pruning(keep, metric, per, older_than, slot, unranked=include_unranked)
        return plan_prune(self._project, rules)

    def free_cache(
        self,
        *projects: PathLike,
        dry_run: bool = False,
        force: bool = False,
        wait: bool = True,
    ) -> FreedCache:
        """Remove unreferenced objects from the DVC cache, as ``git xexp prune --cache``.

        ``projects`` are other projects that use the cache; ``dry_run`` only counts; ``force``
        continues even if not every reference can be read. Sizes are in bytes.
        """
        from gitxexp.workflows.models.cache import prune_cache

        others = [Path(path) for path in projects]
        return prune_cache(self._project, others, dry_run=dry_run, force=force, wait=wait)

    # -- query -----------------------------------------------------------------------------------

    def report(
        self,
        *versions: str,
        metric: str | None = None,
        filter: str | None = None,
        where: str | None = None,
    ) -> Report:
        """Return the report on ``versions`` (none: all), restricted by ``filter`` and ``where`` and
        ranked by ``metric`` (None: the primary one), as ``git xexp report --md``: the best
        experiment, what it changed, what is noise, and how important each parameter is."""
        from gitxexp.workflows.report.report import ReportRequest, report

        return report(self._project, ReportRequest(versions, metric, filter, where))

    def report_page(
        self,
        *versions: str,
        metric: str | None = None,
        filter: str | None = None,
        where: str | None = None,
        title: str | None = None,
    ) -> str:
        """Return the page of ``git xexp report`` as one HTML document with ``title`` (None: the
        name of the folder). ``versions``, ``metric``, ``filter`` and ``where`` are as for
        :meth:`report`. Raises UsageError if vl-convert-python is not installed."""
        from gitxexp.cli.render.page import html, vega
        from gitxexp.workflows.report.page import page
        from gitxexp.workflows.report.report import ReportRequest

        script = vega.script()
        request = ReportRequest(versions, metric, filter, where, title)
        return html.as_html(page(self._project, request), script)

    def sql(self, query: str, *, allow_files: bool = False) -> duckdb.DuckDBPyRelation:
        """Return the rows of ``query``, one DuckDB SQL statement, as a relation; as ``git xexp
        sql``.

        Its ``fetchall()`` returns tuples; ``df()``, ``pl()`` and ``arrow()`` return pandas, polars
        and pyarrow tables. The statement may name ``experiments``, ``params``, ``metrics``,
        ``runs`` and the other tables that ``git xexp sql --schema`` lists, ``"TABLE@VERSION"``,
        ``"PATH@VERSION"`` and ``all_versions('TABLE')``; no other file, unless ``allow_files``.
        Converted SQLite tables are kept in a temporary file for the next query, until the database
        changes. Raises UsageError for a statement that is invalid or would write.
        """
        from gitxexp.workflows.sql.database import selected

        return selected(
            self._project, query, allow_files=allow_files, conversions=self._conversions
        )

    def schema(self) -> Sequence[ColumnEntry]:
        """Return each column of each table that :meth:`sql` knows, with its type, as ``git xexp sql
        --schema``."""
        from gitxexp.workflows.sql.database import ProjectDatabase

        with ProjectDatabase(self._project) as database:
            return database.schema()

    # -- undo and repair ----------------------------------------------------------------------

    def undo(
        self, count: int = 1, *, force: bool = False, yes: bool = False, wait: bool = True
    ) -> Sequence[Operation]:
        """Undo the last ``count`` operations, as ``git xexp undo``; returns them.

        ``force`` also undoes what was pushed or built upon, ``yes`` what is older than an operation
        that changed nothing.
        """
        from gitxexp.repository.undo import undo_last

        return undo_last(self._project, count, force=force, passing=yes, wait=wait)

    def redo(self, count: int = 1, *, wait: bool = True) -> Sequence[Operation]:
        """Redo the last ``count`` undone operations, as ``git xexp redo``; returns them."""
        from gitxexp.repository.undo import redo_last

        return redo_last(self._project, count, wait=wait)

    def log(self, limit: int | None = None) -> Sequence[Operation]:
        """Return the operations of the repository, newest first; at most ``limit``."""
        return self._project.log.operations(limit=-1 if limit is None else limit)

    def search(
        self, *words: str, labels: Sequence[str] = (), limit: int | None = None
    ) -> Sequence[Match]:
        """Return the experiments and runs that match all ``words`` and ``labels``, best first, as
        ``git xexp registry search``; at most ``limit``. Words have the syntax of the command line."""
        from gitxexp.workflows.registry.search import search

        return search(self._project, words, labels=labels, limit=limit)

    def label(
        self,
        *versions: str,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        commit: bool = True,
        wait: bool = True,
    ) -> Sequence[Annotated]:
        """Add the labels ``add`` to ``versions`` and remove the labels ``remove``, as ``git xexp
        registry label``; returns each version with its current labels. ``commit=False`` leaves the
        registry uncommitted."""
        from gitxexp.workflows.registry.annotate import Annotation, annotate

        wanted = Annotation(tuple(add), tuple(remove))
        return annotate(self._project, versions, wanted, commit=commit, wait=wait)

    def describe(
        self, version: str, text: str, *, commit: bool = True, wait: bool = True
    ) -> Annotated:
        """Set the description of ``version`` to ``text``, as ``git xexp registry describe``;
        ``commit=False`` leaves the registry uncommitted."""
        from gitxexp.workflows.registry.annotate import Annotation, annotate

        wanted = Annotation(text=text)
        return annotate(self._project, [version], wanted, commit=commit, wait=wait)[0]

    def configurations(self, *, labels: Sequence[str] = ()) -> Sequence[RegistryConfig]:
        """Return experiments, and configurations registered without a run, newest first, as ``git
        xexp registry list``; ``labels`` are required, all of them."""
        from gitxexp.workflows.registry.configurations import known_to

        wanted = set(labels)
        return [one for one in known_to(self._project) if wanted <= {*one.config.labels}]

    def configuration(self, name: str) -> RegistryConfig:
        """Return the experiment or configuration that ``name`` refers to: a version, a run, or a
        config-hash prefix, as ``git xexp registry show``; its ``config`` is an
        :class:`ExperimentConfig`."""
        from gitxexp.workflows.registry.configurations import find

        return find(self.configurations(), name)

    def compare_configurations(self, before: str, after: str) -> Sequence[ParamChange]:
        """Return the parameters that differ between ``before`` and ``after``, as ``git xexp
        registry compare``."""
        from gitxexp.workflows.registry.configurations import differing

        return differing(self.configuration(before), self.configuration(after))

    def export(
        self,
        *names: str,
        out: PathLike,
        form: Literal["json", "toml", "csv", "ndjson", "parquet"] = "json",
        full: bool = False,
    ) -> None:
        """Write the configurations ``names`` (default: all) to the file ``out`` in the format
        ``form``, with ``full`` everything that is known, as ``git xexp registry export``."""
        from gitxexp.workflows.registry.configurations import find
        from gitxexp.workflows.registry.export import to_file

        entries = self.configurations()
        found = [find(entries, name) for name in names] if names else entries
        to_file(found, Path(out), form, full=full)

    def import_configurations(
        self, *files: PathLike, commit: bool = True, wait: bool = True
    ) -> Sequence[ImportedConfig]:
        """Register the configurations of ``files``, as ``git xexp registry import``; returns each
        with whether it was already known. ``commit=False`` leaves the registry uncommitted."""
        from gitxexp.workflows.registry.import_configs import import_configs

        return import_configs(self._project, [Path(f) for f in files], commit=commit, wait=wait)

    def delete(
        self,
        *versions: str,
        from_remote: bool = False,
        git_remote: str | None = None,
        force: bool = False,
        commit: bool = True,
        wait: bool = True,
    ) -> Deleted:
        """Delete the tags and rows of ``versions``, as ``git xexp registry delete``.

        ``from_remote`` also deletes the tags on ``git_remote`` (default: the push remote);
        ``force`` deletes even what was pushed or is in production; ``commit=False`` leaves the
        registry uncommitted. Raises NoAnswer if refused.
        """
        from gitxexp.workflows.registry.delete import delete

        planned = self.plan_deletion(
            *versions, from_remote=from_remote, git_remote=git_remote, force=force
        )
        return delete(
            self._project, planned, from_remote=from_remote, force=force, commit=commit, wait=wait
        )

    def plan_deletion(
        self,
        *versions: str,
        from_remote: bool = False,
        git_remote: str | None = None,
        force: bool = False,
    ) -> DeletePlan:
        """Return what :meth:`delete` would delete now, and its ``refusals``, with ``versions``,
        ``from_remote``, ``git_remote`` and ``force``, as ``git xexp registry delete --dry-run``."""
        from gitxexp.workflows.registry.delete import plan

        return plan(
            self._project, versions, remote=git_remote, from_remote=from_remote, force=force
        )

    def rebuild_registry(self, *, wait: bool = True) -> Rebuilt:
        """Restore the registry from the tags, as ``git xexp registry rebuild``."""
        from gitxexp.workflows.experiments.rebuild import rebuild

        return rebuild(self._project, wait=wait)

    def restore_tags(
        self, remote: str | None = None, *, fetch: bool = True, wait: bool = True
    ) -> RestoredTags:
        """Restore missing tags from the registry, as ``git xexp registry restore-tags``.

        ``fetch`` first fetches the tags of the git remote (``remote``, or the push remote).
        """
        from gitxexp.workflows.experiments.restore_tags import restore_tags

        return restore_tags(self._project, remote, fetch=fetch, wait=wait)

    # -- inside a run
    # ----------------------------------------------------------------------------------

    @cached_property
    def _conversions(self) -> Conversions:
        from gitxexp.workflows.sql.converted import Conversions

        return Conversions()

    def _merge(self, request: MergeRequest, *, dry_run: bool, wait: bool) -> Merged:
        from gitxexp.workflows.merge.merge import merge, plan

        if dry_run:
            return plan(self._project, request)
        return merge(self._project, request, wait=wait)

    def _merge_files(
        self,
        sources: Sequence[str],
        output: Path,
        options: MergeOptions,
        engine: str,
        strategy: str | None,
        refused: Sequence[str],
        *,
        dry_run: bool,
    ) -> Merged:
        """``merge -o FILE``, which has no artifacts to choose or commit."""
        from gitxexp.tables.engine import Engine
        from gitxexp.workflows.merge.merge import files

        for name in refused:
            raise UsageError(f"{name} is for artifacts of a repository, not for an output file",
                             "omit it, or leave out output")  # fmt: skip
        return files(
            sources, output, options, Engine(engine), write=not dry_run, project=self._project,
            strategy=strategy,
        )  # fmt: skip


def open(path: PathLike = ".") -> Repository:  # the public name is gitxexp.open
    """Open the repository around ``path``; raises XexpError if there is none."""
    return Repository(path)


def context(params: Mapping[str, Any] | None = None, path: PathLike = ".") -> dict[str, str | bool]:
    """Return what a training script passes to its tracker, so that every row can be traced.

    Keys: ``version`` (the one that a tag of this run will create; "" if unknown), ``git_commit``,
    ``git_branch`` ("" when detached), ``dirty`` (tracked files differ from the commit),
    ``dvc_hash`` (the six digits of a description), ``data_commit`` (the last one that changed a
    data pointer, "" if none) and, if ``params`` are given, ``config_hash`` (of these, the parameter
    files and, for parameters in neither, the last run). Pass the parameters of the run: without
    them those of the last run are used, and if a parameter of the last experiment is in none of
    these, ``version`` is left empty. Under ``git xexp run`` or ``sweep``, version, commit and
    branch come from that command. Raises XexpError outside a repository or before its first commit.
    """
    from gitxexp.repository.config_hash import flatten
    from gitxexp.workflows.experiments.collect import RunChoice
    from gitxexp.workflows.experiments.describe import data_outputs
    from gitxexp.workflows.experiments.plan import TagRequest, plan

    project = Project.open(path)
    given = {} if params is None else flatten(params)
    wanted = RunChoice(params=given, use_run=params is None)
    planned = plan(project, TagRequest(
        wanted=wanted, everything=True, drop_rows=True, revert_outputs=True, track=False,
        mismatch=True,
    ))  # fmt: skip
    data = data_outputs(planned.payload.artifacts, project.config)
    pointers = {output.pointer for output in planned.outputs if output.path in data}
    facts: dict[str, str | bool] = {
        "version": "" if planned.lacking else str(planned.version),
        "git_commit": planned.head,
        "git_branch": planned.branch or "",
        "dirty": bool(planned.modified or planned.changed),
        "dvc_hash": planned.payload.data,
        "data_commit": _last_change(project, pointers),
    }
    facts |= _told()
    if params is not None:
        facts["config_hash"] = "" if planned.lacking else planned.payload.config_hash
    return facts


def _told() -> dict[str, str]:
    """The context that ``git xexp run`` passed in the environment."""
    names = {
        "version": "XEXP_VERSION",
        "git_commit": "XEXP_GIT_COMMIT",
        "git_branch": "XEXP_GIT_BRANCH",
    }
    if "XEXP_RUN" not in os.environ:
        return {}
    return {key: os.environ[name] for key, name in names.items() if name in os.environ}


def _last_change(project: Project, paths: set[str]) -> str:
    if not paths:
        return ""
    return project.at_top.text("log", "-1", "--format=%H", "--", *sorted(paths))


def _axes(grid: Mapping[str, Sequence[Any]] | None) -> tuple[Axis, ...]:
    """Raises UsageError for values that are no sequence; a text is one value, not its letters."""
    from gitxexp.workflows.sweeps.grid import Axis

    for name, values in (grid or {}).items():
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise UsageError(
                f"the grid has {name}={values!r}: each parameter needs a list of values",
                f"for one value: {{'{name}': [{values!r}]}}",
            )
    return tuple(Axis(name, tuple(values)) for name, values in (grid or {}).items())


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _promotion(
    version: str | None,
    run: str | None,
    best: str | None,
    worktree: str | None,
    slot: str | None,
    why: str,
    *,
    rollback: bool,
) -> PromoteRequest:
    from gitxexp.workflows.models.promote import PromoteRequest

    return PromoteRequest(
        version=_version(version), run=run, best=best, worktree=worktree, rollback=rollback,
        slot=slot, why=why,
    )  # fmt: skip


def _pruning(
    keep: int,
    metric: str | None,
    per: str | None,
    older_than: float | None,
    slot: str | None,
    *,
    unranked: bool,
) -> PruneRules:
    from gitxexp.workflows.models.prune import GroupBy, PruneRules

    return PruneRules(
        keep, metric, _one_of(GroupBy, per) if per else None, older_than, unranked, slot
    )


def _version(text: str | None) -> AnyVersion | None:
    number = None if text is None else parse(text)
    if text is not None and number is None:
        raise XexpError(f"'{text}' is not a version", "like e0.3.0 or exp-NAME-v1")
    return number


def _one_of(kind: type[_Kind], value: str) -> _Kind:
    """Return a member of an enumeration. Raises UsageError for another value."""
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(str(each.value) for each in kind)
        raise UsageError(f"{value!r} is not one of: {names}", "use one of them") from None
