"""CSV and its relatives, read by pandas and checked for what pandas lets pass."""

from __future__ import annotations

import csv
import io
import lzma
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_runner import libraries
from ml_runner.data import encoding as encodings
from ml_runner.data import header as headers
from ml_runner.data import separator as separators
from ml_runner.data.separator import Dialect, Record
from ml_runner.data.source import Source, fault

if TYPE_CHECKING:
    from pandas import DataFrame


class Delimited:
    """How a text table is written, with what is needed to read it again.

    Args:
        source: the file.
        named: ``"csv"`` or ``"tsv"``, by its name.
        header: whether the first line names the columns; ``None``: it does, but it is refused if it
            looks like data.
        separator: as the caller sent it, or ``None`` to tell it from the content.
        encoding: likewise.
        warn: gets what the caller may not expect.

    Raises:
        DataLoadingError: the text cannot be decoded, no separator or header can be made out for
            certain, a line has too many or too few fields, two columns have one name, there are no
            rows.
        InvalidConfiguration: separator or encoding are none.
    """

    def __init__(
        self,
        source: Source,
        *,
        named: str,
        header: bool | None,
        separator: str | None,
        encoding: str | None,
        warn: Callable[[str], None],
    ) -> None:
        source.read_two_lines()
        self.source = source
        self.header = header is not False
        self.given_encoding = encoding
        self.encoding = encodings.of(source, encoding, warn)
        text = encodings.decode_head(source, self.encoding)
        self.dialect = self._dialect(text, named, separator, warn)
        rows = separators.sample(text, self.dialect.separator, complete=source.complete)
        if not rows:
            raise fault(
                source.path,
                f"'{source.path}' holds blank lines only",
                solution="Write the table into it, or name another file.",
                rows=0,
            )
        self.first_line, self.names = rows[0]
        self.width = len(self.names)
        if header is None:
            headers.check(source.path, [row for _, row in rows], self.dialect, warn)
        if self.header:
            headers.refuse_duplicates(source.path, self.names, line=self.first_line)
        # pandas would take the first column for row names if the first row is longer than that.
        for line, row in rows[1:]:
            if len(row) != self.width:
                raise self._ragged(line, row)
        self._warn_of_one_column(text, separator, warn)

    def read(self, warn: Callable[[str], None]) -> DataFrame:
        """The whole table, as ``pandas.read_csv`` gives it.

        Raises:
            DataLoadingError: as the class says; the line is named.
        """
        frame = self.read_first(None, warn)
        # pandas fills up rows that are too short. Those end in missing values.
        if self.width > 1 and bool(frame.iloc[:, -1].isna().any()):
            self._refuse_ragged()
        return frame

    def read_first(self, rows: int | None, warn: Callable[[str], None]) -> DataFrame:
        """The first rows; see ``read``. Rows that are too short are filled up."""
        try:
            frame = self.parse(nrows=rows)
        except UnicodeDecodeError as error:
            if self.given_encoding is not None or self.encoding != "utf-8":
                raise encodings.cannot_decode(self.source, self.encoding) from error
            self.encoding = encodings.western(self.source, warn)
            frame = self.parse(nrows=rows)
        if not len(frame):
            count = "1 column" if self.width == 1 else f"{self.width} columns"
            raise fault(
                self.source.path,
                f"'{self.source.path}' has a header ({count}) and no rows",
                solution="Add rows, or name another file.",
                rows=0,
            )
        return frame

    def parse(self, **options: Any) -> DataFrame:
        """``pandas.read_csv`` with this dialect; ``options`` are added (``nrows``, ``dtype``, …).

        Raises:
            DataLoadingError: lines that do not fit, an unclosed quote, a broken compressed file.
            UnicodeDecodeError: a byte that the encoding does not have.
        """
        pandas = libraries.need("pandas", "pandas")
        content = self.source.content()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pandas.errors.ParserWarning)
                frame = pandas.read_csv(
                    content,
                    sep=self.dialect.separator,
                    decimal=self.dialect.decimal,
                    encoding=self.encoding,
                    header=0 if self.header else None,
                    # In chunks, one column can come out as numbers here and as text there.
                    low_memory=False,
                    **options,
                )
        except pandas.errors.ParserError as error:
            self._refuse_ragged()
            raise self._unparsable(str(error)) from error
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise self.source.broken(error) from error
        finally:
            content.close()
        if not self.header:
            frame.columns = [str(i) for i in range(frame.shape[1])]
        return frame

    def line_of(self, row: int) -> int | None:
        """The line (from 1) on which data row ``row`` (from 0) begins."""
        wanted = row + (1 if self.header else 0)
        try:
            with self._text() as text:
                for index, (line, _) in enumerate(separators.records(text, self._separator)):
                    if index == wanted:
                        return line
        except csv.Error:
            pass
        return None

    def count_rows(self) -> int:
        """The number of data rows, counted from the file without keeping it."""
        with self._text() as text:
            total = sum(1 for _ in separators.records(text, self._separator))
        return total - (1 if self.header else 0)

    @property
    def _separator(self) -> str:
        return self.dialect.separator

    def _text(self) -> io.TextIOWrapper:
        return encodings.open_text(self.source, self.encoding)

    def _dialect(
        self, text: str, named: str, separator: str | None, warn: Callable[[str], None]
    ) -> Dialect:
        path, complete = self.source.path, self.source.complete
        if separator is None:
            return separators.of(path, text, complete=complete, named=named, warn=warn)
        used = separators.check_given(separator)
        rows = [row for _, row in separators.sample(text, used, complete=complete)]
        decimal = separators.decimal_mark(path, rows, warn) if used != "," else "."
        return Dialect(used, decimal)

    def _warn_of_one_column(
        self, text: str, separator: str | None, warn: Callable[[str], None]
    ) -> None:
        if separator is None or self.width > 1:
            return
        first = text.strip().split("\n", 1)[0]
        others = [m for m in (",", ";", "\t", "|") if m in first and m != self._separator]
        if others:
            warn(
                f"with separator {separators.show(self._separator)}, '{self.source.path}' has one "
                f"column; its first line contains {separators.show(others[0])}"
            )

    def _refuse_ragged(self) -> None:
        """Raises for the first record that has more or fewer fields than the first one."""
        try:
            with self._text() as text:
                for line, record in separators.records(text, self._separator):
                    if len(record) != self.width:
                        raise self._ragged(line, record)
        except csv.Error:
            # A field of over 128 KiB, nearly always from a quote that is never closed.
            return

    def _ragged(self, line: int, record: Record) -> Exception:
        path, found = self.source.path, len(record)
        fields = "1 field" if found == 1 else f"{found} fields"
        if any("\n" in cell for cell in record[-1:]) and found < self.width:
            return self._unparsable(f"a quote opened in line {line} is not closed", line=line)
        expected = f"its {'header' if self.header else 'first line'} has {self.width}"
        hint = "Mend that line: add or remove fields, or put a field that contains "
        hint += f"{separators.show(self._separator)} in double quotes."
        if found == self.width + 1 and record[-1] == "" and self.header:
            hint = "The line ends in a separator that the header lacks: remove it, or add a name."
        elif found == self.width + 1 and line == self.first_line + 1:
            hint = "If the first column holds row names, give it a name in the header. " + hint
        return fault(
            path,
            f"line {line} of '{path}' has {fields}, {expected}",
            solution=hint,
            line=line,
            expected=self.width,
            found=found,
        )

    def _unparsable(self, why: str, line: int | None = None) -> Exception:
        path = self.source.path
        place = {} if line is None else {"line": line}
        return fault(
            path,
            f"'{path}' cannot be parsed as separated by {separators.show(self._separator)}: {why}",
            solution="Mend the file, or send its separator and encoding.",
            **place,
        )
