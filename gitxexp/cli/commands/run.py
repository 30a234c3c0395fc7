"""``git xexp run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli import hints
from gitxexp.cli.group import Command
from gitxexp.cli.options import Duration, Label, Setting, VersionType, open_project, shared
from gitxexp.cli.render import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitxexp.repository.version import AnyVersion
    from gitxexp.workflows.runs.run import Prepared


@click.command(cls=Command, context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, metavar="[--] [CMD...]")
@click.option(
    "-S", "--set", "params", type=Setting(), multiple=True,
    help="Set a parameter in its file (repeatable).",
)  # fmt: skip
@click.option(
    "--config", metavar="FILE|VERSION|HASH",
    help="Use the parameters of a configuration; -S overrides them.",
)  # fmt: skip
@click.option(
    "--write-config", type=click.Path(path_type=Path), metavar="PATH",
    help="Write the configuration of the run, with its hash, to PATH.",
)  # fmt: skip
@click.option("--version", type=VersionType(), metavar="VERSION", help="Tag as VERSION.")
@click.option("--major", "level", flag_value="major", help="Increase the major version.")
@click.option("--minor", "level", flag_value="minor", help="Increase the minor version.")
@click.option("--patch", "level", flag_value="patch", help="Increase the patch version.")
@click.option("--name", type=Label(), metavar="NAME", help="Tag as exp-NAME-vN instead.")
@shared(message="Text to add to the description.")
@click.option(
    "-l", "--label", "labels", type=Label(), metavar="TEXT", multiple=True,
    help="Attach a label (repeatable).",
)  # fmt: skip
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Commit modified tracked files first."
)
@click.option("--dirty", is_flag=True, help="Run uncommitted changes, without a tag.")
@click.option("--no-tag", is_flag=True, help="Record the run without a tag.")
@click.option(
    "--stamp/--no-stamp",
    default=None,
    help="Write the version into the rows of the run (or never).",
)
@click.option("--no-track", is_flag=True, help="Run even if data is untracked.")
@click.option("--timeout", type=Duration(), metavar="TIME", help="Stop the command after TIME.")
@click.option("--no-check", is_flag=True, help="Skip the checks before the run (check --before).")
@click.option("--no-keep", is_flag=True, help="Do not keep the model as a candidate.")
@click.option(
    "--push/--no-push", default=None,
    help="Push artifacts, branch and tag (default: xexp.tag.push).",
)  # fmt: skip
@click.option("--remote", "git_remote", metavar="NAME", help="The git remote to push to.")
@shared(no_wait=True, json=True)
def run(
    command: tuple[str, ...],
    params: tuple[tuple[str, Any], ...],
    config: str | None,
    write_config: Path | None,
    version: AnyVersion | None,
    level: str | None,
    name: str | None,
    message: str | None,
    labels: tuple[str, ...],
    everything: bool,
    dirty: bool,
    no_tag: bool,
    stamp: bool | None,
    no_track: bool,
    timeout: float | None,
    no_check: bool,
    no_keep: bool,
    push: bool | None,
    git_remote: str | None,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Run CMD as an experiment: record it, and tag it if it succeeds.

    CMD gets its version and hashes in the environment; {version} and {run} are replaced in its
    arguments. Its log, rows, metrics, outputs and model are bound to the run. Without CMD, [run]
    command of the configuration is run, or else dvc repro.
    """
    from gitxexp.cli.render import runs
    from gitxexp.repository.version import Level
    from gitxexp.workflows.runs.run import RunRequest
    from gitxexp.workflows.runs.run import run as run_command

    project = open_project()
    hints.note_drivers(project)
    begin: Callable[[Prepared], None] = runs.begin
    if config is not None or write_config is not None:
        from gitxexp.workflows.runs import configured

        if config is not None:
            found = configured.params_of(project, config, command, dict(params))
            params = tuple(found.items())
        if write_config is not None:
            configured.check_place(write_config)
            begin = _begin_writing(write_config.absolute())
    request = RunRequest(
        command=command,
        params=dict(params),
        version=version,
        level=Level(level) if level else None,
        name=name,
        text=message or "",
        labels=labels,
        everything=everything,
        dirty=dirty,
        tag=not no_tag,
        push=project.config.tag_push if push is None else push,
        remote=git_remote,
        stamp=stamp,
        track=not no_track,
        timeout=timeout,
        checks=not no_check,
        keep=not no_keep,
    )
    done = run_command(
        project, request, cwd=Path.cwd(), begin=begin, echo=not console.quiet(),
        out=2 if as_json else 1, wait=not no_wait,
    )  # fmt: skip
    return runs.show(done, as_json=as_json)


def _begin_writing(path: Path) -> Callable[[Prepared], None]:
    """What is said when a run begins, and the file with its configuration."""
    from gitxexp.cli.render import runs
    from gitxexp.workflows.runs.configured import write_config

    def begin(prepared: Prepared) -> None:
        write_config(prepared, path)
        runs.begin(prepared)

    return begin
