"""Imports what pandas imports by itself when it first reads or converts strings.

Nobody imports this module but a zygote, which imports all: its jobs then need not.
"""

from __future__ import annotations

import contextlib
import importlib

for _name in ("pyarrow.pandas_compat", "pyarrow.vendored.version"):
    # Absent where pandas works without pyarrow.
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)
