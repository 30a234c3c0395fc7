"""Fixtures of the tests of tables."""

from __future__ import annotations

import pytest

from gitxexp.tables.duckdb import session
from tests.tables.support import ASKED, Borrowed


@pytest.fixture
def one_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    """All merges of this test in one DuckDB, unless it is a longer run: to start one is a third of a
    merge of a few rows."""
    if not ASKED:
        monkeypatch.setattr(session, "_connect", lambda scratch, memory: Borrowed())
