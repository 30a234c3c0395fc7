"""git xexp explore show, and what a name may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.workflows.experiments import resolve
from tests.experiments import tag
from tests.helpers import Clock, Repo, run


@pytest.fixture
def tagged(with_three: Repo) -> Repo:
    return with_three


@pytest.fixture
def chained(set_up: Repo, clock: Clock) -> Repo:
    """``trained`` set up, with the run of lr 1.0 tagged as e0.1.0 and that of lr 0.1 as e0.2.0."""
    clock.tick()
    set_up.xexp("tag", "-m", "start").good()
    clock.tick()
    set_up.xexp("tag", "--run", "run-lr-0.1", "-m", "lower", "-l", "good").good()
    return set_up


def test_all_that_is_known_and_the_hash_chain_both_ways(chained: Repo) -> None:
    found = chained.xexp("explore", "show", "e0.2.0", "--json").good().json()
    assert found["version"] == "e0.2.0"
    assert found["headline"].endswith("| lower")
    assert found["commit"] == chained.head
    assert found["tag"] == chained.git("rev-parse", "e0.2.0")
    assert (found["tagger"], found["branches"]) == ("Ada Lovelace", ["main"])
    assert (found["run"], found["table"]) == ("run-lr-0.1", "predictions")
    assert (found["labels"], found["parent"]) == (["good"], "e0.1.0")
    assert found["params"]["lr"] == 0.1
    assert found["metrics"]["f1"] == 0.9
    rows = {(row["column"], row["value"]): row["rows"] for row in found["rows"]}
    assert rows == {("version", "e0.2.0"): 4, ("track_id", "run-lr-0.1"): 4,
                    ("git_commit", found["run_commit"]): 4}  # fmt: skip
    since = found["since_parent"]
    assert [(c["name"], c["before"], c["after"]) for c in since["params"]] == [("lr", 1.0, 0.1)]
    deltas = {d["name"]: d["better"] for d in since["metrics"]}
    assert deltas == {"f1": True, "accuracy": False, "loss": False}


def test_the_page(chained: Repo) -> None:
    out = chained.xexp("explore", "show", "e0.2.0").good().out
    lines = out.splitlines()
    assert lines[0].startswith("e0.2.0  model=softmax | lr=0.1 |")
    assert "  labels  good" in lines
    assert "  lr          0.1" in lines
    assert "  f1        0.9     +0.45    +100.0%  better" in lines
    assert any(line.split() == ["data/train.csv", "data", "1.1", "kB", "yes", "yes", "bf6d4e70"]
               for line in lines)  # fmt: skip
    assert "changed since e0.1.0" in lines
    assert any(line.split() == ["lr", "1.0", "→", "0.1"] for line in lines)
    assert "  4 rows  version = e0.2.0           predictions of experiments.db" in lines


def test_where_artifacts_are(dvc_repo: Repo, clock: Clock) -> None:
    digest = dvc_repo.git("show", "HEAD:data/train.csv.dvc").split("md5: ")[1].split()[0]
    tag(dvc_repo, clock, "e0.1.0", artifacts={"data/train.csv": f"md5:{digest}",
                                              "gone.bin": "md5:" + "0" * 32})  # fmt: skip

    def places() -> dict[str, tuple[str, str]]:
        done = dvc_repo.xexp("explore", "show", "e0.1.0", "--json").good()
        return {a["path"]: (a["cached"], a["remote"]) for a in done.json()["artifacts"]}

    assert places() == {"data/train.csv": ("yes", "yes"), "gone.bin": ("?", "?")}
    inside = f"files/md5/{digest[:2]}/{digest[2:]}"
    (dvc_repo / ".dvc/cache" / inside).unlink()
    assert places()["data/train.csv"] == ("no", "yes")
    assert dvc_repo.remote is not None
    (dvc_repo.remote / inside).unlink()
    assert places()["data/train.csv"] == ("no", "no")
    dvc_repo.write(".dvc/config", "[core]\n    remote = s\n['remote \"s\"']\n    url = s3://x/y\n")
    assert places()["data/train.csv"] == ("no", "?")
    shown = dvc_repo.xexp("explore", "show", "e0.1.0").good()
    assert shown.err == "note: the remote is not a local folder; --remote asks it\n"
    dvc_repo.write(".dvc/config", "")
    assert places()["data/train.csv"] == ("no", "no")


def test_a_directory_in_part(dvc_repo: Repo, clock: Clock) -> None:
    for name in "abc":
        dvc_repo.write(f"data/images/{name}.txt", name * 10)
    dvc_repo.dvc_add("data/images")
    dvc_repo.commit("images")
    tag(dvc_repo, clock, "e0.1.0")

    def images() -> dict[str, object]:
        done = dvc_repo.xexp("explore", "show", "e0.1.0", "--json").good()
        return next(a for a in done.json()["artifacts"] if a["path"] == "data/images")

    found = images()
    assert (found["cached"], found["remote"], found["files"], found["size"]) == ("yes", "no", 3, 30)
    some = next(p for p in (dvc_repo / ".dvc/cache/files/md5").rglob("*") if p.is_file() and
                p.read_bytes() == b"a" * 10)  # fmt: skip
    some.unlink()
    assert images()["cached"] == "partly"


def test_a_database_that_is_not_there_is_a_note(chained: Repo) -> None:
    (chained / "results/experiments.db").unlink()
    shown = chained.xexp("explore", "show", "e0.1.0").good()
    assert "note: no such results database: " in shown.err
    assert "rows" not in shown.out.splitlines()


# -- names -------------------------------------------------------------------------------------


def meant(repo: Repo, name: str) -> tuple[str, str | None]:
    found = resolve.resolve(Project.open(repo.path), name)
    return found.commit, found.experiment.name if found.experiment else None


def test_what_a_name_may_be(tagged: Repo, clock: Clock) -> None:
    first, second = (tagged.git("rev-parse", f"{v}^{{commit}}") for v in ("e0.1.0", "e0.2.0"))
    clock.tick()
    later = tagged.commit("after")
    tagged.git("branch", "exp/deep", second)
    tagged.git("branch", "side", first)
    tagged.git("tag", "light", first)
    config = Project.open(tagged.path).experiments()[-1].payload.config_hash
    for name in ("e0.1.0", "tags/e0.1.0", "refs/tags/e0.1.0", "blue-moon-1", "blue-m", config,
                 config[:13], config[7:13], "side", "refs/heads/side", "light", first,
                 first[:10]):  # fmt: skip
        assert meant(tagged, name) == (first, "e0.1.0"), name
    for name in ("deep", "exp/deep", "HEAD~2", "blue-s", "blue-sky-2"):
        assert meant(tagged, name) == (second, "e0.2.0"), name
    for name in ("HEAD", "@", "main", later[:8], ":/after", "main@{0}"):
        assert meant(tagged, name) == (later, "e1.0.0"), name


def test_a_commit_before_every_experiment(tagged: Repo) -> None:
    before = tagged.git("rev-list", "--max-parents=0", "HEAD")
    assert meant(tagged, before) == (before, None)
    failed = tagged.xexp("explore", "show", before)
    assert failed.code == 128
    assert failed.err.startswith(f"fatal: no experiment is tagged at '{before}' or before it\n")


def test_the_nearest_before_a_revision_is_said(tagged: Repo, clock: Clock) -> None:
    tagged.git("checkout", "-q", "-b", "side", "e0.1.0")
    clock.tick()
    tagged.commit("more")
    shown = tagged.xexp("explore", "show", "HEAD").good()
    assert shown.out.startswith("e0.1.0  ")
    assert shown.err == "note: 'HEAD' is not an experiment; e0.1.0 is the nearest before it\n"


def test_ambiguous_names_list_candidates(tagged: Repo, clock: Clock) -> None:
    failed = tagged.xexp("explore", "show", "blue")
    assert (failed.code, failed.out) == (128, "")
    assert failed.err == (
        "fatal: 'blue' is ambiguous; it may be\n"
        "hint: e0.2.0  e0.2.0 | lower rate\n"
        "hint: e0.1.0  e0.1.0 | first try\n"
    )
    tag(tagged, clock, "e1.0.1", {"epochs": 3, "model": "gpt", "train.lr": 0.1})
    config = Project.open(tagged.path).experiments()[0].payload.config_hash
    with pytest.raises(XexpError, match="is ambiguous") as caught:
        meant(tagged, config[7:17])
    assert [line.split()[0] for line in (caught.value.hint or "").splitlines()] == [
        "e1.0.1",
        "e1.0.0",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("e0.2.1", "did you mean e0.2.0 or e0.1.0?"),
        ("blue-sky-3", "did you mean blue-sky-2?"),
        ("mian", "did you mean main?"),
        ("zzzz", "the newest experiments are e1.0.0, e0.2.0, e0.1.0"),
        ("sha256:zzzz", "the newest experiments are e1.0.0, e0.2.0, e0.1.0"),
        ("--all", None),
        ("a b\nc", None),
        ("", None),
        ("\x00", None),
        ("-", None),
    ],
)
def test_unknown_names(tagged: Repo, name: str, hint: str | None) -> None:
    with pytest.raises(XexpError) as caught:
        meant(tagged, name)
    assert caught.value.exit_code == 128
    assert caught.value.message == f"'{name}' is not an experiment, run or revision"
    if hint:
        assert (caught.value.hint or "").splitlines()[0] == hint


def test_a_run_that_nobody_tagged(trained: Repo) -> None:
    trained.write(".xexp/config.toml", '[results]\ndatabases = ["results/experiments.db"]\n')
    failed = trained.xexp("explore", "show", "run-lr-0.01")
    assert failed.code == 128
    assert failed.err == (
        "fatal: run 'run-lr-0.01' is not tagged\nhint: tag it: git xexp tag --run 'run-lr-0.01'\n"
    )


def test_an_unborn_branch(tmp_path: Path) -> None:
    run("git", "init", "-q", tmp_path, cwd=tmp_path)
    failed = Repo(tmp_path).xexp("explore", "show", "HEAD")
    assert (failed.code, failed.err) == (128, (
        "fatal: 'HEAD' is not an experiment, run or revision\n"
        "hint: there are no experiments yet; make one: git xexp tag\n"))  # fmt: skip
