"""The gate: ids, the text of paths, links, and the moment between check and use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitxexp.storage import paths
from gitxexp.storage.dvc.places import work_file
from gitxexp.storage.paths import Refused

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("good", [MD5, f"{MD5}.dir"])
def test_object_ids(good: str) -> None:
    assert paths.object_id(good, "x.dvc") == good


@pytest.mark.parametrize(
    "bad",
    [
        "", MD5[:-1], f"{MD5}0", MD5.upper(), f"{MD5}\n", f" {MD5}", f"{MD5}.dir.dir", f"{MD5}.DIR",
        "../../../../home/user/.ssh/id_rsa", "/etc/passwd", f"../{MD5[3:]}", f"{MD5[:2]}/{MD5[3:]}",
        None, 12, True, [MD5], "٠" * 32, "0x" + MD5[2:], f"{MD5}\0",
    ],
)  # fmt: skip
def test_what_is_no_object_id(bad: object) -> None:
    with pytest.raises(Refused, match=r"x\.dvc: .* is not an md5"):
        paths.object_id(bad, "x.dvc")


@pytest.mark.parametrize(
    "path",
    [
        "model.pkl", "data/train.csv", "a b/c d.txt", "ünïcode/ファイル.csv", ".gitignore", "x.dvc",
        ".gitattributes", ".dvcignore", "git", "data/.hidden", "...", "a..b", "..a", "a/...b", "~x",
        "backup~1", "a:b", "C", "dots.", "space ", ".github/x", "a\\b", "\udcff\udcfe.bin", "-x",
        ".gitx", ".git2/x", "gitx~1", "e\u0301", "a\u200db",
    ],
)  # fmt: skip
def test_ordinary_paths(path: str) -> None:
    assert paths.problem(path) is None
    assert paths.tracked(path, "x") == path


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../x", "a/../../x", "..", "a/..", ".", "", "./", "//x", "\\x", "C:\\x", "C:/x",
        "s3://bucket/x", "file:///etc/passwd", "a/..\\..\\x", "a/.. /x",
        ".git", ".GIT/hooks", ".git/", "./.git", "sub/../.git", "a/.git/config", ".Git./x", ".git ",
        ".git...", ".git . ", ".git::$INDEX_ALLOCATION", ".git:x/y", "git~1", "GIT~1/x", "a/GIT~2",
        ".g\u200cit/x", "\ufeff.git", ".git\u200f", ".dvc/config", ".DVC", ".dvc.", "dvc~1", ".xexp",
        ".XEXP/registry.db", "xexp~1/x", ".xe\u200dxp", "a\\.git\\x",
        "a\nb", "a\tb", "a\x1b[2Jb", "a\x7fb", "a\x00b", "a\x9bb", "x\r",
    ],
)  # fmt: skip
def test_refused_paths(path: str) -> None:
    with pytest.raises(Refused) as error:
        paths.tracked(path, "x.dvc")
    assert error.value.message.isprintable()


@pytest.mark.parametrize("value", [None, 3, True, ["x"], {"a": 1}, b"x"])
def test_what_is_no_path(value: object) -> None:
    with pytest.raises(Refused):
        paths.tracked(value, "x.dvc")


def test_normalised() -> None:
    assert paths.tracked("a/./b", "x") == "a/b"
    assert paths.tracked("a//b/", "x") == "a/b"
    assert paths.tracked("a/../b", "x") == "b"


def test_names_that_are_one_where_case_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.alike(["a/B", "a/c", "a/b"]) == ("a/B", "a/b")
    assert paths.alike(["a/x", "A/y"]) == ("a", "A")
    assert paths.alike(["caf\u00e9", "cafe\u0301"]) is not None
    assert paths.alike(["a", "b", "a"]) is None
    assert not paths.ignores_case(tmp_path)
    paths.refuse_alike(tmp_path, ["a", "A"])
    monkeypatch.setattr(paths, "ignores_case", lambda folder: True)
    with pytest.raises(Refused, match="differ only in case"):
        paths.refuse_alike(tmp_path, ["a", "A"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("TOPSECRET")
    top = tmp_path / "top"
    for name in ("a/b", "real", ".git/hooks", ".dvc", ".xexp"):
        (top / name).mkdir(parents=True)
    (top / "real" / "file").write_text("inside")
    return top


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("x", "../outside", "x/secret"),
        ("x", "{out}", "x/secret"),
        ("a/x", "../../outside/secret", "a/x"),
        ("x", "a/../../outside", "x/new"),
        ("x", ".git/hooks", "x/post-merge"),
        ("x", ".dvc", "x/config"),
        ("x", "real/../.xexp", "x/registry.db"),
        ("x", "{top}/.git", "x/config"),
        ("x", "{top}/../outside", "x/secret"),
        ("x", "{top}-other", "x/secret"),
        ("x", "x", "x/y"),
        ("x", "/proc/self/root", "x/etc/passwd"),
    ],
)
def test_links_that_lead_out(tree: Path, link: str, target: str, path: str) -> None:
    (tree / link).symlink_to(target.format(top=tree, out=tree.parent / "outside"))
    for call in (paths.resolved, paths.inside, paths.read):
        with pytest.raises(Refused):
            call(tree, path)
    with pytest.raises(Refused):
        paths.write(tree, path, b"hacked")
    assert names(tree.parent / "outside") == ["secret"]
    assert (tree.parent / "outside" / "secret").read_text() == "TOPSECRET"
    assert names(tree / ".git" / "hooks") == []


@pytest.mark.parametrize("target", ["real", "./real", "a/../real", "{top}/real"])
def test_links_that_stay_inside(tree: Path, target: str) -> None:
    (tree / "x").symlink_to(target.format(top=tree))
    assert paths.read(tree, "x/file") == b"inside"
    assert paths.inside(tree, "x/file") == tree / "x/file"
    paths.write(tree, "x/new", b"new")
    assert (tree / "real/new").read_bytes() == b"new"


def test_a_top_behind_a_link(tree: Path) -> None:
    top = tree.parent / "elsewhere"
    top.symlink_to(tree)
    (tree / "x").symlink_to(top / "real")
    assert paths.read(top, "real/file") == b"inside"
    assert paths.read(top, "x/file") == b"inside"
    paths.write(top, "real/new", b"new")
    assert (tree / "real/new").read_bytes() == b"new"


def test_a_link_into_the_own_cache_is_dvcs(tree: Path) -> None:
    (tree / ".dvc/config").write_text("")
    home = tree / ".dvc/cache/files/md5" / MD5[:2] / MD5[2:]
    home.parent.mkdir(parents=True)
    home.write_text("object")
    (tree / "model").symlink_to(home)
    assert work_file(tree, "model") == tree / "model"
    foreign = tree.parent / "cache/files/md5" / MD5[:2] / MD5[2:]
    foreign.parent.mkdir(parents=True)
    foreign.write_text("of another project")
    (tree / "other").symlink_to(foreign)
    with pytest.raises(Refused):
        work_file(tree, "other")
    (tree / ".dvc/config").write_text("[cache]\n    dir = ../../cache\n")
    assert work_file(tree, "other") == tree / "other"


def test_a_folder_swapped_for_a_link_after_the_check(tree: Path) -> None:
    with paths.held(tree, "real/file") as place:
        (tree / "real").rename(tree / "moved")
        (tree / "real").symlink_to(tree.parent / "outside")
        place.with_name("written").write_text("x")
    assert names(tree.parent / "outside") == ["secret"]
    assert (tree / "moved/written").read_text() == "x"


def test_a_folder_swapped_between_its_check_and_its_opening(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "real/file").unlink()
    (tree / "real").rmdir()
    (tree / "real").symlink_to(tree.parent / "outside")
    monkeypatch.setattr(paths, "resolved", lambda top, path: path)  # as it was a moment before
    with pytest.raises(Refused), paths.held(tree, "real/file"):
        pass
    with pytest.raises(Refused):
        paths.write(tree, "real/secret", b"hacked")


def test_what_is_no_regular_file(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(Refused, match="not a regular file"):
        paths.read(tree, "pipe")
    with pytest.raises(IsADirectoryError):
        paths.read(tree, "real")
    with pytest.raises(FileNotFoundError):
        paths.read(tree, "none")
    with pytest.raises(Refused, match="more than"):
        paths.read(tree, "real/file", most=3)
