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
    if args[:1] == ["merge-driver"]:
        from gitxexp.merge.driver import merge_driver

        return merge_driver(args[1:])
    if args[:1] == ["textconv"]:
        from gitxexp.merge.driver import textconv

        return textconv(args[1:])
    from gitxexp.cli import run

    return run(args)
