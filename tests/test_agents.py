"""Agents against a by-hand A2C in torch.distributions, Monte Carlo sums, and environments whose every step is written down."""

from __future__ import annotations

import math
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

import agents
from agents import learning
from agents.a2c import metrics
from agents.config import A2C, Reinforce, Settings
from agents.distributions import Categorical, gumbel_noise
from agents.evaluation import episode_returns
from agents.experience import Rollout
from agents.losses import Evaluation, evaluate, explained_variance, flatten_time, mask_of, normalized
from agents.networks import ActorCritic, make_policy
from agents.rollout import Actor
from agents.training import Training
from envs import Step, make
from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.seeding import seed_sequence
from tests.kernels import kernel  # noqa: F401  # the tests run with each
from tests.test_mlp import flat_gradient, generators, sequential, with_random_biases
from tests.test_returns import slow_advantages

torch.set_num_threads(1)
modest = settings(deadline=None, derandomize=True, max_examples=25, database=None)
O, A = 3, 4  # noqa: E741  # the axes' letters: observation, actions


# Losses ------------------------------------------------------------------------------------------------------------------


def rollout_of(T: int, R: int, N: int, seed: int) -> Rollout:
    """A rollout with terminations, truncations and the reset steps that follow them."""
    rng = np.random.default_rng(seed)
    shape = (T, R, N)
    terminated, truncated, valid = (np.zeros(shape, bool) for _ in range(3))
    over = rng.random((R, N)) < 0.3
    for t in range(T):
        valid[t] = ~over
        terminated[t], truncated[t] = (valid[t] & (rng.random((R, N)) < 0.2) for _ in range(2))
        over = terminated[t] | truncated[t]
    return Rollout(
        torch.from_numpy(rng.normal(size=(T + 1, R, N, O)).astype(np.float32)),
        torch.from_numpy(rng.integers(0, A, shape)),
        torch.from_numpy((rng.normal(size=shape) * valid).astype(np.float32)),
        *(torch.from_numpy(a) for a in (terminated, truncated, valid)),
    )


def policy_of(R: int, hidden=(5,), seed: int = 0, observation_size: int = O, actions: int = A) -> ActorCritic:
    policy = ActorCritic(observation_size, Categorical(actions), hidden, generators(*range(seed, seed + R)))
    for network in (policy.actor, policy.critic):
        with_random_biases(network, seed)
    policy.actor.layers[-1].weight.data *= 50  # opinionated: a nearly uniform policy hides mistakes
    return policy


def agent_name(value: object) -> str | None:
    """Test ids that fit on a line."""
    return type(value).__name__ if isinstance(value, Settings) else None


def learn(agent, policy: ActorCritic, rollout: Rollout) -> dict[str, torch.Tensor]:
    """Values for curves of one `learn`, [R] each; the gradients are left in the policy."""
    errors: list[torch.Tensor] = []
    agent = replace(agent, max_grad_norm=math.inf)  # some clip before the update, others in it
    values = learning.learn(agent, policy, rollout, lambda error, norms=None: errors.append(error), generators())()
    assert len(errors) == 1
    assert torch.equal(errors[0], values["train/value_loss"])
    return values


def loss_by_hand(agent, gae_lambda: float, actor, critic, rollout: Rollout, r: int) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of run r and values for curves, in float64: masks by indexing, probabilities by torch.distributions."""
    observations = rollout.observations[:, r].double()
    rewards, terminated, truncated, valid = (x[:, r].numpy() for x in rollout[2:])
    values = critic(observations).squeeze(-1)  # [T + 1, N]
    V = values.detach().numpy()
    advantage = torch.zeros(valid.shape, dtype=torch.float64)
    for n in range(valid.shape[1]):
        stream = agent.reward_scale * rewards[:, n].astype(float), V[:, n], terminated[:, n], truncated[:, n]
        advantage[:, n] = torch.from_numpy(slow_advantages(*stream, agent.gamma, gae_lambda))
    counts = torch.from_numpy(valid)
    returns = advantage + values[:-1].detach()
    A, G, pi = advantage[counts], returns[counts], torch.distributions.Categorical(logits=actor(observations[:-1]))
    log_prob, value_loss = pi.log_prob(rollout.actions[:, r])[counts], (returns - values[:-1])[counts].square().mean()
    entropy, A_used = pi.entropy()[counts].mean(), A
    if agent.normalize_advantage:
        A_used = (A - A.mean()) / (A.std(correction=0) + 1e-8)
    shown = {
        "train/policy_loss": -(A * log_prob).mean().item(),
        "train/value_loss": value_loss.item(),
        "train/entropy": entropy.item(),
        "train/explained_variance": 1 - (A.var(correction=0) / G.var(correction=0)).item(),
    }
    return -(A_used * log_prob).mean() + agent.vf_coef * value_loss - agent.ent_coef * entropy, shown


@pytest.mark.parametrize(
    ("agent", "gae_lambda"),
    [
        (A2C(), 0.95),
        (A2C(gamma=0.9, gae_lambda=0.5, vf_coef=0.3, ent_coef=0.7), 0.5),
        (A2C(normalize_advantage=True, ent_coef=0.1, vf_coef=0.0), 0.95),
        (A2C(reward_scale=0.1), 0.95),
        (Reinforce(gamma=0.9, vf_coef=0.3, ent_coef=0.7), 1.0),
        (Reinforce(normalize_advantage=True, reward_scale=3.0), 1.0),
    ],
    ids=agent_name,
)
@settings(modest, max_examples=10)
@given(st.integers(2, 8), st.integers(1, 3), st.integers(1, 3), st.integers(0, 999))
def test_loss_and_gradient_of_each_run_equal_the_ones_by_hand(agent, gae_lambda, T, R, N, seed):
    """Silent failure: a wrong sign, a mean over reset steps or over runs, a gradient through the critic's target."""
    rollout, policy = rollout_of(T, R, N, seed), policy_of(R, seed=seed)
    values = learn(agent, policy, rollout)
    for r in range(R):
        if rollout.valid[:, r].sum() < 2:
            continue  # the mean of nothing, and the deviation of one advantage, are tested below
        actor, critic = sequential(policy.actor, r), sequential(policy.critic, r)
        loss, shown = loss_by_hand(agent, gae_lambda, actor, critic, rollout, r)
        loss.backward()
        assert {name: x[r].item() for name, x in values.items()} == pytest.approx(shown, rel=1e-3, abs=1e-4)
        for network, module in ((policy.actor, actor), (policy.critic, critic)):
            torch.testing.assert_close(network.theta.grad[r].double(), flat_gradient(module), rtol=1e-3, atol=1e-4)


def reset_steps_rewritten(rollout: Rollout) -> Rollout:
    """Other rewards and actions wherever the call only reset the environment."""
    return rollout._replace(
        rewards=torch.where(rollout.valid, rollout.rewards, 100.0),
        actions=torch.where(rollout.valid, rollout.actions, (rollout.actions + 1) % A),
    )


@pytest.mark.parametrize("agent", [A2C(ent_coef=0.1), A2C(normalize_advantage=True), Reinforce()], ids=agent_name)
def test_reset_steps_teach_nothing(agent):
    """Silent failure: an action that the environment ignored is reinforced by a reward that nobody earned."""
    rollout = rollout_of(12, 2, 3, seed=3)
    assert not rollout.valid.all()
    results = []
    for seen in (rollout, reset_steps_rewritten(rollout)):
        policy = policy_of(2)
        values = learn(agent, policy, seen).values()
        results.append([*values, *(p.grad.clone() for p in policy.parameters())])
    for before, after in zip(*results, strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("agent", [A2C(ent_coef=0.1), A2C(normalize_advantage=True), Reinforce()], ids=agent_name)
def test_a_rollout_of_reset_steps_alone_moves_nothing(agent):
    """Silent failure: 0/0 over no steps puts NaN into the weights of a run for ever."""
    rollout = rollout_of(1, 2, 1, seed=0)
    rollout = rollout._replace(valid=torch.tensor([[[False], [True]]]))
    policy = policy_of(2)
    values = learn(agent, policy, rollout)
    for name in ("train/policy_loss", "train/value_loss", "train/entropy"):
        assert torch.isfinite(values[name]).all()
        assert values[name][0] == 0
    assert values["train/explained_variance"][0].isnan()
    assert not any(p.grad[0].any() for p in policy.parameters())
    assert all(p.grad[1].any() for p in policy.parameters()) or agent.normalize_advantage


@modest
@given(st.integers(1, 8), st.integers(1, 2), st.integers(1, 3), st.integers(0, 999), st.floats(0, 1))
def test_reinforce_weighs_actions_by_monte_carlo_return_minus_baseline(T, R, N, seed, gamma):
    """Silent failure: REINFORCE that bootstraps within an episode is A2C under another name.

    The return is summed forwards, reward by reward, to the end of the episode; a cut one adds V of its last state.
    """
    rollout, policy = rollout_of(T, R, N, seed), policy_of(R, seed=seed)
    values = learn(Reinforce(gamma=gamma), policy, rollout)
    advantage, log_prob = np.zeros((T, R, N)), np.zeros((T, R, N))
    with torch.no_grad():
        states = rollout.observations.transpose(0, 1).reshape(R, -1, O)
        V = policy.values(states).view(R, T + 1, N)
        log_pi = policy.outputs(states).log_softmax(-1).view(R, T + 1, N, -1).numpy()
    for r, n in np.ndindex(R, N):
        for t in range(T):
            if not rollout.valid[t, r, n]:
                continue
            G, k = 0.0, t
            while True:
                G += gamma ** (k - t) * rollout.rewards[k, r, n].item()
                k += 1
                if k == T or rollout.terminated[k - 1, r, n] or rollout.truncated[k - 1, r, n]:
                    break
            if not rollout.terminated[k - 1, r, n]:
                G += gamma ** (k - t) * V[r, k, n].item()
            advantage[t, r, n] = G - V[r, t, n].item()
            log_prob[t, r, n] = log_pi[r, t, n, rollout.actions[t, r, n]]
    counts = np.maximum(rollout.valid.sum((0, 2)).numpy(), 1)
    expected = {"value": (advantage**2).sum((0, 2)) / counts, "policy": -(advantage * log_prob).sum((0, 2)) / counts}
    for name, x in expected.items():
        assert values[f"train/{name}_loss"].numpy() == pytest.approx(x, rel=1e-4, abs=1e-4)


def test_normalized_advantages_have_mean_zero_and_deviation_one_over_valid_steps():
    """Silent failure: reset steps take part in the scale, or all runs share one."""
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(2, 50, generator=noise) * torch.tensor([[1.0], [1000.0]]) + 7
    valid = (torch.rand(2, 50, generator=noise) < 0.7).float()
    for row, mask in zip(normalized(x, mask_of(valid)), valid.bool(), strict=True):
        assert row[mask].mean().item() == pytest.approx(0, abs=1e-5)
        assert row[mask].std(correction=0).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("N", [1, 3])
def test_time_and_environments_become_one_contiguous_axis(N):
    """Silent failure: with one environment the axis stays strided, and a run's sums round differently in a batch than alone."""
    x = torch.arange(5 * 4 * N * 2).view(5, 4, N, 2)
    for y, source in ((flatten_time(x), x), (flatten_time(x[..., 0].contiguous()), x[..., 0])):
        assert y.shape[:2] == (4, 5 * N)
        assert y.is_contiguous()
        for t, r, n in np.ndindex(5, 4, N):
            assert torch.equal(y[r, t * N + n], source[t, r, n])


# Metrics -----------------------------------------------------------------------------------------------------------------


def test_metrics_by_numpy():
    """Silent failure: a curve in TensorBoard that shows something other than its name says."""
    rollout, policy = rollout_of(30, 2, 2, seed=1), policy_of(2)
    seen = evaluate(policy, rollout, A2C(), 0.95)
    shown = metrics(seen)
    for r in range(2):
        mask = seen.mask.weights[r].bool().numpy()
        G, V, log_pi, advantage, entropy = (
            x[r].detach().double().numpy()[mask] for x in (seen.returns, seen.value, seen.log_prob, seen.advantage, seen.entropy)
        )
        expected = {
            "train/policy_loss": -np.mean(advantage * log_pi),
            "train/value_loss": np.mean((G - V) ** 2),
            "train/entropy": np.mean(entropy),
            "train/explained_variance": 1 - np.var(G - V) / np.var(G),
        }
        assert {k: v[r].item() for k, v in shown.items()} == pytest.approx(expected, rel=1e-4)


def test_explained_variance_is_one_for_a_perfect_critic_and_nan_for_constant_returns():
    """Silent failure: −inf in a curve where returns do not vary, or a share that a masked step moves."""
    G, valid = torch.tensor([[1.0, 2, 3, 99], [5, 5, 5, 99]]), torch.tensor([[1.0, 1, 1, 0]] * 2)
    value = torch.tensor([[1.0, 2, 3, -7], [1, 2, 3, 4]])
    seen = Evaluation(*(torch.zeros(2, 4),) * 2, value, G - value, G, mask_of(valid))
    result = explained_variance(seen)
    assert result[0] == 1
    assert result[1].isnan()


def test_entropy_of_an_indifferent_policy_is_ln_of_the_actions():
    """Silent failure: entropy in bits, or with the wrong sign, scales the bonus."""
    policy = policy_of(1)
    with torch.no_grad():
        policy.actor.theta.zero_()
    seen = evaluate(policy, rollout_of(3, 1, 2, 0), A2C(), 0.95)
    torch.testing.assert_close(seen.entropy, torch.full((1, 6), np.log(A), dtype=torch.float32))


# Sampling ----------------------------------------------------------------------------------------------------------------


class Extremes:
    """A generator whose draws are the smallest and the largest float32 that `Generator.random` can give."""

    def random(self, shape, dtype):
        draws = np.zeros(shape, dtype)
        draws[..., 1] = 1 - 2.0**-24
        return draws


def test_noise_is_finite_even_for_the_rarest_draws():
    """Silent failure: one u = 0 in 16 million draws makes an infinite logit and a NaN in the weights, weeks later."""
    noise = gumbel_noise([Extremes()], (3, 2, 2))
    assert np.isfinite(noise).all()
    assert (noise[..., 1] > noise[..., 0]).all()


def test_noise_is_standard_gumbel():
    """Silent failure: −ln u instead of −ln(−ln u) samples from another distribution. Kolmogorov-Smirnov, fixed seed."""
    noise = gumbel_noise(generators(0), (500, 10, 4)).ravel()
    assert scipy_stats.kstest(noise, scipy_stats.gumbel_r.cdf).pvalue > 1e-3


def test_noise_of_a_run_does_not_depend_on_its_neighbours():
    """Silent failure: adding a seed to a study changes what the others do."""
    for shape in ((4, 3, 2), (1, 1, 3), (5, 7, 1)):  # of a run alone, the logarithms are of another number of numbers
        batched = gumbel_noise(generators(1, 2, 3), shape)
        assert np.array_equal(batched[:, 1], gumbel_noise(generators(2), shape)[:, 0])
        assert not np.array_equal(batched[:, 0], batched[:, 1])


# Acting: environments whose every step is known --------------------------------------------------------------------------


class Scripted:
    """An `EnvBatch`: episode k of environment n in run r lasts lengths[r, n, k] steps and pays 1 a step.

    Observations are (r, n, k, step within the episode); odd episodes are truncated, even ones terminate.
    """

    def __init__(self, lengths: np.ndarray) -> None:
        self.lengths = lengths  # [R, N, K]
        self.runs, self.envs_per_run, _ = lengths.shape
        self.action_space = gym.spaces.Discrete(3)
        self.actions: list[np.ndarray] = []

    def reset(self):
        self.k = np.zeros((self.runs, self.envs_per_run), int)
        self.t = np.zeros_like(self.k)
        self.over = np.zeros(self.k.shape, bool)
        return self._observe()

    def step(self, actions):
        self.actions.append(actions.copy())
        valid = ~self.over
        self.k += self.over
        self.t = np.where(self.over, 0, self.t + 1)
        last = np.take_along_axis(self.lengths, self.k[..., None] % self.lengths.shape[2], 2)[..., 0]
        self.over = valid & (self.t == last)
        odd = self.k % 2 == 1
        return Step(self._observe(), valid.astype(np.float32), self.over & ~odd, self.over & odd, valid)

    def _observe(self):
        r, n = np.indices(self.k.shape)
        return np.stack([r, n, self.k, self.t], -1).astype(np.float32)


def indifferent(R: int, logits, observation_size: int = 4) -> ActorCritic:
    """A policy with the same logits everywhere."""
    policy = ActorCritic(observation_size, Categorical(len(logits)), (), generators(*range(R)))
    policy.actor.layers[0].weight.data.zero_()
    policy.actor.layers[0].bias.data[:] = torch.tensor(logits)
    return policy


def test_sampled_actions_have_the_policys_distribution_in_every_run():
    """Silent failure: argmax of the wrong noise explores too little or too much. Chi-square, fixed seed, every run."""
    logits = [0.0, 1.0, -1.5]
    policy = indifferent(3, logits)
    policy.actor.layers[0].bias.data[1] = torch.tensor([2.0, 0.0, 0.0])
    actor = Actor(Scripted(np.full((3, 4, 1), 7)), policy, generators(0, 1, 2))
    actions = actor.collect(1500)[0].actions
    for r in range(3):
        probabilities = torch.softmax(policy.actor.layers[0].bias.data[r, 0].double(), 0).numpy()
        counts = np.bincount(actions[:, r].flatten(), minlength=3)
        assert scipy_stats.chisquare(counts, probabilities * counts.sum()).pvalue > 1e-3


LENGTHS = np.array([[[3, 1, 2], [5, 2, 1]], [[1, 4, 1], [2, 2, 7]]])  # [R, N, K]


def replayed(T: int) -> tuple[list[tuple], np.ndarray]:
    """Episodes (run, its steps so far, return, length) and steps [R] of T calls, from LENGTHS, environment after environment."""
    ended, steps = [], np.zeros(2, int)
    for r in range(2):
        made = np.zeros(T, int)  # steps of this run by call
        ends = []
        for n in range(2):
            plan = [length for _ in range(T) for length in LENGTHS[r, n]]
            calls = [k for k, length in enumerate(plan) for _ in range(length + 1)]  # each episode, then its reset call
            first = np.unique(calls[:T], return_index=True)[1]
            for k, start in enumerate(first):
                made[start : start + plan[k]] += 1
                if start + plan[k] <= T:
                    ends.append((start + plan[k] - 1, n, plan[k]))
        steps[r] = made.sum()
        ended += [(call, r, n, int(made[: call + 1].sum()), float(length), length) for call, n, length in ends]
    return [(r, *rest) for _, r, _, *rest in sorted(ended)], steps


@pytest.mark.parametrize("rollouts", [[23], [1] * 23, [5, 7, 11]])
def test_episodes_are_counted_across_rollouts_and_resets_are_no_steps(rollouts):
    """Silent failure: an episode cut by a rollout loses its beginning, or a reset lengthens the x axis of every curve."""
    actor = Actor(Scripted(LENGTHS), indifferent(2, [0.0, 0.0, 0.0]), generators(0, 1))
    seen = []
    for T in rollouts:
        episodes = actor.collect(T)[1]
        seen += list(zip(*(column.tolist() for column in episodes), strict=True))
    expected, steps = replayed(23)
    assert seen == expected
    assert actor.steps.tolist() == steps.tolist()


def test_a_rollout_records_what_the_environment_said():
    """Silent failure: observations overwritten in place by the environment, or a rollout that starts a step late."""
    env = Scripted(LENGTHS)
    actor = Actor(env, indifferent(2, [0.0, 0.5, 0.0]), generators(0, 1))
    first, second = actor.collect(9)[0], actor.collect(4)[0]
    assert torch.equal(first.observations[-1], second.observations[0])
    twin = Scripted(LENGTHS)
    assert np.array_equal(first.observations[0], twin.reset())
    for t in range(9):
        assert np.array_equal(env.actions[t], first.actions[t])
        step = twin.step(env.actions[t])
        shown = [first.observations[t + 1], first.rewards[t], first.terminated[t], first.truncated[t], first.valid[t]]
        for ours, theirs in zip(shown, step, strict=True):
            assert np.array_equal(ours, theirs)


# Evaluation --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("episodes", [1, 2, 3, 5, 7])
def test_evaluation_counts_the_first_episodes_of_every_environment(episodes):
    """Silent failure: whichever ends first is counted, and short episodes (often the bad ones) crowd out the long.

    Environment 0 has one long episode first; the others finish many short ones meanwhile. Returns equal lengths here.
    """
    lengths = np.array([[[40, 2, 3], [5, 6, 7], [8, 9, 10]], [[1, 12, 13], [14, 15, 16], [50, 18, 19]]])
    returns = episode_returns(Scripted(lengths), indifferent(2, [0.0, 1.0, 0.0]), episodes)
    quota = [len(range(n, episodes, 3)) for n in range(3)]
    assert returns.shape == (2, episodes)
    for r in range(2):
        expected = [lengths[r, n, k] for n in range(3) for k in range(quota[n])]
        assert sorted(returns[r]) == sorted(expected)


def test_evaluation_is_greedy_unless_noise_is_given():
    """Silent failure: the final score measures exploration noise."""
    lengths, policy = np.full((2, 2, 1), 300), indifferent(2, [0.0, 1.0, 0.5])
    env = Scripted(lengths)
    episode_returns(env, policy, 2)
    assert np.unique(env.actions).tolist() == [1]
    episode_returns(env := Scripted(lengths), policy, 4, generators(0, 1))
    counts = np.bincount(np.ravel(env.actions), minlength=3)
    probabilities = torch.softmax(torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64), 0).numpy()
    assert scipy_stats.chisquare(counts, probabilities * counts.sum()).pvalue > 1e-3


def test_evaluation_changes_no_weight():
    """Silent failure: evaluating is training on the test."""
    policy = indifferent(2, [0.0, 1.0, 0.0])
    before = [p.detach().clone() for p in policy.parameters()]
    episode_returns(Scripted(LENGTHS), policy, 3)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


# Training ----------------------------------------------------------------------------------------------------------------


class Bandit(gym.Env):
    """One step an episode: the observation (one of three one-hot contexts) says which of three actions pays 1."""

    observation_space = gym.spaces.Box(0, 1, (3,))
    action_space = gym.spaces.Discrete(3)
    PAYS = (2, 0, 1)  # the paying action of each context

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.context = int(self.np_random.integers(3))
        return np.eye(3, dtype=np.float32)[self.context], {}

    def step(self, action):
        return np.eye(3, dtype=np.float32)[self.context], float(action == self.PAYS[self.context]), True, False, {}


@pytest.fixture
def bandit():
    gym.register("TestBandit-v0", entry_point=Bandit)
    yield "TestBandit-v0"
    gym.registry.pop("TestBandit-v0")


@pytest.mark.parametrize("agent", [A2C(n_steps=8, ent_coef=0.001), Reinforce(n_steps=8)], ids=agent_name)
def test_every_run_learns_which_action_pays(agent, bandit):
    """Silent failure: everything runs, curves are drawn, and the sign of the policy gradient is wrong.

    A policy that ignores the context gets 1/3; learning to follow it in all of three runs cannot happen by luck.
    """
    seeds = (0, 1, 2)
    env = make(bandit, seeds, 4)
    policy = ActorCritic(3, Categorical(3), (8,), generators(*seeds))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    for _ in Training(replace(agent, n_envs=4), env, policy, optimizer, 150, (7, 8, 9)):
        pass
    contexts = torch.eye(3).expand(len(seeds), 3, 3)
    probabilities = torch.softmax(policy.outputs(contexts).detach(), -1)  # [R, 3, A]
    for context, action in enumerate(Bandit.PAYS):
        assert (probabilities[:, context, action] > 0.8).all()


class Recording(torch.optim.SGD):
    """SGD that writes down what it was given."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        self.used: list[float] = []
        self.received: list[torch.Tensor] = []
        self.lengths: list[torch.Tensor] = []

    def observe(self, *, grad_norm, shifted):
        self.received.append(grad_norm.clone())

    def step(self, closure=None):
        self.used.append(self.param_groups[0]["lr"])
        grads = torch.cat([p.grad for p in self.param_groups[0]["params"]], 1)
        self.lengths.append(grads.norm(dim=1))
        return super().step(closure)


def test_linear_schedule_falls_from_lr_by_equal_steps():
    """Silent failure: the last update has step size 0, the first none of lr, or the schedule compounds."""
    optimizer = Recording((policy := indifferent(2, [0.0, 0.0, 0.0])).parameters(), lr=0.8)
    agent = A2C(n_steps=2, lr_schedule="linear")
    for _ in Training(agent, Scripted(LENGTHS), policy, optimizer, 4, (0, 1)):
        pass
    assert optimizer.used == pytest.approx([0.8, 0.6, 0.4, 0.2])


def test_gradients_are_clipped_and_their_length_before_is_reported():
    """Silent failure: a detector on grad_norm sees 0.5 for ever, since it hears the norm after clipping."""
    optimizer = Recording((policy := indifferent(2, [0.0, 0.0, 0.0])).parameters(), lr=1e-4)
    agent = A2C(n_steps=4, max_grad_norm=1e-3)
    updates = list(Training(agent, Scripted(LENGTHS), policy, optimizer, 3, (0, 1)))
    for update, received, length in zip(updates, optimizer.received, optimizer.lengths, strict=True):
        assert torch.equal(update.grad_norm, received)
        assert (received > 2e-3).all()
        torch.testing.assert_close(length, torch.full((2,), 1e-3), rtol=1e-2, atol=0)


def test_records_count_updates_and_environment_steps():
    """Silent failure: records share one array of steps that later updates overwrite."""
    policy = indifferent(2, [0.0, 0.0, 0.0])
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    updates = list(Training(A2C(n_steps=5), Scripted(LENGTHS), policy, optimizer, 4, (0, 1)))
    for index, update in enumerate(updates, 1):
        assert update[:2] == (index, index)
        assert update.steps.tolist() == replayed(5 * index)[1].tolist()


class Masked(Recording):
    """Writes down the masks and what the gradients of the runs outside them were."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr)
        self.masks: list[list[bool] | None] = []
        self.outside: list[float] = []

    def step(self, closure=None, *, mask=None):
        self.masks.append(None if mask is None else mask.tolist())
        if mask is not None:
            self.outside += [p.grad[~mask].abs().max().item() for p in self.param_groups[0]["params"]]
        return super().step(closure)


class Unpaid(Scripted):
    """Run 1 gets a reward of infinity in its second call."""

    def step(self, actions):
        step = super().step(actions)
        if len(self.actions) == 2:
            step.rewards[1, 0] = np.inf
        return step


def test_a_run_that_must_not_be_updated_is_outside_the_mask_with_a_gradient_of_zero():
    """Silent failure: a run is protected by a NaN in its gradient, which every optimizer has to find for itself."""
    optimizer = Masked((policy := indifferent(2, [0.0, 0.0, 0.0])).parameters(), lr=0.1)
    updates = list(Training(A2C(n_steps=2), Unpaid(LENGTHS), policy, optimizer, 3, (0, 1)))
    assert optimizer.masks == [[True, False], None, None]
    assert optimizer.outside == [0.0, 0.0]
    assert updates[0].grad_norm.isnan().tolist() == [False, True]
    assert [norm[1].item() > 0 for norm in optimizer.received] == [False, True, True]


def test_records_are_values():
    """Silent failure: a list of records says of every iteration what was skipped in the last one."""
    policy = indifferent(2, [0.0, 0.0, 0.0])
    training = Training(A2C(n_steps=1), Unpaid(LENGTHS), policy, torch.optim.SGD(policy.parameters(), 0.1), 3, (0, 1))
    updates = list(training)
    assert [update.status.skipped.tolist() for update in updates] == [[0, 0], [0, 1], [0, 1]]
    training.guard.fail(0, "for a reason")
    assert not updates[-1].status.failed.any()
    with pytest.raises(ValueError, match="read-only"):
        updates[-1].status.skipped[0] = 5


ELEMENTWISE = ("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_any_elementwise_optimizer_of_torch_survives_one_infinite_reward(name):
    """Silent failure: the weights of the run, or of all runs, are no numbers from then on."""
    policies = []
    for env in (Scripted(LENGTHS), Unpaid(LENGTHS)):
        policies.append(policy := indifferent(2, [0.0, 0.1, 0.0]))
        optimizer = getattr(torch.optim, name)(policy.parameters(), lr=0.1)
        for _ in Training(A2C(n_steps=2), env, policy, optimizer, 4, (0, 1)):
            pass
    for healthy, survivor in zip(*(policy.parameters() for policy in policies), strict=True):
        assert survivor.isfinite().all()
        assert torch.equal(survivor[0], healthy[0])
        assert not torch.equal(survivor[1], healthy[1])


def test_optimizers_that_mix_the_runs_are_refused():
    """Silent failure: a factored or orthogonalised update makes one number out of several runs' gradients."""
    policy = indifferent(2, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="optimizer must be elementwise, got LBFGS, which would mix the runs: use Adam"):
        Training(A2C(), Scripted(LENGTHS), policy, torch.optim.LBFGS(policy.parameters()), 1, (0, 1))
    for runs in (None, 3):
        optimizer = torch.optim.SGD(policy.parameters(), 0.1)
        optimizer.observe, optimizer.runs = print, runs
        with pytest.raises(ValueError, match=f"optimizer must be made with runs=2, got runs={runs}"):
            Training(A2C(), Scripted(LENGTHS), policy, optimizer, 1, (0, 1))


def test_an_adaptive_optimizer_that_does_not_know_the_runs_is_refused():
    """Silent failure: one β, and one detector, for all runs together."""
    policy = indifferent(2, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"runs=2, got runs=None: AdaptiveRMSprop\(\.\.\., runs=2\)"):
        Training(A2C(), Scripted(LENGTHS), policy, AdaptiveRMSprop(policy.parameters(), 0.1), 1, (0, 1))


def test_policy_environments_and_seeds_of_different_numbers_of_runs_are_refused():
    """Silent failure: the noise of two runs is broadcast over three, or an index error comes up from the depths."""
    policy = indifferent(2, [0.0, 0.0, 0.0])
    optimizer = torch.optim.SGD(policy.parameters(), 0.1)
    with pytest.raises(ValueError, match="the same runs, got 2, 2 and 3 of them"):
        Training(A2C(), Scripted(LENGTHS), policy, optimizer, 1, (0, 1, 2))
    with pytest.raises(ValueError, match="the same runs, got 2, 3 and 2 of them"):
        Training(A2C(), Scripted(LENGTHS), indifferent(3, [0.0, 0.0, 0.0]), optimizer, 1, (0, 1))
    with pytest.raises(ValueError, match="seeds must be one a run, 2, got 1"):
        make_policy(make("CartPole-v1", (0, 1), 2), A2C(), (0,))


def test_a_policy_is_that_of_its_seeds_and_settings():
    """Silent failure: a seed changes nothing, or runs' initial weights depend on the other seeds."""
    env, settings = make("CartPole-v1", (5, 9), 3), A2C(hidden=(7,), normalize_rewards=True)
    policy = make_policy(env, settings, (5, 9))
    expected = ActorCritic(4, Categorical(2), (7,), [np.random.default_rng(seed_sequence(seed, "init")) for seed in (5, 9)])
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), expected.parameters(), strict=True))
    assert set(policy.normalization.arrays()) == {"rewards_mean", "rewards_variance", "rewards_count"}


@pytest.mark.parametrize("name", agents.__all__)
def test_every_public_name_has_an_example(name):
    """Silent failure: a class is documented by its arguments alone, and nobody knows how to begin. (Doctests run them.)"""
    assert ">>> " in (getattr(agents, name).__doc__ or "")


# Settings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_envs", 0),
        ("n_steps", 0),
        ("gamma", 1.01),
        ("gamma", -0.1),
        ("gamma", float("nan")),
        ("gae_lambda", 1.5),
        ("lr", 0.0),
        ("lr", float("inf")),
        ("lr", float("nan")),
        ("lr_schedule", "cosine"),
        ("vf_coef", -1.0),
        ("vf_coef", float("inf")),
        ("ent_coef", -0.1),
        ("max_grad_norm", 0.0),
        ("reward_scale", 0.0),
        ("reward_scale", float("inf")),
        ("reward_scale", float("nan")),
        ("hidden", (64, 0)),
    ],
)
def test_impossible_settings_are_refused_by_name(name, value):
    """Silent failure: a typing error trains for hours and gives a flat curve."""
    with pytest.raises(ValueError, match=f"^{name} must be "):
        A2C(**{name: value})


@pytest.mark.parametrize(
    "options", [{"gamma": 0.0}, {"gamma": 1.0}, {"gae_lambda": 0.0}, {"max_grad_norm": float("inf")}, {"hidden": ()}]
)
def test_settings_at_the_edge_are_allowed(options):
    """Silent failure: a strict inequality forbids undiscounted returns or linear policies."""
    assert isinstance(A2C(**options), Settings)
