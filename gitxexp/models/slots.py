"""Where models live: a production file and a folder of candidates, one pair for each slot.

A candidate is called ``<run>_model.<ext>``. The default slot needs no configuration:
``models/production/model.bin`` and ``models/candidates/``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from gitxexp.config import Config, ModelSlot
from gitxexp.errors import UsageError, XexpError, suggestion
from gitxexp.pointers import Output

#: The slot that needs no name.
DEFAULT = "model"

_CANDIDATE = re.compile(r"(.+?)(?:@[0-9a-f]{8})?_model(?:\.[^/]*)?", re.DOTALL)


class Slot(NamedTuple):
    """One production model and its candidates; paths from the top of the repository."""

    name: str
    production: str
    candidates: str
    extension: str  #: with its dot, or ""

    def candidate(self, run: str, digest: str = "", extension: str = "") -> str:
        """The path of the candidate of ``run``; ``digest`` tells a second model of it apart."""
        stem = run.replace("%", "%25").replace("/", "%2F")
        mark = f"@{digest[:8]}" if digest else ""
        return f"{self.candidates}/{stem}{mark}_model{extension or self.extension}"


def run_of(name: str) -> str | None:
    """The run that a candidate's file name names; None when it is called otherwise."""
    match = _CANDIDATE.fullmatch(posixpath.basename(name))
    return unquote(match[1]) if match else None


def slots(config: Config, outputs: Sequence[Output] = ()) -> list[Slot]:
    """Every slot. ``outputs`` let the default slot find a production model of another extension.

    Raises XexpError when two slots share a file or folder.
    """
    own = (config.models_production, config.models_candidates, config.models_extension)
    found = [_named(slot) for slot in config.models_slots]
    if any(own) or not found:
        found.insert(0, _default(*own, outputs))
    _check_apart(found)
    return found


def choose(known: Sequence[Slot], name: str | None) -> Slot:
    """The slot called ``name``, or the only one; raises UsageError naming them."""
    names = ", ".join(slot.name for slot in known)
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        raise UsageError(f"there are several model slots: {names}", "choose one: --slot NAME")
    chosen = next((slot for slot in known if slot.name == name), None)
    if chosen is None:
        raise UsageError(
            f"there is no model slot '{name}' (there are: {names})",
            suggestion(
                str(name),
                [slot.name for slot in known],
                f"add it to .xexp/config.toml: [models.{name}]",
            ),
        )
    return chosen


def _default(production: str, candidates: str, extension: str, outputs: Iterable[Output]) -> Slot:
    if not production and not extension:
        there = [o.path for o in outputs if posixpath.dirname(o.path) == "models/production"]
        production = there[0] if len(there) == 1 else ""
    return _slot(DEFAULT, production, candidates, extension, "models")


def _named(slot: ModelSlot) -> Slot:
    folder = f"models/{slot.name}"
    return _slot(slot.name, slot.production, slot.candidates, slot.extension, folder)


def _slot(name: str, production: str, candidates: str, extension: str, folder: str) -> Slot:
    suffix = f".{extension.lstrip('.')}" if extension else ""
    place = _clean(name, production or f"{folder}/production/model{suffix or '.bin'}")
    beside = _clean(name, candidates or f"{folder}/candidates")
    return Slot(name, place, beside, suffix or posixpath.splitext(place)[1])


def _clean(name: str, path: str) -> str:
    clean = posixpath.normpath(path)
    if clean.startswith(("/", "../")) or clean in (".", ".."):
        raise XexpError(
            f"[models.{name}]: '{path}' is not a path inside the repository",
            "mend .xexp/config.toml",
        )
    return clean


def _check_apart(found: Sequence[Slot]) -> None:
    places = [(slot.name, path) for slot in found for path in (slot.production, slot.candidates)]
    for at, (name, path) in enumerate(places):
        for other, beside in places[at + 1 :]:
            if f"{path}/".startswith(f"{beside}/") or f"{beside}/".startswith(f"{path}/"):
                raise XexpError(
                    f"model slots {name} and {other} overlap: {path} and {beside}",
                    "give each slot its own production and candidates in .xexp/config.toml",
                )
