"""An epoch's predictions, made for many batches at once, are those of each batch."""

from __future__ import annotations

import pytest
import torch

from ml_runner.frameworks.pytorch import loop, losses
from ml_runner.frameworks.pytorch.targets import CLASSES, Target


def _loss(name: str, classes: int) -> loop.Judge:
    target = Target(CLASSES, list(range(classes)), [1] * classes, 100)
    return losses.build({"lossFunction": name}, target, lambda *_: None).values


@pytest.mark.parametrize("at_once", [1, 3, 256])
def test_batches_of_any_size(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(loop, "_JUDGED_AT_ONCE", at_once)
    judge, tally = _loss("cross_entropy", 3), loop.Tally()
    torch.manual_seed(0)
    outputs = [torch.randn(rows, 3) for rows in (4, 4, 4, 4, 1)]
    targets = [torch.randint(0, 3, (len(part),)) for part in outputs]
    for part, truth in zip(outputs, targets, strict=True):
        tally.add(part, truth, judge)
    tally.judge_all(judge)
    assert torch.equal(torch.cat(tally.predictions), torch.cat(outputs).argmax(1))
    assert torch.equal(torch.cat(tally.targets), torch.cat(targets))
    assert not tally.unjudged


def test_rows_that_a_model_has_squeezed() -> None:
    judge, tally = _loss("cross_entropy", 3), loop.Tally()
    for best in (2, 0, 1):
        tally.add(
            torch.nn.functional.one_hot(torch.tensor(best), 3) * 1.0, torch.tensor([best]), judge
        )
    tally.judge_all(judge)
    assert torch.cat(tally.predictions).tolist() == [2, 0, 1]


def test_large_outputs_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", 10)
    judge, tally = _loss("cross_entropy", 3), loop.Tally()
    for _ in range(5):
        tally.add(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), judge)
        assert tally.numbers < 10
    assert len(tally.predictions) == 2
