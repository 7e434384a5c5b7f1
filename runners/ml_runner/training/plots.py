"""The plots, as PNG bytes: matplotlib's objects and Agg, no state, no display.

Colours are those of Okabe and Ito, which colour-blind readers tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ml_runner.training.metrics import (
    Outputs,
    Truth,
    area_under,
    class_scores,
    roc_auc,
    roc_curve,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_GREY = "#666666"
# More classes than this have no room for their curves and names.
_CURVES, _NUMBERED = 8, 20
_PANELS = 9


def _figure(width: float, height: float) -> Any:
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=110, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _axes(width: float = 7.0, height: float = 4.6) -> tuple[Any, Axes]:
    figure = _figure(width, height)
    axes = figure.add_subplot()
    _plain(axes, "y")
    return figure, axes


def _plain(axes: Axes, grid: Literal["both", "x", "y"]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _legend(axes: Axes, **more: Any) -> None:
    axes.legend(frameon=False, **more)


def folds(scores: Mapping[str, Sequence[float]], title: str) -> bytes:
    """Scores by fold: a panel a metric, dots for folds, a line for the mean, a band for ±1 std.

    Args:
        title: above the panels.
        scores: readable metric name → a value a fold.
    """
    figure = _figure(3.3 * max(2, len(scores)), 3.9)
    figure.suptitle(title, fontsize=12)
    for position, (name, values) in enumerate(scores.items()):
        axes = figure.add_subplot(1, len(scores), position + 1)
        colour = COLOURS[position % len(COLOURS)]
        numbers = np.arange(1, len(values) + 1)
        mean, std = float(np.mean(values)), float(np.std(values))
        axes.axhspan(mean - std, mean + std, color=colour, alpha=0.13, linewidth=0)
        axes.axhline(mean, color=colour, linewidth=1.4)
        axes.plot(numbers, values, "o", color=colour, markersize=6)
        axes.set_title(f"{name}\nmean {mean:.4g}, std {std:.2g}", fontsize=10)
        axes.set_xlabel("Fold")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        axes.set_xlim(0.5, len(values) + 0.5)
        axes.ticklabel_format(axis="y", useOffset=False)
        _plain(axes, "y")
    return _png(figure)


def rounds(
    series: Mapping[str, Sequence[float]],
    *,
    metric: str,
    unit: str,
    title: str,
    best: int | None = None,
    first: int = 1,
) -> bytes:
    """A metric by round, a line a data set, the best round marked.

    Args:
        series: data set → a value a round.
        metric: what the values are.
        unit: ``round`` or ``epoch``.
        title: above the plot.
        best: number of the best round, from 1.
        first: number of the first value.
    """
    figure, axes = _axes()
    _lines(axes, series, first, linewidth=1.8)
    if best is not None:
        axes.axvline(best, color=_GREY, linestyle="--", linewidth=1, label=f"best {unit}: {best}")
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(unit.capitalize())
    axes.set_ylabel(metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return _png(figure)


def _lines(
    axes: Any, series: Mapping[str, Sequence[float]], first: int, *, linewidth: float
) -> None:
    """A line a data set, numbered from ``first``; a lone value is a point."""
    for position, (data, values) in enumerate(series.items()):
        axes.plot(
            np.arange(first, first + len(values)),
            values,
            label=data,
            color=COLOURS[position],
            linewidth=linewidth,
            marker="o" if len(values) == 1 else None,
        )


def panels(
    metrics: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    unit: str,
    title: str,
    best: int | None = None,
    first: int = 1,
) -> bytes:
    """Every metric by round, a panel a metric, a line a data set.

    Args:
        metrics: metric → data set → a value a round.
        unit: ``round`` or ``epoch``.
        title: above the panels.
        best: number of the best round, from 1.
        first: number of the first value.
    """
    shown = list(metrics.items())[:_PANELS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = _figure(3.4 * max(2, columns), 3.2 * rows + 0.4)
    figure.suptitle(title, fontsize=12)
    for position, (metric, series) in enumerate(shown):
        axes = figure.add_subplot(rows, columns, position + 1)
        _lines(axes, series, first, linewidth=1.6)
        if best is not None:
            axes.axvline(best, color=_GREY, linestyle="--", linewidth=1)
        axes.set_title(metric, fontsize=10)
        axes.set_xlabel(unit.capitalize())
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        _plain(axes, "y")
        _legend(axes, fontsize=8)
    return _png(figure)


def confusion_matrix(matrix: Any, labels: Sequence[Any], title: str) -> bytes:
    """Counts in cells shaded by their share of the true class.

    Args:
        matrix: (k, k), rows true, columns predicted.
        labels: k names.
        title: above the plot.
    """
    counts = np.asarray(matrix, dtype=float)
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    count = len(labels)
    side = min(12.0, max(4.6, 2.6 + 0.55 * count))
    figure = _figure(side + 1.1, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap=colormaps["Blues"], vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.set_label("Share of the true class")
    axes.set_title(title, fontsize=12)
    axes.set_xlabel("Predicted")
    axes.set_ylabel("True")
    step = max(1, -(-count // 40))
    ticks = list(range(0, count, step))
    names = [_short(labels[tick]) for tick in ticks]
    long = max(len(name) for name in names) * count > 40
    axes.set_xticks(ticks, names, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_yticks(ticks, names)
    if count <= _NUMBERED:
        size = 11 if count <= 6 else 9 if count <= 12 else 7
        for row in range(count):
            for column in range(count):
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]:g}",
                    ha="center",
                    va="center",
                    fontsize=size,
                    color="white" if shares[row, column] > 0.5 else "#222222",
                )
    return _png(figure)


def roc(truth: Truth, outputs: Outputs, title: str) -> bytes | None:
    """ROC curves: of the last class of two, or of each against the rest; None without scores."""
    scores = class_scores(truth, outputs)
    classes = list(truth.classes or ())
    if scores is None:
        return None
    figure, axes = _axes(5.9, 5.4)
    if len(classes) == 2:
        shown = [1]
    else:
        present = [c for c in range(len(classes)) if np.any(truth.target == classes[c])]
        sizes = {c: int(np.sum(truth.target == classes[c])) for c in present}
        shown = sorted(sorted(present, key=lambda c: -sizes[c])[:_CURVES])
    for position, column in enumerate(shown):
        positive = truth.target == classes[column]
        if positive.all() or not positive.any():
            return None
        alarms, hits = roc_curve(positive, scores[:, column], truth.weight)
        area = area_under(alarms, hits)
        label = f"{_short(classes[column])} (AUC {area:.3f})"
        axes.plot(alarms, hits, color=COLOURS[position], linewidth=1.9, label=label)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1, label="chance")
    if len(classes) > 2:
        few = (
            f", the {len(shown)} largest of {len(classes)} classes"
            if len(shown) < len(classes)
            else ""
        )
        axes.set_title(f"{title}\nmacro AUC {roc_auc(truth, outputs):.3f}{few}", fontsize=12)
    else:
        axes.set_title(title, fontsize=12)
    axes.set_xlabel("False positive rate")
    axes.set_ylabel("True positive rate")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.set_aspect("equal")
    _legend(axes, loc="lower right", title="Class" if len(classes) > 2 else "Positive class")
    return _png(figure)


def residuals(target: np.ndarray, predictions: np.ndarray, name: str, title: str) -> bytes:
    """Residuals against predictions, and their distribution beside it."""
    differences = np.asarray(target, float) - np.asarray(predictions, float)
    figure = _figure(8.2, 4.6)
    figure.suptitle(title, fontsize=12)
    grid = figure.add_gridspec(1, 2, width_ratios=(4, 1))
    axes = figure.add_subplot(grid[0])
    side = figure.add_subplot(grid[1], sharey=axes)
    rows = len(differences)
    shown = slice(None) if rows <= 20_000 else np.random.RandomState(0).choice(rows, 20_000, False)
    axes.plot(
        np.asarray(predictions, float)[shown],
        differences[shown],
        "o",
        color=COLOURS[0],
        markersize=5 if rows < 500 else 3 if rows < 5000 else 2,
        alpha=0.7 if rows < 500 else 0.35,
        markeredgewidth=0,
    )
    axes.axhline(0, color=_GREY, linestyle="--", linewidth=1)
    axes.set_xlabel(f"Predicted {_short(name)}")
    axes.set_ylabel("Residual (true − predicted)")
    side.hist(differences, bins=30, orientation="horizontal", color=COLOURS[0], alpha=0.8)
    side.axhline(0, color=_GREY, linestyle="--", linewidth=1)
    side.set_xlabel("Rows")
    side.tick_params(labelleft=False)
    for one in (axes, side):
        _plain(one, "both")
    return _png(figure)


def _short(label: Any) -> str:
    text = str(label)
    return text if len(text) <= 24 else f"{text[:23]}…"
