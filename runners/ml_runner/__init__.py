"""The Python side of ML Executor: runs one job in the interpreter that the caller chose.

The core (this package without ``data``, ``training``, ``actions`` and ``frameworks``) imports the
standard library alone and starts in any Python from 3.10.
"""
