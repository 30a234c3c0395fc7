"""``git xexp registry search``."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli.commands.registry.source import db_option, labels_option
from gitxexp.cli.group import WordCommand
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column
from gitxexp.common.garbage import no_collection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitxexp.workflows.registry.search import Match


@click.command(cls=WordCommand)
@click.argument("words", nargs=-1, metavar="WORD...")
@labels_option
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=100,
    help="Only the best N (default: 100; 0: all).",
)
@db_option
@shared(json=True)
@no_collection()
def search(
    words: tuple[str, ...],
    labels: tuple[tuple[str, ...], ...],
    limit: int,
    db: Path | None,
    as_json: bool,
) -> None:
    """Find experiments by words in everything recorded about them, best match first.

    Searches descriptions, labels, parameters, run names, commands, commit subjects and the ends of
    logs. bert* matches any ending, -draft excludes a word, and '"two words"' matches adjacent
    words. Untagged runs are found, too.
    """
    from gitxexp.workflows.registry.search import search, search_in

    most = limit + 1 if limit else None
    wanted = tuple(chain.from_iterable(labels))
    if db is not None:
        matches = search_in(db, words, labels=wanted, limit=most)
    else:
        matches = search(open_project(), words, labels=wanted, limit=most)
    if limit and len(matches) > limit:
        matches = matches[:limit]
        console.remark(f"the best {limit}; all of them: --limit 0")
    if as_json:
        console.print_json([_object(one) for one in matches])
    elif not matches:
        console.remark("nothing matches")
    else:
        console.page(console.table(_columns(matches)))


def _columns(found: Sequence[Match]) -> list[Column]:
    from gitxexp.common.text import show_date

    dates = ["" if one.date is None else show_date(one.date) for one in found]
    if console.is_terminal():
        dates = [date[:16].replace("T", " ") for date in dates]
    return [
        Column("version", [one.version or one.run for one in found]),
        Column("date", dates, optional=1),
        Column("in", [one.where for one in found], optional=2),
        Column("match", [_marked(one) for one in found], flexible=True),
    ]


def _marked(one: Match) -> str:
    from gitxexp.workflows.registry.search import MARKS

    return one.excerpt.replace(MARKS[0], "[").replace(MARKS[1], "]")


def _object(one: Match) -> dict[str, Any]:
    from gitxexp.common.text import show_date

    return {
        "version": one.version or None,
        "run": one.run or None,
        "date": None if one.date is None else show_date(one.date),
        "headline": one.headline,
        "labels": list(one.labels),
        "in": one.where,
        "match": _marked(one),
        "score": one.score,
    }
