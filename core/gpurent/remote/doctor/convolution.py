"""Runs on the rented machine: a forward and backward convolution on every GPU and on the CPU.

Usage: ``python convolution.py torch|tensorflow``. Each stage is printed as one line of JSON after a marker before the
next stage begins, so that a crash shows how far it got. Needs only the framework, and Python 3.6 or later.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

MARK = "gpurent-convolution:"
INPUT_SHAPE = (4, 3, 32, 32)
# Well above the rounding errors of reduced precision (TF32), well below those of a defective unit.
TOLERANCE = 0.05


def report_stage(stage: str, **facts: Any) -> None:
    """Print one line for the parser."""
    facts["stage"] = stage
    sys.stdout.write(MARK + json.dumps(facts, sort_keys=True) + "\n")
    sys.stdout.flush()


def format_error(error: Exception) -> str:
    return "%s: %s" % (type(error).__name__, str(error)[:1500])  # noqa: UP031 - old Pythons


def try_devices(devices: list[tuple[str, str]], convolve: Callable[[str], float], reference: float) -> None:
    """Run the convolution on every device, and compare it with the CPU's result."""
    for number, name in devices:
        begun = time.time()
        try:
            total = convolve(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            report_stage("device", device=name, error=format_error(error))
            continue
        if not abs(total - reference) <= TOLERANCE * (1 + abs(reference)):
            report_stage("device", device=name, error="the result is wrong: %r, not %r" % (total, reference))  # noqa: UP031
            continue
        report_stage("device", device=name, seconds=round(time.time() - begun, 3))


def run_torch() -> None:
    import torch

    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    report_stage(
        "import", framework="torch", version=torch.__version__, cuda=torch.version.cuda or "", cudnn=cudnn
    )

    def convolve(device: str) -> float:
        torch.manual_seed(1)
        net = torch.nn.Conv2d(INPUT_SHAPE[1], 8, 3, padding=1)
        given = torch.randn(*INPUT_SHAPE)
        net, given = net.to(device), given.to(device).requires_grad_(True)
        net(given).pow(2).mean().backward()
        return float(given.grad.abs().sum().item() + net.weight.grad.abs().sum().item())

    begun = time.time()
    reference = convolve("cpu")
    report_stage("cpu", seconds=round(time.time() - begun, 3))
    if not torch.version.cuda:
        report_stage("gpus", count=0, error="Torch not compiled with CUDA enabled")
        return
    if not torch.cuda.is_available():
        try:
            torch.zeros(1).cuda()
            reason = "torch.cuda.is_available() is False"
        except Exception as error:  # noqa: BLE001 - the reason why there is none
            reason = format_error(error)
        report_stage("gpus", count=0, error=reason)
        return
    count = torch.cuda.device_count()
    report_stage("gpus", count=count)
    try_devices([("cuda:%d" % i, "cuda:%d" % i) for i in range(count)], convolve, reference)  # noqa: UP031


def run_tensorflow() -> None:
    import tensorflow as tf

    facts: Any = {}
    with contextlib.suppress(Exception):  # missing before TensorFlow 2.3
        facts = dict(tf.sysconfig.get_build_info())
    report_stage(
        "import",
        framework="tensorflow",
        version=tf.__version__,
        cuda=str(facts.get("cuda_version", "")),
        cudnn=str(facts.get("cudnn_version", "")),
    )
    new = int(tf.__version__.split(".")[0]) >= 2
    convolve = convolve_eagerly if new else convolve_in_session
    begun = time.time()
    reference = convolve(tf, "/CPU:0")
    report_stage("cpu", seconds=round(time.time() - begun, 3))
    if not tf.test.is_built_with_cuda():
        report_stage("gpus", count=0, error="TensorFlow is built without CUDA")
        return
    if new:
        count = len(tf.config.list_physical_devices("GPU"))
    else:
        from tensorflow.python.client import device_lib

        count = sum(1 for device in device_lib.list_local_devices() if device.device_type == "GPU")
    report_stage("gpus", count=count)
    try_devices(
        [("/GPU:%d" % i, "gpu:%d" % i) for i in range(count)],  # noqa: UP031
        lambda name: convolve(tf, name),
        reference,
    )


def make_numbers(size: int) -> list[float]:
    """Return numbers between -1 and 1, the same on every device."""
    return [((i * 37) % 101) / 50.0 - 1 for i in range(size)]


def build_graph(tf: Any, gradients: Callable[..., Any]) -> Any:
    """Return the sum of the magnitudes of both gradients, as a tensor."""
    batch, channels, height, width = INPUT_SHAPE
    size = batch * channels * height * width
    given = tf.reshape(tf.constant(make_numbers(size), tf.float32), (batch, height, width, channels))
    kernel = tf.reshape(tf.constant(make_numbers(9 * channels * 8), tf.float32), (3, 3, channels, 8))
    found = gradients(
        lambda: tf.reduce_mean(tf.square(tf.nn.conv2d(given, kernel, strides=[1, 1, 1, 1], padding="SAME"))),
        given,
        kernel,
    )
    return tf.add_n([tf.reduce_sum(tf.abs(part)) for part in found])


def convolve_eagerly(tf: Any, device: str) -> float:
    def gradients(loss: Callable[[], Any], *sources: Any) -> Any:
        with tf.GradientTape() as tape:
            for source in sources:
                tape.watch(source)
            value = loss()
        return tape.gradient(value, list(sources))

    with tf.device(device):
        return float(build_graph(tf, gradients).numpy())


def convolve_in_session(tf: Any, device: str) -> float:
    with tf.Graph().as_default(), tf.device(device):
        total = build_graph(tf, lambda loss, *sources: tf.gradients(loss(), list(sources)))
        with tf.Session() as session:
            return float(session.run(total))


if __name__ == "__main__":
    try:
        {"torch": run_torch, "tensorflow": run_tensorflow}[sys.argv[1]]()
    except Exception as error:  # noqa: BLE001 - reported, not raised
        report_stage("failed", error=format_error(error))
    report_stage("end")
