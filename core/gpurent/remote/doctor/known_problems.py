"""Known error messages of drivers, CUDA, cuDNN and frameworks, and what to do about each.

The patterns are the constant parts of messages as the programs print them; versions are extracted. Order matters: the
first match wins, so causes come before the errors that they lead to.
"""

from __future__ import annotations

import re

from attrs import evolve, frozen

from gpurent.locale import N_, _


@frozen
class KnownProblem:
    """One known cause. ``check`` is the check that it belongs to, ``pattern`` matches its message."""

    cause: str
    check: str
    pattern: str
    text: str
    do: str


_TAKE_ANOTHER = N_("Only the machine's owner can fix this: release the machine, and rent another one.")
_MATCH_CUDNN = N_(
    "Make the versions match: install the framework build for this machine's CUDA (pip installs the "
    "right cuDNN with it), or the cuDNN that the framework was built with, and remove any other one "
    "from LD_LIBRARY_PATH. Or choose another image."
)
_MATCH_DRIVER = N_(
    "Install a framework build that works with this driver (for an older CUDA), or rent a machine "
    "with a newer driver."
)

_MATCH_GPU = N_(
    "Install a framework build that supports this GPU: a newer one for a new GPU, an older one for an"
    " old GPU."
)

_KNOWN_PROBLEMS = (
    KnownProblem(
        "cudnn-mismatch", "cudnn",
        r"Loaded runtime CuDNN library: ?(?P<found>\d[\d.]*).{0,60}?"
        r"but source was compiled with:? ?(?P<built>\d[\d.]*\d|\d)",
        N_("cuDNN {found} is loaded, but the framework was built with {built}"), _MATCH_CUDNN,
    ),
    KnownProblem(
        "cudnn-mismatch", "cudnn",
        r"(?i:cuDNN version incompatibility): PyTorch was compiled\s+against \((?P<built>[\d, ]+)\)\s+"
        r"but found runtime version \((?P<found>[\d, ]+)\)",
        N_("cuDNN {found} is loaded, but the framework was built with {built}"), _MATCH_CUDNN,
    ),
    KnownProblem("cudnn-mismatch", "cudnn", r"CUDNN_STATUS_(?:SUBLIBRARY_)?VERSION_MISMATCH",
            N_("libraries of different cuDNN versions are loaded together"), _MATCH_CUDNN),
    KnownProblem(
        "driver-old", "driver",
        r"NVIDIA driver on your system is too old \(found version (?P<found>\d+)\)",
        N_("the driver is too old for the framework's CUDA (it supports CUDA {found})"), _MATCH_DRIVER,
    ),
    KnownProblem("driver-old", "driver",
            r"CUDA driver version is insufficient for CUDA runtime version|cudaErrorInsufficientDriver"
            r"|CUDA_ERROR_UNSUPPORTED_PTX_VERSION|forward compatibility was attempted on non supported HW",
            N_("the driver is too old for the framework's CUDA"), _MATCH_DRIVER),
    KnownProblem(
        "driver-halves", "driver",
        r"Driver/library version mismatch|unsupported display driver / cuda driver combination"
        r"|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|kernel version \S+ does not match DSO version",
        N_("the driver was replaced while in use: its kernel module and its libraries have different "
           "versions"),
        N_("Restart the machine: gpurent release LEASE, then: gpurent restart LEASE, if its files are kept. "
           "Otherwise rent another one."),
    ),
    KnownProblem("driver-gone", "driver",
            r"couldn't communicate with the NVIDIA driver|Make sure that the latest NVIDIA driver",
            N_("the NVIDIA driver is not loaded"), _TAKE_ANOTHER),
    KnownProblem("gpu-lost", "gpu", r"GPU is lost|fallen off the bus|Unable to determine the device handle for GPU",
            N_("a GPU has fallen off the bus"), _TAKE_ANOTHER),
    KnownProblem("gpu-memory-broken", "gpu", r"[Uu]ncorrectable ECC error|CUDA_ERROR_ECC_UNCORRECTABLE",
            N_("a GPU has uncorrectable memory errors"), _TAKE_ANOTHER),
    KnownProblem("no-devices", "gpu", r"No devices were found|no CUDA-capable device is detected|CUDA_ERROR_NO_DEVICE",
            N_("the driver finds no GPU"), _TAKE_ANOTHER),
    KnownProblem(
        "no-kernel-image", "framework",
        r"CUDA capability (?P<found>sm_\d+) (?:which )?is not compatible with the current PyTorch",
        N_("this build of the framework does not support the GPU ({found})"),
        _MATCH_GPU,
    ),
    KnownProblem("no-kernel-image", "framework",
            r"no kernel image is available for execution on the device|CUDA_ERROR_NO_BINARY_FOR_GPU"
            r"|device kernel image is invalid|cudaErrorNoKernelImageForDevice",
            N_("this build of the framework does not support the GPU"),
            _MATCH_GPU),
    KnownProblem("no-cuda-build", "framework", r"Torch not compiled with CUDA enabled|TensorFlow is built without CUDA",
            N_("the installed framework only supports the CPU"),
            N_("Install its CUDA build; in an image without the framework, a plain pip install often "
               "gets the CPU build.")),
    KnownProblem("gpu-memory-full", "gpu", r"CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED"
            r"|CUDNN_STATUS_ALLOC_FAILED|torch\.OutOfMemoryError",
            N_("the GPU has no memory left, even for a small convolution: another process is using it"),
            N_("Find out which: gpurent exec LEASE nvidia-smi. If it is not yours, release the machine.")),
    KnownProblem("cudnn-missing", "cudnn",
            r"(?P<found>libcudnn[\w.-]*)(?:'; dlerror|: cannot open shared object|: undefined symbol)",
            N_("a cuDNN library is missing or has the wrong version: {found}"), _MATCH_CUDNN),
    KnownProblem("cudnn-missing", "cudnn", r"Unable to load any of \{(?P<found>libcudnn[\w.-]*)",
            N_("a cuDNN library is missing or has the wrong version: {found}"), _MATCH_CUDNN),
    KnownProblem("cudnn-missing", "cudnn", r"Could not load library (?P<found>libcudnn[\w.-]*)",
            N_("a cuDNN library is missing or has the wrong version: {found}"), _MATCH_CUDNN),
    KnownProblem(
        "cuda-missing", "cuda",
        r"(?P<found>lib(?:cuda|cudart|cublas|cublasLt|cufft|curand|cusolver|cusparse|nvrtc|nccl)\.so[\w.]*)"
        r"(?:'; dlerror|: cannot open shared object)",
        N_("a CUDA library is missing: {found}"),
        N_("Install the CUDA version that the framework was built with, or a framework that includes "
           "its own (pip, conda)."),
    ),
    KnownProblem("cudnn-start", "cudnn",
            r"CUDNN_STATUS_(?:NOT_INITIALIZED|INTERNAL_ERROR)|Could not create cudnn handle|cuDNN failed to initialize"
            r"|DNN library (?:is not found|initialization failed)|Failed to get convolution algorithm",
            N_("cuDNN failed to initialize"),
            N_("Usually another process is using the GPU memory, or the driver, CUDA and cuDNN "
               "versions do not match: see the other findings. With TensorFlow, "
               "TF_FORCE_GPU_ALLOW_GROWTH=true often helps.")),
    KnownProblem("cudnn-error", "cudnn", r"(?P<found>CUDNN_STATUS_[A-Z_]+)",
            N_("cuDNN error: {found}"), _MATCH_CUDNN),
    KnownProblem("gpu-fault", "gpu",
            r"illegal memory access was encountered|unspecified launch failure|hardware stack error"
            r"|CUDA_ERROR_LAUNCH_FAILED|CUDA error: misaligned address",
            N_("a small convolution failed on the GPU"), _TAKE_ANOTHER),
    KnownProblem("cublas-start", "cuda", r"CUBLAS_STATUS_NOT_INITIALIZED|Failed to create cublas handle",
            N_("cuBLAS failed to initialize"),
            N_("Usually the GPU memory is in use, or the driver and CUDA versions do not match: see "
               "the other findings.")),
    KnownProblem("cuda-start", "cuda", r"CUDA unknown error|CUDA error: unknown error|CUDA_ERROR_UNKNOWN"
            r"|system not yet initialized|CUDA initialization error|CUDA_ERROR_NOT_INITIALIZED",
            N_("CUDA failed to initialize on this machine"), _TAKE_ANOTHER),
)  # fmt: skip


def find_known_problem(text: str) -> KnownProblem | None:
    """Return the known problem that ``text`` contains, in the user's language; None if there is none."""
    for known in _KNOWN_PROBLEMS:
        if match := re.search(known.pattern, text, re.ASCII):
            number = _parse_cuda_version if known.check == "driver" else _parse_cudnn_version
            parts = {name: number(value) for name, value in match.groupdict("").items()}
            return evolve(known, text=_(known.text).format(**parts), do=_(known.do))
    return None


def _parse_cuda_version(value: str) -> str:
    """Parse a CUDA version number: 11040 is CUDA 11.4."""
    return f"{int(value) // 1000}.{int(value) % 1000 // 10}" if re.fullmatch(r"\d{4,5}", value) else value


def _parse_cudnn_version(value: str) -> str:
    """Parse a cuDNN version: "(8, 9, 2)", "8.9.2." and 8902 are all 8.9.2."""
    plain = re.sub(r",\s*", ".", value).strip(" .")
    return decode_cudnn_version(int(plain)) if re.fullmatch(r"\d{4,5}", plain) else plain


def decode_cudnn_version(number: int) -> str:
    """Decode the library's own version number in either of its formats, such as 7605 and 90100."""
    unit = 10000 if number >= 90000 else 1000
    return f"{number // unit}.{number % unit // 100}.{number % 100}"
