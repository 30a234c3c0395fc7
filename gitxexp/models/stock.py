"""What a slot holds in this work tree: production and candidates, as they are and as recorded."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitxexp import dvcio, pointers
from gitxexp.errors import XexpError
from gitxexp.models import slots
from gitxexp.models.slots import Slot
from gitxexp.pointers import File, Output
from gitxexp.project import Project

if TYPE_CHECKING:
    from gitxexp.dvcio import Progress


class Model(NamedTuple):
    """One model file. ``hash`` is of what is there ("md5:…"), else what its pointer says."""

    slot: str
    path: str  #: from the top of the work tree
    run: str | None
    production: bool
    hash: str
    size: int | None
    recorded: str | None = None  #: the hash in its pointer
    there: bool = True  #: in the work tree
    legacy: bool = False  #: in DVC's 2.x cache layout
    root: str = ""  #: the DVC project's folder
    remote: str | None = None  #: the remote that its output names
    mtime: float = 0.0  #: seconds since 1970, 0 when it is not there

    @property
    def state(self) -> str:
        """tracked, edited (differs from its pointer), untracked, or "not checked out"."""
        if not self.there:
            return "not checked out"
        if self.recorded is None:
            return "untracked"
        return "tracked" if self.recorded == self.hash else "edited"

    @property
    def oid(self) -> str:
        """The hash without its algorithm."""
        return self.hash.partition(":")[2]

    def as_output(self) -> Output:
        """The file as an output of its own, as remotes and caches are asked for it."""
        return Output(
            path=self.path, hash=self.hash, size=self.size, nfiles=None, remote=self.remote,
            pointer=f"{self.path}.dvc", stage=None, legacy=self.legacy, root=self.root,
        )  # fmt: skip


class Stock(NamedTuple):
    """One slot. ``output`` is the candidates' folder as DVC tracks it, None when it does not."""

    slot: Slot
    production: Model | None
    candidates: tuple[Model, ...]
    output: Output | None = None
    listed: bool = True  #: the folder's list of files (its manifest) could be read

    @property
    def models(self) -> tuple[Model, ...]:
        """Production first, then the candidates."""
        return (*((self.production,) if self.production else ()), *self.candidates)


class Shelf:
    """The slots of a work tree, read once."""

    def __init__(self, project: Project, progress: Progress | None = None) -> None:
        self.project = project
        self.progress = progress
        self._caches: dict[str, list[Path]] = {}
        self._own: dict[str, list[Path]] = {}

    @cached_property
    def outputs(self) -> list[Output]:
        """The outputs of the work tree; none where DVC is not set up."""
        if not dvcio.is_dvc_repo(self.project.top):
            return []
        return pointers.outputs_in(self.project.top, self.project.git)

    @cached_property
    def slots(self) -> list[Slot]:
        """The configured slots."""
        return slots.slots(self.project.config, self.outputs)

    @cached_property
    def siblings(self) -> list[Path]:
        """The tops of the other worktrees."""
        top = self.project.top
        trees = (Path(tree["worktree"]) for tree in self.project.worktrees())
        return [path for path in trees if path != top]

    def caches(self, root: str) -> list[Path]:
        """The caches that may hold an object of the DVC project ``root``, this worktree's first."""
        if root not in self._caches:
            places = (place / root for place in self.siblings)
            self._caches[root] = dvcio.cache_dirs(self.project.top / root, places)
        return self._caches[root]

    def own_cache(self, root: str) -> list[Path]:
        """The cache that this work tree uses, if it is there; asks git nothing."""
        if root not in self._own:
            self._own[root] = dvcio.cache_dirs(self.project.top / root)
        return self._own[root]

    def is_cached(self, model: Model) -> bool:
        """Whether a cache of this worktree or of another has the model's object."""
        if any(
            dvcio.has_object(str(c), model.oid, model.legacy) for c in self.own_cache(model.root)
        ):
            return True
        return dvcio.find_object(self.caches(model.root), model.oid, model.legacy) is not None

    def stock(self, slot: Slot) -> Stock:
        """What the slot holds. Raises XexpError for a folder where a file should be."""
        try:
            return self._stock(slot)
        except FileNotFoundError:  # another promote moved a file while it was looked at
            self.__dict__.pop("outputs", None)
            return self._stock(slot)

    def _stock(self, slot: Slot) -> Stock:
        output = next((out for out in self.outputs if out.path == slot.candidates), None)
        entries = self._entries(output)
        found = [self._production(slot), *self._candidates(slot, output, entries or ())]
        models = self._hashed([model for model in found if model])
        production = next((model for model in models if model.production), None)
        rest = tuple(model for model in models if not model.production)
        return Stock(slot, production, rest, output, output is None or entries is not None)

    def _entries(self, output: Output | None) -> Sequence[File] | None:
        if output is None or output.hash is None:
            return ()
        near = dvcio.manifest(output, self.own_cache(output.root))
        if near is not None:
            return near
        folder = dvcio.local_remote_dir(self.project.top / output.root, output.remote)
        return dvcio.manifest(output, [*self.caches(output.root), *([folder] if folder else [])])

    def _production(self, slot: Slot) -> Model | None:
        path = self.project.top / slot.production
        if path.is_dir():
            raise XexpError(
                f"{slot.production} is a folder: a production model is one file",
                "pack it (tar), or name another file: [models] production in .xexp/config.toml",
            )
        owner = self.owner(slot.production)
        recorded = self._recorded(owner, slot.production)
        if not path.exists():
            if recorded is None:
                return None
            size = owner.size if owner and owner.path == slot.production else None
            return _model(slot, slot.production, owner, recorded, size, production=True)
        return _model(slot, slot.production, owner, recorded, path.stat(), production=True)

    def owner(self, path: str) -> Output | None:
        """The output that a path is, or lies in."""
        return next((o for o in self.outputs if f"{path}/".startswith(f"{o.path}/")), None)

    def _recorded(self, owner: Output | None, path: str) -> str | None:
        if owner is None or owner.path == path:
            return owner.hash if owner else None
        below = path.removeprefix(f"{owner.path}/")
        return next((e.hash for e in self._entries(owner) or () if e.path == below), None)

    def _candidates(
        self, slot: Slot, output: Output | None, entries: Sequence[File]
    ) -> Iterator[Model]:
        recorded = {entry.path: entry for entry in entries}
        folder = self.project.top / slot.candidates
        for rel, info in sorted(_files(folder)):
            entry = recorded.pop(rel, None)
            path = f"{slot.candidates}/{rel}"
            yield _model(slot, path, output, entry.hash if entry else None, info)
        for rel, entry in sorted(recorded.items()):
            path = f"{slot.candidates}/{rel}"
            yield _model(slot, path, output, entry.hash, entry.size)

    def _hashed(self, models: Sequence[Model]) -> list[Model]:
        """The models with the hash of what is there."""
        top = self.project.top
        paths = [top / model.path if model.there else None for model in models]
        wanted = [(p, model.legacy) for p, model in zip(paths, models, strict=True) if p]
        known = dvcio.file_hashes(top, wanted, self.project.stat_cache, self.progress)
        return [
            m._replace(hash=f"md5:{known[p]}") if p else m
            for m, p in zip(models, paths, strict=True)
        ]


def _model(
    slot: Slot,
    path: str,
    output: Output | None,
    recorded: str | None,
    known: os.stat_result | int | None,
    *,
    production: bool = False,
) -> Model:
    """A model that is there, by its stat, or one that is not, by the size in its pointer."""
    info, size = (known, known.st_size) if isinstance(known, os.stat_result) else (None, known)
    return Model(
        slot=slot.name,
        path=path,
        run=None if production else slots.run_of(path),
        production=production,
        hash=recorded or "",
        size=size,
        recorded=recorded,
        there=info is not None,
        legacy=output is not None and output.legacy,
        root=output.root if output else "",
        remote=output.remote if output else None,
        mtime=info.st_mtime if info else 0.0,
    )


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every visible file below the folder: its path from there, and its stat."""
    stack = [""]
    while stack:
        below = stack.pop()
        try:
            entries = list(os.scandir(folder / below))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                stack.append(posixpath.join(below, entry.name))
            elif entry.is_file():
                yield posixpath.join(below, entry.name), entry.stat()
