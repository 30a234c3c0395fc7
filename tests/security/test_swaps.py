"""A file or folder that becomes a link to elsewhere after its path was checked: nothing of what is
there is read, and nothing there is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.common import checked, sqlite
from gitxexp.common.errors import XexpError
from gitxexp.common.files import read_file
from gitxexp.repository import files
from gitxexp.repository.operation import Undoing
from gitxexp.repository.registry import Registry
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.places import work_file
from gitxexp.storage.objects import hash_file
from gitxexp.storage.paths import Refused, inside
from gitxexp.tables.duckdb.session import Session, connect_file, connect_parquet
from gitxexp.tables.sqlite.source import copy_file
from tests.helpers import Repo
from tests.security.hostile import SECRET


def make(path: Path, text: str) -> Path:
    """A file with one text, of the kind that its name says."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as con, con:
            con.execute("CREATE TABLE t (a)")
            con.execute("INSERT INTO t VALUES (?)", (text,))
    elif path.suffix == ".duckdb":
        with duckdb.connect(str(path)) as con:
            con.execute("CREATE TABLE t AS SELECT ? AS a", [text])
    elif path.suffix == ".parquet":
        duckdb.sql(f"COPY (SELECT '{text}' AS a) TO '{path}' (FORMAT parquet)")
    else:
        path.write_text(text)
    return path


def _rows(connection: sqlite3.Connection) -> object:
    with closing(connection) as con:
        return con.execute("SELECT * FROM t").fetchall()


def _attached(path: Path) -> object:
    with closing(sqlite.connect(":memory:")) as con:
        sqlite.attach(con, sqlite.address(path), "other")
        return con.execute("SELECT * FROM other.t").fetchall()


def _duckdb(path: Path) -> object:
    with connect_file(path, read_only=True) as con:
        return con.execute("FROM t").fetchall()


def _in_session(path: Path) -> object:
    with Session(0) as session:
        link = session.link(path, path.suffix)
        if path.suffix == ".parquet":
            return session.rows(f"FROM read_parquet('{link}')")
        session.rows(f"ATTACH '{link}' AS other (READ_ONLY)")
        return session.rows("FROM other.t")


def _parquet(path: Path, limits: dict[str, str] | None = None) -> object:
    with connect_parquet(path, limits) as con:
        return con.execute(f"FROM {path.stem}").fetchall()


OPENED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "SQLite": ("x.db", lambda path: _rows(sqlite.connect(path, "ro"))),
    "SQLite by its address": ("x.db", lambda path: _rows(sqlite.connect(sqlite.address(path)))),
    "SQLite attached": ("x.db", _attached),
    "SQLite's raw pages": ("x.db", lambda path: copy_file(path, path.parents[1] / "copy")),
    "DuckDB": ("x.duckdb", _duckdb),
    "DuckDB attached": ("x.duckdb", _in_session),
    "parquet": ("x.parquet", _parquet),
    "parquet within limits": ("x.parquet", lambda path: _parquet(path, {"threads": "1"})),
    "parquet in a merge": ("x.parquet", _in_session),
    "bytes": ("x.yaml", read_file),
    "a hash": ("x.bin", hash_file),
    "a backup": ("x.bin", lambda path: files.keep_copy(path, path.parents[1] / "ops")),
}


@pytest.mark.parametrize("check", [inside, work_file])
@pytest.mark.parametrize("what", OPENED)
def test_a_checked_file_is_opened_or_nothing(
    what: str, check: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    name, opened = OPENED[what]
    top = tmp_path / "top"
    top.mkdir()
    make(top / name, "mine")
    outside = make(tmp_path / name, SECRET)
    path = check(top, name)
    opened(path)
    path.rename(tmp_path / "aside")
    path.symlink_to(outside)
    with pytest.raises(Refused, match="leads out of the repository"):
        opened(path)
    copies = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != name]
    assert not any(SECRET.encode() in p.read_bytes() for p in copies)


def test_a_file_that_is_replaced_meanwhile_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a trainer does that writes its metrics and renames them into place."""
    path = make(inside(tmp_path, "x.db"), "old")
    later = make(tmp_path / "later.db", "new")
    real = sqlite3.connect
    times: list[int] = []

    def connect(*args: object, **options: object) -> sqlite3.Connection:
        opened: sqlite3.Connection = real(*args, **options)  # type: ignore[call-overload]
        if not times:
            later.rename(path)
        times.append(1)
        return opened

    monkeypatch.setattr(sqlite3, "connect", connect)
    assert _rows(sqlite.connect(path, "ro")) == [("new",)]
    assert len(times) == 2


def test_a_link_that_comes_and_goes_gives_the_file_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    path = make(inside(top, "x.db"), "mine")
    secret, aside = make(tmp_path / "secret.db", SECRET), tmp_path / "aside"
    real = sqlite3.connect

    def connect(*args: object, **options: object) -> sqlite3.Connection:
        path.rename(aside)
        path.symlink_to(secret)
        opened: sqlite3.Connection = real(*args, **options)  # type: ignore[call-overload]
        aside.replace(path)
        return opened

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(XexpError, match="was replaced while it was opened"):
        sqlite.connect(path, "ro")
    assert checked.identity_of(path) == (path.stat().st_dev, path.stat().st_ino)


def test_the_registry_is_not_written_through_a_link(tmp_path: Path) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    (top / ".xexp").mkdir(parents=True)
    registry = Registry(top / ".xexp/registry.db", top)
    registry.create()
    (top / ".xexp").rename(outside)
    before = (outside / "registry.db").read_bytes()
    with pytest.raises(XexpError), registry.rewrite():  # linked while it is in memory
        (top / ".xexp").symlink_to(outside)
    assert [p.name for p in outside.iterdir()] == ["registry.db"]
    assert (outside / "registry.db").read_bytes() == before


def test_nothing_is_restored_through_a_link(repo: Repo, tmp_path: Path) -> None:
    """What the file was before is put where it can be found."""
    project = Project.open(repo.path)
    path = repo.write("results/x.db", "before")
    outside = tmp_path / "outside"
    with project.operation("test") as running:
        running.save_file(path)
        path.rename(tmp_path / "moved")
    (step,) = (s for s in project.log.steps(running.id) if isinstance(s, files.FileChanged))
    path.parent.rmdir()
    outside.mkdir()
    path.parent.symlink_to(outside)
    told: list[str] = []
    project.notify = told.append
    step.undo(project, Undoing(running.id, "rollback"))
    step.undo(project, Undoing(running.id, "rollback"))
    aside = project.state / f"rescued/{running.id}.x.db"
    assert list(outside.iterdir()) == []
    assert aside.read_text() == "before"
    assert len(told) == 1 and str(aside) in told[0]
