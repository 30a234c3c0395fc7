"""Random hostile clones: pointers, manifests, pipelines, configuration, tags and names.

By command, not with the suite::

    XEXP_TEST_EXAMPLES=10000 python -m pytest -q tests/fuzz_hostile.py

Whatever a clone says, a command ends with an answer, an error or a note. A sealed outside (a folder
hashed before and after, a command on PATH that must not run) stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.common.notes import taken
from gitxexp.repository import config as repository_config
from gitxexp.repository import tag_message
from gitxexp.storage import objects, paths
from gitxexp.storage.dvc import place, plain_yaml
from gitxexp.storage.dvc.pipeline import Pipelines
from gitxexp.storage.dvc.pointers import Output, outputs_in
from tests.security.hostile import Evil, snapshot

EXAMPLES = int(os.environ.get("XEXP_TEST_EXAMPLES", "200"))
often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

PARTS = st.sampled_from(
    ["..", ".", "", ".git",
      ".GIT", ".git.", ".git ", "git~1", ".dvc", ".xexp", ".g\u200cit", "a", "A", "b.db",
     "link", "inner", "outside", "id_rsa", "hooks", "\x1b[2J", "a\nb", "\\", "C:", "x" * 300, "--help",
     "$(canary)", "`canary`", "%s", "é", "\udcff", "config", "post-merge", "http:", "s3:"]
)  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = st.lists(PARTS | TEXT, min_size=1, max_size=5).map("/".join) | st.builds(
    lambda name: f"/{name}", PARTS
)
OIDS = (
    st.sampled_from([hashlib.md5(b"hacked").hexdigest(), "a" * 32, "a" * 32 + ".dir"])
    | NAMES
    | st.text("0123456789abcdef./", max_size=40)
)
LEAF = NAMES | OIDS | st.integers() | st.booleans() | st.none() | st.floats()
KEYS = st.sampled_from(
    ["outs", "path", "md5", "size", "hash", "wdir", "deps", "files", "relpath", "cloud", "remote", "cache",
     "push", "isexec", "stages", "do", "foreach", "matrix", "metrics", "plots", "params", "artifacts",
     "type", "vars", "schema", "nfiles", "repo", "url", "persist", "cmd"]
)  # fmt: skip
TREES = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)  # fmt: skip
POINTERS = st.fixed_dictionaries(
    {"outs": st.lists(st.fixed_dictionaries(
        {"path": NAMES, "md5": OIDS},
        optional={"size": LEAF, "hash": st.just("md5") | LEAF, "remote": LEAF, "isexec": LEAF,
                  "files": st.lists(st.fixed_dictionaries({"relpath": LEAF, "md5": LEAF}), max_size=2)},
    ), max_size=3)},
    optional={"wdir": NAMES, "deps": TREES},
)  # fmt: skip

SECTIONS = st.sampled_from(["worktree", "models", "params", "metrics", "results", "tag", "data"])
SETTINGS = st.sampled_from(
    ["path", "files", "production", "candidates", "remote", "databases", "paths", "push"]
)
SETTING = NAMES | st.lists(NAMES, max_size=2) | st.booleans()

_numbers = count()


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory, sealed: Path) -> Iterator[Evil]:
    """One hostile clone with links in and out; each example adds its files and takes them away."""
    before = dict(os.environ)
    base = tmp_path_factory.mktemp("fuzz") / "base"
    base.mkdir()
    made = Evil(base)
    made.store(b"hacked")
    (made.clone / "inner").mkdir()
    (made.clone / "link").symlink_to(made.outside)
    (made.clone / "linked").symlink_to("inner")
    made.before = snapshot(base, (made.clone,))
    yield made
    os.environ.clear()
    os.environ.update(before)


def sealed_off(evil: Evil) -> None:
    """The outside and what git, DVC and this program keep are as they were."""
    assert snapshot(evil.base, (evil.clone,)) == evil.before
    assert not (evil.base / "RAN").exists()


def kept(evil: Evil) -> dict[str, dict[str, str]]:
    return {name: snapshot(evil.clone / name) for name in (".git", ".dvc", ".xexp")}


@often
@given(st.lists(NAMES, min_size=1, max_size=4), OIDS)
def test_a_path_that_passes_stays_inside(evil: Evil, names: list[str], oid: str) -> None:
    own = kept(evil)
    for name in names:
        try:
            path = paths.tracked(name, "fuzz")
        except XexpError as error:
            assert error.message.isprintable()
            continue
        assert paths.problem(path) is None
        try:
            paths.write(evil.clone, f"inner/{path}", b"hacked")
            paths.write(evil.clone, path, b"hacked")
            paths.read(evil.clone, path)
        except (XexpError, OSError, ValueError):
            pass
    if not paths.is_object_id(oid):
        with pytest.raises(XexpError):
            objects.object_path(evil.clone, oid)
    sealed_off(evil)
    assert kept(evil) == own
    clear(evil)


def clear(evil: Evil) -> None:
    """Remove what an example wrote."""
    spared = {".git", ".dvc", ".xexp", "store", "link", "linked", ".dvcignore", "params.yaml"}
    for entry in evil.clone.iterdir():
        if entry.name not in spared:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (evil.clone / "inner").mkdir()


def outputs(evil: Evil) -> list[Output]:
    try:
        return outputs_in(evil.clone)
    except XexpError as error:
        assert "\x1b" not in error.message
        return []


@often
@given(POINTERS | TREES, st.sampled_from(["p.dvc", "inner/p.dvc", "dvc.lock"]))
def test_pointers_are_placed_inside_or_nowhere(evil: Evil, value: Any, name: str) -> None:
    own = kept(evil)
    (evil.clone / name).write_text(json.dumps(value), "utf-8", "surrogatepass")
    cache = evil.clone / "store/cache"
    found = [out for out in outputs(evil) if out.cached and out.oid]
    try:
        cached = place.find_cached(
            found,
            lambda out: [cache],
            lambda path, out: len(path) % 2 == 0,
            lambda files: {path: objects.hash_file(path) for path, _ in files},
        )
        place.place(evil.clone, cached.files, place.Linker(["copy"]))
    except (XexpError, OSError):
        pass
    taken()
    sealed_off(evil)
    assert kept(evil) == own
    clear(evil)


@often
@given(
    st.lists(st.fixed_dictionaries({"relpath": NAMES | LEAF, "md5": OIDS | LEAF}), max_size=3)
    | TREES
)
def test_manifests(evil: Evil, value: Any) -> None:
    data = json.dumps(value).encode("utf-8", "surrogatepass")
    try:
        entries = objects.parse_manifest(data)
    except XexpError as error:
        assert "\x1b" not in error.message
        return
    for entry in entries or ():
        assert paths.problem(entry.path) is None
        assert paths.is_file_id((entry.hash or "")[4:])


@often
@given(TREES, TREES)
def test_pipelines(evil: Evil, definition: Any, lock: Any) -> None:
    for name, value in (("dvc.yaml", definition), ("dvc.lock", lock)):
        (evil.clone / name).write_text(json.dumps(value), "utf-8", "surrogatepass")
    declared = Pipelines(evil.clone).declared
    named = (*declared.metrics, *declared.plots, *declared.models, *declared.produced)
    assert all(paths.problem(path) is None for path in named)
    outputs(evil)
    taken()
    clear(evil)


@often
@given(st.text(max_size=200) | TREES.map(str))
def test_any_yaml_and_any_tag(evil: Evil, text: str) -> None:
    with suppress(XexpError):
        plain_yaml.load(text)
    message = f'f1=0.9\n\n[xexp]\nschema = 2\nversion = "e0.1.0"\n{text}'
    if tag_message.problem(message.encode("utf-8", "surrogatepass")) is None:
        tag_message.decode(message)


@often
@given(st.dictionaries(SECTIONS, st.dictionaries(SETTINGS, SETTING, max_size=3)))
def test_configuration(evil: Evil, document: dict[str, dict[str, Any]]) -> None:
    lines = []
    for section, table in document.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    before = (evil.clone / ".xexp/config.toml").read_bytes()
    (evil.clone / ".xexp/config.toml").write_text("\n".join(lines), "utf-8", "surrogatepass")
    try:
        loaded = repository_config.load(evil.clone, {})
        names = (*loaded.params_files, *loaded.metrics_files, *loaded.results_databases)
        for name in names:
            paths.problem(name)
            assert not paths.leaves(os.path.normpath(name)), name
        assert not loaded.tag_push and not loaded.tag_remote
    except XexpError:
        pass
    finally:
        (evil.clone / ".xexp/config.toml").write_bytes(before)


@settings(often, max_examples=max(20, EXAMPLES // 100))
@given(POINTERS, st.lists(NAMES, min_size=1, max_size=2))
def test_commands(evil: Evil, value: Any, names: list[str]) -> None:
    """The slow one: what is committed, and the verbs themselves."""
    subprocess.run(
        ["git", "checkout", "-q", "--orphan", f"b{next(_numbers)}"], cwd=evil.clone, check=True
    )
    (evil.clone / "p.dvc").write_text(json.dumps(value), "utf-8", "surrogatepass")
    evil.commit()
    try:
        for name in names:
            if name and not name.startswith("-") and "\0" not in name:
                evil.xexp("get", "HEAD", "--", name)
        evil.xexp("get", "HEAD", ".", "-f")
        evil.xexp("worktree", "new", "x")
        evil.xexp("push", "--all", "--incomplete")
    finally:
        tree = evil.base / "exp-x"
        subprocess.run(
            ["git", "worktree", "remove", "--force", str(tree)],
            cwd=evil.clone,
            capture_output=True,
            check=False,
        )
        subprocess.run(
            ["git", "branch", "-D", "exp/x"], cwd=evil.clone, capture_output=True, check=False
        )
        shutil.rmtree(tree, ignore_errors=True)
        clear(evil)
