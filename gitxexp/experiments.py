"""Experiments in Python: a single one, and a sequence that prints as a table."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.sql import quote
from gitxexp.guarded import guarded
from gitxexp.repository.repository import Project
from gitxexp.repository.version import AnyVersion

if TYPE_CHECKING:
    import duckdb
    import git
    import pandas
    import polars
    import pyarrow

    from gitxexp.comparison import Comparison, SideBySide
    from gitxexp.repository import tags
    from gitxexp.repository.tag_message import Payload
    from gitxexp.workflows.artifacts.get import GetReport
    from gitxexp.workflows.explore.query import ExperimentList, ListQuery

PathLike = Path | str

#: Rows printed of a long sequence, half from each end.
_MOST = 60


@guarded
class Experiment:
    """One experiment, as its tag records it. Two are equal if they have the same tag object.

    Methods that read files or rows raise :class:`gitxexp.XexpError` if these are not available
    anywhere.
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
        """The parsed version: comparable, with ``major``, ``minor`` and ``patch``."""
        return self._tag.version

    @cached_property
    def commit(self) -> git.Commit:
        """The commit that the tag points at, as a GitPython object."""
        from gitxexp.storage.git_write import gitpython_repo

        places = self._project.places
        return gitpython_repo(places.top or places.git_dir).commit(self._tag.commit)

    @property
    def date(self) -> int:
        """When it was tagged, in seconds since 1970."""
        return self._tag.date

    @property
    def tagger(self) -> str:
        """The tagger's name without the address; "" if the tag has none."""
        return self._tag.tagger

    @property
    def payload(self) -> Payload:
        """The content of the tag's message."""
        return self._tag.payload

    @property
    def headline(self) -> str:
        """The first line of the tag's message."""
        return self.payload.headline

    @property
    def text(self) -> str:
        """The text of its current description; "" if there is none."""
        return self.payload.text

    @property
    def run(self) -> str:
        """The tracker run; "" if unknown."""
        return self.payload.run

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels."""
        return self.payload.labels

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters by dotted name: numbers, strings, booleans or lists of these."""
        return self.payload.params

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Metrics by name: numbers in the unit in which they were logged."""
        return self.payload.metrics

    @property
    def context(self) -> Mapping[str, Any]:
        """Where and how it ran, by name: host, Python, commits. Not part of its configuration."""
        return self.payload.context

    @property
    def artifacts(self) -> Mapping[str, str]:
        """Path of every DVC output at its commit → ``md5:…``."""
        return self.payload.artifacts

    def get(self, *paths: str, out: PathLike | None = None, force: bool = False) -> GetReport:
        """Get its files or folders from the nearest place that has them, as ``git xexp get``.

        ``paths`` are relative to the current folder, then to the top; globs are allowed. ``out`` is
        a file or folder (default: their original paths); ``force`` overwrites files that differ.
        Returns each file with its size in bytes and where it came from. Raises XexpError for an
        unknown path, a file in the way, or content that is nowhere.
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
        """Open one of its files, as it was, for reading in ``mode`` "r" (text in ``encoding``) or
        "rb".

        Its content is verified and read from a temporary file, so nothing reaches the work tree or
        the cache. Raises XexpError for a ``path`` that is unknown or a folder, or content that is
        nowhere; UsageError for another mode.
        """
        import tempfile

        from gitxexp.workflows.artifacts.get import GetRequest, stream

        if mode not in ("r", "rb"):
            raise UsageError(
                f"mode '{mode}': a past experiment can only be read ('r' or 'rb')",
                "use mode r or rb",
            )
        file = tempfile.TemporaryFile()  # noqa: SIM115, the caller closes it
        try:
            stream(self._project, GetRequest(self._tag.commit, (path,), self.name), file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return io.TextIOWrapper(file, encoding=encoding) if mode == "r" else file

    def diff(self, other: str | Experiment | None = None) -> Comparison:
        """Return the parameters, metrics, artifacts and code that differ between this one and
        ``other`` (a version, or None for the work tree and its latest run), as ``git xexp explore
        diff``, as which it prints.

        Metrics have their change, whether that is better, and a 95% interval where rows allow one.
        Raises XexpError for an unknown name.
        """
        from gitxexp.comparison import Comparison
        from gitxexp.workflows.explore import compare
        from gitxexp.workflows.explore.show import experiment_of

        before = compare.of_experiment(self._project, self._tag)
        if other is None:
            after = compare.of_work_tree(self._project)
        else:
            known = other._tag if isinstance(other, Experiment) else None
            tag = known or experiment_of(self._project, str(other))[0]
            after = compare.of_experiment(self._project, tag)
        return Comparison(*compare.compare(self._project, before, after))

    def rows(self, table: str | None = None) -> duckdb.DuckDBPyRelation:
        """Return the rows that its run logged, from the results at its commit: a DuckDB relation,
        whose ``fetchall()`` returns tuples and ``df()``, ``pl()`` and ``arrow()`` return tables.

        ``table`` is a table of the results (None: that of its run). Rows belong to it if they name
        its run (in another table, the run there that ``git xexp run`` recorded with it) or version;
        in a table with neither column, all do. Raises XexpError if there is no such table, or the
        database of that commit is nowhere.
        """
        from gitxexp.trackers.tables import condition_of
        from gitxexp.workflows.runs import record
        from gitxexp.workflows.sql.database import selected

        name = table or self.payload.table
        if not name:
            raise XexpError(
                f"{self.name} names no table of its rows", "name one: rows('predictions')"
            )
        run, plain = self.run, name.rpartition(".")[2]
        if plain != self.payload.table:
            own = record.find(record.read(self._project), run) if run else None
            run = own.run_in(plain) or run if own is not None and own.is_one else run
        query = f"SELECT * FROM {quote(f'{name}@{self.name}')}"
        return selected(self._project, query, lambda columns: condition_of(columns, run, self.name))

    def log(self) -> str:
        """Return the output of its run, if ``git xexp run`` or ``sweep`` ran it on this machine.

        Raises XexpError if the run has no record, or its log is on another machine.
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


@guarded
class Experiments(Sequence[Experiment]):
    """An ordered sequence of experiments: prints as a table, in a notebook as HTML.

    ``where``, ``filter``, ``sort`` and slices return new sequences. Names are those of ``git xexp
    list``: fields (``version``, ``date``, ``label``), metrics and parameters, whose last part is
    enough (``lr`` for ``train.lr``).
    """

    def __init__(self, project: Project, tags: Sequence[tags.Experiment]) -> None:
        self._project = project
        self._tags = list(tags)

    def __len__(self) -> int:
        return len(self._tags)

    @overload
    def __getitem__(self, at: int | str) -> Experiment: ...

    @overload
    def __getitem__(self, at: slice) -> Experiments: ...

    def __getitem__(self, at: int | str | slice) -> Experiment | Experiments:
        """Return one by its place or version, or those of a slice. Raises IndexError, or KeyError
        for a version that is not among them."""
        if isinstance(at, slice):
            return Experiments(self._project, self._tags[at])
        if isinstance(at, str):
            tag = next((tag for tag in self._tags if tag.name == at), None)
            if tag is None:
                raise KeyError(at)
            return Experiment(self._project, tag)
        return Experiment(self._project, self._tags[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]

    def where(self, condition: str) -> Experiments:
        """Return those for which ``condition``, in DuckDB SQL over names, is true: ``"f1 > 0.8 AND
        lr IN (1, 2)"``; put dotted names in double quotes. ``date`` is a UTC timestamp, ``label`` a
        list of strings.

        Raises UsageError, pointing at the word, for an invalid condition.
        """
        from gitxexp.workflows.explore.query import ListQuery

        return self._chosen(ListQuery(where=condition))

    def filter(self, expression: str) -> Experiments:
        """Return those that match ``expression``, in the syntax of ``git xexp list --filter``:
        ``"f1 > 0.8 and model ~ bert"``. Raises UsageError or XexpError for an invalid expression or
        an unknown name."""
        from gitxexp.workflows.explore.query import ListQuery

        return self._chosen(ListQuery(filter=expression))

    def sort(self, name: str, *, reverse: bool = False) -> Experiments:
        """Sort by ``name``: a metric (best first), a parameter or text (ascending), ``date`` or
        ``version`` (latest first); ``reverse`` inverts the order. Experiments without a value come
        last. Raises XexpError for an unknown name."""
        from gitxexp.workflows.explore.query import ListQuery

        return self._chosen(ListQuery(sort=name, reverse=reverse))

    def compare(self) -> SideBySide:
        """Compare each with the first, as ``git xexp explore diff`` of several, as which it prints:
        parameters, metrics with 95% intervals where rows allow them, artifacts and code.

        Raises XexpError if the sequence is empty.
        """
        from gitxexp.comparison import SideBySide
        from gitxexp.workflows.explore.compare import of_experiment, side_by_side

        if not self._tags:
            raise XexpError("there is nothing to compare", "choose experiments: repo.experiments()")
        sides = [of_experiment(self._project, tag) for tag in self._tags]
        return SideBySide(*side_by_side(self._project, sides))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a DataFrame with a row for each: ``version``, ``date`` (UTC), ``label`` (lists),
        ``run``, ``commit``, parameters and metrics by name, ``text``. A parameter with the same
        name as a metric or field is ``params.NAME``.

        Raises UsageError if pandas is not installed.
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
        """Like :meth:`to_pandas`, for polars. Raises UsageError if polars is not installed."""
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
        """Like :meth:`to_pandas`, for Apache Arrow. Raises UsageError if pyarrow is not installed."""
        from gitxexp.common.missing import missing_package

        try:
            import pyarrow
        except ImportError as error:
            raise missing_package("pyarrow", "to_arrow() needs it") from error
        columns: dict[str, Any] = self._columns()
        columns["date"] = pyarrow.array(columns["date"], pyarrow.timestamp("s", tz="UTC"))
        columns["label"] = pyarrow.array(columns["label"], pyarrow.list_(pyarrow.string()))
        return pyarrow.table(columns)

    def _chosen(self, query: ListQuery) -> Experiments:
        if not self._tags:  # no name is known, so none is wrong
            return self
        rows = self._listed(query).rows
        kept = [row.experiment for row in rows if row.experiment is not None]
        return Experiments(self._project, kept)

    def _listed(self, query: ListQuery) -> ExperimentList:
        from gitxexp.workflows.explore.query import listing
        from gitxexp.workflows.explore.rows import of_experiment

        return listing(list(map(of_experiment, self._tags)), query, self._project.config)

    def _columns(self) -> dict[str, Any]:
        """Return the values of each column, one type per column."""
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
        from gitxexp.workflows.explore.query import ListQuery

        if len(self._tags) <= _MOST:
            return self._listed(ListQuery())
        half = _MOST // 2
        return Experiments(self._project, [*self._tags[:half], *self._tags[-half:]])._short()

    def _more(self) -> list[str]:
        count = len(self._tags)
        return [f"... {count} experiments, {_MOST} of them shown"] if count > _MOST else []


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """Numbers, booleans or strings; mixed kinds become strings, as a listing shows them."""
    from gitxexp.repository.tag_message import show

    kinds = {type(value) for value in values if value is not None}
    if any(type(value) is int and abs(value) >> 63 for value in values):
        kinds = {object}  # more than an integer column holds
    if kinds <= {bool} or kinds <= {int} or kinds <= {str}:
        return list(values)
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else show(value) for value in values]
