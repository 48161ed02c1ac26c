"""The doctor's verdicts on machines with known faults (row O5), and on those that it cannot examine."""

from __future__ import annotations

import pytest

from gpurent.domain.health import Verdict
from gpurent.remote.doctor.health_report import ExpectedMachine
from gpurent.remote.doctor.script import Measurements
from tests.doctor.recorded_answers import (
    CPU_STAGE,
    END_STAGE,
    GPUS_STAGE,
    QUICK_CONNECTION,
    SURVEY_ANSWER,
    TENSORFLOW_STAGE,
    TORCH_STAGE,
    evaluate_answers,
    find_finding,
    make_convolution_section,
    make_section,
    make_smi_sections,
)

GOOD_DEVICE = {"stage": "device", "device": "cuda:0", "seconds": 0.4}
WORKING_CONVOLUTION = make_convolution_section(TORCH_STAGE, CPU_STAGE, GPUS_STAGE, GOOD_DEVICE, END_STAGE)
MISMATCH_2020 = (
    "2020-03-17 09:14:02.118432: E tensorflow/stream_executor/cuda/cuda_dnn.cc:319] "
    "Loaded runtime CuDNN library: 7.1.2 but source was compiled with: 7.4.1.  CuDNN "
    "library major and minor version needs to match or have higher minor "
    "version in case of CuDNN 7.0 or later version."
)


def make_failing_section(error: str, err: str = "", framework: dict[str, object] = TORCH_STAGE) -> str:
    return make_convolution_section(
        framework,
        CPU_STAGE,
        GPUS_STAGE,
        {"stage": "device", "device": "cuda:0", "error": error},
        END_STAGE,
        err=err,
    )


# Row O5. Error texts as frameworks print them: (device's error, its log, cause, subject, what must be named).
SICK_MACHINES = [
    (
        "UnknownError: Failed to get convolution algorithm. This is probably because cuDNN failed to initialize",
        MISMATCH_2020, "cudnn-mismatch", "cudnn", ("7.1.2", "7.4.1"),
    ),
    (
        "InternalError: cuDNN launch failure",
        ("Loaded runtime CuDNN library: 7301 (compatibility version 7300) but source was compiled with 7004 "
        "(compatibility version 7000)."),
        "cudnn-mismatch", "cudnn", ("7.3.1", "7.0.4"),
    ),
    (
        ("RuntimeError: cuDNN version incompatibility: PyTorch was compiled  against (8, 9, 2) but found runtime "
        "version (8, 7, 0). PyTorch already comes bundled with cuDNN."),
        "", "cudnn-mismatch", "cudnn", ("8.9.2", "8.7.0"),
    ),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "", "cudnn-start", "cudnn", ()),
    (
        "RuntimeError: GET was unable to find an engine to execute this computation",
        "Could not load library libcudnn_cnn_infer.so.8. Error: libnvrtc.so: cannot open shared object file",
        "cudnn-missing", "cudnn", ("libcudnn_cnn_infer.so.8",),
    ),
    (
        "RuntimeError: Unable to load any of {libcudnn_cnn.so.9.1.0, libcudnn_cnn.so.9.1, libcudnn_cnn.so.9}",
        "", "cudnn-missing", "cudnn", ("libcudnn_cnn.so.9.1.0",),
    ),
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 10010).",
        "", "driver-old", "driver", ("10.1",),
    ),
    (
        "RuntimeError: cuda runtime error (35) : CUDA driver version is insufficient for CUDA runtime version",
        "", "driver-old", "driver", (),
    ),
    (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device", "",
        "no-kernel-image", "framework", (),
    ),
    (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        ("UserWarning: NVIDIA GeForce RTX 3090 with CUDA capability sm_86 is not compatible with the current PyTorch "
        "installation."),
        "no-kernel-image", "framework", (),
    ),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "", "cudnn-error", "cudnn", ("EXECUTION_FAILED",)),
    ("RuntimeError: CUDA out of memory. Tried to allocate 2.00 MiB", "", "gpu-memory-full", "gpu", ()),
    ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "", "gpu-memory-broken", "gpu", ()),
    ("RuntimeError: CUDA error: an illegal memory access was encountered", "", "gpu-fault", "gpu", ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "log", "cause", "check", "named"),
    SICK_MACHINES,
    ids=[f"{n}-{o[2]}" for n, o in enumerate(SICK_MACHINES)],
)
def test_o5_a_mismatch_is_named_with_what_to_do(
    error: str, log: str, cause: str, check: str, named: tuple[str, ...]
) -> None:
    health = evaluate_answers(make_smi_sections("h100-550"), make_failing_section(error, log))
    found = next(one for one in health.findings if one.cause == cause)
    assert found.verdict is Verdict.FAILURE
    assert found.check == check
    assert found.advice
    assert all(word in found.text for word in named)
    assert health.verdict is Verdict.FAILURE


def test_o5_tensorflow_that_lists_no_gpu_for_want_of_cudnn() -> None:
    log = (
        "W tensorflow/stream_executor/platform/default/dso_loader.cc:64] Could not load dynamic library "
        "'libcudnn.so.8'; dlerror: libcudnn.so.8: cannot open shared object file: No such file or directory"
    )
    health = evaluate_answers(
        make_smi_sections("h100-550"),
        make_convolution_section(
            TENSORFLOW_STAGE, CPU_STAGE, {"stage": "gpus", "count": 0}, END_STAGE, err=log
        ),
    )
    assert find_finding(health, "cudnn").cause == "cudnn-missing"
    assert "libcudnn.so.8" in find_finding(health, "cudnn").text


def test_o5_an_import_that_fails_for_a_library() -> None:
    failed = {
        "stage": "failed",
        "error": "ImportError: libcudart.so.10.0: cannot open shared object file: No such file",
    }
    health = evaluate_answers(make_smi_sections("1080ti-440"), make_convolution_section(failed, END_STAGE))
    found = next(one for one in health.findings if one.cause == "cuda-missing")
    assert "libcudart.so.10.0" in found.text
    assert find_finding(health, "cudnn").verdict is Verdict.UNCHECKED


def test_o5_unknown_output_is_passed_on_and_not_taken_as_healthy() -> None:
    health = evaluate_answers(
        make_smi_sections("h100-550"),
        make_failing_section("RuntimeError: the flux capacitor is \x1b[31mempty"),
    )
    assert find_finding(health, "cudnn").verdict is Verdict.FAILURE
    assert "\x1b" not in find_finding(health, "cudnn").text


def test_o5_a_wrong_result_is_a_failure() -> None:
    health = evaluate_answers(
        make_smi_sections("h100-550"), make_failing_section("the result is wrong: nan, not 12.5")
    )
    assert "nan" in find_finding(health, "cudnn").text
    assert health.verdict is Verdict.FAILURE


@pytest.mark.parametrize(("status", "cause"), [(132, "processor-old"), (139, "segfault"), (134, "crash")])
def test_a_crash_says_how_far_it_came(status: int, cause: str) -> None:
    health = evaluate_answers(
        make_smi_sections("h100-550"), make_convolution_section(TORCH_STAGE, CPU_STAGE, status=status)
    )
    assert cause in {one.cause for one in health.findings_with(Verdict.FAILURE)}


def test_a_convolution_that_hangs() -> None:
    on_gpu = evaluate_answers(
        make_smi_sections("h100-550"),
        make_convolution_section(TORCH_STAGE, CPU_STAGE, GPUS_STAGE, status="hangs"),
    )
    assert find_finding(on_gpu, "cudnn").cause == "gpu-hangs"
    assert on_gpu.verdict is Verdict.FAILURE
    loading = evaluate_answers(make_smi_sections("h100-550"), make_convolution_section(status="hangs"))
    assert find_finding(loading, "cudnn").verdict is Verdict.UNCHECKED


def test_healthy_machine() -> None:
    health = evaluate_answers(
        make_smi_sections("h100-550"),
        WORKING_CONVOLUTION,
        wanted=ExpectedMachine(gpu="H100", gpus=1, gpu_memory=80),
    )
    assert {one.check: one.verdict for one in health.findings} == dict.fromkeys(
        ("driver", "gpu", "ecc", "busy", "cuda", "framework", "cudnn", "python", "disk", "clock", "network"),
        Verdict.OK,
    )
    assert health.framework == "torch 1.4.0, CUDA 10.1, cuDNN 7.6.3"
    assert health.cudnn == "7.6.3"
    assert all(not one.advice for one in health.findings)


def test_fewer_another_or_a_smaller_gpu_than_is_paid_for() -> None:
    fewer = evaluate_answers(
        make_smi_sections("h100-550"), WORKING_CONVOLUTION, wanted=ExpectedMachine(gpu="H100", gpus=2)
    )
    assert find_finding(fewer, "gpu").verdict is Verdict.FAILURE
    other = evaluate_answers(
        make_smi_sections("v100-410"), WORKING_CONVOLUTION, wanted=ExpectedMachine(gpu="A100", gpus=1)
    )
    assert find_finding(other, "gpu").cause == "gpu-other"
    assert "V100" in find_finding(other, "gpu").text
    small = evaluate_answers(
        make_smi_sections("v100-410"),
        WORKING_CONVOLUTION,
        wanted=ExpectedMachine(gpu="V100", gpus=1, gpu_memory=32),
    )
    assert find_finding(small, "gpu").cause == "gpu-small"


def test_other_processes_on_the_gpu_and_bad_memory() -> None:
    health = evaluate_answers(make_smi_sections("1080ti-440"), WORKING_CONVOLUTION)
    assert "20817 python" in find_finding(health, "busy").text
    assert find_finding(health, "busy").verdict is Verdict.WARNING
    assert (
        find_finding(evaluate_answers(make_smi_sections("v100-410"), WORKING_CONVOLUTION), "ecc").cause
        == "ecc-errors"
    )


def test_a_mig_slice_is_no_small_gpu() -> None:
    health = evaluate_answers(
        make_smi_sections("a100mig-450"),
        WORKING_CONVOLUTION,
        wanted=ExpectedMachine(gpu="A100", gpus=1, gpu_memory=80),
    )
    assert find_finding(health, "gpu").verdict is Verdict.OK
    assert "MIG" in find_finding(health, "gpu").text


@pytest.mark.parametrize(
    ("error_text", "status", "cause"),
    [
        (
            ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
            "NVIDIA driver is installed and running."), 9, "driver-gone",
        ),
        ("Failed to initialize NVML: Driver/library version mismatch", 18, "driver-halves"),
        ("No devices were found", 6, "no-devices"),
        ("Unable to determine the device handle for GPU 0000:41:00.0: GPU is lost.  Reboot the system", 15, "gpu-lost"),
    ],
)  # fmt: skip
def test_a_driver_that_does_not_work(error_text: str, status: int, cause: str) -> None:
    parts = "".join(make_section(name, error_text, status=status) for name in ("smi-xml", "smi", "smi-csv"))
    health = evaluate_answers(parts)
    assert find_finding(health, "driver").cause == cause
    assert find_finding(health, "driver").verdict is Verdict.FAILURE
    assert find_finding(health, "gpu").verdict is Verdict.FAILURE
    on_cpu = evaluate_answers(parts, wanted=ExpectedMachine())
    assert find_finding(on_cpu, "driver").verdict is Verdict.WARNING, "nobody pays for a GPU here"


def test_err_in_the_table() -> None:
    health = evaluate_answers(
        make_smi_sections("3090err-470"), WORKING_CONVOLUTION, wanted=ExpectedMachine(gpu="3090", gpus=2)
    )
    assert find_finding(health, "gpu").cause == "gpu-lost"


def test_no_gpu_is_reported() -> None:
    bare = make_section("nodes", "0") + make_section("bus", "0")
    health = evaluate_answers(bare, wanted=ExpectedMachine())
    unchecked = {one.check for one in health.findings_with(Verdict.UNCHECKED)}
    assert unchecked == {"driver", "gpu", "cudnn"}
    assert health.verdict is Verdict.OK
    trial = make_convolution_section(
        {**TORCH_STAGE, "cuda": "", "cudnn": None},
        CPU_STAGE,
        {"stage": "gpus", "count": 0, "error": "x"},
        END_STAGE,
    )
    on_cpu = evaluate_answers(bare, trial, wanted=ExpectedMachine())
    assert find_finding(on_cpu, "cudnn").verdict is Verdict.UNCHECKED
    assert "no GPU found" in find_finding(on_cpu, "cudnn").text
    rented = evaluate_answers(bare)
    assert find_finding(rented, "gpu").cause == "gpu-missing"


def test_a_framework_for_processors_alone_is_a_warning() -> None:
    error = {"stage": "gpus", "count": 0, "error": "Torch not compiled with CUDA enabled"}
    health = evaluate_answers(
        make_smi_sections("1080ti-440"),
        make_convolution_section({**TORCH_STAGE, "cuda": ""}, CPU_STAGE, error, END_STAGE),
    )
    assert {one.cause for one in health.findings_with(Verdict.WARNING)} >= {"no-cuda-build"}
    assert health.findings_with(Verdict.FAILURE) == ()


def test_the_framework_lies_in_another_python() -> None:
    health = evaluate_answers(
        make_smi_sections("h100-550"),
        WORKING_CONVOLUTION,
        wanted=ExpectedMachine(gpu="H100", gpus=1, python="python"),
    )
    assert find_finding(health, "framework").cause == "other-python"
    assert find_finding(health, "python").cause == "python2", "row R1: python is Python 2 on this machine"


def test_toolkit_newer_than_the_driver() -> None:
    health = evaluate_answers(
        make_smi_sections("1080ti-440"), survey=SURVEY_ANSWER.replace("cuda 10.1", "cuda 11.8")
    )
    assert find_finding(health, "cuda").cause == "driver-old"


@pytest.mark.parametrize(
    ("out", "verdict", "cause"),
    [
        ("67108864 bytes (67 MB, 64 MiB) copied, 0.0521 s, 1.3 GB/s", Verdict.OK, ""),
        ("67108864 bytes (67 MB, 64 MiB) copied, 11.3 s, 5.9 MB/s", Verdict.WARNING, "disk-slow"),
        ("dd: error writing 'zeros': No space left on device", Verdict.WARNING, "disk-full"),
        ("what?", Verdict.UNCHECKED, ""),
    ],
)
def test_the_disk(out: str, verdict: Verdict, cause: str) -> None:
    health = evaluate_answers(make_section("write", err=out, status=0 if "copied" in out else 1))
    assert (find_finding(health, "disk-speed").verdict, find_finding(health, "disk-speed").cause) == (
        verdict,
        cause,
    )
    full = evaluate_answers(survey=SURVEY_ANSWER.replace("home 90000000", "home 30000"))
    assert find_finding(full, "disk").verdict is Verdict.FAILURE


def test_clock_and_connection() -> None:
    health = evaluate_answers(
        measured=Measurements(clock_ahead=-4000.0, clock_margin=1.0, upload_rate=50_000.0, download_rate=4e6)
    )
    assert find_finding(health, "clock").cause == "clock-off"
    assert "4000 s behind" in find_finding(health, "clock").text
    assert find_finding(health, "network").cause == "line-slow"
    blind = evaluate_answers(measured=Measurements())
    assert find_finding(blind, "clock").verdict is find_finding(blind, "network").verdict is Verdict.UNCHECKED
    assert find_finding(evaluate_answers(measured=QUICK_CONNECTION), "clock").verdict is Verdict.OK
