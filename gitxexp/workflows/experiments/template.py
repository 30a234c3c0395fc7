"""The projects that ``init --template`` writes: small benchmarks that run as they are.

Each is a folder of ``templates/`` in the package. Its ``template.toml`` says what it is for, and
what the configuration gets; there, Python files have an additional ``.txt`` extension; all other
files are copied unchanged.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.text import some
from gitxexp.repository.files import FolderMade
from gitxexp.repository.repository import Project, Running
from gitxexp.storage import paths

NAMES = ("compare", "llm", "throughput", "sweep", "pipeline")
_ABOUT = "template.toml"
#: Files that a repository often has already and that nothing depends on.
_OPTIONAL = ("README.md",)


@dataclass(frozen=True)
class Template:
    """A project to start from: what it is for, its files, and its part of the configuration."""

    name: str
    summary: str
    files: Mapping[str, bytes]  #: path from the top of the work tree → content
    command: str  #: ``[run] command``; empty for a pipeline
    databases: tuple[str, ...]
    primary: str  #: the metric that ranks its experiments


def templates() -> list[Template]:
    """All templates, in the order of :data:`NAMES`."""
    return [template(name) for name in NAMES]


def template(name: str) -> Template:
    """The template of that name, which is one of :data:`NAMES`."""
    folder = files("gitxexp.workflows.experiments") / "templates" / name
    about = tomllib.loads((folder / _ABOUT).read_text("utf-8"))
    found = {path.removesuffix(".txt") if path.endswith(".py.txt") else path: file.read_bytes()
             for path, file in _files(folder) if path != _ABOUT}  # fmt: skip
    return Template(
        name,
        about["summary"],
        dict(sorted(found.items())),
        about.get("command", ""),
        tuple(about["databases"]),
        about["primary"],
    )


def _files(folder: Traversable, under: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _files(item, f"{under}{item.name}/")
        else:
            yield f"{under}{item.name}", item


def new_files(project: Project, chosen: Template) -> list[str]:
    """The files to write, by path from the top: all, except an existing README.

    Raises XexpError if another file exists: nothing is overwritten.
    """
    top = project.top
    there = {name: path for name in chosen.files if (path := _in_the_way(top, name))}
    taken = dict.fromkeys(path for name, path in there.items() if name not in _OPTIONAL)
    if taken:
        raise XexpError(
            f"the template {chosen.name} would overwrite {some([*taken], 5)}",
            "rename what is there, or start in an empty repository: git init NAME",
        )
    return [name for name in chosen.files if name not in there]


def _in_the_way(top: Path, name: str) -> str | None:
    """The file ``name`` where it is there, or what is there in the place of one of its folders."""
    folders = [folder.as_posix() for folder in reversed(PurePosixPath(name).parents[:-1])]
    for folder in folders:
        path = top / folder
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            return folder
    return name if os.path.lexists(top / name) else None


def write_files(project: Project, running: Running, chosen: Template, names: Sequence[str]) -> None:
    """Write the files ``names`` of the template, as steps of the operation."""
    top = project.top
    folders = dict.fromkeys(
        folder for name in names for folder in reversed(PurePosixPath(name).parents)
    )
    for folder in folders:
        if not (top / folder).exists():
            running.record(FolderMade(str(top / folder)))
    for name in names:
        running.save_file(top / name)
        paths.write(top, name, chosen.files[name])
