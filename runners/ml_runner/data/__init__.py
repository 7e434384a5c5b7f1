"""Tables: read from files, checked, and brought into the form that algorithms take."""

from ml_runner.data.alignment import align
from ml_runner.data.schema import Schema, TableData
from ml_runner.data.selection import select
from ml_runner.data.table import Table, read_asked, read_table

__all__ = ["Schema", "Table", "TableData", "align", "read_asked", "read_table", "select"]
