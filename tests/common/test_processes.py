"""Ctrl-C while a database runs one long statement."""

from __future__ import annotations

import subprocess
import sys
import time

#: A connection that forgets the first interrupt, as one does that has not begun its statement yet.
SCRIPT = """
import os, signal, sqlite3, threading, time, _duckdb
from gitxexp.common import processes

class Forgetful:
    def __init__(self, connection):
        self.connection, self.told = connection, 0

    def interrupt(self):
        self.told += 1
        if self.told > 1:
            self.connection.interrupt()

for connection, rows in ((_duckdb.connect(), "range(1000000000) a, range(9999) b"),
                         (sqlite3.connect(":memory:"), "(WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL "
                          "SELECT i + 1 FROM c) SELECT i FROM c)")):
    told = Forgetful(connection)
    processes.interruptible(told)
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        try:
            connection.execute(f"SELECT count(*) FROM {rows}").fetchall()
        except (_duckdb.InterruptException, sqlite3.OperationalError, RuntimeError):
            time.sleep(1)  # until Python's own handler has run, unless DuckDB took what it raised
    except KeyboardInterrupt:
        pass
    print("interrupted")
"""


def test_an_interrupt_that_is_forgotten_is_repeated() -> None:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "interrupted\n" * 2, done.stderr
    assert time.monotonic() - start < 30
