"""The title and lines of the lower part of ``git xexp ui``, computed while the screen stays responsive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitxexp.cli.render import console, details
from gitxexp.cli.render import plot as plots
from gitxexp.cli.render.console import one_line, rounded
from gitxexp.cli.render.lists import cell
from gitxexp.cli.ui.listing import name_of
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository.config_hash import same_value
from gitxexp.workflows.explore import compare, plot, show
from gitxexp.workflows.explore.compare import ComparedSide
from gitxexp.workflows.explore.rows import Row

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.trackers.run import Run

#: Bytes of a log that are read.
_TAIL = 1_000_000
#: The widest column of a value side by side with others.
_WIDEST = 24

Shown = tuple[str, list[str]]


@dataclass(frozen=True)
class About:
    """The row under the cursor, the marked ones, and the room that there is."""

    project: Project
    row: Row
    marked: Sequence[Row]
    metric: int
    width: int
    height: int


def all_about(about: About) -> Shown:
    """What is known of the row."""
    row = about.row
    if row.experiment is not None and not row.is_run:
        found = show.details(about.project, row.experiment.name)
        return row.experiment.name, details.as_text(found)
    fields = row.fields().items()
    facts = [(name, one_line(cell(name, value, short=False))) for name, value in fields if value]
    lines = [
        *details.section("run", facts),
        *details.section("parameters", _values(row.params)),
        *details.section("metrics", _values(row.metrics)),
    ]
    return f"run {name_of(row)}", lines


def _values(values: Any) -> Iterable[tuple[str, str]]:
    return ((one_line(name), one_line(rounded(value))) for name, value in values.items())


# -- differences -----------------------------------------------------------------------------------


def difference(about: About) -> Shown:
    """The marked rows side by side; of one, what changed since its parent."""
    rows = list(about.marked)
    if len(rows) == 1 and rows[0] is not about.row:
        rows.append(about.row)
    if len(rows) > 2:
        return f"{len(rows)} side by side", _beside(rows)
    if len(rows) < 2:
        rows = [_parent(about), about.row]
    sides = [_side(about.project, row) for row in rows]
    found = compare.compare(about.project, *sides)
    return f"{name_of(rows[0])} → {name_of(rows[1])}", details.comparison_text(found)


def _parent(about: About) -> Row:
    from gitxexp.workflows.explore.rows import of_experiment

    experiment = about.row.experiment
    if experiment is None or about.row.is_run:
        raise NoAnswer("there is nothing to compare it with", "mark another one with Space")
    parent = show.parent_of(about.project, experiment, about.project.tags())
    if parent is None:
        raise NoAnswer(f"{experiment.name} has no parent", "mark another one with Space")
    return of_experiment(parent)


def _side(project: Project, row: Row) -> ComparedSide:
    if row.experiment is not None and not row.is_run:
        return compare.of_experiment(project, row.experiment)
    commit = str(row.field("commit") or "") or None
    known = commit if commit and project.git.ok("cat-file", "-e", f"{commit}^{{commit}}") else None
    run = str(row.field("run") or "")
    return ComparedSide(name_of(row), known, row.params, row.metrics, {}, run)


def _beside(rows: Sequence[Row]) -> list[str]:
    """A column for each row, a line for each parameter that differs and each metric."""
    lines: list[str] = []
    for title, tables in {
        "parameters": [row.params for row in rows],
        "metrics": [row.metrics for row in rows],
    }.items():
        names = dict.fromkeys(name for table in tables for name in table)
        cells = []
        for name in names:
            values = [table.get(name) for table in tables]
            if title == "metrics" or any(not same_value(value, values[0]) for value in values[1:]):
                shown = (console.clip(console.or_dash(value), _WIDEST) for value in values)
                cells.append((one_line(name), *shown))
        if cells:
            lines += details.section(title, [("", *map(name_of, rows)), *cells])
    return lines or ["nothing differs"]


# -- curves ----------------------------------------------------------------------------------------


def curves(about: About) -> Shown:
    """What the marked runs logged step by step, or that of the row."""
    rows = about.marked or [about.row]
    found = {run.id: run for row in rows for run in logged(about.project, row)}.values()
    counts = Counter(name for run in found for name in run.series)
    if not counts:
        raise NoAnswer("no curve: nothing was logged more than once")
    names = sorted(counts, key=lambda name: -counts[name])
    metric = names[about.metric % len(names)]
    drawn = plot.curves([run for run in found if metric in run.series], metric)
    legend = 2 + len(drawn.series) // 2 if len(drawn.series) > 1 else 0
    look = plots.Look(about.width - 2, max(4, about.height - 3 - legend), console.paint)
    title = f"{metric} by step ({about.metric % len(names) + 1} of {len(names)}; v: the next)"
    return title, plots.as_lines(drawn, look)[2:]


def logged(project: Project, row: Row) -> list[Run]:
    """The tracker's run of a row, and those of other tables that its record ties to it; none where
    the results do not have it."""
    run = str(row.field("run") or "")
    results = row.field("results")
    if not run or not results or project.places.top is None:
        return [row.logged] if row.logged is not None else []
    from gitxexp.trackers import runs
    from gitxexp.workflows.experiments.column_roles import role_rules
    from gitxexp.workflows.runs import record

    config = project.config
    found = [row.logged] if row.logged is not None else []
    for id in record.ids_of(record.read(project))(run):
        if id not in {each.id for each in found}:
            with suppress(XexpError):
                table = config.results_table or None
                found.append(runs.find_run(project.top / results, id, table, role_rules(config)))
    return found


# -- logs ------------------------------------------------------------------------------------------


def log(about: About) -> Shown:
    """The end of what the run printed."""
    from gitxexp.workflows.runs.logs import find_log

    row = about.row
    name = str(row.field("record") or "") or name_of(row)
    found = find_log(about.project, name)
    with found.path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        text = file.read().decode("utf-8", "replace")
    lines = [part.rpartition("\r")[2] for part in text.replace("\r\n", "\n").split("\n")]
    return f"log of {found.record.id}", [*found.notes, *lines]


PANES: dict[str, Callable[[About], Shown]] = {
    "details": all_about,
    "output": all_about,
    "diff": difference,
    "curves": curves,
    "log": log,
}
