"""What detectors promise and what they do: `python -m tests.benchmarks.detectors` (15 minutes on one core; `--quick`: three).

*Average run length (ARL)*: updates at which an alarm was possible, divided by alarms, over many runs of one stream without a
shift; after an alarm a detector starts again. An alarm is possible at once with known parameters (standardize=false), and from
the end of the burn-in with the standardizer. Streams have unit variance; `trend D` drifts by one standard deviation in D
updates, `gumbel` is skewed (1.14), `log χ²₄` skewed the other way (−0.76).

*Delay*: mean updates from a shift to the alarm, of runs without an alarm before. With known parameters the shift is there from
the start, as in the reference values (Brook and Evans 1972, 120 states).

*Cost*: median time of one update divided by the number of runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from rl_rmsprop.detectors import Cusum, Detector, Ewma, PageHinkley, SequentialTest, ShiryaevRoberts, TrackingSignal, parse
from tests import references

F64 = torch.float64
CHUNK = 200  # updates drawn at once

# Streams --------------------------------------------------------------------------------------------------------------


def normal(noise: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=noise, dtype=F64)


def t3(noise: torch.Generator, *shape: int) -> Tensor:
    """Student's t with 3 degrees of freedom, at unit variance."""
    return normal(noise, *shape) / chi_square(noise, 3, *shape).sqrt()


def chi_square(noise: torch.Generator, squares: int, *shape: int) -> Tensor:
    """A sum of so many squares."""
    return normal(noise, squares, *shape).square().sum(0)


def bounded(noise: torch.Generator, *shape: int) -> Tensor:
    """Two values within [−1, 1] and mean 0: 1 with probability 0.2, −0.25 else."""
    return torch.where(torch.rand(*shape, generator=noise, dtype=F64) < 0.2, 1.0, -0.25)


def gumbel(noise: torch.Generator, *shape: int) -> Tensor:
    uniform = torch.rand(*shape, generator=noise, dtype=F64).clamp(1e-12, 1 - 1e-12)
    return -(-uniform.log()).log() * (math.sqrt(6) / math.pi)


def log_chi_square(noise: torch.Generator, *shape: int) -> Tensor:
    """Ln of a sum of four squares, as a gradient norm of few directions would be, at unit variance."""
    return chi_square(noise, 4, *shape).log() / 0.803


DRAWS: dict[str, Callable[..., Tensor]] = {
    "normal": normal,
    "t3": t3,
    "bounded": bounded,
    "gumbel": gumbel,
    "log χ²₄": log_chi_square,
}


def stream(kind: str, runs: int, seed: int = 0) -> Iterator[Tensor]:
    """Observations [runs] without end: one of DRAWS, `AR φ`, or `trend D` (one standard deviation in D updates)."""
    noise = torch.Generator().manual_seed(seed)
    name, _, number = kind.partition(" ")
    draw = DRAWS.get(kind, normal)
    phi, slope = float(number) if name == "AR" else 0.0, 1 / float(number) if name == "trend" else 0.0
    last = normal(noise, runs)
    for t in itertools.count(0, CHUNK):
        for i, x in enumerate(draw(noise, CHUNK, runs)):
            last = phi * last + math.sqrt(1 - phi * phi) * x if phi else x
            yield last + slope * (t + i) if slope else last


# Measures -------------------------------------------------------------------------------------------------------------


def average_run_length(detector: SequentialTest, kind: str, updates: int, runs: int, seed: int = 0) -> float:
    """Updates at which an alarm was possible, per alarm; infinite if there was none."""
    burn_in = detector.burn_in if detector.standardize else 0
    state = detector.init(torch.arange(runs))
    possible, alarms = torch.zeros((), dtype=F64), torch.zeros((), dtype=F64)
    for x in itertools.islice(stream(kind, runs, seed), updates):
        possible += (state["seen"] >= burn_in).sum()
        verdict = detector.update(state, x)
        alarms += verdict.alarm.sum()
        state = verdict.state
    return float(possible / alarms) if alarms else math.inf


def delay(detector: SequentialTest, size: float, before: int, runs: int, most: int = 3000, seed: int = 0) -> float:
    """Mean updates from a shift by `size` standard deviations after `before` updates to the alarm."""
    state = detector.init(torch.arange(runs))
    quiet, found = torch.ones(runs, dtype=torch.bool), torch.full((runs,), math.nan, dtype=F64)
    for t, x in enumerate(itertools.islice(stream("normal", runs, seed), before + most)):
        verdict = detector.update(state, x + size * (t >= before))
        state = verdict.state
        if t < before:
            quiet &= ~verdict.alarm
        else:
            found = torch.where(verdict.alarm & found.isnan(), float(t - before + 1), found)
            if not found[quiet].isnan().any():
                break
    return found[quiet].nanmean().item()


def cost(detector: Detector, runs: int, updates: int) -> float:
    """Nanoseconds for one run and update."""
    state, times = detector.init(torch.arange(runs)), []
    for x in itertools.islice(stream("normal", runs), updates):
        start = time.perf_counter()
        verdict = detector.update(state, x)
        times.append(time.perf_counter() - start)
        state = verdict.state
    return statistics.median(times) / runs * 1e9


def rivers_cost(name: str, updates: int) -> float:
    """As `cost`, of river's own object without the adapter, and the mean: ADWIN works at every 32nd update only."""
    state = parse(name).init(torch.arange(1))
    rivers: Any = state["streams"][0]
    values = [x.item() for x in itertools.islice(stream("normal", 1), updates)]
    start = time.perf_counter()
    for x in values:
        rivers.update(x)
    return (time.perf_counter() - start) / updates * 1e9


# Tables ---------------------------------------------------------------------------------------------------------------

Rows = list[tuple[str, str, float, str]]
"""What, where, measured, and what it should be."""

SIZES = (0.5, 1.0, 2.0, 3.0)


def known_parameters(share: float) -> Rows:
    """Detectors on independent N(0, 1) noise that they know."""
    rows: Rows = []
    for arl in (1000, 10_000):
        for name, kind in {"cusum": Cusum, "page_hinkley": PageHinkley, "ewma": Ewma, "tracking_signal": TrackingSignal}.items():
            test = kind(arl=arl, standardize=False)
            measured = average_run_length(test, "normal", int(share * 5 * arl), 4_000_000 // arl)
            exact = name != "page_hinkley"
            rows.append((f"{name}, ARL", f"normal, arl {arl}", measured, f"{arl} ± 10 %" if exact else f"{arl} nominal"))
        test = Cusum(arl=arl, standardize=False)
        for size in SIZES:
            reference = references.CUSUM_DELAYS[arl][size]
            rows.append(("cusum, delay", f"{size} σ, arl {arl}", delay(test, size, 0, 4000), f"{reference} ± 10 %"))
    return rows


def guaranteed(share: float) -> Rows:
    """The e-detector on streams whose mean given the past is 0, or can be made so, beside the delay of cusum."""
    rows: Rows = []
    for kind in ("normal", "t3", "bounded"):
        measured = average_run_length(ShiryaevRoberts(arl=1000, standardize=False), kind, int(share * 10_000), 2000)
        rows.append(("e_sr, ARL", f"{kind}, known", measured, "≥ 1000"))
    for kind in ("normal", "t3", "bounded", "AR 0.5"):
        measured = average_run_length(ShiryaevRoberts(arl=1000), kind, int(share * 20_000), 1000)
        rows.append(("e_sr, ARL", f"{kind}, standardizer", measured, "≥ 1000"))
    for size in SIZES:
        measured = delay(ShiryaevRoberts(arl=1000, standardize=False), size, 0, 4000)
        rows.append(("e_sr, delay", f"{size} σ, arl 1000", measured, f"cusum {references.CUSUM_DELAYS[1000][size]}"))
    return rows


def self_calibrating(share: float) -> Rows:
    """The default on streams of unknown level, scale and correlation, and with a real shift after 600 updates."""
    rows: Rows = []
    kinds = ("normal", "AR 0.5", "AR 0.9", "t3", "trend 2000", "trend 8000", "trend 1000", "gumbel", "log χ²₄")
    for arl, updates, runs in ((1000, 10_000, 500), (5000, 20_000, 500), (50_000, 50_000, 500)):
        for kind in kinds:
            promised = kind not in ("trend 1000", "gumbel", "log χ²₄")
            measured = average_run_length(Cusum(arl=arl), kind, int(share * updates), runs)
            rows.append(("cusum, ARL", f"{kind}, arl {arl}", measured, f"{arl} ×÷ 2" if promised else f"{arl}, limit"))
    for size in SIZES:
        reference = references.CUSUM_DELAYS[50_000][size]
        rows.append(("cusum, delay", f"{size} σ, arl 50000", delay(Cusum(), size, 600, 1000), f"{reference} if known"))
    others = {"page_hinkley": PageHinkley(arl=5000), "ewma": Ewma(arl=5000), "tracking_signal": TrackingSignal(arl=5000)}
    for name, detector in others.items():
        for where in kinds[:5]:
            measured = average_run_length(detector, where, int(share * 20_000), 500)
            rows.append((f"{name}, ARL", f"{where}, arl 5000", measured, "5000 nominal"))
    return rows


def costs(share: float) -> Rows:
    """Nanoseconds for one run and update."""
    rows: Rows = []
    for runs in (1000, 10_000):
        for test in (Cusum(standardize=False), Cusum(), Ewma(), ShiryaevRoberts(), TrackingSignal(), PageHinkley()):
            what = f"{type(test).__name__}, {'standardizer' if test.standardize else 'known'}"
            bar = "≤ 50 ns" if isinstance(test, Cusum) and runs == 1000 else "–"
            rows.append((what, f"{runs} runs at once", cost(test, runs, int(share * 2000)), bar))
    for name in ("adwin", "river_page_hinkley", "kswin"):
        updates = 500 if name == "kswin" else int(share * 200_000)
        rows.append((f"river's {name}", "one stream, its own object", rivers_cost(name, updates), "–"))
    return rows


def main() -> None:
    """Measure everything, print a table, write runs/benchmarks/detectors.json."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--quick", action="store_true", help="a fifth of the updates")
    share = 0.2 if options.parse_args().quick else 1.0
    torch.set_num_threads(1)
    console = Console(width=110)
    result: dict[str, Rows] = {}
    for part in (known_parameters, guaranteed, self_calibrating, costs):
        result[part.__name__] = rows = part(share)
        table = Table("what", "where", "measured", "nominal or reference", title=(part.__doc__ or "").split("\n")[0])
        for what, where, measured, should in rows:
            table.add_row(what, where, f"{measured:,.1f}" if measured < 1000 else f"{measured:,.0f}", should)
        console.print(table)
    out = Path("runs/benchmarks")
    out.mkdir(parents=True, exist_ok=True)
    (out / "detectors.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
