"""A disk that is really full in the middle of a sweep: what ran is not lost, and nothing counts twice."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.workflows.sweeps.sweep_tools import (
    TRAINING,
    assert_nothing_left,
    begin,
    ended,
    processes_of_sweeps,
    records,
    rows,
    trainable,
    until,
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1 << 9, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def test_the_same_command_goes_on_when_there_is_room_again(
    set_up_template: Path, small_disk: Path
) -> None:
    repo = trainable(copy_template(set_up_template, small_disk))
    words = ("-S", "lr=0.1,0.2,0.3,0.4,0.5,0.6", "-S", "seed=18", "-j", "2", "--", *TRAINING)
    child = begin(repo, *words)
    until(lambda: processes_of_sweeps(repo))
    filler = fill(small_disk)
    assert ended(child, 60) != 0
    filler.unlink()
    assert processes_of_sweeps(repo) == []
    before = rows(repo)
    repo.xexp("sweep", *words)  # what failed for want of room is a failed run
    repo.xexp("sweep", "--retry-failed", *words).good()
    assert [lr for lr, _ in rows(repo)] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], before
    done = [each for each in records(repo) if each.status == "done"]
    assert sorted(each.params["lr"] for each in done) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert "error" not in repo.git("fsck")
    assert_nothing_left(repo)
    # run, too: what cannot be recorded is said, and recorded later
    filler = fill(small_disk)
    failed = repo.xexp("run", "--", *TRAINING)
    assert failed.code == 128 and "No space left on device: /" in failed.err, failed
    filler.unlink()
    repo.xexp("run", "-a", "-S", "lr=0.7", "--", *TRAINING).good()
    assert repo.tags == ["e0.1.0"]
    filler = fill(small_disk)
    for words in (("tag", "-a"), ("registry", "describe", "e0.1.0", "-m", "more")):
        failed = repo.xexp(*words)
        assert failed.code == 128 and f" {repo.path}/" in failed.err.splitlines()[-2], failed
        assert "space" in failed.err.splitlines()[-1] or "make room" in failed.err, failed
        assert "move it away" not in failed.err
    filler.unlink()
