"""Experiment tags made directly, without a training run, for tests that only read."""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import Any

from gitxexp.repository import config_hash, tag_message
from gitxexp.repository.tag_message import Payload
from tests.helpers import Clock, Repo


def tag(repo: Repo, clock: Clock, name: str, params: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None, **fields: Any) -> str:  # fmt: skip
    """A commit and an annotated tag of ours on it, a minute later; the commit's id."""
    clock.tick()
    commit = repo.commit(f"experiment {name}")
    known = {k: v for k, v in (params or {}).items() if v is not None}
    said = {
        "headline": f"{name} | {fields.get('text', '')}",
        "version": name,
        "config_hash": config_hash.config_hash(known),
        "params": known,
        "metrics": metrics or {},
    }
    _annotate(repo, name, commit, tag_message.encode(Payload(**{**said, **fields})))
    return commit


def _annotate(repo: Repo, name: str, commit: str, message: str) -> None:
    """``git tag -a --cleanup=verbatim``, written here where the repository is an ordinary one: hundreds
    of tests make several tags each."""
    ref, config = repo / f".git/refs/tags/{name}", repo / ".git/config"
    who = [os.environ.get(f"GIT_COMMITTER_{each}", "") for each in ("NAME", "EMAIL", "DATE")]
    plain = len(commit) == 40 and config.is_file() and "gpg" not in config.read_text().lower()
    if not plain or not all(who) or ref.exists() or "/" in name:
        repo.git("tag", "-a", "--cleanup=verbatim", "-F", "-", name, stdin=message)
        return
    text = f"object {commit}\ntype commit\ntag {name}\ntagger {who[0]} <{who[1]}> {who[2]}\n\n{message}"
    data = text.encode("utf-8", "surrogateescape")
    data = b"tag %d\0" % len(data) + data
    oid = hashlib.sha1(data).hexdigest()
    file = repo / f".git/objects/{oid[:2]}/{oid[2:]}"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(zlib.compress(data, 1))
    ref.write_text(f"{oid}\n")


def three(repo: Repo, clock: Clock) -> None:
    """e0.1.0 (bert, f1 .8), e0.2.0 (bert, lr lower, f1 .9, labelled), e1.0.0 (gpt, no f1)."""
    common = {"epochs": 3}
    tag(repo, clock, "e0.1.0", {**common, "model": "bert", "train.lr": 0.1},
        {"f1": 0.8, "loss": 0.5}, text="first try", data="aaaaaa", run="blue-moon-1")  # fmt: skip
    tag(repo, clock, "e0.2.0", {**common, "model": "bert", "train.lr": 0.0001},
        {"f1": 0.9, "loss": 0.4}, text="lower rate", data="aaaaaa", run="blue-sky-2",
        parent="e0.1.0", labels=("baseline", "good"))  # fmt: skip
    tag(repo, clock, "e1.0.0", {**common, "model": "gpt", "train.lr": 0.1},
        {"loss": 0.7}, text="other model", data="bbbbbb", parent="e0.2.0")  # fmt: skip
