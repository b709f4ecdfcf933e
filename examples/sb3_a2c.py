"""A2C of Stable-Baselines3 with an RMSProp whose β a detector sets, and curves of what it does in TensorBoard.

    pip install 'rl-rmsprop[sb3]'
    python examples/sb3_a2c.py --total-timesteps 100000
    tensorboard --logdir runs/sb3

The tags `optim/…` (β, E, effective learning rates, the size of steps) and `detector/…` stand beside SB3's own, wherever its
logger writes. `OptimizerCallback` also shows what torch's RMSprop or Adam do: leave `optimizer_class` out.
"""

from __future__ import annotations

import argparse
from typing import Any

from stable_baselines3 import A2C

from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.integrations.sb3 import OptimizerCallback


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--env-id", default="CartPole-v1")
    parser.add_argument("--total-timesteps", type=int, default=100_000, help="environment steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--beta", default="cusum:arl=50000,max=0.99", help="β rule: a number, or one that `rl-rmsprop rules` lists"
    )
    parser.add_argument("--log-dir", default="runs/sb3", help="folder for TensorBoard")
    args = parser.parse_args()

    rule = {"alpha": args.beta, "eps": 1e-5}
    policy: dict[str, Any] = {"optimizer_class": AdaptiveRMSprop, "optimizer_kwargs": rule}
    model = A2C(
        "MlpPolicy",
        args.env_id,
        learning_rate=3e-3,
        policy_kwargs=policy,
        seed=args.seed,
        device="cpu",
        tensorboard_log=args.log_dir,
    )
    callback = OptimizerCallback(every=20)
    model.learn(args.total_timesteps, callback=callback)
    values = callback.telemetries["policy"].values()
    print(f"{model.num_timesteps} steps; β {values['optim/beta']:.3f}, effective lr {values['optim/effective_lr_q50']:.2g}")


if __name__ == "__main__":
    main()
