"""`rl-rmsprop train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.options import RunOptions, Settings, WorkerOptions
from rl_rmsprop.study.spec.names import BASELINE_NAMES


@dataclass(frozen=True)
class Train:
    """Train one arm over some seeds: one β rule, or another optimizer."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop train --env CartPole-v1 --seeds 0-4 --steps 1e5", "RMSProp with β = 0.99, five runs"),
        ("rl-rmsprop train --env LunarLander-v3 --agent ppo --beta cusum:max=0.999",
         "PPO, β restarted by a detector of shifts, ten runs in a folder below runs/"),
        ("rl-rmsprop train --env LunarLander-v3 --env-kwargs continuous=true gravity=-5",
         "the environment made with other arguments"),
        ("rl-rmsprop train --env my_envs:Walk-v0 --wrapper my_envs:Normalized",
         "an environment of your own and a wrapper around it, from my_envs.py in this folder"),
        ("rl-rmsprop train --env CartPole-v1 --optimizer adam:beta2=0.99 --lr 1e-3", "torch's Adam instead"),
    )  # fmt: skip

    env: str = option("", metavar="ID", note="needed", instead="rl-rmsprop compare takes several")
    """Gymnasium id of the environment, such as CartPole-v1."""
    beta: str | None = option(
        None, metavar="RULE", note="default: 0.99", commas_inside=True, instead="rl-rmsprop compare --betas takes several"
    )
    """β rule: a number, or one of those that `rl-rmsprop rules` lists."""
    optimizer: str | None = option(
        None, metavar="NAME", commas_inside=True, instead="rl-rmsprop compare --baselines takes several",
        doc=f"Train with this optimizer instead, with its decay rates as keys if need be, as in adam:beta1=0.5,beta2=0.99: "
        f"{', '.join(BASELINE_NAMES)}.",
    )  # fmt: skip
    run: RunOptions = RunOptions()
    settings: Any = Settings()
    workers: WorkerOptions = WorkerOptions()

    def __call__(self) -> int:
        if self.beta is not None and self.optimizer is not None:
            raise ValueError(f"train has one arm, got --beta {self.beta} and --optimizer {self.optimizer}: compare takes several")
        if self.beta is not None and self.beta.partition(":")[0] in BASELINE_NAMES:
            raise ValueError(f"{self.beta} is an optimizer and no β rule: --optimizer {self.beta}")
        env = (self.env,) if self.env else ()
        groups: dict[str, Any] = {"run": self.run, "settings": self.settings, "workers": self.workers}
        if self.optimizer is not None:
            return Compare(env=env, baselines=(self.optimizer,), **groups)()
        return Compare(env=env, betas=("0.99" if self.beta is None else self.beta,), **groups)()
