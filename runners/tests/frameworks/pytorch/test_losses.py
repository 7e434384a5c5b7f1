"""Losses by name: values equal to the plain library's, shapes refused before they broadcast."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch import losses
from ml_runner.frameworks.pytorch.targets import Target, of_batch

THREE = Target("classes", ["ash", "elm", "oak"], [50, 30, 20], 100)
TWO = Target("classes", [False, True], [90, 10], 100)
NUMBERS = Target("numbers")
LABELS = Target("multilabel", ["red", "round", "big"], [5, 50, 20], 100)
TARGETS = {"classes": THREE, "numbers": NUMBERS, "multilabel": LABELS}


def build(config: dict[str, Any], target: Target = THREE) -> losses.Loss:
    return losses.build(config, target, lambda *_: None)


def refused(config: dict[str, Any], target: Target = THREE) -> errors.InvalidConfiguration:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        build(config, target)
    assert caught.value.solution
    return caught.value


def refused_call(loss: losses.Loss, outputs: Any, targets: Any) -> errors.InvalidConfiguration:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        loss(outputs, targets)
    assert caught.value.solution
    return caught.value


def batch(target: Target, n: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if target.kind == "classes":
        return torch.randint(0, len(target.classes or ()), (n,), generator=generator)
    if target.kind == "numbers":
        return torch.rand(n, 3, generator=generator)
    return torch.randint(0, 2, (n, 3), generator=generator).float()


def test_each_loss_of_the_library_is_usable_or_refused_with_a_reason() -> None:
    names = {n for n in vars(nn) if n.endswith("Loss") and isinstance(getattr(nn, n), type)}
    assert set(losses.known()) == names
    # A new one of a later version is refused too, until its targets are known here.
    assert set(losses.KINDS) <= names
    assert not set(losses.KINDS) & set(losses.REFUSED)
    for name in names - set(losses.KINDS):
        assert "cannot be used by name" in refused({"lossFunction": name}).message
        assert "loss(outputs, targets)" in refused({"lossFunction": name}).solution


@pytest.mark.parametrize("name", sorted(losses.KINDS))
def test_each_takes_a_step_as_the_plain_library_does(name: str) -> None:
    kind = losses.KINDS[name]
    for taken in kind.takes:
        one_output = taken == "classes" and kind.compares == losses.ONE_FOR_ONE
        target = TWO if one_output else TARGETS[taken]
        targets = batch(target)
        torch.manual_seed(0)
        model = nn.Linear(5, 1 if one_output else 3)
        inputs = torch.randn(8, 5)
        last = {"BCELoss": torch.sigmoid, "NLLLoss": lambda x: x.log_softmax(1),
                "KLDivLoss": lambda x: x.log_softmax(1)}.get(name, lambda x: x)  # fmt: skip
        loss = build({"lossFunction": name}, target)
        outputs = last(model(inputs))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "reduction: 'mean' divides")  # KLDivLoss itself
            value = loss(outputs, targets)
            value.backward()
        by_hand = targets
        if one_output:
            by_hand = targets.float().reshape(8, 1)
        if name == "SoftMarginLoss":
            by_hand = by_hand * 2 - 1
        if name == "MultiLabelMarginLoss":
            by_hand = torch.full((8, 3), -1)
            for row in range(8):
                ones = targets[row].nonzero().flatten()
                by_hand[row, : len(ones)] = ones
        assert torch.equal(value, getattr(nn, name)()(last(model(inputs)), by_hand))
        assert value.shape == ()
        assert model.weight.grad is not None
        predicted = loss.predictions(outputs)
        assert predicted.values.shape == (targets.shape if not one_output else (8,))
        assert predicted.values.requires_grad is False
        assert loss.task == target.task


@pytest.mark.parametrize(
    ("sent", "name"),
    [("cross_entropy", "CrossEntropyLoss"), ("CrossEntropyLoss", "CrossEntropyLoss"),
     ("nn.CrossEntropyLoss", "CrossEntropyLoss"), ("F.cross_entropy", "CrossEntropyLoss"),
     ("torch.nn.functional.cross_entropy", "CrossEntropyLoss"),
     ("crossentropy", "CrossEntropyLoss"),
     ("nll", "NLLLoss"), ("nll_loss", "NLLLoss"), ("hinge", "MultiMarginLoss"),
     ("multi_margin", "MultiMarginLoss")],
)  # fmt: skip
def test_names_of_losses_over_classes(sent: str, name: str) -> None:
    assert build({"lossFunction": sent}).name == name


@pytest.mark.parametrize(
    ("sent", "name"),
    [("mse", "MSELoss"), ("MSE", "MSELoss"), ("mse_loss", "MSELoss"), ("l1", "L1Loss"),
     ("mae", "L1Loss"), ("mean_squared_error", "MSELoss"), ("huber", "HuberLoss"),
     ("smooth_l1", "SmoothL1Loss"), ("kl_div", "KLDivLoss"), ("poisson_nll", "PoissonNLLLoss"),
     ("bce", "BCELoss"), ("bce_with_logits", "BCEWithLogitsLoss"),
     ("binary_cross_entropy_with_logits", "BCEWithLogitsLoss")],
)  # fmt: skip
def test_names_of_losses_over_numbers(sent: str, name: str) -> None:
    assert build({"lossFunction": sent}, NUMBERS).name == name


def test_defaults_follow_the_target_and_are_told() -> None:
    for target, sent, name in ((THREE, "cross_entropy", "CrossEntropyLoss"),
                               (NUMBERS, "mse", "MSELoss"),
                               (LABELS, "bce_with_logits", "BCEWithLogitsLoss")):  # fmt: skip
        used: dict[str, Any] = {}
        assert losses.build({}, target, used.__setitem__).name == name
        assert used == {"lossFunction": sent}
    assert losses.takes({}) is None
    assert losses.takes({"lossFunction": "mse"}) == ("numbers",)
    assert losses.takes({"lossFunction": "cross_entropy"}) == ("classes",)


@pytest.mark.parametrize(
    ("config", "target", "words", "key"),
    [
        ({"lossFunction": "cross_entrpy"}, THREE, "Did you mean 'CrossEntropy", "lossFunction"),
        ({"lossFunction": "triplet"}, THREE, "three embeddings", "lossFunction"),
        ({"lossFunction": "ctc"}, THREE, "lengths", "lossFunction"),
        ({"lossFunction": "mse"}, THREE, "learns numbers, and the target holds 3 classes",
         "lossFunction"),
        ({"lossFunction": "cross_entropy"}, NUMBERS, "MSELoss", "lossFunction"),
        ({"lossFunction": "cross_entropy"}, LABELS, "3 labels a row", "lossFunction"),
        ({"lossFunction": "bce_with_logits"}, THREE, "two classes apart", "lossFunction"),
        ({"lossFunction": "hinge_embedding"}, THREE, "distance", "lossFunction"),
        ({"lossArgs": {"ignore_indx": 1}}, THREE, "Did you mean 'ignore_index'",
         "lossArgs.ignore_indx"),
        ({"lossArgs": {"reduction": "sum"}}, THREE, "mean over the batch", "lossArgs.reduction"),
        ({"lossArgs": {"weight": [1, 2]}}, THREE, "the target needs 3", "lossArgs.weight"),
        ({"lossFunction": "huber", "lossArgs": {"delta": "x"}}, NUMBERS, "a number",
         "lossArgs.delta"),
        ({"lossFunction": "multi_margin", "lossArgs": {"p": 3}}, THREE, "p == 1 and p == 2",
         "lossArgs.p"),
        ({"labelSmoothing": 0.1, "lossFunction": "mse"}, NUMBERS, "cross_entropy",
         "labelSmoothing"),
        ({"labelSmoothing": 0.1, "lossArgs": {"label_smoothing": 0.2}}, THREE, "both mean the same",
         "labelSmoothing"),
        ({"classWeights": {"ahs": 2}}, THREE, "Did you mean 'ash'", "classWeights.ahs"),
        ({"classWeights": {"ash": -1}}, THREE, "from 0", "classWeights.ash"),
        ({"classWeights": {"ash": 0, "elm": 0, "oak": 0}}, THREE, "above 0", "classWeights"),
        ({"classWeights": "auto"}, THREE, "balanced", "classWeights"),
        ({"classWeights": "balanced"}, NUMBERS, "the target holds numbers", "classWeights"),
        ({"classWeights": "balanced", "lossArgs": {"weight": [1, 1, 1]}}, THREE, "one of them",
         "classWeights"),
        ({"classWeights": "balanced"}, LABELS, "several labels at once", "classWeights"),
        ({"classWeights": {"red": 2}, "lossFunction": "bce"}, LABELS, "takes no class weights",
         "classWeights"),
        ({"classWeights": "balanced"}, Target("classes", ["a", "b"], [5, 0]), "none of: b",
         "classWeights"),
        ({"classWeights": {"0": 2}}, Target("classes"), "nobody has named", "classWeights"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    config: dict[str, Any], target: Target, words: str, key: str
) -> None:
    error = refused(config, target)
    assert words in f"{error.message} {error.solution}"
    assert error.metadata["key"] == f"config.{key}"


def test_class_weights_reach_their_classes() -> None:
    outputs, targets = torch.randn(8, 3), batch(THREE)
    loss = build({"classWeights": {"oak": 5, "ash": 0.5}})
    plain = nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1, 5]))
    assert torch.equal(loss(outputs, targets), plain(outputs, targets))
    two = Target("classes", [0, 1], [90, 10])
    loss = build({"classWeights": {"1": 9}, "lossFunction": "bce_with_logits"}, two)
    scores, targets = torch.randn(8, 1), batch(two)
    plain = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0]))
    assert torch.equal(loss(scores, targets), plain(scores, targets.float().reshape(8, 1)))
    loss = build({"classWeights": {"0": 2, "1": 9}, "lossFunction": "bce_with_logits"}, two)
    assert loss.function.pos_weight.tolist() == [4.5]
    loss = build({"classWeights": {"big": 4}}, LABELS)
    plain = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 1, 4]))
    assert torch.equal(loss(outputs, batch(LABELS)), plain(outputs, batch(LABELS)))


def test_balanced_is_what_scikit_learn_computes() -> None:
    y = np.repeat([0, 1, 2], THREE.counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    loss = build({"classWeights": "balanced"})
    np.testing.assert_allclose(loss.function.weight.numpy(), expected, rtol=1e-6)


def test_label_smoothing_and_arguments_reach_the_loss() -> None:
    outputs, targets = torch.randn(8, 3), batch(THREE)
    loss = build({"labelSmoothing": 0.1, "lossArgs": {"ignore_index": 2}})
    plain = nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=2)
    assert torch.equal(loss(outputs, targets), plain(outputs, targets))
    assert build({"lossFunction": "kl_div", "lossArgs": {"reduction": "batchmean"}},
                 NUMBERS).function.reduction == "batchmean"  # fmt: skip


def test_one_column_never_broadcasts() -> None:
    loss = build({"lossFunction": "mse"}, NUMBERS)
    outputs, targets = torch.randn(8, 1, requires_grad=True), torch.randn(8)
    expected = nn.functional.mse_loss(outputs.squeeze(1), targets)
    assert torch.equal(loss(outputs, targets), expected)
    assert torch.equal(loss(outputs.squeeze(1), targets), expected)
    assert torch.equal(loss(outputs.squeeze(1), targets.reshape(8, 1)), expected)
    assert torch.equal(loss(outputs, targets.reshape(8, 1)), expected)
    # The last batch of one row, through a model that squeezes everything.
    assert loss(torch.tensor(3.0), torch.tensor([1.0])) == 4
    assert loss(torch.tensor([3.0]), torch.tensor([[1.0]])) == 4


@pytest.mark.parametrize(
    ("loss", "target", "outputs", "targets", "words"),
    [
        ("mse", NUMBERS, (8, 2), (8,), "gives 2 outputs a row, and the target has 1"),
        ("mse", NUMBERS, (8, 2), (8, 3), "Let the last layer give 3 outputs"),
        ("mse", NUMBERS, (4, 2), (8, 2), "outputs for 4 rows, and the batch has 8"),
        ("mse", NUMBERS, (8,), (8, 8), "the target has 8"),
        ("cross_entropy", THREE, (8, 4), (8,), "4 outputs a row, and the target has 3 classes"),
        ("cross_entropy", THREE, (8, 2), (8,), "num_classes: 3"),
        ("cross_entropy", THREE, (8,), (8,), "3 outputs a row (one a class)"),
        ("cross_entropy", THREE, (), (8,), "3 outputs a row (one a class)"),
        ("cross_entropy", TWO, (8, 1), (8,), "bce_with_logits"),
        ("cross_entropy", THREE, (16, 3), (8,), "outputs for 16 rows, and the batch has 8"),
        ("cross_entropy", THREE, (2, 5, 3), (2, 5), "transpose(1, 2)"),
        ("cross_entropy", THREE, (2, 3, 4), (2, 5), "agree but for"),
        ("bce_with_logits", TWO, (8, 2), (8,), "cross_entropy"),
        ("bce_with_logits", LABELS, (8, 4), (8, 3), "Let the last layer give 3 outputs"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_both_quoted(
    loss: str, target: Target, outputs: tuple[int, ...], targets: tuple[int, ...], words: str
) -> None:
    built = build({"lossFunction": loss}, target)
    given = torch.zeros(targets) if target.kind != "classes" else torch.zeros(targets).long()
    error = refused_call(built, torch.zeros(outputs), given)
    assert words in f"{error.message} {error.solution}"
    assert str(outputs) in error.message
    assert str(targets) in error.message
    assert error.metadata["outputs"] == list(outputs)
    assert error.metadata["targets"] == list(targets)


def test_what_forward_gives_must_hold_one_tensor() -> None:
    loss = build({})
    targets = torch.tensor([0, 1])
    error = refused_call(loss, (torch.zeros(2, 3), torch.zeros(2, 5)), targets)
    assert "a tuple of 2: Tensor(2, 3), Tensor(2, 5)" in error.message
    assert "'hidden': Tensor(2, 5)" in refused_call(
        loss, {"out": torch.zeros(2, 3), "hidden": torch.zeros(2, 5)}, targets
    ).message  # fmt: skip
    assert "NoneType" in refused_call(loss, None, targets).message

    class WithLogits:
        logits = torch.zeros(2, 3)

    assert torch.equal(loss(WithLogits(), targets), loss(WithLogits.logits, targets))


def test_values_that_a_gpu_would_die_of_are_refused_on_the_first_batch() -> None:
    bce = build({"lossFunction": "bce"}, TWO)
    error = refused_call(bce, torch.tensor([[1.5], [0.2]]), torch.tensor([0, 1]))
    assert "0.2 to 1.5" in error.message
    assert "sigmoid" in error.solution
    nll = build({"lossFunction": "nll"})
    assert "log_softmax" in refused_call(nll, torch.ones(2, 3), torch.tensor([0, 1])).solution
    free = build({"lossFunction": "cross_entropy"}, Target("classes"))
    error = refused_call(free, torch.zeros(2, 3), torch.tensor([0, 5]))
    assert "from 0 to 2" in error.message
    assert "give 6 outputs" in error.solution
    assert free(torch.zeros(2, 3), torch.tensor([0, -100])) > 0
    error = refused_call(build({}), torch.zeros(2, 3), torch.tensor([0.0, 1.0]))
    assert "torch.float32" in error.message


def test_other_forms_of_targets() -> None:
    loss = build({})
    outputs, targets = torch.randn(8, 3), batch(THREE)
    plain = nn.CrossEntropyLoss()
    assert torch.equal(loss(outputs, targets.to(torch.uint8)), plain(outputs, targets))
    assert torch.equal(loss(outputs, targets.reshape(8, 1)), plain(outputs, targets))
    shares = torch.rand(8, 3).softmax(1)
    assert torch.equal(loss(outputs, shares), plain(outputs, shares))
    assert torch.equal(loss(outputs[0], targets[:1]), plain(outputs[:1], targets[:1]))
    pixels, truth = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    assert torch.equal(loss(pixels, truth), plain(pixels, truth))
    assert loss.predictions(pixels).values.shape == (2, 4, 4)
    mse = build({"lossFunction": "mse"}, NUMBERS)
    value = mse(torch.randn(4, 1, dtype=torch.float64, requires_grad=True), torch.randn(4))
    assert value.dtype == torch.float64
    value.backward()
    with torch.autocast("cpu", torch.bfloat16):
        half = nn.Linear(3, 1)(torch.randn(4, 3))
        assert torch.equal(
            mse(half, torch.ones(4)), nn.functional.mse_loss(half.squeeze(1), torch.ones(4))
        )


def test_probabilities_of_classes() -> None:
    outputs = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    got = build({}).predictions(outputs)
    assert got.values.tolist() == [0, 2]
    assert torch.equal(got.probabilities, outputs.softmax(1))
    got = build({"lossFunction": "nll"}).predictions(outputs.log_softmax(1))
    torch.testing.assert_close(got.probabilities, outputs.softmax(1))
    got = build({"lossFunction": "hinge"}).predictions(outputs)
    assert got.values.tolist() == [0, 2]
    assert got.probabilities is None
    assert torch.equal(got.decision, outputs)
    assert build({}).predictions(outputs.bfloat16()).probabilities.dtype == torch.float32


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
def test_two_classes_from_one_output(shape: tuple[int, ...]) -> None:
    scores = torch.tensor([-1.0, 0.0, 2.0]).reshape(shape)
    for name in ("bce_with_logits", "soft_margin"):
        got = build({"lossFunction": name}, TWO).predictions(scores)
        assert got.values.tolist() == [0, 0, 1]
        assert got.probabilities.shape == (3, 2)
        torch.testing.assert_close(got.probabilities[:, 1], scores.flatten().sigmoid())
        torch.testing.assert_close(got.probabilities.sum(1), torch.ones(3))
    got = build({"lossFunction": "bce"}, TWO).predictions(scores.sigmoid())
    torch.testing.assert_close(got.probabilities[:, 1], scores.flatten().sigmoid())


def test_numbers_and_several_labels() -> None:
    scores = torch.tensor([[-1.0, 2.0, 0.5]])
    got = build({}, LABELS).predictions(scores)
    assert got.values.tolist() == [[0, 1, 1]]
    assert torch.equal(got.probabilities, scores.sigmoid())
    assert build({}, NUMBERS).predictions(torch.ones(4, 1)).values.shape == (4,)
    assert build({}, NUMBERS).predictions(torch.tensor(1.0)).values.shape == (1,)
    counts = build({"lossFunction": "poisson_nll"}, NUMBERS).predictions(torch.zeros(2))
    assert counts.values.tolist() == [1, 1]
    config = {"lossFunction": "poisson_nll", "lossArgs": {"log_input": False}}
    assert build(config, NUMBERS).predictions(torch.full((2,), 3.0)).values.tolist() == [3, 3]


def test_the_scripts_own_loss() -> None:
    def loss(outputs: Any, targets: Any) -> torch.Tensor:
        a, b = outputs
        return nn.functional.mse_loss(a, targets) + b.abs().mean()

    own = losses.of_script(loss, {}, NUMBERS)
    a, b = torch.ones(2, requires_grad=True), torch.ones(2)
    assert own((a, b), torch.zeros(2)) == 2
    with pytest.raises(errors.InvalidConfiguration, match="loss of its own"):
        losses.of_script(loss, {"lossFunction": "mse"}, NUMBERS)
    per_row = losses.of_script(lambda o, t: (o - t) ** 2, {}, NUMBERS)
    assert "a tensor of (2,)" in refused_call(per_row, a, b).message
    number = losses.of_script(lambda o, t: 3.0, {}, NUMBERS)
    assert "a float" in refused_call(number, a, b).message
    detached = losses.of_script(lambda o, t: (o - t).sum().detach(), {}, NUMBERS)
    assert "without a gradient" in refused_call(detached, a, b).message
    with torch.no_grad():
        assert detached(a, b) == 0
    by_class = losses.of_script(lambda o, t: o.sum(), {}, THREE)
    assert by_class.predictions(torch.eye(3)).values.tolist() == [0, 1, 2]
    binary = losses.of_script(lambda o, t: o.sum(), {}, TWO)
    assert binary.predictions(torch.tensor([-1.0, 1.0])).values.tolist() == [0, 1]
    assert binary.predictions(torch.eye(2)).values.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("batch", "loss", "kind"),
    [
        (torch.tensor([0, 4, 2]), None, "classes"),
        (torch.tensor([0, 1]), "bce_with_logits", "classes"),
        (torch.tensor([0.0, 1.0]), "bce_with_logits", "classes"),
        (torch.tensor([[0.0], [1.0]]), "bce", "classes"),
        (torch.tensor([[0, 1], [1, 1]]), "bce_with_logits", "multilabel"),
        (torch.tensor([[0.0, 1.0]]), "soft_margin", "multilabel"),
        (torch.rand(4, 3), "bce", "numbers"),
        (torch.tensor([0.0, 1.0]), None, "numbers"),
        (torch.tensor([[0, 1], [1, 1]]), "cross_entropy", "classes"),
        (torch.tensor([3, 4]), "mse", "numbers"),
        (torch.zeros(2, 4, 4).long(), None, "classes"),
    ],
)
def test_the_target_of_a_data_set_of_the_scripts_own(
    batch: torch.Tensor, loss: str | None, kind: str
) -> None:
    assert of_batch(batch, losses.takes({"lossFunction": loss})).kind == kind


def test_a_target_that_could_be_two_things_is_asked_about() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="several labels a row, or a class"):
        of_batch(torch.tensor([[0, 1], [1, 1]]), None)
