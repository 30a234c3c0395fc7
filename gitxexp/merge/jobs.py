"""Which files are merged into which: the work of one ``merge`` or ``rebase``, found but not done."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitxexp import collect, describe, dvcio, pointers
from gitxexp.describe import Role
from gitxexp.errors import NoAnswer, XexpError
from gitxexp.merge import engine, sources, strategies
from gitxexp.merge.contents import Contents
from gitxexp.merge.plan import Mode
from gitxexp.merge.sources import Source
from gitxexp.merge.strategies import Strategy
from gitxexp.pointers import Output
from gitxexp.project import Project

#: Words that ``--only`` knows; anything else is a path or glob from the top.
GROUPS = {"results": Role.RESULTS, "data": Role.DATA, "models": Role.MODEL}


@dataclass(frozen=True)
class Incoming:
    """One file to merge: who it comes from and where it lies."""

    source: Source
    file: Path
    path: str = ""  #: what the source calls it, from its top


@dataclass(frozen=True)
class Job:
    """One target (by path from the top of the work tree) and all that goes into it."""

    path: str
    strategy: Strategy
    incoming: tuple[Incoming, ...]
    output: Output | None  #: the target's pointer, here or (for a new one) at the source


@dataclass(frozen=True)
class Found:
    """The jobs of one command, the models to lay beside, and remarks."""

    jobs: tuple[Job, ...]
    models: tuple[Incoming, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """Which artifacts: ``only`` holds words of :data:`GROUPS`, paths and globs; () is all rows."""

    only: tuple[str, ...] = ()
    models: bool = False

    def takes(self, path: str, role: Role) -> bool:
        """Whether rows of the artifact are wanted."""
        if not self.only:
            return role is not Role.MODEL
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


def find(
    project: Project,
    names: Sequence[str],
    selection: Selection,
    contents: Contents,
    strategy: str | None = None,
    mode: Mode | None = None,
) -> Found:
    """What merging the sources ``names`` would work on. ``mode`` fixes it (the verb ``rebase``).

    Raises XexpError for a source that means nothing, NoAnswer when there is nothing to merge.
    """
    finder = _Finder(project, selection, contents)
    for name in dict.fromkeys(one for glob in names for one in sources.expanded(project, glob)):
        finder.add(sources.find(project, name))
    if not finder.incoming and not finder.models:
        raise _nothing(names, selection)
    jobs = []
    notes = list(finder.notes)
    section, file = strategies.params_section(project.top, project.config)
    for path, (role, incoming) in finder.incoming.items():
        chosen = strategies.strategy(role, project.config, section, file, strategy)
        if mode is not None:
            chosen = Strategy(mode, chosen.key, chosen.tables, f"git xexp {mode}")
        if chosen.mode is None:
            notes.append(f"{path} is left alone: {chosen.where}")
            continue
        jobs.append(Job(path, chosen, tuple(incoming), finder.outputs.get(path)))
    return Found(tuple(jobs), tuple(finder.models), tuple(notes))


def _nothing(names: Sequence[str], selection: Selection) -> NoAnswer:
    what = f" ({', '.join(selection.only)})" if selection.only else ""
    return NoAnswer(
        f"{', '.join(names)}: no results database or data file to merge{what}",
        "name what is to be merged: [results] databases in .xexp/config.toml, or --only PATH",
    )


class _Finder:
    def __init__(self, project: Project, selection: Selection, contents: Contents) -> None:
        self.project, self.selection, self.contents = project, selection, contents
        top = project.top
        self.here = {o.path: o for o in pointers.outputs_in(top)} if _dvc(top) else {}
        self.outputs: dict[str, Output] = dict(self.here)
        self.incoming: dict[str, tuple[Role, list[Incoming]]] = {}
        self.models: list[Incoming] = []
        self.notes: list[str] = []

    def add(self, source: Source) -> None:
        """Everything of one source."""
        if source.files:
            path = self.target_of(source)
            role = describe.role(path, self.project.config)
            self.incoming.setdefault(path, (role, []))[1].extend(
                Incoming(source, file) for file in source.files
            )
            return
        for artifact in sources.artifacts(self.project, source):
            if artifact.role is Role.MODEL:
                self.add_models(source, artifact)
            if not self.selection.takes(artifact.path, artifact.role):
                continue
            if not engine.mergeable(artifact.path):
                if artifact.role is not Role.MODEL and self.differs(artifact):
                    self.notes.append(f"{artifact.path} has no rows to merge: left as it is here")
                continue
            file = self.content(source, artifact.path)
            if file is not None:
                if artifact.output is not None:
                    self.outputs.setdefault(artifact.path, artifact.output)
                self.incoming.setdefault(artifact.path, (artifact.role, []))[1].append(
                    Incoming(source, file, artifact.path)
                )

    def add_models(self, source: Source, artifact: sources.Artifact) -> None:
        """A model that is another than here goes beside, if models were asked for."""
        asked = self.selection.models or "models" in self.selection.only
        if asked and self.differs(artifact) and not (artifact.output and artifact.output.is_dir):
            file = self.content(source, artifact.path)
            if file is not None:
                self.models.append(Incoming(source, file, artifact.path))

    def differs(self, artifact: sources.Artifact) -> bool:
        """Whether the artifact's pointer is another than this work tree's."""
        mine = self.here.get(artifact.path)
        return artifact.output is None or mine is None or mine.hash != artifact.output.hash

    def content(self, source: Source, path: str) -> Path | None:
        """The file of a source: as its work tree has it now, else as its commit has it."""
        if source.worktree is not None and (source.worktree / path).is_file():
            return source.worktree / path
        return self.contents.at(source.commit, path) if source.commit else None

    def target_of(self, source: Source) -> str:
        """The artifact that plain files are merged into."""
        top, paths = self.project.top, self.selection.paths
        if len(paths) == 1:
            return paths[0]
        known = [p.relative_to(top).as_posix() for p in collect.databases(top, self.project.config)]
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


def _dvc(top: Path) -> bool:
    return dvcio.is_dvc_repo(top) or any(top.glob("*/.dvc"))
