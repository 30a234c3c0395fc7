"""``git xexp registry list``, ``show`` and ``compare``."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli.commands.registry.source import db_option, entries_of, labels_option
from gitxexp.cli.group import Command
from gitxexp.cli.options import shared
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitxexp.workflows.registry.configurations import RegistryConfig


@click.command("list", cls=Command)
@labels_option
@db_option
@shared(json=True, full=True)
def list_(labels: tuple[tuple[str, ...], ...], db: Path | None, as_json: bool) -> None:
    """List experiments, and configurations that were registered without a run."""
    wanted = set(chain.from_iterable(labels))
    found = [one for one in entries_of(db) if wanted <= {*one.config.labels}]
    if as_json:
        console.print_json([as_object(one) for one in found])
    elif not found:
        console.remark("nothing is registered" if not wanted else "nothing has these labels")
    else:
        console.page(console.table(_columns(found)))


def _columns(found: list[RegistryConfig]) -> list[Column]:
    from gitxexp.repository.config_hash import flatten

    return [
        Column("version", [one.version for one in found]),
        Column("config", [one.config_hash.removeprefix("sha256:")[:12] for one in found]),
        Column("params", [_pairs(flatten(one.config.params)) for one in found], flexible=True),
        Column("metrics", [_pairs(one.metrics) for one in found], flexible=True, optional=2),
        Column("label", [", ".join(one.config.labels) for one in found], flexible=True),
        Column("text", [one.config.description for one in found], flexible=True),
    ]


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={console.rounded(value)}" for name, value in values.items())


@click.command(cls=Command)
@click.argument("name", metavar="VERSION|HASH")
@db_option
@shared(json=True, full=True)
def show(name: str, db: Path | None, as_json: bool) -> None:
    """Show everything that the registry has about an experiment or configuration.

    HASH is a config-hash prefix of at least 4 characters.
    """
    from gitxexp.workflows.registry.configurations import find

    found = find(entries_of(db), name)
    if as_json:
        console.print_json(as_object(found, full=True))
        return
    console.page(list(_lines(found.document(full=True))))


def _lines(document: Mapping[str, Any]) -> Iterable[str]:
    from gitxexp.repository.config_hash import flatten

    for name, value in document.items():
        if not isinstance(value, dict):
            text = ", ".join(value) if isinstance(value, list) else console.rounded(value)
            if text:
                yield f"{name:<13}{console.one_line(text)}"
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield ""
            yield console.paint(name, "bold")
            for key, each in flatten(value).items():
                yield f"  {console.one_line(key)}  {console.one_line(console.rounded(each))}"


def as_object(found: RegistryConfig, *, full: bool = False) -> dict[str, Any]:
    """An entry as JSON has it."""
    from gitxexp.repository.config_hash import flatten

    document = found.document(full=full)
    document["version"] = found.version or None
    document["params"] = flatten(found.config.params)
    document["metrics"] = dict(found.metrics)
    return document


@click.command(cls=Command)
@click.argument("before", metavar="VERSION|HASH")
@click.argument("after", metavar="VERSION|HASH")
@db_option
@shared(json=True, full=True)
def compare(before: str, after: str, db: Path | None, as_json: bool) -> None:
    """Compare the parameters and metrics of two experiments or configurations."""
    from gitxexp.workflows.registry.configurations import differing, find

    entries = entries_of(db)
    one, other = find(entries, before), find(entries, after)
    changes = differing(one, other)
    names = [
        n for n in {**one.metrics, **other.metrics} if one.metrics.get(n) != other.metrics.get(n)
    ]
    if as_json:
        console.print_json(
            {
                "before": one.config_hash,
                "after": other.config_hash,
                "params": [{"name": c.name, "before": c.before, "after": c.after} for c in changes],
                "metrics": [
                    {"name": n, "before": one.metrics.get(n), "after": other.metrics.get(n)}
                    for n in names
                ],
            }
        )
        return
    rows = [(c.name, c.before, c.after) for c in changes]
    rows += [(n, one.metrics.get(n), other.metrics.get(n)) for n in names]
    if not rows:
        console.out("nothing differs")
        return
    said = [[console.or_dash(value) for value in row] for row in rows]
    columns = zip(*said, strict=True)
    heads = ("name", one.name, other.name)
    console.page(
        console.table(
            [Column(h, list(c), flexible=True) for h, c in zip(heads, columns, strict=True)]
        )
    )
