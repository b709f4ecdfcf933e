"""Stable-Baselines3's models with our callback: every optimizer is found, measured, told, and left alone."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

import envs
from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.integrations.sb3 import OptimizerCallback
from rl_rmsprop.telemetry.watch import Alarm

MODELS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "A2C": (lambda: A2C("MlpPolicy", "CartPole-v1", seed=0), ("",)),
    "PPO": (lambda: PPO("MlpPolicy", "CartPole-v1", n_steps=128, seed=0), ("",)),
    "DQN": (lambda: DQN("MlpPolicy", "CartPole-v1", learning_starts=50, seed=0), ("",)),
    "SAC": (lambda: SAC("MlpPolicy", "Pendulum-v1", learning_starts=50, seed=0), ("actor/", "critic/", "ent_coef/")),
    "TD3": (lambda: TD3("MlpPolicy", "Pendulum-v1", learning_starts=50, seed=0), ("actor/", "critic/")),
}


def logged(model: Any, folder: Path) -> dict[str, float]:
    """The last value of each column of a model's own CSV file; a row has those that were measured since the row before."""
    model.logger.close()
    with (folder / "progress.csv").open(newline="") as file:
        return {name: float(cell) for row in csv.DictReader(file) for name, cell in row.items() if cell}


@pytest.mark.parametrize("name", MODELS)
def test_every_optimizer_of_a_model_is_in_its_own_log(name: str, tmp_path: Path) -> None:
    """Silent failure: the actor's curve is there and the critic's is not, or one is called by the other's name."""
    make, prefixes = MODELS[name]
    model = make()
    model.set_logger(configure(str(tmp_path), ["csv"]))
    callback = OptimizerCallback(every=3)
    model.learn(500, callback=callback, log_interval=1)
    last = logged(model, tmp_path)
    for prefix in prefixes:
        assert last[f"{prefix}optim/update_rms"] > 0
        assert last[f"{prefix}optim/effective_lr_q50"] > 0
        assert last[f"{prefix}optim/beta"] in (0.99, 0.999)
    assert {name.partition("optim/")[0] for name in last if "optim/" in name} == set(prefixes)
    assert callback.telemetries[prefixes[0].rstrip("/") or "policy"].updates > 10


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_the_training_is_the_same_with_and_without(kind: Any) -> None:
    """Silent failure: whoever looks trains another policy."""

    def parameters(callback: BaseCallback | None) -> list[torch.Tensor]:
        sizes = {"batch_size": 32} if kind is PPO else {}
        model = kind("MlpPolicy", "CartPole-v1", n_steps=32, seed=1, **sizes)
        model.learn(256, callback=callback)
        return list(model.policy.parameters())

    watch = ["cusum:arl=500,signal=episode_return", "cusum:arl=500,signal=grad_norm"]
    plain, seen = parameters(None), parameters(OptimizerCallback(every=1, watch=watch))
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))


def test_it_works_after_load_and_in_a_second_learn(tmp_path: Path) -> None:
    """Silent failure: after a restart the callback measures an optimizer that nobody uses any more."""
    model = MODELS["A2C"][0]()
    model.learn(100, callback=OptimizerCallback(every=1))
    model.save(tmp_path / "model")
    loaded = A2C.load(tmp_path / "model", env=model.get_env())
    callback = OptimizerCallback(every=1)
    for _ in range(2):
        loaded.learn(100, callback=callback, reset_num_timesteps=False)
        assert callback.telemetries["policy"].optimizer is loaded.policy.optimizer
        assert callback.telemetries["policy"].updates == 20
    assert not loaded.policy.optimizer._optimizer_step_pre_hooks
    assert not any(p._post_accumulate_grad_hooks for p in loaded.policy.parameters())


class Heard(BaseCallback):
    """What an optimizer is told at each update."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, float]] = []

    def _on_training_start(self) -> None:
        def note(optimizer: Any, *_: Any) -> None:
            self.told.append({name: float(value) for name, value in optimizer._observed.items()})

        self.model.policy.optimizer.register_step_pre_hook(note)

    def _on_step(self) -> bool:
        return True


def test_an_adaptive_rmsprop_is_told_returns_norms_and_shifts() -> None:
    """Silent failure: a detector of returns hears NaN for ever, or the returns of the episodes before."""
    for signal, name in (("episode_return", "episode_return"), ("grad_norm", "grad_norm")):
        rule = {"alpha": f"cusum:arl=5000,max=0.99,signal={signal}"}
        model = A2C(
            "MlpPolicy", "CartPole-v1", policy_kwargs={"optimizer_class": AdaptiveRMSprop, "optimizer_kwargs": rule}, seed=0
        )
        returns: list[float] = []

        class Episodes(BaseCallback):
            def _on_step(self, returns: list[float] = returns) -> bool:
                returns.extend(info["episode"]["r"] for info in self.locals["infos"] if "episode" in info)
                return True

        heard = Heard()
        model.learn(1000, callback=[OptimizerCallback(every=1000), heard, Episodes()])
        told = [told[name] for told in heard.told]
        assert len(told) == 200
        if name == "episode_return":
            assert [x for x in told if not math.isnan(x)] == returns  # rollouts of 5 steps: never two episodes
        else:
            assert max(told) > 0.5  # before SB3 has clipped it


def test_true_shifts_are_told() -> None:
    """Silent failure: an oracle that is never told of a shift is a schedule without one."""
    envs.register()
    rule = {"alpha": "oracle:max=0.99"}
    env = gym.make("Shifted/CartPole-v1", shift="gravity:values=9.8/25,at=100")
    model = A2C("MlpPolicy", env, policy_kwargs={"optimizer_class": AdaptiveRMSprop, "optimizer_kwargs": rule}, seed=0)
    model.learn(300, callback=OptimizerCallback())
    assert model.policy.optimizer.stats()["alarms"] == 1


def test_alarms_name_their_optimizer() -> None:
    """Silent failure: drift is detected and nobody is told."""
    alarms: list[tuple[str, Alarm]] = []
    callback = OptimizerCallback(
        watch=["cusum:arl=20,signal=grad_norm"], on_alarm=lambda name, alarm: alarms.append((name, alarm))
    )
    MODELS["PPO"][0]().learn(512, callback=callback)
    assert {name for name, _ in alarms} == {"policy"}
    assert len(alarms) == len(callback.telemetries["policy"].watches[0].alarms) > 0
