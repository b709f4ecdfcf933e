"""How runs are trained: the options that every run of a study shares.

One frozen object goes from the command line, a study file or Python through `Study` and `BatchSpec` to config.json: a further
option is a field here, and a line where it acts. Nothing heavy is imported, so that wrong options are refused at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from agents.kernels import KernelName, default_kernel
from rl_rmsprop.study.spec import env_kwargs

if TYPE_CHECKING:
    from envs.shifts.shift import Shift
    from rl_rmsprop.step_sizes import StepSize

AgentName = Literal["a2c", "ppo", "reinforce"]
Backend = Literal["gymnasium", "envpool"]
Device = Literal["cpu", "cuda"]

MOST_STEPS = 10**12
MOST_EPISODES = 1_000_000


@dataclass(frozen=True)
class TrainingOptions:
    """What is the same for all arms, environments and seeds of a study."""

    agent: AgentName = "a2c"
    """Learning algorithm."""
    steps: int = 500_000
    """Environment steps per run, rounded up to whole iterations of n_envs · n_steps."""
    eval_episodes: int = 100
    """Episodes of the final evaluation with the greedy policy; 0 for none."""
    env_kwargs: tuple[str, ...] = ()
    """Arguments that every environment is made with, such as continuous=true; LunarLander-v3:continuous=true is for that one
    alone."""
    wrapper: tuple[str, ...] = ()
    """Gymnasium wrappers around every environment, written module:Class; the first one is innermost."""
    shift: tuple[str, ...] = ()
    """What changes in the environment, such as gravity:values=9.8/25,at=100000; `rl-rmsprop envs ID` lists what can."""
    record_signals: bool = False
    """Record the signals of every update, for `rl-rmsprop replay`."""
    backend: Backend = "gymnasium"
    """Whose environments to train in: EnvPool's LunarLander is twice as fast, but cannot shift its dynamics or be resumed."""
    device: Device = "cpu"
    """Where networks are trained; environments are always stepped on the CPU. On cuda results need not repeat bit for bit."""
    kernel: KernelName = default_kernel()
    """What computes the networks on the CPU: native, the compiled kernel, if this machine has it, or torch. They differ in the
    last bits."""
    bias_correction: bool = True
    """Divide E by the weight it has received, so that arms do not also differ in how long their first steps are."""
    eps: float = 1e-5
    """ε of the optimizer, ≥ 0; Stable-Baselines3's A2C has 1e-5."""
    lr_rule: str = "none"
    """What decides how long steps are, beside lr: none, intentional:eta=0.05 or trac; `rl-rmsprop rules` lists them."""

    def check(self) -> None:
        """ValueError for a value out of its range."""
        for name, kind in (("agent", AgentName), ("backend", Backend), ("device", Device), ("kernel", KernelName)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        for name, least, most in (("steps", 1, MOST_STEPS), ("eval_episodes", 0, MOST_EPISODES)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from {least} to {most:,}, got {getattr(self, name)}")
        if not 0 <= self.eps < float("inf"):
            raise ValueError(f"eps must be at least 0 and finite, got {self.eps}")

        env_kwargs.canonical(self.env_kwargs)

    def made_with(self, env_id: str) -> dict[str, Any]:
        """How this environment is made: the keywords `kwargs` and `wrappers` of `envs.make`."""
        return {"kwargs": env_kwargs.kwargs_of(self.env_kwargs, env_id), "wrappers": self.wrapper}

    @property
    def used_kernel(self) -> KernelName:
        """What computes the networks where they are: torch on a GPU, whatever `kernel` says."""
        return self.kernel if self.device == "cpu" else "torch"

    @cached_property
    def step_size(self) -> StepSize | None:
        """The step-size rule, None for lr alone; ValueError for a text that is no rule. Imports torch, if there is one."""
        if self.lr_rule == "none":
            return None
        from rl_rmsprop import step_sizes

        return step_sizes.parse(self.lr_rule)

    @cached_property
    def shifts(self) -> tuple[Shift, ...]:
        """The changes of the environment; ValueError for a text that stands for none."""
        from envs.shifts.shift import parse_all

        return parse_all(self.shift)
