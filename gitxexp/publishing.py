"""``tag --push``: artifacts first, then branch and tag at once; the remote decides the version."""

from __future__ import annotations

from gitxexp import artifacts, tagging, version
from gitxexp.errors import XexpError
from gitxexp.experiments import Request
from gitxexp.gitio import Git, PushRejected
from gitxexp.project import Project, Running
from gitxexp.remotes import choose_remote
from gitxexp.tagging import Tagged
from gitxexp.version import AnyVersion

#: How often a version that somebody else pushed meanwhile is given up for the next one.
_TRIES = 5


def tag_and_push(
    project: Project, request: Request, remote: str | None = None, *, wait: bool = True
) -> Tagged:
    """Tag, push the artifacts, then branch and tag atomically.

    When the remote has that version already, the snapshot is taken back, renumbered and pushed
    again. Any other failure takes everything back, so no stale tag is left behind.
    """
    branch, _ = project.git.head()
    name = choose_remote(project.git, branch, remote, project.config.tag_remote)
    for left in reversed(range(_TRIES)):
        elsewhere = _taken_on(project.git, name)
        try:
            return tagging.tag(
                project,
                request,
                elsewhere=elsewhere,
                publish=lambda *made: _publish(project, name, *made),
                wait=wait,
            )
        except PushRejected as error:
            taken = any(ref.startswith("refs/tags/") for ref in error.refs)
            if request.version is not None or not taken or not left:
                raise _explained(error, name) from error
    raise AssertionError("unreachable: the last try returns or raises")


def _taken_on(git: Git, remote: str) -> list[AnyVersion]:
    names = git.remote_tags(remote, "refs/tags/e*")
    return [found for found in map(version.parse, names) if found is not None]


def _publish(
    project: Project,
    remote: str,
    running: Running,
    made: AnyVersion,
    branch: str | None,
    commit: str,
) -> None:
    artifacts.push_artifacts(project, commit, remote)
    refs = [f"refs/tags/{made}"]
    if branch is not None:
        refs.insert(0, f"{commit}:refs/heads/{branch}")
    project.git.push(remote, refs)
    running.outcome["pushed"] = remote


def _explained(error: PushRejected, remote: str) -> XexpError:
    if any(ref.startswith("refs/heads/") for ref in error.refs):
        return XexpError(
            f"{error.message}; nothing was tagged",
            f"bring its work in first: git pull --rebase {remote}",
        )
    return XexpError(f"{error.message}; nothing was tagged", "git fetch --tags")
