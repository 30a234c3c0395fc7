"""Configurations: files that are read back to the same hash, a registry in a plain file, Python."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gitxexp
from gitxexp import ExperimentConfig
from gitxexp.repository import config_hash
from gitxexp.repository.configuration import document, dumped, nested, parse, read_file, write_file
from tests.experiments import tag, three
from tests.helpers import Clock, Repo, xexp_inside

PLAIN = {
    "feature_names": ["age", "income"], "feature_weights": {"age": 0.5, "income": 1},
    "hyperparameters": {"lr": 1e-4, "layers": [1, 2]}, "description": "reference", "tags": ["prod"],
}  # fmt: skip

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
scalars = st.one_of(
    st.booleans(), st.integers(-(10**30), 10**30), st.floats(), names, st.just(float("inf"))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
params = st.dictionaries(names, values, max_size=5)


@given(params, st.sampled_from(["json", "toml"]))
def test_what_is_written_is_read_back_to_the_same_hash(found: dict[str, Any], form: str) -> None:
    config = ExperimentConfig(found, "words", ("a", "b"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"c.{form}"
        config.write(path)
        again = ExperimentConfig.read(path)
        assert again.config_hash == config.config_hash == config_hash.config_hash(found)
        assert (again.description, again.labels) == ("words", ("a", "b"))
        write_file(path, [document(config), document(config)])
        assert [one.config_hash for one in read_file(path)] == [config.config_hash] * 2


@given(params)
def test_nesting_changes_no_hash(found: dict[str, Any]) -> None:
    flat = config_hash.flatten(found)
    assert config_hash.config_hash(nested(flat)) == config_hash.config_hash(found)


def test_what_toml_has_not(tmp_path: Path) -> None:
    with pytest.raises(gitxexp.XexpError, match="TOML cannot hold it"):
        dumped([document(ExperimentConfig({"a": None}))], "toml")
    assert parse(PLAIN).labels == ("prod",)
    assert parse(PLAIN).params["hyperparameters"] == {"lr": 1e-4, "layers": [1, 2]}
    assert parse({"params": {"lr": 1}, "seed": 3}).params == {"params": {"lr": 1}, "seed": 3}


def test_a_registry_in_a_plain_file(tmp_path: Path) -> None:
    """As in the quick reference: no repository anywhere."""

    def run(*words: str) -> Any:
        return xexp_inside(*words, cwd=tmp_path)

    (tmp_path / "config.json").write_text(json.dumps(PLAIN))
    done = run("registry", "import", "config.json", "--db", "exp.db").good()
    hash_ = ExperimentConfig({n: v for n, v in PLAIN.items() if n not in ("description", "tags")})
    assert done.out == f"{hash_.config_hash}  new\n"
    start = hash_.config_hash[7:11]
    assert run("registry", "import", "config.json", "--db", "exp.db").out.endswith("known\n")
    (tmp_path / "other.json").write_text(json.dumps(PLAIN | {"feature_names": ["age"], "tags": []}))
    run("registry", "import", "other.json", "--db", "exp.db").good()
    (one, two) = run("registry", "list", "--db", "exp.db", "--json").good().json()
    assert {one["description"], two["description"]} == {"reference"}
    (labelled,) = run("registry", "list", "--tags", "prod", "--db", "exp.db", "--json").json()
    assert labelled["config_hash"] == hash_.config_hash
    shown = run("registry", "show", start, "--db", "exp.db", "--json").good().json()
    assert shown["params"]["hyperparameters.lr"] == 1e-4
    assert run("registry", "show", start[:3], "--db", "exp.db").code == 128
    assert "at least 4 characters" in run("registry", "show", start[:3], "--db", "exp.db").err
    other = next(o["config_hash"] for o in (one, two) if o["config_hash"] != hash_.config_hash)
    changed = run("registry", "compare", start, other, "--db", "exp.db", "--json").good().json()
    assert [c["name"] for c in changed["params"]] == ["feature_names"]
    run("registry", "label", start, "+paper", "-prod", "--db", "exp.db").good()
    run("registry", "describe", start, "-m", "better words", "--db", "exp.db").good()
    (found,) = run("registry", "search", "better", "--db", "exp.db", "--json").good().json()
    assert found["labels"] == ["paper"]
    run("registry", "export", start, "out.toml", "--db", "exp.db").good()
    assert ExperimentConfig.read(tmp_path / "out.toml") == ExperimentConfig(
        nested(hash_.params), "better words", ("paper",)
    )
    assert run("registry", "delete", start, "--db", "exp.db").code == 1
    run("registry", "delete", start, "--force", "--db", "exp.db").good()
    assert len(run("registry", "list", "--db", "exp.db", "--json").json()) == 1
    assert run("registry", "list", "--db", "gone.db").code == 1
    (tmp_path / "bad.db").write_text("no database, not at all " * 40)
    assert "cannot be used" in run("registry", "list", "--db", "bad.db").err


def test_the_registry_in_python(tmp_path: Path) -> None:
    registry = gitxexp.Registry(tmp_path / "exp.db")
    first = registry.register(ExperimentConfig({"lr": 0.1, "net": {"width": 8}}, "one", ("a", "b")))
    second = registry.register(ExperimentConfig({"lr": 0.2, "net.width": 8}, "two", ("a",)))
    assert registry.register(ExperimentConfig({"net.width": 8, "lr": "1e-1"})) == first
    assert len(registry) == 2
    assert registry.get(first[7:13]).description == "one"
    assert [one.config_hash for one in registry.search_by_label("a", "b")] == [first]
    (change,) = registry.compare(first, second)
    assert (change.name, change.before, change.after) == ("lr", 0.1, 0.2)
    registry.export(first[7:], tmp_path / "one.json", full=True)
    other = gitxexp.Registry(tmp_path / "other.db")
    assert other.import_file(tmp_path / "one.json") == [first]
    other.delete(first)
    assert len(other) == 0

    def add(number: int) -> None:
        registry.register(ExperimentConfig({"n": number}))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry) == 8  # none was lost to another writer


@pytest.fixture
def known(repo: Repo, clock: Clock) -> Repo:
    repo.xexp("init", "--no-dvc").good()
    three(repo, clock)
    repo.xexp("registry", "rebuild").good()
    repo.commit("registry")
    return repo


def test_experiments_are_exported_and_known_again(known: Repo, clock: Clock) -> None:
    known.xexp("export", "e0.2.0", "c.toml").good()
    hash_ = known.xexp("show", "e0.2.0", "--json").json()["config_hash"]
    assert ExperimentConfig.read(known / "c.toml").config_hash == hash_
    known.xexp("export", "e0.1.0", "e0.2.0", "both.json", "--full").good()
    done = known.xexp("registry", "import", "c.toml", "both.json").good()
    assert done.out.splitlines()[0] == f"{hash_}  is e0.2.0"
    assert known.git("log", "-1", "--format=%s") == "registry"  # all were known
    rows = list(csv.DictReader(io.StringIO(known.xexp("export", "--csv").good().out)))
    assert [(row["version"], row["params_train.lr"], row["metrics_f1"]) for row in rows] == [
        ("e1.0.0", "0.1", ""), ("e0.2.0", "0.0001", "0.9"), ("e0.1.0", "0.1", "0.8"),
    ]  # fmt: skip
    lines = known.xexp("export", "--ndjson").good().out.splitlines()
    assert json.loads(lines[1])["labels"] == "baseline, good"
    tag(known, clock, "e2.0.0", {}, {"f1": math.nan})
    (line,) = known.xexp("export", "e2.0.0", "--ndjson").good().out.splitlines()
    assert '"metrics_f1": null' in line  # JSON has no NaN
    known.git("tag", "-d", "e2.0.0")
    known.xexp("export", "all.parquet").good()
    assert known.xexp("export", "no/all.parquet").err.startswith("fatal: cannot write no/all.parq")
    import duckdb

    table = duckdb.read_parquet(str(known / "all.parquet"))
    assert (
        dict(zip(table.columns, map(str, table.types), strict=True))["params_train.lr"] == "DOUBLE"
    )
    full = json.loads(known.xexp("export", "e0.1.0", "--full").good().out)
    assert (full["metrics"], full["run"]) == ({"f1": 0.8, "loss": 0.5}, "blue-moon-1")
    for words in (
        ("export", "nothing"),
        ("export", "--parquet"),
        ("export", "e0.1.0", "x.json", "--csv"),
    ):
        assert known.xexp(*words).code in (128, 129)


def test_configurations_of_a_repository(known: Repo) -> None:
    known.write("new.yaml", "lr: 5\nmodel: tree\ndescription: by hand\ntags: [idea]\n")
    (made,) = known.xexp("registry", "import", "new.yaml", "--json").good().json()
    assert (made["new"], made["known"]) == (True, [])
    assert known.git("log", "-1", "--format=%s") == "Import 1 configuration"
    start = made["config_hash"][7:15]
    known.xexp("label", start, "+later").good()
    (found,) = known.xexp("registry", "list", "-l", "idea,later", "--json").good().json()
    assert (found["version"], found["description"]) == (None, "by hand")
    assert "[hand]" in known.xexp("search", "hand").out
    known.xexp("delete", start, "--force").good()
    assert known.xexp("registry", "show", start).code == 128
    known.xexp("undo").good()
    known.xexp("registry", "show", start).good()
    # a rebuild of tags keeps what only the registry knows
    known.xexp("registry", "rebuild").good()
    known.xexp("registry", "show", start).good()
    edited = json.loads(known.xexp("export", start).out)
    edited["params"]["lr"] = 6
    known.write("edited.json", json.dumps(edited))
    assert "was edited" in known.xexp("registry", "import", "edited.json").good().err
    for content in ("[1]", "{", '"text"'):
        known.write("bad.json", content)
        assert known.xexp("registry", "import", "bad.json").code == 128


def test_a_hash_of_three_digits_and_of_two_configurations(known: Repo) -> None:
    hashes = {known.xexp("show", v, "--json").json()["config_hash"][7:] for v in known.tags}
    for one in hashes:
        assert known.xexp("show", one[:6], "--json").good().json()["config_hash"] == f"sha256:{one}"
    assert "at least 4 characters" in known.xexp("show", next(iter(hashes))[:3]).err
    known.xexp("registry", "rebuild", "--db", "../copy.db").good()
    listed = xexp_inside("registry", "list", "--db", "copy.db", "--json", cwd=known.path.parent)
    assert {row["version"] for row in listed.good().json()} == set(known.tags)


def test_a_list_of_some(known: Repo) -> None:
    def versions(*words: str) -> list[str]:
        return [row["version"] for row in known.xexp("list", *words, "--json").good().json()]

    start = known.xexp("show", "e0.1.0", "--json").json()["config_hash"][7:13]
    assert versions(start) == ["e0.1.0"]
    assert versions("e0.2.0", f"sha256:{start}") == ["e0.2.0", "e0.1.0"]
    assert versions("blue") == ["e0.2.0", "e0.1.0"]  # an ambiguous start lists what it may be
    assert versions("HEAD") == ["e1.0.0"]
    assert "at least 4 characters" in known.xexp("list", start[:3]).err
    assert known.xexp("list", "nothing").code == 128


def test_a_run_of_a_configuration(known: Repo) -> None:
    known.write("params.yaml", "lr: 0.1 # rate\nnet:\n  width: 8\n")
    known.write("train.py", "import json\njson.dump({'f1': 0.5}, open('metrics.json', 'w'))\n")
    known.write("metrics.json", "{}")
    known.commit("code")
    known.write("idea.toml", "lr = 0.5\n[net]\ndepth = 2\n")
    words = (
        "--write-config",
        "out/experiment_config.json",
        "--no-track",
        "--",
        "python",
        "train.py",
    )
    known.xexp("run", "--config", "idea.toml", "-S", "net.depth=3", *words).good()
    assert (known / "params.yaml").read_text() == "lr: 0.5 # rate\nnet:\n  width: 8\n  depth: 3\n"
    made = known.xexp("show", known.git("describe", "--abbrev=0"), "--json").good().json()
    assert made["params"] == {"lr": 0.5, "net.depth": 3, "net.width": 8}
    written = ExperimentConfig.read(known / "out/experiment_config.json")
    assert written.config_hash == made["config_hash"]
    # and once more by its hash
    known.write("params.yaml", "lr: 0.1\nnet:\n  width: 8\n")
    known.commit("back")
    known.xexp("run", "--config", made["config_hash"][7:15], "--no-tag", "--", "true").good()
    assert "lr: 0.5" in (known / "params.yaml").read_text()
    assert known.xexp("run", "--config", "nothing", "--", "true").code == 128
    assert known.xexp("run", "--write-config", "x.txt", "--", "true").code == 128
