"""What a step costs beside torch's, as ratios measured in one run: a part of `python -m tests.benchmarks`.

One torch thread. Each ratio is that of one repetition, in which all cases of a size take turns; medians and quartiles over
repetitions. Everything is divided by the faster of the two loops of torch.optim.RMSprop with the same parameters (the faster by
its median). Gradients stay as they are: only `step` is timed.

    small      12 tensors of an actor and a critic, 64-64                9,155 parameters
    batched    2 tensors [32, P], as a study of 32 runs has them         293,000
    large      one tensor                                                8,000,000
    layers     24 tensors of a wide network, 256 × 256 and biases        789,000

Memory is the growth of the process's peak while three steps are made in a fresh process, after the first has made the state.
"""

from __future__ import annotations

import ctypes
import functools
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import Parameter
from torch.optim import Adam, Optimizer, RMSprop

from rl_rmsprop import AdaptiveRMSprop
from tests.benchmarks.timing import Row, interleaved, spread

NETWORK = ((64, 4), (64,), (64, 64), (64,))
LAYERS = ((256, 256), (256,))


class Size(NamedTuple):
    """A set of parameters."""

    shapes: tuple[tuple[int, ...], ...]
    runs: int | None
    calls: int  # steps in each repetition


SIZES = {
    "small": Size((*NETWORK, (2, 64), (2,), *NETWORK, (1, 64), (1,)), None, 100),
    "batched": Size(((32, 4610), (32, 4545)), 32, 20),
    "large": Size(((8_000_000,),), None, 1),
    "layers": Size(LAYERS * 12, None, 10),
}

DESCRIPTIONS = {
    "small": "12 small tensors",
    "batched": "2 tensors of 32 runs",
    "large": "8 million parameters",
    "layers": "24 tensors of 256 × 256",
}

OURS: dict[str, dict[str, Any]] = {
    "a number": {},
    "a number, bias_correction": {"bias_correction": True},
    "linear schedule": {"alpha": "linear:start=0.5,end=0.99,steps=100000"},
    "cusum, surprise at every update": {"alpha": "cusum:arl=50000,max=0.99"},
    "a number, surprise measured at every update": {"measure_surprise": True},
}
BARS = {"a number": 1.0, "a number, bias_correction": 1.0, "cusum, surprise at every update": 1.5}
"""Largest ratio that is good enough, for the sizes small and large."""


def parameters(size: Size) -> list[Parameter]:
    """Parameters with gradients."""
    made = [Parameter(0.1 * torch.randn(shape)) for shape in size.shapes]
    for p in made:
        p.grad = torch.randn_like(p)
    return made


def ours(size: Size, measure_surprise: bool = False, **arguments: Any) -> AdaptiveRMSprop:
    """The optimizer under test."""
    optimizer = AdaptiveRMSprop(parameters(size), lr=1e-4, runs=size.runs, **arguments)
    optimizer.measure_surprise = measure_surprise
    return optimizer


def optimizers(size: Size) -> dict[str, Callable[[], Optimizer]]:
    """Name → how to make it: torch's, and ours."""
    return {
        "torch, loop": lambda: RMSprop(parameters(size), lr=1e-4, foreach=False),
        "torch, foreach": lambda: RMSprop(parameters(size), lr=1e-4, foreach=True),
        "torch, fused Adam": lambda: Adam(parameters(size), lr=1e-4, fused=True),
        **{name: lambda a=arguments: ours(size, **a) for name, arguments in OURS.items()},  # type: ignore[misc]
    }


def rows(repeats: int) -> list[Row]:
    """All optimizers with all sizes, and the memory that a step needs."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = [row for name, size in SIZES.items() for row in of_size(name, size, 5 * repeats)]
    found += masked(10 * repeats)
    for name in optimizers(SIZES["large"]):
        peak = spread([peak_growth(name, "large")])
        found.append(Row(f"extra memory of a step, {name}, 8 million parameters of 32 MB", peak, "MiB"))
    return found


def of_size(name: str, size: Size, repeats: int) -> list[Row]:
    """All optimizers with these parameters."""
    steps = {optimizer: make().step for optimizer, make in optimizers(size).items()}
    seconds = interleaved(steps, size.calls, repeats)
    base = min(("torch, loop", "torch, foreach"), key=lambda which: statistics.median(seconds[which]))
    found = []
    for which, mine in seconds.items():
        ratio = spread([a / b for a, b in zip(mine, seconds[base], strict=True)])
        bar = f"≤ {BARS[which]}" if which in BARS and name in ("small", "large") else ""
        own = f"{statistics.median(mine) * 1e6:,.0f} µs"
        found.append(Row(f"step of {which}; {DESCRIPTIONS[name]}", ratio, "×", f"{base.replace(',', ' RMSprop,')}", own, bar))
    return found


MASKED: dict[str, dict[str, Any]] = {
    "a number, bias_correction": {"bias_correction": True},
    "cusum, surprise at every update": {"alpha": "cusum:arl=50000,max=0.99", "bias_correction": True},
}


def masked(repeats: int) -> list[Row]:
    """A step that leaves one of 32 runs out, whose gradient is NaN, beside one of all."""
    found = []
    for name, arguments in MASKED.items():
        whole, part = (ours(SIZES["batched"], nonfinite="skip", **arguments) for _ in range(2))
        part.step()
        for p in part.param_groups[0]["params"]:
            p.grad[3] = float("nan")
        mask = torch.ones(32, dtype=torch.bool)
        mask[3] = False
        seconds = interleaved({"whole": whole.step, "part": functools.partial(part.step, mask=mask)}, 5, repeats)
        ratio = spread([a / b for a, b in zip(seconds["part"], seconds["whole"], strict=True)])
        own = f"{statistics.median(seconds['part']) * 1e6:,.0f} µs"
        found.append(Row(f"step of {name}, one of 32 runs masked", ratio, "×", "step of all 32 runs", own, "≤ 1.05"))
    return found


# Memory -------------------------------------------------------------------------------------------------------------------


def peak_growth(optimizer: str, size: str) -> float:
    """MiB by which steps raise the peak of a fresh process above what it holds between them."""
    code = f"from tests.benchmarks.optimizer import growth; print(growth({optimizer!r}, {size!r}))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def growth(optimizer: str, size: str) -> float:
    """As `peak_growth`, of this process."""
    torch.set_num_threads(1)
    step = optimizers(SIZES[size])[optimizer]().step
    step()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is not held
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
    before = resident("VmRSS")
    for _ in range(3):
        step()
    return (resident("VmHWM") - before) / 1024


def resident(key: str) -> int:
    """An entry of the process's status in KiB."""
    return int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0])
