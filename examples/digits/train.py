"""Teaches a small network to read hand-written digits, with nothing but Python 3.8 or later."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import random
import sys
import time
from operator import mul
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLASSES = 10
TEST_EVERY = 5  # each fifth sample is for testing
RATE = 0.1  # of the first step; it falls to a tenth by the last epoch


class Network:
    """Inputs -> tanh units -> softmax over the ten digits; the last weight of each row is the bias."""

    def __init__(self, inputs: int, hidden: int, rng: random.Random) -> None:
        self.hidden = [_row(inputs, rng) for _ in range(hidden)]
        self.output = [_row(hidden, rng) for _ in range(CLASSES)]

    def forward(self, pixels: list[float]) -> tuple[list[float], list[float]]:
        """The hidden units with a trailing 1 for the bias, and the chances of the digits."""
        units = [math.tanh(sum(map(mul, row, pixels))) for row in self.hidden]
        units.append(1.0)
        scores = [sum(map(mul, row, units)) for row in self.output]
        top = max(scores)
        powers = [math.exp(score - top) for score in scores]
        total = sum(powers)
        return units, [power / total for power in powers]

    def learn(self, pixels: list[float], digit: int, rate: float) -> float:
        """One step down the slope of the cross-entropy; returns its value before the step."""
        units, chances = self.forward(pixels)
        loss = -math.log(max(chances[digit], 1e-12))
        chances[digit] -= 1.0
        slopes = [0.0] * len(self.hidden)
        for row, slope in zip(self.output, chances):
            slopes = [s + slope * weight for s, weight in zip(slopes, row)]
            step = rate * slope
            row[:] = [weight - step * unit for weight, unit in zip(row, units)]
        for row, slope, unit in zip(self.hidden, slopes, units):
            step = rate * slope * (1.0 - unit * unit)
            row[:] = [weight - step * pixel for weight, pixel in zip(row, pixels)]
        return loss

    def guess(self, pixels: list[float]) -> int:
        chances = self.forward(pixels)[1]
        return chances.index(max(chances))


def _row(inputs: int, rng: random.Random) -> list[float]:
    spread = 1.0 / math.sqrt(inputs)
    return [rng.gauss(0.0, spread) for _ in range(inputs)] + [0.0]


def load(path: Path) -> list[tuple[list[float], int]]:
    """Samples of 64 pixels between 0 and 1, a trailing 1 for the bias, and the digit they show."""
    with gzip.open(str(path), "rt", encoding="ascii", newline="") as file:
        rows = [[int(float(cell)) for cell in row] for row in csv.reader(file)]
    return [([pixel / 16 for pixel in row[:-1]] + [1.0], row[-1]) for row in rows]


def write_json(path: Path, value: object) -> None:
    """Whoever copies the file while we run gets the old one or the new one, never half of one."""
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="ascii")
    partial.replace(path)


def train(options: argparse.Namespace) -> None:
    rng = random.Random(options.seed)
    samples = load(HERE / "digits.csv.gz")
    testing = samples[::TEST_EVERY]
    training = [sample for index, sample in enumerate(samples) if index % TEST_EVERY]
    network = Network(len(samples[0][0]) - 1, options.hidden, rng)
    options.out.mkdir(parents=True, exist_ok=True)
    epochs: list[dict[str, float]] = []
    started = time.monotonic()
    for epoch in range(1, options.epochs + 1):
        rate = RATE * 0.1 ** ((epoch - 1) / max(1, options.epochs - 1))
        rng.shuffle(training)
        loss = sum(network.learn(pixels, digit, rate) for pixels, digit in training) / len(training)
        accuracy = sum(network.guess(pixels) == digit for pixels, digit in testing) / len(testing)
        epochs.append({"epoch": epoch, "loss": round(loss, 6), "accuracy": round(accuracy, 6)})
        time.sleep(options.sleep_per_epoch)
        write_json(options.out / "weights.json", {"hidden": network.hidden, "output": network.output})
        write_json(
            options.out / "metrics.json",
            {
                "accuracy": round(accuracy, 6),
                "epochs": epochs,
                "planned_epochs": options.epochs,
                "seed": options.seed,
                "sizes": {
                    "training": len(training),
                    "testing": len(testing),
                    "inputs": len(samples[0][0]) - 1,
                    "hidden": options.hidden,
                    "classes": CLASSES,
                },
            },
        )
        passed = time.monotonic() - started
        print(
            f"epoch {epoch}/{options.epochs} loss {loss:.4f} accuracy {accuracy:.4f} ({passed:.1f} s)",
            flush=True,
        )


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=positive, default=8, help="passes over the training samples")
    parser.add_argument("--hidden", type=positive, default=56, help="units of the hidden layer")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same files")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument(
        "--sleep-per-epoch", type=float, default=0, metavar="SECONDS", help="makes a run longer"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    train(parse(sys.argv[1:]))
