"""``git xexp registry export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli.commands.registry.source import db_option, entries_of
from gitxexp.cli.group import Command
from gitxexp.cli.options import shared
from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import UsageError
from gitxexp.common.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitxexp.workflows.registry.configurations import RegistryConfig

_FORMS = {".json": "json", ".toml": "toml", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson",
          ".parquet": "parquet", ".pq": "parquet"}  # fmt: skip


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[VERSION|HASH]... [FILE]")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to this file."
)
@click.option("--full", is_flag=True, help="Include metrics, context and artifacts.")
@click.option("--toml", "form", flag_value="toml", help="Write TOML.")
@click.option("--csv", "form", flag_value="csv", help="Write CSV, one row each.")
@click.option("--ndjson", "form", flag_value="ndjson", help="Write one JSON object per line.")
@click.option("--parquet", "form", flag_value="parquet", help="Write a parquet file.")
@db_option
@shared(json=True)
def export(
    names: tuple[str, ...],
    out: Path | None,
    full: bool,
    form: str | None,
    db: Path | None,
    as_json: bool,
) -> None:
    """Write configurations as JSON, TOML or a table; by default all of them.

    The suffix of FILE selects the format (default: JSON). git xexp registry import reads JSON and
    TOML back, with the same hash.
    """
    from gitxexp.workflows.registry import export as write
    from gitxexp.workflows.registry.configurations import find

    if out is None and names and Path(names[-1]).suffix.lower() in _FORMS:
        names, out = names[:-1], Path(names[-1])
    chosen = form or (_FORMS.get(out.suffix.lower(), "json") if out else "json")
    if form and out and out.suffix.lower() in _FORMS and _FORMS[out.suffix.lower()] != form:
        raise UsageError(f"--{form} and {out} are two forms", "omit the option")
    if chosen == "parquet" and out is None:
        raise UsageError("parquet is written to a file", "name it: -o FILE.parquet")
    entries = entries_of(db)
    configurations: Sequence[RegistryConfig] = (
        [find(entries, name) for name in names] if names else entries
    )
    if out is None:
        streams.write(write.text_of(configurations, chosen, full=full))
        return
    write.to_file(configurations, out, chosen, full=full)
    if as_json:
        console.print_json({"file": str(out), "entries": len(configurations)})
    else:
        console.done(f"exported {counted(len(configurations), 'configuration')} to {out}")
