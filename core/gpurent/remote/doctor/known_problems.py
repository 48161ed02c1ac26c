"""Known words of drivers, CUDA, cuDNN and frameworks, and what to do about each.

The patterns are the messages' fixed parts as their programs print them; versions are taken out of them. Order matters:
the first that fits names the trouble, so that causes stand before the complaints that follow from them.
"""

from __future__ import annotations

import re

from attrs import evolve, frozen

from gpurent.locale import N_, _


@frozen
class KnownProblem:
    """One known cause; ``check`` is the subject that it belongs to, ``pattern`` what it is recognised by."""

    cause: str
    check: str
    pattern: str
    text: str
    do: str


_TAKE_ANOTHER = N_(
    "Nothing on the machine can be done about it without its host: give it back, take another one."
)
_MATCH_CUDNN = N_(
    "Make both the same: install the framework's own build for this machine's CUDA (pip brings the right cuDNN along), "
    "or the cuDNN that it was built with; take another one out of LD_LIBRARY_PATH. Or choose another image."
)
_MATCH_DRIVER = N_(
    "Install a build of the framework that fits this driver (an older CUDA), or take a machine with a newer driver."
)

_MATCH_GPU = N_(
    "Install a build of the framework made for this GPU: a newer one for a new GPU, an older one for an old GPU."
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
            N_("parts of different cuDNN versions are loaded together"), _MATCH_CUDNN),
    KnownProblem(
        "driver-old", "driver",
        r"NVIDIA driver on your system is too old \(found version (?P<found>\d+)\)",
        N_("the driver is too old for the framework's CUDA (it serves CUDA {found})"), _MATCH_DRIVER,
    ),
    KnownProblem("driver-old", "driver",
            r"CUDA driver version is insufficient for CUDA runtime version|cudaErrorInsufficientDriver"
            r"|CUDA_ERROR_UNSUPPORTED_PTX_VERSION|forward compatibility was attempted on non supported HW",
            N_("the driver is too old for the framework's CUDA"), _MATCH_DRIVER),
    KnownProblem(
        "driver-halves", "driver",
        r"Driver/library version mismatch|unsupported display driver / cuda driver combination"
        r"|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|kernel version \S+ does not match DSO version",
        N_("the driver was changed under way: its parts in kernel and system differ"),
        N_("It must start anew: gpurent release, then gpurent restart where files are kept. Else take another one."),
    ),
    KnownProblem("driver-gone", "driver",
            r"couldn't communicate with the NVIDIA driver|Make sure that the latest NVIDIA driver",
            N_("the NVIDIA driver is not loaded"), _TAKE_ANOTHER),
    KnownProblem("gpu-lost", "gpu", r"GPU is lost|fallen off the bus|Unable to determine the device handle for GPU",
            N_("a GPU has fallen off the bus"), _TAKE_ANOTHER),
    KnownProblem("gpu-memory-broken", "gpu", r"[Uu]ncorrectable ECC error|CUDA_ERROR_ECC_UNCORRECTABLE",
            N_("a GPU's memory has errors that cannot be mended"), _TAKE_ANOTHER),
    KnownProblem("no-devices", "gpu", r"No devices were found|no CUDA-capable device is detected|CUDA_ERROR_NO_DEVICE",
            N_("the driver finds no GPU"), _TAKE_ANOTHER),
    KnownProblem(
        "no-kernel-image", "framework",
        r"CUDA capability (?P<found>sm_\d+) (?:which )?is not compatible with the current PyTorch",
        N_("this build of the framework has no code for the GPU ({found})"),
        _MATCH_GPU,
    ),
    KnownProblem("no-kernel-image", "framework",
            r"no kernel image is available for execution on the device|CUDA_ERROR_NO_BINARY_FOR_GPU"
            r"|device kernel image is invalid|cudaErrorNoKernelImageForDevice",
            N_("this build of the framework has no code for the GPU"),
            _MATCH_GPU),
    KnownProblem("no-cuda-build", "framework", r"Torch not compiled with CUDA enabled|TensorFlow is built without CUDA",
            N_("the framework that is installed can use the processor alone"),
            N_("Install its build for CUDA; a plain pip install in an image without one often brings the other.")),
    KnownProblem("gpu-memory-full", "gpu", r"CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED"
            r"|CUDNN_STATUS_ALLOC_FAILED|torch\.OutOfMemoryError",
            N_("there is no memory left on the GPU, even for a small convolution: somebody else uses it"),
            N_("Look who: gpurent exec LEASE nvidia-smi. If it is none of yours, give the machine back.")),
    KnownProblem("cudnn-missing", "cudnn",
            r"(?P<found>libcudnn[\w.-]*)(?:'; dlerror|: cannot open shared object|: undefined symbol)",
            N_("a part of cuDNN is missing or of another version: {found}"), _MATCH_CUDNN),
    KnownProblem("cudnn-missing", "cudnn", r"Unable to load any of \{(?P<found>libcudnn[\w.-]*)",
            N_("a part of cuDNN is missing or of another version: {found}"), _MATCH_CUDNN),
    KnownProblem("cudnn-missing", "cudnn", r"Could not load library (?P<found>libcudnn[\w.-]*)",
            N_("a part of cuDNN is missing or of another version: {found}"), _MATCH_CUDNN),
    KnownProblem(
        "cuda-missing", "cuda",
        r"(?P<found>lib(?:cuda|cudart|cublas|cublasLt|cufft|curand|cusolver|cusparse|nvrtc|nccl)\.so[\w.]*)"
        r"(?:'; dlerror|: cannot open shared object)",
        N_("a library of CUDA is missing: {found}"),
        N_("Install the CUDA that the framework was built with, or a framework that brings its own (pip, conda)."),
    ),
    KnownProblem("cudnn-start", "cudnn",
            r"CUDNN_STATUS_(?:NOT_INITIALIZED|INTERNAL_ERROR)|Could not create cudnn handle|cuDNN failed to initialize"
            r"|DNN library (?:is not found|initialization failed)|Failed to get convolution algorithm",
            N_("cuDNN does not start"),
            N_("Most often another process holds the GPU's memory, or driver, CUDA and cuDNN do not fit: see the other "
               "findings. TensorFlow: TF_FORCE_GPU_ALLOW_GROWTH=true often helps.")),
    KnownProblem("cudnn-error", "cudnn", r"(?P<found>CUDNN_STATUS_[A-Z_]+)",
            N_("cuDNN fails: {found}"), _MATCH_CUDNN),
    KnownProblem("gpu-fault", "gpu",
            r"illegal memory access was encountered|unspecified launch failure|hardware stack error"
            r"|CUDA_ERROR_LAUNCH_FAILED|CUDA error: misaligned address",
            N_("the GPU broke off a small convolution"), _TAKE_ANOTHER),
    KnownProblem("cublas-start", "cuda", r"CUBLAS_STATUS_NOT_INITIALIZED|Failed to create cublas handle",
            N_("cuBLAS does not start"),
            N_("Most often the GPU's memory is taken, or driver and CUDA do not fit: see the other findings.")),
    KnownProblem("cuda-start", "cuda", r"CUDA unknown error|CUDA error: unknown error|CUDA_ERROR_UNKNOWN"
            r"|system not yet initialized|CUDA initialization error|CUDA_ERROR_NOT_INITIALIZED",
            N_("CUDA does not start on this machine"), _TAKE_ANOTHER),
)  # fmt: skip


def find_known_problem(text: str) -> KnownProblem | None:
    """The trouble that ``text`` speaks of, in the user's language; None when none is known."""
    for known in _KNOWN_PROBLEMS:
        if match := re.search(known.pattern, text, re.ASCII):
            number = _parse_cuda_version if known.check == "driver" else _parse_cudnn_version
            parts = {name: number(value) for name, value in match.groupdict("").items()}
            return evolve(known, text=_(known.text).format(**parts), do=_(known.do))
    return None


def _parse_cuda_version(value: str) -> str:
    """11040 is CUDA 11.4."""
    return f"{int(value) // 1000}.{int(value) % 1000 // 10}" if re.fullmatch(r"\d{4,5}", value) else value


def _parse_cudnn_version(value: str) -> str:
    """ "(8, 9, 2)", "8.9.2." and 8902 are all 8.9.2."""
    plain = re.sub(r",\s*", ".", value).strip(" .")
    return decode_cudnn_version(int(plain)) if re.fullmatch(r"\d{4,5}", plain) else plain


def decode_cudnn_version(number: int) -> str:
    """The library's own number: 7605 and 90100, by its two ways of counting."""
    unit = 10000 if number >= 90000 else 1000
    return f"{number // unit}.{number % unit // 100}.{number % 100}"
