"""The script named by the first argument, in a process that has imported what it needs."""

from __future__ import annotations

import runpy
import sys


def main() -> None:
    """Run it with the arguments that follow, as ``python SCRIPT ARGS`` does."""
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
