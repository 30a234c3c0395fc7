"""Print a list of experiments: a table, JSON, CSV, and lines for scripts."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from gitxexp.cli.render import console, markdown
from gitxexp.cli.render.console import Column, rounded, rounded_all
from gitxexp.common.text import html_text, show_date, visible
from gitxexp.repository import tag_message
from gitxexp.workflows.explore.query import ExperimentList, ListColumn
from gitxexp.workflows.explore.rows import ColumnName, Row

#: What ``--porcelain`` prints unless it is told: these never change their order.
_PORCELAIN = ("version", "date", "commit", "config_hash", "data", "run", "headline")
_PORCELAIN_RUNS = ("run", "version", "date", "commit", "rows", "results")

#: Run ids up to this width are never cut, because people copy them into the next command.
_RUN_WIDTH = 32

#: Fields that make room for parameters, which experiments are told apart by, the first one first.
_SPARE = {"data": 1, "date": 2}


def porcelain_columns(form: str, *, runs: bool) -> tuple[str, ...]:
    """The columns of a form that must not change with the content; () where they may."""
    if form != "porcelain":
        return ()
    return _PORCELAIN_RUNS if runs else _PORCELAIN


def as_table(found: ExperimentList, asked: Container[str] = ()) -> list[str]:
    """A table that fits the terminal, numbers rounded.

    Of columns that may be left out to fit, those that were ``asked`` for by name are not.
    """
    short = console.is_terminal()
    return console.table([_column(shown, asked, short=short) for shown in found.columns])


def as_lines(found: ExperimentList) -> list[str]:
    """The table as a terminal has it, without colours."""
    return console.aligned([_column(shown, (), short=True) for shown in found.columns])


def as_html(found: ExperimentList) -> str:
    """A table of HTML, the best value of each metric in bold; names and values are text, never markup."""
    columns = [_column(shown, (), short=True) for shown in found.columns]
    head = "".join(f"<th>{html_text(column.name)}</th>" for column in columns)
    rows = "".join(
        f"<tr>{''.join(_html_cell(column, at) for column in columns)}</tr>"
        for at in range(len(found.rows))
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _html_cell(column: Column, at: int) -> str:
    text = html_text(column.cells[at])
    side = ' style="text-align: right"' if column.right else ""
    return f"<td{side}>{f'<b>{text}</b>' if at in column.marked else text}</td>"


def as_markdown(found: ExperimentList) -> list[str]:
    """A table of GitHub's Markdown, numbers rounded, the best value of each metric in bold."""
    return markdown.table([_column(shown, (), short=True) for shown in found.columns])


def _column(shown: ListColumn, asked: Container[str], *, short: bool) -> Column:
    kind, name = shown.name
    wide = kind == "field" and name in ("text", "headline", "run", "label")
    cells = _cells(shown, short=short, exact=False)
    if not short:
        return Column(name, cells)
    if name == "run" and max(map(console.width, cells), default=0) <= _RUN_WIDTH:
        wide = False
    numbers = all(value is None or isinstance(value, int | float) for value in shown.values)
    last = name.rpartition(".")[2]
    spare = 3 if kind == "param" else _SPARE.get(name, 0) if kind == "field" else 0
    return Column(
        last,
        cells,
        right=numbers and kind != "field",
        flexible=wide or kind == "param",
        optional=0 if name in asked or last in asked else spare,
        marked=shown.best,
    )


def _cells(shown: ListColumn, *, short: bool, exact: bool) -> list[str]:
    field = shown.name.name if shown.name.kind == "field" else ""
    if short or field in ("date", "label"):
        return [cell(field, value, short=short) for value in shown.values]
    return tag_message.show_all(shown.values) if exact else rounded_all(shown.values)


def cell(field: str, value: Any, *, short: bool) -> str:
    """One value as text; ``field`` names the fixed field that it belongs to, or is ""."""
    if value is None:
        return ""
    if field == "date":
        text = show_date(value)
        return text[:16].replace("T", " ") if short else text
    if field == "label":
        return ", ".join(value)
    if short and field in ("commit", "config_hash"):
        return str(value).removeprefix("sha256:")[:8]
    if short and isinstance(value, float):
        return rounded(value)
    return tag_message.show(value)


def as_csv(found: ExperimentList) -> str:
    """RFC 4180 with a header, values in full but for control characters; lines end in a plain newline."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([visible(shown.name.name) for shown in found.columns])
    columns = (map(visible, _cells(shown, short=False, exact=True)) for shown in found.columns)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


def as_porcelain(found: ExperimentList, end: str) -> str:
    """One line per row, fields separated by tabs, without a header; the date in Unix seconds."""
    columns = []
    for shown in found.columns:
        if shown.name == ColumnName("field", "date"):
            columns.append([str(int(value)) if value is not None else "" for value in shown.values])
        else:
            columns.append(
                [console.one_line(text) for text in _cells(shown, short=False, exact=True)]
            )
    return "".join("\t".join(cells) + end for cells in zip(*columns, strict=True))


def as_objects(found: ExperimentList, *, chosen: bool) -> list[dict[str, Any]]:
    """Every row as what JSON can hold: all that is known of it, or the chosen columns."""
    if not chosen:
        return [_object(row) for row in found.rows]
    names = [shown.name.name for shown in found.columns]
    values = [[_plain(shown, value) for value in shown.values] for shown in found.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _plain(shown: ListColumn, value: Any) -> Any:
    return _field(shown.name.name, value) if shown.name.kind == "field" else value


def _object(row: Row) -> dict[str, Any]:
    fields = {name: _field(name, value) for name, value in row.fields().items()}
    fields["labels"] = fields.pop("label", [])
    facts = {**fields, "params": dict(row.params), "metrics": dict(row.metrics)}
    if row.experiment is not None and not row.is_run:
        facts["artifacts"] = dict(row.experiment.payload.artifacts)
    return facts


def _field(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "date":
        return show_date(value)
    return list(value) if name == "label" else value
