"""The winner of a sweep as an experiment: its own model, parameters and metrics in one commit."""

from __future__ import annotations

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository.repository import Project
from gitxexp.workflows.experiments.code_hash import code_hash
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.experiments.plan import TagRequest
from gitxexp.workflows.experiments.tag import Tagged, tag, tag_and_push
from gitxexp.workflows.runs import record
from gitxexp.workflows.sweeps.sweep import Swept


def tag_winner(
    project: Project, done: Swept, text: str = "", *, push: bool = False
) -> Tagged | str:
    """Tag the best run of a sweep (and push it); return the existing version if it is already an
    experiment.

    Raises NoAnswer if no run has a value for the metric, XexpError if the code has changed since.
    """
    best = next(iter(done.ranking), None)
    if best is None:
        what = f"a value for {done.metric}" if done.metric else "a metric"
        raise NoAnswer(f"nothing was tagged: no run has {what}", "name another: --metric NAME")
    run_record = record.require(record.read(project), best.run)
    if run_record.version:
        return run_record.version
    head = project.at_top.resolve("HEAD")
    if head is None or code_hash(project.at_top, head, project.config) != run_record.code_hash:
        raise XexpError(
            f"nothing was tagged: the code is not what run {best.run} ran any more",
            f"go back to it: git switch --detach {run_record.run_commit[:12]}, then: git xexp tag --run"
            f" {best.run}",
        )
    request = TagRequest(wanted=RunChoice(run=best.run), text=text)
    return tag_and_push(project, request) if push else tag(project, request)
