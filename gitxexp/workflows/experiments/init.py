"""``init``: detect what a repository has, and set up what it lacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path, PurePosixPath

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.notes import note
from gitxexp.common.text import some
from gitxexp.repository import config as settings
from gitxexp.repository.commit import IndexChanged, index_entries
from gitxexp.repository.files import Created
from gitxexp.repository.repository import Project
from gitxexp.storage import paths
from gitxexp.storage.dvc import pointers, session
from gitxexp.storage.dvc.places import dvc_roots, has_dvc
from gitxexp.storage.git import Git, asked_once
from gitxexp.trackers.databases import kind_of
from gitxexp.trackers.run import Run
from gitxexp.trackers.runs import tracker_of
from gitxexp.trackers.tables import event_tables
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.collect import RunChoice, collect
from gitxexp.workflows.experiments.describe import OutputRole
from gitxexp.workflows.experiments.outputs import Untracked, untracked
from gitxexp.workflows.experiments.outputs import track as add_untracked
from gitxexp.workflows.experiments.stores import databases, find_databases
from gitxexp.workflows.experiments.template import Template, new_files, write_files
from gitxexp.workflows.merge.driver import install

#: Searched in this order; the first that exist are proposed.
_PARAMS = ("params.yaml", "params.yml", "params.json", "params.toml")
_METRICS = (
    "metrics.json",
    "metrics.yaml",
    "metrics.toml",
    "metrics.jsonl",
    "eval/metrics.json",
    "dvclive/metrics.json",
)
_MODEL_SUFFIXES = (
    ".bin",
    ".pt",
    ".pth",
    ".onnx",
    ".safetensors",
    ".joblib",
    ".pkl",
    ".h5",
    ".keras",
)

_TEMPLATE = """\
# git-xexp: settings of this project. Every one can be overridden by git config xexp.SECTION.KEY

[results]
databases = {databases}  # what your tracker writes: SQLite or DuckDB files; globs; [] finds them
# table = "predictions"   # the table of runs; found by itself if there is one
# stamp = true            # add version, git_commit and dvc_hash to any table, not xetrack's only

[params]
files = {params}
# key = ["model", "lr"]   # named in a description, in this order
# model = "model"         # the parameter that is the architecture
# ignore = ["output_dir"] # not part of a configuration; globs allowed

[metrics]
files = {metrics}
{primary}  # ranks experiments
# key = ["f1", "loss"]    # named in a description, in this order
# maximize = ["f1"]       # more is better; else the name decides (loss, error, latency: less)
# minimize = []

[roles]                   # git xexp explore columns prints what each column is taken for
# param = ["n_*"]         # part of a configuration; globs, or TABLE.COLUMN
# metric = []
# context = ["shard"]     # recorded, and never compared
# output = ["raw_*"]      # stays in the database
# key = []

[data]
# paths = ["data/*"]      # the DVC outputs that are data; default: all but models, results, metrics
{data}
[models]
paths = {models}
# production = "models/production/model.bin"  # the current best
# candidates = "models/candidates"            # the others, one file for each run
# [models.ranker]         # several models: a table for each, with these keys and extension

[run]
{command}  # what git xexp run runs without a command

[tag]
{prefix}  # versions are ranker/e0.1.0: for one of several projects in a repository
# push = false            # push artifacts, branch and tag after every tag
# remote = "origin"

[worktree]
# path = "../exp-{{name}}"  # relative to the main work tree
# branch = "exp/{{name}}"
# link = "auto"           # auto, reflink, hardlink, symlink or copy
# writable = ["results/**"]

[merge]
# strategy = "merge"      # results: merge accumulates, rebase replaces by key, keep leaves alone
# key = ["version"]       # key columns of tables that have no key
# data_strategy = "merge"
# data_key = []
"""


@dataclass(frozen=True)
class ExistingFiles:
    """What exists already, by path from the top."""

    databases: tuple[str, ...]
    params: tuple[str, ...]
    metrics: tuple[str, ...]
    models: tuple[str, ...]
    data: tuple[str, ...]


@dataclass(frozen=True)
class SetUp:
    """What ``init`` did (or would do), one line each, and what to do next."""

    done: tuple[str, ...]
    advice: tuple[str, ...]
    found: tuple[tuple[str, str], ...] = ()  #: what was found: ("results", "results/runs.db (…)")
    untracked: Untracked = field(default_factory=Untracked)


def init(
    project: Project,
    *,
    dvc: bool = True,
    track: bool = False,
    hooks: bool = False,
    template: Template | None = None,
    prefix: str | None = None,
    dry_run: bool = False,
    wait: bool = True,
) -> SetUp:
    """Set up the project; if it is set up already, only what is missing on this machine.

    With a ``prefix`` the current folder becomes a separate project, whose versions begin with it.
    With ``track``, data, models and results that nothing tracks are added to DVC; with ``hooks``, a
    ``git push`` pushes their artifacts first. The files of a ``template`` are written first, and
    its data are added to DVC. Returns an empty ``done`` if nothing was missing. Raises XexpError if
    a template would overwrite a file.
    """
    if not dry_run:
        project.recover_first(wait=wait)
    if prefix is not None:
        _begin_project(project, prefix)
    with asked_once():
        project.require_checked_out()
        top = project.top
        fresh = new_files(project, template) if template else []
        existing = _found(project)
        loose = untracked(project)
        if dry_run:
            done = [*fresh, *_missing(project, dvc=dvc), *install.missing(project)]
            lines = [f"would create {name}" for name in done]
            lines += [f"would track {name}" for name in loose.every if track]
            lines += (
                [f"would create {install.HOOK}"] if hooks and not install.has_hook(project) else []
            )
            return _set_up(project, existing, lines, loose)
        if (
            not fresh
            and not _missing(project, dvc=dvc)
            and not install.missing(project)
            and not ((track and loose.every) or (hooks and not install.has_hook(project)))
        ):
            return _set_up(project, existing, (), loose)
    with project.operation("init", wait=wait) as running:
        done = []
        if template:
            write_files(project, running, template, fresh)
            existing = _of_template(_found(project), template)
            done += fresh
        if dvc and not has_dvc(top):
            running.record(Created(str(top / ".dvc")))
            if not (top / ".dvcignore").exists():  # else DVC leaves it unchanged
                running.record(Created(str(top / ".dvcignore")))
            names = session.MADE
            running.record(IndexChanged(str(top), index_entries(project.at_top, [*names])))
            session.init(top)
            done.append("DVC (.dvc/)")
        file = _file(project)
        if not (top / file).exists():
            running.record(Created(str(top / file)))
            text = config_text(_below(existing, project.folder), template, prefix or "")
            paths.write(top, file, text.encode("utf-8"))
            done.append(file)
        if not (top / settings.REGISTRY).exists():
            running.record(Created(str(top / settings.REGISTRY)))
            project.registry.create()
            done.append(settings.REGISTRY)
        project.forget_config()
        done += install.install(project, running)
        if hooks and not install.has_hook(project):
            install.add_hook(project, running)
            done.append(install.HOOK)
        to_add = [name for name in untracked(project).every if track or name in fresh]
        if to_add and has_dvc(top):
            add_untracked(project, running, to_add)
        running.summary.append(", ".join((*done, *to_add)))
    lines = [f"created {name}" for name in done]
    lines += [f"tracked {name}" for name in to_add]
    with asked_once():
        return _set_up(project, existing, lines, untracked(project), template)


def _of_template(found: ExistingFiles, template: Template) -> ExistingFiles:
    """``found`` with the results that the template will write."""
    return replace(found, databases=template.databases)


def _set_up(
    project: Project,
    found: ExistingFiles,
    done: Iterable[str],
    loose: Untracked,
    template: Template | None = None,
) -> SetUp:
    advice = _first_steps(template) if template else _advice(project, loose)
    return SetUp(tuple(done), advice, tuple(_described(project, found)), loose)


def _first_steps(template: Template) -> tuple[str, ...]:
    """The commands from a template's files to its first experiment."""
    return (
        "pip install -r requirements.txt",
        f'git add . && git commit -m "Start from the template {template.name}"',
        'git xexp run -m "baseline"',
    )


def _last_run(top: Path, config: settings.Config) -> Run | None:
    """The last run; with a note if the results cannot be read, such as where Git LFS left a pointer."""
    try:
        return collect(top, config, RunChoice()).run
    except XexpError as error:
        note("; ".join(filter(None, (error.message, error.hint))))
        return None


def _described(project: Project, found: ExistingFiles) -> Iterator[tuple[str, str]]:
    """What was found, as ``init`` shows it."""
    top, config = project.top, project.config
    run = _last_run(top, config)
    for name in found.databases:
        if not (top / name).is_file():  # a template's, before its first run
            continue
        tracker = tracker_of(top / name, config.results_table or None)
        what = f"{tracker} store"
        if tracker not in ("mlflow", "optuna"):  # whose tables belong to them
            what = f"table {some([table.name for table in event_tables(top / name, None)], 5)}"
        yield "results", f"{name} ({kind_of(top / name)}, {what})"
    if run is not None:
        metric = describe.primary_metric(run.metrics, config)
        yield "last run", run.id
        yield "metrics", f"{', '.join(run.metrics) or 'none'}"
        if metric:
            more = "more" if describe.maximize(config, metric) else "less"
            yield "primary", f"{metric} ({more} is better)"
        yield "parameters", ", ".join(run.params) or "none"
    files = [name for name in (*found.params, *found.metrics) if (top / name).is_file()]
    for word, names in (("files", files), ("data", found.data), ("models", found.models)):
        if names:
            yield word, some(names, 5)


def _missing(project: Project, *, dvc: bool) -> list[str]:
    top = project.top
    missing = ["DVC (.dvc/)"] if dvc and not has_dvc(top) else []
    return missing + [n for n in (_file(project), settings.REGISTRY) if not (top / n).exists()]


def _begin_project(project: Project, prefix: str) -> None:
    """Raise UsageError for an invalid prefix, XexpError if the folder already has another one."""
    settings.check_prefix(prefix)
    folder = project.places.prefix.rstrip("/")
    if project.folder == folder and project.prefix not in ("", prefix):
        raise XexpError(
            f"this project has the prefix '{project.prefix}' already", f"edit {_file(project)}"
        )
    if (project.top / folder / settings.FILE).exists() and project.prefix != prefix:
        name = f"{folder}/{settings.FILE}".lstrip("/")
        raise XexpError(f"{name} exists, without a prefix", f'add to it: [tag] prefix = "{prefix}"')
    project.set_up_in(folder)


def _file(project: Project) -> str:
    """The settings of the project, by their path from the top."""
    return (PurePosixPath(project.folder) / settings.FILE).as_posix()


def _found(project: Project) -> ExistingFiles:
    """Return the part of what was found that belongs to the project; for one in a folder, that
    folder's."""
    existing = detect(project.top, project.at_top, project.folder or nearest_root(project))
    below = f"{project.folder}/" if project.folder else ""
    has = project.config.has
    existing = _each(existing, lambda path: path if path.startswith(below) and has(path) else None)
    default = settings.Config()
    params, metrics = (
        tuple(f"{below}{name}" for name in names)
        for names in (default.params_files, default.metrics_files)
    )
    return replace(existing, params=existing.params or params, metrics=existing.metrics or metrics)


def _below(found: ExistingFiles, folder: str) -> ExistingFiles:
    """Return what was found with paths relative to a folder."""
    return _each(found, lambda path: path.removeprefix(f"{folder}/")) if folder else found


def _each(found: ExistingFiles, change: Callable[[str], str | None]) -> ExistingFiles:
    values = {name: tuple(filter(None, map(change, paths))) for name, paths in vars(found).items()}
    return ExistingFiles(**values)


def nearest_root(project: Project) -> str:
    """The folder of the DVC project that the current folder is in, or of the only one."""
    roots = dvc_roots(project.top)
    prefix = project.places.prefix
    around = [root for root in roots if root and prefix.startswith(f"{root}/")]
    if around or "" in roots:
        return max(around, key=len, default="")
    return roots[0] if len(roots) == 1 else ""


def detect(top: Path, git: Git, root: str = "") -> ExistingFiles:
    """Results databases, parameter and metrics files, models and data below ``top``. ``root``, the
    folder of a DVC project, is searched first for those files.

    Considers tracked files, DVC outputs and untracked files; ignored ones only if they are
    databases that a tracker wrote.
    """
    listed = git.fields("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    outputs = list(pointers.outputs_in(top)) if has_dvc(top) else []
    given = [o.path for o in outputs if o.stage is None]  # stage outputs are not source data
    names = [
        n
        for n in dict.fromkeys((*listed, *(o.path for o in outputs)))
        if not n.startswith((".xexp/", ".dvc/"))
    ]
    default = settings.Config()
    return ExistingFiles(
        databases=tuple(find_databases(top)),
        params=_of_project(root, _PARAMS, names) or default.params_files,
        metrics=_of_project(root, _METRICS, names) or default.metrics_files,
        models=tuple(n for n in names if PurePosixPath(n).suffix in _MODEL_SUFFIXES),
        data=tuple(
            o for o in (*given, *_parquet(names)) if describe.role(o, default) is OutputRole.DATA
        ),
    )


def _of_project(root: str, usual: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """The usual files that are there, in the project's folder or else at the top."""
    below = [f"{root}/{name}" for name in usual] if root else []
    return tuple(n for n in below if n in names) or tuple(n for n in usual if n in names)


def _parquet(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.endswith(".parquet")]


def config_text(found: ExistingFiles, template: Template | None = None, prefix: str = "") -> str:
    """Return the text of ``.xexp/config.toml`` for what was found, plus a template's settings."""
    primary, command = template and template.primary, template and template.command
    data = f"# found: {', '.join(found.data)}\n" if found.data else ""
    return _TEMPLATE.format(
        databases=_list(found.databases),
        params=_list(found.params),
        metrics=_list(found.metrics),
        models=_list(found.models),
        data=data,
        primary=f'primary = "{primary}"' if primary else '# primary = "f1"        ',
        prefix=f'prefix = "{prefix}"' if prefix else '# prefix = "ranker/"     ',
        command=f'command = "{command}"' if command else '# command = "python train.py"',
    )


def _list(names: tuple[str, ...]) -> str:
    return json.dumps(list(names), ensure_ascii=False)  # a JSON string is a TOML basic string


def _advice(project: Project, loose: Untracked) -> tuple[str, ...]:
    """The next commands, the most urgent first."""
    advice = []
    outputs = pointers.outputs_in(project.top) if has_dvc(project.top) else []
    tracked = {output.path for output in outputs}
    if loose.every and has_dvc(project.top):
        advice.append("git xexp init --track")
    ours = [".xexp", ".dvc", ".dvcignore", install.ATTRIBUTES]
    if project.folder:
        ours = [f":/{name}" for name in (*ours, f"{project.folder}/{settings.FOLDER}")]
    if project.at_top.fields("status", "--porcelain", "-z", "--", *ours):
        if not (project.top / ".dvcignore").exists():
            ours = [name for name in ours if not name.endswith((".dvc", ".dvcignore"))]
        advice.append(f'git add {" ".join(ours)} && git commit -m "Set up git xexp"')
    here = [path for path in tracked if (project.top / path).exists()]
    if tracked and not here:  # a new clone
        return (*advice, "dvc pull")
    config = project.config
    ran = databases(project.top, config) or any(
        (project.top / f).exists() for f in config.metrics_files
    )
    script = "git xexp run" if config.run_command else "git xexp run -- python train.py"
    advice.append('git xexp tag -m "what this experiment is"' if ran else script)
    return tuple(advice)
