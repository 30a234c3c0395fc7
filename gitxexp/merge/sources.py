"""What a SOURCE on the command line means, and the files of it that can be merged.

In this order: a file or glob, a worktree (its name, its folder), anything that
:mod:`gitxexp.resolving` knows (version, run, branch, tag, revision), a folder of parquet files.
"""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitxexp import describe, pointers, resolving
from gitxexp.config import REGISTRY, Config
from gitxexp.describe import Role
from gitxexp.errors import XexpError
from gitxexp.gitio import Git
from gitxexp.merge import engine
from gitxexp.pointers import Output
from gitxexp.project import Project


@dataclass(frozen=True)
class Source:
    """One SOURCE: plain ``files``, or a ``commit`` and perhaps the work tree that stands on it."""

    name: str
    files: tuple[Path, ...] = ()
    commit: str | None = None
    worktree: Path | None = None  #: its files as they are now come before the commit's
    version: str = ""  #: the experiment tagged at the commit itself
    run: str = ""  #: and its run


@dataclass(frozen=True)
class Artifact:
    """One mergeable file of a source, by path from the top."""

    path: str
    role: Role
    output: Output | None  #: the pointer that a commit or work tree has for it; None: git has it


def expanded(project: Project, name: str) -> list[str]:
    """The names that a glob stands for: of worktrees, else of branches, else of versions.

    Itself where it is no glob, or one of files. Raises XexpError when nothing has such a name.
    """
    if not glob.has_magic(name) or _names_files(name):
        return [name]
    branch = project.config.worktree_branch.replace("{name}", "")
    trees = [t for t in project.worktrees() if Path(t["worktree"]) != project.top]
    folders = [Path(tree["worktree"]).name for tree in trees]
    made = [tree.get("branch", "").removeprefix(f"refs/heads/{branch}") for tree in trees]
    here, _ = project.git.head()
    branches = [b.removeprefix("refs/heads/") for b in project.git.refs("refs/heads")]
    every = (made, folders, [b for b in branches if b != here],
             [e.name for e in project.experiments()])  # fmt: skip
    for names in every:
        found = [known for known in names if fnmatch.fnmatchcase(known, name)]
        if found:
            return list(dict.fromkeys(found))
    raise XexpError(
        f"no worktree, branch or version is named like '{name}'", "git xexp worktree list"
    )


def find(project: Project, name: str) -> Source:
    """What ``name`` means. Raises XexpError with candidates when it means nothing."""
    if _names_files(name):
        return Source(name, tuple(engine.expand([name])))
    tree = worktree(project, name)
    if tree is not None:
        path = Path(tree["worktree"])
        return Source(name, (), tree.get("HEAD"), path, *_version(project, tree.get("HEAD")))
    try:
        found = resolving.resolve(project, name)
    except XexpError:
        if Path(name).is_dir():
            return Source(name, tuple(engine.expand([name])))
        raise
    exact = found.experiment if found.exact else None
    known = (exact.name, exact.payload.run) if exact else ("", "")
    return Source(name, (), found.commit, None, *known)


def _names_files(name: str) -> bool:
    if Path(name).is_file():
        return True
    return engine.mergeable(name) and (glob.has_magic(name) or not Path(name).exists())


def _version(project: Project, commit: str | None) -> tuple[str, str]:
    found = resolving.nearest(project, commit, project.experiments()) if commit else None
    exact = found if found and found.commit == commit else None
    return (exact.name, exact.payload.run) if exact else ("", "")


def worktree(project: Project, name: str) -> dict[str, str] | None:
    """The other work tree that ``name`` names: its experiment, its folder or its path."""
    branch = "refs/heads/" + project.config.worktree_branch.replace("{name}", name)
    for tree in project.worktrees():
        path = Path(tree["worktree"])
        if "bare" in tree or path == project.top or not path.is_dir():
            continue
        if name == path.name or tree.get("branch") == branch or Path(name).absolute() == path:
            return tree
    return None


def artifacts(project: Project, source: Source, *, every: bool = False) -> list[Artifact]:
    """The artifacts of a repository source: results, data and models, by path.

    ``every`` also takes the databases and data files that git tracks and nobody configured.
    """
    assert source.commit is not None
    config, git = project.config, project.at_top
    found: dict[str, Artifact] = {}
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
                found[out.path] = Artifact(out.path, describe.role(out.path, config), out)
        for path in files:
            wanted = engine.mergeable(path) if every else _is_configured(path, config)
            if path not in found and wanted:
                found[path] = Artifact(path, describe.role(path, config), None)
    return [found[path] for path in sorted(found) if path != REGISTRY]


def _present(top: Path, config: Config) -> list[str]:
    """Configured databases and data of a work tree that nobody tracks yet."""
    patterns = (*config.results_databases, *config.data_paths)
    return [path.relative_to(top).as_posix() for path in _globbed(top, patterns)]


def _globbed(top: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        if glob.has_magic(pattern):
            yield from (path for path in top.glob(pattern) if path.is_file())
        elif (top / pattern).is_file():
            yield top / pattern


def _is_configured(path: str, config: Config) -> bool:
    patterns = (*config.results_databases, *config.data_paths)
    return engine.mergeable(path) and any(fnmatch.fnmatchcase(path, p) for p in patterns)
