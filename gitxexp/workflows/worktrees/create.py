"""``worktree new`` and ``explore checkout``: a folder with a branch or version, the DVC cache shared.

The recipe (DVC 3.67, git 2.39): ``git worktree add --no-checkout``; check out without hooks,
because the one that ``dvc install`` makes would materialise everything a second time;
``config.local``; the outputs straight from the cache, with missing ones fetched or listed; then the
post-checkout hook, for its other effects.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path
from typing import ClassVar

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.text import some
from gitxexp.repository.config import LINKS
from gitxexp.repository.operation import Changed, Finished, Step, UndoContext, Undoing
from gitxexp.repository.repository import Project, Running
from gitxexp.storage import paths, submodules
from gitxexp.storage.dvc import checkout_state, place, pointers, remote
from gitxexp.storage.dvc import share as dvc_share
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.places import cache_dir, cache_dirs, has_own_remotes, is_dvc_repo
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.repair import WorkTreeFiles, restore
from gitxexp.storage.dvc.session import NoRemote
from gitxexp.storage.dvc.stat_cache import now_ns
from gitxexp.storage.git import Git, GitError, asked_once
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import Progress, manifest
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.resolve import resolve
from gitxexp.workflows.worktrees import records
from gitxexp.workflows.worktrees.git_entry import admin_of, exclude, free_path
from gitxexp.workflows.worktrees.records import (
    Note,
    Worktree,
    home_of,
    list_explored,
    list_worktrees,
)


@dataclass(frozen=True)
class WorktreeRequest:
    """What the user asked for. ``branch`` None means the configured name."""

    name: str
    at: str = "HEAD"
    path: Path | None = None
    branch: str | None = None
    link: str | None = None
    fetch: bool = True
    kind: str = records.WORKTREE
    submodules: bool = False  #: fill them, too


@dataclass(frozen=True)
class WorktreePlan:
    """The plan: ``branch`` is None for a detached worktree."""

    name: str
    path: Path
    branch: str | None
    new_branch: bool
    commit: str
    at: str
    kinds: tuple[str, ...]
    exclude: str | None
    fetch: bool
    kind: str
    submodules: bool = False


@dataclass(frozen=True)
class CreatedWorktree:
    """A finished worktree."""

    plan: WorktreePlan
    ready: PlacedOutputs


@dataclass(frozen=True)
class ExistingWorktree:
    """A worktree that was there already."""

    name: str
    path: Path


def create(
    project: Project,
    request: WorktreeRequest,
    progress: Progress | None = None,
    *,
    wait: bool = True,
) -> CreatedWorktree:
    """Create the worktree; raises XexpError, leaving nothing behind, if that is impossible.

    Unavailable outputs are in ``ready.missing``; the worktree stays.
    """
    (finished,) = check(project, [request], wait=wait)
    return finished or make(project, request, progress, wait=wait)


def check(
    project: Project, requests: Sequence[WorktreeRequest], *, wait: bool = True
) -> list[CreatedWorktree | None]:
    """Check all before the first is made, without the lock: raises as :func:`make` would for any of
    them, and UsageError for a duplicate name.

    Returns for each the worktree that recovery has just finished, or None if it is still to be made.
    """
    names = [request.name for request in requests]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"'{twice}' is given twice", "name each once")
    project.recover_first(wait=wait)
    found = [_finished(project, request) for request in requests]
    with asked_once():
        trees = list_worktrees(project)
        for request, finished in zip(requests, found, strict=True):
            if finished is None:
                plan_worktree(project, request, trees)
    return found


def make(
    project: Project,
    request: WorktreeRequest,
    progress: Progress | None = None,
    *,
    wait: bool = True,
    known: dict[str, CommitOutputs] | None = None,
) -> CreatedWorktree:
    """Create a worktree that was checked, as one operation; see :func:`create`.

    ``known`` is what the worktrees made before it in the same command found, by commit: it is read
    and added to.
    """
    verb = "worktree new" if request.kind == records.WORKTREE else "explore checkout"
    with project.operation(verb, wait=wait) as running:
        trees = list_worktrees(project)
        plan = plan_worktree(project, request, trees)
        admin = _add(project, running, plan)
        ready = _fill(project, plan, admin, trees, progress, known)
        running.summary.append(f"{plan.name} at {plan.path}")
    return CreatedWorktree(plan, ready)


def _finished(project: Project, request: WorktreeRequest) -> CreatedWorktree | None:
    """Return the requested worktree if an interrupted command began it and recovery just finished
    it, because the same command was repeated."""
    steps = [step for number in project.finished for step in project.log.steps(number)]
    for step in steps:
        if not isinstance(step, WorktreeMade) or step.name != request.name:
            continue
        same = request.at == "HEAD" or _start(project, request.at)[0] == step.commit
        if same and step.of == request.kind and Path(step.path) == _wanted_path(project, request):
            return CreatedWorktree(step.plan(), PlacedOutputs())
    return None


def checkout(
    project: Project,
    request: WorktreeRequest,
    progress: Progress | None = None,
    *,
    wait: bool = True,
) -> CreatedWorktree | ExistingWorktree:
    """``../explore-VERSION`` at ``request.at``; returns the existing one if it is still there.

    The name contains the version, even if the experiment was found by run or hash. Raises XexpError
    if the worktree was moved to another commit.
    """
    resolved = resolve(project, request.at)
    exact = resolved.exact and resolved.experiment
    name = exact.name if exact else request.name
    for tree in list_explored(project):
        if tree.name != name or tree.gone:
            continue
        if tree.commit != resolved.commit:
            raise XexpError(
                f"{tree.path} is there, at another commit", f"git xexp explore cleanup {tree.name}"
            )
        return ExistingWorktree(tree.name, tree.path)
    return create(project, replace(request, name=name), progress, wait=wait)


def plan_worktree(
    project: Project, request: WorktreeRequest, trees: Sequence[Worktree]
) -> WorktreePlan:
    """The frozen plan, beside the existing ``trees``; raises XexpError naming the name, branch or
    folder that is taken or invalid."""
    if not request.name or request.name.startswith("-") or request.name in (".", ".."):
        raise UsageError(
            f"'{request.name}' is not a name for a worktree", "like: git xexp worktree new lr-sweep"
        )
    commit, at = _start(project, request.at)
    branch = _branch(project, request, commit, trees)
    path = _path(project, request, trees)
    return WorktreePlan(
        request.name, path, branch.name, branch.new, branch.commit, at, kinds_of(project, request.link),
        _exclude(path, trees), request.fetch, request.kind, request.submodules,
    )  # fmt: skip


def several(project: Project, word: str) -> bool:
    """Whether the second of two words is another name rather than a start point: it is not a
    revision and does not look like a mistyped version or commit."""
    if re.fullmatch(r"e[0-9].*|exp-.*|[0-9a-f]{4,}|.*[~^:@/].*", word):
        return False
    try:
        resolve(project, word)
    except XexpError as error:
        return "did you mean" not in (error.hint or "") and "ambiguous" not in error.message
    return False


def _start(project: Project, name: str) -> tuple[str, str]:
    """``(commit, what to call it)``."""
    if name == "HEAD":
        commit = project.git.resolve(name)
        if commit is None:
            raise XexpError(
                "there are no commits yet", "commit your code first: git add -A && git commit"
            )
        return commit, name
    resolved = resolve(project, name)
    exact = resolved.exact and resolved.experiment
    return resolved.commit, exact.name if exact else name


def kinds_of(project: Project, link: str | None) -> tuple[str, ...]:
    link = link or project.config.worktree_link
    if link not in LINKS:
        raise UsageError(f"'{link}' is not a link type", f"one of: {', '.join(LINKS)}")
    return LINKS[1:] if link == "auto" else (link,)


@dataclass(frozen=True)
class _Branch:
    """The branch to check out at ``commit``; no ``name``: a detached HEAD."""

    name: str | None
    new: bool
    commit: str


def _branch(
    project: Project, request: WorktreeRequest, commit: str, trees: Sequence[Worktree]
) -> _Branch:
    if request.kind == records.EXPLORE:
        return _Branch(None, False, commit)
    branch = request.branch or project.config.worktree_branch.replace("{name}", request.name)
    if branch.startswith("-") or not _is_branch_name(project, branch):
        raise UsageError(
            f"'{branch}' is not a name that a branch can have", "letters, digits, - and _ are safe"
        )
    there = project.git.resolve(f"refs/heads/{branch}")
    if there is None:
        return _Branch(branch, True, commit)
    user = next((tree for tree in trees if tree.branch == branch), None)
    if user is not None:
        hint = "choose another name, or --branch B"
        if user.gone:
            hint = "that folder is gone: git xexp worktree prune"
        raise XexpError(f"branch {branch} is checked out in {user.path}", hint)
    if request.branch is None:
        raise XexpError(
            f"branch {branch} exists already",
            f"choose another name, or continue with it: git xexp worktree new {request.name}"
            f" --branch {branch}",
        )
    if request.at != "HEAD" and there != commit:
        raise XexpError(
            f"branch {branch} exists and is not at {request.at}", "leave out --at, or --branch"
        )
    return _Branch(branch, False, there)


def _is_branch_name(project: Project, name: str) -> bool:
    """Ask git only where the answer is not plain: each of several worktrees has a branch."""
    plain = re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", name)
    return bool(plain) or project.git.ok("check-ref-format", f"refs/heads/{name}")


def _wanted_path(project: Project, request: WorktreeRequest) -> Path:
    pattern = (
        "../explore-{name}" if request.kind == records.EXPLORE else project.config.worktree_path
    )
    name = request.name.replace("/", "-")
    path = request.path or project.main_top / Path(pattern.replace("{name}", name)).expanduser()
    return Path(os.path.realpath(path.parent)) / path.name


def _path(project: Project, request: WorktreeRequest, trees: Sequence[Worktree]) -> Path:
    path = _wanted_path(project, request)
    if request.path is None and "worktree_path" not in project.config.own:
        _refuse_elsewhere(project, path)
    if os.path.lexists(path):
        raise XexpError(
            f"{path} exists already", "choose another name, or another place: --path DIR"
        )
    if any(tree.path == path for tree in trees):
        raise XexpError(
            f"{path} is still registered as a worktree, though its folder is gone",
            "git xexp worktree prune",
        )
    return path


def _refuse_elsewhere(project: Project, path: Path) -> None:
    """Check that no link leads a worktree outside the place that the tracked configuration allows."""
    main = project.main_top.resolve()
    inside = path.is_relative_to(main) and paths.problem(path.relative_to(main).as_posix())
    if not path.is_relative_to(main.parent) or inside:
        raise XexpError(
            f"{path} is not next to the repository",
            "name the place: --path DIR, or git config xexp.worktree.path DIR/{name}",
        )


def _exclude(path: Path, trees: Sequence[Worktree]) -> str | None:
    """Return the exclude line that hides a nested worktree from ``git status``."""
    tops = [tree.path for tree in trees if not tree.bare]
    inside = [top for top in tops if path.is_relative_to(top)]
    if not inside:
        return None
    below = path.relative_to(max(inside, key=lambda top: len(top.parts))).as_posix()
    return "/" + "".join("\\" + c if c in "\\*?[ " else c for c in below) + "/"


def _add(project: Project, running: Running, plan: WorktreePlan) -> Path:
    """Create the branch, the folder and git's entry; return the entry."""
    missing = [folder for folder in plan.path.parents if not folder.exists()]
    running.record(
        WorktreeMade(
            path=str(plan.path),
            branch=plan.branch,
            made_branch=plan.new_branch,
            commit=plan.commit,
            parents=[str(folder) for folder in missing],
            exclude=plan.exclude,
            name=plan.name,
            of=plan.kind,
            links=list(plan.kinds),
            fetch=plan.fetch,
        )
    )
    exclude(project, plan.exclude, present=True)
    git = GitWriter(Git(project.main_top, foreign=True))
    flags: Sequence[str] = ("--detach",)
    if plan.branch:
        flags = ("--no-track", "-b", plan.branch) if plan.new_branch else ()
    target = plan.commit if plan.new_branch or not plan.branch else plan.branch
    try:
        git.raw("worktree", "add", "-q", "--no-checkout", *flags, "--", str(plan.path), target)
    except GitError as error:
        raise XexpError(
            f"git worktree add refused: {error.detail}", "nothing was changed"
        ) from error
    admin = admin_of(project.places.common_dir, plan.path)
    if admin is None:
        raise XexpError(f"git did not register {plan.path}", "git worktree list")
    records.write(admin, _note(plan))
    Git(plan.path, foreign=True).raw("reset", "-q", "--hard", "--no-recurse-submodules")
    return admin


def _note(plan: WorktreePlan) -> Note:
    return Note(plan.name, plan.kind, plan.commit, plan.new_branch, exclude=plan.exclude)


def _fill(
    project: Project,
    plan: WorktreePlan,
    admin: Path,
    trees: Sequence[Worktree],
    progress: Progress | None,
    known: dict[str, CommitOutputs] | None = None,
) -> PlacedOutputs:
    """Write the config, place outputs, complete the note, and run the post-checkout hook last."""
    known = {} if known is None else known
    before = known.get(plan.commit)
    work = _Outputs(project, plan.path, trees, progress, before)
    work.share()
    files = before or CommitOutputs(work.outputs, work.roots, work.gather(fetch=plan.fetch))
    if not (files.found.missing or files.found.fetched or work.notes):
        known[plan.commit] = files
    ready = work.put(files, plan.kinds)
    records.write(admin, replace(_note(plan), link=ready.link, site=ready.site))
    more = [note for note in (_submodules(plan, project.tops()), _hook(plan)) if note]
    return replace(ready, notes=(*ready.notes, *more))


def _submodules(plan: WorktreePlan, tops: Sequence[Path]) -> str | None:
    """Fill the submodules if requested; else note that they are empty, as git leaves them in a new
    worktree (git-worktree(1), BUGS)."""
    git = Git(plan.path, foreign=True)
    if not (plan.path / ".gitmodules").exists():
        return None
    names = [link.path for link in submodules.links(git, "HEAD")]
    if not names:
        return None
    if plan.submodules:
        try:
            _fill_submodules(plan.path, tops)
        except GitError as error:
            why = " ".join(error.message.split())
            return f"the submodules were not filled: {why}"
        return None
    command = f"git -C {shlex.quote(str(plan.path))} submodule update --init --recursive"
    return f"empty submodules: {some(names, 3)}; to fill them: {command}"


def _fill_submodules(top: Path, tops: Sequence[Path]) -> None:
    """Fill the submodules of a work tree, and theirs, as git does; commits that their remotes do not
    have come from the submodules of the work trees ``tops``. Raises GitError if nobody has them."""
    git = Git(top, foreign=True)
    fill = ("submodule", "update", "--quiet", "--init")
    failed = git.call(*fill).returncode != 0
    sources = {link: submodules.repository_of(tops, link) for link in submodules.links(git, "HEAD")}
    if failed:
        for link, source in sources.items():
            there = top / paths.resolved(top, link.path)
            if source is not None and (there / ".git").exists():
                one = Git(there, foreign=True)
                one.call("fetch", "-q", "--no-tags", "--", str(source.cwd), link.oid)
                one.call("checkout", "-q", "--detach", link.oid)
        git.raw(*fill)
    for link, source in sources.items():
        there = top / paths.resolved(top, link.path)
        if (there / ".gitmodules").exists():
            _fill_submodules(there, [] if source is None else [source.cwd])


def _hook(plan: WorktreePlan) -> str | None:
    """Run the post-checkout hook as ``git worktree add`` would have; with a note if it fails.

    ``git hook run`` is git 2.36 and later; an older git gets no hook.
    """
    git = Git(plan.path, foreign=True)
    done = git.call(
        "hook", "run", "--ignore-missing", "post-checkout", "--",
        "0" * len(plan.commit), plan.commit, "1",
    )  # fmt: skip
    text = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0 or "is not a git command" in text:
        return None
    last = text.splitlines()[-1] if text else f"exit code {done.returncode}"
    return f"the post-checkout hook failed: {last}"


@dataclass(frozen=True)
class PlacedOutputs:
    """The outcome for the outputs. ``missing`` lists files (and folders) that are nowhere."""

    outputs: int = 0
    used: dict[str, int] = field(default_factory=dict)  #: link type → files
    copied: int = 0  #: bytes copied
    fetched: int = 0
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    unasked: bool = False  #: a remote did not answer

    @property
    def link(self) -> str:
        """The link type of the files that are not intentional copies; "copy" if there are none."""
        return next((kind for kind in LINKS[1:] if kind in self.used), "copy")


@dataclass(frozen=True)
class GatheredFiles:
    """The files to place in a worktree, their outputs, and what is nowhere."""

    files: list[place.CachedFile]
    outputs: list[Output]
    missing: tuple[str, ...]
    fetched: int
    opened: int = 0  #: when, in nanoseconds
    partly: frozenset[str] = frozenset()  #: paths of outputs of which files are there already


@dataclass(frozen=True)
class CommitOutputs:
    """The outputs of a commit, the folders of its DVC projects, and its files, all of them there."""

    outputs: list[Output]
    roots: list[str]
    found: GatheredFiles
    hashes: checkout_state.Hashes = field(default_factory=dict)  #: what DVC is told of them


def _never_downloaded(out: Output) -> bool:
    """Whether it is an import without content yet (``dvc import --no-download``)."""
    return out.source is not None and not out.hash and not out.files


def gather(project: Project, top: Path, progress: Progress | None = None) -> GatheredFiles:
    """Return what belongs in the new worktree at ``top``, which now shares the DVC cache."""
    work = _Outputs(project, top, list_worktrees(project), progress)
    work.share()
    return work.gather(fetch=True)


class _Outputs:
    """The work on one new worktree at ``top``, whose commit is checked out."""

    def __init__(
        self,
        project: Project,
        top: Path,
        trees: Sequence[Worktree],
        progress: Progress | None,
        known: CommitOutputs | None = None,
    ) -> None:
        self.project = project
        self.top = top
        self.progress = progress
        notes: list[str] = []
        if known is None:
            git = Git(top, foreign=True)
            self.outputs = [out for out in pointers.outputs_at(git, "HEAD") if out.cached]
            listed = git.fields("ls-files", "-z", "--", ".dvc/config", "*/.dvc/config")
            roots = sorted({path.removesuffix(".dvc/config").rstrip("/") for path in listed})
            self.roots = [root for root in roots if is_dvc_repo(top / root)]
            left = [root for root in roots if root not in self.roots]  # of a sparse checkout
            if left:
                self.outputs = [out for out in self.outputs if out.root not in left]
                folders = [f"{root}/.dvc".lstrip("/") for root in left]
                add = f"git sparse-checkout add {shlex.join(folders)} && dvc checkout"
                notes.append(f"DVC is left out of this sparse checkout, with its outputs: {add}")
        else:
            self.outputs, self.roots = known.outputs, known.roots
        self.siblings = [t.path for t in trees if not (t.gone or t.bare) and t.path != top]
        self.notes = notes
        self.unasked = False

    def share(self) -> None:
        """Connect every DVC project of the worktree to its counterpart's cache."""
        for root in self.roots:
            home = home_of(self.project, root, self.siblings)
            if home is not None:
                dvc_share.share_cache(self.top / root, home)

    def put(self, commit: CommitOutputs, kinds: Sequence[str]) -> PlacedOutputs:
        """Place and record; the result lists what was unavailable."""
        found = commit.found
        files = place.with_small_copied(found.files) if len(kinds) > 1 else found.files
        linker = place.Linker(kinds)
        placed = place.place(self.top, files, linker, self.progress)
        self._empty_folders(found.outputs)
        checkout_state.remember_stats(self.project.stat_cache, self.top, placed, found.opened)
        left = {file.path for file in files} - {one.file.path for one in placed}
        partly = found.partly | {file.output.path for file in files if file.path in left}
        whole = [out for out in found.outputs if out.path not in partly]
        site = self._remember(placed, whole, commit.hashes)
        return PlacedOutputs(
            len(found.outputs), dict(linker.used), linker.copied, found.fetched,
            found.missing, tuple(self.notes), site, self.unasked,
        )  # fmt: skip

    def gather(self, *, fetch: bool) -> GatheredFiles:
        """Return what to place, fetching it if needed; places nothing."""
        wanted = [out for out in self.outputs if out.root in self.roots and (out.hash or out.files)]
        rest = [out for out in self.outputs if out not in wanted]
        without = [out.path for out in rest if not _never_downloaded(out)]
        later = [out.path for out in rest if _never_downloaded(out)]
        if later:
            self.notes.append(f"imported without a download: {some(later, 3)}; to get it: dvc pull")
        opened = now_ns()
        cached = self._find(wanted)
        fetched = 0
        if cached.lacking:
            self._restore(cached)
            cached = self._find(wanted)
        if cached.lacking and fetch:
            fetched = self._fetch(list(dict.fromkeys(cached.lacking.values())), cached.damaged)
            cached = self._find(wanted)
        shared = {r: Path(os.path.realpath(cache_dir(self.top / r))) for r in self.roots}
        absent = [f for f in cached.files if not os.path.lexists(f"{self.top}/{f.path}")]
        there = {f.path: f.output.path for f in cached.files}
        for file in absent:
            del there[file.path]
        files = place.adopt(absent, lambda out: shared[out.root])
        missing = (*cached.lacking, *without)
        return GatheredFiles(files, wanted, missing, fetched, opened, frozenset(there.values()))

    def _find(self, wanted: list[Output]) -> place.OutputFiles:
        caches = {
            root: cache_dirs(self.top / root, (other / root for other in self.siblings))
            for root in self.roots
        }
        project = self.project
        roles = {out.path: describe.role(out.path, project.config) for out in wanted}

        def is_written(path: str, out: Output) -> bool:
            """Whether training may overwrite the file: data is read, anything else is an output."""
            made = out.stage is not None or roles[out.path] is not describe.OutputRole.DATA
            return made or place.matches_glob(path, project.config.worktree_writable)

        return place.find_cached(
            wanted,
            lambda out: caches[out.root],
            is_written,
            lambda objects: file_hashes(project.main_top, objects, project.stat_cache),
        )

    def _restore(self, cached: place.OutputFiles) -> None:
        """Restore missing or damaged cache objects from work trees with their content."""
        trees = WorkTreeFiles(tuple(self.siblings))
        outputs = list(dict.fromkeys(cached.lacking.values()))
        for path in restore(self.top, outputs, trees, cached.damaged):
            self.notes.append(f"a cache object was restored from a work tree: {path}")

    def _fetch(self, outputs: list[Output], damaged: Sequence[Path]) -> int:
        """Return the number of objects fetched; a damaged one stays if no better one is available."""
        aside = {path: path.with_name(f".{path.name}.damaged") for path in damaged}
        for path, kept in aside.items():
            with suppress(FileNotFoundError):
                path.rename(kept)
        try:
            return self._fetch_from_remotes(outputs)
        finally:
            for path, kept in aside.items():
                if path.exists():
                    kept.unlink(missing_ok=True)
                    self.notes.append(f"a damaged cache object was replaced: {path}")
                elif kept.exists():
                    kept.rename(path)

    def _fetch_from_remotes(self, outputs: list[Output]) -> int:
        """Ask the current remotes, then those that the commit names: they may have moved since."""
        problems = []
        fetched = 0
        others = any(has_own_remotes(self.top / root) for root in self.roots)
        for own in (False, True) if others else (False,):
            try:
                report = remote.fetch(
                    self.top, outputs, None, self.progress, self.siblings, own=own
                )
            except XexpError as error:
                problems.append(error)
                continue
            fetched += len(report.fetched)
            if not report.missing:
                return fetched
        self.notes += [error.message for error in problems]
        self.unasked = any(not isinstance(error, NoRemote) for error in problems)
        return fetched

    def _empty_folders(self, wanted: list[Output]) -> None:
        """Create tracked folders without files as well."""
        for out in wanted:
            if out.is_dir and not (self.top / out.path).exists():
                entries = manifest(out, cache_dirs(self.top / out.root))
                if entries == ():
                    os.close(
                        paths.open_folder(self.top, paths.resolved(self.top, out.path), create=True)
                    )

    def _remember(
        self,
        placed: Sequence[place.PlacedFile],
        wanted: Sequence[Output],
        known: checkout_state.Hashes,
    ) -> tuple[str, ...]:
        """Tell DVC; it owns only outputs that were placed whole: a file there may be git's."""
        site: list[str] = []
        for root in self.roots:
            mine = [one for one in placed if one.file.output.root == root]
            outputs = [out for out in wanted if out.root == root]
            try:
                site.append(str(checkout_state.remember(self.top, root, mine, outputs, known)))
            except XexpError as error:
                self.notes.append(error.message)
        return tuple(site)


# -- undo ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorktreeMade(Step):
    """A worktree at ``path``, on ``branch`` (None: detached) at ``commit``. ``parents``: folders
    made on the way; ``exclude``: its line in ``info/exclude``, or None. ``name``, ``of`` (its kind),
    ``links`` and ``fetch`` are what finishing it needs; old logs do not have them."""

    kind: ClassVar[str] = "worktree"

    path: str
    branch: str | None
    made_branch: bool
    commit: str
    parents: list[str]
    exclude: str | None
    name: str = ""
    of: str = records.WORKTREE
    links: list[str] = field(default_factory=list)
    fetch: bool = False

    def check(self, at: UndoContext) -> Changed | None:
        path = Path(self.path)
        if Path(os.path.realpath(".")).is_relative_to(path):
            return Changed(f"you are in {path}", f"change into another folder: cd '{at.main_top}'")
        git = Git(at.places.common_dir, foreign=True)
        ref = f"refs/heads/{self.branch}"
        if self.made_branch and git.resolve(ref) not in (None, self.commit):
            return Changed(
                f"branch {self.branch} has commits of its own since the worktree was made",
                f"remove it with its safety checklist: git xexp worktree remove '{path}'",
            )
        if os.path.exists(path) and (_work_in(path) or _data_changed(at, path)):  # noqa: PTH110
            return Changed(
                f"{path} has changes", f"keep or drop them: git xexp worktree remove '{path}'"
            )
        return None

    def plan(self) -> WorktreePlan:
        """The original plan."""
        return WorktreePlan(
            self.name, Path(self.path), self.branch, self.made_branch, self.commit, self.commit,
            tuple(self.links), self.exclude, self.fetch, self.of,
        )  # fmt: skip

    def finish(self, at: UndoContext) -> Finished | None:
        """Finish a worktree that git registered and checked out completely: share the cache, and
        place every missing output; existing files stay."""
        path = Path(self.path)
        admin = admin_of(at.places.common_dir, path)
        if not self.name or admin is None or not (admin / "index").exists() or not path.is_dir():
            return None
        (admin / "index.lock").unlink(missing_ok=True)
        plan = self.plan()
        project = Project(at.git, at.places, at.notify)
        _fill(project, plan, admin, list_worktrees(project), None)
        return Finished(f"{self.name} at {path}")

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        """Remove folder, entry and branch; a folder with other files is kept."""
        path = Path(self.path)
        admin = admin_of(at.places.common_dir, path)
        # a path that is too long for a folder is an error to pathlib, and would stop each rollback
        if os.path.exists(path) and admin and _work_in(path):  # noqa: PTH110
            if undoing.why == "rollback":
                at.notify(
                    f"{path} is not complete, and holds files that are not from git: it stays"
                    f" (complete it: git -C '{path}' checkout -- . && dvc checkout)"
                )
                return
            kept = free_path(at.state / "rescued" / path.name)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, kept)
            at.notify(f"the worktree had changes: its folder is now {kept}")
        _clear(at.places.common_dir, path)
        if admin is not None:
            shutil.rmtree(admin, ignore_errors=True)
        for folder in self.parents:
            with suppress(OSError):
                Path(folder).rmdir()
        ref = f"refs/heads/{self.branch}"
        git = Git(at.places.common_dir, foreign=True)
        if self.made_branch and git.resolve(ref) == self.commit:
            git.raw("update-ref", "-d", ref, self.commit)
        exclude(at, self.exclude, present=False)


def _clear(common_dir: Path, path: Path) -> None:
    """Delete a worktree's folder, its ``.git`` last; a foreign folder stays."""
    try:
        pointer = os.fsdecode((path / ".git").read_bytes())
    except OSError:
        with suppress(OSError):
            path.rmdir()
        return
    named = path / pointer.removeprefix("gitdir: ").rstrip("\n")  # or relative: git 2.48 and later
    if not Path(os.path.normpath(named)).is_relative_to(common_dir / "worktrees"):
        return
    for entry in path.iterdir():
        if entry.name == ".git":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    (path / ".git").unlink()
    path.rmdir()


def _work_in(path: Path) -> bool:
    """Whether the folder has anything that git could not restore.

    Where git died before it wrote the index, the commit is what the files are compared with; a file
    that it was just writing is the beginning of the right one.
    """
    git = Git(path, foreign=True)
    admin = git.places().git_dir
    if (admin / "index").exists():
        return bool(git.raw("status", "--porcelain", "-z", ok=(0, 128)))
    env = {"GIT_INDEX_FILE": str(admin / "xexp-index")}
    try:
        git.raw("read-tree", "HEAD", env=env, ok=(0, 128))
        fields = git.fields("status", "--porcelain", "-z", "--no-renames", env=env)
    finally:
        (admin / "xexp-index").unlink(missing_ok=True)
    changed = [field[3:] for field in fields if field[:2] != " D"]
    return any(not _is_begun(git, path / name, name) for name in changed)


def _is_begun(git: Git, file: Path, name: str) -> bool:
    """Whether a file is the first part of what HEAD has for it."""
    whole = git.call("cat-file", "blob", f"HEAD:{name}")
    return not whole.returncode and file.is_file() and whole.stdout.startswith(file.read_bytes())


def _data_changed(at: UndoContext, path: Path) -> bool:
    from gitxexp.storage.dvc import pointers
    from gitxexp.storage.dvc.changes import changed  # late: only undo of a worktree needs them

    outputs = pointers.outputs_in(path, Git(path, foreign=True))
    return bool(changed(path, outputs, at.stat_cache, at.progress))
