"""The inputs of ``merge``, ``rebase`` and ``diff``: sources, their files, and how each is merged.

A SOURCE is, in this order: a file or glob, a worktree (its name, its folder), anything that
:mod:`gitxexp.workflows.experiments.resolve` knows (version, run, branch, tag, revision), a folder of
parquet files. How an artifact is merged is decided by the command line, by ``params.yaml``'s
``merge:``, and by the configuration::

    merge:
      strategy: merge            # or rebase, or keep (leave it alone); accumulate, replace and
      key_columns: [version]     # similar words mean the same
      table: predictions         # one name or a list; all tables without it
      data_strategy: merge
      data_key_columns: []
"""

from __future__ import annotations

import fnmatch
import glob
import posixpath
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, UsageError, XexpError
from gitxexp.repository.config import REGISTRY, STRATEGIES, Config
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.places import has_dvc, readable
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.git import Git
from gitxexp.storage.objects import Objects
from gitxexp.tables import engine
from gitxexp.tables.plan import MergeOptions, Mode
from gitxexp.tables.rules import names_rows
from gitxexp.trackers.files import read_params
from gitxexp.workflows.experiments import describe, resolve, stores
from gitxexp.workflows.experiments.describe import OutputRole

#: Keywords of ``--only``; anything else is a path or glob from the top.
GROUPS = {"results": OutputRole.RESULTS, "data": OutputRole.DATA, "models": OutputRole.MODEL}


@dataclass(frozen=True)
class IncomingFile:
    """One file to merge: its source and its path."""

    source: MergeSource
    file: Path
    path: str = ""  #: its path in the source, from the source's top


@dataclass(frozen=True)
class MergeJob:
    """One target (by path from the top of the work tree) and everything merged into it."""

    path: str
    strategy: MergeStrategy
    incoming: tuple[IncomingFile, ...]
    output: Output | None  #: the target's pointer, here or (if new) at the source


@dataclass(frozen=True)
class MergeInputs:
    """The jobs of one command, the models to add as candidates, and notes."""

    jobs: tuple[MergeJob, ...]
    models: tuple[IncomingFile, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """Which artifacts: ``only`` holds words of :data:`GROUPS`, paths and globs; () is all rows."""

    only: tuple[str, ...] = ()
    models: bool = False

    def takes(self, path: str, role: OutputRole) -> bool:
        """Whether rows of the artifact are wanted."""
        if not self.only:
            return role is not OutputRole.MODEL
        return any(
            GROUPS[word] is role if word in GROUPS else _is(path, word) for word in self.only
        )

    @property
    def paths(self) -> list[str]:
        """The paths among ``only``, without globs."""
        return [w for w in self.only if w not in GROUPS and not set(w) & set("*?[")]


def _is(path: str, word: str) -> bool:
    word = word.removeprefix("./").rstrip("/")
    return path == word or path.startswith(word + "/") or fnmatch.fnmatchcase(path, word)


def find_jobs(
    project: Project,
    names: Sequence[str],
    selection: Selection,
    contents: CommitContents,
    strategy: str | None = None,
    mode: Mode | None = None,
) -> MergeInputs:
    """Plan the merge of the sources ``names``. ``mode`` fixes the mode (for ``rebase``).

    Raises XexpError for an unknown source, NoAnswer if there is nothing to merge.
    """
    finder = _InputFinder(project, selection, contents)
    given = list(dict.fromkeys(one for name in names for one in expanded(project, name)))
    for name in given[finder.first_is_target(given) :]:
        finder.add(find_sources(project, name))
    if not finder.incoming and not finder.models:
        raise _nothing(project, names, selection, finder.elsewhere)
    jobs = []
    notes = list(finder.notes)
    section, file = params_section(project.top, project.config)
    for path, (role, incoming) in finder.incoming.items():
        chosen = strategy_for(role, project.config, section, file, strategy)
        if mode is not None:
            chosen = MergeStrategy(mode, chosen.key, chosen.tables, f"git xexp {mode}")
        if chosen.mode is None:
            notes.append(f"{path} is left alone: {chosen.where}")
            continue
        jobs.append(MergeJob(path, chosen, tuple(incoming), finder.outputs.get(path)))
    return MergeInputs(tuple(jobs), tuple(finder.models), tuple(notes))


def _nothing(
    project: Project, names: Sequence[str], selection: Selection, elsewhere: str
) -> NoAnswer:
    what = f" ({', '.join(selection.only)})" if selection.only else ""
    return NoAnswer(
        f"{', '.join(names)}: no results database or data file to merge{what}",
        f"for those of the project there: cd {project.typed(elsewhere)}"
        if elsewhere
        else "name what is to be merged: [results] databases in .xexp/config.toml, or --only PATH",
    )


class _InputFinder:
    def __init__(self, project: Project, selection: Selection, contents: CommitContents) -> None:
        self.project, self.selection, self.contents = project, selection, contents
        top = project.top
        self.here = {o.path: o for o in pointers.outputs_in(top)} if has_dvc(top) else {}
        self.outputs: dict[str, Output] = dict(self.here)
        self.incoming: dict[str, tuple[OutputRole, list[IncomingFile]]] = {}
        self.models: list[IncomingFile] = []
        self.notes: list[str] = []
        self.into = ""  #: the target of plain files, if the first of them is the target
        self.elsewhere = ""  #: the folder of another project that has rows

    def first_is_target(self, names: Sequence[str]) -> int:
        """Return 1 if the first of several files is a results database of this project, else 0.

        The others are then merged into it. Raises XexpError if it is in the work tree but neither
        tracked nor configured: it may be a part like the others.
        """
        if len(names) < 2 or self.selection.paths or not all(map(_names_files, names)):
            return 0
        path = self.project.inside(Path(names[0]).resolve())
        if path is None:
            return 0
        tracked = path in self.here or bool(self.project.at_top.ls_tree("HEAD", path))
        if not tracked and path not in self.project.config.results_databases:
            files = " ".join(shlex.quote(name) for name in names)
            raise XexpError(
                f"{names[0]} is not tracked: it may be the target or one of the sources",
                f"to merge the others into it: git xexp merge {files} -o {shlex.quote(names[0])}",
            )
        self.into = path
        return 1

    def add(self, source: MergeSource) -> None:
        """Add everything from one source."""
        if source.files:
            path = self.target_of(source)
            role = describe.role(path, self.project.config)
            self.incoming.setdefault(path, (role, []))[1].extend(
                IncomingFile(source, file) for file in source.files
            )
            return
        place = self.project.config.place
        for artifact in mergeable_files(self.project, source):
            if place is not None and not place.has(artifact.path):  # it has rules of its own
                self.elsewhere = place.other_of(artifact.path)
                continue
            if artifact.role is OutputRole.MODEL:
                self.add_models(source, artifact)
            if not self.selection.takes(artifact.path, artifact.role):
                continue
            if not engine.mergeable(artifact.path):
                if artifact.role is not OutputRole.MODEL and self.differs(artifact):
                    self.notes.append(f"{artifact.path} has no rows to merge: left as it is here")
                continue
            file = self.content(source, artifact.path)
            if file is not None:
                if artifact.output is not None:
                    self.outputs.setdefault(artifact.path, artifact.output)
                self.incoming.setdefault(artifact.path, (artifact.role, []))[1].append(
                    IncomingFile(source, file, artifact.path)
                )

    def add_models(self, source: MergeSource, artifact: MergeableFile) -> None:
        """Add a model that differs from ours as a candidate, if models were requested."""
        asked = self.selection.models or "models" in self.selection.only
        if asked and self.differs(artifact) and not (artifact.output and artifact.output.is_dir):
            file = self.content(source, artifact.path)
            if file is not None:
                self.models.append(IncomingFile(source, file, artifact.path))

    def differs(self, artifact: MergeableFile) -> bool:
        """Whether the artifact's pointer differs from this work tree's."""
        mine = self.here.get(artifact.path)
        return artifact.output is None or mine is None or mine.hash != artifact.output.hash

    def content(self, source: MergeSource, path: str) -> Path | None:
        """Return the file of a source: from its work tree, else from its commit."""
        if source.worktree is not None:
            file = readable(source.worktree, path)
            if file is not None and file.is_file():
                return file
        return self.contents.at(source.commit, path) if source.commit else None

    def target_of(self, source: MergeSource) -> str:
        """Return the artifact that plain files are merged into."""
        top, paths = self.project.top, self.selection.paths
        if self.into or len(paths) == 1:
            return self.into or paths[0]
        known = [p.relative_to(top).as_posix() for p in stores.databases(top, self.project.config)]
        # A configured one may be created by its first merge; else any output with rows.
        known = known or stores.absent_databases(top, self.project.config)
        known = known or [path for path in self.here if engine.mergeable(path)]
        same = [path for path in known if Path(path).name == source.files[0].name]
        for choice in (same, known):
            if len(choice) == 1:
                return choice[0]
        raise XexpError(
            f"cannot tell what {source.name} is to be merged into",
            f"say so: --only PATH ({', '.join(known) or 'no database is configured'}),"
            " or write a new file: -o FILE",
        )


@dataclass(frozen=True)
class MergeSource:
    """One SOURCE: plain ``files``, or a ``commit`` and possibly the work tree at that commit."""

    name: str
    files: tuple[Path, ...] = ()
    commit: str | None = None
    worktree: Path | None = None  #: its current files take precedence over the commit's
    version: str = ""  #: the experiment tagged at the commit itself
    run: str = ""  #: the experiment's run


@dataclass(frozen=True)
class MergeableFile:
    """One mergeable file of a source, by path from the top."""

    path: str
    role: OutputRole
    output: (
        Output | None
    )  #: the pointer that a commit or work tree has for it; None: tracked by git


def expanded(project: Project, name: str) -> list[str]:
    """Expand a glob to names of worktrees, else of branches, else of versions.

    Returned unchanged if it is not a glob, or matches files. Raises XexpError if nothing matches.
    """
    if not glob.has_magic(name) or _names_files(name):
        return [name]
    branch = project.config.worktree_branch.replace("{name}", "")
    trees = [t for t in project.worktrees() if Path(t["worktree"]) != project.places.top]
    folders = [Path(tree["worktree"]).name for tree in trees]
    made = [tree.get("branch", "").removeprefix(f"refs/heads/{branch}") for tree in trees]
    here, _ = project.git.head()
    branches = [b.removeprefix("refs/heads/") for b in project.git.refs("refs/heads")]
    every = (made, folders, [b for b in branches if b != here],
             [e.name for e in project.experiments()])  # fmt: skip
    for names in every:
        matching = [known for known in names if fnmatch.fnmatchcase(known, name)]
        if matching:
            return list(dict.fromkeys(matching))
    raise XexpError(
        f"no worktree, branch or version is named like '{name}'", "git xexp worktree list"
    )


def find_sources(project: Project, name: str) -> MergeSource:
    """Resolve ``name``. Raises XexpError with candidates if it is unknown."""
    if _names_files(name):
        return MergeSource(name, tuple(engine.expand([name])))
    tree = worktree(project, name)
    if tree is not None:
        path = Path(tree["worktree"])
        return MergeSource(name, (), tree.get("HEAD"), path, *_version(project, tree.get("HEAD")))
    try:
        resolved = resolve.resolve(project, name)
    except XexpError:
        if Path(name).is_dir():
            return MergeSource(name, tuple(engine.expand([name])))
        raise
    exact = resolved.experiment if resolved.exact else None
    known = (exact.name, exact.payload.run) if exact else ("", "")
    return MergeSource(name, (), resolved.commit, None, *known)


def _names_files(name: str) -> bool:
    if Path(name).is_file():
        return True
    return engine.mergeable(name) and (glob.has_magic(name) or not Path(name).exists())


def _version(project: Project, commit: str | None) -> tuple[str, str]:
    nearest = resolve.nearest(project, commit, project.tags()) if commit else None
    exact = nearest if nearest and nearest.commit == commit else None
    return (exact.name, exact.payload.run) if exact else ("", "")


def worktree(project: Project, name: str) -> dict[str, str] | None:
    """The other work tree that ``name`` names: its experiment, its folder or its path."""
    branch = "refs/heads/" + project.config.worktree_branch.replace("{name}", name)
    for tree in project.worktrees():
        path = Path(tree["worktree"])
        if "bare" in tree or path == project.places.top or not path.is_dir():
            continue
        if name == path.name or tree.get("branch") == branch or Path(name).absolute() == path:
            return tree
    return None


def mergeable_files(
    project: Project, source: MergeSource, *, every: bool = False
) -> list[MergeableFile]:
    """The artifacts of a repository source: results, data and models, by path.

    ``every`` includes unconfigured databases and data files that git tracks.
    """
    assert source.commit is not None
    config, git = project.config, project.commits
    files_by_path: dict[str, MergeableFile] = {}
    trees: list[tuple[list[Output], list[str]]] = [
        (
            pointers.outputs_at(git, source.commit),
            [e.path for e in git.ls_tree(source.commit, recursive=True)],
        )
    ]
    if source.worktree is not None:
        here = Git(source.worktree, foreign=True)
        trees.append(
            (pointers.outputs_in(source.worktree, here), _present(source.worktree, config))
        )
    for outputs, files in trees:
        for out in outputs:
            if out.cached:
                files_by_path[out.path] = MergeableFile(
                    out.path, describe.role(out.path, config), out
                )
        for path in files:
            wanted = engine.mergeable(path) if every else _is_configured(path, config)
            if path not in files_by_path and wanted:
                files_by_path[path] = MergeableFile(path, describe.role(path, config), None)
    return [files_by_path[path] for path in sorted(files_by_path) if path != REGISTRY]


def _present(top: Path, config: Config) -> list[str]:
    """Return configured databases and data of a work tree that are not tracked yet."""
    patterns = (*config.results_databases, *config.data_paths)
    return [path.relative_to(top).as_posix() for path in _globbed(top, patterns)]


def _globbed(top: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        if glob.has_magic(pattern):
            yield from (path for path in top.glob(pattern) if path.is_file() and _stays(top, path))
        elif (top / pattern).is_file() and readable(top, pattern):
            yield top / pattern


def _stays(top: Path, path: Path) -> bool:
    return readable(top, path.relative_to(top).as_posix()) is not None


def _is_configured(path: str, config: Config) -> bool:
    patterns = (*config.results_databases, *config.data_paths)
    return engine.mergeable(path) and any(fnmatch.fnmatchcase(path, p) for p in patterns)


_MODES = {"merge": Mode.MERGE, "rebase": Mode.REBASE, "keep": None}
_WORDS: dict[str, Mode | None] = {
    word: _MODES[name] for name, others in STRATEGIES.items() for word in (name, *others)
}


@dataclass(frozen=True)
class MergeStrategy:
    """``mode`` None leaves the artifact alone; ``where`` says what decided."""

    mode: Mode | None
    key: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    where: str = "the default"

    def over(self, options: MergeOptions) -> MergeOptions:
        """Return the options with this strategy's mode, and with its key and tables if they name
        none."""
        mode = self.mode or Mode.MERGE
        own = self.key if mode is Mode.REBASE or names_rows(self.key) else ()
        return replace(
            options,
            mode=mode,
            key=options.key or own,
            tables=options.tables or self.tables,
        )


def parse(word: str, where: str) -> Mode | None:
    """Parse a mode; raises UsageError for an unknown one."""
    lowered = word.strip().lower()
    if lowered not in _WORDS:
        raise UsageError(f"{where}: '{word}' is not a strategy", "use merge, rebase or keep")
    return _WORDS[lowered]


def params_section(top: Path, config: Config) -> tuple[dict[str, Any], str]:
    """The ``merge:`` section of the first parameter file that has one, and that file's name."""
    for name in config.params_files:
        file = readable(top, name)
        if file is not None and file.is_file():
            section = read_params(file).get("merge")
            if isinstance(section, Mapping):
                return dict(section), name
    return {}, ""


def strategy_of_file(project: Project | None, out: Path, asked: str | None) -> MergeStrategy:
    """How plain files are merged into ``out``, by the parameters of the project or this folder."""
    config = Config() if project is None else project.config
    top = Path.cwd() if project is None else project.top
    path = (project.inside(out.resolve()) if project else None) or out.name
    section, file = params_section(top, config)
    return strategy_for(describe.role(path, config), config, section, file, asked)


def strategy_for(
    role: OutputRole,
    config: Config,
    section: Mapping[str, Any],
    file: str,
    asked: str | None = None,
) -> MergeStrategy:
    """How artifacts of ``role`` are merged; ``asked`` (the command line) wins, then ``section``.

    Raises UsageError for an invalid word or list.
    """
    prefix = "data_" if role is OutputRole.DATA else ""
    word, where = asked, "--strategy"
    if word is None:
        word, where = section.get(f"{prefix}strategy"), f"{prefix}strategy in {file}"
    if word is None:
        word = config.merge_data_strategy if prefix else config.merge_strategy
        where = f"[merge] {prefix}strategy"
    key = _names(section.get(f"{prefix}key_columns"), f"{prefix}key_columns in {file}")
    key = key or (config.merge_data_key if prefix else config.merge_key)
    tables = () if prefix else _names(section.get("table"), f"table in {file}")
    if not word:
        return MergeStrategy(Mode.MERGE, key, tables)
    if not isinstance(word, str):
        raise UsageError(f"{where}: expected a word", "use merge, rebase or keep")
    return MergeStrategy(parse(word, where), key, tables, where)


def _names(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise XexpError(f"{where}: expected a name or a list of names", "fix the parameter file")


@dataclass
class CommitContents:
    """Files of commits: intact cache objects in place, anything else in ``folder``."""

    project: Project
    folder: Path  #: a private folder that the caller removes
    progress: Callable[[int, int, str], None] | None = None
    _outputs: dict[str, dict[str, Output]] = field(default_factory=dict)
    _count: int = 0

    def outputs(self, commit: str) -> dict[str, Output]:
        """The DVC outputs of a commit by path."""
        if commit not in self._outputs:
            outputs = pointers.outputs_at(self.project.commits, commit)
            self._outputs[commit] = {out.path: out for out in outputs if out.cached}
        return self._outputs[commit]

    def at(self, commit: str, path: str) -> Path | None:
        """Return the file ``path`` of ``commit``; None if the commit has no such file.

        Raises XexpError if it has one but no cache or remote has a valid copy.
        """
        out = self.outputs(commit).get(path)
        if out is not None and out.oid and not out.is_dir:
            cached = self.cached(out)
            if cached is not None:
                return cached
        elif out is None and not self._known(commit, path):
            return None
        return self._get(commit, path)

    def cached(self, out: Output) -> Path | None:
        """The object of an output in the nearest cache with an intact copy."""
        return self.objects.sound(out)

    @cached_property
    def objects(self) -> Objects:
        """The objects of this work tree."""
        return Objects(self.project.store, self.project.tops)

    def _known(self, commit: str, path: str) -> bool:
        entries = self.project.commits.ls_tree(commit, path)
        if any(entry.kind == "blob" for entry in entries):
            return True
        return any(path.startswith(out + "/") for out in self.outputs(commit))

    def _get(self, commit: str, path: str) -> Path:
        from gitxexp.workflows.artifacts.get import (  # late: only needed for objects that no cache has
            GetRequest,
            get,
        )

        self._count += 1
        target = self.folder / str(self._count) / Path(path).name
        request = GetRequest(commit, (path,), out=target, force=True)
        at_top = Project(
            self.project.commits,
            self.project.places._replace(prefix=""),
            folder=self.project.folder,
        )
        get(at_top, request, self.progress)
        return target


def choose_paths(project: Project, wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return those of ``known`` at or below ``wanted`` (default: all); a database includes its
    pointer.

    Raises UsageError for an unknown one.
    """
    names = sorted(known)
    if not wanted:
        return names
    chosen: dict[str, None] = {}
    for given in wanted:
        candidates = (posixpath.normpath(project.places.prefix + given), posixpath.normpath(given))
        matching = [n for n in names if any(_is_named(n, path) for path in candidates)]
        if not matching:
            raise UsageError(
                f"'{given}' is not one of: {', '.join(names) or 'nothing'}", "use one of them"
            )
        chosen.update(dict.fromkeys(matching))
    return list(chosen)


def _is_named(name: str, path: str) -> bool:
    return path in (".", name, name.removesuffix(".dvc")) or name.startswith(path + "/")
