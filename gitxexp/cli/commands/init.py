"""``git xexp init``."""

from __future__ import annotations

import click

from gitxexp.cli import hints, progress, prompts
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.text import some

#: As :data:`gitxexp.workflows.experiments.template.NAMES`.
TEMPLATES = ("compare", "llm", "throughput", "sweep", "pipeline")


def _list_templates(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        from gitxexp.workflows.experiments.template import templates

        console.out(*(f"{one.name:<12}{one.summary}" for one in templates()))
        ctx.exit()


@click.command(cls=Command)
@click.option(
    "--template",
    type=click.Choice(TEMPLATES),
    metavar="NAME",
    help="Write a small benchmark to start from.",
)
@click.option(
    "--templates",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_templates,
    help="List the templates.",
)
@click.option(
    "--prefix",
    metavar="NAME/",
    help="Make this folder a project of its own; its versions begin with NAME/.",
)
@click.option("--no-dvc", is_flag=True, help="Do not set up DVC.")
@click.option("--track", is_flag=True, help="Add untracked data, models and results to DVC.")
@click.option(
    "--hooks", is_flag=True, help="Install a pre-push hook, so that git push sends artifacts first."
)
@shared(dry_run="Show what would be done.", no_wait=True, json=True)
def init(
    template: str | None,
    prefix: str | None,
    no_dvc: bool,
    track: bool,
    hooks: bool,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Set up a repository for git xexp; running it again does only what is missing."""
    from gitxexp.workflows.experiments import template as templates
    from gitxexp.workflows.experiments.init import SetUp, init

    project = open_project()
    chosen = templates.template(template) if template else None

    def set_up(track: bool) -> SetUp:
        with progress.line("setting up"):
            return init(
                project,
                dvc=not no_dvc,
                track=track,
                hooks=hooks,
                template=chosen,
                prefix=prefix,
                dry_run=dry_run,
                wait=not no_wait,
            )

    done = set_up(track)
    lines = list(done.done)
    if done.untracked.every and not (track or dry_run or as_json) and prompts.can_ask():
        names = some(done.untracked.every, 5)
        if prompts.ask(f"add {names} to DVC? [yes]", ("yes", "no"), "yes") == "yes":
            done = set_up(True)
            lines += done.done
    if as_json:
        found = [{"kind": kind, "text": text} for kind, text in done.found]
        facts = {"done": lines, "next": list(done.advice), "found": found}
        console.print_json(facts | {"untracked": list(done.untracked.every)})
        return
    for kind, text in done.found if lines else ():
        console.out(f"{kind:<10} {text}")
    for line in lines or ("everything is already set up",):
        console.done(line)
    hints.hint(*(f"next: {command}" for command in done.advice))
