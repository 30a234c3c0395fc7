"""Versions: parsing, order and the next one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.repository import version
from gitxexp.repository.version import FIRST, Level, NamedVersion, Version

numbers = st.integers(0, 10**9)
prefixes = st.sampled_from(["", "ranker/", "a/b.c/"])
all_versions = st.builds(Version, numbers, numbers, numbers, prefix=prefixes)


@given(all_versions)
def test_a_version_reads_back(found: Version) -> None:
    assert version.parse(str(found)) == found


@given(st.text(min_size=1).filter(lambda t: t.isascii()), st.integers(1, 10**6))
def test_a_named_version_reads_back(name: str, number: int) -> None:
    assert version.parse(f"exp-{name}-v{number}") == NamedVersion(name, number)


@pytest.mark.parametrize(
    "text", ["v1.0.0", "e1.0", "e1.2.3.4", "e01.2.3", "e1.2.3-rc1", "E1.2.3", " e1.2.3", "e1.2.3\n",
             "e", "", "exp-", "exp--v1", "exp-a", "exp-a-v0", "exp-a-v01", "e1.2.³", "e" + "9" * 40 + ".0.0"],
)  # fmt: skip
def test_what_is_not_ours_is_none(text: str) -> None:
    assert version.parse(text) is None


@given(st.lists(all_versions), st.sampled_from(Level), prefixes)
def test_the_next_is_higher_than_all_and_free(
    taken: list[Version], level: Level, prefix: str
) -> None:
    following = version.following(taken, level, prefix)
    own = [other for other in taken if other.prefix == prefix]
    assert following.prefix == prefix and all(following > other for other in own)
    if not own:
        assert following == FIRST._replace(prefix=prefix)


@given(all_versions)
def test_bumping_resets_what_is_to_the_right(found: Version) -> None:
    major, minor, patch, prefix = found
    assert found.bump(Level.MAJOR) == Version(major + 1, 0, 0, prefix)
    assert found.bump(Level.MINOR) == Version(major, minor + 1, 0, prefix)
    assert found.bump(Level.PATCH) == Version(major, minor, patch + 1, prefix)
    assert found < found.bump(Level.PATCH) < found.bump(Level.MINOR) < found.bump(Level.MAJOR)


def test_named_versions_count_per_name() -> None:
    taken = [NamedVersion("a", 1), NamedVersion("a", 4), NamedVersion("b", 9), Version(1, 0, 0)]
    assert str(version.following_named(taken, "a")) == "exp-a-v5"
    assert str(version.following_named(taken, "c")) == "exp-c-v1"


@given(
    st.lists(
        st.one_of(
            all_versions.map(str), st.sampled_from(["e1.0", "exp-a-v3", "x/e9.9.9", "e01.2.3"])
        )
    ),
    prefixes,
)
def test_the_highest_of_names_is_that_of_versions(names: list[str], prefix: str) -> None:
    parsed = [found for name in names if (found := version.parse(name)) is not None]
    assert version.highest(names, prefix) == version.latest(parsed, prefix)
