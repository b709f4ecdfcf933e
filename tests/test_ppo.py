"""PPO against Stable-Baselines3's, against a float64 hand formula with masks, and what counts its updates."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO as TheirPPO
from stable_baselines3.common.logger import configure

from agents import learning
from agents.config import A2C, PPO, Reinforce
from agents.distributions import Categorical, Gaussian
from agents.experience import Rollout
from agents.losses import evaluate, mask_of, normalized_sample
from agents.networks import ActorCritic
from agents.ppo import Minibatch, loss_terms, minibatches
from agents.training import Training, clip, grad_norms
from envs import make
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.telemetry.csv_table import read_table
from tests.builders import batch_of
from tests.kernels import kernel  # noqa: F401  # the tests run with each
from tests.test_agents import Recording, Scripted, policy_of, reset_steps_rewritten, rollout_of
from tests.test_mlp import generators, sequential

torch.set_num_threads(1)
modest = settings(deadline=None, derandomize=True, max_examples=15, database=None)

# Against Stable-Baselines3 -------------------------------------------------------------------------------------------------


def theirs(env_id: str, agent: PPO, seed: int) -> TheirPPO:
    """Their PPO with these settings, SGD, and a rollout of made-up rewards, whose advantages it has estimated."""
    model = TheirPPO(
        "MlpPolicy", gym.make(env_id), agent.lr, agent.n_steps, agent.batch_size, agent.n_epochs, agent.gamma, agent.gae_lambda,
        agent.clip_range, normalize_advantage=agent.normalize_advantage, ent_coef=agent.ent_coef, vf_coef=agent.vf_coef,
        max_grad_norm=agent.max_grad_norm, policy_kwargs={"optimizer_class": torch.optim.SGD, "net_arch": list(agent.hidden)},
        device="cpu", seed=seed,
    )  # fmt: skip
    model.set_logger(configure(None, []))
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        model.policy.action_net.weight *= 50  # opinionated
        observations = rng.normal(size=(agent.n_steps + 1, 1, *model.observation_space.shape)).astype(np.float32)
        for t in range(agent.n_steps):
            action, value, log_prob = model.policy(torch.from_numpy(observations[t]))
            shaped = action.numpy().reshape(1, -1)
            model.rollout_buffer.add(observations[t], shaped, rng.normal(size=1), np.zeros(1), value, log_prob)
        last = model.policy.predict_values(torch.from_numpy(observations[-1]))
    model.rollout_buffer.compute_returns_and_advantage(last, np.zeros(1))
    model.last_observations = observations
    return model


def copied(models: list[TheirPPO], agent: PPO) -> tuple[ActorCritic, Rollout]:
    """Our networks with their weights, and our rollout of their steps, a run a model."""
    space = models[0].action_space
    continuous = isinstance(space, gym.spaces.Box)
    head = Gaussian(space.low, space.high) if continuous else Categorical(int(space.n))
    policy = ActorCritic(models[0].observation_space.shape[0], head, agent.hidden, generators(*range(len(models))))
    for r, model in enumerate(models):
        put(policy, r, weights_of(model))
    buffers = [model.rollout_buffer for model in models]
    actions = torch.from_numpy(np.stack([b.actions[:, 0] for b in buffers], 1))[:, :, None]  # [T, R, 1, A]
    nothing = torch.zeros(agent.n_steps, len(models), 1, dtype=torch.bool)
    return policy, Rollout(
        torch.from_numpy(np.stack([m.last_observations for m in models], 1)),
        actions.float() if continuous else actions[..., 0].long(),
        torch.from_numpy(np.stack([b.rewards for b in buffers], 1)).float(),
        nothing, nothing, ~nothing,
    )  # fmt: skip


def weights_of(model: TheirPPO) -> list[torch.Tensor]:
    """Their θ of actor and critic, in our order."""
    policy = model.policy
    flat = []
    for body, out in ((policy.mlp_extractor.policy_net, policy.action_net), (policy.mlp_extractor.value_net, policy.value_net)):
        linears = [m for m in body if isinstance(m, torch.nn.Linear)] + [out]
        flat.append([x.detach() for m in linears for x in (m.weight.T.flatten(), m.bias)])
    if isinstance(model.action_space, gym.spaces.Box):
        flat[0].append(policy.log_std.detach())
    return [torch.cat(parts) for parts in flat]


def put(policy: ActorCritic, r: int, weights: list[torch.Tensor]) -> None:
    for theta, flat in zip(policy.parameters(), weights, strict=True):
        theta.data[r] = flat


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size:UserWarning")  # the smaller last one is on purpose
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize(
    "options",
    [{}, {"ent_coef": 0.1, "vf_coef": 0.2, "clip_range": 0.05}, {"normalize_advantage": False, "batch_size": 60}],
    ids=["usual", "tight clip", "raw advantages"],
)
def test_weights_and_curves_after_a_rollout_are_those_of_stable_baselines(env_id, options):
    """Silent failure: a PPO of our own, whose clip, minibatches or advantages are not those behind published settings."""
    agent = PPO(**{"n_envs": 1, "n_steps": 60, "batch_size": 16, "n_epochs": 3, "lr": 1.0, "hidden": (8, 8), **options})
    models = [theirs(env_id, agent, seed) for seed in (3, 4)]
    policy, rollout = copied(models, agent)
    optimizer = torch.optim.SGD(policy.parameters(), lr=agent.lr)

    def update(td_error, norms=None):
        grads = [p.grad for p in policy.parameters()]
        if norms is None:  # else they are clipped
            clip(grads, grad_norms(grads), agent.max_grad_norm)
        optimizer.step()

    before = [p.detach().clone() for p in policy.parameters()]
    measured = learning.learn(agent, policy, rollout, update, [np.random.RandomState(seed) for seed in (3, 4)])()
    for r, model in enumerate(models):
        np.random.seed((3, 4)[r])  # their order is drawn from numpy's global stream
        model.train()
        for theta, old, expected in zip(policy.parameters(), before, weights_of(model), strict=True):
            assert (theta[r] - old[r]).abs().max() > 0.02
            torch.testing.assert_close(theta[r].detach(), expected, rtol=1e-3, atol=1e-4)
        output = model.logger.name_to_value
        pairs = {
            "train/policy_loss": output["train/policy_gradient_loss"],
            "train/value_loss": output["train/value_loss"],
            "train/entropy": -output["train/entropy_loss"],
            "train/explained_variance": output["train/explained_variance"],
            "train/approx_kl": output["train/approx_kl"],
            "train/clip_fraction": output["train/clip_fraction"],
        }
        assert {tag: value[r].item() for tag, value in measured.items()} == pytest.approx(pairs, rel=2e-3, abs=1e-4)
        assert output["train/clip_fraction"] > 0  # otherwise nothing says that we clip


# By hand, with steps that only reset --------------------------------------------------------------------------------------


@modest
@given(st.integers(2, 8), st.integers(1, 3), st.integers(1, 3), st.integers(0, 999))
def test_terms_of_each_run_equal_the_ones_by_hand(T, R, N, seed):
    """Silent failure: a mean over reset steps or over runs, or the maximum of the two surrogates instead of the minimum."""
    rollout, policy, agent = rollout_of(T, R, N, seed), policy_of(R, seed=seed), PPO(n_envs=N, n_steps=T, batch_size=2)
    with torch.no_grad():
        before = evaluate(policy, rollout, agent, 0.95)
    noise = torch.Generator().manual_seed(seed)
    old = before.log_prob + 0.4 * torch.randn(before.log_prob.shape, generator=noise)
    states, actions = (x.transpose(0, 1).reshape(R, T * N, *x.shape[3:]) for x in (rollout.observations[:-1], rollout.actions))
    terms = loss_terms(policy, Minibatch(states, actions, before.mask.weights, old, before.advantage, before.returns), agent)
    for r in range(R):
        counts = before.mask.weights[r].bool()
        if counts.sum() < 2:
            continue  # the deviation of one advantage is tested below
        pi = torch.distributions.Categorical(logits=sequential(policy.actor, r)(states[r].double()))
        V = sequential(policy.critic, r)(states[r].double()).squeeze(-1)
        A = before.advantage[r].double()[counts]
        A = (A - A.mean()) / (A.std() + 1e-8)
        ratio = (pi.log_prob(actions[r]) - old[r]).exp()[counts]
        gains = [min(rho * a, min(max(rho, 0.8), 1.2) * a) for rho, a in zip(ratio.tolist(), A.tolist(), strict=True)]
        expected = (
            -np.mean(gains),
            (before.returns[r] - V)[counts].square().mean().item(),
            pi.entropy()[counts].mean().item(),
        )
        assert [term[r].item() for term in terms[:3]] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def gradients_of(agent: PPO, rollout: Rollout) -> list[torch.Tensor]:
    """Gradients of all updates on a rollout with fixed weights, and what was measured."""
    policy, found = policy_of(rollout.rewards.shape[1]), []

    def update(td_error, norms=None):
        found.extend([td_error.clone(), *(p.grad.clone() for p in policy.parameters())])

    measure = learning.learn(agent, policy, rollout, update, generators(*range(rollout.rewards.shape[1])))
    return found + list(measure().values())


def test_reset_steps_teach_nothing():
    """Silent failure: an action that the environment ignored is reinforced by a reward that nobody earned."""
    rollout = rollout_of(12, 2, 3, seed=3)
    assert not rollout.valid.all()
    agent = PPO(n_envs=3, n_steps=12, batch_size=10, n_epochs=2, ent_coef=0.1)
    for before, after in zip(gradients_of(agent, rollout), gradients_of(agent, reset_steps_rewritten(rollout)), strict=True):
        assert torch.equal(before, after)


def test_a_minibatch_of_reset_steps_alone_moves_nothing():
    """Silent failure: 0/0 over no steps puts NaN into the weights of a run for ever."""
    rollout = rollout_of(2, 2, 1, seed=0)
    rollout = rollout._replace(valid=torch.tensor([[[False], [True]]] * 2))
    loss, actor, critic, *_ = gradients_of(PPO(n_envs=1, n_steps=2, batch_size=2, n_epochs=1), rollout)
    assert loss[0] == 0
    assert torch.isfinite(loss).all()
    for gradient in (actor, critic):
        assert not gradient[0].any()
        assert gradient[1].any()


def test_sample_deviation_of_advantages_counts_valid_steps():
    """Silent failure: n instead of n − 1, or masked steps in the scale."""
    x = torch.tensor([[1.0, 2, 4, 99], [7, 7, 7, 99]])
    valid = torch.tensor([[1.0, 1, 1, 0]] * 2)
    expected = (x[0, :3] - x[0, :3].mean()) / x[0, :3].std()
    torch.testing.assert_close(normalized_sample(x, mask_of(valid))[0, :3], expected)
    assert not normalized_sample(x, mask_of(valid))[1, :3].any()


# Minibatches --------------------------------------------------------------------------------------------------------------


@modest
@given(st.integers(1, 3), st.integers(2, 30), st.integers(2, 30), st.integers(0, 99))
def test_every_step_is_in_one_minibatch_of_an_epoch_and_keeps_its_own_numbers(R, B, size, seed):
    """Silent failure: some steps are never learned from, or an action meets the advantage of another step or run."""
    ids = torch.arange(R * B).view(R, B)
    whole = Minibatch(ids.float().unsqueeze(-1).expand(R, B, 3), ids, *(ids.float() * k for k in (2, 3, 4, 5)))
    parts = list(minibatches(whole, size, generators(*range(seed, seed + R))))
    assert [part.actions.shape[1] for part in parts] == [min(size, B - start) for start in range(0, B, size)]
    drawn = torch.cat([part.actions for part in parts], 1)
    assert torch.equal(drawn.sort(1).values, ids)
    for part in parts:
        assert torch.equal(part.observations[..., 2], part.actions.float())
        for k, x in zip((2, 3, 4, 5), part[2:], strict=True):
            assert torch.equal(x, k * part.actions.float())
    alone = list(minibatches(Minibatch(*(x[-1:] - (R - 1) * B * k for k, x in zip((1, 1, 2, 3, 4, 5), whole, strict=True))), size,
                             generators(seed + R - 1)))  # fmt: skip
    for part, one in zip(parts, alone, strict=True):
        assert torch.equal(part.actions[-1] - (R - 1) * B, one.actions[0])


def test_runs_and_epochs_have_orders_of_their_own():
    """Silent failure: one permutation for all, so that runs are not independent."""
    ids = torch.arange(100).expand(2, 100)
    whole = Minibatch(ids.float().unsqueeze(-1), ids, *(ids.float(),) * 4)
    noise = generators(0, 1)
    first, second = (torch.cat([p.actions for p in minibatches(whole, 32, noise)], 1) for _ in range(2))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize(
    ("agent", "updates"),
    [
        (PPO(n_envs=2, n_steps=8, batch_size=16, n_epochs=3), 3),
        (PPO(n_envs=2, n_steps=8, batch_size=5, n_epochs=2), 8),
        (A2C(n_envs=2, n_steps=8), 1),
        (Reinforce(n_envs=2, n_steps=8), 1),
    ],
    ids=str,
)
def test_a_rollout_makes_as_many_updates_as_it_says(agent, updates):
    """Silent failure: schedules of β are stretched over another number of updates than are made, and end elsewhere."""
    made = []
    learning.learn(agent, policy_of(2), rollout_of(8, 2, 2, 0), lambda *arguments: made.append(arguments), generators(0, 1))
    assert len(made) == agent.updates_per_iteration == updates


# What counts updates -------------------------------------------------------------------------------------------------------

AGENT = PPO(n_envs=2, n_steps=5, batch_size=4, n_epochs=2, lr_schedule="linear")  # 6 updates an iteration


class Counting(Scripted):
    """Scripted environments that count optimizer updates, and say that a change began in run 1 in the second iteration."""

    def __init__(self) -> None:
        super().__init__(np.full((2, 2, 1), 50))
        self.updates = 0

    @property
    def onsets(self):
        return np.array([0, int(len(self.actions) >= 7)])

    def count_update(self):
        self.updates += 1


class Told(Recording):
    """Also writes down whether it was told of a change."""

    shifts: list[list[bool]]

    def observe(self, *, grad_norm, shifted):
        super().observe(grad_norm=grad_norm, shifted=shifted)
        self.shifts = [*getattr(self, "shifts", []), shifted.tolist()]


def test_records_are_iterations_and_updates_are_those_of_the_optimizer():
    """Silent failure: a clock that counts iterations, a step size that falls within one, an oracle told six times."""
    env, policy = Counting(), policy_of(2, observation_size=4, actions=3)
    optimizer = Told(policy.parameters(), lr=0.8)
    records = list(Training(AGENT, env, policy, optimizer, 4, (0, 1)))
    assert [record.iteration for record in records] == [1, 2, 3, 4]
    assert [record.updates for record in records] == [6, 12, 18, 24]
    assert env.updates == 24
    assert optimizer.used == pytest.approx(np.repeat([0.8, 0.6, 0.4, 0.2], 6))
    assert torch.equal(torch.cat([record.grad_norms for record in records]), torch.stack(optimizer.received))
    assert torch.equal(records[1].grad_norm, optimizer.received[11])
    assert [row for row in range(24) if any(optimizer.shifts[row])] == [6]
    assert optimizer.shifts[6] == [False, True]


def trained(folder: Path, rule: str, steps: int, options: dict, **more) -> BatchSpec:
    agent = make_agent("ppo", "CartPole-v1", {"n_envs": 2, "n_steps": 20, "batch_size": 10, "n_epochs": 2, **options})
    batch = batch_of(str(folder), "CartPole-v1", "ppo", agent, make_arm(rule), (1, 2), steps, 2, **more)
    train_batch(batch)
    return batch


def test_a_schedule_ends_with_the_last_update_and_its_range_is_logged(tmp_path):
    """Silent failure: β reaches its end in the first iteration, or never; or its dip within an iteration is not in the table."""
    batch = trained(tmp_path, "linear:start=0,end=0.9", 400, {}, record_signals=True)
    assert batch.updates == 10 * 8
    folder = batch.run_folder(1)
    table, signals = read_table(folder / "metrics.csv"), np.load(folder / "signals.npz")
    expected = np.linspace(0, 0.9, 80)
    np.testing.assert_allclose(signals["beta"], expected, rtol=1e-6)
    assert table["optim/beta"] == pytest.approx(expected[7::8])
    assert table["optim/beta_min"] == pytest.approx(expected[0::8])
    assert table["optim/beta_max"] == pytest.approx(expected[7::8])
    assert np.isfinite(table["train/approx_kl"]).all()
    assert (table["train/clip_fraction"] >= 0).all()


def test_signals_have_a_row_for_every_update(tmp_path):
    """Silent failure: a replayed detector hears one update of forty; or a return is counted once for each of them."""
    batch = trained(tmp_path, "oracle", 400, {}, record_signals=True, shift=("gravity:values=9.8/25,at=130",))
    folder = batch.run_folder(2)
    signals, table, episodes = (
        np.load(folder / "signals.npz"), read_table(folder / "metrics.csv"), read_table(folder / "episodes.csv"),
    )  # fmt: skip
    rows = {name: signals[name] for name in signals.files}
    assert all(len(row) == 80 for row in rows.values())
    by_iteration = {name: row.reshape(10, 8, -1) for name, row in rows.items()}
    assert (by_iteration["step"][:, :, 0] == table["step"][:, None]).all()
    np.testing.assert_allclose(by_iteration["grad_norm"][:, -1, 0], 2 * np.log(table["optim/grad_norm"]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(by_iteration["surprise"][:, -1, 0], table["optim/surprise"], rtol=1e-3, atol=1e-3)
    assert np.isfinite(rows["surprise"][1:]).all()
    assert (rows["squares"].sum(1) > 0).all()
    changed = int(np.flatnonzero(table["step"] > 130)[0])
    assert np.flatnonzero(rows["shifted"]).tolist() == [8 * changed]
    assert np.array_equal(rows["alarm"], rows["shifted"])
    assert read_table(folder / "shifts.csv")["update"].tolist() == [8 * (changed + 1)]
    ended = np.isfinite(by_iteration["episode_return"][:, :, 0])
    assert not ended[:, 1:].any()
    assert ended[:, 0].sum() == len(set(np.searchsorted(table["step"], episodes["step"]).tolist()))


# Learning -----------------------------------------------------------------------------------------------------------------


class Target(gym.Env):
    """One step an episode: the nearer the action to a number that the observation tells, the better."""

    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Box(-2, 2, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.place, {}

    def step(self, action):
        assert self.action_space.contains(action)
        return self.place, -float((action[0] + self.place[0]) ** 2), True, False, {}


@pytest.mark.parametrize(
    ("agent", "iterations", "lr"),
    [(A2C(n_steps=8, normalize_advantage=True), 300, 0.02), (Reinforce(n_steps=8, normalize_advantage=True), 300, 0.02),
     (PPO(n_steps=32, batch_size=64, n_epochs=4), 60, 0.01)],
    ids=["a2c", "reinforce", "ppo"],
)  # fmt: skip
def test_every_run_learns_the_action_that_its_observation_asks_for(agent, iterations, lr):
    """Silent failure: the gradient of the mean, or of σ, has the wrong sign in one of three agents."""
    gym.register("TestTarget-v0", entry_point=Target)
    seeds = (0, 1, 2)
    env = make("TestTarget-v0", seeds, 8)
    policy = ActorCritic(1, Gaussian(env.action_space.low, env.action_space.high), (8,), generators(*seeds))
    optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
    for _ in Training(agent, env, policy, optimizer, iterations, (7, 8, 9)):
        pass
    gym.registry.pop("TestTarget-v0")
    x = torch.tensor([-0.8, 0.0, 0.8]).view(1, 3, 1).expand(3, 3, 1)
    means, log_std = policy.outputs(x).detach().chunk(2, -1)
    torch.testing.assert_close(means, -x, rtol=0, atol=0.25)
    assert (log_std < -0.3).all()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("n_epochs", 0, "at least 1"),
        ("batch_size", 1, "from 2"),
        ("batch_size", 2049, "n_envs · n_steps, 2048"),
        ("clip_range", 0.0, "greater than 0"),
        ("clip_range", float("nan"), "greater than 0"),
        ("gae_lambda", 2.0, r"in \[0, 1\]"),
        ("log_std_init", 21.0, "from −20"),
        ("log_std_init", float("nan"), "from −20"),
    ],
)
def test_impossible_settings_are_refused_by_name(name, value, rule):
    """Silent failure: a typing error trains for hours and gives a flat curve."""
    with pytest.raises(ValueError, match=f"^{name} must be .*{rule}"):
        PPO(**{name: value})


def test_observations_are_scaled_once():
    """Silent failure: a scale found by hand on top of the running one undoes it."""
    with pytest.raises(ValueError, match="observation_scale must be empty with normalize_observations"):
        PPO(observation_scale=(1.0,), normalize_observations=True)
