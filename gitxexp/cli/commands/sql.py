"""``git xexp sql``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import UsageError, only_one

if TYPE_CHECKING:
    from gitxexp.workflows.sql.database import ProjectDatabase
    from gitxexp.workflows.sql.statement import Statement


class QueryCommand(Command):
    """A verb whose argument may begin with a comment of SQL."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Like click's; what begins with two dashes and a space is no option."""
        return super().parse_args(ctx, [f" {arg}" if arg[:3] in _COMMENTS else arg for arg in args])


_COMMENTS = ("-- ", "--\n", "--\t")


@click.command(cls=QueryCommand)
@click.argument("query", required=False)
@click.option("-f", "--file", "file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
              help="Read the query from FILE (-: standard input).")  # fmt: skip
@click.option("--schema", is_flag=True, help="List the tables and their columns.")
@shared(json=True)
@click.option("--ndjson", is_flag=True, help="Print a JSON object on each line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with all digits.")
@click.option("--md", "as_md", is_flag=True, help="Print a Markdown table.")
@click.option(
    "--parquet", type=click.Path(path_type=Path), metavar="FILE", help="Write a parquet file."
)
@click.option("--arrow", is_flag=True, help="Write an Arrow stream to standard output.")
@click.option("--allow-files", is_flag=True, help="Let the query read any file of this machine.")
def sql(
    query: str | None,
    file: Path | None,
    schema: bool,
    as_json: bool,
    ndjson: bool,
    as_csv: bool,
    as_md: bool,
    parquet: Path | None,
    arrow: bool,
    allow_files: bool,
) -> None:
    """Query experiments, runs and results with SQL, at any version. Changes nothing.

    DuckDB's SQL over the tables that --schema lists, "TABLE@VERSION", "PATH@VERSION" and
    all_versions('TABLE'). Without QUERY on a terminal it prompts for statements.
    """
    form = only_one({"--json": as_json, "--ndjson": ndjson, "--csv": as_csv, "--md": as_md,
                     "--parquet": parquet is not None, "--arrow": arrow}) or ""  # fmt: skip
    if schema:
        _schema(form, query)
        return
    script = _script(query, file)
    if script is None:
        from gitxexp.cli import sql_prompt

        sql_prompt.prompt(open_project(), allow_files=allow_files)
        return
    if arrow and sys.stdout.isatty():
        raise UsageError(
            "an Arrow stream cannot be shown on a terminal", "redirect it: --arrow > FILE"
        )
    _run(script, form, parquet, allow_files=allow_files)


def _script(query: str | None, file: Path | None) -> str | None:
    """The statements; None where somebody is to be asked for them."""
    only_one({"a query": query is not None, "a file": file is not None})
    if query is not None:
        return query
    if file is not None and str(file) != "-":
        try:
            return file.read_text("utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"{file} is not text in UTF-8", "save it as UTF-8") from None
    if file is not None or not sys.stdin.isatty():
        return sys.stdin.read()
    return None


def _run(script: str, form: str, parquet: Path | None, *, allow_files: bool) -> None:
    from gitxexp.workflows.sql.database import ProjectDatabase

    project = open_project()
    with (
        progress.line("reading") as show,
        ProjectDatabase(project, allow_files=allow_files, progress=show) as db,
    ):
        statements = db.prepare(script)
        console.notes(dict.fromkeys(db.notes))
        if len(statements) > 1 and form in ("--json", "--parquet", "--arrow"):
            raise UsageError(
                f"{form} takes one statement, and there are {len(statements)}",
                "git xexp sql -h shows the usage",
            )
        if parquet is not None:
            db.write_parquet(statements[0], parquet)
            return
        for at, statement in enumerate(statements):
            if at:
                console.out("")
            _print(db, statement, form)


def _form(name: str) -> Callable[[Any], None]:
    from gitxexp.cli.render import sql as render

    return {
        "": render.as_table, "--json": render.as_json, "--ndjson": render.as_ndjson,
        "--csv": render.as_csv, "--md": render.as_markdown, "--arrow": render.arrow,
    }[name]  # fmt: skip


def _print(db: ProjectDatabase, statement: Statement, form: str) -> None:
    cursor = db.execute(statement) if form == "--arrow" else db.print(statement)
    try:
        with db.reading():
            _form(form)(cursor)
    except ImportError as error:
        from gitxexp.common.missing import missing_package

        raise missing_package("pyarrow", "--arrow needs it") from error


def _schema(form: str, query: str | None) -> None:
    from gitxexp.cli.render import sql as render
    from gitxexp.workflows.sql.database import ProjectDatabase

    only_one({"--schema": True, "a query": query is not None},
             "the columns of one: git xexp sql 'DESCRIBE ...'")  # fmt: skip
    only_one({"--schema": True, form: form != "--json" and form})
    with ProjectDatabase(open_project()) as db:
        entries = db.schema()
    if form:
        console.print_json(render.schema_objects(entries))
    else:
        console.page(render.schema_table(entries))
