"""How each agent learns from a rollout, chosen by the type of its settings.

An agent is a subclass of `Settings` and a function that is registered here: `learn.register(MyAgent, my_learn)`.
"""

from __future__ import annotations

from functools import singledispatch

from agents import a2c, ppo, reinforce
from agents.config import A2C, PPO, Reinforce, Settings
from agents.distributions import Generators
from agents.experience import Rollout
from agents.losses import MetricsFn, UpdateStep
from agents.networks import ActorCritic


@singledispatch
def learn(settings: Settings, policy: ActorCritic, rollout: Rollout, update: UpdateStep, generators: Generators) -> MetricsFn:
    """All optimizer updates of all runs on a rollout; returns a function of values for curves.

    For each it sets the networks' gradients, `policy.backward(loss)`, and calls `update` with the critic's mean squared error;
    as often for every rollout. Random numbers come from `generators`, one a run.
    """
    raise TypeError(f"settings must be those of an agent that is registered with learn, got {type(settings).__name__}")


learn.register(A2C, a2c.learn)
learn.register(PPO, ppo.learn)
learn.register(Reinforce, reinforce.learn)
