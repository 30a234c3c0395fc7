"""The hash of a configuration: the same parameters give the same hash, whatever their source.

Canonical form
    Nested mappings are flattened to dotted names (``{"a": {"b": 1}}`` is ``{"a.b": 1}``) and sorted
    by code point. A number, and a string that spells a decimal number (YAML 1.1 reads ``1e-4`` as a
    string), becomes its exact decimal digits without trailing zeros, so ``1e-4``, ``0.0001`` and
    ``"1E-4"`` are one value, as are ``1`` and ``1.0``. ``true``/``false``/``null`` and other strings
    stay themselves; lists keep their order; dates become ISO 8601 strings. The form is encoded as
    JSON (RFC 8259) in UTF-8 without spaces, each number as the string ``#digits``, each string
    as ``$text``. The hash is ``sha256:`` and the lower-case hex SHA-256 of those bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]", re.ASCII)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``params`` with nested mappings joined to dotted names; an empty mapping is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def config_hash(params: Mapping[str, Any]) -> str:
    """``sha256:…`` of the canonical form of ``params`` (see the module's text)."""
    import hashlib  # late: 3 ms, and comparing values needs no hash

    return "sha256:" + hashlib.sha256(canonical(params).encode()).hexdigest()


def canonical(params: Mapping[str, Any]) -> str:
    """Return the canonical form, one line of JSON."""
    flat = {name: _plain(value) for name, value in flatten(params).items()}
    import json

    return json.dumps(flat, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def same_value(one: Any, other: Any) -> bool:
    """Whether two parameter values are equal in canonical form."""
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(repr(value))
    if isinstance(value, str):
        spelled = _NUMBER.fullmatch(value) and not _LEADING_ZERO.match(value)
        return _number(value) if spelled else "$" + value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return "$" + value.hex()
    isoformat = getattr(value, "isoformat", None)
    return "$" + (isoformat() if isoformat else str(value))


def _number(text: str) -> str:
    """``text`` as ``#±digitsE±exponent`` without superfluous zeros; exact at any length."""
    if not _NUMBER.fullmatch(text):
        return "#" + text.lower()  # nan, inf, -inf
    mantissa, _, exponent = text.lower().partition("e")
    negative = mantissa.startswith("-")
    whole, _, fraction = mantissa.lstrip("+-").partition(".")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) - len(fraction)
    trimmed = digits.rstrip("0")
    if not trimmed:
        return "#0"
    return f"#{'-' if negative else ''}{trimmed}E{power + len(digits) - len(trimmed)}"
