"""The queue: states follow each other, are there after a crash, and one process works at a time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.workflows.sweeps.queue import NEXT, Queue, Result, State, Sweep, Task


def new(folder: Path, count: int = 3, id: str = "abc") -> Queue:
    queue = Queue(folder)
    sweep = Sweep(id, {"command": ["true"]}, "code", "data", "f00", 1.0, None, 0)
    queue.begin(sweep, [Task(id, n, {"lr": n}, f"key{n}") for n in range(count)])
    return queue


def test_a_run_goes_from_state_to_state_and_an_earlier_one_is_not_reached(tmp_path: Path) -> None:
    queue = new(tmp_path)
    first = queue.tasks("abc")[0]
    facts = {0: {"run": "r0", "result": Result.DONE, "outcome": {"metrics": {"f1": 1}}}}
    queue.move([first], State.ENDED, facts)  # it never began
    assert queue.tasks("abc")[0] == first
    queue.move([first], State.STARTED)
    queue.move([first], State.ENDED, facts)
    ended = queue.tasks("abc", State.ENDED)
    assert [task.outcome for task in ended] == [{"metrics": {"f1": 1}}]
    queue.move([first], State.RECORDED)  # it is not merged
    assert queue.tasks("abc", State.RECORDED) == []
    queue.move(ended, State.MERGED)
    queue.move(ended, State.RECORDED)
    assert queue.done(["key0", "key1"], ["true"], "code", "data") == {"key0": "r0"}
    assert queue.done(["key0"], ["false"], "code", "data") == {}
    assert queue.done(["key0"], ["true"], "other", "data") == {}
    # the same sweep again adds nothing and begins nothing anew
    again = new(tmp_path)
    assert [task.state for task in again.tasks("abc")] == ["recorded", "queued", "queued"]


@given(st.lists(st.sampled_from(list(State)), max_size=12))
def test_whatever_is_asked_the_states_are_a_way_through_the_machine(moves: list[State]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        queue = new(Path(folder), 1)
        (task,) = queue.tasks("abc")
        state = State.QUEUED
        for wanted in moves:
            queue.move([task], wanted)
            if wanted is State.QUEUED or wanted in NEXT[state]:
                state = wanted
            assert queue.tasks("abc")[0].state is state
        queue.close()


def test_a_configuration_is_claimed_by_one_sweep(tmp_path: Path) -> None:
    """While the other's process lives, and for good once it has run well."""
    one, other = new(tmp_path), new(tmp_path, id="def")
    (first, *_), (same, *_) = one.tasks("abc"), other.tasks("def")
    facts = {"run": "r0", "attempts": 1, "started": 2.0}
    with one.held("abc"):
        assert one.claim(first, facts) is None
        assert (claimed := other.claim(same, facts)) is not None and claimed.sweep == "abc"
        assert other.tasks("def")[0].state is State.QUEUED
    assert other.claim(same, facts | {"run": "r1"}) is None  # that one died
    other.move([same], State.ENDED, {0: {"result": Result.DONE}})
    one.move([first], State.QUEUED)
    assert (done := one.claim(first, facts)) is not None and done.run == "r1"


def test_what_is_written_is_there_after_kill_9_and_the_lock_is_not(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        queue = new(tmp_path)
        with queue.held("abc"):
            queue.move(queue.tasks("abc")[:2], State.STARTED)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    queue = Queue(tmp_path)
    assert [task.state for task in queue.tasks("abc")] == ["started", "started", "queued"]
    assert not queue.is_held("abc") and not queue.sweep().running
    with queue.held("abc"):
        assert Queue(tmp_path).sweep("ab").running
        with pytest.raises(NoAnswer, match="running already"), Queue(tmp_path).held("abc"):
            pass
    assert not queue.is_held("abc") and not list(tmp_path.glob("*.lock"))


def test_names_of_sweeps(tmp_path: Path) -> None:
    with pytest.raises(XexpError, match="no sweep in this repository"):
        Queue(tmp_path / "none").sweep()
    new(tmp_path)
    queue = new(tmp_path, id="abd")
    assert queue.sweep("abd").id == "abd"
    for name, said in (("ab", "ambiguous"), ("x", "no sweep x")):
        with pytest.raises(XexpError, match=said):
            queue.sweep(name)
