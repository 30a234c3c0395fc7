"""Experiments from tags: whatever else is tagged, and whatever becomes of the cache."""

from __future__ import annotations

import random
import sqlite3
import stat
from pathlib import Path

import pytest

from gitxexp.repository import tags
from gitxexp.repository.tags import Experiment
from gitxexp.repository.version import Version, parse
from gitxexp.storage import git as storage_git
from gitxexp.storage.git import Git
from tests.experiments import tag, three
from tests.helpers import Clock, Repo, run


def read(repo: Repo) -> list[Experiment]:
    return tags.experiments(Git(repo.path), cache_of(repo))


def cache_of(repo: Repo) -> Path:
    return repo / ".git/xexp/tags.cache"


def names(repo: Repo) -> list[str]:
    return [experiment.name for experiment in read(repo)]


def test_newest_first_with_everything_that_the_tag_says(repo: Repo, clock: Clock) -> None:
    three(repo, clock)
    found = read(repo)
    assert [e.name for e in found] == ["e1.0.0", "e0.2.0", "e0.1.0"]
    second = found[1]
    assert second.tagger == "Ada Lovelace"
    assert second.date == Clock.START + 120
    assert second.commit == repo.git("rev-parse", "e0.2.0^{commit}")
    assert second.oid == repo.git("rev-parse", "e0.2.0")
    assert second.payload.params == {"epochs": 3, "model": "bert", "train.lr": 0.0001}
    assert second.payload.metrics == {"f1": 0.9, "loss": 0.4}
    assert second.payload.labels == ("baseline", "good")
    assert read(repo) == found, "the cache gives what was parsed"


def test_experiments_on_other_branches_and_of_one_second(repo: Repo, clock: Clock) -> None:
    repo.git("checkout", "-q", "-b", "other")
    tag(repo, clock, "e0.1.0")
    repo.git("checkout", "-q", "main")
    for name in ("e0.10.0", "e0.9.0", "exp-deep-v1"):
        repo.git("tag", "-a", "-m", "same second", name)
    assert names(repo) == ["e0.10.0", "e0.9.0", "e0.1.0", "exp-deep-v1"]


def test_foreign_tags_never_break_a_listing(repo: Repo, clock: Clock) -> None:
    repo.git("tag", "e0.1.0")  # lightweight
    repo.git("tag", "-a", "-m", "a release", "v1.0.0")
    repo.git("tag", "-a", "-m", "too many parts", "e0.1.0.1")
    repo.git("tag", "-a", "-m", "", "e0.2.0", "HEAD^{tree}")  # a tag of a tree
    blob = repo.git("hash-object", "-w", "README.md")
    repo.git("tag", "-a", "-m", "a blob", "e0.3.0", blob)
    repo.git("tag", "-a", "-m", "of a tag", "e0.4.0", "v1.0.0")
    repo.git("tag", "-a", "-m", "x", "experiment-7")
    repo.git("tag", "-a", "-m", "x", "exp-nothing")
    assert names(repo) == []
    assert repo.xexp("explore").good().out == ""
    tag(repo, clock, "e1.0.0", {"lr": 1})
    assert names(repo) == ["e1.0.0"] == names(repo)


def test_handwritten_tags_are_understood_as_far_as_they_go(repo: Repo) -> None:
    repo.git("tag", "-a", "-m", "model=bert | lr=1e-4 | F1=0.9 | data=3a2f1b | my best", "e0.1.0")
    repo.git("tag", "-a", "-m", "just words", "e0.2.0")
    first = next(e for e in read(repo) if e.name == "e0.1.0").payload
    assert first.handwritten
    assert first.params == {"model": "bert", "lr": 0.0001}
    assert (first.metrics, first.data, first.text) == ({"f1": 0.9}, "3a2f1b", "my best")
    assert repo.xexp("explore", "list", "--filter", "f1 > 0.8", "--columns", "version,F1,lr").good(
    ).out == "version\tf1\tlr\ne0.1.0\t0.9\t0.0001\n"  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        "head\n\n[xexp]\nschema = ",
        "head\n\n[xexp]\n[xexp]\n",
        "head\n\nxexp = 3\n[xexp]\n",
        "head\n\n[xexp]\nlabels = 7\n[params]\nwhen = 2024-01-01T00:00:00Z\nn = [[1], {a = 2}]\n",
        "head\n\n[xexp]\n[metrics]\nf1 = nan\nloss = inf\n",
        "\x01\x02 \x1b[31m | a=\x07 | =x= | | |",
        "ключ=значение | 漢字 | f1=0.5 | 🎉",
    ],
)
def test_garbage_in_a_tag_is_listed_and_nothing_worse(repo: Repo, message: str) -> None:
    repo.git("tag", "-a", "--cleanup=verbatim", "-F", "-", "e0.1.0", stdin=message)
    assert names(repo) == ["e0.1.0"]
    assert cache_of(repo).exists()
    assert str(read(repo)) == str(read(repo))
    for options in ((), ("--json",), ("--csv",), ("-z",), ("--sort", "version")):
        assert "e0.1.0" in repo.xexp("explore", "list", *options).good().out
    assert "e0.1.0" in repo.xexp("explore", "show", "e0.1.0").good().out


def test_a_tag_that_is_not_utf8(repo: Repo) -> None:
    raw = (
        f"object {repo.head}\ntype commit\ntag e0.1.0\n"
        "tagger J\udcfcrgen <j@example.org> 1700000000 +0100\n\nlr=1 | gr\udcfcn\n"
    )
    oid = repo.git("hash-object", "-t", "tag", "-w", "--stdin", stdin=raw)
    repo.git("update-ref", "refs/tags/e0.1.0", oid)
    assert [e.payload.params for e in read(repo)] == [{"lr": 1}]
    assert read(repo) == read(repo)
    assert repo.xexp("explore").good().out.startswith("version\tdate\t")


def test_a_tag_moved_is_parsed_anew_and_the_old_one_forgotten(repo: Repo) -> None:
    repo.git("tag", "-a", "-m", "lr=1", "e0.1.0")
    assert read(repo)[0].payload.params == {"lr": 1}
    repo.git("tag", "-a", "-f", "-m", "lr=2", "e0.1.0")
    assert read(repo)[0].payload.params == {"lr": 2}
    with sqlite3.connect(cache_of(repo)) as con:
        assert con.execute("SELECT COUNT(*) FROM tag").fetchone() == (1,)
    repo.git("tag", "-d", "e0.1.0")
    assert read(repo) == []


@pytest.mark.parametrize("content", [b"", b"junk", b"SQLite format 3\0", b"xexp tags 2\n\xe3\0"])
def test_a_broken_cache_is_made_anew(repo: Repo, clock: Clock, content: bytes) -> None:
    three(repo, clock)
    before = read(repo)
    whole = cache_of(repo).read_bytes()
    page = whole.index(b"bert")
    for broken in (
        content,
        whole[:-3],
        whole[: len(whole) // 2],
        whole[:100] + bytes(20) + whole[120:],
        whole[:page] + b"BERT" + whole[page + 4 :],
    ):
        cache_of(repo).write_bytes(broken)
        assert read(repo) == before
        assert read(repo) == before


def test_a_cache_of_which_a_part_is_broken_is_made_anew(repo: Repo, clock: Clock) -> None:
    """SQLite opens such a file, and finds out when it comes to the part."""
    three(repo, clock)
    before = read(repo)
    whole = cache_of(repo).read_bytes()
    size = int.from_bytes(whole[16:18], "big")
    for at in range(0, len(whole), size):
        cache_of(repo).write_bytes(whole[:at] + b"\xff" * size + whole[at + size :])
        found = tags.tags_later(Git(repo.path), cache_of(repo))()
        assert found.named("e0.2.0") == before[1], at
        assert found.count == 3, at
        assert (found.names, found.experiments) == (sorted(e.name for e in before), before), at
        assert read(repo) == before, at


def test_where_the_cache_cannot_be_written(repo: Repo, clock: Clock) -> None:
    three(repo, clock)
    (repo / ".git/xexp").write_text("a file where a folder belongs")
    assert names(repo) == ["e1.0.0", "e0.2.0", "e0.1.0"]
    assert not list((repo / ".git").glob("*.cache*"))


def test_reading_changes_nothing_but_the_cache(repo: Repo, clock: Clock) -> None:
    three(repo, clock)
    refs, status = repo.refs(), repo.git("status", "--porcelain=v2", "--ignored")
    for verb in (["list"], ["show", "e0.1.0"], ["diff", "e0.1.0"], ["list", "--runs"]):
        repo.xexp("explore", *verb).good()
    assert (repo.refs(), repo.git("status", "--porcelain=v2", "--ignored")) == (refs, status)
    assert [p.name for p in (repo / ".git/xexp").iterdir()] == ["tags.cache"]
    assert stat.S_ISREG(cache_of(repo).stat().st_mode)


def test_a_bare_repository_and_a_packed_one(repo: Repo, clock: Clock, tmp_path: Path) -> None:
    three(repo, clock)
    repo.git("pack-refs", "--all")
    run("git", "clone", "-q", "--bare", repo.path, tmp_path / "bare", cwd=tmp_path)
    bare = Repo(tmp_path / "bare")
    assert bare.xexp("explore").good().out == repo.xexp("explore").good().out
    assert "e0.1.0" in bare.xexp("explore", "show", "e0.2.0").good().out
    assert "lr" in bare.xexp("explore", "diff", "e0.1.0", "e0.2.0").good().out
    failed = bare.xexp("explore", "diff", "e0.1.0")
    assert (failed.code, failed.err.splitlines()[0]) == (
        128, "fatal: this is a bare repository: it has no files to work with")  # fmt: skip


def test_a_listing_that_changes_is_followed_line_by_line(
    repo: Repo, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, moved, deleted, of one second, on one commit, parsed at once or when asked for: what the
    kept file answers is what a new one does."""
    monkeypatch.setattr(tags, "_PAGE", 3)
    monkeypatch.setattr(tags, "_AT_ONCE", 4)
    monkeypatch.setattr(storage_git, "_BATCH", 2)
    three(repo, clock)
    messages = [repo.git("for-each-ref", "--format=%(contents)", f"refs/tags/{name}")
                for name in ("e0.1.0", "e0.2.0", "e1.0.0")]  # fmt: skip
    picked = random.Random(7)
    there = {"e0.1.0", "e0.2.0", "e1.0.0"}
    for step in range(12):
        lines: dict[str, str] = {}
        for _ in range(picked.choice((1, 1, 2, 9))):
            name = picked.choice(
                (f"e0.{picked.randrange(9)}.{picked.randrange(3)}", f"exp-a-v{step + 1}")
            )
            if name in there and picked.random() < 0.5:
                lines[name] = f"reset refs/tags/{name}\nfrom {'0' * 40}\n"
                there.discard(name)
                continue
            there.add(name)
            text = picked.choice((*messages, "lr=1 | by hand", "x\n\n[xexp]\nrun = 7\n"))
            when = 1_700_000_000 + picked.randrange(6)
            lines[name] = (f"tag {name}\nfrom {repo.head}\ntagger A <a@b.c> {when} +0000\n"
                           f"data {len(text.encode())}\n{text}\n")  # fmt: skip
        repo.git("fast-import", "--quiet", "--force", stdin="".join(lines.values()))
        new = tmp_path / f"{step}.cache"
        kept, fresh = (tags.tags_later(Git(repo.path), at)() for at in (cache_of(repo), new))
        assert kept.newest(2) == tags.tags_later(Git(repo.path), new)().experiments[:2]
        assert sorted(kept.names) == sorted(there) == sorted(fresh.names)
        assert kept.lacking(["é", *kept.names[:3], "x'\""]) == ["é", "x'\""]
        if step % 3:
            assert kept.experiments == fresh.experiments == [*kept]
        assert [e.name for e in fresh.experiments] == kept.names_newest()
        assert kept.oldest(3) == fresh.experiments[::-1][:3]
        assert kept.count == len(fresh.experiments)
        assert kept.latest == max(
            v for name in fresh.names if isinstance(v := parse(name), Version)
        )
        for each in fresh.experiments:
            assert kept.named(each.name) == each
            said = each.payload
            assert each in kept.at(each.commit)
            assert not said.run or each in kept.of_run(said.run)
            assert not said.run or each in kept.of_run_starting(said.run[:4])
            assert not said.code or each in kept.of_code(said.code)
            digits = said.config_hash.removeprefix("sha256:")
            assert not digits or each in kept.of_config(digits[:6])


def test_two_processes_with_two_listings(repo: Repo, clock: Clock) -> None:
    three(repo, clock)
    older = tags.tags_later(Git(repo.path), cache_of(repo))()
    assert older.count == 3
    repo.git("tag", "-d", "e0.2.0")
    newer = tags.tags_later(Git(repo.path), cache_of(repo))()
    assert newer.count == 2
    assert (older.named("e0.2.0") is None, newer.named("e0.2.0")) == (False, None)
    assert [len(each.experiments) for each in (older, newer)] == [3, 2]


def test_what_took_long_is_remembered(repo: Repo, clock: Clock) -> None:
    three(repo, clock)
    found = tags.tags_later(Git(repo.path), cache_of(repo))()
    assert found.remembered("a", lambda: ["x", "y"]) == ("x", "y")
    assert found.remembered("none", list) == ()
    again = tags.tags_later(Git(repo.path), cache_of(repo))()
    assert again.remembered("a", list) == ("x", "y")
    assert again.remembered("none", lambda: ["z"]) == ()
