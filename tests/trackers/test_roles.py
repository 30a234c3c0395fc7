"""The roles of columns, as people of eight fields name them.

``columns/FIELD.txt`` hold a table of each field (name | right roles | values of two runs),
``columns/tables.txt`` many small ones (``# table``), and ``columns/names.txt`` names found in public
projects. Neither is a list that the vocabulary was made from,
so a name here and there may be missed, but nothing may be taken for a parameter that is none.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitxexp.common.sql import quote
from gitxexp.trackers.adapters.plain_table import ADAPTER
from gitxexp.trackers.column_names import Role, role_of
from gitxexp.trackers.roles import ColumnValues, RoleRules, decide, kept, of_table
from gitxexp.trackers.runs import columns, latest_run
from tests.helpers import Repo

FOLDER = Path(__file__).with_name("columns")
FIELDS = ("vision", "language", "speech", "recommendation", "reinforcement", "forecasting",
          "tabular", "finance", "detector", "finetune", "asr", "recsys", "rl", "ts", "tab",
          "fin")  # fmt: skip


def value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


Table = dict[str, tuple[set[str], list[Any]]]  #: column → its right roles and its values
_KEYS = """\
track_id | key | a; a; b; b
timestamp | key | 2026-01-01 10:00:00; 2026-01-01 10:00:01; 2026-01-02 10:00:00; 2026-01-02 10:00:01
"""


def table_of(text: str) -> Table:
    found = {}
    for line in text.splitlines():
        name, right, cells = line.split(" | ")
        split = cells.split(";" if ";" in cells else ",")
        found[name] = set(right.split("|")), [value(cell.strip()) for cell in split]
    return found


def taken_wrong(path: Path, tables: dict[str, Table]) -> dict[str, Role]:
    """The columns of a database of those tables whose role is not right."""
    with closing(sqlite3.connect(path)) as db:
        for name, table in tables.items():
            names = ", ".join(f'"{column}"' for column in table)
            db.execute(f"CREATE TABLE {name} ({names})")
            for row in zip(*(cells for _, cells in table.values()), strict=True):
                db.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)
        db.commit()
    return {
        f"{each.table}.{each.column}": each.role
        for each in columns(path)
        if each.role not in tables[each.table][each.column][0]
    }


@pytest.mark.parametrize("field", FIELDS)
def test_a_table_of_each_field(tmp_path: Path, field: str) -> None:
    table = table_of((FOLDER / f"{field}.txt").read_text("utf-8"))
    wrong = taken_wrong(tmp_path / "results.db", {"results": table})
    assert len(wrong) <= len(table) * 0.05, wrong
    assert Role.PARAM not in wrong.values(), wrong


def test_small_tables_of_many_fields(tmp_path: Path) -> None:
    parts = (FOLDER / "tables.txt").read_text("utf-8").split("# ")[1:]
    tables = {
        name: table_of(_KEYS + lines) for name, _, lines in (p.partition("\n") for p in parts)
    }
    wrong = taken_wrong(tmp_path / "results.db", tables)
    assert len(wrong) <= sum(map(len, tables.values())) * 0.02, wrong
    assert Role.PARAM not in wrong.values(), wrong


def test_names_of_public_projects() -> None:
    wrong, count, taken = {}, 0, set()
    for line in (FOLDER / "names.txt").read_text("utf-8").splitlines():
        usual, *names = line.split()
        for each in names:
            name, _, more = each.partition("|")
            right = {*usual.split("|"), *filter(None, more.split("|"))}
            named = role_of(name)
            count += 1
            if named is None or named.role not in right:
                wrong[name] = named.role if named else None
                taken |= {name} if named and named.role is Role.PARAM else set()
    assert len(wrong) <= count * 0.06, wrong
    assert len(taken) <= 3, taken  # by its name alone: the value of weights_url tells it


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("loss", ColumnValues(2, 2, "hinge", numeric=False), Role.PARAM),  # scikit-learn's argument
        ("lr", ColumnValues(2, 2, 0.1, constant=False, fractions=True, number=0.1), Role.CONTEXT),
        ("model", ColumnValues(1, 1, "/home/ada/model", numeric=False), Role.CONTEXT),
        ("prompt_template", ColumnValues(1, 1, "x" * 2000, numeric=False), Role.OUTPUT),
        ("marble_flavour", ColumnValues(2, 2, "sweet", numeric=False), Role.PARAM),
        ("marble_flavour", ColumnValues(2, 2, "9f3c2ab71d", numeric=False), Role.CONTEXT),
        ("marble_flavour", ColumnValues(2, 2, "word " * 40, numeric=False), Role.OUTPUT),
        ("marble_flavour", ColumnValues(2, 2, 0.7, fractions=True, number=0.7), Role.METRIC),
        ("marble_flavour", ColumnValues(2, 2, 7, number=7, attached=True), Role.PARAM),
        ("marble_flavour", ColumnValues(2, 2, 7, number=7), Role.CONTEXT),
        ("marble_freeze", ColumnValues(2, 2, 7, number=7), Role.PARAM),
        ("marble_freeze", ColumnValues(2, 2, 0.7, fractions=True, number=0.7), Role.METRIC),
        ("marble_flavour", ColumnValues(2, 2, 7, constant=False, number=7), Role.CONTEXT),
        ("marble_kinds", ColumnValues(2, 2, 7, number=7, attached=True), Role.CONTEXT),
        ("tool_selection", ColumnValues(2, 2, 0.9, fractions=True, number=0.9), Role.METRIC),
        ("state", ColumnValues(1, 1, "crashed", numeric=False), Role.CONTEXT),  # a tracker's, no robot's
        ("marble_flavour", ColumnValues(1, 1, "COMPLETE", numeric=False), Role.CONTEXT),
        ("marble_flavour", ColumnValues(1, 1, "runs/best.pt", numeric=False), Role.CONTEXT),
        ("marble_flavour", ColumnValues(2, 2, "2026-03-01", numeric=False), Role.CONTEXT),
        ("test_from", ColumnValues(2, 2, "2026-03-01", numeric=False), Role.PARAM),
        ("marble_flavour", ColumnValues(1, 1, "ada@example.org", numeric=False), Role.CONTEXT),
        ("marble_flavour", ColumnValues(1, 1, "tried this one again", numeric=False), Role.CONTEXT),
        ("rand_index", ColumnValues(2, 2, 0.7, fractions=True, number=0.7), Role.METRIC),
        ("date_features", ColumnValues(2, 2, "dow,month", numeric=False), Role.PARAM),
        ("duration_predictor", ColumnValues(2, 2, "stochastic", numeric=False), Role.PARAM),
        ("precision", ColumnValues(2, 2, "16-mixed", numeric=False), Role.PARAM),
        ("beta", ColumnValues(1, 1, 0.9, fractions=True, number=0.9), Role.PARAM),
        ("beta_to_spx", ColumnValues(1, 1, 0.9, fractions=True, number=0.9,
                               beside=frozenset(["sharpe_oos"])), Role.METRIC),
        ("beta", ColumnValues(1, 1, 0.9, fractions=True, number=0.9, beside=frozenset(["sharpe"])),
         Role.METRIC),
    ],
)  # fmt: skip
def test_what_values_say(name: str, values: ColumnValues, role: Role) -> None:
    assert decide("t", name, values).role is role


NUMBER = ColumnValues(2, 2, 7, number=7)
FRACTION = ColumnValues(2, 2, 0.7, number=0.7, fractions=True)
VARIES = FRACTION._replace(constant=False)
TEXT = ColumnValues(2, 2, "sweet", numeric=False)


@pytest.mark.parametrize(
    ("order", "role"),
    [
        ({"lr": FRACTION, "marble": NUMBER, "seed": NUMBER}, Role.PARAM),
        ({"marble": NUMBER, "seed": NUMBER}, Role.PARAM),
        ({"lr": FRACTION, "marble": FRACTION, "dropout": FRACTION}, Role.PARAM),
        ({"lr": FRACTION, "marble": NUMBER, "accuracy": VARIES}, Role.PARAM),
        ({"lr": FRACTION, "marble": NUMBER._replace(rows=1, filled=1), "accuracy": FRACTION},
         Role.CONTEXT),
        ({"lr": FRACTION, "marble": FRACTION, "accuracy": FRACTION}, Role.METRIC),
        ({"accuracy": VARIES, "marble": NUMBER, "f1": VARIES}, Role.CONTEXT),
        ({"accuracy": VARIES, "marble": NUMBER, "seed": NUMBER}, Role.CONTEXT),
        ({"lr": FRACTION, "marble": NUMBER._replace(constant=False), "seed": NUMBER}, Role.CONTEXT),
        ({"accuracy": VARIES, "marble": NUMBER._replace(value=1, number=1, flags=True)}, Role.OUTPUT),
        ({"marble": VARIES, "prediction": VARIES}, Role.OUTPUT),
        ({"accuracy": VARIES, "marble": TEXT}, Role.CONTEXT),
        ({"accuracy": VARIES, "marble": TEXT, "seed": NUMBER}, Role.PARAM),
        ({"marble": VARIES, "marble_pred": VARIES}, Role.OUTPUT),
    ],
)  # fmt: skip
def test_what_columns_beside_it_say(order: dict[str, ColumnValues], role: Role) -> None:
    beside = frozenset(order)
    found = of_table("t", {n: v._replace(beside=beside) for n, v in order.items()}, {})
    assert found["marble"].role is role


def test_the_configuration_has_the_first_word() -> None:
    rules = RoleRules({Role.CONTEXT: ("lr", "t.sh*")})
    values = ColumnValues(1, 1, 0.1, fractions=True, number=0.1)
    assert decide("t", "lr", values, rules).role is Role.CONTEXT
    assert decide("t", "shard", values, rules).role is Role.CONTEXT
    assert decide("u", "shard", values, rules).role is not Role.CONTEXT


def test_parameters_of_an_older_tag_by_todays_roles() -> None:
    tagged = {"lr": 0.1, "code_commit": "abc1234", "shard": "a", "train.n_samples": 4, "lane": 3}
    roles = {"shard": Role.CONTEXT, "lr": Role.PARAM}
    assert kept(tagged, roles) == {"lr": 0.1, "train.n_samples": 4, "lane": 3}


def test_the_trials_that_optuna_exports(tmp_path: Path) -> None:
    """``Study.trials_dataframe``: no column of runs, and the metric is called value."""
    row = {"number": 3, "value": 0.8, "datetime_start": "2026-03-01 10:00:00",
           "duration": "0 days 00:00:30", "params_depth": 4, "user_attrs_n_params": 9,
           "system_attrs_nsga2:generation": 0, "state": "COMPLETE"}  # fmt: skip
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"CREATE TABLE t ({', '.join(map(quote, row))})")
        db.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", [*row.values()])
        db.commit()
    assert ADAPTER.has_runs(path)
    assert [str(each.role) for each in columns(path)] == [
        "key", "metric", "key", "context", "param", "context", "context", "context",
    ]  # fmt: skip


def test_explore_columns(trained: Repo) -> None:
    trained.xexp("init").good()
    found = trained.xexp("explore", "columns", "--json").good().json()
    roles = {each["column"]: each["role"] for each in found}
    assert {each["table"] for each in found} == {"predictions"}
    assert roles["lr"] == roles["model"] == "param" and roles["f1"] == "metric"
    assert roles["track_id"] == roles["timestamp"] == "key" and roles["epoch"] == "context"
    text = trained.xexp("explore", "columns").good().out
    assert text.startswith("predictions of results/experiments.db\ncolumn\trole\tvalue\twhy\n")
    assert "[roles] in .xexp/config.toml" in text
    trained.git("config", "xexp.roles.context", "lr,ep*")
    assert "lr\tcontext\t1.0\t[roles] context = lr\n" in trained.xexp("explore", "columns").out
    run = latest_run(trained / "results/experiments.db")
    assert run is not None and run.params["lr"] == 1.0
    assert trained.xexp("explore", "columns", "nosuch").code == 128


def test_explore_columns_without_results(repo: Repo) -> None:
    repo.xexp("init", "--no-dvc").good()
    done = repo.xexp("explore", "columns")
    assert done.code == 128 and "there are no runs" in done.err
