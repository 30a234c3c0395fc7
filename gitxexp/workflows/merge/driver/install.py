"""Install the merge driver and textconv in a repository's configuration and attributes, or remove
them.

``.gitattributes`` is tracked: it selects the paths. The drivers themselves are local to each clone
(git runs no commands from a repository). If they are missing, git falls back to a plain conflict; a
``[merge "xexp"]`` section without a driver would block every merge, so removal deletes the whole
section.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import DATABASES, atomic_write, umask
from gitxexp.repository import config
from gitxexp.repository.operation import Changed, Step, UndoContext, Undoing
from gitxexp.repository.repository import Project, Running
from gitxexp.storage import paths
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.places import cache_dirs
from gitxexp.storage.git import encode
from gitxexp.storage.objects import manifest
from gitxexp.tables import engine
from gitxexp.workflows.models.inventory import all_slots

ATTRIBUTES = ".gitattributes"
SECTIONS = ("merge.xexp", "diff.xexp")
_REMOVED = (0, 5, 128)  #: what git says of a key or a section that is, or was, not there
_BEGIN = "# git-xexp: rows are merged and shown row by row (git xexp drivers)"
_END = "# git-xexp end"
_SPECIAL = re.compile(r"""[\\"'*?!#\[\]]""")  #: special characters in attribute patterns
_BLOCK = re.compile(f"(?ms)^{re.escape(_BEGIN)}$.*?^{re.escape(_END)}$\n?")


#: Artifacts are pushed before the commits that name them, even if the user runs ``git push``.
HOOK = "pre-push hook"
_HOOK_TEXT = """\
#!/bin/sh
# git-xexp: artifacts go before the commits that name them (git xexp init --hooks)
[ -n "$GIT_XEXP_PUSH" ] && exit 0
exec {program} push --artifacts --git-remote "$1"
"""


def _hook(project: Project) -> Path:
    return project.top / project.git.text("rev-parse", "--git-path", "hooks/pre-push")


def has_hook(project: Project) -> bool:
    """Whether ``git push`` pushes artifacts first. Raises XexpError if another hook is in the way."""
    path = _hook(project)
    if not path.exists():
        return False
    if b"git-xexp: artifacts" in path.read_bytes():
        return True
    raise XexpError(
        f"there is another pre-push hook: {path}",
        f'call this in it: [ -n "$GIT_XEXP_PUSH" ] || {program()} push --artifacts --git-remote "$1"',
    )


def add_hook(project: Project, running: Running) -> None:
    """Make ``git push`` push artifacts first."""
    path = _hook(project)
    running.save_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, mode=0o777 & ~umask()) as temporary:
        temporary.write_text(_HOOK_TEXT.format(program=program()), "utf-8")


@dataclass(frozen=True)
class DriverStatus:
    """What is registered: in this clone's configuration, and in the tracked attributes."""

    driver: str  #: the command, "" if not registered
    textconv: str
    attributes: bool
    missing: tuple[str, ...]  #: patterns that the configuration needs and the attributes lack
    runs: bool  #: whether the driver's program can be started

    @property
    def complete(self) -> bool:
        """Whether git merges rows by itself here."""
        return bool(self.driver and self.textconv and self.attributes and self.runs)


def program() -> str:
    """How git starts this program: by name if that is on PATH."""
    if shutil.which("git-xexp"):
        return "git-xexp"
    return f"{shlex.quote(sys.executable)} -m gitxexp"


def settings() -> dict[str, str]:
    """The configuration keys and values."""
    return {
        "merge.xexp.name": "row by row (git xexp)",
        "merge.xexp.driver": f"{program()} merge-driver %O %A %B %L %P",
        "merge.xexp.recursive": "binary",
        "diff.xexp.textconv": f"{program()} textconv",
    }


def patterns(project: Project) -> list[str]:
    """The attribute patterns: databases by their endings and as configured, parquet data, their
    pointers, those of models that are promoted, ``dvc.lock``, the registry.

    All endings are included, not only the configured ones, so that later databases merge as well.

    Not all pointers are: git does not pass ``-X theirs`` to drivers, and other pointers may rely on
    it.
    """
    others = [n for n in project.config.results_databases if not n.endswith(DATABASES)]
    found = _folders(project)
    for name in (*(f"*{suffix}" for suffix in DATABASES), "*.parquet", *others):
        pattern = name if name.startswith("*.") else f"/{name}"
        found += [pattern, f"{pattern}.dvc"]
    models = [
        f"/{_SPECIAL.sub('?', path)}.dvc"
        for slot in all_slots(project.config)
        for path in (slot.production, slot.candidates)
    ]
    return list(dict.fromkeys([*found, *models, "dvc.lock", f"/{config.REGISTRY}"]))


def _folders(project: Project) -> list[str]:
    """Return pointers to directories with a file with rows; characters special to git become ``?``."""
    found: list[str] = []
    with suppress(XexpError):  # a broken pointer is reported elsewhere
        for out in pointers.outputs_in(project.top):
            if out.stage is None and out.is_dir:
                files = manifest(out, cache_dirs(project.top / out.root)) or ()
                if any(engine.mergeable(file.path) for file in files):
                    found.append("/" + _SPECIAL.sub("?", out.pointer))
    return found


_BARE = " -filter"


def block(project: Project) -> str:
    """The lines for ``.gitattributes``. Pointers stay text; the rest is never converted, and the
    registry bypasses filters such as LFS, because the driver would merge two pointers."""
    lines = []
    for pattern in patterns(project):
        quoted = f'"{pattern}"' if re.search(r'[\s"\\]', pattern) else pattern
        text = " -text" if not pattern.endswith((".dvc", ".lock")) else ""
        diff = " diff=xexp" if pattern != "dvc.lock" else ""
        text += _BARE if pattern == f"/{config.REGISTRY}" else ""
        lines.append(f"{quoted}{text} merge=xexp{diff}")
    return "\n".join((_BEGIN, *lines, _END)) + "\n"


def status(project: Project) -> DriverStatus:
    """What is registered in this work tree and its clone."""
    found = project.git.config(r"^(merge|diff)\.xexp\.")
    driver = found.get("merge.xexp.driver", [""])[-1]
    text = _read(project.top / ATTRIBUTES)
    lacking = [p for p in patterns(project) if not _has(text, p)]
    first = shlex.split(driver)[0] if driver else ""
    return DriverStatus(
        driver=driver,
        textconv=found.get("diff.xexp.textconv", [""])[-1],
        attributes="merge=xexp" in text,
        missing=tuple(lacking),
        runs=bool(first and shutil.which(first)),
    )


def missing(project: Project) -> list[str]:
    """What :func:`install` would do, in words."""
    registered = status(project)
    todo = [] if registered.driver and registered.textconv else ["merge and diff drivers"]
    if not registered.attributes or (
        registered.missing and _BEGIN in _read(project.top / ATTRIBUTES)
    ):
        todo.append(ATTRIBUTES)
    return todo


def register_here(project: Project) -> bool:
    """Register the drivers for this clone if its attributes name them and it has none; return
    whether it did. Changes no tracked file."""
    if not lacks_drivers(project):
        return False
    with project.operation("drivers install") as running:
        running.record(SectionsMade(list(SECTIONS)))
        for key, value in settings().items():
            project.git.configure(key, value)
        running.summary.append("merge and diff drivers")
    return True


def lacks_drivers(project: Project) -> bool:
    """Whether the tracked attributes name the merge driver but this clone lacks it."""
    if "merge=xexp" not in _read(project.top / ATTRIBUTES):
        return False
    return project.git.setting("merge.xexp.driver") is None


def register(project: Project, *, wait: bool = True) -> list[str]:
    """Run :func:`install` as a separate operation if something is missing; return what was done."""
    if not missing(project):
        return []
    with project.operation("drivers install", wait=wait) as running:
        done = install(project, running)
        running.summary.append(", ".join(done))
    return done


def unregister(project: Project, *, wait: bool = True) -> list[str]:
    """Run :func:`uninstall` as a separate operation; return what was done."""
    with project.operation("drivers uninstall", wait=wait) as running:
        done = uninstall(project, running)
        running.summary.append(", ".join(done))
    return done


def install(project: Project, running: Running) -> list[str]:
    """Register what is missing, as part of an operation; return a description of what was done."""
    todo = missing(project)
    if ATTRIBUTES in todo:
        path = paths.inside(project.top, ATTRIBUTES)
        running.save_file(path)
        text = _BLOCK.sub("", _read(path))
        gap = "" if not text or text.endswith("\n") else "\n"
        paths.write(project.top, ATTRIBUTES, encode(text + gap + block(project)))
    if "merge and diff drivers" in todo:
        running.record(SectionsMade(list(SECTIONS)))
        for key, value in settings().items():
            project.git.configure(key, value)
    return todo


def uninstall(project: Project, running: Running) -> list[str]:
    """Remove the driver and the attributes; return a description of what was done."""
    done = []
    before = project.git.config(r"^(merge|diff)\.xexp\.")
    if before:
        running.record(SettingsRemoved(before))
        for section in SECTIONS:
            project.git.configure("--remove-section", section, ok=_REMOVED)
        done.append("merge and diff drivers")
    path = paths.inside(project.top, ATTRIBUTES)
    text = _read(path)
    rest = _BLOCK.sub("", text)
    if rest != text:
        running.save_file(path)
        if rest:
            paths.write(project.top, ATTRIBUTES, encode(rest))
        else:
            running.remove_file(path)
        done.append(ATTRIBUTES)
    return done


def _has(text: str, pattern: str) -> bool:
    starts = (f"{pattern} ", f'"{pattern}" ')
    bare = _BARE if pattern == f"/{config.REGISTRY}" else ""
    return any(line.startswith(starts) and bare in line for line in text.splitlines())


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="surrogateescape") if path.is_file() else ""


# -- undo ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SectionsMade(Step):
    """Sections of the clone's configuration that the operation adds."""

    kind: ClassVar[str] = "sections"

    names: list[str]

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (SettingsRemoved(at.git.config(r"^(merge|diff)\.xexp\.")),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        for name in self.names:
            at.git.configure("--remove-section", name, ok=_REMOVED)


@dataclass(frozen=True, slots=True)
class SettingsRemoved(Step):
    """Key → values of the clone's own configuration that the operation removes."""

    kind: ClassVar[str] = "configured"

    values: dict[str, list[str]]

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (SectionsMade(sorted({key.rpartition(".")[0] for key in self.values})),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        for key, values in self.values.items():
            at.git.configure("--unset-all", key, ok=_REMOVED)
            for value in values:
                at.git.configure("--add", key, value)
