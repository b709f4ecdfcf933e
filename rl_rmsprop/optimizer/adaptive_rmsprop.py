"""AdaptiveRMSprop: torch's RMSprop with a decay rate β (torch: alpha) that is a number, a schedule, or set by a shift detector.

    E ← βE + (1 − β)g²        w ← βw + (1 − β),  w₀ = 0                     (w: the weight that E has received)
    θ ← θ − lr · g / (√Ê + ε)       Ê = E,  or E/w with bias_correction,  or √(Ê + ε) with eps_in_sqrt

While β changes, E/(1 − βᵗ) is not the mean of g²; E/w is, whatever β was. With a number for `alpha` and torch's options the
update is torch's, bit for bit. Everything else is defined by rl_rmsprop/kernels/equations.py.

    step → measure (the detector's signal) → updates (β, E, θ), for each parameter group

All of it stays on the parameters' device; there nothing synchronises except `stats()` and `nonfinite="raise"` (on the CPU there
is nothing to wait for).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT
from torch.optim.rmsprop import RMSprop

from rl_rmsprop import rules, step_sizes
from rl_rmsprop.detectors import Never
from rl_rmsprop.kernels import equations, torch_internals
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.workspace import Workspace
from rl_rmsprop.optimizer import checkpoint, measure, parameter_state, reset, second_moment, stats
from rl_rmsprop.optimizer.param_groups import (
    OWN_OPTIONS,
    check_kernel,
    check_mask,
    check_options,
    check_params,
    run_names,
    step_size_of,
)
from rl_rmsprop.optimizer.rollback import (
    GROUP_STATES,
    SavedRows,
    UpdateSnapshot,
    missing_runs,
    raise_if_nonfinite,
    runs_to_update,
)
from rl_rmsprop.optimizer.stats import UpdatedGroup
from rl_rmsprop.optimizer.updates import prepare, update_group
from rl_rmsprop.rules import Adaptive, Constant, Rule
from rl_rmsprop.schedules import Schedule
from rl_rmsprop.step_sizes import StepSize

DEVICE_OPTIONS = ("rule_state", "lr_rule_state", "skipped", "alpha")
"""Entries of a group that may be tensors, or dicts of them, and belong beside the parameters."""
Part = tuple[int, list[Tensor], list[Tensor]]
"""The place of a parameter group, its parameters that have a gradient, and the gradients."""
OWN_ATTRIBUTES = ("run_keys", "runs", "kernel", "nonfinite", "measure_surprise", "rules", "last_surprise", "_observed", "_clip")


class AdaptiveRMSprop(RMSprop):
    """RMSprop whose decay rate β may be a constant, a schedule or an adaptive rule.

    The first eleven arguments are those of `torch.optim.RMSprop`, in its order. With a number for `alpha` and the other
    arguments at their defaults, parameters, state and checkpoints equal torch's bit for bit (one exception, for the better:
    with `centered`, where rounding makes torch's variance negative and its step NaN, the variance is the rounding error of E
    instead).

    Args:
        params: parameters, named parameters or parameter groups. A group may have an `alpha` of its own. Sharded parameters
            (FSDP2, ZeRO) need a number for `alpha` and torch's options.
        lr: step size ≥ 0; a number, a one-element tensor, or with `runs` a tensor [R].
        alpha: β, in [0, 1): a number, a schedule, an `Adaptive` rule, a law, or the text of any of them, such as
            `"linear:start=0.5,end=0.99,steps=10000"` or `"cusum:arl=50000,max=0.99"`. Clocks count calls of `step`.
        eps: ε ≥ 0, added to √Ê.
        weight_decay: coupled L2 penalty, ≥ 0.
        momentum: of the normalised gradient, ≥ 0, as torch's.
        centered: divide by the standard deviation of the gradient, √(E − m²) with m its running mean, instead of its root
            mean square, under every rule; with `bias_correction` √((E − m²)/w). When a rule starts E anew with β = 0, so that
            E is the mean of the last k gradients, the variance counts as at least E/k: one gradient has none. A law has no
            one β and cannot be centered.
        capturable, foreach, maximize, differentiable: as torch's; `differentiable` is for torch's own update only, a number
            for `alpha` and none of the options below. `foreach` true or false calls torch's function with that loop; without
            it a CPU's parameters are updated by this package's own calls, faster and with the same bits.
        eps_in_sqrt: √(Ê + ε) instead of √Ê + ε, as TensorFlow and Stable-Baselines3's RMSpropTFLike.
        initial_accumulator_value: E₀ ≥ 0; TensorFlow has 1.
        bias_correction: divide E by the weight w it has received; see below.
        nonfinite: what a NaN or infinite gradient (or one whose square overflows) does. `propagate`: as torch. `skip`: that
            run is not updated, neither parameters, E, w, momentum, detector nor clock, and counted in
            `stats()["skipped"]`. `raise`: FloatingPointError naming the parameter, before anything changes.
        lr_rule: what decides how long a step is, beside lr: the text of a step-size rule, such as `"intentional:eta=0.05"` or
            `"trac"` (rl_rmsprop/step_sizes), or the rule itself; default lr alone. It looks at all parameters of a group.
        runs: train R runs at once: the first axis of every parameter is the run, and β, w, detector and statistics are [R].
            A number R, or the R integers that name the runs (they key the `random` control); a single run is `runs=1`.
        kernel: what makes the steps: `torch`, or the compiled kernel (rl_rmsprop/native), which goes over the memory once or
            twice, in one thread, and differs in the last bits. By default the compiled kernel makes those of the laws that
            take many of torch's calls (`smorms3`, `maxva`, `adasmooth`, `hypergradient`, `mixture`), where it has been built,
            and torch all others. `native`, which needs `runs`, lets it make those of numbers, schedules, detectors,
            `policy_clock` and `coupled` too. It needs float32 on the CPU, in rows; one lr, and neither momentum,
            `centered`, `step_scale` nor `lr_rule`: elsewhere it is torch.

    Raises:
        ValueError: for an argument out of its range, an empty list of parameters, or shapes that do not fit `runs`.
        RuntimeError: in `step`, for sparse gradients.

    **Which lr.** Without bias correction the first step of a number β is lr/√(1 − β) long, ten times lr at 0.99, and the
    steps come down to about lr in a few windows 1/(1 − β): a warm-up in reverse. With `bias_correction`, and under rules whose
    E starts as a mean of the gradients so far (the default schedule of detectors, `harmonic`), the first step is lr. An
    lr that was tuned without it, such as Stable-Baselines3's default, therefore learns slower at first. The same lr gives the
    same steps once the window is full; lr/√(1 − β) the same first step.

    `group["alpha"]` is always the live β (a float or a tensor on the parameters' device; its mean where β is per parameter).
    With a number, writing to it changes β; with a rule, the rule owns it.

    **lr_rule.** β decides E, and so the direction g/√Ê; a step-size rule decides how far to go along it, so that the two can be
    compared apart. lr is then what the rule says that it is: a factor on the step of `intentional`, 1 for the authors' step, and
    the step size of the path that `trac` scales.

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
        lr_rule: str | StepSize | None = None,
        runs: int | Sequence[int] | None = None,
        kernel: Literal["torch", "native"] | None = None,
    ) -> None:
        names = run_names(runs)
        check_kernel(kernel, names)
        if nonfinite not in ("propagate", "skip", "raise"):
            raise ValueError(f"nonfinite must be propagate, skip or raise, got {nonfinite!r}")
        self.run_keys = None if names is None else torch.tensor(names)
        self.runs = None if names is None else len(names)
        self.nonfinite = nonfinite
        self.kernel = kernel
        self.measure_surprise = False
        """Whether `step` computes the surprise even when no rule listens to it (for `stats`)."""
        self.rules: list[Rule] = []
        """The β rule of each parameter group."""
        self.last_surprise: dict[int, Tensor] = {}
        """Surprise of the last update, [] or [R], by the place of the group; only where it was computed."""
        self._observed: dict[str, Tensor] = {}
        self._clip: Tensor | None = None  # c of the last update, [] or [R]; None for 1
        self._reset_caches()
        if not isinstance(params, Tensor):  # which torch refuses
            params = list(params)  # type: ignore[assignment]  # a generator may be read only once
            if not params:
                raise ValueError("params must hold at least one parameter, got an empty list: pass model.parameters()")
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered, "weight_decay": weight_decay,
            "capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "eps_in_sqrt": eps_in_sqrt, "initial_accumulator_value": initial_accumulator_value,
            "bias_correction": bias_correction, "lr_rule": step_sizes.text(lr_rule),
        }  # fmt: skip
        # Not RMSprop.__init__: it takes neither a rule nor an lr per run.
        Optimizer.__init__(self, params, defaults)

    def _reset_caches(self) -> None:
        """Start without what is stored only to save time."""
        self._workspace = Workspace()
        self._saved_rows = SavedRows()
        self._undone: Tensor | None = None  # where the last update was, [] or [R] bool; None is nowhere
        self._known_states = parameter_state.KnownStates()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with a β rule of its own if it has an `alpha` (see torch's method of this name)."""
        if not isinstance(param_group, dict):
            super().add_param_group(param_group)  # refuses it
        group = {name: x for name, x in param_group.items() if name not in ("rule", *GROUP_STATES, "skipped")}
        alpha: Any = group.get("alpha", self.defaults["alpha"])
        if "rule" in param_group:  # a group of another optimizer of this class, whose alpha is the live β
            alpha = param_group["rule"] or self.defaults["alpha"]
        if isinstance(alpha, Tensor) and alpha.numel() == 1:
            alpha = alpha.item()
        rule = rules.as_rule(alpha)
        group["lr_rule"] = step_sizes.text(group.get("lr_rule", self.defaults["lr_rule"]))
        options = {**self.defaults, **group}
        check_options(options, rule, self.runs)
        group["alpha"] = rule.beta if isinstance(rule, Constant) else 0.0
        super().add_param_group(group)
        group = self.param_groups[-1]
        try:
            check_params(group["params"], options, rule, self.runs, self.nonfinite)
        except ValueError:
            self.param_groups.pop()
            raise
        self.rules.append(rule)
        keys = self._keys.to(group["params"][0].device) if group["params"] else self._keys
        step_size = step_size_of(group)
        if step_size is not None:
            group["lr_rule_state"] = step_size.initial_group_state(keys)
        if not isinstance(rule, Constant):
            group["rule"] = rules.text_or_none(rule)
            group["rule_state"] = second_moment.initial_group_state(rule, keys)

    @property
    def _keys(self) -> Tensor:
        """The integers that name the runs, [] or [R]."""
        return torch.zeros((), dtype=torch.int64) if self.run_keys is None else self.run_keys

    # The update ---------------------------------------------------------------------------------------------------------

    @torch_internals.with_hooks
    def step(self, closure: Callable[[], Any] | None = None, *, mask: Tensor | None = None) -> Any:
        """One update of all groups; `closure`, if given, recomputes and returns the loss.

        Args:
            closure: as torch's.
            mask: with `runs`, which of them are updated, bool [R], fastest on the CPU. A run whose mask is false remains exactly
                as it is, with its detector, clock and statistics, whatever its gradient is, and is counted in
                `stats()["skipped"]`.

        Raises:
            ValueError: for a mask without `runs`, or of another shape or dtype.

        """
        check_mask("mask", mask, self.runs)
        torch_internals.check_capture(self)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            self._update(mask)
        self._observed.clear()
        return loss

    def observe(
        self,
        *,
        grad_norm: Tensor | float | None = None,
        shifted: Tensor | float | None = None,
        episode_return: Tensor | float | None = None,
        td_error: Tensor | float | None = None,
        kl: Tensor | float | None = None,
        rollout: Tensor | float | None = None,
        step_scale: Tensor | float | None = None,
    ) -> None:
        """Report to the next update, and to it alone, what only the training loop knows, each a scalar or [R].

        NaN and infinity are no observation: the detector of that run skips the update. A rule that listens to `episode_return`,
        `td_error` or `kl` needs it before every update (`listens_to` has the names); `policy_clock` helps itself without `kl`.

        Args:
            grad_norm: length of the gradient before clipping, for the signal `grad_norm`; without it, that of the gradient.
            shifted: 1 (or true) where this update's data are the first since a true change of the environment, for
                detectors that listen to `shift`; without it, 0.
            episode_return: mean return of the episodes that have ended since the last update.
            td_error: mean squared error of the critic on this update's data, before the update.
            kl: mean KL divergence, in nats, between the policy before and after the last update.
            rollout: 1 (or true) where this update is the first on a new rollout, for `restart`; without it, 0.
            step_scale: c in [0, 1], such as min(1, max/‖g‖): E takes g as it is, and the step is that of c·g. The gradient is
                then clipped where it counts as a direction, and not where it says how large gradients are. Without it, 1.

        Raises:
            ValueError: for a tensor of another shape.

        """
        reports = {
            "grad_norm": grad_norm, "shifted": shifted, "episode_return": episode_return, "td_error": td_error, "kl": kl,
            "rollout": rollout, "step_scale": step_scale,
        }  # fmt: skip
        for name, value in reports.items():
            if value is None:
                continue
            value = torch.as_tensor(value)
            if tuple(value.shape) not in ((), (self.runs,)):
                raise ValueError(f"{name} must be a scalar or one per run, got shape {tuple(value.shape)} with runs={self.runs}")
            value = value if self.runs is None else value.expand(self.runs)
            self._observed[name] = torch.where(value.isfinite(), value, math.nan) if value.is_floating_point() else value

    def notify_shift(self, runs: Tensor | None = None) -> None:
        """Make the next update react as if the detector had alarmed: a schedule's clock restarts at 1.

        `runs` (bool [R]) picks the runs, default all. Numbers and laws have no clock and ignore it.
        """
        for group, rule in zip(self.param_groups, self.rules, strict=True):
            if isinstance(rule, Adaptive):
                state = group["rule_state"]
                notified = torch.ones_like(state["notified"]) if runs is None else runs.to(state["notified"])
                group["rule_state"] = {**state, "notified": torch.maximum(state["notified"], notified)}

    @torch.no_grad()
    def reset(self, what: reset.Part = "all", runs: Tensor | None = None) -> None:
        """Forget what has been gathered, as before the first update; parameters and settings stay.

        Args:
            what: `E`, all that is remembered of squared gradients (E, w, the mean of g, a law's memory of each parameter);
                `clock`, the rule's state (clock, detector, a law's own): a schedule begins again, and a detector learns its
                baseline anew; `all`, both, momentum, step-size rule and the number of updates.
            runs: with `runs`, where, bool [R]; default all. The number of updates, which runs share, stays unless all are named.

        Without bias correction E = 0 makes the next step of a number β lr/√(1 − β) long, as the first one was: with
        `bias_correction`, or for a rule whose clock is reset too, it is lr.

        Raises:
            ValueError: for another `what`, for `clock` where every β is a number, and for a mask that does not fit `runs`.

        """
        if what not in reset.PARTS:
            raise ValueError(f"what must be one of {', '.join(reset.PARTS)}, got {what!r}")
        if what == "clock" and all(isinstance(rule, Constant) for rule in self.rules):
            raise ValueError("clock must be that of a rule, and every β here is a number: reset E or all")
        check_mask("runs", runs, self.runs)
        for group, rule in zip(self.param_groups, self.rules, strict=True):
            states = [(p, self.state[p]) for p in group["params"] if self.state.get(p)]
            keys = self._keys.to(group["params"][0].device) if group["params"] else self._keys
            reset.reset_group(what, group, rule, states, keys, runs)

    def _update(self, mask: Tensor | None) -> None:
        """One update of the runs in the mask, default all."""
        parts = []
        for index, group in enumerate(self.param_groups):
            params = [p for p in group["params"] if p.grad is not None]
            grads: list[Tensor] = [p.grad for p in params]
            if any([g.is_sparse for g in grads]):
                raise RuntimeError("gradients must be dense, got a sparse one: build the layer with sparse=False")
            if params:
                parts.append((index, params, grads))
        if not parts:
            return
        self._clip = self._step_scale()
        if self.nonfinite == "raise":
            raise_if_nonfinite(self.param_groups, self.runs, mask)
        if self.nonfinite == "skip":
            mask = runs_to_update([g for _, _, grads in parts for g in grads], self.runs, mask)
            self._start_counting(parts[0][2][0].device)
        missing = missing_runs(mask) if mask is not None and mask.is_cpu else []
        if mask is None or (mask.is_cpu and not missing):
            self._undone = None
            for index, params, grads in parts:
                self._update_group(index, params, grads, self._states(index, params))
        else:
            self._update_where(mask, missing, parts)

    def _step_scale(self) -> Tensor | None:
        """c of this update, [] or [R] float64, 1 where it is not finite; None where none was reported."""
        c = self._observed.get("step_scale")
        return None if c is None else c.double().nan_to_num(1.0)

    def _update_group(self, index: int, params: list[Tensor], grads: list[Tensor], states: list[State]) -> None:
        group, rule = self.param_groups[index], self.rules[index]
        update = prepare(group, rule, params, grads, states, self.runs, self._workspace, self._clip, self.kernel)
        if not update.is_fusible:
            self._follow(group, params, states)
        signal = None if isinstance(rule, Constant) else rule.listens_to
        if self.measure_surprise or signal == "surprise":
            self.last_surprise[index] = measure.surprise(update)
        if isinstance(rule, Adaptive) or signal is not None:
            known = {"surprise": self.last_surprise[index]} if index in self.last_surprise else {}
            update_group(update, measure.signal(update, signal, self._observed | known))
        else:
            update_group(update)

    def _states(self, index: int, params: list[Tensor]) -> list[State]:
        """The state of each parameter of a group, complete."""
        states, rule, group = self._known_states.of(self.state, index, params), self.rules[index], self.param_groups[index]
        if not parameter_state.are_complete(states, rule, group):
            parameter_state.complete_all(states, params, rule, group, self._keys)
        return states

    def _follow(self, group: dict[str, Any], params: list[Tensor], states: list[State]) -> None:
        """Bring a group's state to where its parameters are, if they have been moved to another device."""
        for p, state in zip(params, states, strict=True):
            if state["square_avg"].device != p.device:
                parameter_state.follow(state, p, group)
                move_options(group)

    # Runs that are not updated --------------------------------------------------------------------------------------------

    def _update_where(self, mask: Tensor, missing: list[int], parts: Sequence[Part]) -> None:
        """One update where the mask ([] or [R] bool) is true; elsewhere nothing changes, and is counted.

        `missing` are the runs elsewhere, if the mask is on the CPU.
        """
        # State is made even if no run is updated: statistics of a run must not depend on the runs beside it.
        complete = [(*part, self._states(part[0], part[1])) for part in parts]
        if len(missing) < mask.numel():
            for index, params, _, states in complete:
                self._follow(self.param_groups[index], params, states)  # so that what is saved is what is updated
            pairs = [pair for _, params, _, states in complete for pair in zip(params, states, strict=True)]
            tensors = [t for p, state in pairs for t in (p, *state.values())]
            snapshot = UpdateSnapshot(tensors, self.param_groups, self.last_surprise, mask, missing, self._saved_rows)
            for part in complete:
                self._update_group(*part)
            snapshot.restore()
        self._undone = ~mask
        self._start_counting(mask.device)
        for group in self.param_groups:
            group["skipped"] = group["skipped"] + self._undone.to(group["skipped"].device)

    def _start_counting(self, device: torch.device) -> None:
        """Let every group count the updates that are skipped."""
        for group in self.param_groups:
            if "skipped" not in group:
                group["skipped"] = torch.zeros(self._keys.shape, dtype=torch.float64, device=device)

    # What others may read -------------------------------------------------------------------------------------------------

    @property
    def listens_to(self) -> frozenset[str]:
        """The names of the signals that the rules of the groups listen to."""
        return frozenset(rule.listens_to for rule in self.rules if not isinstance(rule, Constant) and rule.listens_to)

    @property
    def beta(self) -> float | Tensor:
        """The live β: a number, or [] or [R]; the mean over groups, and over parameters where it is per parameter."""
        betas = [group["alpha"] for group in self.param_groups]
        return betas[0] if len(betas) == 1 else sum(betas) / len(betas)

    @property
    def alarms(self) -> Tensor | None:
        """Alarms of the detectors so far, of all groups together, [] or [R] float64; None without a detector."""
        groups = zip(self.param_groups, self.rules, strict=True)
        counts = [group["rule_state"]["alarms"] for group, rule in groups if has_alarms(rule)]
        return sum(counts[1:], start=counts[0]) if counts else None

    @torch.no_grad()
    def mean_square(self, parameter: Tensor) -> Tensor | None:
        """Ê = E/w, what E predicts of the parameter's next g² whether or not `bias_correction` is on; None before an update."""
        group = next((group for group in self.param_groups if any(p is parameter for p in group["params"])), None)
        state = self.state.get(parameter)
        if group is None or not state:
            return None
        return equations.mean_square(equations.slot(parameter, state, group), group)

    @torch.no_grad()
    def stats(self, update_rms: bool = True) -> dict[str, Any]:
        """What the optimizer is doing, over all groups: floats, or with `runs` float64 tensors [R]. Synchronises.

        beta, window (1/(1 − β), in updates); E_q05, E_q50, E_q95 (quantiles of Ê over parameters), effective_lr_q05, …_q50,
        …_q95 (of lr/(√Ê + ε), with an `lr_rule` times the scale that it has found), from at most 256 evenly spaced entries of
        each parameter; share_below_eps (share of those with √Ê < ε, where β hardly matters); update_rms (root mean square of the
        last update, all entries, from the gradients still there, NaN if they are not, or if `update_rms` is false, which saves a
        third of the time); surprise (of the last update, NaN unless a rule listens to it or `measure_surprise` is set); clock
        (updates since the start or restart), statistic, threshold, alarms (so far) of the detector, NaN without one; skipped
        (updates that a run's mask or nonfinite="skip" left out). With several groups β, clock and surprise are means, statistic
        and threshold those of the group nearest its threshold, alarms and skipped sums. Before the first update all are NaN.
        """
        values = stats.stats(self._updated_groups(), self.runs, self._undone, self._workspace if update_rms else None)
        return values if self.runs else {key: float(value) for key, value in values.items()}

    @torch.no_grad()
    def samples(self) -> tuple[Tensor, Tensor]:
        """Ê and lr/(√Ê + ε) of at most 256 evenly spaced entries of each parameter: two tensors [K], or [R, K] with `runs`.

        Before the first update K is 0.
        """
        E, effective_lr, _ = stats.sample(self._updated_groups(), self.runs or 1)
        return (E.cpu(), effective_lr.cpu()) if self.runs else (E[0].cpu(), effective_lr[0].cpu())

    def _updated_groups(self) -> list[UpdatedGroup]:
        """The groups, of which a parameter has had an update."""
        groups = []
        for index, (group, rule) in enumerate(zip(self.param_groups, self.rules, strict=True)):
            params = [p for p in group["params"] if self.state.get(p)]
            if params:
                states = [self.state[p] for p in params]
                groups.append(UpdatedGroup(group, rule, params, states, self.last_surprise.get(index), self._clip))
        return groups

    # Checkpoints ---------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: getattr(self, name) for name in OWN_ATTRIBUTES}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._reset_caches()
        for index, group in enumerate(self.param_groups):
            for name, default in OWN_OPTIONS.items():
                group.setdefault(name, default)
            self.rules[index] = checkpoint.rule_of(group, self.rules[index])
            for p in group["params"]:
                checkpoint.unpack(self.state.get(p, {}), p)
            move_options(group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore parameters' state, β rules, clocks and detectors, from a checkpoint of this class or of torch's RMSprop.

        As in torch the saved groups bring their settings along, the rule included. A checkpoint of `torch.optim.RMSprop` has
        no rule and none of this class's options: this optimizer retains its own, and its rule starts its clock there. A rule
        without a text form cannot be saved; load it into an optimizer made with the same rule. All tensors are copied.

        Raises:
            ValueError: for a state_dict of another optimizer, other groups, shapes or runs; nothing has changed then.

        """
        state_dict = torch_internals.call_load_pre_hooks(self, state_dict)
        with torch_internals.without_load_pre_hooks(self):
            super().load_state_dict(checkpoint.prepare(state_dict, self.param_groups, self.rules, self._keys))


def move_options(group: dict[str, Any]) -> None:
    """Bring what belongs beside the parameters to where they are."""
    if group["params"]:
        device = group["params"][0].device
        group.update({name: checkpoint.to_device(group[name], device) for name in DEVICE_OPTIONS if name in group})


def has_alarms(rule: Rule) -> bool:
    """Whether the rule has a detector."""
    return isinstance(rule, Adaptive) and not isinstance(rule.detector, Never)
