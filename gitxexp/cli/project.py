"""The project around the current folder, as a command line opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitxexp.cli.render import console

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project


def open_to_read() -> Project:
    """The project, its remarks going to standard error; says which operations were interrupted."""
    from gitxexp.repository.repository import Project

    project = Project.open(".", console.say)
    _note_half_done(project)
    return project


def open_to_change(*, wait: bool) -> Project:
    """Like :func:`open_to_read`, for a command that changes something: what a killed process left is
    settled first. ``wait``: for whoever holds the lock."""
    from gitxexp.repository.repository import Project

    project = Project.open(".", console.say)
    project.recover_first(wait=wait)
    _settle_runs(project, wait=wait)
    _note_half_done(project)
    return project


def _note_half_done(project: Project) -> None:
    """Say which operations were interrupted."""
    for operation in project.half_done():
        console.say(
            f"'{operation.verb}' (operation {operation.id}) was interrupted: the next command that"
            " changes something first rolls it back or finishes it"
        )


def _settle_runs(project: Project, *, wait: bool) -> None:
    """Record the runs whose process was killed, and say so."""
    if not (project.state / "runs").is_dir():  # none ever: nothing to import
        return
    from gitxexp.workflows.runs.record import settle

    for record in settle(project, wait=wait):
        how = "was killed" if record.status == "killed" else "had ended"
        console.say(f"run {record.id} {how}: recorded (git xexp explore log {record.id})")
