"""``git xexp demo`` as a user without any git configuration meets it."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import sqlite3
import subprocess
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from gitxexp.cli.commands.demo import SCENES
from gitxexp.cli.shell import demo_scenes
from gitxexp.cli.shell.demo import Shell
from gitxexp.common import streams
from gitxexp.common.errors import XexpError
from tests.cli.conftest import Demo
from tests.helpers import Done, Repo, run, xexp_inside

DATA = files("gitxexp.cli.shell") / "demo_files"


def test_experiments_are_tagged_with_their_reasons(demo: Demo) -> None:
    assert demo.repo.tags == ["e0.1.0", "e0.2.0", "e1.0.0", "e1.1.0", "e1.2.0", "e1.3.0"]
    subjects = demo.repo.git("tag", "-l", "--format=%(subject)").splitlines()
    assert [line.rpartition(" | ")[2] for line in subjects] == [
        "baseline", "learns faster, and longer", "a hidden layer", "a wider layer",
        "smaller steps, and more of them", "best of six",
    ]  # fmt: skip
    assert subjects[0].startswith("model=softmax | lr=0.005 | epochs=3 | f1=0.8565 | ")
    assert subjects[2].startswith("model=mlp | lr=0.1 | epochs=20 | f1=0.9596 | ")
    assert "minor: epochs and lr changed since e0.1.0" in "\n".join(demo.lines)
    assert "major: model changed since e0.2.0" in "\n".join(demo.lines)


def test_rows_lead_to_the_version_and_back(demo: Demo) -> None:
    with closing(sqlite3.connect(demo.repo / "results/experiments.db")) as database:
        rows = database.execute(
            "SELECT version, count(DISTINCT track_id), count(*), max(f1) FROM metrics"
            " WHERE version IS NOT NULL GROUP BY 1"
        ).fetchall()
        runs = dict(database.execute("SELECT version, track_id FROM metrics WHERE version <> ''"))
        (others,) = database.execute(
            "SELECT count(DISTINCT track_id) FROM metrics WHERE version IS NULL"
        ).fetchone()
    assert others == 5  # of the sweep
    assert rows == [
        ("e0.1.0", 1, 4, 0.8565), ("e0.2.0", 1, 6, 0.9185), ("e1.0.0", 1, 21, 0.9596),
        ("e1.1.0", 1, 21, 0.9798), ("e1.2.0", 1, 41, 1.0), ("e1.3.0", 1, 61, 1.0),
    ]  # fmt: skip
    for version, run_id in runs.items():
        assert f'run = "{run_id}"' in demo.repo.git("cat-file", "tag", version)


def test_colours_of_a_command_stay_colours(tmp_path: Path) -> None:
    """Where the demo is on a terminal, what it runs writes colours, which are no names to escape."""
    lines: list[str] = []
    shell = Shell(tmp_path, lambda line: lines.append(streams.shown(line)))
    sequences = r"print('\x1b[33me1.0.0\x1b[0m \x1b[1;31mred\x1b[m \x1b[7mx\x1b[2J')"
    shell.run("python", "-c", sequences)
    assert lines[1:] == ["\x1b[33me1.0.0\x1b[0m \x1b[1m\x1b[31mred\x1b[0m x\\x1b[2J"]


def test_list_and_diff_are_shown(demo: Demo) -> None:
    shown = demo.output("git xexp explore list")
    assert all(version in shown for version in ("e0.1.0", "e0.2.0", "e1.0.0"))
    assert "\t" not in shown and "\x1b" not in shown  # the table for people, without colours
    difference = demo.output("git xexp explore diff e0.1.0 e1.0.0")
    assert "softmax" in difference and "mlp" in difference and "f1" in difference


def test_everything_is_committed_and_every_experiment_pushed(demo: Demo) -> None:
    assert demo.repo.git("status", "--porcelain") == ""
    remote = demo.repo.git("ls-remote", "origin")
    for ref in (f"refs/tags/{name}" for name in demo.repo.tags):
        assert f"{demo.repo.git('rev-parse', ref)}\t{ref}" in remote
    stored = {p.parent.name + p.name for p in (demo.repo.path.parent / "storage").rglob("*")}
    for tag in demo.repo.tags:
        for line in demo.repo.git("cat-file", "tag", tag).splitlines():
            if '= "md5:' in line:
                assert line.rpartition(":")[2].strip('"') in stored


def test_the_identity_is_set_in_the_demo_only(demo: Demo, sealed: Path) -> None:
    assert demo.repo.git("log", "-1", "--format=%an <%ae>") == "Demo <demo@example.org>"
    assert demo.repo.git("config", "--local", "user.name") == "Demo"
    assert "user" not in (sealed / "demo-home/.gitconfig").read_text()


def test_what_it_suggests_to_do_next_works(demo: Demo, tmp_path: Path) -> None:
    project = demo.copied(tmp_path / "demo")
    start = next(i for i, line in enumerate(demo.lines) if line.startswith("  cd "))
    assert str(demo.repo.path) in demo.lines[start]
    suggestions = [line.partition("#")[0].split() for line in demo.lines[start + 1 :]]
    for program, *words in suggestions[:-1]:
        if words[0] == "xexp":
            assert xexp_inside(*words[1:], cwd=project).good().out
        else:
            unquoted = [word.strip("'") for word in words]
            assert run(program, *unquoted, cwd=project).good().out
    assert suggestions[-1] == ["git", "xexp", "undo"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_in_use_is_refused(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "here"
    if kind == "file":
        target.write_text("mine")
    else:
        (target / "sub").mkdir(parents=True)
    done: Done = xexp_inside("demo", target, cwd=tmp_path)
    what = "a file" if kind == "file" else "not empty"
    assert done == Done(
        128,
        "",
        f"fatal: {target} is {what}\nhint: use a new folder, or omit it for a temporary one\n",
    )
    assert len(list(tmp_path.rglob("*"))) == (1 if kind == "file" else 2)


def test_scenes_are_listed() -> None:
    assert tuple(demo_scenes.SCENES) == SCENES
    listed = xexp_inside("demo", "--list", cwd=Path.cwd()).good().out.splitlines()
    assert [line.split()[0] for line in listed] == list(SCENES)


#: XEXP_TEST_SCENES=1 plays them all: the README and the demo have the commands of the others.
@pytest.mark.parametrize("scene", SCENES if os.environ.get("XEXP_TEST_SCENES") else ["conflict"])
def test_a_scene_plays_to_its_end(scene: str, tmp_path: Path) -> None:
    done = xexp_inside("demo", "--scene", scene, "demo", cwd=tmp_path).good()
    assert done.out.endswith(f"\ncd {tmp_path}/demo/project\n")
    if scene == "conflict":
        assert '~ flower="flower-1"  label: "versicolor" → "virginica"' in done.out
        assert '+ flower="flower-3" label="virginica"' in done.out


def test_what_the_demo_imports_beforehand_exists() -> None:
    tree = ast.parse((Path(demo_scenes.__file__).parent / "demo_imports.py").read_text())
    (names,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    ours = [name for name in ast.literal_eval(names) if name.startswith("gitxexp.")]
    assert ours
    assert [name for name in ours if importlib.util.find_spec(name) is None] == []


def test_a_failing_command_stops_the_demo(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(XexpError) as error:
        Shell(tmp_path, lines.append).run("git", "no-such-command")
    assert error.value.message == "the demo stopped: git no-such-command exited 1"
    assert str(tmp_path.parent) in (error.value.hint or "")
    assert lines[0] == "$ git no-such-command" and "not a git command" in lines[1]


# -- the data and the script -----------------------------------------------------------------------


def test_the_data_are_fishers() -> None:
    """Moments as published; rows 35 and 38 as in the paper, not as in the UCI copy."""
    rows = [line.split(",") for line in DATA.joinpath("iris.csv").read_text().splitlines()]
    assert rows[0] == ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    names = [row[4] for row in rows[1:]]
    assert names == ["setosa"] * 50 + ["versicolor"] * 50 + ["virginica"] * 50
    columns = list(zip(*([float(cell) for cell in row[:4]] for row in rows[1:]), strict=True))
    assert [round(sum(column) / 150, 3) for column in columns] == [5.843, 3.057, 3.758, 1.199]
    assert [(min(c), max(c)) for c in columns] == [(4.3, 7.9), (2.0, 4.4), (1.0, 6.9), (0.1, 2.5)]
    assert rows[35] == ["4.9", "3.1", "1.5", "0.2", "setosa"]
    assert rows[38] == ["4.9", "3.6", "1.4", "0.1", "setosa"]


def trained(folder: Path, *, xetrack: bool) -> tuple[str, list[tuple[object, ...]], str]:
    """Metrics, table layout and distinct parameters after two trainings."""
    work = Repo(folder)
    work.write("data/iris.csv", DATA.joinpath("iris.csv").read_bytes())
    work.write("train.py", DATA.joinpath("train.py.txt").read_bytes())
    hide = "pass" if xetrack else "import sys; sys.modules['xetrack'] = None"
    for _ in range(2):
        work.write("params.yaml", "model: softmax\nlr: 0.005\nepochs: 3\nhidden: 8\nseed: 7\n")
        work.python(
            "-c", f"{hide}; import runpy; runpy.run_path('train.py', run_name='__main__')"
        ).good()
    with closing(sqlite3.connect(folder / "results/experiments.db")) as database:
        layout = sorted(
            database.execute("SELECT name, type, pk FROM pragma_table_info('metrics')").fetchall()
        )
        rows = database.execute(
            "SELECT model, lr, epochs, seed, typeof(lr), typeof(f1), count(DISTINCT track_id)"
            " FROM metrics WHERE f1 IS NOT NULL GROUP BY 1"
        ).fetchall()
    assert rows == [("softmax", 0.005, 3, 7, "real", "real", 2)]
    return (folder / "metrics.json").read_text(), layout, str(rows)


def test_the_small_tracker_writes_what_xetrack_writes(tmp_path: Path) -> None:
    assert trained(tmp_path / "one", xetrack=True) == trained(tmp_path / "two", xetrack=False)


def test_the_script_is_clean_and_needs_nothing_but_python(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_bytes(DATA.joinpath("train.py.txt").read_bytes())
    subprocess.run(["python3", "-m", "py_compile", str(script)], check=True)
    imports = {
        line.split()[1]
        for line in script.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    standard = {"csv", "datetime", "json", "math", "operator", "pathlib", "random", "sqlite3"}
    assert imports == standard


def test_worktrees_are_merged_and_gone_and_the_best_model_is_in_production(demo: Demo) -> None:
    assert not any((demo.repo.path.parent / f"exp-{name}").exists() for name in ("wide", "slow"))
    assert len(demo.repo.git("rev-list", "--min-parents=2", "HEAD").split()) == 1
    kept = list((demo.repo / "models/candidates").glob("*_model.json"))
    assert len(kept) == 3  # what was replaced, and the best two of the sweep
    assert "promoted" in demo.output("git xexp promote --best f1 --yes -m 'best f1 of all'")


def test_the_best_of_a_sweep_is_tagged_promoted_and_reproduced(demo: Demo) -> None:
    ranking = demo.output("git xexp sweep").splitlines()
    best = next(line.split() for line in ranking if line.startswith("   1  "))
    assert best[1:4] == ["0.0355*", "0.02", "60"]
    tag = demo.repo.git("cat-file", "tag", "e1.3.0")
    assert "lr = 0.02" in tag and "epochs = 60" in tag and "loss = 0.0355" in tag
    assert "the promotion is recorded" in demo.output("git xexp promote e1.3.0")
    assert (
        demo.output("git xexp rerun e1.3.0")
        .rstrip()
        .splitlines()[-1]
        .startswith("e1.3.0 reproduced")
    )
    assert json.loads((demo.repo / "metrics.json").read_text())["loss"] == 0.0355


def test_a_past_model_is_fetched(demo: Demo) -> None:
    assert (demo.repo.path.parent / "first.json").is_file()
