"""Where the runs of a project are: its results databases, and the folders of MLflow and DVCLive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.files import DATABASES
from gitxexp.storage.dvc.places import readable
from gitxexp.storage.git import TRACKER_FOLDERS, Git

if TYPE_CHECKING:
    from gitxexp.repository.config import Config
    from gitxexp.trackers.run import Run

#: Marker among configured results databases: do not search for others.
ONLY = "*.none"


def databases(top: Path, config: Config) -> list[Path]:
    """The configured results databases that exist, in the order of the configuration.

    If none are configured, those found below ``top``.
    """
    if not config.results_databases:
        names = find_databases(top, config.results_table or None)
        return [top / name for name in _nearest(names, config)]
    found: dict[Path, None] = {}
    for pattern in config.results_databases:
        if _is_glob(pattern):
            matching = sorted(top.glob(pattern))
            own = (path for path in matching if config.has(path.relative_to(top).as_posix()))
            found.update(dict.fromkeys(own))
        elif (top / pattern).is_file():
            found[top / pattern] = None
    return [path for path in found if readable(top, path.relative_to(top).as_posix())]


def sources(top: Path, config: Config) -> list[Path]:
    """Return the stores of runs: results databases and tracker folders.

    Folders are those in the configuration or, if it names none, those found.
    """
    named = [top / name for name in config.results_databases if not _is_glob(name)]
    folders = [path for path in named if path.is_dir()]
    if ONLY in config.results_databases:
        return [*databases(top, config), *folders]
    return [*databases(top, config), *(folders or find_folders(top, config))]


def dated(top: Path, run: Run) -> Run:
    """Return a run of a tracker that writes no times (DVCLive) with the time of its files: of the
    commit that has them or, if none has, when they were written. (Those of committed files are of
    the last checkout.)"""
    from datetime import UTC, datetime  # late: databases without runs need neither

    from gitxexp.trackers.runs import files_of

    files = files_of(run)
    if not files:
        return run
    git = Git(top)
    names = [path.relative_to(top).as_posix() for path in files]
    status = ("status", "--porcelain", "-z", "--no-renames", "-uall", "--ignored")
    if git.fields(*status, "--", *names):
        seconds = max(path.stat().st_mtime for path in files)
    else:
        seconds = float(git.text("log", "-1", "--format=%ct", "--", *names) or 0)
    return replace(run, ended=datetime.fromtimestamp(seconds, UTC).isoformat(" "))


def find_folders(top: Path, config: Config) -> list[Path]:
    """Folders that MLflow or DVCLive keep below ``top``; without MLflow's if databases are
    configured."""
    names = Git(top).fields(*TRACKER_FOLDERS)
    if config.results_databases:
        names = [name for name in names if name.endswith("dvclive/metrics.json")]
    shown = [name for name in names if not _is_hidden(name)]
    found = dict.fromkeys(
        path for name in _nearest(shown, config) if (path := _folder_of(top, name)) is not None
    )
    return [path for path in found if path.is_dir() and _has_runs(path)]


def _nearest(names: Iterable[str], config: Config) -> list[str]:
    """Those of the project; of one in a folder that has some itself, not those at the top as well."""
    found = [name for name in names if config.has(name)]
    own = [name for name in found if name.startswith(f"{config.folder}/")]
    return own or found


def _folder_of(top: Path, name: str) -> Path | None:
    parts = name.split("/")
    at = next((place for place, part in enumerate(parts) if part in ("mlruns", "dvclive")), None)
    return None if at is None else top.joinpath(*parts[: at + 1])


def _is_glob(pattern: str) -> bool:
    return any(mark in pattern for mark in "*?[")


def absent_databases(top: Path, config: Config) -> list[str]:
    """Return the configured results databases that do not exist."""
    names = [name for name in config.results_databases if not _is_glob(name)]
    return [name for name in names if not (top / name).is_file()]


def find_databases(top: Path, table: str | None = None) -> list[str]:
    """Databases with a table of runs below ``top``, tracked or not, ignored ones included.

    With ``table`` also those with a table of that name.
    """
    git = Git(top)
    patterns = [f"*{suffix}" for suffix in DATABASES]
    names = git.fields("ls-files", "-z", "--cached", "--others", "--", *patterns)
    able = [name for name in dict.fromkeys(names) if not _is_hidden(name) and readable(top, name)]
    return [name for name in able if _has_runs(top / name, table)]


def _has_runs(path: Path, table: str | None = None) -> bool:
    from gitxexp.trackers.runs import has_runs  # late: configured databases are not looked into

    return has_runs(path, table)


def _is_hidden(name: str) -> bool:
    """Whether a path is in a folder of caches and settings (``.dvc``, ``.mypy_cache``)."""
    return any(part.startswith(".") for part in name.split("/"))
