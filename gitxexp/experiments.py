"""Experiments as Python has them: one, and a sequence of them that prints as a table."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.repository.repository import Project
from gitxexp.repository.version import AnyVersion

if TYPE_CHECKING:
    import duckdb
    import git
    import pandas
    import polars
    import pyarrow

    from gitxexp.repository import tags
    from gitxexp.repository.tag_message import Payload
    from gitxexp.workflows.artifacts.get import GetReport
    from gitxexp.workflows.explore.compare import Comparison, SideBySide
    from gitxexp.workflows.explore.query import ExperimentList, Query

PathLike = Path | str

#: Rows that are printed of a long sequence, half of them from each end.
_MOST = 60


class Experiment:
    """One experiment, as its tag has it. Equal to another of the same tag object.

    What reads files or rows raises :class:`gitxexp.XexpError` where they are not available anywhere.
    """

    def __init__(self, project: Project, tag: tags.Experiment) -> None:
        self._project = project
        self._tag = tag

    @property
    def name(self) -> str:
        """The tag's name, such as ``e0.3.0``."""
        return self._tag.name

    @property
    def version(self) -> AnyVersion:
        """What the name spells: comparable, with ``major``, ``minor`` and ``patch``."""
        return self._tag.version

    @cached_property
    def commit(self) -> git.Commit:
        """The commit that the tag points at, as GitPython has it."""
        from gitxexp.storage.git_write import gitpython_repo

        places = self._project.places
        return gitpython_repo(places.top or places.git_dir).commit(self._tag.commit)

    @property
    def date(self) -> int:
        """When it was tagged, in seconds since 1970."""
        return self._tag.date

    @property
    def tagger(self) -> str:
        """Who tagged it, without the address; "" where the tag does not say."""
        return self._tag.tagger

    @property
    def payload(self) -> Payload:
        """Everything that the tag's message says."""
        return self._tag.payload

    @property
    def headline(self) -> str:
        """The first line of the tag's message."""
        return self.payload.headline

    @property
    def text(self) -> str:
        """The prose of its description, as it is today; "" where there is none."""
        return self.payload.text

    @property
    def run(self) -> str:
        """The tracker run; "" where none is known."""
        return self.payload.run

    @property
    def labels(self) -> tuple[str, ...]:
        """What it was labelled with."""
        return self.payload.labels

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters by dotted name: numbers, texts, truth values or lists of them."""
        return self.payload.params

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Metrics by name: numbers, each in the unit in which it was logged."""
        return self.payload.metrics

    @property
    def context(self) -> Mapping[str, Any]:
        """Where and how it ran, by name: host, Python, commits. Shown, and no part of its configuration."""
        return self.payload.context

    @property
    def artifacts(self) -> Mapping[str, str]:
        """Path of every DVC output at its commit → ``md5:…``."""
        return self.payload.artifacts

    def get(self, *paths: str, out: PathLike | None = None, force: bool = False) -> GetReport:
        """Get files or folders of it from the nearest place that has them, as ``git xexp get``.

        ``paths`` are read from the current folder, then from the top; globs are allowed. ``out`` is a
        file or folder (default: their own place); ``force`` overwrites files that differ. Returns each
        file with its size in bytes and where it came from. Raises XexpError for a path that it does not
        have, a file in the way, and content that no place has.
        """
        from gitxexp.workflows.artifacts.get import GetRequest, get

        place = None if out is None else Path(out)
        request = GetRequest(self._tag.commit, paths, self.name, place, force=force)
        return get(self._project, request)

    @overload
    def open(self, path: str, mode: Literal["r"] = "r", *, encoding: str = "utf-8") -> IO[str]: ...

    @overload
    def open(self, path: str, mode: Literal["rb"]) -> IO[bytes]: ...

    def open(self, path: str, mode: str = "r", *, encoding: str = "utf-8") -> IO[str] | IO[bytes]:
        """Open one of its files for reading, as it was, in ``mode`` "r" (text in ``encoding``) or "rb".

        Its content is verified and read from a temporary file, so that nothing reaches the work tree or
        the cache. Raises XexpError for a ``path`` that it does not have or that is a folder, and for
        content that no place has; UsageError for another mode.
        """
        import tempfile

        from gitxexp.workflows.artifacts.get import GetRequest, stream

        if mode not in ("r", "rb"):
            raise UsageError(f"mode '{mode}': a past experiment can only be read ('r' or 'rb')")
        file = tempfile.TemporaryFile()  # noqa: SIM115, it is given away
        try:
            stream(self._project, GetRequest(self._tag.commit, (path,), self.name), file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return io.TextIOWrapper(file, encoding=encoding) if mode == "r" else file

    def diff(self, other: str | Experiment | None = None) -> Comparison:
        """Parameters, metrics, artifacts and code that differ from it to ``other`` (a version, or None for
        the work tree and its latest run), as ``git xexp explore diff``.

        Metrics have their change, whether that is better, and a 95% interval where rows tell it. Raises
        XexpError for a name that means nothing.
        """
        from gitxexp.workflows.explore import compare
        from gitxexp.workflows.explore.show import experiment_of

        before = compare.of_experiment(self._project, self._tag)
        if other is None:
            return compare.compare(self._project, before, compare.of_work_tree(self._project))
        tag = (
            other._tag if isinstance(other, Experiment) else experiment_of(self._project, other)[0]
        )
        return compare.compare(self._project, before, compare.of_experiment(self._project, tag))

    def rows(self, table: str | None = None) -> duckdb.DuckDBPyRelation:
        """The rows that its run logged, as the results were at its commit: a DuckDB relation, whose
        ``fetchall()`` gives tuples, ``df()``, ``pl()`` and ``arrow()`` tables.

        ``table`` is a table of the results (None: that of its run). Rows are its own where they name its
        run or its version; of a table with neither column, all are. Raises XexpError where there is no
        such table, or no place has the database of that commit.
        """
        from gitxexp.trackers.tables import condition_of
        from gitxexp.workflows.sql.database import selected

        name = table or self.payload.table
        if not name:
            raise XexpError(
                f"{self.name} names no table of its rows", "name one: rows('predictions')"
            )
        path = name.replace('"', '""')
        query = f'SELECT * FROM "{path}@{self.name}"'
        return selected(
            self._project, query, lambda columns: condition_of(columns, self.run, self.name)
        )

    def log(self) -> str:
        """What its run printed, where ``git xexp run`` or ``sweep`` ran it on this machine.

        Raises XexpError where there is no record of the run, or its log is elsewhere.
        """
        from gitxexp.workflows.runs.logs import find_log

        return find_log(self._project, self.name).path.read_text("utf-8", "replace")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Experiment) and self._tag.oid == other._tag.oid

    def __hash__(self) -> int:
        return hash(self._tag.oid)

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.headline}>"

    def _repr_html_(self) -> str:
        return Experiments(self._project, [self._tag])._repr_html_()


class Experiments(Sequence[Experiment]):
    """Experiments in order, as a sequence: prints as a table, in a notebook as one of HTML.

    ``where``, ``filter`` and ``sort`` give new sequences, and so does a slice. Names are those of
    ``git xexp list``: fields (``version``, ``date``, ``label``), metrics and parameters, of which the
    last part is enough (``lr`` is ``train.lr``).
    """

    def __init__(self, project: Project, tags: Sequence[tags.Experiment]) -> None:
        self._project = project
        self._tags = list(tags)

    def __len__(self) -> int:
        return len(self._tags)

    @overload
    def __getitem__(self, at: int) -> Experiment: ...

    @overload
    def __getitem__(self, at: slice) -> Experiments: ...

    def __getitem__(self, at: int | slice) -> Experiment | Experiments:
        if isinstance(at, slice):
            return Experiments(self._project, self._tags[at])
        return Experiment(self._project, self._tags[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]

    def where(self, condition: str) -> Experiments:
        """Those of which ``condition`` is true, in DuckDB's SQL over names: ``"f1 > 0.8 AND lr IN (1, 2)"``,
        a dotted name in double quotes. ``date`` is a time in UTC, ``label`` a list of texts.

        Raises UsageError, pointing at the word, for a condition that cannot be read.
        """
        from gitxexp.workflows.explore.query import Query

        return self._chosen(Query(where=condition))

    def filter(self, expression: str) -> Experiments:
        """Those that match ``expression``, in the language of ``git xexp list --filter``: ``"f1 > 0.8 and
        model ~ bert"``. Raises UsageError or XexpError for what cannot be read or a name that is unknown."""
        from gitxexp.workflows.explore.query import Query

        return self._chosen(Query(filter=expression))

    def sort(self, name: str, *, reverse: bool = False) -> Experiments:
        """By a metric ``name`` (the best first), a parameter or text (upwards), ``date`` or ``version``
        (the last first), or the other way with ``reverse``; what lacks it comes last. Raises XexpError for
        a name that is unknown."""
        from gitxexp.workflows.explore.query import Query

        return self._chosen(Query(sort=name, reverse=reverse))

    def compare(self) -> SideBySide:
        """All of them side by side, each compared with the first, as ``git xexp explore diff`` of several:
        parameters, metrics with their 95% intervals where rows tell them, artifacts and code.

        Raises XexpError where the sequence is empty.
        """
        from gitxexp.workflows.explore.compare import of_experiment, side_by_side

        if not self._tags:
            raise XexpError("there is nothing to compare")
        return side_by_side(
            self._project, [of_experiment(self._project, tag) for tag in self._tags]
        )

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each: ``version``, ``date`` (UTC), ``label`` (lists), ``run``, ``commit``, parameters and
        metrics by name, ``text``. A parameter that has the name of a metric or field is ``params.NAME``.

        Raises UsageError where pandas is not installed.
        """
        from gitxexp.common.missing import missing_package

        try:
            import pandas
        except ImportError as error:
            raise missing_package("pandas", "to_pandas() needs it") from error
        columns = self._columns()
        columns["date"] = pandas.to_datetime(columns["date"], unit="s", utc=True)
        return pandas.DataFrame(columns)

    def to_polars(self) -> polars.DataFrame:
        """As :meth:`to_pandas`, for polars. Raises UsageError where polars is not installed."""
        from gitxexp.common.missing import missing_package

        try:
            import polars
        except ImportError as error:
            raise missing_package("polars", "to_polars() needs it") from error
        columns = self._columns()
        date = polars.from_epoch(polars.Series("date", columns["date"], dtype=polars.Int64))
        columns["date"] = date.dt.replace_time_zone("UTC")
        columns["label"] = polars.Series(
            "label", columns["label"], dtype=polars.List(polars.String)
        )
        return polars.DataFrame(columns)

    def to_arrow(self) -> pyarrow.Table:
        """As :meth:`to_pandas`, for Apache Arrow. Raises UsageError where pyarrow is not installed."""
        from gitxexp.common.missing import missing_package

        try:
            import pyarrow
        except ImportError as error:
            raise missing_package("pyarrow", "to_arrow() needs it") from error
        columns: dict[str, Any] = self._columns()
        columns["date"] = pyarrow.array(columns["date"], pyarrow.timestamp("s", tz="UTC"))
        columns["label"] = pyarrow.array(columns["label"], pyarrow.list_(pyarrow.string()))
        return pyarrow.table(columns)

    def _chosen(self, query: Query) -> Experiments:
        if not self._tags:  # no name is known, and none is wrong
            return self
        rows = self._listed(query).rows
        kept = [row.experiment for row in rows if row.experiment is not None]
        return Experiments(self._project, kept)

    def _listed(self, query: Query) -> ExperimentList:
        from gitxexp.workflows.explore.query import listing
        from gitxexp.workflows.explore.rows import of_experiment

        return listing(list(map(of_experiment, self._tags)), query, self._project.config)

    def _columns(self) -> dict[str, Any]:
        """The values of each column, of one type each."""
        from gitxexp.trackers.column_names import key_metrics_order, key_params_order
        from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, column, of_experiment

        rows = list(map(of_experiment, self._tags))
        names = ColumnNames(rows)
        columns: dict[str, Any] = {
            "version": [tag.name for tag in self._tags],
            "date": [tag.date for tag in self._tags],
            "label": [list(tag.payload.labels) for tag in self._tags],
            "run": [tag.payload.run or None for tag in self._tags],
            "commit": [tag.commit for tag in self._tags],
        }
        taken = {*columns, "text", *names.metrics}
        for name in key_params_order(names.params):
            key = f"params.{name}" if name in taken else name
            columns[key] = _of_one_type(column(rows, ColumnName("param", name)))
        for name in key_metrics_order(names.metrics):
            columns[name] = _of_one_type(column(rows, ColumnName("metric", name)))
        return columns | {"text": [tag.payload.text for tag in self._tags]}

    def __repr__(self) -> str:
        from gitxexp.cli.render import lists

        if not self._tags:
            return "<no experiments>"
        return "\n".join([*lists.as_lines(self._short()), *self._more()])

    def _repr_html_(self) -> str:
        from gitxexp.cli.render import lists

        if not self._tags:
            return "no experiments"
        more = "".join(f"<p>{line}</p>" for line in self._more())
        return lists.as_html(self._short()) + more

    def _short(self) -> ExperimentList:
        from gitxexp.workflows.explore.query import Query

        if len(self._tags) <= _MOST:
            return self._listed(Query())
        half = _MOST // 2
        return Experiments(self._project, [*self._tags[:half], *self._tags[-half:]])._short()

    def _more(self) -> list[str]:
        count = len(self._tags)
        return [f"... {count} experiments, {_MOST} of them shown"] if count > _MOST else []


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """Numbers, truth values or texts; values of several kinds as texts, as a list shows them."""
    from gitxexp.repository.tag_message import show

    kinds = {type(value) for value in values if value is not None}
    if any(type(value) is int and abs(value) >> 63 for value in values):
        kinds = {object}  # more than a column of integers holds
    if kinds <= {bool} or kinds <= {int} or kinds <= {str}:
        return list(values)
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else show(value) for value in values]
