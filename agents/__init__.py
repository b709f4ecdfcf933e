"""Policy-gradient agents batched over runs. They know neither environments nor optimizers: both are passed in."""

from agents.a2c import A2C
from agents.config import Settings
from agents.distributions import Categorical, Gaussian
from agents.networks import ActorCritic
from agents.ppo import PPO
from agents.reinforce import Reinforce
from agents.training import Training, Update

__all__ = ["A2C", "PPO", "ActorCritic", "Categorical", "Gaussian", "Reinforce", "Settings", "Training", "Update"]
