"""A hostile clone for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.hostile import Evil


@pytest.fixture
def evil(tmp_path: Path) -> Evil:
    """A stranger's repository in the user's hands."""
    base = tmp_path / "base"
    base.mkdir()
    return Evil(base)
