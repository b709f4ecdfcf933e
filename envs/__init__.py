"""Gymnasium environments for batched training: R runs × N environments, a random stream per run."""

from envs.batch import EnvBatch, SerialBatch, Step, check_spaces, seed_sequence
from envs.cartpole import CartPoleBatch
from envs.make import check_env_id, make

__all__ = ["CartPoleBatch", "EnvBatch", "SerialBatch", "Step", "check_env_id", "check_spaces", "make", "seed_sequence"]
