"""Comparisons of experiments in Python, which print as ``git xexp explore diff`` does."""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.common import streams
from gitxexp.common.text import one_line
from gitxexp.workflows.explore import compare


class Comparison(compare.Comparison):
    """The differences between two experiments, or one and the work tree."""

    __slots__ = ()

    def __repr__(self) -> str:
        from gitxexp.cli.render.details import comparison_text  # only to be printed

        return _text(comparison_text(self))


class SideBySide(compare.SideBySide):
    """Several experiments in columns, each compared with the first."""

    __slots__ = ()

    def __repr__(self) -> str:
        from gitxexp.cli.render.side_by_side import as_text  # only to be printed

        return _text(as_text(self))


def _text(lines: Sequence[str]) -> str:
    return "\n".join(one_line(streams.plain(line)) for line in lines)
