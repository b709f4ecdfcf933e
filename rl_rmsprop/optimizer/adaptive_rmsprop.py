"""AdaptiveRMSprop: torch's RMSprop with a β that is a number, a schedule, or set by a detector of shifts.

    E ← βE + (1 − β)g²        w ← βw + (1 − β),  w₀ = 0                     (w: the weight that E has received)
    θ ← θ − lr · g / (√Ê + ε)       Ê = E,  or E/w with bias_correction,  or √(Ê + ε) with eps_in_sqrt

While β changes, E/(1 − βᵗ) is not the mean of g²; E/w is, whatever β did. With a number for `alpha` and torch's options the
update is torch's, bit for bit. Everything else is defined by rl_rmsprop/kernels/equations.py, where β is a number, one per run [R], or one
per parameter; where β is one number, rl_rmsprop/kernels/fused.py makes the update of all parameters at once.

The way of one update: gradients → listening.signal → memory.decide (β, w) → equations.update_mean_square (E) → equations.apply_step (θ).

All of it stays on the parameters' device; there nothing synchronises except `stats()` and `nonfinite="raise"` (on the CPU there
is nothing to wait for). On a CPU `nonfinite="skip"` copies nothing while all gradients are finite.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import profiler
from torch.optim.optimizer import Optimizer, ParamsT
from torch.optim.optimizer import _global_optimizer_post_hooks as GLOBAL_POST_HOOKS
from torch.optim.optimizer import _global_optimizer_pre_hooks as GLOBAL_PRE_HOOKS
from torch.optim.rmsprop import RMSprop, rmsprop

from rl_rmsprop import rules
from rl_rmsprop.kernels import equations, fused
from rl_rmsprop.kernels.equations import as_real
from rl_rmsprop.kernels.fused import State
from rl_rmsprop.laws import Law
from rl_rmsprop.optimizer import measure, second_moment, stats
from rl_rmsprop.optimizer.param_groups import OWN_OPTIONS, check_options, inherited, moved, rule_of
from rl_rmsprop.optimizer.rollback import UpdateSnapshot
from rl_rmsprop.rules import Adaptive, Constant, Rule
from rl_rmsprop.schedules import Schedule

EXACT_STATE = {"weight", "bank", "bank_weight"}  # of a parameter, in a precision that is not the parameter's
OWN_ATTRIBUTES = ("run_keys", "runs", "nonfinite", "measure_surprise", "rules", "last_surprise", "_observed")


class AdaptiveRMSprop(RMSprop):
    """RMSprop whose decay β may be a constant, a schedule or an adaptive rule.

    The first eleven arguments are those of `torch.optim.RMSprop`, in its order. With a number for `alpha` and the other
    arguments at their defaults, parameters, state and checkpoints equal torch's bit for bit (one exception, for the better:
    with `centered`, where rounding makes torch's variance negative and its step NaN, the variance is set to the rounding
    error of E instead).

    Args:
        params: parameters, named parameters or parameter groups. A group may have an `alpha` of its own.
        lr: step size ≥ 0; a number, a one-element tensor, or with `runs` a tensor [R].
        alpha: β, in [0, 1): a number, a schedule, an `Adaptive` rule, a law, or the text of any of them, such as
            `"linear:start=0.5,end=0.99,steps=10000"` or `"cusum:arl=50000,max=0.99"`. Clocks count calls of `step`.
        eps: ε ≥ 0, added to √Ê.
        weight_decay: coupled L2 penalty, ≥ 0.
        momentum: of the normalised gradient, ≥ 0, as torch's.
        centered: divide by the standard deviation of the gradient, √(E − m²) with m its running mean, instead of its root
            mean square. Where β is not just a number, or with the options below, the variance counts as at least (1 − β)E,
            the sampling error of such a mean; a law has no one β and cannot be centered.
        capturable, foreach, maximize, differentiable: as torch's; `differentiable` is for torch's own update only, a number
            for `alpha` and none of the options below. `foreach` true or false calls torch's function with that loop; without
            it a CPU's parameters are moved by this class's own calls, faster and with the same bits.
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
        keys = None if runs is None else list(range(runs)) if isinstance(runs, int) else list(runs)
        if keys is not None and not keys:
            raise ValueError(f"runs must be at least 1, got {runs}: give the number of runs, or the integers that name them")
        if nonfinite not in ("propagate", "skip", "raise"):
            raise ValueError(f"nonfinite must be propagate, skip or raise, got {nonfinite!r}")
        self.run_keys = None if keys is None else torch.tensor(keys)
        self.runs = None if keys is None else len(keys)
        self.nonfinite = nonfinite
        self.measure_surprise = False
        """Whether `step` computes the surprise even when no rule listens to it (for `stats`)."""
        self.rules: list[Rule] = []
        """The β rule of each parameter group."""
        self.last_surprise: dict[int, Tensor] = {}
        """Surprise of the last update, [] or [R], by the place of the group; only where it was computed."""
        self._observed: dict[str, Tensor] = {}
        self._forget_found()
        listed: list[Any] = list(params)  # a generator may be read only once
        if not listed:
            raise ValueError("params must hold at least one parameter, got an empty list: pass model.parameters()")
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

    def _forget_found(self) -> None:
        """Start without what is remembered only to save time."""
        self.workspace = fused.Workspace()  # statistics use it too
        self.undone: Tensor | None = None
        """Where the last update was undone by nonfinite="skip", [] or [R] bool; none is nowhere."""
        self._kept: list[State] = []
        self._found: dict[int, tuple[list[Tensor], list[State]]] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with a β rule of its own if it has an `alpha` (see torch's method of this name)."""
        group = dict(param_group)
        rule = rules.as_rule(group.get("alpha", self.defaults["alpha"]))
        check_options({**self.defaults, **group}, rule, self.runs)
        group["alpha"] = rule.beta if isinstance(rule, Constant) else 0.0
        super().add_param_group(group)
        group = self.param_groups[-1]
        misfits = [p for p in group["params"] if self.runs is not None and (p.dim() == 0 or len(p) != self.runs)]
        if misfits:
            self.param_groups.pop()
            rule_of_runs = f"with runs={self.runs} the first axis of every parameter must be {self.runs}"
            raise ValueError(f"{rule_of_runs}, got shape {tuple(misfits[0].shape)}: stack the runs' parameters")
        self.rules.append(rule)
        if not isinstance(rule, Constant):
            group["rule"] = rules.text_or_none(rule)
            group["rule_state"] = second_moment.initial_group_state(
                rule, self._keys(group["params"][0] if group["params"] else torch.empty(0))
            )

    def _keys(self, p: Tensor) -> Tensor:
        """The integers that name the runs, [] or [R], beside `p`."""
        return (torch.zeros((), dtype=torch.int64) if self.run_keys is None else self.run_keys).to(p.device)

    # The update ---------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all groups; `closure`, if given, recomputes and returns the loss."""
        if self._optimizer_step_pre_hooks or GLOBAL_PRE_HOOKS or GLOBAL_POST_HOOKS or profiler._is_profiler_enabled:
            return self._watched_step(closure)
        loss = self._step(closure)
        for hook in self._optimizer_step_post_hooks.values():
            hook(self, (self, closure), {})
        return loss

    step.hooked = True  # type: ignore[attr-defined]
    """Else torch would put its wrapper around it, which is for the profiler too: 45 µs a step even if nobody listens."""

    def _step(self, closure: Callable[[], Any] | None) -> Any:
        self._accelerator_graph_capture_health_check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if any([p.grad is not None and p.grad.is_sparse for p in group["params"]]):
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

    _watched_step = Optimizer.profile_hook_step(_step)

    def observe(self, *, grad_norm: Tensor | None = None, shifted: Tensor | None = None) -> None:
        """Tell the next update what only the training loop knows, each a scalar or [R]; the update after it has to be told anew.

        Args:
            grad_norm: length of the gradient before clipping, for the signal `grad_norm`; without it, that of the gradient.
            shifted: 1 (or true) where this update's data are the first since a true change of the environment, for
                detectors that listen to `shift`; without it, 0.

        Raises:
            ValueError: for a tensor of another shape.
        """
        for name, value in (("grad_norm", grad_norm), ("shifted", shifted)):
            if value is None:
                continue
            value = torch.as_tensor(value)
            if tuple(value.shape) not in ((), (self.runs,)):
                raise ValueError(f"{name} must be a scalar or one per run, got shape {tuple(value.shape)} with runs={self.runs}")
            self._observed[name] = value

    def notify_shift(self, runs: Tensor | None = None) -> None:
        """Make the next update react as if the detector had alarmed: a schedule's clock restarts at 1.

        `runs` (bool [R]) picks the runs, default all. Numbers and laws have no clock and ignore it.
        """
        for group, rule in zip(self.param_groups, self.rules, strict=True):
            if isinstance(rule, Adaptive):
                state = group["rule_state"]
                told = torch.ones_like(state["notified"]) if runs is None else runs.to(state["notified"])
                group["rule_state"] = {**state, "notified": torch.maximum(state["notified"], told)}

    def _update(self) -> None:
        for index, group in enumerate(self.param_groups):
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._update_group(index, group, params)

    def _update_group(self, index: int, group: dict[str, Any], params: list[Tensor]) -> None:
        states = self._states(index, group, params)
        if self._listens(index):
            self.last_surprise[index] = measure.surprise(params, states, group, self.runs is not None, self.workspace)
        if self._is_by_torch(index, group, params):
            self._update_by_torch(group, params, states)
        else:
            self._update_by_equations(index, group, params, states)
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, fused.number(1.0, steps[0].dtype, steps[0].device), alpha=1.0)

    def _update_by_torch(self, group: dict[str, Any], params: list[Tensor], states: list[State]) -> None:
        """Torch's own update of a group, mended where its variance of the gradient becomes negative."""
        lists: list[list[Tensor]] = [[] for _ in range(6)]
        has_complex = self._init_group(group, *lists)
        before = [equations.snapshot(slot) for slot in equations.slots(params, states, group)] if group["centered"] else []
        torchs_update(group, lists, has_complex)
        for old, slot in zip(before, equations.slots(params, states, group) if before else [], strict=True):
            equations.mend_centered(old, slot, group)

    def _update_by_equations(self, index: int, group: dict[str, Any], params: list[Tensor], states: list[State]) -> None:
        """The update by the equations of update.py, or by what does the same for all parameters together."""
        rule, lr_per_run = self.rules[index], self._has_lr_per_run(group)
        if isinstance(rule, Law):
            slots = equations.slots(params, states, group)
            squares = [slot.g.square() for slot in slots]
            second_moment.update(rule, group, slots, squares, squares[0], self.runs is not None)
            for slot in slots:
                equations.apply_step(slot, group, lr_per_run)
            return
        x = self._heard(index, rule, group, params, states) if isinstance(rule, Adaptive) else torch.empty(0)
        averages = [*equations.state_tensors(states, "square_avg"), *equations.state_tensors(states, "grad_avg")]
        weights = [state["weight"] for state in states if "weight" in state]
        beta = second_moment.decide(rule, group, averages, weights, x)
        fits = fused.fits(params, group)
        if fits and isinstance(beta, float) and self._is_torchs(rule, group):
            fused.rmsprop(params, states, group, beta)
        elif fits and isinstance(beta, float) and self.runs is None and fused.is_adam(params, states, group):
            fused.adam(params, states, group, beta)
        else:
            for slot in equations.slots(params, states, group):
                out = self.workspace("root", slot.E)
                equations.update_mean_square(slot, beta, torch.square(slot.g, out=out) if isinstance(beta, Tensor) else None)
                equations.apply_step(slot, group, lr_per_run, out)

    def _heard(self, index: int, rule: Adaptive, group: dict[str, Any], params: list[Tensor], states: list[State]) -> Tensor:
        """What the rule's detector listens to [R]; zeros if it listens to nothing."""
        measured = {"surprise": self.last_surprise[index]} if index in self.last_surprise else {}
        return measure.signal(rule.listens_to, params, states, group, self.runs is not None, self._observed | measured)

    def _states(self, index: int, group: dict[str, Any], params: list[Tensor]) -> list[State]:
        """What is kept of each parameter; made where there is nothing yet.

        Looking a tensor up costs 1 µs. So what was found is remembered as long as `state` holds the same dicts.
        """
        if not identical(self.state.values(), self._kept):
            self._kept, self._found = list(self.state.values()), {}
        found, states = self._found.get(index, ([], []))
        if not identical(found, params):
            states = [self.state[p] for p in params]
            self._found[index] = params, states
        needed = self._needed(self.rules[index], group)
        if not all([name in state for state in states for name in needed]):
            self._init_group(group, *[[] for _ in range(6)])
        return states

    def _listens(self, index: int) -> bool:
        """Whether somebody wants to know the group's surprise."""
        rule = self.rules[index]
        return self.measure_surprise or (isinstance(rule, Adaptive) and rule.listens_to == "surprise")

    def _is_by_torch(self, index: int, group: dict[str, Any], params: list[Tensor]) -> bool:
        """Whether torch's own function makes the update.

        It does where a number is given for β and torch's options, and `foreach` asks for one of torch's loops, or a device
        other than the CPU knows better than this file, or the options need more than the equations.
        """
        if not self._is_torchs(self.rules[index], group):
            return False
        asked = group["foreach"] is not None or group["centered"] or group["capturable"] or group["differentiable"]
        return bool(asked) or not all([p.is_cpu for p in params])

    def _is_torchs(self, rule: Rule, group: dict[str, Any]) -> bool:
        """Whether torch has such an update, with whose bits ours is made."""
        own = group["eps_in_sqrt"] or group["bias_correction"] or self._has_lr_per_run(group)
        return isinstance(rule, Constant) and not own

    def _has_lr_per_run(self, group: dict[str, Any]) -> bool:
        return self.runs is not None and isinstance(group["lr"], Tensor) and group["lr"].dim() > 0

    def _init_group(self, group, params_with_grad, *lists):  # type: ignore[no-untyped-def]  # torch leaves it untyped
        """Torch's state of each parameter, and what the group's rule needs beside it."""
        rule = self.rules[next(i for i, g in enumerate(self.param_groups) if g is group)]
        fresh = [p for p in group["params"] if p.grad is not None and not self.state[p]]
        has_complex = super()._init_group(group, params_with_grad, *lists)
        for p in fresh:
            if group["initial_accumulator_value"]:
                as_real(self.state[p]["square_avg"]).fill_(group["initial_accumulator_value"])
        for p in params_with_grad:
            self._complete(self.state[p], p, rule, group)
        return has_complex

    def _complete(self, state: dict[str, Tensor], p: Tensor, rule: Rule, group: dict[str, Any]) -> None:
        """Add the weight w where it is not just 1 − βᵗ, and the last gradient where a detector listens to it.

        A state that torch's RMSprop has left behind has received the weight of its number β so far.
        """
        needed = self._needed(rule, group)
        if "weight" in needed and "weight" not in state:
            w = float(equations.weight_after(group["alpha"], state["step"])) if state["step"] > 0 else 0.0
            state.update(second_moment.initial_parameter_state(rule, as_real(state["square_avg"]), w, self._keys(p), group))
        if "previous_grad" in needed and "previous_grad" not in state:
            state["previous_grad"] = torch.zeros_like(as_real(p))

    def _needed(self, rule: Rule, group: dict[str, Any]) -> list[str]:
        """What must be kept of a parameter before an update."""
        keeps_w = group["bias_correction"] or not isinstance(rule, Constant)
        needs_previous = isinstance(rule, Adaptive) and rule.needs_previous_gradient
        return ["square_avg", *(["weight"] if keeps_w else []), *(["previous_grad"] if needs_previous else [])]

    # Gradients that are not finite ---------------------------------------------------------------------------------------

    def _with_grad(self) -> Iterator[tuple[dict[str, Any], int, Tensor]]:
        for group in self.param_groups:
            for i, p in enumerate(group["params"]):
                if p.grad is not None:
                    yield group, i, p

    def _raise_if_nonfinite(self) -> None:
        for group, i, p in self._with_grad():
            if not torch.isfinite(as_real(p.grad).square()).all():  # type: ignore[arg-type]
                names = group.get("param_names")
                name = names[i] if names else f"{i} of shape {tuple(p.shape)}"
                raise FloatingPointError(
                    f"gradients and their squares must be finite, that of parameter {name} is not: "
                    "lower lr, clip the gradient, or use nonfinite='skip'"
                )

    def _update_where_finite(self) -> None:
        """The update, undone for every run whose gradient is not finite, as if it had not been asked for."""
        grads = [p.grad for _, _, p in self._with_grad() if p.grad is not None]
        if not grads:
            return
        for group in self.param_groups:
            if "skipped" not in group:
                none = torch.zeros(() if self.runs is None else self.runs, dtype=torch.float64, device=grads[0].device)
                group["skipped"] = none
        if grads[0].device.type == "cpu" and equations.surely_finite(grads):  # elsewhere to ask takes longer than to copy
            self._update()
            self.undone = None
            return
        finite = equations.all_finite(grads, self.runs)
        for group in self.param_groups:
            self._init_group(group, *[[] for _ in range(6)])  # so that there is a state to return to
        before = UpdateSnapshot(self, [p for _, _, p in self._with_grad()])
        self._update()
        before.put_back(finite)
        self.undone = ~finite

    # Statistics ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def stats(self) -> dict[str, Any]:
        """What the optimizer is doing, over all groups: floats, or with `runs` float64 tensors [R]. Synchronises.

        beta, window (1/(1 − β), in updates); E_q05, E_q50, E_q95 (quantiles of Ê over parameters), effective_lr_q05, …_q50,
        …_q95 (of lr/(√Ê + ε)), from at most 256 evenly spaced entries of each parameter; share_below_eps (share of those
        with √Ê < ε, where β hardly matters); update_rms (root mean square of the last update, all entries, from the gradients
        still there, NaN if they are not); surprise (of the last update, NaN unless a rule listens to it or
        `measure_surprise` is set); clock (updates since the start or restart), statistic, threshold, alarms (so far) of the
        detector, NaN without one; skipped (updates undone by nonfinite="skip"). With several groups β, clock and surprise are
        means, statistic and threshold those of the group nearest its threshold, alarms and skipped sums.
        """
        values = stats.stats(self)
        return values if self.runs else {key: float(value) for key, value in values.items()}

    @torch.no_grad()
    def samples(self) -> tuple[Tensor, Tensor]:
        """Ê and lr/(√Ê + ε) of at most 256 evenly spaced entries of each parameter: two tensors [K], or [R, K] with `runs`."""
        E, effective_lr, _ = stats.sample(self)
        return (E.cpu(), effective_lr.cpu()) if self.runs else (E[0].cpu(), effective_lr[0].cpu())

    # Checkpoints ---------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: getattr(self, name) for name in OWN_ATTRIBUTES}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget_found()
        for index, group in enumerate(self.param_groups):
            for name, default in OWN_OPTIONS.items():
                group.setdefault(name, default)
            self.rules[index] = rule_of(group, self.rules[index])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore parameters' state, β rules, clocks and detectors, from a checkpoint of this class or of torch's RMSprop.

        As in torch the saved groups bring their settings along, the rule included. A checkpoint of `torch.optim.RMSprop` has
        no rule and none of this class's options: this optimizer's own stay, and its rule starts its clock there. A rule
        without a text form cannot be saved; load it into an optimizer made with the same rule.
        """
        saved = state_dict["param_groups"]
        groups = [
            group if "bias_correction" in group else {**group, **inherited(mine)}
            for group, mine in zip(saved, self.param_groups, strict=False)  # torch refuses other numbers of groups
        ]
        super().load_state_dict({**state_dict, "param_groups": groups if len(groups) == len(saved) else saved})
        for group, rule, was in zip(self.param_groups, self.rules, saved, strict=True):
            for key in ("rule_state", "skipped", "alpha"):
                if isinstance(group.get(key), (Tensor, dict)) and group["params"]:
                    group[key] = moved(group[key], group["params"][0].device)
            for i, p in zip(was["params"], group["params"], strict=True):
                if i in state_dict["state"]:
                    # torch casts floating state to the parameter's dtype; w is float64 for a reason: 0.9995 is 1 in bfloat16.
                    for name in EXACT_STATE & state_dict["state"][i].keys():
                        self.state[p][name] = state_dict["state"][i][name].to(p.device, copy=True)
                    self._complete(self.state[p], p, rule, {**group, "alpha": was["alpha"]})


def identical(a: Collection[object], b: Collection[object]) -> bool:
    """Whether both hold the same objects in the same order."""
    return len(a) == len(b) and all(map(operator.is_, a, b))


def torchs_update(group: dict[str, Any], lists: Sequence[list[Tensor]], has_complex: bool) -> None:
    """Torch's own update of a group; `lists` is what its `_init_group` fills."""
    params, grads, square_avgs, buffers, grad_avgs, steps = lists
    names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "foreach", "maximize", "differentiable", "capturable")
    options = {name: group[name] for name in names}
    rmsprop(params, grads, square_avgs, grad_avgs, buffers, steps, has_complex=has_complex, **options)
