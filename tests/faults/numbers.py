"""Numbers: the optimizer against a float64 reference over its whole range, and NaN and infinity that must not leave a trace.

Cases are drawn from seeds, the same in every process: β a number, a schedule, set by a detector, or by a law; every
option; float32, float64 and bfloat16; gradients from 1e-45 to 3e38 in size, of which those whose square overflows are skipped.

    |E − E_ref| ≤ 2 T (u + v/(1 − β)) E_ref + tiny        |θ − θ_ref| ≤ 2 T (u + v/(1 − β)) (largest |θ| + sum of |steps|) + tiny

T updates, u the rounding unit of the parameters' type (`torch.finfo.eps`), v that of the type in which the rule computes β, tiny
the smallest normal number. With `centered` θ's bound is E/(E − m²) times that, since there a difference of two means divides, and
with weight decay both are four times that, since θ's error comes back as a gradient. Cases that hang on rounding (a law's
decision where g² and Ê are as near as that or both near tiny, a variance that is almost all rounding) are drawn again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from agents.normalization import Moments, RewardNormalizer
from agents.per_run import PerRun
from rl_rmsprop.baselines import BASELINES, parse
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from tests import references
from tests.faults.table import Row

CASES, INJECTED, NORMALIZED = 10_000, 1_000, 500
BAD = (math.nan, math.inf, -math.inf, 1e20)  # the square of the last one overflows a float32
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
KINDS = ("number", "schedule", "cusum", "asymmetric")
SIZES = {torch.float32: (-45.0, 38.4), torch.float64: (-45.0, 38.4), torch.bfloat16: (-40.0, 38.4)}
BORDER = (1.7e19, 2.0e19)  # here a square is on the edge of overflow, and rounding decides


class Case(NamedTuple):
    """One optimizer and what it is given."""

    kind: str
    rule: Any  # for `alpha`
    options: dict[str, Any]
    runs: int | None
    start: Tensor
    gradients: list[Tensor]

    @property
    def rows(self) -> int:
        """Independent runs."""
        return self.runs or 1


def drawn(seed: int) -> Case:
    """The case of this seed."""
    rng = np.random.default_rng(seed)
    dtype = DTYPES[rng.integers(3)]
    kind = KINDS[rng.integers(4)]
    runs = [None, 1, 3][rng.integers(3)]
    shape = tuple(rng.integers(1, 4, rng.integers(0, 3)).tolist())
    shape = shape if runs is None else (runs, *shape)
    options: dict[str, Any] = {
        "lr": 10 ** rng.uniform(-4, -1),
        "eps": [1e-8, 1e-5, 1e-3][rng.integers(3)],
        "eps_in_sqrt": bool(rng.random() < 0.3),
        "bias_correction": bool(rng.random() < 0.5),
        "momentum": [0.0, 0.0, 0.9][rng.integers(3)],
        "weight_decay": [0.0, 0.0, 0.01][rng.integers(3)],
        "maximize": bool(rng.random() < 0.2),
    }
    options["centered"] = bool(rng.random() < 0.2 and kind != "asymmetric" and dtype != torch.bfloat16)
    if not options["bias_correction"] and rng.random() < 0.2:
        options["initial_accumulator_value"] = 10 ** rng.uniform(-8, 0)
    steps = int(rng.integers(1, 9))
    spread = [0.0, 1.0, 4.0][rng.integers(3)]  # decades that gradients of one case differ by
    size = rng.uniform(*SIZES[dtype])

    def gradient() -> Tensor:
        power = np.clip(size + spread * rng.standard_normal(shape), *SIZES[dtype])
        g = rng.choice([-1.0, 1.0], shape) * 10**power * (rng.random(shape) < 0.95)
        return torch.from_numpy(np.where((abs(g) > BORDER[0]) & (abs(g) < BORDER[1]), BORDER[0], g)).to(dtype)

    start = torch.from_numpy(np.asarray(rng.standard_normal(shape))).to(dtype)
    return Case(kind, rule(kind, rng, options["centered"]), options, runs, start, [gradient() for _ in range(steps)])


def rule(kind: str, rng: np.random.Generator, centered: bool) -> Any:
    """A number, or the text of a rule of this kind."""
    low, high = sorted(round(1 - 10 ** rng.uniform(-2 if centered else -3, -0.05), 6) for _ in range(2))
    texts = {
        "number": high,
        "schedule": f"linear:start={low},end={high},steps=8",
        "cusum": f"cusum:arl={rng.integers(2, 6)},burn_in=2,max={high}",
        "asymmetric": f"asymmetric:rise={low},fall={high}",
    }
    return texts[kind]


# One case -------------------------------------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """What an optimizer came to."""

    theta: Tensor
    E: Tensor
    w: Tensor | None
    alarms: list[list[bool]]  # [T][R] where its detector alarmed
    skipped: list[int]  # [R]
    taken: list[list[bool]]  # [T][R] whether all squares are finite


def traced(case: Case) -> Trace:
    """Run the optimizer under test."""
    p = Parameter(case.start.clone())
    optimizer = AdaptiveRMSprop([p], alpha=case.rule, nonfinite="skip", runs=case.runs, **case.options)
    alarms, taken, so_far = [], [], [0.0] * case.rows
    for g in case.gradients:
        p.grad = g.clone()
        optimizer.step()
        now = optimizer.param_groups[0].get("rule_state", {}).get("alarms", torch.zeros(case.rows)).reshape(-1).tolist()
        alarms.append([a > b for a, b in zip(now, so_far, strict=True)])
        taken.append(g.square().isfinite().reshape(case.rows, -1).all(1).tolist())
        so_far = now
    state = optimizer.state.get(p, {})
    E = state.get("square_avg", torch.full_like(p, case.options.get("initial_accumulator_value", 0.0)))  # without an update
    skipped = optimizer.param_groups[0]["skipped"].reshape(-1).int().tolist()
    return Trace(p.detach(), E, state.get("weight"), alarms, skipped, taken)


class Wanted(NamedTuple):
    """One parameter as the reference has it."""

    theta: float
    E: float
    w: float
    size: float  # largest |θ| and the sum of the steps' lengths
    tied: float  # how near a law came to deciding otherwise: least |ln g²/Ê|, 0 where both underflow; infinite without a law
    share: float  # least (E − m²)/E, with centered


def wanted(case: Case, trace: Trace, place: int) -> Wanted:
    """The reference for the parameter at this place of the flattened tensor."""
    row = place * case.rows // case.start.numel()
    sign = -1.0 if case.options["maximize"] else 1.0
    kept = [t for t in range(len(case.gradients)) if trace.taken[t][row]]
    gradients = [sign * float(case.gradients[t].flatten()[place]) for t in kept]
    names = ("lr", "eps", "bias_correction", "eps_in_sqrt", "momentum", "centered", "weight_decay")
    options = {name: case.options[name] for name in names} | {"E0": case.options.get("initial_accumulator_value", 0.0)}
    theta = float(case.start.flatten()[place])
    if not gradients:
        return Wanted(theta, options["E0"], 0.0, abs(theta), math.inf, 1.0)
    tied = math.inf
    if case.kind == "asymmetric":
        betas, tied = of_a_law(case, gradients, theta, options)
    else:
        betas = of_a_clock(case, [trace.alarms[t][row] for t in kept])
    updates = references.rmsprop(gradients, betas, theta=theta, **options)
    thetas = [theta, *(update.theta for update in updates)]
    velocity = length = 0.0  # of steps of one sign, which are as long as steps can be
    for update in updates:
        velocity = options["momentum"] * velocity + abs(update.step)
        length += options["lr"] * velocity
    size = max(map(abs, thetas)) + length
    return Wanted(updates[-1].theta, updates[-1].E, updates[-1].w, size, tied, min(update.share for update in updates))


def of_a_clock(case: Case, alarms: Sequence[bool]) -> list[float]:
    """β of a number, of a schedule (linear over 8 updates), or of a harmonic one that every alarm restarts."""
    if case.kind == "number":
        return [case.rule] * len(alarms)
    values = settings(case)
    if case.kind == "schedule":
        start, end = float(values["start"]), float(values["end"])
        return [start + (end - start) * t / 7 for t in range(len(alarms))]
    return references.restarted(alarms, lambda n: min(1 - 1 / n, float(values["max"])))


def of_a_law(case: Case, gradients: Sequence[float], theta: float, options: dict[str, Any]) -> tuple[list[float], float]:
    """β of `asymmetric` at each update, and how near g² came to Ê."""
    values = settings(case)
    betas: list[float] = []
    tied = math.inf
    for t, gradient in enumerate(gradients):
        before = references.rmsprop(gradients[:t], betas, theta=theta, **options)
        now = before[-1] if before else references.Update(theta, options["E0"], 0.0)
        square = (gradient + options["weight_decay"] * now.theta) ** 2
        mean = now.E if options["E0"] else now.E / now.w if now.w else square
        if t or options["E0"]:
            least = torch.finfo(case.start.dtype).tiny * 1e8
            tied = min(tied, abs(math.log(max(square, least)) - math.log(max(mean, least))))
        betas.append(float(values["rise"] if square > mean else values["fall"]))
    return betas, tied


def worst(case: Case) -> float:
    """The largest deviation from the reference, in units of what is allowed; NaN if the case hangs on rounding."""
    trace = traced(case)
    if trace.skipped != [sum(not taken[row] for taken in trace.taken) for row in range(case.rows)]:
        return math.inf
    about = torch.finfo(case.start.dtype)
    of_beta = torch.finfo(
        torch.promote_types(case.start.dtype, torch.float32) if case.kind == "asymmetric" else torch.float64
    ).eps
    unit = about.eps + of_beta / (1 - highest_beta(case))
    allowed = 2 * len(case.gradients) * unit * (4 if case.options["weight_decay"] else 1)
    largest = 0.0
    for place in range(case.start.numel()):
        want = wanted(case, trace, place)
        if want.tied < 4 * allowed or want.share < 100 * allowed:
            return math.nan
        theta, E = (float(x.flatten()[place]) for x in (trace.theta, trace.E))
        ratios = [
            abs(E - want.E) / (allowed * want.E + about.tiny),
            abs(theta - want.theta) / (allowed / want.share * want.size + about.tiny),
        ]
        if trace.w is not None:
            w = float(
                trace.w.flatten()[place if trace.w.numel() == case.start.numel() else place * case.rows // case.start.numel()]
            )
            ratios.append(abs(w - want.w) / (1e-12 if trace.w.dtype == torch.float64 else 4 * len(case.gradients) * 1.2e-7))
        largest = max(largest, *(ratio if ratio == ratio else math.inf for ratio in ratios))
    return largest


def highest_beta(case: Case) -> float:
    """The largest β of a case."""
    return (
        case.rule
        if case.kind == "number"
        else float(settings(case)[{"schedule": "end", "cusum": "max", "asymmetric": "fall"}[case.kind]])
    )


def settings(case: Case) -> dict[str, str]:
    """The keys of a rule's text."""
    return dict(pair.split("=") for pair in case.rule.split(":")[1].split(","))


# Injected numbers -------------------------------------------------------------------------------------------------------------


def everything(optimizer: torch.optim.Optimizer, p: Tensor) -> dict[str, Tensor]:
    """A copy of every tensor that an update may change, but the count of those skipped."""
    tensors = {"θ": p.detach(), **{f"state {name}": x for name, x in optimizer.state[p].items() if isinstance(x, Tensor)}}
    for group in optimizer.param_groups:
        tensors |= {f"rule {name}": x for name, x in group.get("rule_state", {}).items()}
        tensors |= {name: torch.as_tensor(x) for name, x in group.items() if name == "alpha"}
    return {name: x.clone() for name, x in tensors.items()}


def same(a: Tensor, b: Tensor) -> bool:
    """Equal to the last bit, NaN included."""
    return a.shape == b.shape and torch.equal(a.nan_to_num(0.5), b.nan_to_num(0.5)) and torch.equal(a.isnan(), b.isnan())


def leaves_no_trace(seed: int) -> bool:
    """Whether a number that is not finite changed no bit of its run and, of the others, what the finite one would have."""
    rng = np.random.default_rng([seed, 1])
    case = drawn(seed)
    runs = 3
    shape = (runs, *case.start.shape[1 if case.runs else 0 :])
    noise = torch.Generator().manual_seed(seed)
    p = Parameter(torch.randn(shape, generator=noise).to(case.start.dtype))
    name = [None, *BASELINES][rng.integers(len(BASELINES) + 1)] if rng.random() < 0.3 else None
    optimizer: torch.optim.Optimizer
    if name is None:
        optimizer = AdaptiveRMSprop([p], alpha=case.rule, nonfinite="skip", runs=runs, **case.options)
    else:
        optimizer = PerRun(parse(name).optimizer([p], lr=0.01))
    for _ in range(int(rng.integers(1, 6))):
        p.grad = torch.randn(shape, generator=noise).to(p.dtype)
        optimizer.step()
    twin, q = twin_of(optimizer, p)
    before = everything(optimizer, p)
    row, clean = int(rng.integers(runs)), torch.randn(shape, generator=noise).to(p.dtype)
    p.grad, q.grad = clean.clone(), clean.clone()
    bad = BAD[rng.integers(len(BAD) if p.dtype != torch.float64 else len(BAD) - 1)]
    entry = tuple(int(rng.integers(n)) for n in shape[1:])
    p.grad[(row, *entry)] = bad
    optimizer.step()
    twin.step()
    after, moved = everything(optimizer, p), everything(twin, q)
    others = [r for r in range(runs) if r != row]
    for key, x in after.items():
        if x.dim() == 0:  # a clock or a β that all runs share
            if key != "state step" and not same(x, moved[key]):
                return False
        elif not (same(x[row], before[key][row]) and same(x[others], moved[key][others])):
            return False
    return True


def twin_of(optimizer: torch.optim.Optimizer, p: Parameter) -> tuple[torch.optim.Optimizer, Parameter]:
    """A copy of both that shares nothing with them."""
    twin, q = copy.deepcopy((optimizer, p))
    return twin, q


def statistics_unpoisoned(seed: int) -> bool:
    """Whether running statistics after numbers that are not finite are those of the rest, to the last bit."""
    rng = np.random.default_rng([seed, 2])
    moments, clean = Moments(2, 3), Moments(2, 3)
    rewards, paid = RewardNormalizer(2, 4, 0.9), RewardNormalizer(2, 4, 0.9)
    over = np.zeros((2, 4), bool)
    for _ in range(4):
        x, r = rng.normal(1, 3, (2, 4, 3)).astype(np.float32), rng.normal(1, 3, (2, 4)).astype(np.float32)
        counts, bad = rng.random((2, 4)) < 0.8, rng.random((2, 4)) < 0.2
        value = BAD[rng.integers(3)]
        ill, unpaid = x.copy(), r.copy()
        ill[bad, rng.integers(3)] = value
        unpaid[bad] = value
        moments.update(ill, counts)
        rewards.update(unpaid, counts, over)
        x[bad] = r[bad] = 0.0
        clean.update(x, counts & ~bad)
        paid.update(r, counts & ~bad, over)
    pairs = [(moments.arrays(), clean.arrays()), (rewards.arrays(), paid.arrays())]
    return all(np.array_equal(a[name], b[name]) and np.isfinite(a[name]).all() for a, b in pairs for name in a)


# The table --------------------------------------------------------------------------------------------------------------------


def rows(quick: bool) -> list[Row]:
    """Try all of it out; `quick`: a tenth."""
    share = 10 if quick else 1
    cases, injected, normalized = CASES // share, INJECTED // share, NORMALIZED // share
    ratios: list[float] = []
    seed = 0
    while len(ratios) < cases:
        ratio = worst(drawn(seed))
        seed += 1
        if ratio == ratio:
            ratios.append(ratio)
    differ = sum(ratio > 1 for ratio in ratios)
    traces = sum(not leaves_no_trace(seed) for seed in range(injected))
    poisoned = sum(not statistics_unpoisoned(seed) for seed in range(normalized))
    return [
        Row(
            "optimizer equals the float64 reference",
            f"none of {CASES:,} generated cases differs beyond the stated tolerance",
            f"{differ} of {cases:,} differ; the largest deviation is {max(ratios):.2f} of what is allowed",
            differ == 0,
        ),
        Row(
            "NaN, infinity and overflow in a gradient are skipped",
            f"state bit-unchanged, neighbours as if nothing had been, in each of {INJECTED:,} injected",
            f"{traces} of {injected:,} left a trace",
            traces == 0,
        ),
        Row(
            "NaN and infinity in observation and reward do not reach running statistics",
            f"statistics bit-identical to those of the finite rest in each of {NORMALIZED:,}",
            f"{poisoned} of {normalized:,} differ",
            poisoned == 0,
        ),
    ]
