"""A zygote whose jobs do what is named: ``zygote_driver.py ENTRY [thread]``.

With ``thread`` it has a second thread, as after the import of a library that starts one.
"""

import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import entries

from ml_runner.process import zygote

if __name__ == "__main__":
    reader, writer = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if "thread" in sys.argv[2:]:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    sys.exit(zygote.main(reader, writer, "sklearn", getattr(entries, sys.argv[1])))
