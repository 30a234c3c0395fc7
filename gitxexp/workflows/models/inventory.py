"""The models of a work tree: for each slot a production file and a folder of candidates.

A candidate is called ``<run>_model.<ext>``. The default slot needs no configuration:
``models/production/model.bin`` and ``models/candidates/``.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from gitxexp.common.errors import UsageError, XexpError, suggestion
from gitxexp.repository.config import Config, ModelSlot
from gitxexp.repository.repository import Project
from gitxexp.storage import paths
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.places import (
    cache_dirs,
    has_dvc,
    is_dvc_repo,
    local_remote_dir,
    readable,
    work_file,
)
from gitxexp.storage.dvc.pointers import File, Output
from gitxexp.storage.objects import find_object, has_object, manifest

if TYPE_CHECKING:
    from gitxexp.storage.objects import Progress


#: The slot that needs no name.
DEFAULT = "model"

_CANDIDATE = re.compile(r"(.+?)(?:@[0-9a-f]{8})?_model(?:\.[^/]*)?", re.DOTALL)


class SlotModels(NamedTuple):
    """One production model and its candidates; paths are relative to the top of the repository."""

    name: str
    production: str
    candidates: str
    extension: str  #: with its dot, or ""

    def candidate(self, run: str, digest: str = "", extension: str = "") -> str:
        """The path of the candidate of ``run``; ``digest`` distinguishes a second model of the same
        run."""
        stem = run.replace("%", "%25").replace("/", "%2F")
        mark = f"@{digest[:8]}" if digest else ""
        return f"{self.candidates}/{stem}{mark}_model{extension or self.extension}"


def run_of(name: str) -> str | None:
    """The run that a candidate's file name names; None if it has another name."""
    match = _CANDIDATE.fullmatch(posixpath.basename(name))
    return unquote(match[1]) if match else None


def all_slots(config: Config, outputs: Sequence[Output] = ()) -> list[SlotModels]:
    """Every slot. With ``outputs`` the default slot finds a production model with another
    extension.

    Raises XexpError if two slots share a file or folder.
    """
    own = (config.models_production, config.models_candidates, config.models_extension)
    slots = [_named(slot, config.folder) for slot in config.models_slots]
    if any(own) or not slots:
        slots.insert(0, _default(*own, posixpath.join(config.folder, "models"), outputs))
    _check_apart(slots)
    return slots


def choose_slot(slots: Sequence[SlotModels], name: str | None) -> SlotModels:
    """Return the slot ``name``, or the only one; raises UsageError listing them."""
    names = ", ".join(slot.name for slot in slots)
    if name is None and len(slots) == 1:
        return slots[0]
    if name is None:
        raise UsageError(f"there are several model slots: {names}", "choose one: --slot NAME")
    chosen = next((slot for slot in slots if slot.name == name), None)
    if chosen is None:
        raise UsageError(
            f"there is no model slot '{name}' (there are: {names})",
            suggestion(
                str(name),
                [slot.name for slot in slots],
                f"add it to .xexp/config.toml: [models.{name}]",
            ),
        )
    return chosen


def _default(
    production: str, candidates: str, extension: str, folder: str, outputs: Iterable[Output]
) -> SlotModels:
    if not production and not extension:
        there = [o.path for o in outputs if posixpath.dirname(o.path) == f"{folder}/production"]
        production = there[0] if len(there) == 1 else ""
    return _slot(DEFAULT, production, candidates, extension, folder)


def _named(slot: ModelSlot, project: str) -> SlotModels:
    folder = posixpath.join(project, "models", slot.name)
    return _slot(slot.name, slot.production, slot.candidates, slot.extension, folder)


def _slot(name: str, production: str, candidates: str, extension: str, folder: str) -> SlotModels:
    suffix = f".{extension.lstrip('.')}" if extension else ""
    place = _clean(name, production or f"{folder}/production/model{suffix or '.bin'}")
    beside = _clean(name, candidates or f"{folder}/candidates")
    return SlotModels(name, place, beside, suffix or posixpath.splitext(place)[1])


def _clean(name: str, path: str) -> str:
    clean = posixpath.normpath(path)
    if clean.startswith(("/", "../")) or clean in (".", ".."):
        raise XexpError(
            f"[models.{name}]: '{path}' is not a path inside the repository",
            "fix .xexp/config.toml",
        )
    return clean


def _check_apart(slots: Sequence[SlotModels]) -> None:
    places = [(slot.name, path) for slot in slots for path in (slot.production, slot.candidates)]
    for at, (name, path) in enumerate(places):
        for other, beside in places[at + 1 :]:
            if f"{path}/".startswith(f"{beside}/") or f"{beside}/".startswith(f"{path}/"):
                raise XexpError(
                    f"model slots {name} and {other} overlap: {path} and {beside}",
                    "give each slot its own production and candidates in .xexp/config.toml",
                )


# -- the models of a slot --------------------------------------------------------------------------


class Model(NamedTuple):
    """One model file. ``hash`` is that of the file ("md5:…"), else from its pointer."""

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
    mtime: float = 0.0  #: seconds since 1970, 0 if missing

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
        """The file as a separate output, for queries to remotes and caches."""
        return Output(
            path=self.path, hash=self.hash, size=self.size, nfiles=None, remote=self.remote,
            pointer=f"{self.path}.dvc", stage=None, legacy=self.legacy, root=self.root,
        )  # fmt: skip


class SlotContents(NamedTuple):
    """One slot. ``output`` is the candidates' folder as DVC tracks it, None if it does not."""

    slot: SlotModels
    production: Model | None
    candidates: tuple[Model, ...]
    output: Output | None = None
    listed: bool = True  #: whether the folder's manifest could be read

    @property
    def models(self) -> tuple[Model, ...]:
        """Production first, then the candidates."""
        return (*((self.production,) if self.production else ()), *self.candidates)


class ModelStore:
    """The slots of a work tree, read once."""

    def __init__(self, project: Project, progress: Progress | None = None) -> None:
        self.project = project
        self.progress = progress
        self._caches: dict[str, list[Path]] = {}
        self._own: dict[str, list[Path]] = {}

    @cached_property
    def outputs(self) -> list[Output]:
        """The outputs of the work tree; none if DVC is not set up."""
        if not has_dvc(self.project.top):
            return []
        return pointers.outputs_in(self.project.top, self.project.git)

    @cached_property
    def slots(self) -> list[SlotModels]:
        """The configured slots. Raises Refused if a link leads out of the work tree."""
        slots = all_slots(self.project.config, self.outputs)
        for slot in slots:
            work_file(self.project.top, paths.tracked(slot.production, "a production model"))
            paths.inside(self.project.top, paths.tracked(slot.candidates, "candidates"))
        return slots

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
            self._caches[root] = cache_dirs(self.project.top / root, places)
        return self._caches[root]

    def own_cache(self, root: str) -> list[Path]:
        """This work tree's cache, if it exists; does not run git."""
        if root not in self._own:
            self._own[root] = cache_dirs(self.project.top / root)
        return self._own[root]

    def is_cached(self, model: Model) -> bool:
        """Whether a cache of this worktree or of another has the model's object."""
        if any(has_object(str(c), model.oid, model.legacy) for c in self.own_cache(model.root)):
            return True
        return find_object(self.caches(model.root), model.oid, model.legacy) is not None

    def contents(self, slot: SlotModels) -> SlotContents:
        """Return the content of the slot. Raises XexpError for a folder in place of a file."""
        try:
            return self._read(slot)
        except FileNotFoundError:  # another promote moved a file meanwhile
            self.__dict__.pop("outputs", None)
            return self._read(slot)

    def whole(self, slot: SlotModels) -> SlotContents:
        """Like :meth:`contents`, with the folder's manifest, fetched if no cache has it.

        Raises XexpError if it is unavailable: the files that it names would be lost.
        """
        contents = self.contents(slot)
        output = contents.output
        if contents.listed or output is None or output.oid is None:
            return contents
        from gitxexp.storage.dvc.remote import fetch_objects  # late: few lists are not in a cache

        if not fetch_objects(self.project.top, output, [output.oid]):
            raise XexpError(
                f"the list of {slot.candidates} ({output.hash}) is in no cache and on no remote",
                f"bring it back first: dvc fetch '{output.pointer}'",
            )
        self._own.clear()
        self._caches.clear()
        return self.contents(slot)

    def _read(self, slot: SlotModels) -> SlotContents:
        output = next((out for out in self.outputs if out.path == slot.candidates), None)
        entries = self._entries(output)
        files = [self._production(slot), *self._candidates(slot, output, entries or ())]
        models = self._hashed([model for model in files if model])
        production = next((model for model in models if model.production), None)
        candidates = tuple(model for model in models if not model.production)
        listed = output is None or entries is not None
        return SlotContents(slot, production, candidates, output, listed)

    def _entries(self, output: Output | None) -> Sequence[File] | None:
        if output is None or output.hash is None:
            return ()
        files = manifest(output, self.own_cache(output.root))
        if files is not None:
            return files
        folder = local_remote_dir(self.project.top / output.root, pointer=output.remote)
        return manifest(output, [*self.caches(output.root), *([folder] if folder else [])])

    def _production(self, slot: SlotModels) -> Model | None:
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
        """Return the output that is, or contains, a path."""
        return next((o for o in self.outputs if o.holds(path)), None)

    def _recorded(self, owner: Output | None, path: str) -> str | None:
        if owner is None or owner.path == path:
            return owner.hash if owner else None
        below = path.removeprefix(f"{owner.path}/")
        return next((e.hash for e in self._entries(owner) or () if e.path == below), None)

    def _candidates(
        self, slot: SlotModels, output: Output | None, entries: Sequence[File]
    ) -> Iterator[Model]:
        recorded = {entry.path: entry for entry in entries}
        folder = self.project.top / slot.candidates
        for rel, info in sorted(_files(self.project.top, folder)):
            entry = recorded.pop(rel, None)
            path = f"{slot.candidates}/{rel}"
            yield _model(slot, path, output, entry.hash if entry else None, info)
        for rel, entry in sorted(recorded.items()):
            path = f"{slot.candidates}/{rel}"
            yield _model(slot, path, output, entry.hash, entry.size)

    def _hashed(self, models: Sequence[Model]) -> list[Model]:
        """Return the models with the hashes of the existing files."""
        top = self.project.top
        files = [top / model.path if model.there else None for model in models]
        wanted = [(p, model.legacy) for p, model in zip(files, models, strict=True) if p]
        known = file_hashes(top, wanted, self.project.stat_cache, self.progress)
        return [
            m._replace(hash=f"md5:{known[p]}") if p else m
            for m, p in zip(models, files, strict=True)
        ]


def _model(
    slot: SlotModels,
    path: str,
    output: Output | None,
    recorded: str | None,
    known: os.stat_result | int | None,
    *,
    production: bool = False,
) -> Model:
    """Return a model from its stat or, if missing, from the size in its pointer."""
    info, size = (known, known.st_size) if isinstance(known, os.stat_result) else (None, known)
    return Model(
        slot=slot.name,
        path=path,
        run=None if production else run_of(path),
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


def _files(top: Path, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
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
            elif entry.is_file() and (not entry.is_symlink() or _is_ours(top, entry.path)):
                yield posixpath.join(below, entry.name), entry.stat()


def _is_ours(top: Path, path: str) -> bool:
    return readable(top, Path(path).relative_to(top).as_posix()) is not None


def require_dvc(project: Project) -> None:
    """Raise XexpError if neither the program nor DVC is set up."""
    project.require_set_up()
    if not has_dvc(project.top):
        raise XexpError("this is not a DVC project", "run: git xexp init")


def root_of(store: ModelStore, path: str) -> str:
    """The folder of the DVC project that a path belongs to, "" for the top."""
    owner = store.owner(path)
    if owner is not None:
        return owner.root
    parents = (str(p) for p in PurePosixPath(path).parents if str(p) != ".")
    return next((p for p in parents if is_dvc_repo(store.project.top / p)), "")


def author(project: Project) -> str:
    """The current user, as git names an author."""
    ident = project.git.text("var", "GIT_AUTHOR_IDENT", ok=(0, 128))
    return ident.rpartition(">")[0] + ">" if ">" in ident else ident
