"""Models from scripts: what is built, what is filled in, what each mistake is answered with."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ml_runner.frameworks.pytorch
from ml_runner import errors, seeds
from ml_runner.frameworks.pytorch import building, failures
from ml_runner.scripts import Script

Write = Callable[..., Script]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes a script and imports it; modules and path are put back afterwards."""
    modules, path = set(sys.modules), list(sys.path)

    def written(text: str, name: str = "model_under_test") -> Script:
        file = tmp_path / f"{name}.py"
        file.write_text("import torch\nfrom torch import nn\n" + text)
        return Script(file, f"{name}.py")

    yield written
    sys.path[:] = path
    for module in set(sys.modules) - modules:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


NET = """
class Net(nn.Module):
    def __init__(self, in_features, num_classes, hidden=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(),
                                    nn.Linear(hidden, num_classes))
    def forward(self, x):
        return self.layers(x)
"""
FILL = building.fills(num_classes=3, input_shape=[5])


def refused(script: Script, config: dict[str, Any]) -> errors.ExecutorError:
    with pytest.raises(errors.ExecutorError) as caught:
        building.build(script, config, FILL, 0)
    assert caught.value.solution
    return caught.value


def test_the_weights_are_those_of_a_plain_script(write: Write) -> None:
    script = write(NET)
    random.random(), torch.rand(3)  # whatever was drawn before
    model = building.build(script, {"modelArgs": {"hidden": 7}}, FILL, 42)
    torch.manual_seed(42)
    plain = script.module.Net(5, 3, hidden=7)
    for (name, ours), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def test_seeding_reaches_torch() -> None:
    seeds.seed_all(7)
    first = torch.rand(3)
    seeds.seed_all(7)
    assert torch.equal(first, torch.rand(3))


@pytest.mark.parametrize(
    ("text", "config"),
    [
        (NET, {}),
        (NET, {"modelClass": "Net"}),
        (NET + "class Other(nn.Linear):\n    pass\n", {"modelClass": "Net"}),
        (NET + "def make(num_classes):\n    return Net(5, num_classes)\n", {"modelClass": "make"}),
        (NET + "def build_model(config):\n    return Net(5, 3, **config['modelArgs'])\n",
         {"modelArgs": {}}),
        (NET + "class B(nn.Module): pass\ndef build_model(config):\n    return Net(5, 3)\n", {}),
    ],
)  # fmt: skip
def test_ways_to_name_a_model(write: Write, text: str, config: dict[str, Any]) -> None:
    model = building.build(write(text), config, FILL, 0)
    assert model(torch.zeros(2, 5)).shape == (2, 3)


def test_values_that_are_filled_in() -> None:
    assert building.fills(num_classes=3, input_shape=[5]) == {
        "num_classes": 3,
        "input_shape": (5,),
        "in_features": 5,
        "input_dim": 5,
    }
    assert building.fills(input_shape=[3, 32, 32]) == {"input_shape": (3, 32, 32)}
    assert building.fills(vocab_size=100) == {"vocab_size": 100}


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        (NET, {"modelClass": "Nett"}, "Set modelClass to 'Net'"),
        (NET + "class Other(nn.Module): pass\n", {}, "it has Net, Other"),
        ("x = 1\n", {}, "defines no torch.nn.Module"),
        (NET, {"modelArgs": {"hiden": 3}}, "has no argument 'hiden'"),
        (NET.replace("hidden=4", "hidden"), {}, "needs the argument 'hidden'"),
        ("class C: pass\n" + NET, {"modelClass": "C"}, "gives a C, not a torch.nn.Module"),
        ("class C: pass\n" + NET, {"modelClass": "C"}, "one of: Net"),
        (NET + "def f():\n    return Net\n", {"modelClass": "f"}, "the class Net itself"),
        (NET + "def f():\n    return Net(5, 3), nn.MSELoss()\n", {"modelClass": "f"},
         "a tuple of 2 (Net, MSELoss)"),
        (NET + "def f():\n    return [Net(5, 3)]\n", {"modelClass": "f"}, "a list of 1 (Net)"),
        (NET + "def f():\n    Net(5, 3)\n", {"modelClass": "f"}, "gives None"),
        (NET + "model = Net(5, 3)\n", {"modelClass": "model"}, "before any seed was set"),
        ("class E(nn.Module):\n    def forward(self, x):\n        return x\n", {}, "no parameters"),
        (("class E(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
         "        self.parts = [nn.Linear(5, 3)]\n    def forward(self, x):\n"
         "        return self.parts[0](x)\n"), {}, "nn.ModuleList"),
        ("def build_model(config):\n    return nn.Linear(5, 3).requires_grad_(False)\n", {},
         "all its 2 parameters are frozen"),
        (("class E(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
         "        self.part = nn.Linear(5, 3)\n"), {}, "has no forward"),
        (("class E(nn.Module):\n    def __init__(self):\n        self.part = nn.Linear(5, 3)\n"
         "    def forward(self, x):\n        return x\n"), {},
         "cannot assign module before Module.__init__() call (model_under_test.py, line 5)"),
        ("def build_model(config):\n    raise SystemExit(3)\n", {}, "exit code 3"),
        ("def build_model(config):\n    return build_model(config)\n", {}, "without an end"),
        (("import urllib.request\ndef build_model(config):\n"
         "    return urllib.request.urlopen('http://127.0.0.1:9/resnet50.pth')\n"), {},
         "Connection refused"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(write: Write, text: str, config: dict[str, Any], words: str) -> None:
    error = refused(write(text), config)
    assert words in f"{error.message} {error.solution}"


def test_what_a_constructor_raises_names_the_line_in_the_file_where_it_is(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "beside_the_model.py").write_text(
        "def check(n):\n    raise ValueError(f'bad {n}')\n"
    )
    script = write("import beside_the_model\ndef build_model(config):\n"
                   "    return beside_the_model.check(3)\n")  # fmt: skip
    error = refused(script, {})
    assert error.type == "model-loading-error"
    assert "ValueError: bad 3 (beside_the_model.py, line 2)" in error.message
    assert error.metadata["frame"]["code"] == "raise ValueError(f'bad {n}')"
    assert "Traceback" in (error.stderr or "")


def test_memory_that_a_constructor_cannot_have(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The adapter is what the core asks.
    adapter = SimpleNamespace(explain=failures.explain)
    monkeypatch.setattr(ml_runner.frameworks.pytorch, "ADAPTER", adapter, raising=False)
    error = refused(write("def build_model(config):\n    return nn.Linear(2**22, 2**22)\n"), {})
    assert (error.type, error.exit_code) == ("out-of-memory", 137)
    assert error.metadata["allocationBytes"] == 2**46


def test_scripts_that_do_more_than_define_are_survived(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    script = write(
        NET
        + "import argparse\nargs = argparse.ArgumentParser().parse_args()\nprint('hello')\n"
        + "net = Net(5, 3)\nloss = net(torch.zeros(2, 5)).sum()\nloss.backward()\n"
        + "torch.optim.SGD(net.parameters(), lr=0.1).step()\n"
    )
    model = building.build(script, {}, FILL, 0)
    assert model.layers[0].weight.grad is None
    # The variable that such a script leaves is no hook.
    assert building.hooks(script) == building.Hooks()


def test_hooks_are_found_and_checked(write: Write) -> None:
    script = write("def build_datasets(config): ...\ndef loss(outputs, targets): ...\n"
                   "def training_step(model, batch, extra=1): ...\n")  # fmt: skip
    found = building.hooks(script)
    assert found.build_datasets is script.module.build_datasets
    assert found.loss is script.module.loss
    assert found.training_step is script.module.training_step


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def loss(outputs): ...\n", "cannot be called as loss(outputs, targets)"),
        ("def build_datasets(a, b): ...\n", "build_datasets(config)"),
        ("def training_step(model): ...\n", "training_step(model, batch)"),
    ],
)
def test_hooks_of_another_form_are_refused(write: Write, text: str, words: str) -> None:
    with pytest.raises(errors.ModelLoadingError) as caught:
        building.hooks(write(text))
    assert words in caught.value.message


def test_a_loss_module_of_the_script_is_a_hook(write: Write) -> None:
    assert callable(building.hooks(write("loss = nn.MSELoss()\n")).loss)


def test_trying_out_leaves_no_trace() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lazy, self.norm = nn.LazyLinear(3), nn.BatchNorm1d(3)
            self.drop, self.fixed = nn.Dropout(), nn.Linear(3, 2).eval()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            random.random(), np.random.rand(), torch.rand(1)
            return self.fixed(self.drop(self.norm(self.lazy(x))))

    torch.manual_seed(0)
    model = Noisy()
    assert building.is_lazy_model(model)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    running = model.norm.running_mean.clone()
    assert building.try_out(model, torch.ones(4, 6)).shape == (4, 2)
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    assert torch.equal(running, model.norm.running_mean)
    assert not building.is_lazy_model(model)
    assert model.lazy.in_features == 6
    assert (model.training, model.drop.training, model.fixed.training) == (True, True, False)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    torch.manual_seed(0)
    again = Noisy()
    building.try_out(again, torch.ones(4, 6))
    assert torch.equal(model.lazy.weight, again.lazy.weight)


def test_counts_and_summary() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    model[0].weight.requires_grad_(False)
    assert building.count(model) == (36, 24)
    assert building.summary(model) == [
        "Sequential",
        "  0: Linear, 16",
        "  1: Sequential, 20",
        "    1.0: Linear, 20",
        "    1.1: ReLU, 0",
        "parameters: 36, trained: 24",
    ]
    shared = nn.Linear(3, 3, bias=False)
    assert building.count(nn.Sequential(shared, shared)) == (9, 9)
    many = nn.Sequential(*(nn.Linear(1, 1) for _ in range(100)))
    lines = building.summary(many)
    assert len(lines) == 30
    assert "and 73 more" in lines[-2]
    deep = nn.Sequential(*(nn.Sequential(*(nn.Linear(1, 1) for _ in range(9))) for _ in range(5)))
    assert len(building.summary(deep)) == 7
