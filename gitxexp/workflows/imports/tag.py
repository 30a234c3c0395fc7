"""``import --tag``: tag imported runs whose code is in this repository, oldest first."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.text import counted
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config as settings
from gitxexp.repository import config_hash, registry, tag_message
from gitxexp.repository.numbers import taken
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.version import Level
from gitxexp.storage.dvc import pointers
from gitxexp.trackers.adapter import RunQuery
from gitxexp.trackers.adapters import imported
from gitxexp.trackers.imported_tables import RUNS
from gitxexp.trackers.run import Run
from gitxexp.trackers.times import moment
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.code_hash import code_hash
from gitxexp.workflows.experiments.column_roles import role_rules
from gitxexp.workflows.experiments.describe import OutputRole

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class TaggedRuns:
    """New versions, by run; runs whose commit is not here; runs already tagged."""

    made: Mapping[str, str]
    elsewhere: tuple[str, ...]
    known: tuple[str, ...]
    commit: str | None = None  #: the commit of the registry with their rows


@dataclass(frozen=True)
class _Draft:
    """A run with the commit that it ran at."""

    run: Run
    commit: str
    seconds: float | None


def tag_runs(project: Project, into: str, ids: Collection[str], *, wait: bool = True) -> TaggedRuns:
    """Tag each of the imported runs ``ids`` in the results ``into`` whose commit is here, at that
    commit and with the run's date, and commit the registry with their rows.

    The run's outputs are the data outputs of the commit; for ``dvc exp``, whose commit the run
    itself created, all outputs.
    """
    repository_commit.check_ready(project)
    rules = role_rules(project.config)
    path = project.top / into
    runs = imported.ADAPTER.runs(path, RunQuery(rules=rules)) if path.exists() else []
    wanted = [run for run in runs if run.id in ids]
    tagged = {e.payload.run for e in project.experiments() if e.payload.run}
    known = tuple(run.id for run in wanted if run.id in tagged)
    drafts, elsewhere = _drafts(project, [run for run in wanted if run.id not in tagged])
    if not drafts:
        return TaggedRuns({}, elsewhere, known)
    with project.operation("import --tag", wait=wait) as running:
        payloads = _payloads(project, drafts)
        running.save_file(project.registry.path, renamed=True)
        with project.registry.rewrite() as db:
            for payload in payloads:
                stored = tag_message.decode(tag_message.encode(payload))
                registry.put(db, payload.version, stored)
        subject = f"Import {counted(len(payloads), 'experiment')}\n"
        files = [settings.REGISTRY]
        commit = repository_commit.commit(project, running, files, subject)
        for draft, payload in zip(drafts, payloads, strict=True):
            date = None if draft.seconds is None else f"{int(draft.seconds)} +0000"
            message = tag_message.encode(payload)
            repository_commit.tag(project, running, payload.version, message, draft.commit, date)
        running.summary.append(f"{counted(len(payloads), 'version')} of imported runs")
    made = {d.run.id: payload.version for d, payload in zip(drafts, payloads, strict=True)}
    return TaggedRuns(made, elsewhere, known, commit)


def _drafts(project: Project, runs: Sequence[Run]) -> tuple[list[_Draft], tuple[str, ...]]:
    """Return the runs whose commit is here, oldest first, and the ids of the others."""
    every = dict.fromkeys(commit for run in runs for commit in run.commits)
    named = [commit for commit in every if _COMMIT.fullmatch(commit)]
    items = project.git.cat(named) if named else ()
    here = {
        name
        for name, item in zip(named, items, strict=True)
        if item is not None and item[1] == "commit"
    }
    found, elsewhere = [], []
    for run in runs:
        when = moment(run.ended)
        commit = next((commit for commit in run.commits if commit in here), None)
        if commit is None:
            elsewhere.append(run.id)
        else:
            found.append(_Draft(run, commit, when.seconds if when.rank == 2 else None))
    found.sort(key=lambda draft: (draft.seconds or 0, draft.run.id))
    return found, tuple(elsewhere)


def _payloads(project: Project, drafts: Sequence[_Draft]) -> list[Payload]:
    """Return each tag's content and number: the successor of the previous one, at the level of the
    changes."""
    config = project.config
    tags = project.tags()
    used = taken(project, tags)
    newest = next(iter(tags.newest(1)), None)
    before = newest.payload._replace(version=newest.name) if newest else None
    codes: dict[str, str] = {}
    made: list[Payload] = []
    for draft in drafts:
        payload = _payload(project, draft)
        if draft.commit not in codes:
            codes[draft.commit] = code_hash(project.at_top, draft.commit, config)
        payload = payload._replace(code=codes[draft.commit])
        if before is None:
            reason = "no tag here to compare with" if used.latest else "the first experiment"
            version = used.following(Level.MINOR)
        else:
            code = ["the code"] if before.code != payload.code else []
            choice = describe.choose_level(before, payload, before.version, config, code)
            version, reason = used.following(choice.level), f"{choice.level}: {choice.reason}"
        payload = payload._replace(
            version=str(version), reason=reason, parent=before.version if before else ""
        )
        used.add(version)
        made.append(payload)
        before = payload
    return made


def _payload(project: Project, draft: _Draft) -> Payload:
    """The tag of a run, without number, code and reason."""
    run, config = draft.run, project.config
    own_commit = run.context.get("origin") == "dvc-exp"
    outputs = pointers.outputs_at(project.git, draft.commit)
    artifacts = {
        output.path: output.hash
        for output in outputs
        if output.hash
        and config.has(output.path)
        and (own_commit or describe.role(output.path, config) is OutputRole.DATA)
    }
    data = describe.data_hash(describe.data_outputs(artifacts, config))
    text = str(run.context.get("name") or "")
    line = describe.headline(run.params, run.metrics, data, text, config)
    context = {
        name: value
        for name, value in sorted(run.context.items())
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 200)
    }
    return Payload(
        headline=line,
        text=describe.prose(line),
        config_hash=config_hash.config_hash(run.params),
        data=data,
        run=run.id,
        run_commit=draft.commit,
        results=run.database.relative_to(project.top).as_posix(),
        table=RUNS,
        params=dict(run.params),
        metrics=dict(run.metrics),
        context=context,
        artifacts=artifacts,
    )
