"""The console script. What must be quick is answered before click is imported."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run ``git xexp ARGV``; returns the exit code."""
    args = sys.argv[1:] if argv is None else argv
    if args == ["--version"]:
        from gitxexp._version import __version__

        print(f"git-xexp version {__version__}")
        return 0
    from gitxexp.cli import run

    return run(args)
