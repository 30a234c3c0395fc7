"""``--json``: every verb has it, and what it prints is what git-xexp-json(7) says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from gitxexp.cli.main import main
from gitxexp.cli.shell import completion_spec, man_pages
from tests.cli import json_scenes
from tests.cli.json_scenes import Scenes
from tests.conftest import ROOT, copy_template
from tests.helpers import Repo, run, xexp_inside

#: Verbs without facts, and why.
WITHOUT = {
    "ui": "shows a screen for people",
    "report": "prints a page for people",
    "completion": "prints a script for a shell to read",
}

SCALARS = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "scalar": (str, int, float, bool, type(None)),
}


@dataclass
class Node:
    """What may stand at one place: ``types`` by name, keys of an object, elements of an array."""

    types: set[str] = field(default_factory=set)
    optional: bool = False
    keys: dict[str, Node] = field(default_factory=dict)
    element: Node | None = None

    def at(self, path: str) -> Node:
        """The node that a path of the manual names, made where it is missing."""
        node = self
        for part in path.replace("[]", ".[]").removeprefix(".").split("."):
            if part == "[]":
                node.element = node.element or Node()
                node = node.element
            else:
                node = node.keys.setdefault(part, Node())
        return node


class Schema:
    """The manual's shapes and documents."""

    def __init__(self, text: str) -> None:
        prose = man_pages.sections(text)
        self.shapes: dict[str, Node] = {}
        self.documents: dict[str, Node] = {}
        for title, body in _headed(prose["SHAPES"]):
            self.shapes[title] = self.read(body)
        self.titles: dict[str, str] = {}
        for part in ("ERRORS", "DOCUMENTS"):
            for title, body in _headed(prose[part]):
                for name in (each.removeprefix("git xexp").strip() for each in title.split(", ")):
                    self.documents[name], self.titles[name] = self.read(body), title

    def read(self, body: str) -> Node:
        """The node that one heading's lines describe."""
        included = re.search(r"^All of \*(\w+)\*", body, re.MULTILINE)
        root = Node()
        if included:
            root.keys.update(self.shapes[included[1]].keys)
        lines = re.findall(r"^- `(.+?)` ([^:]+)::", body, re.MULTILINE)
        assert len(lines) == len(re.findall(r"^- ", body, re.MULTILINE)), body
        for path, types in lines:
            words, _, optional = types.partition(", ")
            assert optional in ("", "optional"), types
            node = root.at(path)
            node.types = set(words.split(" or "))
            if optional:  # of an array's element: the array may be missing
                root.at(re.split(r"\[\]|\.\*", path)[0]).optional = True
        return root

    def check(self, value: Any, node: Node, place: str) -> Iterator[str]:
        """What is wrong with a value, and every place that was seen (as ``+place``)."""
        yield f"+{place}"
        shapes = [name for name in node.types if name in self.shapes]
        scalars = node.types - {*shapes, "object"}
        if any(isinstance(value, SCALARS[name]) for name in scalars) and not (
            isinstance(value, bool) and not scalars & {"boolean", "scalar"}
        ):
            return
        if isinstance(value, dict) and (shapes or node.keys):
            keys = self.shapes[shapes[0]].keys if shapes else node.keys
            yield from self.check_keys(value, keys, place)
        elif isinstance(value, list) and node.element is not None:
            for item in value:
                yield from self.check(item, node.element, f"{place}[]")
        else:
            yield f"{place} is {value!r}, not {node.types or 'what is described'}"

    def check_keys(
        self, value: Mapping[str, Any], keys: dict[str, Node], place: str
    ) -> Iterator[str]:
        for key, item in value.items():
            if key in keys:
                yield from self.check(item, keys[key], f"{place}.{key}")
            elif "*" in keys:
                yield from self.check(item, keys["*"], f"{place}.*")
            else:
                yield f"{place}.{key} is not in the manual"
        for key, inner in keys.items():
            if key not in value and key != "*" and not inner.optional:
                yield f"{place}.{key} is missing"


def _headed(text: str) -> Iterator[tuple[str, str]]:
    found = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)
    yield from zip(found[1::2], found[2::2], strict=True)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema((ROOT / "gitxexp/cli/shell/prose/json.md").read_text("utf-8"))


def _places(node: Node, place: str) -> Iterator[str]:
    for key, inner in node.keys.items():
        yield f"+{place}.{key}"
        yield from _places(inner, f"{place}.{key}")
    if node.element is not None:
        yield from _places(node.element, f"{place}[]")


def test_documents_are_what_the_manual_says(
    models_template: Path, trained_template: Path, set_up_template: Path, repo: Repo, schema: Schema,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Every document is as described, all that are described are printed, with every key."""
    scenes = Scenes()
    json_scenes.of_models(scenes, copy_template(models_template, tmp_path / "models"))
    json_scenes.of_trees(scenes, copy_template(trained_template, tmp_path / "trees"))
    json_scenes.of_merges(scenes, repo, tmp_path)
    json_scenes.of_sweeps(scenes, copy_template(set_up_template, tmp_path / "sweeps"))
    json_scenes.of_team(scenes, copy_template(set_up_template, tmp_path / "team"))
    json_scenes.of_demo(scenes, tmp_path)
    done = repo.xexp("explore", "show", "e9.9.9", "--json")
    scenes.found["COMMAND"] = [json.loads(done.err)]
    wrong: list[str] = []
    seen: set[str] = set()
    for name, documents in scenes.found.items():
        title = schema.titles[name]
        for document in documents:
            said = list(schema.check(document, schema.documents[name], title))
            seen |= {line for line in said if line.startswith("+")}
            wrong += [line for line in said if not line.startswith("+")]
    assert wrong == []
    wanted = {
        place for name, title in schema.titles.items()
        for place in _places(schema.documents[name], title)
    }  # fmt: skip
    assert sorted(wanted - seen) == []
    assert {schema.titles[name] for name in scenes.found} == {*schema.titles.values()}


def test_every_verb_has_json_or_a_reason() -> None:
    documented = {*Schema((ROOT / "gitxexp/cli/shell/prose/json.md").read_text("utf-8")).documents}
    for path, command in completion_spec.commands(main):
        if isinstance(command, click.Group) and not command.invoke_without_command:
            continue
        has = any("--json" in param.opts for param in command.params)
        assert has != (path in WITHOUT), path
        assert not has or path in documented, f"{path} is not in git-xexp-json(7)"
    paths = {path for path, _ in completion_spec.commands(main)}
    unknown = {re.split(" --| [A-Z]", name)[0] for name in documented} - paths
    assert unknown == {"COMMAND"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("explore show e9.9.9", 128),
        ("get e1.0.0", 129),
        ("explore list --nonsense", 129),
        ("explore list --limit no", 129),
        ("tag --m", 129),
        ("nonsense", 129),
        ("undo 9", 1),
        ("merge nowhere", 128),
        ("conflicts resolve --ours", 1),
        ("worktree remove nothing", 128),
    ],
)
def test_an_error_is_one_document(words: str, code: int, ready: Repo) -> None:
    for line in ([*words.split(), "--json"], ["--json", *words.split()]):
        done = ready.xexp(*line)
        assert (done.code, done.out) == (code, "")
        error = json.loads(done.err.splitlines()[-1])["error"]
        assert error["exit_code"] == code and error["message"]


def test_outside_a_repository_and_without_git(tmp_path: Path) -> None:
    done = xexp_inside("log", "--json", cwd=tmp_path)
    assert (done.code, json.loads(done.err)["error"]["exit_code"]) == (128, 128)
    env = {"PATH": str(tmp_path)}
    done = run(sys.executable, "-m", "gitxexp", "log", "--json", cwd=tmp_path, env=env)
    assert (done.code, json.loads(done.err)["error"]["exit_code"]) == (128, 128)


def test_it_is_utf8_whatever_the_locale_and_never_coloured(repo: Repo) -> None:
    repo.git(
        "tag", "-a", "-m", 'Größe → 模型\n\n[xexp]\nschema = 1\nversion = "e0.1.0"\n', "e0.1.0"
    )
    for env in ({"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"}, {}):
        done = repo.xexp_process("explore", "list", "--json", "--color", env=env).good()
        assert done.json()[0]["headline"] == "Größe → 模型" and "\x1b" not in done.out
