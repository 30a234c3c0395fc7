"""Reads in one long-lived process (a test, a notebook) leave it as it was."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import Repo


def opened(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(entry.readlink()))
    return [path for path in found if path.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed in /proc")
@pytest.mark.parametrize("verb", [("list",), ("status",), ("registry", "search", "f1")])
def test_the_process_collects_and_closes(tagged: Repo, verb: tuple[str, ...]) -> None:
    assert gc.isenabled()
    for _ in range(3):
        assert tagged.xexp(*verb).code == 0
    assert gc.isenabled()
    gc.collect()
    assert opened(tagged.path) == []
