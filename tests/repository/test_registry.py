"""The registry's file: formats of before, the same bytes for the same experiments, hostile files."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.repository import registry
from gitxexp.repository.registry import Promotion, Registry
from gitxexp.repository.tag_message import Payload

FORMAT_1 = Path(__file__).parent / "data" / "registry-1.db"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".xexp" / "registry.db"


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, and the statements that made them."""
    with closing(sqlite3.connect(path)) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: sorted(db.execute(f'SELECT * FROM "{name}"'), key=repr) for name in names}
        return found | {
            "sqlite_master": list(db.execute("SELECT type, name, sql FROM sqlite_master"))
        }


def test_format_1_is_read_as_it_is(path: Path) -> None:
    before = FORMAT_1.read_bytes()
    rows = Registry(FORMAT_1).rows()
    assert list(rows) == ["e0.1.0", "e0.2.0", "exp-cnn-v1"]
    first = rows["e0.1.0"]
    assert first.params == {"layers": [1, 2], "lr": 0.1, "model": "mlp", "note": "größer"}
    assert first.metrics["f1"] == 0.81
    assert first.metrics["loss"] != first.metrics["loss"]
    assert (first.labels, first.run, first.context) == (
        ("baseline", "keep"), "purple-mountain-4392", {},
    )  # fmt: skip
    assert [p.version for p in Registry(FORMAT_1).promotions()] == ["e0.2.0"]
    assert FORMAT_1.read_bytes() == before


def test_format_1_becomes_todays_with_every_row(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(FORMAT_1, path)
    kept = Registry(path)
    before, rows = tables(path), repr(kept.rows())
    with kept.rewrite():
        pass
    after = tables(path)
    assert repr(kept.rows()) == rows
    for fresh in registry.SCHEMA.keys() - before.keys():
        assert after.pop(fresh) == []
    made = after.pop("sqlite_master"), before.pop("sqlite_master")
    assert after == before
    assert [name for _, name, _ in made[0]] == [*registry.SCHEMA, *registry.INDICES]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (registry.USER_VERSION,)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_tables_and_columns_of_others_survive(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(FORMAT_1, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE notes (text)")
        db.execute("INSERT INTO notes VALUES ('mine')")
        db.execute("ALTER TABLE experiments ADD COLUMN cost REAL")
        db.execute("UPDATE experiments SET cost = 1.5")
    with Registry(path).rewrite():
        pass
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT text FROM notes").fetchall() == [("mine",)]
        assert db.execute("SELECT DISTINCT cost FROM experiments").fetchall() == [(1.5,)]


def test_the_same_experiments_give_the_same_bytes(tmp_path: Path) -> None:
    payloads = {
        f"e0.{n}.0": Payload(
            f"lr={n}", version=f"e0.{n}.0", params={"lr": n}, metrics={"f1": n / 7},
            labels=("a", "b"), context={"python": "3.11"},
        )
        for n in range(1, 60)
    }  # fmt: skip
    orders = [
        list(payloads),
        sorted(payloads, key=lambda _: random.Random(7).random()),
        list(payloads)[::-1],
    ]
    files = []
    for number, order in enumerate(orders):
        file = tmp_path / str(number) / "registry.db"
        file.parent.mkdir()
        if number:  # a longer history: a format of before, rows that went again
            shutil.copy(FORMAT_1, file)
            with Registry(file).rewrite() as db:
                for version in ("e0.1.0", "e0.2.0", "exp-cnn-v1"):
                    registry.remove(db, version)
                db.execute("DELETE FROM promotions")
                db.execute("DELETE FROM merges")
        for version in order:
            with Registry(file).rewrite() as db:
                registry.put(db, version, payloads[version])
        files.append(file.read_bytes())
    assert files[0] == files[1] == files[2]
    assert Registry(tmp_path / "0" / "registry.db").rows() == dict(sorted(payloads.items()))


def test_it_is_written_as_vacuum_into_would(tmp_path: Path, path: Path) -> None:
    """So that releases which used that, and this one, write the same bytes."""
    for version in ("e0.1.0", "e0.2.0"):
        with Registry(path).rewrite() as db:
            registry.put(db, version, Payload(headline="x", version=version, params={"lr": 0.1}))
        plain = tmp_path / version
        with closing(sqlite3.connect(":memory:")) as memory:
            with closing(sqlite3.connect(path)) as file:
                file.backup(memory)
            memory.execute("PRAGMA schema_version = 1")
            memory.execute("VACUUM INTO ?", (str(plain),))
        assert path.read_bytes() == plain.read_bytes()


def test_a_block_that_fails_leaves_the_file_alone(path: Path) -> None:
    kept = Registry(path)
    with kept.rewrite() as db:
        registry.put(db, "e0.1.0", Payload("one", version="e0.1.0"))
    before = path.read_bytes()
    with pytest.raises(RuntimeError), kept.rewrite() as db:
        registry.remove(db, "e0.1.0")
        raise RuntimeError
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["registry.db"]


def test_numbers_that_sqlite_cannot_hold(path: Path) -> None:
    metrics = {
        "big": 10**30,
        "low": -(10**25),
        "nan": float("nan"),
        "inf": float("inf"),
        "id": "0123",
    }
    with Registry(path).rewrite() as db:
        registry.put(db, "e0.1.0", Payload("one", version="e0.1.0", metrics=metrics))
    assert repr(Registry(path).rows()["e0.1.0"].metrics) == repr(dict(sorted(metrics.items())))


def test_a_promotion_and_a_merge_are_rows(path: Path) -> None:
    promotion = Promotion(
        "1" * 32, "default", "e0.1.0", "r", "Ada", "2026", "why", "f1", 0.5, "", "md5:1"
    )
    merge = {
        "target": "r.db", "sources": ["a"], "at": "2026", "mode": "merge", "counts": {"added": 1},
        "hash_before": "md5:1", "hash_after": "md5:2",
    }  # fmt: skip
    with Registry(path).rewrite() as db:
        registry.add_promotion(db, promotion)
        registry.put_merge(db, merge)
        registry.put_merge(db, merge)
    assert Registry(path).promotions() == [promotion]
    assert len(tables(path)["merges"]) == 1


def trigger(db: sqlite3.Connection) -> None:
    db.execute("CREATE TRIGGER t AFTER DELETE ON params BEGIN DELETE FROM experiments; END")


def endless_view(db: sqlite3.Connection) -> None:
    db.execute("DROP TABLE params")
    db.execute(
        "CREATE VIEW params AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
        " SELECT 'e0.1.0' AS version, x AS name, '1' AS value FROM c"
    )


def generated_column(db: sqlite3.Connection) -> None:
    db.execute("DROP TABLE metrics")
    db.execute("CREATE TABLE metrics (version, name, value AS (hex(zeroblob(400000000))))")
    db.execute("INSERT INTO metrics VALUES ('e0.1.0', 'f1')")


def virtual_table(db: sqlite3.Connection) -> None:
    db.execute("DROP TABLE labels")
    db.execute("CREATE VIRTUAL TABLE labels USING fts5(version, label)")


def giant_cell(db: sqlite3.Connection) -> None:
    db.execute("UPDATE experiments SET text = hex(zeroblob(20000000)) WHERE version = 'e0.1.0'")


def from_the_future(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA user_version = 99")


HOSTILE = [trigger, endless_view, generated_column, virtual_table, giant_cell, from_the_future]


@pytest.mark.parametrize("harm", HOSTILE, ids=lambda harm: harm.__name__)
def test_a_hostile_registry_is_an_error_at_once(
    path: Path, harm: Callable[[sqlite3.Connection], None]
) -> None:
    path.parent.mkdir()
    shutil.copy(FORMAT_1, path)
    with closing(sqlite3.connect(path)) as db, db:
        harm(db)
    before = path.read_bytes()
    with pytest.raises(XexpError) as refused:
        Registry(path).rows()
    assert refused.value.hint
    if harm is not giant_cell:
        with pytest.raises(XexpError), Registry(path).rewrite():
            pass
        assert path.read_bytes() == before


@pytest.mark.parametrize("linked", ["registry.db", ".xexp"])
def test_a_registry_behind_a_link_is_not_used(tmp_path: Path, path: Path, linked: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(FORMAT_1, outside / "registry.db")
    before = (outside / "registry.db").read_bytes()
    if linked == ".xexp":
        path.parent.symlink_to(outside)
    else:
        path.parent.mkdir()
        path.symlink_to(outside / "registry.db")
    with pytest.raises(XexpError):
        Registry(path).rows()
    with pytest.raises(XexpError), Registry(path).rewrite():
        pass
    assert (outside / "registry.db").read_bytes() == before


def test_one_experiment_and_the_run_of_artifacts(tmp_path: Path) -> None:
    file = Registry(tmp_path / "registry.db")
    assert file.row("e0.1.0") is None and file.run_with({"m": "md5:1"}) is None
    with file.rewrite() as db:
        for version, run, artifacts in (
            ("e0.1.0", "", {"m": "md5:1"}),
            ("e0.2.0", "two", {"m": "md5:1", "n": "md5:2"}),
            ("e0.3.0", "three", {"m": "md5:1", "n": "md5:3"}),
        ):
            registry.put(
                db, version, Payload("x", version, run=run, artifacts=artifacts, params={"lr": 0.1})
            )
    rows = file.rows()
    assert [file.row(version) for version in rows] == [*rows.values()]
    assert file.row("e9.0.0") is None
    assert file.run_with({"m": "md5:1"}) == "two"
    assert file.run_with({"n": "md5:3", "m": "md5:1"}) == "three"
    assert file.run_with({"n": "md5:3", "m": "md5:2"}) is None
    many = {f"{n}": "md5:1" for n in range(2000)}  # more than a compound statement may have
    assert file.run_with(many) is None
