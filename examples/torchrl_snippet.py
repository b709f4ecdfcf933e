"""A2C from TorchRL's parts, with an optimizer whose decay rate adapts, and curves of what it does in TensorBoard.

pip install 'rl-rmsprop[examples]'
python examples/torchrl_snippet.py --total-timesteps 50000
tensorboard --logdir runs/torchrl
"""

from __future__ import annotations

import argparse

import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter
from torchrl.collectors import Collector
from torchrl.envs import GymEnv, RewardSum, StepCounter, TransformedEnv
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import A2CLoss
from torchrl.objectives.value import GAE

from rl_rmsprop import AdaptiveRMSprop, OptimizerTelemetry


def network(outputs: int) -> nn.Sequential:
    """Two hidden layers over CartPole's four sensors."""
    return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=50_000, help="environment steps")
    parser.add_argument("--rollout", type=int, default=64, help="environment steps between updates")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--beta", default="cusum:arl=50000,max=0.99", help="β rule: a number, or one that `rl-rmsprop rules` lists"
    )
    parser.add_argument("--log-dir", default="runs/torchrl", help="folder for TensorBoard")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # networks this small are slower with more
    env = TransformedEnv(GymEnv("CartPole-v1", categorical_action_encoding=True), RewardSum())
    env.append_transform(StepCounter())
    env.set_seed(args.seed)
    logits = TensorDictModule(network(2), in_keys=["observation"], out_keys=["logits"])
    actor = ProbabilisticActor(logits, in_keys=["logits"], distribution_class=Categorical, return_log_prob=True)
    critic = ValueOperator(network(1), in_keys=["observation"])
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    loss_of = A2CLoss(actor, critic, entropy_coeff=0.01)

    optimizer = AdaptiveRMSprop(loss_of.parameters(), lr=1e-3, alpha=args.beta, eps=1e-5)
    telemetry = OptimizerTelemetry(optimizer, every=10)
    writer = SummaryWriter(args.log_dir)
    collector = Collector(
        env, actor, frames_per_batch=args.rollout, total_frames=args.total_timesteps, auto_register_policy_transforms=False
    )
    steps, episode_returns = 0, [float("nan")]

    for data in collector:
        steps += data.numel()
        with torch.no_grad():
            advantage(data)
        losses = loss_of(data)
        optimizer.zero_grad()
        (losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]).backward()
        nn.utils.clip_grad_norm_(loss_of.parameters(), 0.5)
        optimizer.step()

        telemetry.log(writer, steps)
        for episode_return in data["next", "episode_reward"][data["next", "done"]].tolist():
            episode_returns.append(episode_return)
            writer.add_scalar("rollout/ep_rew", episode_return, steps)

    collector.shutdown()
    writer.close()
    print(
        f"{steps} steps; return of the last episode: {episode_returns[-1]:g}; alarms: {telemetry.values()['detector/alarms']:g}"
    )


if __name__ == "__main__":
    main()
