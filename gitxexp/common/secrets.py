"""Passwords and tokens, which no message, log or record may hold.

They come from remote addresses (``scheme://user:password@host``), from DVC's configuration as it is
read, and from the environment. Every error and everything written to standard error passes through
here, so this module imports next to nothing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MASK = "***"

#: Words in the name of an option or environment variable whose value is a secret.
_NAMES = ("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "access_key",
          "account_key", "private_key", "connection_string", "credential")  # fmt: skip
_SHORTEST = 8  #: a shorter value would match in any text
_ADDRESS = r"(?<![A-Za-z0-9+.-])([A-Za-z0-9+.-]++)://([^\s/'\"]*)@"
_known: set[str] = set()


def is_secret(name: str) -> bool:
    """Return whether a value of this name is a secret: a token, not the file that holds one."""
    lowered = name.lower()
    return any(part in lowered for part in _NAMES) and not lowered.endswith(("path", "file"))


def know(name: str, value: str) -> None:
    """Remember the value of an option if it is a secret."""
    if is_secret(name) and len(value) >= _SHORTEST:
        _known.add(value)


def masked(text: str) -> str:
    """Replace every known secret, and every user and password in an address, by ``***``."""
    if "://" in text and "@" in text:
        import re  # most texts contain no address

        text = re.sub(_ADDRESS, _address, text)
    for secret in _known:
        text = text.replace(secret, MASK)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and value in text and is_secret(name):
            text = text.replace(value, MASK)
    return text


def without_secrets(address: str) -> str:
    """Return a remote's address without the user and password that :func:`masked` hides."""
    import re

    return re.sub(_ADDRESS, lambda match: _address(match).replace(f"{MASK}@", ""), address)


def _address(match: Any) -> str:
    """Mask an address up to its ``@``; a user name alone is a secret only if it may be a token."""
    scheme, user = match.groups()
    hidden = ":" in user or scheme.lower().lstrip("0123456789+.-").startswith("http")
    return f"{scheme}://{MASK if hidden else user}@"
