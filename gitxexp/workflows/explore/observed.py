"""Detect whether a list of experiments or runs may have changed since it was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gitxexp.repository import config
from gitxexp.repository.repository import Project


class Observed:
    """The inputs of a list: tags, the registry, the settings and, for runs, the results and the
    records of active runs."""

    def __init__(self, project: Project, *, runs: bool) -> None:
        self._project = project
        self._runs = runs

    def state(self) -> tuple[object, ...]:
        """Return a value that stays equal until something is written. Files are compared by size
        and time, without reading them."""
        project = self._project
        tags = project.git.text("for-each-ref", "--format=%(objectname)", "refs/tags")
        return tags, *map(_stamp, self._files())

    def _files(self) -> Iterator[Path]:
        top = self._project.places.top
        if top is None:
            return
        yield from _database(top / config.REGISTRY)
        yield top / config.FILE
        if not self._runs:
            return
        from gitxexp.workflows.experiments import stores  # late: a list of tags reads no database

        self._project.forget_config()
        for path in stores.sources(top, self._project.config):
            yield from sorted(path.rglob("*")) if path.is_dir() else _database(path)
        yield from sorted((self._project.state / "runs").glob("*/*"))


def _database(path: Path) -> tuple[Path, ...]:
    """A database and its journals (sqlite.org/wal.html, duckdb.org/docs/internals)."""
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}.wal")


def _stamp(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns
