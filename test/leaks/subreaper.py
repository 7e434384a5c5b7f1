"""`subreaper.py PROGRAM ARGUMENT…`: becomes that program, as a subreaper.

Whatever descends from it and loses its parent becomes its child, also what has left its session and
emptied its environment. The setting outlives exec, so that no process stands between.
"""

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
os.execv(sys.argv[1], sys.argv[1:])
