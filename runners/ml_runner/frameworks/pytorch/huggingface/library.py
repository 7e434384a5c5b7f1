"""The library ``transformers``, kept to what lies on this machine."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from ml_runner.libraries import need

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")


def transformers() -> Any:
    """The library, told to download nothing, and to write no bars and no advice.

    Raises:
        FrameworkNotFound: it is not installed, or cannot be imported.
    """
    for name in _OFFLINE:
        os.environ[name] = "1"  # read when the library is imported
    found = need("transformers", "transformers")
    hub = sys.modules.get("huggingface_hub.constants")
    if hub is not None:
        hub.HF_HUB_OFFLINE = True  # pyright: ignore[reportAttributeAccessIssue]
    logging = importlib.import_module("transformers.utils.logging")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return found


def peft() -> Any:
    """The library of adapters. Raises ``FrameworkNotFound`` where it is not installed."""
    transformers()
    return need("peft", "peft")
