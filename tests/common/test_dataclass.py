"""Our dataclasses behave as the standard ones do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from gitxexp.common.dataclass import dataclass

#: For a name of the arguments that are tried: those of the decorator.
WAYS: dict[str, dict[str, bool]] = {
    "plain": {},
    "frozen": {"frozen": True},
    "slots": {"slots": True},
    "both": {"frozen": True, "slots": True},
}


def classes(decorate: Callable[..., Any], arguments: dict[str, bool]) -> tuple[type, type]:
    """A class and one derived from it, as ``decorate`` makes them."""

    @decorate(**arguments)
    class Base:
        """A base."""

        a: int
        b: str = "b"
        c: list[int] = dataclasses.field(default_factory=list)
        d: Any = dataclasses.field(default=None, repr=False, compare=False)

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError(self.a)

        def twice(self) -> int:
            """A method."""
            return self.a * 2

    @decorate(**arguments)
    class Derived(Base):
        """With one more, and another default."""

        b: str = "other"
        e: tuple[int, ...] = ()

    return Base, Derived


def outcome(call: Callable[[], Any]) -> Any:
    """What it returns, or the type and text of what it raises."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def seen(cls: type, twin: type) -> list[Any]:
    """What can be seen of a class and of one made alike."""
    make: Any = cls
    one = make(3, c=[1])
    told: list[Any] = [
        outcome(lambda: make()),
        outcome(lambda: make(1, z=2)),
        outcome(lambda: make(-1)),
    ]
    told += [
        repr(one),
        one.twice(),
        one == make(3, c=[1]),
        one == make(3, d=5, c=[1]),
        one != make(4),
    ]
    told += [
        one == twin(3, c=[1]),
        outcome(lambda: hash(make(3, c=())) == hash(make(3, c=(), d=1))),
    ]
    told += [outcome(lambda: setattr(one, "a", 5)), one.a, outcome(lambda: delattr(one, "a"))]
    told += [hasattr(one, "__dict__"), hasattr(one, "a"), outcome(lambda: hash(one))]
    one = make(3, c=[1])
    told += [dataclasses.asdict(one), [field.name for field in dataclasses.fields(one)]]
    told += [repr(dataclasses.replace(one, b="new")), make(1).c is make(1).c, cls.__match_args__]  # type: ignore[attr-defined]
    told += [repr(copy.copy(one)), copy.deepcopy(one) == one, cls.__doc__]
    return told


@pytest.mark.parametrize("way", WAYS)
def test_a_dataclass_is_seen_as_a_standard_one(way: str) -> None:
    ours = classes(dataclass, WAYS[way])
    standard = classes(dataclasses.dataclass, WAYS[way])
    for at in (0, 1):
        other = 1 - at
        assert seen(ours[at], ours[other]) == seen(standard[at], standard[other])


@dataclass(frozen=True, slots=True)
class Pickled:
    """At the top of a module, where pickle finds it."""

    a: int
    b: str = ""


def test_a_frozen_one_with_slots_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Pickled(1, "x"))) == Pickled(1, "x")


def test_what_a_class_defines_itself_stays() -> None:
    @dataclass(frozen=True)
    class Own:
        """With methods of its own."""

        a: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def __repr__(self) -> str:
            return "own"

    assert (repr(Own(1)), Own(1) == Own(2), hash(Own(1)) == hash(Own(1))) == ("own", True, True)


def test_a_class_without_fields() -> None:
    @dataclass(frozen=True)
    class Empty:
        """Nothing."""

    assert (repr(Empty()), Empty() == Empty()) == (f"{Empty.__qualname__}()", True)


def test_a_field_that_is_no_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="must be an argument"):

        @dataclass
        class Odd:
            """One field is not given."""

            a: int = dataclasses.field(default=1, init=False)


@pytest.mark.parametrize("way", WAYS)
def test_help_shows_the_arguments(way: str) -> None:
    ours, standard = classes(dataclass, WAYS[way]), classes(dataclasses.dataclass, WAYS[way])
    for mine, theirs in zip(ours, standard, strict=True):
        shown = str(inspect.signature(theirs)).replace("<factory>", "Ellipsis")
        assert str(inspect.signature(mine)) == shown
        mine(1)
        assert str(inspect.signature(mine)) == shown
