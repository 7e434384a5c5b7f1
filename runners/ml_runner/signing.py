"""What this state directory wrote itself, told by an HMAC with its own key.

A record that bears it was written here and has not been changed since: so what it names (a pickle,
a script) may be loaded.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from typing import Any

from ml_runner import files


def sign(record: dict[str, Any]) -> dict[str, Any]:
    """Adds ``hmac`` to a record of plain JSON values."""
    record["hmac"] = _signature(record)
    return record


def is_genuine(record: Mapping[str, Any]) -> bool:
    """Whether the record's ``hmac`` is ours and speaks of its content as it is."""
    signed = record.get("hmac")
    return isinstance(signed, str) and hmac.compare_digest(signed, _signature(record))


def _signature(record: Mapping[str, Any]) -> str:
    unsigned = {key: value for key, value in record.items() if key != "hmac"}
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"))
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()


def _key() -> bytes:
    """32 random bytes of this state directory, made on first use."""
    path = files.state_home() / "key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, unlike a rename, leaves the key of whoever was first.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
    return path.read_bytes()
