"""What stands in the place of an object id and is none."""

from __future__ import annotations

import os

import pytest

from tests.security.hostile import MD5, Evil

IDS = ["../../../../../outside/id_rsa", "{out}/id_rsa", "../../../../../outside/id_rsa.dir",
       MD5.upper(), MD5[:30], f"{MD5}/../x", f"{MD5}\n", f"{MD5}.dir/x", "--help"]  # fmt: skip


@pytest.mark.parametrize("oid", IDS)
def test_in_a_pointer(evil: Evil, oid: str) -> None:
    evil.pointer("model.pkl", oid.format(out=evil.outside), "model.pkl", 22)
    evil.commit()
    assert evil.refused("get", "HEAD", "model.pkl").code
    evil.refused("worktree", "new", "x")


@pytest.mark.parametrize("oid", [IDS[0], f"{MD5}.dir", ""])
def test_in_a_manifest(evil: Evil, oid: str) -> None:
    rows = f'[{{"md5": "{oid}", "relpath": "a"}}]'
    evil.pointer("data", evil.store(rows.encode(), ".dir"), "data")
    evil.commit()
    evil.refused("get", "HEAD", "data")
    evil.refused("worktree", "new", "x")


def test_in_a_tag(evil: Evil) -> None:
    evil.commit()
    text = (
        'f1=0.9\n\n[xexp]\nschema = 1\nversion = "e0.1.0"\n[artifacts]\n'
        f'"model.pkl" = "md5:../../../../../outside/id_rsa"\n"x" = "{evil.outside}/id_rsa"\n'
    )
    (evil.clone / ".git/message").write_text(text)
    os.system(f"cd '{evil.clone}' && git tag -a -F .git/message e0.1.0")
    evil.xexp("explore", "show", "e0.1.0")
    evil.xexp("candidates")
    evil.xexp("prune", "--cache", "-y")


def test_a_remotes_name(evil: Evil) -> None:
    evil.write(
        "m.dvc",
        f"outs:\n- md5: {MD5}\n  size: 3\n  hash: md5\n  path: m\n"
        '  remote: "--upload-pack=canary\\n"\n',
    )
    evil.commit()
    evil.refused("get", "HEAD", "m")
    evil.refused("push", "--all")
