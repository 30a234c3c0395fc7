"""Merge two promotions of one model: the later one is production, both stay in the history."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.text import visible
from gitxexp.repository.config import REGISTRY

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion
    from gitxexp.storage.dvc.pointer_file import Output
    from gitxexp.workflows.merge.driver.place import GitPlace

#: Where git records the commits of an unfinished command (gitrepository-layout(5), git-merge(1)).
_HEADS = (
    "MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD", "rebase-merge/orig-head",
    "rebase-apply/orig-head",
)  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True)
class ProductionSide:
    """The side in production, and the message for the user."""

    output: Output
    text: str


def later_promotion(
    place: GitPlace, folder: Path, ours: Output, theirs: Output
) -> ProductionSide | None:
    """Return the side whose model was promoted later; None unless both were promoted.

    Read from the registries of the merged commits, because the work tree's may not be merged yet.
    """
    promotions: dict[str, Promotion] = {}
    for number, commit in enumerate(_commits(place)):
        for promotion in _promotions(place, folder / f"registry-{number}", commit):
            promotions[promotion.id] = promotion
    by_date = sorted(promotions.values(), key=lambda promotion: promotion.at)
    newest = {promotion.hash_after: promotion for promotion in by_date}
    mine, other = newest.get(ours.hash or ""), newest.get(theirs.hash or "")
    if mine is None or other is None or mine.slot != other.slot:
        return None
    later, earlier = (mine, other) if mine.at >= other.at else (other, mine)
    chosen = ours if later is mine else theirs
    return ProductionSide(
        chosen,
        f"{ours.path}: {_named(later)} was promoted later and is in production;"
        f" {_named(earlier)} stays in the history",
    )


def _named(promotion: Promotion) -> str:
    who = promotion.who.partition(" <")[0]
    run = promotion.run or promotion.version or promotion.hash_after[4:12]
    return visible(f"{run} ({who}, {promotion.at[:16].replace('T', ' ')})")


def _commits(place: GitPlace) -> Iterator[str]:
    """Return HEAD, and the commits of an unfinished git command (``git merge`` names them in
    GITHEAD_*)."""
    yield "HEAD"
    for name in os.environ:
        if name.startswith("GITHEAD_") and _COMMIT.fullmatch(name[8:]):
            yield name[8:]
    for name in _HEADS:
        with suppress(OSError):
            yield from _COMMIT.findall((place.git_dir / name).read_text("ascii"))


def _promotions(place: GitPlace, file: Path, commit: str) -> list[Promotion]:
    from gitxexp.repository.registry import Registry

    command = ["git", "cat-file", "blob", f"{commit}:{REGISTRY}"]
    done = subprocess.run(command, cwd=place.top, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        return []
    file.write_bytes(done.stdout)
    try:
        return Registry(file).promotions()
    except XexpError:  # from a later version, or damaged: then it is unknown
        return []
