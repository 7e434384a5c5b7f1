"""GPUs: which ones a job gets, and what is told of them.

There is no GPU here: the driver's library is a small one of the same functions, compiled for these
tests. What a real driver answers is tried by the last test alone, where there is one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ml_runner import gpu_choice, gpus, nvml
from ml_runner.process import devices_wanted
from tests.process.lab import Lab, cancel, has_event, pids, until

COMPILER = shutil.which("cc")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the library."""
    if COMPILER is None:
        # Nothing that Python could stand in with is loaded by ctypes as a driver's library is.
        pytest.skip("no C compiler (cc): the library that stands for the driver's cannot be made")
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("fake_nvml.c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, source], check=True)
    return library.parent


@pytest.fixture
def two_gpus(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process sees two GPUs."""
    monkeypatch.setattr(nvml, "LIBRARIES", (str(driver / "libnvidia-ml.so.1"),))
    monkeypatch.setenv("FAKE_GPUS", "2")


def lab_with_gpus(lab: Lab, driver: Path, count: int) -> Lab:
    lab.environment["LD_LIBRARY_PATH"] = str(driver)
    lab.environment["FAKE_GPUS"] = str(count)
    lab.environment["FAKE_NVML_STATE"] = str(lab.work / "gpu-state")
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        lab.environment.pop(name, None)
    return lab


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("variable", "entries", "names"),
    [
        (None, ["0", "1"], ["GPU-0-abcd", "GPU-1-abcd"]),
        ("1", ["1"], ["GPU-1-abcd"]),
        ("1, 0", ["1", "0"], ["GPU-1-abcd", "GPU-0-abcd"]),
        ("GPU-1-ab", ["GPU-1-ab"], ["GPU-1-abcd"]),
        ("MIG-7", ["MIG-7"], ["MIG-7"]),
        ("0,-1,1", ["0"], ["GPU-0-abcd"]),
        ("", [], []),
        ("-1", [], []),
    ],
)
def test_the_users_own_choice_of_gpus_is_kept(
    variable: str | None, entries: list[str], names: list[str]
) -> None:
    environment = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    found = gpu_choice.visible(environment)
    assert [gpu.entry for gpu in found] == entries
    assert [gpu.name for gpu in found] == names


@pytest.mark.usefixtures("two_gpus")
def test_a_job_sees_its_gpu_alone() -> None:
    first, second = gpu_choice.visible({})
    assert gpu_choice.variables([second], {}) == {
        "CUDA_VISIBLE_DEVICES": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    # The user's own indices keep the meaning that they have for the user.
    chosen = {"CUDA_VISIBLE_DEVICES": "0"}
    assert gpu_choice.variables([first], chosen) == {"CUDA_VISIBLE_DEVICES": "0"}
    assert gpu_choice.variables([]) == {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_found_by_the_driver() -> None:
    first, second = gpus.nvidia()
    assert (first["index"], second["index"]) == (0, 1)
    assert first["uuid"] == "GPU-0-abcd"
    assert first["memoryTotalBytes"] == 8 << 30
    assert first["memoryFreeBytes"] == 7 << 30
    assert first["driver"] == "555.42"
    assert gpu_choice.names({"CUDA_VISIBLE_DEVICES": "1"}) == ["Fake GPU"]
    assert gpu_choice.names({"CUDA_VISIBLE_DEVICES": ""}) == []


@pytest.mark.parametrize(
    ("environment", "entries", "names"),
    [
        ({}, ["0", "1", "2"], ["0", "1", "2"]),
        ({"HIP_VISIBLE_DEVICES": "2"}, ["2"], ["2"]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ["1"], ["1"]),
        # HIP counts what ROCR has left.
        ({"ROCR_VISIBLE_DEVICES": "1,2"}, ["0", "1"], ["1", "2"]),
        ({"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, ["1"], ["2"]),
    ],
)
def test_gpus_of_amd(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    entries: list[str],
    names: list[str],
) -> None:
    monkeypatch.setattr(nvml, "LIBRARIES", ())
    monkeypatch.setattr(gpus, "KFD_NODES", tmp_path / "nodes")
    monkeypatch.setattr(gpus, "DRM", tmp_path / "drm")
    for node in range(4):
        folder = tmp_path / "nodes" / str(node + 8)  # 10 comes after 9
        folder.mkdir(parents=True)
        simd = 0 if node == 0 else 440
        (folder / "properties").write_text(f"simd_count {simd}\ndrm_render_minor {120 + node}\n")
        (folder / "name").write_text(f"gfx{node}")
    device = tmp_path / "drm" / "renderD122" / "device"
    device.mkdir(parents=True)
    (device / "gpu_busy_percent").write_text("37\n")
    (device / "mem_info_vram_total").write_text(f"{64 << 30}\n")
    (device / "mem_info_vram_used").write_text(f"{5 << 30}\n")
    found = gpu_choice.visible(environment)
    assert [gpu.entry for gpu in found] == entries
    assert [gpu.name for gpu in found] == names
    assert gpus.AmdDevice(1).memory() == (64 << 30, 5 << 30)
    assert gpus.AmdDevice(1).utilization() == 37
    assert gpus.AmdDevice(1).name == "gfx2"
    assert gpus.AmdDevice(0).memory() is None


def test_each_job_gets_a_gpu_of_its_own_and_the_next_one_what_comes_free(
    lab: Lab, driver: Path
) -> None:
    lab_with_gpus(lab, driver, 2)
    jobs = [lab.job(lane="gpu", slots=2) for _ in range(3)]
    for job in jobs[:2]:
        lab.supervise(job, "say_gpu_and_loop")
        until(lambda job=job: pids(job))
    assert [gpu_of(job) for job in jobs[:2]] == ["0", "1"]
    lab.supervise(jobs[2], "say_gpu_and_loop")
    until(lambda: (jobs[2] / "control").exists())
    assert not has_event(jobs[2], "started")
    cancel(jobs[1])
    until(lambda: pids(jobs[2]))
    assert gpu_of(jobs[2]) == "1"
    for job in (jobs[0], jobs[2]):
        cancel(job)
        lab.error(job)


def test_a_job_on_several_gpus_waits_for_all_of_them_and_lets_nobody_pass(
    lab: Lab, driver: Path
) -> None:
    lab_with_gpus(lab, driver, 2)
    one = lab.job(lane="gpu", slots=2)
    two = lab.job(lane="gpu", slots=2, request={"config": {"distributed": "ddp", "devices": 2}})
    later = lab.job(lane="gpu", slots=2)
    lab.supervise(one, "say_gpu_and_loop")
    until(lambda: pids(one))
    for job in (two, later):
        lab.supervise(job, "say_gpu_and_loop")
        until(lambda job=job: (job / "control").exists())
    assert not has_event(later, "started")
    cancel(one)
    until(lambda: pids(two))
    assert gpu_of(two) == "0,1"
    assert not has_event(later, "started")
    cancel(two)
    until(lambda: pids(later))
    assert gpu_of(later) == "0"
    cancel(later)
    lab.error(later)


@pytest.mark.parametrize(
    ("config", "there", "wanted"),
    [
        ({}, 4, 1),
        ({"distributed": "auto"}, 4, 4),
        ({"distributed": "ddp", "devices": 2}, 4, 2),
        # The job itself says that there are not so many.
        ({"distributed": "ddp", "devices": 8}, 4, 4),
        ({"distributed": "ddp", "devices": 8}, 0, 0),
    ],
)
def test_how_many_gpus_a_job_waits_for(
    config: dict[str, object], there: int, wanted: int, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(lab.home))
    first = lab.job(request={"config": config})
    assert devices_wanted.of(read(first), there) == wanted
    # Whoever goes on with that run wants as many, by whatever name.
    again = lab.job(request={"action": "resume", "config": {"jobId": first.name}})
    third = lab.job(request={"action": "resume", "config": {"jobId": again.name}})
    run = {"request": {"action": "train", "config": config}}
    (lab.work / "run.json").write_text(json.dumps(run))
    (lab.work / "epoch-1.json").write_text(json.dumps({"run": run}))
    by_directory = lab.job(request={"action": "resume", "config": {"runDir": "."}})
    by_checkpoint = lab.job(
        request={"action": "resume", "config": {"checkpointPath": "epoch-1.pt"}}
    )
    for job in (third, by_directory, by_checkpoint):
        assert devices_wanted.of(read(job), there) == wanted
    fewer = lab.job(request={"action": "resume", "config": {"jobId": first.name, "devices": 1}})
    assert devices_wanted.of(read(fewer), there) == min(1, there)
    nowhere = lab.job(request={"action": "resume", "config": {"jobId": "no-such-job"}})
    assert devices_wanted.of(read(nowhere), there) == min(1, there)


def read(job: Path) -> dict[str, object]:
    return json.loads((job / "request.json").read_text())


def test_servers_that_see_different_gpus_do_not_meet_on_one(lab: Lab, driver: Path) -> None:
    lab_with_gpus(lab, driver, 2)
    first, second, third = (lab.job(lane="gpu", slots=2) for _ in range(3))
    lab.environment["CUDA_VISIBLE_DEVICES"] = "GPU-0-abcd"
    lab.supervise(first, "say_gpu_and_loop")
    until(lambda: pids(first))
    assert gpu_of(first) == "GPU-0-abcd"
    del lab.environment["CUDA_VISIBLE_DEVICES"]
    lab.supervise(second, "say_gpu_and_loop")
    until(lambda: pids(second))
    assert gpu_of(second) == "1"
    lab.environment["CUDA_VISIBLE_DEVICES"] = "1"
    lab.supervise(third, "say_gpu_and_loop")
    until(lambda: (third / "control").exists())
    cancel(first)
    lab.error(first)
    # GPU 0 is free, and none of the third one's.
    assert not has_event(third, "started")
    cancel(second)
    until(lambda: pids(third))
    assert gpu_of(third) == "1"
    cancel(third)
    lab.error(third)


@pytest.mark.parametrize(
    ("record", "sees"),
    [
        ({"request": {"gpuEnabled": False}}, ""),
        ({"lane": "light"}, ""),
        ({}, "none set"),
    ],
)
def test_what_a_job_without_a_gpus_slot_sees(
    lab: Lab, driver: Path, record: dict[str, object], sees: str
) -> None:
    job = lab_with_gpus(lab, driver, 2).job(**record)  # type: ignore[arg-type]
    lab.supervise(job, "say_gpu_and_loop")
    until(lambda: pids(job))
    assert gpu_of(job) == sees
    cancel(job)
    lab.error(job)


def test_memory_and_utilisation_of_its_gpu_stand_in_the_report(lab: Lab, driver: Path) -> None:
    lab_with_gpus(lab, driver, 2)
    job = lab.job(lane="gpu", slots=2)
    report = lab.run(job, "use_gpu")["executionReport"]
    assert report["gpuModel"] == "Fake GPU"
    metadata = report["metadata"]
    # Its child's too, and not that of a stranger on the same GPU.
    assert metadata["peakGPUMemoryBytes"] == 5 << 30
    assert metadata["peakGPUMemory"] == "5.0GB"
    assert metadata["gpuMemoryTotal"] == "8.0GB"
    assert metadata["gpuUtilization"]["max"] == 80


# What the library above answers is ours; only a machine with a GPU can say what a driver does.
@pytest.mark.skipif(not os.path.exists("/dev/nvidia0"), reason="this machine has no NVIDIA GPU")
def test_a_real_gpu_is_described_and_sampled() -> None:
    with nvml.open_nvml() as library:
        assert library is not None
        (device, *_) = library.devices()
        total, used = device.memory() or (0, 0)
        assert device.name
        assert device.uuid.startswith("GPU-")
        assert 0 < used < total
        assert device.utilization() in range(101)
        assert all(size >= 0 for size in device.memory_by_process().values())


def gpu_of(job: Path) -> str:
    return (job / "gpu").read_text()
