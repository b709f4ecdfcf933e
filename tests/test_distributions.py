"""Gaussian policies and several choices at once against torch.distributions; what the environment gets of their actions."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from torch import nn

from agents.distributions import Categorical, Gaussian, MultiCategorical, for_space
from agents.evaluation import episode_returns
from agents.networks import ActorCritic
from agents.rollout import Actor
from envs import Step
from tests.kernels import kernel  # noqa: F401  # the tests run with each
from tests.test_mlp import flat_gradient, generators, sequential, with_random_biases

torch.set_num_threads(1)
modest = settings(deadline=None, derandomize=True, max_examples=25, database=None)


def box(A: int, edge: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return np.full(A, -edge, np.float32), np.full(A, edge, np.float32)


def gaussian_policy(R: int, A: int, O: int = 3, hidden=(5,), log_std: float = 0.0, edge: float = 1.0) -> ActorCritic:  # noqa: E741
    policy = ActorCritic(O, Gaussian(*box(A, edge), log_std), hidden, generators(*range(R)))
    for network in (policy.actor, policy.critic):
        with_random_biases(network, seed=1)
    return policy


@modest
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_log_probability_and_entropy_are_those_of_independent_normals(R, B, A, seed):
    """Silent failure: a density that lacks σ, or the mean over actions instead of the sum: the wrong trade with the critic."""
    noise = torch.Generator().manual_seed(seed)
    mean, log_std, actions = (torch.randn(R, B, A, generator=noise) for _ in range(3))
    log_prob, entropy = Gaussian(*box(A)).evaluate_actions(torch.cat([mean, log_std], -1), actions)
    expected = torch.distributions.Normal(mean.double(), log_std.double().exp())
    torch.testing.assert_close(log_prob.double(), expected.log_prob(actions.double()).sum(-1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(entropy.double(), expected.entropy().sum(-1), rtol=1e-5, atol=1e-5)


@modest
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_the_gradient_of_each_run_reaches_its_means_and_its_own_deviation(R, B, A, seed):
    """Silent failure: ln σ stands in θ and never moves, or every run moves the first one's."""
    policy = gaussian_policy(R, A, log_std=-0.5)
    noise = torch.Generator().manual_seed(seed)
    x, actions = torch.randn(R, B, 3, generator=noise), torch.randn(R, B, A, generator=noise)
    log_prob, entropy = policy.evaluate_actions(x, actions)
    policy.backward(log_prob.sum(1) + 0.3 * entropy.sum(1) + policy.values(x).sum(1))
    for r in range(R):
        actor, log_std = sequential(policy.actor, r), nn.Parameter(torch.full((A,), -0.5, dtype=torch.float64))
        pi = torch.distributions.Normal(actor(x[r].double()), log_std.exp())
        (pi.log_prob(actions[r].double()).sum() + 0.3 * pi.entropy().sum()).backward()
        expected = torch.cat([flat_gradient(actor), log_std.grad])
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(policy.actor.theta.grad[r].double(), expected, rtol=1e-4, atol=1e-5 * scale)


def test_the_deviation_is_part_of_the_parameters_that_the_optimizer_sees():
    """Silent failure: a third tensor, which optimizer statistics, checkpoints and clipping do not know of."""
    policy = gaussian_policy(2, 3, log_std=-1.0)
    assert len(policy.parameters()) == 2
    theta = policy.actor.theta
    assert theta.shape[1] == (3 + 1) * 5 + (5 + 1) * 3 + 3
    assert (theta[:, -3:] == -1).all()
    with torch.no_grad():
        theta[1, -1] = 2.0
    outputs = policy.outputs(torch.zeros(2, 4, 3))
    assert outputs.shape == (2, 4, 6)
    assert outputs[0, :, 3:].unique().tolist() == [-1]
    assert outputs[1, :, 5].unique().tolist() == [2]


class Box:
    """An `EnvBatch` that keeps the actions it gets; nothing ever ends."""

    def __init__(self, R: int, N: int) -> None:
        self.runs, self.envs_per_run, self.got = R, N, []

    def reset(self):
        return np.zeros((self.runs, self.envs_per_run, 3), np.float32)

    def step(self, actions):
        self.got.append(actions.copy())
        never, over = np.zeros((2, self.runs, self.envs_per_run), bool), len(self.got) % 5 == 0
        return Step(self.reset(), np.ones((self.runs, self.envs_per_run), np.float32), never[0] | over, never[1], ~never[0])


def test_environments_get_clipped_actions_and_learning_the_drawn_ones():
    """Silent failure: the policy is told that it chose the edge of the box, and its mean creeps out of it."""
    env = Box(2, 4)
    rollout, _ = Actor(env, gaussian_policy(2, 2, log_std=1.0, edge=0.5), generators(0, 1)).collect(20)
    drawn = rollout.actions.numpy()
    assert drawn.shape == (20, 2, 4, 2)
    assert (np.abs(drawn) > 0.5).mean() > 0.3
    np.testing.assert_array_equal(np.stack(env.got), np.clip(drawn, -0.5, 0.5))


def test_drawn_actions_are_normal_around_the_mean_with_the_deviation():
    """Silent failure: σ² for σ, or noise that all actions share. Kolmogorov-Smirnov and correlation, fixed seed, every run."""
    policy = gaussian_policy(3, 2, log_std=-1.0)
    with torch.no_grad():
        policy.actor.theta[1, -2:] = 0.5
    actions = Actor(Box(3, 4), policy, generators(0, 1, 2)).collect(800)[0].actions
    means = policy.outputs(torch.zeros(3, 1, 3)).detach()[..., :2]
    for r, sigma in enumerate(np.exp([-1.0, 0.5, -1.0])):
        z = ((actions[:, r] - means[r]) / sigma).reshape(-1, 2).double().numpy()
        assert scipy_stats.kstest(z.ravel(), scipy_stats.norm.cdf).pvalue > 1e-3
        assert abs(np.corrcoef(z.T)[0, 1]) < 0.06
        assert abs(np.corrcoef(z[:-4, 0], z[4:, 0])[0, 1]) < 0.06


def test_noise_of_a_run_does_not_depend_on_its_neighbours():
    """Silent failure: adding a seed to a study changes what the others do."""
    pi = Gaussian(*box(2))
    log_std = torch.tensor([[[-1.0, 0.3]], [[0.7, -0.2]], [[0.1, 0.9]]])  # [R, 1, A]
    batched = pi.noise(generators(1, 2, 3), 4, 3, log_std)
    assert np.array_equal(batched[:, 1], pi.noise(generators(2), 4, 3, log_std[1:2])[:, 0])
    assert not np.array_equal(batched[:, 0], batched[:, 1])


def test_greedy_evaluation_acts_with_the_mean_and_stochastic_evaluation_does_not():
    """Silent failure: the final score measures exploration noise."""
    policy = gaussian_policy(2, 2, edge=100.0)
    means = policy.outputs(torch.zeros(2, 1, 3)).detach()[..., :2].expand(2, 3, 2)
    episode_returns(env := Box(2, 3), policy, 3)
    assert all(np.array_equal(actions, means) for actions in env.got)
    episode_returns(env := Box(2, 3), policy, 3, generators(0, 1))
    assert not any(np.array_equal(actions, means) for actions in env.got)


def test_categorical_actions_reach_the_environment_as_they_are():
    """Silent failure: a clip or cast meant for real numbers changes the number of an action."""
    actions = np.array([[0, 2], [1, 1]])
    assert Categorical(3).to_env_action(actions) is actions


@pytest.mark.parametrize(
    ("space", "kind", "outputs"),
    [
        (gym.spaces.Discrete(3), Categorical, 3),
        (gym.spaces.Box(-2, 2, (2,)), Gaussian, 2),
        (gym.spaces.MultiDiscrete([2, 3], start=[1, 4]), MultiCategorical, 5),
        (gym.spaces.MultiDiscrete([[2, 3], [4, 1]]), MultiCategorical, 10),
        (gym.spaces.MultiBinary(3), MultiCategorical, 6),
        (gym.spaces.MultiBinary((2, 3)), MultiCategorical, 12),
    ],
    ids=str,
)
def test_the_action_space_decides_the_kind_of_policy(space, kind, outputs):
    """Silent failure: three switches are taken for three actions, of which one is chosen; real numbers for numbered actions."""
    pi = for_space(space, -1.0)
    assert isinstance(pi, kind)
    assert pi.outputs == outputs
    assert pi.constants == ((-1.0, -1.0) if kind is Gaussian else ())


@pytest.mark.parametrize("space", [gym.spaces.Text(3), gym.spaces.Box(-1, 1, (2, 2))], ids=str)
def test_an_action_space_without_a_distribution_is_refused(space):
    """Silent failure: a matrix is taken for one number an action."""
    with pytest.raises(ValueError, match="action_space must be Discrete, MultiDiscrete, MultiBinary, or a Box of one axis, got "):
        for_space(space)


# Several choices at once ---------------------------------------------------------------------------------------------------

several = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@modest
@given(several, st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_log_probability_entropy_and_divergence_are_those_of_independent_choices(nvec, R, B, seed):
    """Silent failure: the mean over choices instead of the sum; logits of one choice in the softmax of another."""
    noise = torch.Generator().manual_seed(seed)
    y, other = (torch.randn(R, B, sum(nvec), generator=noise) for _ in range(2))
    actions = torch.stack([torch.randint(n, (R, B), generator=noise) for n in nvec], -1)
    pi = MultiCategorical(nvec)
    ours = pi.evaluate_actions(y, actions)
    heads = [[torch.distributions.Categorical(logits=part.double()) for part in logits.split(nvec, -1)] for logits in (y, other)]
    log_prob = sum(head.log_prob(actions[..., h]) for h, head in enumerate(heads[0]))
    divergence = sum(torch.distributions.kl_divergence(p, q) for p, q in zip(*heads, strict=True))
    torch.testing.assert_close(ours.log_prob.double(), log_prob, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.entropy.double(), sum(head.entropy() for head in heads[0]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pi.divergence(y, other).double(), divergence, rtol=1e-4, atol=1e-5)


@modest
@given(several, st.integers(0, 99))
def test_one_choice_among_several_is_the_categorical_bit_for_bit(nvec, seed):
    """Silent failure: a second softmax, that rounds otherwise; noise that is drawn in another order."""
    n, y = nvec[0], torch.randn(2, 3, nvec[0], generator=torch.Generator().manual_seed(seed))
    one, several = Categorical(n), MultiCategorical([n])
    actions = torch.from_numpy(one.choose(y.numpy()))
    ours, theirs = several.evaluate_actions(y, actions.unsqueeze(-1)), one.evaluate_actions(y, actions)
    assert torch.equal(ours.log_prob, theirs.log_prob)
    assert torch.equal(ours.entropy, theirs.entropy)
    np.testing.assert_array_equal(several.choose(y.numpy())[..., 0], actions)
    noise = [pi.noise([np.random.default_rng(seed)], 2, 3, None) for pi in (one, several)]
    np.testing.assert_array_equal(*noise)


def test_each_choice_is_drawn_from_its_own_softmax_independently_of_the_others():
    """Silent failure: noise that choices share, or an argmax over the logits of all. Chi-squared over pairs, fixed seed."""
    pi, y = MultiCategorical([2, 3]), torch.tensor([0.3, -0.4, 1.0, 0.0, -1.0])
    noise = pi.noise([np.random.default_rng(0)], 1, 20_000, None)[0]
    first, second = pi.choose(y.numpy() + noise)[0].T
    counts = np.zeros((2, 3))
    np.add.at(counts, (first, second), 1)
    expected = 20_000 * np.outer(y[:2].softmax(0), y[2:].softmax(0))
    assert scipy_stats.chisquare(counts.ravel(), expected.ravel() * counts.sum() / expected.sum()).pvalue > 0.01
