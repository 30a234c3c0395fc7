"""The tracked configuration of a clone: what it may say, and what only git's configuration may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.repository import config
from tests.helpers import Repo

pytestmark = pytest.mark.usefixtures("quick")  # git log starts textconv


@pytest.fixture
def folder(tmp_path: Path) -> Repo:
    """A folder: a configuration is read without git."""
    return Repo(tmp_path)


def load(repo: Repo, toml: str, **git_values: list[str]) -> config.Config:
    repo.write(".xexp/config.toml", toml)
    return config.load(repo.path, {k.replace("__", "."): v for k, v in git_values.items()})


REFUSED = [
    ('[tag]\nremote = "origin"', "tag_remote", "", "git config xexp.tag.remote origin"),
    ('[tag]\nremote = "--upload-pack=touch x;"', "tag_remote", "", "'--upload-pack=touch x;'"),
    ("[tag]\npush = true", "tag_push", False, "git config xexp.tag.push true"),
    ('[worktree]\npath = "~/x-{name}"', "worktree_path", "../exp-{name}", "xexp.worktree.path"),
    ('[worktree]\npath = "/tmp/{name}"', "worktree_path", "../exp-{name}", "xexp.worktree.path"),
    ('[worktree]\npath = "../../{name}"', "worktree_path", "../exp-{name}", "leads away"),
    ('[worktree]\npath = "a/../../../{name}"', "worktree_path", "../exp-{name}", "leads away"),
    ('[worktree]\npath = ".git/hooks/{name}"', "worktree_path", "../exp-{name}", "leads away"),
    ('[worktree]\npath = "../o/.GIT /{name}"', "worktree_path", "../exp-{name}", "leads away"),
    ('[worktree]\npath = ".."', "worktree_path", "../exp-{name}", "leads away"),
    ('[params]\nfiles = ["../p.yml", "q.yml"]', "params_files", ("q.yml",), "xexp.params.files"),
    ('[params]\nfiles = "/etc/p.yml"', "params_files", (), "is outside of the repository"),
    ('[metrics]\nfiles = ["a/../../m.json"]', "metrics_files", (), "--add xexp.metrics.files"),
    ('[results]\ndatabases = ["../*.db"]', "results_databases", (), "xexp.results.databases"),
    ('[results]\ndatabases = [".git/x.db"]', "results_databases", (), "is inside .git"),
    ('[data]\npaths = ["/"]', "data_paths", (), "xexp.data.paths"),
    ('[models]\nproduction = "../m.bin"', "models_production", "", "xexp.models.production"),
    ('[models]\ncandidates = ".dvc/cache"', "models_candidates", "", "is inside .dvc"),
    ('[models]\nextension = "/../../../x"', "models_extension", "", "is not an extension"),
    ('[models.a]\nproduction = "/m.bin"', "models_slots", (), "its production is outside"),
    ('[models.a]\ncandidates = ".git/hooks"', "models_slots", (), "its candidates is inside .git"),
    ('[models."../../x"]\nextension = "pt"', "models_slots", (), "its name is outside"),
    ('[models."a\\u001b[2J"]\nextension = "pt"', "models_slots", (), "control character"),
    ("[tag]\npussh = true", "tag_push", False, "there is no setting '[tag] pussh'"),
    ("[nonsense]\nx = 1", "tag_push", False, "there is no setting '[nonsense] x'"),
    ("push = true", "tag_push", False, "there is no setting 'push'"),
    ("[models.a]\npath = 'x'", "models_slots", (config.ModelSlot("a"),), "[models.a] path"),
    ("[refused]\nx = 'a'\n[own]\nx = 'b'", "own", frozenset(), "there is no setting"),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "field", "value", "said"), REFUSED)
def test_what_the_file_may_not_say(
    folder: Repo, toml: str, field: str, value: object, said: str
) -> None:
    found = load(folder, toml)
    assert getattr(found, field) == value
    assert said in found.refused[0]
    assert found.refused[0].isprintable()


ALLOWED = [
    ('[worktree]\npath = "../exp-{name}"', "worktree_path", "../exp-{name}"),
    ('[worktree]\npath = "../trees/{name}"', "worktree_path", "../trees/{name}"),
    ('[worktree]\npath = "trees/{name}"', "worktree_path", "trees/{name}"),
    ('[params]\nfiles = ["./p.yaml", "conf/b.yml"]', "params_files", ("./p.yaml", "conf/b.yml")),
    ('[results]\ndatabases = ["**/*.db", "r-[0-9].db"]', "results_databases", ("**/*.db", "r-[0-9].db")),
    ('[results]\ndatabases = ["größe/x.db"]', "results_databases", ("größe/x.db",)),
    ('[data]\npaths = ["data/", ".hidden/*"]', "data_paths", ("data/", ".hidden/*")),
    ("[tag]\npush = false", "tag_push", False),
    ('[models.a]\nextension = ".pt"', "models_slots", (config.ModelSlot("a", extension=".pt"),)),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "field", "value"), ALLOWED)
def test_what_the_file_may_say(folder: Repo, toml: str, field: str, value: object) -> None:
    found = load(folder, toml)
    assert getattr(found, field) == value
    assert found.refused == ()


def test_gits_own_configuration_may_say_anything(folder: Repo) -> None:
    found = load(
        folder,
        '[params]\nfiles = ["params.yaml"]',
        xexp__tag__push=["true"],
        xexp__tag__remote=["hub"],
        xexp__worktree__path=["~/trees/{name}"],
        xexp__params__files=["/shared/p.yaml"],
    )
    assert (found.tag_push, found.tag_remote) == (True, "hub")
    assert found.worktree_path == "~/trees/{name}"
    assert found.params_files == ("/shared/p.yaml",)
    assert found.refused == ()


@pytest.mark.parametrize("linked", [".xexp", ".xexp/config.toml"])
def test_a_configuration_behind_a_link_is_an_error(
    folder: Repo, tmp_path: Path, linked: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.toml").write_text("[tag]\npush = false\n")
    if linked == ".xexp":
        (folder / ".xexp").symlink_to(outside)
    else:
        (folder / ".xexp").mkdir()
        (folder / linked).symlink_to(outside / "config.toml")
    with pytest.raises(XexpError, match="symbolic link"):
        config.load(folder.path, {})


@pytest.mark.parametrize("toml", ["a = " + "[" * 5000, "a = " + "9" * 5000])
def test_a_document_that_blows_up_is_an_error(folder: Repo, toml: str) -> None:
    with pytest.raises(XexpError, match="not valid TOML"):
        load(folder, toml)


@pytest.fixture
def ready(set_up: Repo) -> Repo:
    return set_up


def add(repo: Repo, toml: str) -> None:
    path = repo / ".xexp/config.toml"
    path.write_text(toml + path.read_text())


def test_a_tracked_push_pushes_nothing_and_says_how_to_allow_it(
    ready: Repo, tmp_path: Path
) -> None:
    ready.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    ready.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    ready.write(".xexp/config.toml", "[tag]\npush = true\nremote = '--exec=touch pwned'\n")
    done = ready.xexp("tag", "--all", "-m", "one").good()
    assert "git config xexp.tag.push true" in done.err
    assert "git config xexp.tag.remote" in done.err
    assert ready.git("ls-remote", "origin") == ""
    done = ready.xexp("push").good()
    assert "e0.1.0" in ready.git("ls-remote", "origin")
    assert not (ready / "pwned").exists()


@pytest.mark.parametrize(
    "remote", ["--receive-pack=touch pwned;", "ext::sh -c touch% pwned", "../hub.git"]
)
def test_a_remote_is_one_that_git_knows(ready: Repo, tmp_path: Path, remote: str) -> None:
    ready.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    ready.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    ready.git("config", "xexp.tag.remote", remote)
    for args in (["push"], ["tag", "--push"], ["push", "--git-remote", remote]):
        done = ready.xexp(*args)
        assert done.code in (128, 129), done
        assert "no git remote" in done.err
    assert not (ready / "pwned").exists()
    assert ready.git("ls-remote", "origin") == ""


DVC_YAML = "stages:\n  a:\n    cmd: echo\n    metrics: [../out/m.json]\n"
OUTSIDE = [
    ("[params]\nfiles = ['../out/p.yml', 'params.yaml']\n", {}),
    ("[metrics]\nfiles = ['../out/m.json']\n", {}),
    ("[results]\ndatabases = ['../out/r.db']\n", {}),
    ("", {"params.yaml": "p.yml"}),
    ("", {"metrics.json": "m.json"}),
    ("[params]\nfiles = ['conf/p.yml']\n", {"conf": "."}),
    ("[results]\ndatabases = ['link.db']\n", {"link.db": "r.db"}),
    ("[results]\ndatabases = ['*.db']\n", {"link.db": "r.db"}),
]


@pytest.mark.usefixtures("quick")  # git log -p starts the textconv driver for each database
@pytest.mark.parametrize(("toml", "links"), OUTSIDE)
def test_nothing_of_a_file_outside_is_recorded(
    ready: Repo, tmp_path: Path, toml: str, links: dict[str, str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "p.yml").write_text("token: TOPSECRET\nlr: 7654321\n")
    (out / "m.json").write_text('{"TOPSECRET": 7654321}')
    (out / "r.db").write_bytes((ready / "results/experiments.db").read_bytes())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    ready.write(".xexp/config.toml", toml)
    ready.write("dvc.yaml", DVC_YAML)
    for name, target in links.items():
        (ready / name).unlink(missing_ok=True)
        (ready / name).symlink_to(out / target)
    done = ready.xexp("tag", "--all", "-m", "one")
    assert done.err
    shown = [
        done.out,
        done.err,
        ready.git("log", "-p", "--all"),
        ready.git("tag", "-l", "--format=%(contents)"),
    ]
    for text in shown:
        assert "TOPSECRET" not in text
        assert "7654321" not in text
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_file_outside_that_the_user_allows_is_read(ready: Repo, tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("lr: 0.125\n")
    ready.git("config", "xexp.params.files", "../p.yml")
    ready.xexp("tag", "--all", "-m", "one").good()
    shown = json.loads(ready.xexp("explore", "show", "e0.1.0", "--json").good().out)
    assert "lr" in shown["params"]


def test_a_linked_folder_does_not_lead_a_worktree_away(ready: Repo, tmp_path: Path) -> None:
    away = tmp_path.parent / f"{tmp_path.name}-away"
    away.mkdir()
    (ready / "trees").symlink_to(away)
    ready.write(".xexp/config.toml", '[worktree]\npath = "trees/{name}"\n')
    done = ready.xexp("worktree", "new", "x")
    assert done.code == 128
    assert "is not next to the repository" in done.err
    assert list(away.iterdir()) == []
    ready.git("config", "xexp.worktree.path", "trees/{name}")
    ready.xexp("worktree", "new", "x").good()
    assert (away / "x" / "train.py").exists()


@pytest.mark.parametrize("pattern", ["-D", "-d{name}", "--orphan={name}", "a\nb", "@{-1}"])
def test_a_branch_that_is_an_option_is_refused(ready: Repo, pattern: str) -> None:
    ready.git("config", "xexp.worktree.branch", pattern)
    before = ready.refs()
    assert ready.xexp("worktree", "new", "x").code == 129
    assert ready.refs() == before
