"""Schedulers by name: their rates are those of the plain library, and resume is exact."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from ml_runner import errors
from ml_runner.frameworks.pytorch import schedulers
from ml_runner.frameworks.pytorch.schedule import Schedule

EPOCHS, STEPS = 6, 4
# What a plain script would write to get the same.
NEEDED: dict[str, dict[str, Any]] = {
    "ExponentialLR": {"gamma": 0.9},
    "MultiStepLR": {"milestones": [2, 4]},
    "CyclicLR": {"max_lr": 0.5, "step_size_up": 3},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "ReduceLROnPlateau": {"patience": 0},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "CosineAnnealingLR": {"T_max": EPOCHS},
    "StepLR": {"step_size": 2, "gamma": 0.1},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": EPOCHS * STEPS},
    "CyclicLR": {"base_lr": 0.1},
}
REFUSED = {"LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"}
LOSSES = [1.0, 0.5, 0.6, 0.7, 0.4, 0.4]


class Run:
    """A small training, recorded by its learning rates; cheap to stop and to resume."""

    def __init__(self, config: dict[str, Any], optimizer: str = "SGD", epochs: int = EPOCHS,
                 rates: tuple[float, ...] = (0.1,)) -> None:  # fmt: skip
        torch.manual_seed(0)
        self.layers = [torch.nn.Linear(3, 1) for _ in rates]
        more = {"momentum": 0.9} if optimizer == "SGD" else {}
        self.optimizer = getattr(torch.optim, optimizer)(
            [{"params": list(layer.parameters()), "lr": rate}
             for layer, rate in zip(self.layers, rates, strict=True)], lr=0.1, **more)  # fmt: skip
        self.used: dict[str, Any] = {}
        self.schedule = schedulers.build(
            config, self.optimizer, epochs=epochs, steps_per_epoch=STEPS,
            default=self.used.__setitem__)  # fmt: skip
        self.steps, self.total = 0, epochs * STEPS

    def go(self, until: int | None = None) -> list[tuple[list[float], Any]]:
        rates = []
        while self.steps < (self.total if until is None else until):
            group = self.optimizer.param_groups[0]
            rates.append(
                (self.schedule.learning_rates(), group.get("momentum", group.get("betas")))
            )
            self.optimizer.zero_grad()
            sum(layer(torch.ones(2, 3)).sum() for layer in self.layers).backward()
            self.optimizer.step()
            self.schedule.step_batch()
            self.steps += 1
            if self.steps % STEPS == 0:
                loss = LOSSES[(self.steps // STEPS - 1) % len(LOSSES)]
                self.schedule.step_epoch({"val_loss": loss, "val_accuracy": 1 - loss})
        return rates

    def saved(self) -> bytes:
        file = io.BytesIO()
        torch.save([self.steps, self.optimizer.state_dict(), self.schedule.state_dict()], file)
        return file.getvalue()

    def load(self, data: bytes) -> list[str]:
        self.steps, optimizer, schedule = torch.load(io.BytesIO(data), weights_only=True)
        self.optimizer.load_state_dict(optimizer)
        return self.schedule.load_state_dict(schedule)


def rates_of(config: dict[str, Any], **more: Any) -> list[float]:
    return [rates[0] for rates, _ in Run(config, **more).go()]


def refused(config: dict[str, Any], **more: Any) -> errors.InvalidConfiguration:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        Run(config, **more)
    assert caught.value.solution
    return caught.value


def test_none_is_left_out() -> None:
    names = {n for n in vars(lr_scheduler) if n.endswith("LR") and not n.startswith("_")}
    names |= {"ReduceLROnPlateau", "CosineAnnealingWarmRestarts", "ChainedScheduler"}
    assert set(schedulers.known()) == names


@pytest.mark.parametrize("name", sorted(schedulers.known()))
@pytest.mark.parametrize("interval", [None, "epoch", "step"])
def test_rates_are_those_of_the_plain_library(name: str, interval: str | None) -> None:
    config = {"scheduler": name, "schedulerArgs": NEEDED.get(name, {})}
    if interval:
        config["schedulerInterval"] = interval
    if name in REFUSED:
        assert "needs" in refused(config).message
        return
    if name == "ReduceLROnPlateau" and interval == "step":
        assert "whole epochs" in refused(config).message
        return
    by_step = (interval or ("step" if name in ("OneCycleLR", "CyclicLR") else "epoch")) == "step"
    units = EPOCHS * STEPS if by_step else EPOCHS
    needed = {**DEFAULTS.get(name, {}), **NEEDED.get(name, {})}
    if "T_max" in needed or "total_steps" in needed:
        needed = {k: units if k in ("T_max", "total_steps") else v for k, v in needed.items()}
    if "step_size" in needed:
        needed["step_size"] = units // 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = Run(config).go()
    layer = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    plain = getattr(lr_scheduler, name)(optimizer, **needed)
    expected = []
    for epoch in range(EPOCHS):
        for _ in range(STEPS):
            group = optimizer.param_groups[0]
            expected.append(([group["lr"]], group["momentum"]))
            optimizer.step()
            if by_step:
                plain.step()
        if not by_step:
            plain.step(LOSSES[epoch]) if name == "ReduceLROnPlateau" else plain.step()
    assert ours == expected
    if name not in ("ConstantLR", "LinearLR", "PolynomialLR"):
        assert len({rates[0] for rates, _ in ours}) > 1


@pytest.mark.parametrize("name", sorted(set(schedulers.known()) - REFUSED))
@pytest.mark.parametrize("warmup", [{}, {"warmupSteps": 5}, {"warmupEpochs": 2}])
@pytest.mark.parametrize("stop", [1, 6, 11, 16])
def test_resume_has_the_rates_of_the_run_never_stopped(
    name: str, warmup: dict[str, Any], stop: int
) -> None:
    config = {"scheduler": name, "schedulerArgs": NEEDED.get(name, {}), **warmup}
    if name == "OneCycleLR" and warmup:
        assert "by itself" in refused(config).message
        return
    for optimizer in ("SGD", "Adam"):
        whole = Run(config, optimizer, rates=(0.1, 0.02))
        expected = whole.go()
        first = Run(config, optimizer, rates=(0.1, 0.02))
        before = first.go(stop)
        second = Run(config, optimizer, rates=(0.1, 0.02))
        assert second.load(first.saved()) == []
        assert before + second.go() == expected
        assert second.schedule.state_dict() == whole.schedule.state_dict()


@pytest.mark.parametrize(
    ("sent", "name"),
    [("cosine_annealing", "CosineAnnealingLR"), ("step_lr", "StepLR"), ("step", "StepLR"),
     ("one_cycle", "OneCycleLR"), ("reduce_on_plateau", "ReduceLROnPlateau"),
     ("reduce_lr_on_plateau", "ReduceLROnPlateau"), ("exponential", "ExponentialLR"),
     ("multi_step", "MultiStepLR"), ("cyclic", "CyclicLR"), ("linear", "LinearLR"),
     ("polynomial", "PolynomialLR"), ("constant", "ConstantLR"), ("cosine", "CosineAnnealingLR"),
     ("cosine_annealing_warm_restarts", "CosineAnnealingWarmRestarts"),
     ("torch.optim.lr_scheduler.StepLR", "StepLR"), ("lr_scheduler.StepLR", "StepLR")],
)  # fmt: skip
def test_names_are_written_as_people_write_them(sent: str, name: str) -> None:
    run = Run({"scheduler": sent, "schedulerArgs": NEEDED.get(name, {})})
    assert run.schedule.name == name


def test_defaults_are_told() -> None:
    assert Run({"scheduler": "cosine_annealing"}).used == {"schedulerArgs.T_max": EPOCHS}
    assert Run({"scheduler": "step_lr"}).used == {
        "schedulerArgs.step_size": 2,
        "schedulerArgs.gamma": 0.1,
    }
    assert Run({"scheduler": "step_lr"}, epochs=2).used["schedulerArgs.step_size"] == 1
    assert Run({"scheduler": "step_lr", "schedulerArgs": {"step_size": 5, "gamma": 0.5}}).used == {}
    one_cycle = Run({"scheduler": "one_cycle"}, rates=(0.1, 0.2))
    assert one_cycle.used["schedulerArgs.max_lr"] == [0.1, 0.2]
    assert Run({}).used == {}


def test_without_a_scheduler_the_rate_stays() -> None:
    assert set(rates_of({})) == {0.1}
    assert set(rates_of({"scheduler": "none"})) == {0.1}


def test_warm_up_rises_step_by_step_to_the_whole_rate() -> None:
    rates = rates_of({"warmupSteps": 4})
    assert rates[:5] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert rates[3] == 0.1
    assert rates_of({"warmupEpochs": 1}) == rates
    assert rates_of({"warmupEpochs": 0.5})[:3] == pytest.approx([0.05, 0.1, 0.1])
    # The schedule begins when the warm-up is over, and spans what remains.
    with_schedule = rates_of({"warmupEpochs": 2, "scheduler": "cosine_annealing"})
    remaining = rates_of({"scheduler": "cosine_annealing"}, epochs=EPOCHS - 2)
    assert with_schedule[8:] == remaining
    by_step = rates_of({"warmupSteps": 5, "scheduler": "linear", "schedulerInterval": "step"})
    assert by_step[4] == by_step[5] == pytest.approx(0.1 / 3)
    assert by_step[6] > by_step[5]


@pytest.mark.parametrize(
    "config",
    [
        {"scheduler": "cosine_annealing"},
        {"scheduler": "step_lr"},
        {"scheduler": "one_cycle"},
        {"scheduler": "cosine_annealing", "schedulerInterval": "step", "warmupSteps": 3},
    ],
)
@pytest.mark.parametrize("stop", [2, 8, 24])
def test_more_epochs_than_planned_have_the_rates_of_the_longer_training(
    config: dict[str, Any], stop: int
) -> None:
    longer = Run(config, epochs=9).go()
    short = Run(config)
    short.go(stop)
    resumed = Run(config, epochs=9)
    said = resumed.load(short.saved())
    assert len(said) == 1
    assert "planned anew for 9" in said[0]
    assert resumed.go() == longer[stop:]


def test_more_epochs_change_nothing_where_the_schedule_does_not_span_them() -> None:
    config = {"scheduler": "step_lr", "schedulerArgs": {"step_size": 2}}
    short = Run(config)
    short.go()
    resumed = Run(config, epochs=9)
    assert resumed.load(short.saved()) == []
    assert resumed.go() == Run(config, epochs=9).go()[24:]


def test_a_state_of_another_scheduler_is_refused() -> None:
    data = Run({"scheduler": "step_lr"}).saved()
    with pytest.raises(errors.InvalidConfiguration, match="StepLR"):
        Run({"scheduler": "linear"}).load(data)


def test_plateau_watches_what_early_stopping_does() -> None:
    def run(**more: Any) -> Schedule:
        built = Run({"scheduler": "reduce_on_plateau", "schedulerArgs": {"patience": 0}, **more})
        return built.schedule

    schedule = run(earlyStopping={"patience": 3, "metric": "val_accuracy"})
    for accuracy in (0.1, 0.2, 0.3):
        schedule.step_epoch({"val_loss": 1.0, "val_accuracy": accuracy})
    assert schedule.learning_rates() == [0.1]
    schedule.step_epoch({"val_loss": 0.1, "val_accuracy": 0.2})
    assert schedule.learning_rates() == [pytest.approx(0.01)]
    schedule = run()
    schedule.step_epoch({"train_loss": 1.0})
    schedule.step_epoch({"train_loss": 2.0})
    assert schedule.learning_rates() == [pytest.approx(0.01)]
    schedule = run(earlyStopping={"patience": 3, "metric": "val_acuracy"})
    with pytest.raises(errors.InvalidConfiguration, match="does not measure") as caught:
        schedule.step_epoch({"val_loss": 1.0, "val_accuracy": 1.0})
    assert "val_accuracy" in caught.value.solution


def test_no_warning_where_the_first_step_is_skipped() -> None:
    # As a gradient scaler does when the first gradients overflow.
    schedule = Run({"scheduler": "one_cycle"}).schedule
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step_batch()
        schedule.step_batch()


@pytest.mark.parametrize(
    ("config", "words", "key"),
    [
        ({"scheduler": "cosine_anealing"}, "Did you mean 'CosineAnnealing", "scheduler"),
        ({"scheduler": "LambdaLR"}, "needs a function", "scheduler"),
        ({"scheduler": "exponential"}, "needs gamma", "schedulerArgs.gamma"),
        ({"scheduler": "cyclic"}, "needs max_lr", "schedulerArgs.max_lr"),
        ({"scheduler": "step_lr", "schedulerArgs": {"gama": 1}}, "Did you mean 'gamma'",
         "schedulerArgs.gama"),
        ({"scheduler": "step_lr", "schedulerArgs": {"step_size": 0}}, "at least 1",
         "schedulerArgs.step_size"),
        ({"scheduler": "step_lr", "schedulerArgs": {"step_size": "3"}}, "a whole number",
         "schedulerArgs.step_size"),
        ({"scheduler": "step_lr", "schedulerArgs": {"last_epoch": 3}}, "cannot be set",
         "schedulerArgs.last_epoch"),
        ({"scheduler": "cyclic", "schedulerArgs": {"max_lr": 1, "scale_fn": "x"}},
         "a function cannot be sent", "schedulerArgs.scale_fn"),
        ({"scheduler": "cyclic", "schedulerArgs": {"max_lr": 1, "mode": "square"}},
         "'triangular2'", "schedulerArgs.mode"),
        ({"scheduler": "one_cycle", "schedulerArgs": {"total_steps": 5}}, "the training takes 24",
         "schedulerArgs.total_steps"),
        ({"scheduler": "one_cycle", "schedulerArgs": {"pct_start": 2.5}}, "pct_start",
         "schedulerArgs.pct_start"),
        ({"scheduler": "reduce_on_plateau", "schedulerArgs": {"factor": 1.5}}, "Factor",
         "schedulerArgs"),
        ({"schedulerArgs": {"gamma": 1}}, "without config.scheduler", "schedulerArgs"),
        ({"schedulerInterval": "step"}, "without config.scheduler", "schedulerInterval"),
        ({"warmupSteps": 3, "warmupEpochs": 1}, "both say", "warmupSteps"),
        ({"warmupEpochs": 6}, "the whole training has 24", "warmupEpochs"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(config: dict[str, Any], words: str, key: str) -> None:
    error = refused(config)
    assert words in f"{error.message} {error.solution}"
    assert error.metadata["key"] == f"config.{key}"


def test_a_cycle_leaves_alone_what_has_no_momentum() -> None:
    run = Run({"scheduler": "one_cycle"}, optimizer="Adagrad")
    assert run.used["schedulerArgs.cycle_momentum"] is False
    run.go()
    config = {"scheduler": "one_cycle", "schedulerArgs": {"cycle_momentum": True}}
    assert "no momentum" in refused(config, optimizer="Adagrad").message
