"""After a run: which inputs were evaluated, by whom, how often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gitxexp.common.sql import quote
from gitxexp.common.text import counted
from gitxexp.workflows.checks import data_files
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.profile import LARGE, MOST, RunGroup, TableProfile
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, found, rule

_NO_ID = "no column names the inputs (--id COLUMN)"
#: Words of a split that is trained on; every other is held out.
_TRAINED = ("train", "training", "fit", "tr")


@rule("leak", Severity.ERROR, Scope.TABLE)
def leak(table: TableProfile, context: Context) -> Iterator[Finding]:
    """An input was evaluated more than once with one configuration, in one run or in several, or is in both
    the training and the test data.

    A mean counts repeated rows twice, and a model that has seen its test data looks better than it will
    ever be again. A column such as `input_id` names the input (`--id COLUMN` names another one), and one
    such as `split` the part of the data, which may differ by `fold` and `seed`. Runs have the same
    configuration if all their parameters are equal, also those that another table of the file has for them.
    Runs without any parameter may differ in what they do not tell, so repeated inputs of theirs are a
    warning.

    To compare two files of data, by their key, or row by row if they have none:

    ```console
    $ git xexp check --train data/iris.csv --test data/iris.csv || true
    ```

    Remove the rows from the training data and run again. If you evaluate an input twice on purpose, make
    the repetition a parameter (`seed`, `repeat`), so that each has a configuration of its own.
    """
    if table.id_column is None:
        context.skip("leak", f"{table.shown}: {table.table.name}: {_NO_ID}")
        return
    places = _Places(table)
    if any(one.rows > one.groups for one in table.spread):
        yield from _within_runs(table, places)
    yield from _between_runs(table, places)
    yield from _between_splits(table, places)


class _Places:
    """Where the inputs of a table are: of a large table the patterns that are wrong, and the rows of a few
    inputs of each; else ``rows`` is the whole table."""

    def __init__(self, table: TableProfile) -> None:
        known = table.patterns
        self.counted = known is not None
        first = next(iter(table.repeated), None)
        self.again = [one for one in known or () if one.rows > len(one.places)]
        self.shared = [] if first is None else table.shared_by(table.by_config()[first])
        self.split = [
            one
            for one in known or ()
            if len({_is_trained(part) for _, part in one.places if part is not None}) > 1
        ]
        wrong = [each for each in (self.again, self.shared, self.split) if each]
        self.rows = table.examples(*wrong) if wrong else table.from_table


def _within_runs(table: TableProfile, places: _Places) -> Iterator[Finding]:
    if places.counted and not places.again:
        return
    key = quote(table.require_id())
    run = quote(table.run_column) if table.run_column else "''"
    where, params = table.where(table.chosen)
    names = [n for n in (table.run_column, table.id_column, table.split_column) if n]
    names += [*table.varying_names, *table.repetitions]
    inner = (
        f"SELECT {run} AS run, {key} AS input, count(*) AS times FROM {places.rows}"
        f" WHERE {key} IS NOT NULL AND {where} GROUP BY {', '.join(map(quote, names))}"
        " HAVING count(*) > 1"
    )
    rows, total = table.ask(f"{inner} LIMIT {MOST}", params), sum(p.inputs for p in places.again)
    if rows and not total:
        total = int(table.value(f"SELECT count(DISTINCT input) FROM ({inner}) AS s", params))
    if total:
        yield table.found(
            f"{counted(total, 'input')} evaluated more than once within a run"
            if table.run_column
            else f"{counted(total, 'input')} more than once in the table",
            subject=table.require_id(), count=total,
            rows=rows,
            hint="evaluate each input once, or make the repetition a parameter",
        )  # fmt: skip


def _between_runs(table: TableProfile, places: _Places) -> Iterator[Finding]:
    configs = table.by_config()
    large = sum(group.rows for group in table.chosen) > LARGE
    every = list(table.repeated.items())
    for number, (text, total) in enumerate(every[:MOST]):
        groups = configs[text]
        runs = _runs(groups)
        again = f"{counted(total, 'input')} evaluated in {len(runs)} runs"
        named = table.is_configured(groups[0])
        yield table.found(
            f"{again} of one configuration ({table.label(groups[0])})"
            if named
            else f"{again} that no parameter tells apart",
            level=None if named else Severity.WARNING,
            subject=table.require_id(), count=total,
            rows=() if number and large else table.overlap(groups, places.rows),
            hint=f"keep one of the runs {', '.join(runs[:5])}"
            if named
            else "name the parameters: git config --add xexp.roles.param COLUMN",
        )  # fmt: skip
    if rest := every[MOST:]:
        total = sum(count for _, count in rest)
        yield table.found(
            f"{counted(total, 'evaluation')} repeated in {counted(len(rest), 'more configuration')}",
            level=None if all(table.is_configured(configs[text][0]) for text, _ in rest)
            else Severity.WARNING,
            subject=table.require_id(), count=total,
            rows=[{"configuration": table.label(configs[t][0]), "inputs": n} for t, n in rest[:MOST]],
            listed=len(rest), hint="keep one run of each",
        )  # fmt: skip


def _runs(groups: Sequence[RunGroup]) -> list[str]:
    return list(dict.fromkeys(group.run for group in groups))


def _between_splits(table: TableProfile, places: _Places) -> Iterator[Finding]:
    if table.split_column is None or (places.counted and not places.split):
        return
    key, split = quote(table.require_id()), quote(table.split_column)
    trained = ", ".join(f"'{word}'" for word in _TRAINED)
    kind = f"CASE WHEN lower(CAST({split} AS VARCHAR)) IN ({trained}) THEN 1 ELSE 0 END"
    where, params = table.where(table.chosen)
    inner = (
        f"SELECT {key} AS input, min({split}) AS split, max({split}) AS other FROM {places.rows}"
        f" WHERE {key} IS NOT NULL AND {split} IS NOT NULL AND {where}"
        f" GROUP BY {', '.join([key, *map(quote, table.split_by)])} HAVING min({kind}) <> max({kind})"
    )
    total, rows = table.counted(inner, params)
    if total and table.split_by:
        total = int(table.value(f"SELECT count(DISTINCT input) FROM ({inner}) AS s", params))
    total = sum(one.inputs for one in places.split) or total
    if total:
        yield table.found(
            f"{counted(total, 'input')} both in the training and in the held-out data",
            subject=table.split_column, count=total,
            rows=rows,
            hint="remove them from the training data, and run again",
        )  # fmt: skip


def _is_trained(part: str) -> bool:
    return part.lower() in _TRAINED


@rule("leak", Severity.ERROR, Scope.DATA)
def leak_between_files(context: Context) -> Iterator[Finding]:
    """Given two files (CSV, TSV, JSON lines, parquet, SQLite or DuckDB), it finds the inputs in both."""
    train, test = context.request.train, context.request.test
    if train is None or test is None:
        return
    shared = data_files.shared(train, test, context.request.id_column)
    if shared.total:
        yield found(
            f"{counted(shared.total, 'row')} of {context.shown(test)} in {context.shown(train)}"
            f" ({shared.by})",
            path=context.shown(test), subject=shared.by, count=shared.total, rows=shared.rows,
            hint="remove them from the training data, and train again",
        )  # fmt: skip


@rule("unbalanced", Severity.WARNING, Scope.TABLE)
def unbalanced(table: TableProfile, context: Context) -> Iterator[Finding]:
    """Configurations were evaluated on different numbers, or different sets, of inputs.

    Means over different inputs also differ because of the inputs. A run that was stopped early, or whose
    hard inputs failed, looks better than it is.

    Evaluate the missing inputs, or compare on the inputs that all configurations share:
    `WHERE input_id IN (SELECT input_id ... GROUP BY input_id HAVING count(DISTINCT track_id) = N)`.
    """
    if table.id_column is None:
        context.skip("unbalanced", f"{table.shown}: {table.table.name}: {_NO_ID}")
        return
    configs = table.by_config()
    if len(configs) < 2:
        return
    every = len(table.chosen)
    if all(one.groups == every for one in table.spread):
        return
    rows = _inputs_by_config(table, configs)
    counts = sorted({row["inputs"] for row in rows})
    total = sum(one.inputs for one in table.spread)
    if len(counts) == 1 and counts[0] == total:
        return
    said = (
        f"from {counts[0]} to {counts[-1]} inputs" if len(counts) > 1
        else f"{counts[0]} inputs each, of {total}"
    )  # fmt: skip
    yield table.found(
        f"{len(configs)} configurations were evaluated on different inputs: {said}",
        subject=table.id_column, count=len(configs),
        rows=sorted(rows, key=lambda row: row["inputs"])[:MOST],
        hint="evaluate the missing ones, or compare on the inputs that all have",
    )  # fmt: skip


def _inputs_by_config(
    table: TableProfile, configs: dict[str, list[RunGroup]]
) -> list[dict[str, Any]]:
    inputs = table.inputs_by_config()
    return [
        {
            "configuration": table.label(groups[0]),
            "runs": len({group.run for group in groups}),
            "inputs": inputs[text],
        }
        for text, groups in configs.items()
    ]
