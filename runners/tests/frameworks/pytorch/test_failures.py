"""What PyTorch raises, raised for real, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ml_runner import errors
from ml_runner.frameworks.pytorch import failures
from ml_runner.job import Job


def raised(function: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def explained(function: Callable[[], Any]) -> errors.ExecutorError:
    found = failures.explain(raised(function))
    assert found is not None
    assert found.solution
    return found


def backward_twice() -> None:
    loss = nn.Linear(2, 1)(torch.ones(1, 2)).exp().sum()
    loss.backward()
    loss.backward()


def in_place() -> None:
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    y += 1
    y.sum().backward()


def sparse_with(optimizer: str, sparse: bool) -> None:
    table = nn.Embedding(4, 2, sparse=sparse)
    table(torch.tensor([1])).sum().backward()
    getattr(torch.optim, optimizer)(table.parameters(), lr=0.1).step()


@pytest.mark.parametrize(
    ("function", "facts", "words"),
    [
        (lambda: nn.Linear(20, 5)(torch.zeros(32, 10)),
         {"inputShape": [32, 10], "weightShape": [20, 5], "inputFeatures": 10},
         "in_features to 10"),
        (lambda: nn.Conv2d(1, 4, 3)(torch.zeros(8, 3, 32, 32)),
         {"inputShape": [8, 3, 32, 32], "weightShape": [4, 1, 3, 3], "inputChannels": 3},
         "in_channels to 3"),
        (lambda: nn.Conv2d(3, 4, 9)(torch.zeros(2, 3, 4, 4)), {"kernelSize": [9, 9]}, "padding"),
        (lambda: nn.BatchNorm1d(4)(torch.zeros(2, 5)), {"inputFeatures": 5}, "num_features to 5"),
        (lambda: nn.LayerNorm(5)(torch.zeros(2, 3)), {"inputShape": [2, 3]}, "normalized_shape"),
        (lambda: nn.BatchNorm1d(4)(torch.zeros(1, 4)), {"inputShape": [1, 4]}, "batchSize"),
        (lambda: nn.LSTM(5, 6)(torch.zeros(2, 3)), {"layerFeatures": 5}, "input_size to 3"),
        (lambda: torch.zeros(2, 3) + torch.zeros(2, 4), {"sizeA": 3, "sizeB": 4}, "3 and 4 meet"),
        (lambda: torch.zeros(2, 3).view(7), {"inputSize": 6}, "reshape"),
        (lambda: nn.CrossEntropyLoss()(torch.zeros(2, 3), torch.tensor([0, 5])),
         {"targetIndex": 5}, "last layer"),
        (lambda: nn.Embedding(4, 4)(torch.tensor([9])), {}, "num_embeddings"),
        (lambda: nn.Embedding(4, 4)(torch.tensor([0.5])), {}, "inputs.long()"),
        (lambda: nn.Linear(3, 4)(torch.zeros(2, 3).double()), {"inputType": "Double"}, "float()"),
        (lambda: torch.zeros(2).sum().backward(), {}, "detach()"),
        (backward_twice, {}, "detach() it"),
        (in_place, {}, "in place"),
        (lambda: nn.BCELoss()(torch.full((2,), 2.0), torch.ones(2)), {}, "bce_with_logits"),
        (lambda: sparse_with("SparseAdam", False), {}, "use adam"),
        (lambda: sparse_with("Adam", True), {}, "SparseAdam"),
    ],
)  # fmt: skip
def test_what_the_users_code_meets(
    function: Callable[[], Any], facts: dict[str, Any], words: str
) -> None:
    error = explained(function)
    assert error.type == "training-failure"
    assert words in error.solution
    assert {name: error.metadata[name] for name in facts} == facts
    assert error.metadata["frame"]["file"] == __file__
    assert f"({Path(__file__).name}, line " in error.message


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda: torch.empty(2**43, dtype=torch.uint8), 2**43),
        (lambda: nn.Linear(2**22, 2**22), 2**46),
        (lambda: torch.empty(2**62), None),
    ],
)
def test_the_hosts_memory(function: Callable[[], Any], size: int | None) -> None:
    failure = raised(function)
    assert failures.is_out_of_memory(failure)
    with pytest.raises(type(failure)), failures.running(None, 128, 45_000_000):
        raise failure
    error = failures.explain(failure)
    assert error is not None
    assert (error.type, error.exit_code) == ("out-of-memory", 137)
    assert error.metadata.get("allocationBytes") == size
    assert error.metadata["batchSize"] == 128
    assert error.metadata["modelParameters"] == 45_000_000
    assert error.solution == ("Reduce batch size (currently 128) or model size. Try batchSize: 64")
    assert error.metadata["frame"]["file"] == __file__


@pytest.mark.parametrize("sent", [{"batchSize": 128}, {}])
def test_the_next_call_halves_the_batch(tmp_path: Path, sent: dict[str, int]) -> None:
    config = {"modelScript": "m.py", **sent}
    record = {"id": "a", "baseDir": str(tmp_path), "roots": None, "threads": 1, "python": {},
              "request": {"action": "train", "framework": "pytorch", "config": config}}  # fmt: skip
    (tmp_path / "request.json").write_text(json.dumps(record))
    job = Job(tmp_path)
    failure = raised(lambda: torch.empty(2**43, dtype=torch.uint8))
    with pytest.raises(type(failure)), failures.running(job, 32):
        raise failure
    error = failures.explain(failure)
    job.release()
    assert error is not None
    # 32 is what it had been halved to by then.
    assert error.next_call == {
        "tool": "train",
        "arguments": {"framework": "pytorch", "config": {**config, "batchSize": 16}},
    }


def test_what_ran_before_is_not_blamed() -> None:
    with failures.running(None, 128, 1000):
        pass
    error = explained(lambda: torch.empty(2**43, dtype=torch.uint8))
    assert "batchSize" not in error.metadata
    with failures.running(None, 1, 1000):
        error = explained(lambda: torch.empty(2**43, dtype=torch.uint8))
    assert "smaller model" in error.solution


def test_the_memory_of_a_gpu() -> None:
    # There is no GPU to exhaust here: the library's own exception with its own words.
    said = ("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 9.77 GiB"
            " of which 1.20 GiB is free. Process 1 has 8.50 GiB memory in use.")  # fmt: skip
    with failures.running(None, 128, 45_000_000):
        error = failures.explain(torch.cuda.OutOfMemoryError(said))
    assert error is not None
    assert (error.type, error.exit_code) == ("cuda-out-of-memory", 1)
    assert error.message == "CUDA out of memory. Tried to allocate 2.50 GiB"
    assert error.solution == "Reduce batch size (currently 128) or model size. Try batchSize: 64"
    for words in ("CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when",
                  "MPS backend out of memory (MPS …)", "HIP out of memory."):  # fmt: skip
        assert failures.is_out_of_memory(RuntimeError(words))
        found = failures.explain(RuntimeError(words))
        assert found is not None
        assert found.type == "cuda-out-of-memory"


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is raised where there is no GPU")
def test_a_script_that_wants_a_gpu_where_there_is_none() -> None:
    error = explained(lambda: torch.zeros(2).cuda())
    assert error.type == "cuda-error"
    assert ".cuda()" in error.solution
    assert error.metadata["frame"]["file"] == __file__


def test_other_faults_of_a_gpu() -> None:
    said = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously …"
    error = failures.explain(RuntimeError(said))
    assert error is not None
    assert error.type == "cuda-error"
    assert error.message == "CUDA error: device-side assert triggered"
    assert "out of range" in error.solution


class Broken(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == 1:
            return torch.zeros(2, 3) @ torch.zeros(4, 5)
        raise KeyError(f"no row {index}")


@pytest.mark.parametrize(("rows", "name"), [([0], "KeyError"), ([1], "RuntimeError")])
def test_what_a_data_set_raises_in_a_worker(rows: list[int], name: str) -> None:
    loader = DataLoader(Broken(), sampler=rows, num_workers=1, multiprocessing_context="fork")
    error = explained(lambda: next(iter(loader)))
    assert error.type == "training-failure"
    assert error.metadata["exception"] == name
    assert error.metadata["frame"]["file"] == __file__
    assert error.metadata["frame"]["function"] == "__getitem__"
    if rows == [1]:
        assert error.metadata["inputShape"] == [2, 3]
    else:
        assert "no row 0" in error.message
    assert "Original Traceback" in (error.stderr or "")


def test_a_worker_that_was_killed() -> None:
    error = failures.explain(
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    )
    assert error is not None
    assert error.type == "out-of-memory"
    assert "numWorkers: 0" in error.solution


def test_what_is_none_of_its_business() -> None:
    for other in (ValueError("bad"), KeyError("x"), KeyboardInterrupt(), RuntimeError("mine"),
                  IndexError("list index out of range")):  # fmt: skip
        assert failures.explain(other) is None


def test_loading_where_the_gpu_is_not() -> None:
    error = failures.explain(
        RuntimeError(
            "Attempting to deserialize object on a CUDA device but …is_available() is False"
        )
    )
    assert error is not None
    assert "map_location" in error.solution
