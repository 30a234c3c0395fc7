"""Files written in one step, and told by their first bytes."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from gitxexp.common.files import atomic_write, database_kind, umask


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_new_content_takes_the_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("one", "two"):
        with atomic_write(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert names(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(("before", "after"), [(0o640, 0o640), (0o755, 0o755), (0o444, 0o644)])
def test_permissions_are_kept(tmp_path: Path, before: int, after: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(before)
    with atomic_write(path) as temporary:
        temporary.touch()
    assert stat.S_IMODE(path.stat().st_mode) == after


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        assert umask() == 0o027
        with atomic_write(tmp_path / "file") as temporary:
            temporary.touch()
        with atomic_write(tmp_path / "private", mode=0o600) as temporary:
            temporary.touch()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "file").symlink_to("other")
    with atomic_write(tmp_path / "file") as temporary:
        temporary.write_text("mine")
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "other").read_text() == "other"


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".file.xexp-999999999-ab.tmp").touch()
    (tmp_path / ".file.xexp-999999999-ab.tmp-journal").touch()
    (tmp_path / f".file.xexp-{os.getppid()}-ab.tmp").touch()
    with atomic_write(tmp_path / "file") as temporary:
        temporary.touch()
    assert names(tmp_path) == [f".file.xexp-{os.getppid()}-ab.tmp", "file"]


def test_file_and_folder_are_synced_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("sync"))
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        calls.append("replace")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with atomic_write(tmp_path / "file") as temporary:
        temporary.touch()
    assert calls == ["sync", "replace", "sync"]


def test_kinds_of_databases(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "a")
    db.execute("create table t(x)")
    db.close()
    (tmp_path / "b").write_bytes(b"\0" * 8 + b"DUCK" + b"\0" * 8)
    (tmp_path / "c").write_bytes(b"PAR1" + b"\0" * 20)
    (tmp_path / "d").write_text("text")
    os.mkfifo(tmp_path / "e")
    kinds = [database_kind(tmp_path / name) for name in "abcdef"]
    assert kinds == ["sqlite", "duckdb", "parquet", None, None, None]
    assert database_kind(tmp_path) is None
