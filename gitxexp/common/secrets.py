"""Passwords and tokens, which no message, log or record may hold.

Known are those of a remote's address (``scheme://user:password@host``), of DVC's configuration as it
is read, and of the environment. Every error and all that goes to standard error passes here, so this
imports next to nothing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MASK = "***"

#: What the name of an option, or of an environment variable, holds if its value is a secret.
_NAMES = ("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "access_key",
          "account_key", "private_key", "connection_string", "credential")  # fmt: skip
_SHORTEST = 8  #: a shorter value would be found in any text
_ADDRESS = r"([A-Za-z][A-Za-z0-9+.-]*)://([^\s/'\"]*)@"
_known: set[str] = set()


def is_secret(name: str) -> bool:
    """Whether a value of that name is a secret: a token, not the file that holds one."""
    lowered = name.lower()
    return any(part in lowered for part in _NAMES) and not lowered.endswith(("path", "file"))


def know(name: str, value: str) -> None:
    """Remember the value of an option, if it is a secret."""
    if is_secret(name) and len(value) >= _SHORTEST:
        _known.add(value)


def masked(text: str) -> str:
    """``text`` with every known secret, and every user and password in an address, as ``***``."""
    if "://" in text and "@" in text:
        import re  # few texts hold an address

        text = re.sub(_ADDRESS, _address, text)
    for secret in _known:
        text = text.replace(secret, MASK)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and value in text and is_secret(name):
            text = text.replace(value, MASK)
    return text


def without_secrets(address: str) -> str:
    """The address of a remote without the user and password that :func:`masked` hides."""
    import re

    return re.sub(_ADDRESS, lambda match: _address(match).replace(f"{MASK}@", ""), address)


def _address(match: Any) -> str:
    """An address up to its ``@``; a user alone is a secret only where it may be a token."""
    scheme, user = match.groups()
    hidden = ":" in user or scheme.lower().startswith("http")
    return f"{scheme}://{MASK if hidden else user}@"
