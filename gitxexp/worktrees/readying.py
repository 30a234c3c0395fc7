"""A new worktree made ready: the cache shared, every output placed, what lacks fetched or named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gitxexp import dvcio, pointers
from gitxexp.config import LINKS
from gitxexp.dvcio import Progress, placing, sharing
from gitxexp.errors import XexpError
from gitxexp.gitio import Git
from gitxexp.pointers import Output
from gitxexp.project import Project
from gitxexp.worktrees.known import home_of, trees


@dataclass(frozen=True)
class Ready:
    """What became of the outputs. ``missing`` names files (and folders) that nobody has."""

    outputs: int = 0
    used: dict[str, int] = field(default_factory=dict)  #: link type → files
    copied: int = 0  #: bytes really copied
    fetched: int = 0
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    site: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """The link type of the files that are not copies on purpose; "copy" if there are none."""
        return next((kind for kind in LINKS[1:] if kind in self.used), "copy")


class Readying:
    """The work on one new worktree at ``top``, whose commit is checked out."""

    def __init__(self, project: Project, top: Path, progress: Progress | None) -> None:
        self.project = project
        self.top = top
        self.progress = progress
        git = Git(top, foreign=True)
        self.outputs = [out for out in pointers.outputs_at(git, "HEAD") if out.cached]
        listed = git.fields("ls-files", "-z", "--", ".dvc/config", "*/.dvc/config")
        self.roots = sorted({path.removesuffix(".dvc/config").rstrip("/") for path in listed})
        self.siblings = [t.path for t in trees(project) if not (t.gone or t.bare) and t.path != top]
        self.notes: list[str] = []

    def share(self) -> None:
        """Every DVC project of the worktree on the cache of its counterpart."""
        for root in self.roots:
            home = home_of(self.project, root, self.siblings)
            if home is not None:
                sharing.share(self.top / root, home)

    def run(self, kinds: Sequence[str], *, fetch: bool) -> Ready:
        """Fetch, place and record; the answer says what could not be had."""
        wanted = [out for out in self.outputs if out.root in self.roots and (out.hash or out.files)]
        without = [out.path for out in self.outputs if out not in wanted]
        survey = self._survey(wanted)
        fetched = 0
        if survey.lacking and fetch:
            fetched = self._fetch(list(dict.fromkeys(survey.lacking.values())), survey.damaged)
            survey = self._survey(wanted)
        linker = placing.Linker(kinds)
        shared = {r: Path(os.path.realpath(dvcio.cache_dir(self.top / r))) for r in self.roots}
        items = placing.adopt(survey.items, lambda out: shared[out.root])
        placing.place(self.top, items, linker, self.progress)
        self._empty_folders(wanted)
        site = self._remember(items, wanted)
        return Ready(
            len(wanted), dict(linker.used), linker.copied, fetched,
            (*survey.lacking, *without), tuple(self.notes), site,
        )  # fmt: skip

    def _survey(self, wanted: list[Output]) -> placing.Survey:
        caches = {
            root: dvcio.cache_dirs(self.top / root, (other / root for other in self.siblings))
            for root in self.roots
        }
        writable = self.project.config.worktree_writable
        return placing.survey(wanted, lambda out: caches[out.root], writable)

    def _fetch(self, outputs: list[Output], damaged: Sequence[Path]) -> int:
        """The number of objects that came; a damaged one stays if no better one can be had."""
        aside = {path: path.with_name(f".{path.name}.damaged") for path in damaged}
        for path, kept in aside.items():
            with suppress(FileNotFoundError):
                path.rename(kept)
        try:
            report = dvcio.fetch(self.top, outputs, None, self.progress, self.siblings)
            return len(report.fetched)
        except XexpError as error:
            self.notes.append(error.message)
            return 0
        finally:
            for path, kept in aside.items():
                if path.exists():
                    kept.unlink(missing_ok=True)
                    self.notes.append(f"a damaged cache object was replaced: {path}")
                elif kept.exists():
                    kept.rename(path)

    def _empty_folders(self, wanted: list[Output]) -> None:
        """A tracked folder without files is a folder all the same."""
        for out in wanted:
            if out.is_dir and not (self.top / out.path).exists():
                entries = dvcio.manifest(out, dvcio.cache_dirs(self.top / out.root))
                if entries == ():
                    (self.top / out.path).mkdir(parents=True, exist_ok=True)

    def _remember(self, items: list[placing.Item], wanted: list[Output]) -> tuple[str, ...]:
        sharing.remember_stats(self.project.stat_cache, self.top, items)
        site: list[str] = []
        for root in self.roots:
            mine = [item for item in items if item.output.root == root]
            outputs = [out for out in wanted if out.root == root]
            try:
                site.append(str(sharing.remember(self.top, root, mine, outputs)))
            except XexpError as error:
                self.notes.append(error.message)
        return tuple(site)
