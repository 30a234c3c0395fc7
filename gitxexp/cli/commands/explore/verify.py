"""``git xexp explore verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column
from gitxexp.common.errors import NoAnswer
from gitxexp.common.text import counted

if TYPE_CHECKING:
    from gitxexp.workflows.explore.verify import Verified


@click.command(cls=Command)
@click.argument("versions", nargs=-1, metavar="[VERSION...]")
@shared(json=True)
def verify(versions: tuple[str, ...], as_json: bool) -> None:
    """Check what past tags say against files, hashes, results and registry.

    Without VERSION, every experiment is checked. Exits with 1 if any claim is wrong.
    """
    from gitxexp.workflows.explore.verify import verify

    with progress.line("verifying"):
        verified = verify(open_project(), versions)
    if as_json:
        console.print_json([_object(one) for one in verified])
    else:
        _show(verified)
    wrong = [one.version for one in verified if one.wrong]
    if wrong:
        raise NoAnswer(f"{counted(len(wrong), 'experiment')} with wrong claims: {', '.join(wrong)}")


def _show(verified: list[Verified]) -> None:
    lines = [(one.version, claim) for one in verified for claim in one.claims]
    wrong = frozenset(n for n, (_, claim) in enumerate(lines) if claim.verdict == "wrong")
    console.out(
        *console.table(
            [
                Column("version", [version for version, _ in lines]),
                Column("claim", [claim.name for _, claim in lines]),
                Column("verdict", [str(claim.verdict) for _, claim in lines], red=wrong),
                Column("detail", [claim.detail for _, claim in lines], flexible=True),
            ]
        )
    )


def _object(one: Verified) -> dict[str, object]:
    claims = [
        {"claim": claim.name, "verdict": str(claim.verdict), "detail": claim.detail}
        for claim in one.claims
    ]
    return {"version": one.version, "wrong": one.wrong, "claims": claims}
