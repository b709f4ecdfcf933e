"""AdaptiveRMSprop: torch's RMSprop with a β that is a number, a schedule, or set by a detector of shifts.

    E ← βE + (1 − β)g²        w ← βw + (1 − β),  w₀ = 0                     (w: the weight that E has received)
    θ ← θ − lr · g / (√Ê + ε)       Ê = E,  or E/w with bias_correction,  or √(Ê + ε) with eps_in_sqrt

While β changes, E/(1 − βᵗ) is not the mean of g²; E/w is, whatever β did. With a number for `alpha` and torch's options the
update *is* torch's own function, bit for bit. Everything else goes through `_update_group` below, where β is a tensor: a
scalar, one per run [R], or one per parameter.

The way of one update: gradients → (signal → rule.advance → β) → E, w → step. All of it stays on the parameters' device;
nothing synchronises except `stats()` and `nonfinite="raise"`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT
from torch.optim.rmsprop import RMSprop, rmsprop

from rl_rmsprop import rules, signals
from rl_rmsprop.detectors import Never
from rl_rmsprop.rules import Adaptive, Asymmetric, Constant, Rule
from rl_rmsprop.schedules import Schedule, check_beta

SAMPLE = 256  # entries of each parameter (and run) that stats() takes quantiles over
OWN_OPTIONS = {"eps_in_sqrt": False, "initial_accumulator_value": 0.0, "bias_correction": False}
OWN_ATTRIBUTES = ("run_keys", "runs", "nonfinite", "measure_surprise", "_rules", "_observed", "_surprise")


class AdaptiveRMSprop(RMSprop):
    """RMSprop whose decay β may be a constant, a schedule or an adaptive rule.

    The first eleven arguments are those of `torch.optim.RMSprop`, in its order. With a number for `alpha` and the other
    arguments at their defaults, parameters, state and checkpoints equal torch's bit for bit (one exception, for the better:
    with `centered`, where rounding makes torch's variance negative and its step NaN, the variance is set to the rounding
    error of E instead).

    Args:
        params: parameters, named parameters or parameter groups. A group may have an `alpha` of its own.
        lr: step size ≥ 0; a number, a one-element tensor, or with `runs` a tensor [R].
        alpha: β, in [0, 1): a number, a schedule, an `Adaptive` or `Asymmetric` rule, or the text of any of them, such as
            `"linear:start=0.5,end=0.99,steps=10000"` or `"cusum:arl=50000,max=0.99"`. Clocks count calls of `step`.
        eps: ε ≥ 0, added to √Ê.
        weight_decay: coupled L2 penalty, ≥ 0.
        momentum: of the normalised gradient, ≥ 0, as torch's.
        centered: divide by the standard deviation of the gradient, E − (mean of g)², instead of its root mean square.
        capturable, foreach, maximize, differentiable: as torch's; `differentiable` needs a number for `alpha`.
        eps_in_sqrt: √(Ê + ε) instead of √Ê + ε, as TensorFlow and Stable-Baselines3's RMSpropTFLike.
        initial_accumulator_value: E₀ ≥ 0; TensorFlow has 1.
        bias_correction: divide E by the weight w it has received. Without it the first step is lr/√(1 − β) long, so that
            comparing values of β also compares warm-ups.
        nonfinite: what a NaN or infinite gradient (or one whose square overflows) does. `propagate`: as torch. `skip`: the
            whole update of that run is undone, parameters, E, w, momentum, detector and clock, and counted in
            `stats()["skipped"]`. `raise`: FloatingPointError naming the parameter, before anything changes.
        runs: train R runs at once: the first axis of every parameter is the run, and β, w, detector and statistics are [R].
            A number R, or the R integers that name the runs (they key the `random` control); a single run is `runs=1`.

    Raises:
        ValueError: for an argument out of its range, an empty list of parameters, or shapes that do not fit `runs`.
        RuntimeError: in `step`, for sparse gradients.

    `group["alpha"]` is always the live β (a float or a tensor on the parameters' device; its mean where β is per parameter).
    With a number, writing to it changes β; with a rule, the rule owns it.

    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = AdaptiveRMSprop([weight], lr=0.1, alpha="cusum:arl=50000,max=0.99")
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> round(optimizer.stats()["beta"], 3)  # 1 − 1/3: E is the mean of three squared gradients
    0.667

    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float | str | Schedule | Rule = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        eps_in_sqrt: bool = False,
        initial_accumulator_value: float = 0.0,
        bias_correction: bool = False,
        nonfinite: Literal["propagate", "skip", "raise"] = "propagate",
        runs: int | Sequence[int] | None = None,
    ) -> None:
        self.run_keys = None if runs is None else torch.tensor(range(runs) if isinstance(runs, int) else list(runs))
        self.runs = None if self.run_keys is None else len(self.run_keys)
        self.nonfinite = nonfinite
        self.measure_surprise = False
        """Whether `step` computes the surprise even when no rule listens to it (for `stats`)."""
        self._rules: list[Rule] = []
        self._observed: dict[str, Tensor] = {}
        self._surprise: dict[int, Tensor] = {}  # of the last update, by group
        listed: list[Any] = list(params)  # a generator may be read only once
        check_options(listed, lr, eps, weight_decay, momentum, initial_accumulator_value, bias_correction, nonfinite, self.runs)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "eps_in_sqrt": eps_in_sqrt,
            "initial_accumulator_value": initial_accumulator_value,
            "bias_correction": bias_correction,
        }
        # Not RMSprop.__init__: it takes neither a rule nor an lr per run.
        Optimizer.__init__(self, listed, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with a β rule of its own if it has an `alpha` (see torch's method of this name)."""
        group = dict(param_group)
        rule = rules.as_rule(group.get("alpha", self.defaults["alpha"]))
        options = {**self.defaults, **group}
        check_rule(rule, options)
        group["alpha"] = rule.beta if isinstance(rule, Constant) else 0.0
        super().add_param_group(group)
        group = self.param_groups[-1]
        check_runs(group, self.runs)
        self._rules.append(rule)
        if not isinstance(rule, Constant):
            group["rule"] = rules.text_or_none(rule)
        if isinstance(rule, Adaptive):
            group["rule_state"] = rules.init(rule, self._keys(group["params"][0].device))

    # The update ---------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all groups; `closure`, if given, recomputes and returns the loss."""
        self._accelerator_graph_capture_health_check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if any(p.grad.is_sparse for _, _, p in self._with_grad() if p.grad is not None):
            raise RuntimeError("gradients must be dense, got a sparse one: build the layer with sparse=False")
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            if self.nonfinite == "skip":
                self._update_where_finite()
            else:
                if self.nonfinite == "raise":
                    self._raise_if_nonfinite()
                self._update()
        self._observed.clear()
        return loss

    def observe(self, *, grad_norm: Tensor) -> None:
        """Tell the next update the length of the gradient before clipping, a scalar or [R]; for the signal `grad_norm`."""
        self._observed["grad_norm"] = grad_norm

    def notify_shift(self, runs: Tensor | None = None) -> None:
        """Make the next update react as if the detector had alarmed: a schedule's clock restarts at 1.

        `runs` (bool [R]) picks the runs, default all. Numbers and per-parameter laws have no clock and ignore it.
        """
        for group in self.param_groups:
            if "rule_state" in group:
                state = group["rule_state"]
                told = torch.ones_like(state["notified"]) if runs is None else runs.to(state["notified"])
                group["rule_state"] = {**state, "notified": torch.maximum(state["notified"], told)}

    def _update(self) -> None:
        for index, group in enumerate(self.param_groups):
            lists: list[list[Tensor]] = [[] for _ in range(6)]
            has_complex = self._init_group(group, *lists)
            if not lists[0]:
                continue
            if self.measure_surprise or not self._is_torchs(index, group):
                self._update_group(index, group, lists[0])
                continue
            options = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "foreach", "maximize")
            params, grads, square_avgs, buffers, grad_avgs, steps = lists
            rmsprop(
                params,
                grads,
                square_avgs,
                grad_avgs,
                buffers,
                steps,
                differentiable=group["differentiable"],
                capturable=group["capturable"],
                has_complex=has_complex,
                **{name: group[name] for name in options},
            )

    def _is_torchs(self, index: int, group: dict[str, Any]) -> bool:
        """Whether torch's own function does what the group's options ask for."""
        own = group["centered"] or group["eps_in_sqrt"] or group["bias_correction"]
        per_run = isinstance(group["lr"], Tensor) and group["lr"].numel() > 1
        return isinstance(self._rules[index], Constant) and not own and not per_run

    def _init_group(self, group, params_with_grad, *lists):  # type: ignore[no-untyped-def]  # torch leaves it untyped
        """Torch's state of each parameter, with E₀, and with the weight w where it is not just 1 − βᵗ or not needed."""
        index = next(i for i, g in enumerate(self.param_groups) if g is group)
        fresh = [p for p in group["params"] if p.grad is not None and not self.state[p]]
        has_complex = super()._init_group(group, params_with_grad, *lists)
        for p in fresh:
            if group["initial_accumulator_value"]:
                real(self.state[p]["square_avg"]).fill_(group["initial_accumulator_value"])
        if group["bias_correction"] or not isinstance(self._rules[index], Constant):
            for p in params_with_grad:
                if "weight" not in self.state[p]:
                    self.state[p]["weight"] = self._initial_weight(index, group, p)
        return has_complex

    def _initial_weight(self, index: int, group: dict[str, Any], p: Tensor) -> Tensor:
        """W before the first update: 0, or what a checkpoint of torch's RMSprop implies, 1 − βᵗ."""
        received = 1 - float(group["alpha"]) ** float(self.state[p]["step"]) if self.state[p]["step"] > 0 else 0.0
        if isinstance(self._rules[index], Asymmetric):
            return torch.full_like(real(p), received)
        return torch.full((self.runs,) if self.runs else (), received, dtype=torch.float64, device=p.device)

    def _update_group(self, index: int, group: dict[str, Any], params: Sequence[Tensor]) -> None:
        """The update where β is not just a number: equations at the top of this file."""
        rule = self._rules[index]
        slots = [self._slot(p, group) for p in params]
        means = [self._mean(slot, group) for slot in slots]
        squares = [slot.g.square() for slot in slots]
        if self.measure_surprise or (isinstance(rule, Adaptive) and rule.listens_to == "surprise"):
            self._surprise[index] = signals.surprise(squares, means, group["eps"], self.runs is not None)
        beta: list[float | Tensor]
        if isinstance(rule, Constant):
            check_beta("alpha", group["alpha"])
            beta = [group["alpha"]] * len(slots)
        elif isinstance(rule, Asymmetric):
            beta = [rule.beta(g2, mean) for g2, mean in zip(squares, means, strict=True)]
            group["alpha"] = self._average(beta)  # type: ignore[arg-type]  # a law's β are tensors
        else:
            decision = rules.advance(rule, group["rule_state"], self._signal(index, rule, slots, squares))
            group["rule_state"], group["alpha"] = decision.state, decision.beta
            beta = [decision.beta] * len(slots)
            if rule.reaction.clears_E:
                for slot in slots:
                    slot.E.mul_(column(~decision.alarm, slot.E))
                    slot.w.mul_(~decision.alarm)
        for slot, g2, b in zip(slots, squares, beta, strict=True):
            step_parameter(slot, g2, b, group)

    def _slot(self, p: Tensor, group: dict[str, Any]) -> Slot:
        """The tensors of one parameter, complex ones seen as real."""
        state = self.state[p]
        assert p.grad is not None  # parameters without a gradient are left out before
        g = -p.grad if group["maximize"] else p.grad
        g = real(g if group["weight_decay"] == 0 else g.add(p, alpha=group["weight_decay"]))
        buffer, mean = state.get("momentum_buffer"), state.get("grad_avg")
        w = state.get("weight")
        if w is None:  # torch's update with a number for β: w is known without being kept
            w = (1 - group["alpha"] ** state["step"].double()).to(p.device)
            w = w.expand(self.runs) if self.runs else w
        return Slot(
            real(p), g, real(state["square_avg"]), w, state["step"],
            None if buffer is None else real(buffer), None if mean is None else real(mean), state,
        )  # fmt: skip

    def _mean(self, slot: Slot, group: dict[str, Any]) -> Tensor:
        """Ê before the update, as the surprise and the laws need it; g² where E has received nothing yet."""
        if group["initial_accumulator_value"]:
            return slot.E
        w = column(slot.w, slot.E)
        return torch.where(w > 0, slot.E / w, slot.g.square())

    def _signal(self, index: int, rule: Adaptive, slots: Sequence[Slot], squares: Sequence[Tensor]) -> Tensor:
        """What the rule's detector listens to [R]; zeros if it listens to nothing."""
        per_run = self.runs is not None
        if rule.listens_to == "surprise":
            return self._surprise[index]
        if rule.listens_to == "grad_norm":
            norm = self._observed.get("grad_norm")
            return signals.log(signals.total(squares, per_run) if norm is None else norm.square())
        if rule.listens_to == "cosine":
            grads = [slot.g for slot in slots]
            previous = [slot.state.get("previous_grad", torch.zeros_like(slot.g)) for slot in slots]
            for slot in slots:
                slot.state["previous_grad"] = slot.g.clone()
            return signals.cosine(grads, previous, per_run).double()
        return self.param_groups[index]["rule_state"]["clock"] * 0.0

    def _average(self, tensors: Sequence[Tensor]) -> Tensor:
        """Mean over all entries of all tensors, a scalar or [R]."""
        count = sum(t.numel() for t in tensors) / (self.runs or 1)
        return signals.total(tensors, self.runs is not None).double() / count

    def _keys(self, device: torch.device) -> Tensor:
        return torch.zeros((), dtype=torch.int64, device=device) if self.run_keys is None else self.run_keys.to(device)

    # Gradients that are not finite ---------------------------------------------------------------------------------------

    def _with_grad(self) -> Iterator[tuple[dict[str, Any], int, Tensor]]:
        for group in self.param_groups:
            for i, p in enumerate(group["params"]):
                if p.grad is not None:
                    yield group, i, p

    def _raise_if_nonfinite(self) -> None:
        for group, i, p in self._with_grad():
            if not torch.isfinite(real(p.grad).square()).all():  # type: ignore[arg-type]
                names = group.get("param_names")
                name = names[i] if names else f"{i} of shape {tuple(p.shape)}"
                raise FloatingPointError(
                    f"gradients and their squares must be finite, that of parameter {name} is not: "
                    "lower lr, clip the gradient, or use nonfinite='skip'"
                )

    def _update_where_finite(self) -> None:
        """The update, undone for every run whose gradient is not finite, as if it had not been asked for."""
        flags = []
        for _, _, p in self._with_grad():
            flag = torch.isfinite(real(p.grad).square())  # type: ignore[arg-type]
            flags.append(flag.flatten(1).all(1) if self.runs else flag.all())
        if not flags:
            return
        finite = torch.stack(flags).all(0)  # [R]
        for group in self.param_groups:
            self._init_group(group, *[[] for _ in range(6)])  # so that there is a state to return to
        tensors = [t for _, _, p in self._with_grad() for t in (p, *self.state[p].values())]
        before = [t.clone() for t in tensors]
        groups_before = [(g.get("rule_state"), g["alpha"]) for g in self.param_groups]
        self._update()
        for t, old in zip(tensors, before, strict=True):
            t.copy_(torch.where(column(finite, t) if self._has_runs(t) else finite.any(), t, old))
        for group, (state, alpha) in zip(self.param_groups, groups_before, strict=True):
            if state is not None:
                new = group["rule_state"]
                group["rule_state"] = {k: torch.where(finite, new[k], state[k]) for k in new}
            if isinstance(group["alpha"], Tensor):
                group["alpha"] = torch.where(finite, group["alpha"], torch.as_tensor(alpha, dtype=torch.float64))
            group["skipped"] = group.get("skipped", torch.zeros_like(finite, dtype=torch.float64)) + ~finite

    def _has_runs(self, t: Tensor) -> bool:
        return self.runs is not None and t.dim() > 0

    # Statistics ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def stats(self) -> dict[str, Any]:
        """What the optimizer is doing, over all groups: floats, or with `runs` float64 tensors [R]. Synchronises.

        beta, window (1/(1 − β), in updates); E_q05, E_q50, E_q95 (quantiles of Ê over parameters), effective_lr_q05, …_q50,
        …_q95 (of lr/(√Ê + ε)), from at most 256 evenly spaced entries of each parameter; share_below_eps (share of those
        with √Ê < ε, where β hardly matters); update_rms (root mean square of the last update, all entries, from the gradients
        still there); surprise (of the last update, NaN unless a rule listens to it or `measure_surprise` is set);
        clock (updates since the start or restart), statistic, threshold, alarms (so far) of the detector, NaN without one;
        skipped (updates undone by nonfinite="skip"). With several groups β, clock and surprise are means, statistic and
        threshold those of the group nearest its threshold, alarms and skipped sums.
        """
        parts = [self._group_stats(i, g) for i, g in enumerate(self.param_groups) if any(p in self.state for p in g["params"])]
        if not parts:
            raise RuntimeError("stats() needs at least one step before it")
        E, rates, below, squares, counts, scalars = zip(*parts, strict=True)
        result = {key: torch.stack([s[key] for s in scalars]).mean(0) for key in ("beta", "surprise", "clock")}
        result["window"] = 1 / (1 - result["beta"])
        for name, values in (("E", torch.cat(E, -1)), ("effective_lr", torch.cat(rates, -1))):
            for q, value in zip((5, 50, 95), quantiles(values), strict=True):
                result[f"{name}_q{q:02d}"] = value.double()
        result["share_below_eps"] = torch.cat(below, -1).double().mean(-1)
        result["update_rms"] = (torch.stack(squares).sum(0) / sum(counts)).sqrt()
        statistics, thresholds = (torch.stack([s[key] for s in scalars]) for key in ("statistic", "threshold"))
        nearest = (statistics / thresholds).nan_to_num(-1.0).argmax(0, keepdim=True)
        result["statistic"] = statistics.gather(0, nearest)[0]
        result["threshold"] = thresholds.gather(0, nearest)[0]
        for key in ("alarms", "skipped"):
            result[key] = torch.stack([s[key] for s in scalars]).sum(0)
        order = (*STATS, "skipped")
        return {key: result[key].cpu() if self.runs else float(result[key]) for key in order}

    @torch.no_grad()
    def samples(self) -> tuple[Tensor, Tensor]:
        """Ê and lr/(√Ê + ε) of at most 256 evenly spaced entries of each parameter: two tensors [K], or [R, K] with `runs`."""
        parts = [self._group_stats(i, g) for i, g in enumerate(self.param_groups)]
        return torch.cat([part[0] for part in parts], -1).cpu(), torch.cat([part[1] for part in parts], -1).cpu()

    def _group_stats(self, index: int, group: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor, int, dict[str, Tensor]]:
        """Sampled Ê and effective lr [R, K], which are below ε, sum of squared updates [R], their number, scalars [R]."""
        E, rates, below, total, count = [], [], [], torch.zeros(()), 0
        for p in (p for p in group["params"] if "square_avg" in self.state[p]):
            if p.grad is None:
                continue
            slot = self._slot(p, group)
            mean, root = variance(slot, group), denominator(slot, group)
            lr = column(group["lr"], root) if isinstance(group["lr"], Tensor) else group["lr"]
            update = lr * (slot.g / root if slot.buffer is None else slot.buffer)
            total = total.to(p.device) + signals.total([update.square()], self.runs is not None).double()
            count += p.numel() // (self.runs or 1)
            rows = [x.reshape(self.runs or 1, -1) for x in (mean, lr / root)]
            pick = torch.linspace(0, rows[0].shape[1] - 1, min(SAMPLE, rows[0].shape[1]), device=p.device).long()
            E.append(rows[0][:, pick])
            rates.append(rows[1][:, pick])
            below.append(E[-1] < (group["eps"] if group["eps_in_sqrt"] else group["eps"] ** 2))
        columns = [torch.cat(x, -1) if self.runs else torch.cat(x, -1)[0] for x in (E, rates, below)]
        return columns[0], columns[1], columns[2], total, count, self._rule_stats(index, group)

    def _rule_stats(self, index: int, group: dict[str, Any]) -> dict[str, Tensor]:
        """β, surprise, and the detector's numbers of one group, each [R]."""
        rule, state = self._rules[index], group.get("rule_state", {})
        like = self._keys(group["params"][0].device).double()
        nan = torch.full_like(like, math.nan)
        listens = isinstance(rule, Adaptive) and rule.detector.listens
        first = next(self.state[p]["step"] for p in group["params"] if "step" in self.state[p])
        return {
            "beta": torch.as_tensor(group["alpha"], dtype=torch.float64).to(like) + torch.zeros_like(like),
            "surprise": self._surprise.get(index, nan),
            "clock": state.get("clock", first.to(like) + torch.zeros_like(like)),
            "statistic": state["statistic"] if listens else nan,
            "threshold": torch.full_like(like, rule.detector.threshold if isinstance(rule, Adaptive) else math.nan),
            "alarms": state["alarms"] if isinstance(rule, Adaptive) and not isinstance(rule.detector, Never) else nan,
            "skipped": group.get("skipped", torch.zeros_like(like)),
        }

    # Checkpoints ---------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: getattr(self, name) for name in OWN_ATTRIBUTES}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for index, group in enumerate(self.param_groups):
            for name, default in OWN_OPTIONS.items():
                group.setdefault(name, default)
            if group.get("rule") is not None:  # like torch, a loaded group brings its own settings
                self._rules[index] = rules.parse(group["rule"])
            elif isinstance(self._rules[index], Constant):
                self._rules[index] = Constant(float(group["alpha"]))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore parameters' state, β rules, clocks and detectors, from a checkpoint of this class or of torch's RMSprop.

        As in torch the saved groups bring their settings along, the rule included; a checkpoint of `torch.optim.RMSprop`
        has no rule, and this optimizer's own starts its clock there.
        """
        own = [(g.get("rule"), g.get("rule_state"), g["alpha"]) for g in self.param_groups]
        saved = [group.get("rule") for group in state_dict["param_groups"]]
        super().load_state_dict(state_dict)
        for group, was, (rule, rule_state, alpha) in zip(self.param_groups, saved, own, strict=True):
            device = group["params"][0].device
            if was is None and rule is not None:
                group["rule"], group["alpha"] = rule, alpha
                if rule_state is not None:
                    group["rule_state"] = rule_state
            for key in ("rule_state", "skipped"):
                if isinstance(group.get(key), dict):
                    group[key] = {k: v.to(device) for k, v in group[key].items()}
                elif isinstance(group.get(key), Tensor):
                    group[key] = group[key].to(device)
        # torch casts floating state to the parameter's dtype; w is float64 for a reason: 0.9995 is 1 in bfloat16.
        ids = [i for group in state_dict["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for i, p in zip(ids, params, strict=True):
            if "weight" in state_dict["state"].get(i, {}):
                self.state[p]["weight"] = state_dict["state"][i]["weight"].to(p.device, copy=True)


STATS = (
    "beta", "window", "E_q05", "E_q50", "E_q95", "effective_lr_q05", "effective_lr_q50", "effective_lr_q95", "update_rms",
    "surprise", "share_below_eps", "clock", "statistic", "threshold", "alarms",
)  # fmt: skip
"""Keys of `AdaptiveRMSprop.stats()`, in order."""


# The mathematics of one parameter ------------------------------------------------------------------------------------------


class Slot(NamedTuple):
    """The tensors of one parameter, all real; shapes are the parameter's unless said otherwise."""

    p: Tensor
    g: Tensor  # gradient, with weight decay and sign
    E: Tensor
    w: Tensor  # weight received by E: [], [R], or the parameter's shape
    step: Tensor  # []  updates made
    buffer: Tensor | None  # momentum
    mean: Tensor | None  # running mean of g, for centered
    state: dict[str, Tensor]


def step_parameter(slot: Slot, g2: Tensor, beta: float | Tensor, group: dict[str, Any]) -> None:
    """E, w, and the parameter itself, in place."""
    slot.step.add_(1)
    if isinstance(beta, float):
        slot.E.mul_(beta).addcmul_(slot.g, slot.g, value=1 - beta)  # torch's order of rounding
        forget: float | Tensor = 1 - beta
    else:
        forget = column(1 - beta, slot.E).to(slot.E.dtype)
        slot.E.lerp_(g2, forget)
    if slot.mean is not None:
        slot.mean.lerp_(slot.g, forget)
    if "weight" in slot.state:
        slot.w.add_((1 - slot.w) * (1 - beta))
    root = denominator(slot, group)
    lr = group["lr"]
    per_run = isinstance(lr, Tensor) and (lr.numel() > 1 or group["capturable"])
    if isinstance(lr, Tensor) and not per_run:
        lr = lr.item()  # as torch does where the step is not captured
    if slot.buffer is not None:
        slot.buffer.mul_(group["momentum"]).addcdiv_(slot.g, root)
        slot.p.sub_(slot.buffer * column(lr, root)) if per_run else slot.p.add_(slot.buffer, alpha=-lr)
    elif per_run:
        slot.p.sub_(slot.g / root * column(lr, root))
    else:
        slot.p.addcdiv_(slot.g, root, value=-lr)


def variance(slot: Slot, group: dict[str, Any]) -> Tensor:
    """Ê, or with `centered` Ê less the square of the mean gradient."""
    E = slot.E
    if slot.mean is not None:
        E = E.addcmul(slot.mean, slot.mean, value=-1) if not group["bias_correction"] else E
    if group["bias_correction"]:
        w = column(slot.w, E).to(E.dtype)
        E = E / w
        if slot.mean is not None:
            E = E.addcmul(slot.mean / w, slot.mean / w, value=-1)
    if slot.mean is not None:
        # Rounding can make it negative where the gradient hardly varies; then it is known only up to that rounding.
        E = torch.where(E < 0, slot.E * torch.finfo(E.dtype).eps, E)
    return E


def denominator(slot: Slot, group: dict[str, Any]) -> Tensor:
    """√Ê + ε, or √(Ê + ε)."""
    E = variance(slot, group)
    return E.add(group["eps"]).sqrt_() if group["eps_in_sqrt"] else E.sqrt().add_(group["eps"])


def real(x: Tensor) -> Tensor:
    """A complex tensor as real numbers with a last axis of 2; a real one as it is."""
    return torch.view_as_real(x) if torch.is_complex(x) else x


def column(x: Tensor, like: Tensor) -> Tensor:
    """A number per run [R] with as many axes as `like` [R, …]; scalars and full shapes as they are."""
    return x.view(-1, *[1] * (like.dim() - 1)) if 0 < x.dim() < like.dim() else x


def quantiles(x: Tensor) -> Tensor:
    """The 5, 50 and 95 % quantiles over the last axis: [3, …]."""
    x = x.float()  # torch has no quantile of half precision
    return torch.quantile(x, torch.tensor([0.05, 0.5, 0.95], device=x.device), dim=-1)


# What is allowed -----------------------------------------------------------------------------------------------------------


def check_options(
    params: Sequence[Any],
    lr: float | Tensor,
    eps: float,
    weight_decay: float,
    momentum: float,
    initial: float,
    bias_correction: bool,
    nonfinite: str,
    runs: int | None,
) -> None:
    """ValueError for the first argument that is out of its range."""
    if not params:
        raise ValueError("params must hold at least one parameter, got an empty list: pass model.parameters()")
    if isinstance(lr, Tensor) and lr.numel() != 1 and tuple(lr.shape) != (runs,):
        raise ValueError(f"lr must be a number, one element, or one per run, got shape {tuple(lr.shape)} with runs={runs}")
    smallest = float(lr.min()) if isinstance(lr, Tensor) else lr
    values = {
        "lr": smallest,
        "eps": eps,
        "weight_decay": weight_decay,
        "momentum": momentum,
        "initial_accumulator_value": initial,
    }
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite, got {value}: give 0 or a positive number")
    if nonfinite not in ("propagate", "skip", "raise"):
        raise ValueError(f"nonfinite must be propagate, skip or raise, got {nonfinite!r}")
    if initial and bias_correction:
        raise ValueError(
            f"initial_accumulator_value must be 0 with bias_correction, got {initial}: a corrected mean has no start"
        )
    if runs is not None and runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")


def check_rule(rule: Rule, options: dict[str, Any]) -> None:
    """ValueError if the rule cannot run with these options."""
    if isinstance(rule, Adaptive) and rule.schedule.unresolved:
        raise ValueError(f"{rules.text(rule)!r} needs steps=… in updates: the length of the training is not known here")
    if options["differentiable"] and not isinstance(rule, Constant):
        raise ValueError(f"differentiable=True needs a number for alpha, got {rules.text(rule)!r}")


def check_runs(group: dict[str, Any], runs: int | None) -> None:
    """ValueError unless the first axis of every parameter is the run."""
    for p in group["params"]:
        if runs is not None and (p.dim() == 0 or len(p) != runs):
            raise ValueError(f"with runs={runs} the first axis of every parameter must be {runs}, got shape {tuple(p.shape)}")
