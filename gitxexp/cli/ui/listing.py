"""Read, filter and sort the rows that ``git xexp ui`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from gitxexp.cli.render import lists
from gitxexp.cli.render.console import width
from gitxexp.common.dataclass import dataclass
from gitxexp.common.text import show_date, visible
from gitxexp.common.values import is_number
from gitxexp.repository.tag_message import show
from gitxexp.trackers import column_names
from gitxexp.workflows.explore import query, rows
from gitxexp.workflows.explore.query import ListColumn, ListQuery
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project

#: Rows that the widths and kinds of columns are taken from.
_SAMPLE = 300
#: The widest and narrowest column.
_WIDEST, _NARROWEST = 32, 3


@dataclass(frozen=True)
class TableColumn:
    """A column of the table: numbers stand to the right."""

    name: ColumnName
    width: int
    right: bool

    @property
    def title(self) -> str:
        """The name without where it stands."""
        return visible(self.name.name.rpartition(".")[2])

    def cell(self, row: Row) -> str:
        """The text of a cell."""
        return _cell(self.name, row)


@dataclass(frozen=True)
class Arranged:
    """What stands in the table; cells are made when they are seen. ``best`` has the rows with the best
    value of each column, ``named`` every row that there is, by its name."""

    rows: Sequence[Row]
    columns: Sequence[TableColumn]
    best: Sequence[frozenset[int]]
    named: Mapping[str, Row]

    def place(self, wanted: Row | None) -> int:
        """Where a row is, or the one of its name that was read since; 0 where there is none."""
        if wanted is None:
            return 0
        row = self.named.get(name_of(wanted), wanted)
        return next((at for at, each in enumerate(self.rows) if each is row), 0)


def name_of(row: Row) -> str:
    """What names a row: the version of an experiment, the id of a run."""
    return str(row.field("run" if row.is_run else "version") or row.field("record") or "")


def _cell(name: ColumnName, row: Row) -> str:
    field = name.name if name.kind == "field" else ""
    return visible(lists.cell(field, name.value(row), short=True))


@dataclass
class Listing:
    """Experiments, or runs, as they were read last. Its methods are called by one thread at a time, which
    holds ``lock``: reading all may last."""

    project: Project
    runs: bool = False
    rows: list[Row] = field(default_factory=list)
    whole: bool = False  #: whether all are read
    lock: Lock = field(default_factory=Lock)
    _order: tuple[str, bool] | None = None

    def read(self, newest: int | None = None) -> None:
        """Read them all, or for a first look the ``newest``; raises XexpError where that cannot be done."""
        self.rows = query.every_row(self.project, runs=self.runs, newest=newest)
        self.whole = newest is None or len(self.rows) < newest
        self._order = None
        for name in ("_names", "_columns", "_texts", "_named", "_arranged"):
            self.__dict__.pop(name, None)

    def arranged(self, text: str, order: tuple[str, bool] | None) -> Arranged:
        """The rows that ``text`` matches: an expression of ``--filter``, or words, each of which has
        to stand in the row; in the ``order`` of a column, turned or not (None: the newest first).

        Raises XexpError for a name that does not exist, UsageError for an expression that cannot be
        read.
        """
        if not text.strip() and order is None and self._order is None:
            return self._arranged
        return self._arrange(text, order)

    @cached_property
    def _arranged(self) -> Arranged:
        """All of them as they were read: what dropping a filter goes back to."""
        return self._arrange("", None)

    def _arrange(self, text: str, order: tuple[str, bool] | None) -> Arranged:
        columns = self._columns
        if order is not None:
            by = self._names.find(order[0])
            if order != self._order:
                config = self.project.config
                self.rows = query.in_order(self.rows, by, config, reverse=order[1])
                self._order = order
            if by not in [column.name for column in columns]:
                columns = [columns[0], self._column(by), *columns[1:]]
        kept: Sequence[Row] = self.rows
        if is_expression(text):
            kept, _ = rows.select(kept, text, self._names)
        elif text.strip():
            words, texts = text.lower().split(), self._texts
            kept = [row for row in kept if all(word in texts[id(row)] for word in words)]
        best = [self._best(column.name, kept) for column in columns]
        return Arranged(kept, columns, best, self._named)

    @cached_property
    def _named(self) -> dict[str, Row]:
        return {name_of(row): row for row in self.rows}

    @cached_property
    def _names(self) -> ColumnNames:
        return ColumnNames(self.rows)

    @cached_property
    def _columns(self) -> list[TableColumn]:
        """Those of ``explore list``: they stay as they are while rows are filtered."""
        wanted = ListQuery(runs=self.runs)
        chosen = query.choose_columns(self.rows, self._names, wanted, (), self.project.config)
        return [self._column(name) for name in chosen]

    def _column(self, name: ColumnName) -> TableColumn:
        sample = self.rows[:: max(1, len(self.rows) // _SAMPLE)]
        longest = max((width(_cell(name, row)) for row in sample), default=0)
        title = width(name.name.rpartition(".")[2]) + 1  # and the sign of the order
        right = name.kind == "metric" or (
            name.kind == "param" and all(v is None or is_number(v) for v in map(name.value, sample))
        )
        return TableColumn(name, max(_NARROWEST, title, min(_WIDEST, longest)), right)

    @cached_property
    def _texts(self) -> dict[int, str]:
        """All that each row says, in small letters."""
        return {id(row): _text(row) for row in self.rows}

    def _best(self, name: ColumnName, kept: Sequence[Row]) -> frozenset[int]:
        if name.kind != "metric":
            return frozenset()
        maximize = column_names.maximize(name.name, query.directions(self.project.config))
        return ListColumn(name, rows.column(kept, name), maximize).best


def is_expression(text: str) -> bool:
    """Whether a filter compares, rather than names words."""
    return any(mark in text for mark in "=<>~")


def _text(row: Row) -> str:
    fields = row.fields()
    labels, date = fields.pop("label", None) or (), fields.pop("date", None)
    values = [*labels, show_date(date) if date else "", *filter(None, fields.values())]
    named = (f"{name}={show(value)}" for name, value in (*row.params.items(), *row.metrics.items()))
    return "\n".join([*map(str, values), *named]).lower()
