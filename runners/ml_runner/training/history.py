"""What each round (epoch, iteration) of a training measured."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from ml_runner.training.metrics import camel

# Reports show at most this many rounds; all of them are in metrics.csv.
SHOWN = 50


@dataclass
class History:
    """Metrics by round.

    Attributes:
        unit: what one entry is: ``round`` or ``epoch``; they count from 1.
        series: (data set, metric) → one value a round; data sets are ``train`` and ``validation``.
        first: number of the first entry (more than 1 after a resume without the earlier ones).
        beside: what else is known of each round and measures nothing, such as ``learning_rate``.
    """

    unit: str = "round"
    series: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    first: int = 1
    beside: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return max((len(values) for values in self.series.values()), default=0)

    def add(self, values: dict[tuple[str, str], float]) -> None:
        """Appends one round."""
        for key, value in values.items():
            self.series.setdefault(key, []).append(float(value))

    def last(self) -> dict[str, float]:
        """The latest figures, flat: ``train_logloss``, ``val_logloss``."""
        return {flat_name(*key): values[-1] for key, values in self.series.items() if values}

    def at(self, position: int) -> dict[str, float]:
        """The figures of entry ``position`` (from 0), flat."""
        return {flat_name(*key): values[position] for key, values in self.series.items()}

    def to_report(
        self, better: dict[str, bool], *, best: int | None = None
    ) -> dict[str, dict[str, Any]]:
        """``{"train": {"logloss": […], "finalLogloss": …, "bestLogloss": …}, "validation": …}``.

        Args:
            better: metric → whether more is better.
            best: position (from 0) of an entry that is shown in any case.
        """
        positions = thin(len(self), always=best)
        report: dict[str, dict[str, Any]] = {}
        for (data, metric), values in self.series.items():
            part = report.setdefault(data, {})
            key = camel(metric)
            name = key[0].upper() + key[1:]
            part[key] = [values[position] for position in positions]
            part[f"final{name}"] = values[-1]
            finite = [value for value in values if value == value]
            pick = max if better.get(metric, False) else min
            part[f"best{name}"] = pick(finite) if finite else float("nan")
        for part in report.values():
            if len(positions) < len(self):
                part[f"{self.unit}s"] = [self.first + position for position in positions]
        return report

    def to_csv(self) -> str:
        """One line a round; a column a data set and metric."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.unit, *(flat_name(*key) for key in self.series), *self.beside])
        columns = [*self.series.values(), *self.beside.values()]
        for position in range(len(self)):
            writer.writerow([self.first + position, *(column[position] for column in columns)])
        return text.getvalue()

    def to_log(self) -> list[str]:
        """One readable line a round."""
        width = len(str(self.first + len(self) - 1))
        return [
            f"{self.unit} {self.first + position:>{width}}  "
            + "  ".join(
                f"{name}={value:.6g}"
                for name, value in [
                    *self.at(position).items(),
                    *((name, values[position]) for name, values in self.beside.items()),
                ]
            )
            for position in range(len(self))
        ]


def flat_name(data: str, metric: str) -> str:
    """``("validation", "logloss")`` → ``val_logloss``."""
    return f"{'val' if data == 'validation' else data}_{metric}"


def thin(length: int, keep: int = SHOWN, *, always: int | None = None) -> list[int]:
    """At most ``keep`` positions of ``length``, evenly spread, with the first and the last.

    Args:
        length: how many there are.
        keep: how many are wanted.
        always: one that is among them in any case, in place of its neighbour.
    """
    if length <= keep:
        return list(range(length))
    spread = {round(index * (length - 1) / (keep - 1)) for index in range(keep)}
    if always is not None and always not in spread:
        inner = spread - {0, length - 1}
        spread = (spread - {min(inner, key=lambda one: abs(one - always))}) | {always}
    return sorted(spread)
