"""Random databases: several tables, declared types that differ between files, mixed values."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck
from hypothesis import strategies as st

QUIET = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "report_multiple_bugs": False,
}
#: Random cases of the rarest property; others take up to four times as many. More by command.
EXAMPLES = int(os.environ.get("XEXP_TEST_EXAMPLES", "8"))

#: fsync on a real disk would be most of the time of a thousand small merges
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

TABLES = ["default", 'odd "name" WHERE 1']
COLUMNS = ["k", "x y", "select", "v%?#", "é"]
TYPES = ["", "INTEGER", "TEXT", "REAL", "NUMERIC", "VARCHAR(10)", "BOOLEAN", "DOUBLE PRECISION"]
VALUES = st.sampled_from(
    [None, None, 0, 1, 2, 1.0, 0.5, "1", "1.0", "a", "A", "", b"a", b"", 2**62 + 1, 1e300, -0.5]
)
KINDS = ["none", "none", "primary", "primary2", "unique", "integer", "without"]


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@st.composite
def shapes(draw):
    """For each table: what kind of key it has wherever it has one."""
    return {t: draw(st.sampled_from(KINDS)) for t in TABLES[: draw(st.integers(1, 2))]}


@st.composite
def database(draw, shapes, keyed=None):
    """One file as a list of SQL statements with parameters."""
    statements = []
    for name, kind in shapes.items():
        if draw(st.integers(0, 9)) == 0:
            continue
        statements += draw(table(name, kind, keyed))
    return statements


@st.composite
def table(draw, name, kind, keyed):
    columns = draw(st.permutations(COLUMNS))[: draw(st.integers(2, 5))]
    need = ["k", "x y"] if kind == "primary2" else ["k"]
    if kind != "none":
        columns = [c for c in need if c not in columns] + list(columns)
    types = {c: draw(st.sampled_from(TYPES)) for c in columns}
    has_key = kind != "none" and (keyed or draw(st.integers(0, 3)) > 0)
    tail = ""
    if kind == "integer":
        types["k"] = "INTEGER PRIMARY KEY" if has_key else "INTEGER"
    elif has_key:
        if kind == "primary" and types["k"] == "INTEGER":
            types["k"] = "INT"  # a plain key column, not the rowid
        word = "UNIQUE" if kind == "unique" else "PRIMARY KEY"
        tail = f", {word} ({', '.join(map(quote, need))})"
    without = " WITHOUT ROWID" if kind == "without" and has_key else ""
    body = ", ".join(f"{quote(c)} {types[c]}" for c in columns)
    made = [(f"CREATE TABLE {quote(name)} ({body}{tail}){without}", ())]
    holes = ", ".join("?" * len(columns))
    insert = (
        f"INSERT OR IGNORE INTO {quote(name)} ({', '.join(map(quote, columns))}) VALUES ({holes})"
    )
    for _ in range(draw(st.integers(0, 7))):
        row = [draw(VALUES) for _ in columns]
        if kind == "integer":
            row[columns.index("k")] = draw(st.integers(1, 4))
        made.append((insert, row))
        if draw(st.integers(0, 3)) == 0:
            made.append((insert, row))
    return made


def write(path: Path, statements) -> Path:
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE IF NOT EXISTS always (z)")
        for sql, parameters in statements:
            con.execute(sql, parameters)
        con.commit()
    return path
