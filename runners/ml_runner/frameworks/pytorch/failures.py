"""What PyTorch raises while it runs, as errors that say what to change.

Imports nothing of PyTorch: it is asked about every exception, in jobs of other frameworks too.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_runner import calls, errors
from ml_runner.failures import training_failure
from ml_runner.frameworks.pytorch.known_failures import recognise
from ml_runner.report import size_words

if TYPE_CHECKING:
    from ml_runner.job import Job


@dataclass(frozen=True)
class Running:
    """What is being run when something fails.

    Attributes:
        job: whose call a ``nextCall`` corrects.
        batch_size: rows that are worked on at once at present (it may have been halved).
        tried: larger ones that were too large.
        stuck: why it is not halved (any more), in words.
        parameters: numbers in the model's parameters.
        rows: that an epoch trains on.
    """

    job: Job | None = None
    batch_size: int | None = None
    parameters: int | None = None
    rows: int | None = None
    tried: tuple[int, ...] = ()
    stuck: str | None = None


_running = Running()


@contextlib.contextmanager
def running(
    job: Job | None = None,
    batch_size: int | None = None,
    parameters: int | None = None,
    rows: int | None = None,
) -> Iterator[None]:
    """Within it, and for what it raised, ``explain`` knows job, batch size, model and data."""
    global _running
    _running = Running(job, batch_size, parameters, rows)
    yield
    # Left as it is where something was raised: it is explained after this block.
    _running = Running()


def resized(batch_size: int) -> None:
    """From now on fewer rows are worked on at once."""
    global _running
    before = () if _running.batch_size is None else (_running.batch_size,)
    _running = replace(_running, batch_size=batch_size, tried=_running.tried + before)


def stuck(why: str) -> None:
    """The memory has run out, and the batch is not halved (any more)."""
    global _running
    _running = replace(_running, stuck=why)


_OF_THE_HOST = re.compile(
    r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory): you tried to allocate (\d+)"
    r"|Storage size calculation overflowed"
)
_OF_A_GPU = re.compile(
    r"\b(CUDA|HIP|MPS backend) out of memory|CUDA error: out of memory|STATUS_ALLOC_FAILED"
)
_WORKER_KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)? [^)]*\).*(Killed|Bus error)", re.S)
_IN_WORKER = re.compile(r"^Caught (\w+) in DataLoader worker process (\d+)\.")
_GPU_ERRORS = re.compile(
    r"\b(?:CUDA|HIP) error|device-side assert|CUBLAS_STATUS|CUDNN_STATUS|cuDNN error|NCCL error"
    r"|CUDA driver|no kernel image|Torch not compiled with CUDA|Found no NVIDIA driver"
)


def explain(error: BaseException) -> errors.ExecutorError | None:
    """What an exception of PyTorch means; None where it is not PyTorch's, or says it all itself.

    Returns:
        ``cuda-out-of-memory``, ``cuda-error``, ``out-of-memory``, or ``training-failure`` with the
        user's own frame, both shapes in its metadata, and what to change.
    """
    if "torch" not in sys.modules or not isinstance(error, Exception):
        return None
    said = " ".join(str(error).split())
    if is_out_of_memory(error):
        return _host_memory(error, said) if _OF_THE_HOST.search(said) else _gpu_memory(error, said)
    if _WORKER_KILLED.search(said):
        return _worker_killed(error, said)
    in_worker = _IN_WORKER.match(said)
    if in_worker:
        return _raised_in_worker(error, in_worker[1])
    if isinstance(error, (RuntimeError, AssertionError)) and _GPU_ERRORS.search(said):
        return _gpu_error(error, said)
    if isinstance(error, (RuntimeError, ValueError, IndexError)):
        return _known_failure(error, said)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of a GPU, or of the host as the library's allocator sees it, ran out."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    kinds = {
        kind
        for kind in (getattr(torch, "OutOfMemoryError", None), torch.cuda.OutOfMemoryError)
        if isinstance(kind, type)
    }
    if isinstance(error, tuple(kinds)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and bool(
        _OF_THE_HOST.search(said) or _OF_A_GPU.search(said)
    )


# -- memory ----------------------------------------------------------------------------------------


def _gpu_memory(error: Exception, said: str) -> errors.ExecutorError:
    # "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has …": the first two sentences.
    sentences = re.split(r"(?<=\.)\s(?=[A-Z])", said)
    solution, next_call = _smaller()
    return errors.CudaOutOfMemory(
        " ".join(sentences[:2]).removesuffix("."),
        solution=solution,
        metadata={**_gpu(), **_size()},
        next_call=next_call,
        stderr=f"{type(error).__name__}: {said}"[:2000],
    )


def _host_memory(error: Exception, said: str) -> errors.ExecutorError:
    found = _OF_THE_HOST.search(said)
    wanted = int(found[1]) if found and found[1] else None
    solution, next_call = _smaller()
    failure = training_failure(error)
    return errors.OutOfMemory(
        "The machine's memory does not suffice: PyTorch tried to allocate "
        + (size_words(wanted) if wanted else "more than can be addressed")
        + _where(failure),
        solution=solution,
        metadata={
            **({"allocationBytes": wanted} if wanted else {}),
            **_size(),
            **_frame(failure),
        },
        next_call=next_call,
        stderr=failure.stderr,
    )


def _smaller() -> tuple[str, dict[str, Any] | None]:
    size, job = _running.batch_size, _running.job
    if not size or size < 2:
        return "Use a smaller model, or smaller inputs.", None
    half = size // 2
    next_call = None
    if job is not None:
        next_call = calls.repeat(job, config={"batchSize": half})
    return (
        f"Reduce batch size (currently {size}) or model size. Try batchSize: {half}",
        next_call,
    )


def _size() -> dict[str, Any]:
    known = {
        "batchSize": _running.batch_size,
        "modelParameters": _running.parameters,
        "triedBatchSizes": list(_running.tried) or None,
        "notHalved": _running.stuck,
    }
    return {name: value for name, value in known.items() if value is not None}


def _gpu() -> dict[str, Any]:
    torch = sys.modules["torch"]
    if not torch.cuda.is_available():
        return {}
    with contextlib.suppress(RuntimeError):  # after a fault the GPU may answer nothing more
        index = torch.cuda.current_device()
        return {
            "gpuModel": torch.cuda.get_device_name(index),
            "gpuMemoryTotal": size_words(torch.cuda.get_device_properties(index).total_memory),
            "gpuMemoryAllocated": size_words(torch.cuda.memory_allocated(index)),
        }
    return {}


# -- GPU, workers ----------------------------------------------------------------------------------


def _gpu_error(error: Exception, said: str) -> errors.ExecutorError:
    failure = training_failure(error)
    if "not compiled with CUDA" in said or "NVIDIA driver" in said or "No CUDA GPUs" in said:
        solution = (
            "There is no GPU that this PyTorch can use: leave .cuda() and device='cuda' out of the"
            " script; the executor moves model and batches where they belong."
        )
    elif "device-side assert" in said:
        solution = (
            "An index is out of range: a class beyond the model's outputs, or a token beyond its"
            " embedding. Run it with gpuEnabled: false to see which."
        )
    elif "no kernel image" in said:
        solution = "This PyTorch is not built for that GPU: install a build for it, or send"
        solution += " gpuEnabled: false."
    else:
        solution = "Call again; if it fails again, send gpuEnabled: false and see to the driver."
    first = said.split(" CUDA kernel errors might be")[0].split(" Compile with")[0]
    return errors.CudaError(
        f"{first[:300]}{_where(failure)}",
        solution=solution,
        metadata={**_gpu(), **_frame(failure)},
        stderr=failure.stderr,
    )


def _worker_killed(error: Exception, said: str) -> errors.ExecutorError:
    shared = "Bus error" in said
    return errors.OutOfMemory(
        "A process that loads data died: "
        + ("shared memory ran out" if shared else "killed, most likely for its memory"),
        solution="Send numWorkers: 0"
        + (", or give the machine more shared memory (/dev/shm)." if shared else ", or fewer."),
        metadata={"key": "config.numWorkers", **_size()},
        stderr=f"{type(error).__name__}: {said}"[:2000],
    )


def _raised_in_worker(error: Exception, exception: str) -> errors.ExecutorError:
    text = str(error)
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\S+)\n\s*(.*)', text)
    own = [f for f in frames if not re.search(r"(site|dist)-packages|[/\\]lib[/\\]python3|<", f[0])]
    own = [f for f in own if "ml_runner" not in f[0]]
    frame = None
    if own:
        file, line, function, code = own[-1]
        frame = {"file": file, "line": int(line), "function": function, "code": code.strip()}
    last = text.strip().splitlines()[-1]
    raised = RuntimeError(last.partition(": ")[2] or last)
    solution, metadata = recognise(str(raised)) or (None, {})
    failure = training_failure(
        raised, frame=frame, solution=solution, metadata={**metadata, "exception": exception}
    )
    failure.message = failure.message.replace("RuntimeError", exception, 1)
    failure.stderr = text[-4000:]
    return failure


def _known_failure(error: Exception, said: str) -> errors.ExecutorError | None:
    known = recognise(said)
    if known is None:
        return None
    failure = training_failure(error, solution=known[0], metadata=known[1])
    if "Expected more than 1 value per channel" in said:
        _leave_no_single_row(failure)
    if (known[1].get("layerChannels"), known[1].get("inputChannels")) == (1, 3):
        _read_in_grey(failure)
    return failure


def _read_in_grey(failure: errors.ExecutorError) -> None:
    """For a model that takes one channel: images are read in colour where nothing else is said."""
    job = _running.job
    if job is not None and job.defaults.get("colorMode") == "rgb":
        failure.solution = f"Send colorMode: grayscale. Or: {failure.solution}"
        failure.next_call = calls.repeat(job, {"colorMode": "grayscale"})


def _leave_no_single_row(failure: errors.ExecutorError) -> None:
    """For the error of a batch of one row: the next batch size that leaves none over."""
    size, rows, job = _running.batch_size, _running.rows, _running.job
    if job is None or not size or not rows or rows < 2 or rows % size != 1 % size:
        return
    better = next(each for each in range(size + 1, rows + 2) if rows % each != 1)
    failure.solution += f" Of {rows} rows, {size} a batch leave one over: try batchSize: {better}."
    failure.next_call = calls.repeat(job, {"batchSize": better})


def _where(failure: errors.ExecutorError) -> str:
    frame = failure.metadata.get("frame")
    if not frame:
        return ""
    file = re.split(r"[/\\]", frame["file"])[-1]
    return f" ({file}, line {frame['line']}, in {frame['function']})"


def _frame(failure: errors.ExecutorError) -> dict[str, Any]:
    frame = failure.metadata.get("frame")
    return {"frame": frame} if frame else {}
