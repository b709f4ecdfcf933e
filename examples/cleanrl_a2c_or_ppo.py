"""A2C and PPO in one file, with an optimizer whose decay rate adapts and that shows what it does, in the lines (1), (2) and (3).

    python examples/cleanrl_a2c_or_ppo.py --total-timesteps 100000
    python examples/cleanrl_a2c_or_ppo.py --update-epochs 1 --num-minibatches 1 --clip-coef inf --num-steps 16    # A2C
    tensorboard --logdir runs

The layout and the names of the options are those of ppo.py of CleanRL, so that the three lines can be carried over to a file of
yours: https://github.com/vwxyzjn/cleanrl/blob/master/cleanrl/ppo.py (MIT licence, Copyright (c) 2019 CleanRL developers).
"""

from __future__ import annotations

import argparse
import time

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter

from rl_rmsprop import AdaptiveRMSprop, OptimizerTelemetry


def parse_args() -> argparse.Namespace:
    """The options, with the sizes that follow from them."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--env-id", default="CartPole-v1", help="Gymnasium environment with discrete actions")
    parser.add_argument("--total-timesteps", type=int, default=100_000, help="environment steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--beta", default="cusum:arl=50000,max=0.99", help="β rule: a number, or one that `rl-rmsprop rules` lists"
    )
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--num-envs", type=int, default=4)
    parser.add_argument("--num-steps", type=int, default=128, help="steps of each environment between updates")
    parser.add_argument("--num-minibatches", type=int, default=4)
    parser.add_argument("--update-epochs", type=int, default=4, help="passes over a rollout")
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--gae-lambda", type=float, default=0.95)
    parser.add_argument("--clip-coef", type=float, default=0.2, help="PPO's clipping of the probability ratio; inf for A2C")
    parser.add_argument("--ent-coef", type=float, default=0.01)
    parser.add_argument("--vf-coef", type=float, default=0.5)
    parser.add_argument("--max-grad-norm", type=float, default=0.5)
    parser.add_argument("--log-dir", default="runs", help="folder for TensorBoard")
    args = parser.parse_args()
    args.batch_size = args.num_envs * args.num_steps
    args.minibatch_size = args.batch_size // args.num_minibatches
    args.num_iterations = args.total_timesteps // args.batch_size
    return args


def make_env(env_id: str) -> gym.Env:
    """An environment that reports the return of each episode when it ends."""
    return gym.wrappers.RecordEpisodeStatistics(gym.make(env_id))


def layer_init(layer: nn.Linear, std: float = 2**0.5) -> nn.Linear:
    """Orthogonal weights, no bias."""
    nn.init.orthogonal_(layer.weight, std)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    """Actor and critic, two hidden layers each."""

    def __init__(self, observations: int, actions: int) -> None:
        super().__init__()
        self.critic, self.actor = (
            nn.Sequential(
                layer_init(nn.Linear(observations, 64)), nn.Tanh(),
                layer_init(nn.Linear(64, 64)), nn.Tanh(),
                layer_init(nn.Linear(64, outputs), std),
            )
            for outputs, std in ((1, 1.0), (actions, 0.01))
        )  # fmt: skip

    def get_value(self, x: Tensor) -> Tensor:
        """V(x) [N]."""
        values: Tensor = self.critic(x).squeeze(-1)
        return values

    def get_action_and_value(self, x: Tensor, action: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """An action (drawn, unless it is given), ln of its probability, the entropy, and V(x), [N] each."""
        policy = Categorical(logits=self.actor(x))
        action = policy.sample() if action is None else action
        return action, policy.log_prob(action), policy.entropy(), self.get_value(x)


def advantages_of(
    rewards: Tensor, dones: Tensor, values: Tensor, next_done: Tensor, next_value: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Generalised advantage estimates [T, N]; `dones` says of each step whether an episode began with it."""
    advantages, following = torch.zeros_like(rewards), torch.zeros_like(next_value)
    for t in reversed(range(len(rewards))):
        is_last = t == len(rewards) - 1
        goes_on = 1 - (next_done if is_last else dones[t + 1])
        delta = rewards[t] + gamma * goes_on * (next_value if is_last else values[t + 1]) - values[t]
        advantages[t] = following = delta + gamma * gae_lambda * goes_on * following
    return advantages


def main() -> None:
    """Train."""
    args = parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # networks this small are slower with more
    rng = np.random.default_rng(args.seed)
    writer = SummaryWriter(f"{args.log_dir}/{args.env_id}__cleanrl__{args.seed}__{int(time.time())}")
    envs = gym.vector.SyncVectorEnv(
        [lambda: make_env(args.env_id) for _ in range(args.num_envs)], autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    space, choices = envs.single_observation_space, envs.single_action_space
    assert isinstance(space, gym.spaces.Box), "observations must be flat"
    assert isinstance(choices, gym.spaces.Discrete), "actions must be discrete"

    agent = Agent(space.shape[0], int(choices.n))
    optimizer = AdaptiveRMSprop(agent.parameters(), lr=args.learning_rate, alpha=args.beta, eps=1e-5)  # (1) was torch.optim.Adam
    telemetry = OptimizerTelemetry(optimizer, every=20)  # (2) new

    obs = torch.zeros(args.num_steps, args.num_envs, *space.shape)
    actions, logprobs, rewards, dones, values = torch.zeros(5, args.num_steps, args.num_envs)
    next_obs = torch.as_tensor(envs.reset(seed=args.seed)[0])
    next_done = torch.zeros(args.num_envs)
    pg_loss, v_loss = torch.zeros(2)
    global_step, returns_of_episodes = 0, list[float]()

    for iteration in range(args.num_iterations):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - iteration / args.num_iterations)

        for step in range(args.num_steps):
            global_step += args.num_envs
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                action, logprobs[step], _, values[step] = agent.get_action_and_value(next_obs)
            actions[step] = action
            observed, reward, terminated, truncated, infos = envs.step(action.numpy())
            rewards[step] = torch.as_tensor(reward)
            next_obs, next_done = torch.as_tensor(observed), torch.as_tensor(terminated | truncated).float()
            if "final_info" in infos:
                for episode_return in infos["final_info"]["episode"]["r"][infos["_final_info"]]:
                    returns_of_episodes.append(float(episode_return))
                    writer.add_scalar("charts/episodic_return", episode_return, global_step)

        with torch.no_grad():
            next_value = agent.get_value(next_obs)
            advantages = advantages_of(rewards, dones, values, next_done, next_value, args.gamma, args.gae_lambda)
        b_obs, b_actions, b_logprobs = obs.flatten(0, 1), actions.flatten(), logprobs.flatten()
        b_advantages, b_returns = advantages.flatten(), (advantages + values).flatten()

        for _ in range(args.update_epochs):
            order = torch.as_tensor(rng.permutation(args.batch_size))
            for minibatch in order.split(args.minibatch_size):
                _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[minibatch], b_actions[minibatch])
                ratio = (newlogprob - b_logprobs[minibatch]).exp()
                A = b_advantages[minibatch]
                A = (A - A.mean()) / (A.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                pg_loss = -torch.min(A * ratio, A * clipped).mean()
                v_loss = 0.5 * (newvalue - b_returns[minibatch]).square().mean()
                loss = pg_loss - args.ent_coef * entropy.mean() + args.vf_coef * v_loss

                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()

        writer.add_scalar("losses/policy_loss", pg_loss.item(), global_step)
        writer.add_scalar("losses/value_loss", v_loss.item(), global_step)
        telemetry.log(writer, global_step)  # (3) new: β, E, effective learning rates, the size of steps, alarms

    last = returns_of_episodes[-20:]
    print(f"{global_step} steps; mean return of the last {len(last)} episodes: {np.mean(last) if last else float('nan'):.1f}")
    envs.close()
    writer.close()


if __name__ == "__main__":
    main()
