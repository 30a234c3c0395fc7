"""Every test runs sealed: a home of its own, fixed dates, no network, real git and real DVC."""

from __future__ import annotations

import fcntl
import gc
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import forkserver
from tests.helpers import Clock, Repo, copy_tree, run

ROOT = Path(__file__).resolve().parent.parent
GUARD = ROOT / "tests" / "guard"
DROPPED = ("GIT_", "DVC_", "XDG_", "XEXP_", "LC_", "SSH_", "GPG_")
KEPT = ("XEXP_TEST_", "DVC_TEST")
UNSET = ("NO_COLOR", "CLICOLOR", "COLUMNS", "LINES", "PAGER", "EDITOR", "VISUAL", "LANGUAGE",
         "MANPATH", "LESS", "CI", "EMAIL", "TERM")  # fmt: skip


# A busy machine must not fail a property; XEXP_TEST_EXAMPLES=5000 is the longer run.
settings.register_profile(
    "xexp",
    deadline=None,
    max_examples=int(os.environ.get("XEXP_TEST_EXAMPLES", "15")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("xexp")


def pytest_configure(config: pytest.Config) -> None:
    """Repositories lie in memory where there is room: the tests wait for the disk half of the time.

    A shell starts what runs in the background with Ctrl-C ignored, which all processes inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 8 << 30 and os.access(memory, os.W_OK):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_finish() -> None:
    """What collection has imported stays: no test's garbage is among it. And garbage is looked for
    less often, among all that there is hardly ever, which took a twentieth of the time: what commands
    import comes later and stays, too."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 1_000)


def pytest_sessionfinish() -> None:
    """pytest and Python look for garbage six times as they end, among all that a thousand tests left:
    ten seconds."""
    gc.freeze()


def git_template(folder: Path) -> None:
    """What git puts into a new repository, without its samples of hooks, which every copy would copy."""
    for name in ("hooks", "info"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "info/exclude").write_text("# Files that git is to ignore here\n")


def seal(home: Path) -> None:
    """Point everything that git, DVC and this program read outside a repository into ``home``."""
    for name in list(os.environ):
        if (name.startswith(DROPPED) and not name.startswith(KEPT)) or name in UNSET:
            del os.environ[name]
    for name in ("config", "cache", "data", "state", "dvc/global", "dvc/system", "dvc/site"):
        (home / name).mkdir(parents=True, exist_ok=True)
    git_template(home / "template")
    (home / "dvc/global/config").write_text("[core]\n    check_update = false\n")
    (home / ".gitconfig").write_text(
        "[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n"
        '[protocol "file"]\n\tallow = always\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n'
    )
    os.environ.update(
        HOME=str(home),
        PATH=os.pathsep.join(
            (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
        ),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_CACHE_HOME=str(home / "cache"),
        XDG_DATA_HOME=str(home / "data"),
        XDG_STATE_HOME=str(home / "state"),
        GIT_CONFIG_GLOBAL=str(home / ".gitconfig"),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_TEMPLATE_DIR=str(home / "template"),
        GIT_CEILING_DIRECTORIES=str(home.parent.parent),
        GIT_TERMINAL_PROMPT="0",
        GIT_ALLOW_PROTOCOL="file",
        GIT_AUTHOR_NAME="Ada Lovelace",
        GIT_AUTHOR_EMAIL="ada@example.org",
        GIT_COMMITTER_NAME="Ada Lovelace",
        GIT_COMMITTER_EMAIL="ada@example.org",
        DVC_NO_ANALYTICS="1",
        AWS_EC2_METADATA_DISABLED="true",
        DVC_GLOBAL_CONFIG_DIR=str(home / "dvc/global"),
        DVC_SYSTEM_CONFIG_DIR=str(home / "dvc/system"),
        DVC_SITE_CACHE_DIR=str(home / "dvc/site"),
        LC_ALL="C.UTF-8",
        TZ="UTC",
        TERM="dumb",
    )


@pytest.fixture(scope="session", autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The session's sealed folder; the real environment returns afterwards."""
    real = dict(os.environ)
    folder = tmp_path_factory.mktemp("sealed")
    seal(folder / "session")
    (folder / "tmp").mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    Clock()
    os.environ.update(
        XEXP_TEST_REAL_HOME=str(Path(real.get("HOME", "/")).resolve()),
        XEXP_TEST_GUARD_LOG=str(folder / "violations"),
        XEXP_TEST_ALLOWED=os.pathsep.join((str(ROOT), str(folder.parent))),
        PYTHONPATH=os.pathsep.join((str(GUARD), str(ROOT))),
        PYTHONDONTWRITEBYTECODE="" if "PYTHONDONTWRITEBYTECODE" not in real else "1",
    )
    install_guard()
    yield folder
    os.environ.clear()
    os.environ.update(real)
    tempfile.tempdir = None


def install_guard() -> None:
    """The guard in this process (once): the system may have loaded a sitecustomize of its own."""
    spec = importlib.util.spec_from_file_location("xexp_guard", GUARD / "sitecustomize.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.fixture(scope="session")
def forked(sealed: Path) -> Iterator[Path]:
    """A folder for PATH: ``git-xexp`` and ``dvc`` that start at once (see :mod:`tests.forkserver`)."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        server = forkserver.start(Path(folder) / "bin")
        yield Path(folder) / "bin"
        server.communicate()


_homes = count(1)


@pytest.fixture(autouse=True)
def home(sealed: Path) -> Iterator[Path]:
    """This test's own empty home; the environment is restored and the guard's log read after."""
    before, cwd = dict(os.environ), Path.cwd()
    folder = sealed / f"home-{next(_homes)}"
    seal(folder)
    yield folder
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(before)
    violations = sealed / "violations"
    if violations.exists():
        text = violations.read_text(encoding="utf-8")
        violations.unlink()
        pytest.fail(f"the test left its seal:\n{text}")


@pytest.fixture
def quick(forked: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``git xexp`` and ``dvc`` start at once in this test."""
    monkeypatch.setenv("PATH", str(forked), prepend=os.pathsep)


@pytest.fixture(autouse=True)
def clock(home: Path) -> Clock:
    """git's date, fixed at :attr:`Clock.START`; ``clock.tick()`` moves it a minute."""
    return Clock()


@pytest.fixture(scope="session")
def for_all(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist have in common."""
    worker = "PYTEST_XDIST_WORKER" in os.environ
    folder = tmp_path_factory.getbasetemp().parent / "shared" if worker else sealed / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def first(folder: Path) -> Iterator[bool]:
    """Whether this worker is the first to make ``folder``, which the block does then; another that
    needs it meanwhile waits."""
    with folder.with_name(f"{folder.name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = lock.seek(0, os.SEEK_END) > 0  # since it was opened, too
        yield not made
        if not made:
            lock.write("made")


@pytest.fixture(scope="session")
def repo_template(sealed: Path) -> Path:
    """The repository that ``repo`` copies."""
    Clock()
    made = Repo(sealed / "repo-template")
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    made.write("README.md", "# An experiment\n")
    made.commit("first")
    return made.path


def copy_repo(template: Path, folder: Path) -> Repo:
    """A private copy of a repository as ``folder/repo``, its index refreshed (copies have new inodes)."""
    copy_tree(template, folder / "repo")
    made = Repo(folder / "repo")
    run("git", "update-index", "-q", "--refresh", cwd=made.path)
    return made


@pytest.fixture
def repo(repo_template: Path, tmp_path: Path, clock: Clock) -> Repo:
    """A git repository on branch main with one commit (README.md), in a folder named ``repo``."""
    return copy_repo(repo_template, tmp_path)


@pytest.fixture(scope="session")
def ready_template(repo_template: Path, sealed: Path) -> Path:
    """The repository that ``ready`` copies."""
    Clock()
    made = Repo(sealed / "ready-template")
    copy_tree(repo_template, made.path)
    made.xexp("init", "--no-dvc").good()
    made.commit("set up")
    return made.path


@pytest.fixture
def ready(ready_template: Path, tmp_path: Path, clock: Clock) -> Repo:
    """``repo`` after ``git xexp init --no-dvc``, committed."""
    return copy_repo(ready_template, tmp_path)


@pytest.fixture(scope="session")
def experiments_template(repo_template: Path, sealed: Path) -> Path:
    """The repository that ``with_three`` copies."""
    from tests.experiments import three

    made = Repo(sealed / "experiments-template")
    copy_tree(repo_template, made.path)
    three(made, Clock())
    return made.path


@pytest.fixture
def with_three(experiments_template: Path, tmp_path: Path, clock: Clock) -> Repo:
    """``repo`` with three experiments (see :func:`tests.experiments.three`), the last a moment ago."""
    clock.tick(180)
    return copy_repo(experiments_template, tmp_path)


PARAMS = "model: softmax\nlr: 0.1\nepochs: 3\nbatch_size: 32\nseed: 7\n"
METRICS = '{"f1": 0.81, "loss": 0.42}\n'
GITIGNORE = "__pycache__/\n*.pyc\n"


@pytest.fixture(scope="session")
def dvc_template(for_all: Path) -> Path:
    """The folder that ``dvc_repo`` copies: ``repo`` and ``remote`` side by side."""
    Clock()
    folder = for_all / "dvc-template"
    with first(folder) as mine:
        if mine:
            _dvc_template(folder)
    return folder


def _dvc_template(folder: Path) -> None:
    made = Repo(folder / "repo", folder / "remote")
    made.path.mkdir(parents=True)
    assert made.remote is not None
    made.remote.mkdir()
    made.git("init", "-q", "-b", "main")
    made.write("README.md", "# An experiment\n")
    made.write(".gitignore", GITIGNORE)
    made.write("params.yaml", PARAMS)
    made.write("metrics.json", METRICS)
    made.write("data/train.csv", "x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(200)))
    made.dvc_init()
    made.dvc_add("data/train.csv")
    made.dvc("push", "-q")
    made.commit("first")


def copy_template(template: Path, target: Path) -> Repo:
    """A private copy of a template, its index refreshed (copies have new inodes)."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("repo", "remote"):
        copy_tree(template / name, target / name)
    made = Repo(target / "repo", target / "remote")
    run("git", "update-index", "-q", "--refresh", cwd=made.path)
    return made


@pytest.fixture
def dvc_repo(dvc_template: Path, tmp_path: Path) -> Repo:
    """git and DVC with a local remote (``.remote``): ``params.yaml``, ``metrics.json`` and
    ``data/train.csv`` (tracked by DVC, pushed), all committed."""
    return copy_template(dvc_template, tmp_path)


TRAIN = """
import pathlib, random
from xetrack import Tracker

pathlib.Path("results").mkdir()
pathlib.Path("models/production").mkdir(parents=True)
random.seed(7)
for lr in (0.01, 0.1, 1.0):
    params = {"model": "softmax", "lr": lr, "epochs": 3, "batch_size": 32, "seed": 7}
    run = f"run-lr-{lr}"
    tracker = Tracker("results/experiments.db", params=params, track_id=run, warnings=False,
                      table="predictions")
    for epoch in range(3):
        tracker.log({"epoch": epoch, "loss": round(1 / (1 + epoch + lr), 4)})
    tracker.log({"f1": round(0.9 - abs(lr - 0.1) / 2, 4), "accuracy": round(0.8 + lr / 10, 4)})
pathlib.Path("models/production/model.bin").write_bytes(random.randbytes(5000))
"""


@pytest.fixture(scope="session")
def trained_template(dvc_template: Path, for_all: Path) -> Path:
    """The folder that ``trained`` copies."""
    Clock().tick(60)
    folder = for_all / "trained-template"
    with first(folder) as mine:
        if mine:
            made = copy_template(dvc_template, folder)
            made.write("train.py", textwrap.dedent(TRAIN).lstrip())
            made.python("train.py").good()
            made.dvc_add("results/experiments.db", "models/production/model.bin")
            made.dvc("push", "-q")
            made.commit("train")
    return folder


@pytest.fixture
def trained(trained_template: Path, tmp_path: Path) -> Repo:
    """``dvc_repo`` after a sweep logged by the real xetrack.

    Table ``predictions`` of ``results/experiments.db`` holds runs ``run-lr-0.01``, ``-0.1`` and
    ``-1.0`` (newest), each of three epochs (``loss``) and a last row with ``f1`` (best: lr 0.1,
    0.9) and ``accuracy`` (best: lr 1.0). Database and ``models/production/model.bin`` are tracked
    by DVC, pushed and committed; nothing is tagged and ``git xexp init`` has not been run.
    """
    return copy_template(trained_template, tmp_path)


@pytest.fixture(scope="session")
def set_up_template(trained_template: Path, for_all: Path) -> Path:
    """The folder that ``set_up`` copies."""
    Clock().tick(60)
    folder = for_all / "set-up-template"
    with first(folder) as mine:
        if mine:
            made = copy_template(trained_template, folder)
            made.xexp("init").good()
            made.commit("set up")
    return folder


@pytest.fixture
def set_up(set_up_template: Path, tmp_path: Path) -> Repo:
    """``trained`` after ``git xexp init``, committed."""
    return copy_template(set_up_template, tmp_path)


@pytest.fixture(scope="session")
def tagged_template(set_up_template: Path, for_all: Path) -> Path:
    """The folder that ``tagged`` copies."""
    Clock().tick(60)
    folder = for_all / "tagged-template"
    with first(folder) as mine:
        if mine:
            copy_template(set_up_template, folder).xexp("tag").good()
    return folder


@pytest.fixture
def tagged(tagged_template: Path, tmp_path: Path) -> Repo:
    """``set_up`` with its newest run tagged e0.1.0."""
    return copy_template(tagged_template, tmp_path)


@pytest.fixture(scope="session")
def models_template(trained_template: Path, for_all: Path) -> Path:
    """The folder that ``modelled`` copies."""
    from tests.workflows.models.model_tools import with_candidates

    Clock()
    folder = for_all / "models-template"
    with first(folder) as mine:
        if mine:
            with_candidates(copy_template(trained_template, folder))
    return folder


@pytest.fixture
def modelled(models_template: Path, tmp_path: Path) -> Repo:
    """``trained`` set up: run-lr-1.0's model in production and tagged e0.1.0, those of run-lr-0.01
    and run-lr-0.1 as candidates, committed and not pushed (see :mod:`tests.workflows.models.model_tools`)."""
    return copy_template(models_template, tmp_path)


MLFLOW = """
import os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
for uri in sys.argv[1:]:
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("iris")
    for name, lr, acc in (("first", 0.1, 0.8), ("second", 0.3, 0.9), ("gone", 1, 1)):
        with mlflow.start_run(run_name=name, tags={"team": "vision"}) as run:
            mlflow.log_params({"lr": lr, "model": "mlp", "use_bias": True})
            for step in range(3):
                mlflow.log_metric("acc", acc - 0.1 * (2 - step), step=step)
                mlflow.log_metric("val/loss", 1 / (1 + step), step=step)
            mlflow.log_metric("nan", float("nan"))
            mlflow.log_metric("system/cpu_utilization_percentage", 50.0)
    mlflow.delete_run(run.info.run_id)
"""


@pytest.fixture(scope="session")
def mlflow_stores(for_all: Path) -> Path:
    """A folder with ``mlflow.db`` and ``mlruns/`` of the real MLflow, three runs each, the last one
    deleted."""
    folder = for_all / "mlflow"
    with first(folder) as mine:
        if mine:
            folder.mkdir()
            stores = f"sqlite:///{folder}/mlflow.db", f"file://{folder}/mlruns"
            run(sys.executable, "-c", MLFLOW, *stores, cwd=folder).good()
    return folder
