"""The policy and value networks of R runs at once: two multilayer perceptrons whose every parameter has a leading run axis.

All weights of one network lie in one flat tensor θ [R, P], which is what autograd and the optimizer see: gradient norms, clipping
and statistics per run are then operations along one axis. Rows never meet, so the gradient of the summed loss of all runs is,
row by row, the gradient of each run's own loss. Outputs that do not depend on the state (the ln σ of a Gaussian policy) stand
behind the weights in θ. How the networks are computed is in agents/mlp.py and agents/kernels; `make_policy` makes those of an
agent's settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from agents.config import Settings, check_scale
from agents.distributions import ActionDistribution, ActionEvaluation, for_space
from agents.environments import Environments
from agents.kernels import KernelName, check_kernel, library
from agents.kernels.native_kernel import NativeKernel
from agents.kernels.native_losses import NativeLosses
from agents.mlp import MLP, ActingNetwork
from agents.normalization import NO_NORMALIZATION, Normalization, normalization_of
from rl_rmsprop.seeding import generators
from rl_rmsprop.storage.snapshot import load_plain, to_plain


class ActorCritic:
    """A policy and a state value for each of R runs; separate networks of the same hidden widths.

    Initial gains follow Stable-Baselines3: √2 in hidden layers, 0.01 for the policy's output (so that all actions start
    nearly equally likely, or have means near 0), 1 for the value's. Observations given to its methods are normalised ones:
    `normalization` is applied by whoever acts, once for each observation.

    >>> from agents import Categorical
    >>> policy = ActorCritic(4, Categorical(2), hidden=[64, 64], generators=[np.random.default_rng(seed) for seed in (0, 1, 2)])
    >>> observations = torch.zeros(3, 8, 4)  # [R, B, O]
    >>> policy.outputs(observations).shape, policy.values(observations).shape
    (torch.Size([3, 8, 2]), torch.Size([3, 8]))
    """

    def __init__(
        self,
        observation_size: int,
        distribution: ActionDistribution,
        hidden: Sequence[int],
        generators: Sequence[np.random.Generator],  # one a run
        observation_scale: Sequence[float] = (),
        normalization: Normalization = NO_NORMALIZATION,
        device: torch.device | str = "cpu",
        kernel: KernelName | None = None,
    ) -> None:
        """The policy's actions are of the `distribution`; both networks are on `device`, computed by `kernel` (see `MLP`).

        `observation_scale`, one number a sensor, divides observations first; ValueError if it is of another length.
        """
        check_scale(observation_scale, observation_size)
        gain = 1 / torch.tensor(observation_scale) if observation_scale else None  # [O]
        self.distribution, self.normalization = distribution, normalization
        gains = [2**0.5] * len(hidden)
        outputs, constants = distribution.outputs, distribution.constants
        self.actor = MLP([observation_size, *hidden, outputs], [*gains, 0.01], generators, constants, gain, device, kernel)
        self._native: NativeLosses | None = None  # with the settings that they are of
        self._native_key: tuple[Settings, float] | None = None
        self.critic = MLP([observation_size, *hidden, 1], [*gains, 1.0], generators, (), gain, device, kernel)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_native": None, "_native_key": None}  # they point to the networks of this policy

    @property
    def runs(self) -> int:
        """R."""
        return self.actor.runs

    @property
    def device(self) -> torch.device:
        """Where the networks are, and the data that they learn from."""
        return self.actor.theta.device

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer trains: θ of the actor [R, P_actor] and of the critic [R, P_critic]."""
        return [self.actor.theta, self.critic.theta]

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The same with names, for optimizers and error messages."""
        return [("actor", self.actor.theta), ("critic", self.critic.theta)]

    def hidden_weights(self) -> list[list[tuple[int, int, int]]]:
        """For each of `parameters`, where the weight matrices of its hidden layers lie in a run's row.

        They are (first number, inputs I, outputs H), for optimizers that treat matrices in another way than vectors. Those of the
        first layer are among them, those of the output layers are not: such optimizers leave them to Adam.

        >>> from agents import Categorical
        >>> ActorCritic(4, Categorical(2), hidden=[64, 32], generators=[np.random.default_rng(0)]).hidden_weights()
        [[(0, 4, 64), (320, 64, 32)], [(0, 4, 64), (320, 64, 32)]]
        """
        return [self.actor.hidden_weights, self.critic.hidden_weights]

    def snapshot(self) -> dict[str, Any]:
        """Weights and running statistics of all runs."""
        return {
            "weights": to_plain([theta.data for theta in self.parameters()]),
            "normalization": to_plain(list(self.normalization)),
        }

    @torch.no_grad()
    def restore(self, saved: dict[str, Any]) -> None:
        """Load what `snapshot` returned, in place."""
        for theta, weights in zip(self.parameters(), saved["weights"], strict=True):
            theta.copy_(weights)
        load_plain(list(self.normalization), saved["normalization"])

    def backward(self, loss: Tensor) -> None:  # loss: [R]
        """Set `theta.grad` of both networks to the gradient of each run's loss."""
        gradients = torch.autograd.grad(loss.sum(), self.parameters())
        for theta, gradient in zip(self.parameters(), gradients, strict=True):
            theta.grad.copy_(gradient)  # type: ignore[union-attr]  # networks have memory for theirs

    def native_losses(self, settings: Settings, gae_lambda: float) -> NativeLosses | None:
        """The agents' losses and their gradients by the compiled kernel; None where the networks are torch's."""
        actor, critic = self.actor.kernel, self.critic.kernel
        if not isinstance(actor, NativeKernel) or not isinstance(critic, NativeKernel):
            return None
        if (settings, gae_lambda) != self._native_key:
            numbers = library.Settings(
                settings.gamma, gae_lambda, settings.reward_scale, settings.vf_coef, settings.ent_coef,
                getattr(settings, "clip_range", 0.0), settings.normalize_advantage,
                settings.max_grad_norm if settings.clip == "gradient" else math.inf,
            )  # fmt: skip
            gradients = [cast(Tensor, theta.grad) for theta in self.parameters()]  # networks have memory for theirs
            self._native = NativeLosses((actor, gradients[0]), (critic, gradients[1]), self.distribution.choices, numbers)
            self._native_key = (settings, gae_lambda)
        return self._native

    def compiled_environments(self, env: Environments) -> Any:
        """What the compiled kernel needs to step `env` while this policy acts; None where Python must step it."""
        is_native = isinstance(self.actor.kernel, NativeKernel) and len(self.distribution.choices) == 1
        if not is_native or self.normalization.is_active:
            return None
        return getattr(env, "compiled", lambda: None)()

    def outputs(self, observations: Tensor) -> Tensor:  # [R, B, O] → [R, B, …]
        """The distribution's parameters: logits, or means and ln σ."""
        return self.actor(observations)

    def acting_network(self, rows: int) -> ActingNetwork:
        """The actor arranged for acting on observations [R, rows, O]."""
        return ActingNetwork(self.actor, rows)

    def evaluate_actions(self, observations: Tensor, actions: Tensor) -> ActionEvaluation:  # [R, B, O], [R, B, …]
        """Log-probabilities of actions that were chosen, and entropies."""
        return self.distribution.evaluate_actions(self.outputs(observations), actions)

    def values(self, observations: Tensor) -> Tensor:  # [R, B, O] → [R, B]
        """Expected discounted return from each state."""
        return self.critic(observations).squeeze(-1)


def make_policy(
    env: Environments,
    settings: Settings,
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    kernel: KernelName | None = None,
) -> ActorCritic:
    """Freshly initialised networks of an agent's settings for the runs of `env`, and empty running statistics.

    `seeds`, one a run, determine the initial weights. `kernel` computes the networks, by default the fastest that this machine
    has (see agents/kernels). ValueError if the seeds are not as many as the runs of `env`, and for a kernel that isn't there.

    >>> import envs
    >>> from agents import A2C, make_policy
    >>> policy = make_policy(envs.make("CartPole-v1", seeds=[0, 1], envs_per_run=8), A2C(hidden=(64, 64)), seeds=[0, 1])
    >>> [tuple(theta.shape) for theta in policy.parameters()]  # actor and critic: two runs each
    [(2, 4610), (2, 4545)]
    """
    if len(seeds) != env.runs:
        raise ValueError(f"seeds must be one a run, {env.runs}, got {len(seeds)}: pass those that env was made with")
    if kernel is not None:
        check_kernel(kernel)
    size = env.observation_space.shape[0]
    return ActorCritic(
        size, for_space(env.action_space, settings.log_std_init), settings.hidden, generators(seeds, "init"),
        settings.observation_scale, normalization_of(settings, env.runs, env.envs_per_run, size), device, kernel,
    )  # fmt: skip
