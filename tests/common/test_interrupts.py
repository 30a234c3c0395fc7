"""Ctrl-C where Python would lose it, or be left in pieces by it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.helpers import Repo, run

RAISES = "import os, signal\nos.kill(os.getpid(), signal.{})\n"
PROGRAM = """
import os, signal, sys, time
sys.path.insert(0, "")
from gitxexp.common import interrupts
interrupts.interrupt()
try:
    import late
    time.sleep(10)
except KeyboardInterrupt:
    print(late.whole)

class Last:
    def __init__(self, error=None):
        self.error = error
    def __del__(self):
        if self.error:
            raise self.error
        os.kill(os.getpid(), signal.SIGINT)

Last(ValueError("nobody's"))
try:
    Last()
    time.sleep(10)
except KeyboardInterrupt:
    print("not lost")
interrupts.end()
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_after_an_import_and_out_of_a_destructor(name: str, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(f"{RAISES.format(name)}sum(range(1000))\nwhole = True\n")
    done = run(sys.executable, "-u", "-c", PROGRAM, cwd=tmp_path)
    assert (done.code, done.out, done.err) == (-signal.SIGTERM, "True\nnot lost\n", "")


def test_twice(ready: Repo) -> None:
    """A second one, while the first is told, is no traceback."""
    twice = (
        "import os, signal, sys\nfrom gitxexp import entry\nfrom gitxexp.cli import outcome, status\n"
        "def again(*args, **more):\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "status.show = outcome.say = again\n"
        "sys.exit(entry.main([]))\n"
    )
    done = ready.python("-c", twice)
    assert (done.code, done.out, done.err) == (130, "", "")
