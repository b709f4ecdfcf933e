"""Shifts at work: the run's clock, when they take hold, noise, the truth in infos, and runs that do not depend on others."""

from __future__ import annotations

import itertools
import math
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import A2C, Training
from agents.distributions import Categorical
from agents.networks import ActorCritic
from envs import Shift, check_env_id, make, seed_sequence
from envs.dynamics.base import PerEnvDynamics
from envs.serial import SerialBatch
from envs.shifted import ShiftedBatch
from envs.shifts.profiles import Abrupt
from envs.shifts.shift import parse_all
from envs.shifts.shifter import Shifter
from envs.transforms import change_actions, change_observations, change_rewards, permutation

with warnings.catch_warnings():
    # Box2D's C module warns while it is being built; a warning turned into an error there is a segmentation fault.
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401

NOISY = (
    "gravity:profile=poisson,values=9.8/25,every=60 length:profile=walk,first=0.5,low=0.3,high=0.9,sd=0.1,every=40 "
    "force_mag:values=10/-10,at=9,clock=episodes,apply=reset obs_noise:profile=poisson,values=0/0.1,every=70 "
    "reward_noise:profile=poisson,values=0/1,every=50 action_noise:profile=poisson,values=0/0.3,every=90,apply=reset "
    "obs_permutation:profile=poisson,values=0/5,every=100 reward_scale:values=1/3,at=11,clock=updates"
)
"""Everything at once: random times, noise, resets, all clocks."""


def play(env, calls: int, seed: int = 0, runs: slice = slice(None), update_every: int = 10) -> list[list[np.ndarray]]:
    """What `calls` calls return, with random actions of a run that do not depend on which other runs there are."""
    actions = np.random.default_rng(seed).integers(0, int(env.action_space.n), (calls, 8, env.envs_per_run))[:, runs]
    outputs = [[env.reset()]]
    for call in range(calls):
        outputs.append([*env.step(actions[call][: env.runs])])
        if call % update_every == 0 and hasattr(env, "count_update"):
            env.count_update()
            outputs.append([*env.truth().values(), env.regime, env.onsets, *env.counts.values()])
    return outputs


def same(outputs, expected) -> None:
    for call, (ours, theirs) in enumerate(zip(outputs, expected, strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes(), f"call {call}"


# Twins -----------------------------------------------------------------------------------------------------------------------

NEVER_COMES = {
    "CartPole-v1": " ".join(
        f"{p}:values={a}/{b},at=1e9"
        for p, a, b in [
            ("gravity", 9.8, 25),
            ("force_mag", 10, -10),
            ("length", 0.5, 1),
            ("masspole", 0.1, 1),
            ("masscart", 1, 2),
            ("tau", 0.02, 0.04),
            ("push", 0, 5),
        ]
    ),
    "LunarLander-v3": "gravity:values=-10/-3,at=1e9 wind_power:values=0/9,at=1e9 main_engine_power:values=13/3,at=1e9 "
    "side_engine_power:values=0.6/0.1,at=1e9 failed_engine:values=0/2,at=1e9 turbulence_power:values=0/1,at=1e9",
    "Acrobot-v1": "link_mass_1:values=1/2,at=1e9 link_length_1:values=1/2,at=1e9 torque:values=1/-1,at=1e9",
}
ANYWHERE_NEVER = (
    "reward_scale:values=1/2,at=1e9 reward_sign:values=1/-1,at=1e9 reward_offset:values=0/1,at=1e9 "
    "reward_noise:values=0/1,at=1e9 obs_permutation:values=0/3,at=1e9 obs_gain:values=1/2,at=1e9 obs_bias:values=0/1,at=1e9 "
    "obs_noise:values=0/1,at=1e9 obs_dropout:values=0/1,at=1e9 action_sign:values=1/-1,at=1e9 action_noise:values=0/1,at=1e9 "
    "action_permutation:values=0/1,at=1e9"
)


@pytest.mark.parametrize("env_id", list(NEVER_COMES))
def test_a_run_whose_shifts_come_after_its_end_is_the_unshifted_run(env_id):
    """Silent failure: shifting machinery moves the environment, so that controls and shifted runs are not twins."""
    shifts = parse_all(f"{NEVER_COMES[env_id]} {ANYWHERE_NEVER}")
    calls = 250 if env_id == "CartPole-v1" else 120
    shifted, plain = make(env_id, (3, 8), 3, shifts), make(env_id, (3, 8), 3)
    actions = np.random.default_rng(0).integers(0, 2, (calls, 2, 3))
    same([[shifted.reset()]], [[plain.reset()]])
    ends = 0
    for a in actions:
        step = shifted.step(a)
        same([step], [plain.step(a)])
        ends += (step.terminated | step.truncated).sum()
    assert ends or env_id == "Acrobot-v1"
    assert not shifted.onsets.any()


def trained(shifts: str, updates: int = 12) -> list[np.ndarray]:
    """Weights of two A2C runs after a short training."""
    env = make("CartPole-v1", (3, 8), 4, parse_all(shifts))
    policy = ActorCritic(4, Categorical(2), (16,), [np.random.default_rng(seed_sequence(s, "init")) for s in (3, 8)])
    optimizer = torch.optim.RMSprop(policy.parameters(), 0.01)
    for _ in Training(A2C(n_steps=16), env, policy, optimizer, updates, (3, 8)):
        pass
    return [p.detach().numpy().copy() for p in policy.parameters()]


def test_training_under_shifts_after_its_end_gives_the_unshifted_weights():
    """Silent failure: a shifted and an unshifted training differ before the shift, and detectors find it."""
    plain = trained("")
    for ours, theirs in zip(trained(f"{NEVER_COMES['CartPole-v1']} {ANYWHERE_NEVER}"), plain, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    late = trained(f"force_mag:values=10/-10,at={12 * 16 * 4 - 64 * 2}")
    assert any(a.tobytes() != b.tobytes() for a, b in zip(late, plain, strict=True))


def test_r_runs_at_once_are_each_run_alone_bit_for_bit():
    """Silent failure: one run's noise sets in and another, still calm, draws from its generator too."""
    shifts, seeds = parse_all(NOISY), (3, 8, 21, 4)
    batched = play(make("CartPole-v1", seeds, 3, shifts), 300)
    for r, seed in enumerate(seeds):
        alone = play(make("CartPole-v1", (seed,), 3, shifts), 300, runs=slice(r, r + 1))
        same(alone, [[a[r : r + 1] for a in call] for call in batched])
    onsets = [call[-4] for call in batched if len(call) > 5][-1]
    assert len(np.unique(onsets)) > 1  # runs had their changes at times of their own


def test_the_same_seeds_give_the_same_shifts():
    """Silent failure: random times from the operating system."""
    shifts = parse_all(NOISY)
    same(play(make("CartPole-v1", (3, 8), 2, shifts), 150), play(make("CartPole-v1", (3, 8), 2, shifts), 150))


def test_streams_of_a_shift_are_its_own():
    """Silent failure: another profile's random numbers move the environment's, or noise of rewards those of observations."""
    calm = make("CartPole-v1", (3, 8), 2)
    for text in (
        "reward_noise:values=0/1,at=0",
        "reward_scale:profile=walk,first=1,low=0.5,high=2,sd=0.3,every=1",
        "reward_sign:profile=poisson,values=1/-1,every=3",
        "obs_noise:values=0/1,at=0",
    ):
        shifted = make("CartPole-v1", (3, 8), 2, parse_all(text))
        outputs, expected = play(shifted, 100), play(calm, 100)
        calm = make("CartPole-v1", (3, 8), 2)
        for ours, theirs in zip((s for s in outputs if len(s) == 5), (s for s in expected if len(s) == 5), strict=True):
            same([ours[2:]], [theirs[2:]])
            if not text.startswith("obs"):
                same([ours[:1]], [theirs[:1]])
    noisy = play(make("CartPole-v1", (3,), 2, parse_all("obs_noise:values=1,at=none")), 50)
    both = play(make("CartPole-v1", (3,), 2, parse_all("reward_noise:values=1,at=none obs_noise:values=1,at=none")), 50)
    same([s[:1] for s in noisy if len(s) == 5], [s[:1] for s in both if len(s) == 5])


# The clock ---------------------------------------------------------------------------------------------------------------------


class Line(gym.Env):
    """An episode of `length` steps; each observation says how many steps the episode has had, each reward is 1."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gym.spaces.Discrete(3)

    def __init__(self, length: int = 4) -> None:
        self.length, self.received = length, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.count += 1
        self.received.append(action)
        return np.array([self.count, 1], np.float32), 1.0, self.count >= self.length, False, {}


@pytest.fixture(autouse=True)
def line():
    gym.register("TestLine-v0", entry_point=Line)
    yield
    gym.registry.pop("TestLine-v0")


def truth_by_call(env, calls: int) -> list[dict[str, np.ndarray]]:
    """What `truth()` says after each call, with rewards and valid beside."""
    env.reset()
    rows = []
    for _ in range(calls):
        step = env.step(np.zeros((env.runs, env.envs_per_run), np.int64))
        rows.append(env.truth() | {"reward": step.rewards, "valid": step.valid, "over": step.terminated})
    return rows


def test_the_clock_counts_steps_of_all_environments_and_no_resets_and_never_starts_over():
    """Silent failure: the clock restarts with every episode, or counts calls that only reset; by hand: episodes of 4 steps.

    Calls 0–3 are steps, call 4 resets, 5–8 are steps, 9 resets; each step is 3 steps of the run.
    """
    env = make("TestLine-v0", (0, 1), 3, parse_all("reward_scale:values=1/2,at=15"))
    rows = truth_by_call(env, 12)
    assert [int(r["shift/t"][0, 0]) for r in rows] == [0, 3, 6, 9, 12, 12, 15, 18, 21, 24, 24, 27]
    assert [float(r["reward"][1, 2]) for r in rows] == [1, 1, 1, 1, 0, 1, 2, 2, 2, 0, 2, 2]
    assert [bool(r["over"][0, 0]) for r in rows] == [call in (3, 8) for call in range(12)]
    assert {name: count.tolist() for name, count in env.counts.items()} == {
        "steps": [30, 30],
        "episodes": [6, 6],
        "updates": [0, 0],
    }


def test_episodes_and_updates_are_clocks_too():
    """Silent failure: episodes that have begun are counted for those that ended, updates once for each environment."""
    env = make("TestLine-v0", (0,), 2, parse_all("reward_scale:values=1/2,at=4,clock=episodes"))
    assert [float(r["reward"][0, 0]) for r in truth_by_call(env, 12)] == [1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 2, 2]
    env = make("TestLine-v0", (0, 1), 2, parse_all("reward_scale:values=1/2,at=2,clock=updates"))
    env.reset()
    rewards = []
    for call in range(8):
        rewards.append(float(env.step(np.zeros((2, 2), np.int64)).rewards[0, 0]))
        if call in (1, 5):
            env.count_update()
    assert rewards == [1, 1, 1, 1, 0, 1, 2, 2]
    assert env.counts["updates"].tolist() == [2, 2]


def uneven(shift: str, seeds=(0,)) -> ShiftedBatch:
    """Two environments a run, with episodes of 3 and 5 steps."""
    batch = SerialBatch("TestLine-v0", seeds, 2)
    for i, env in enumerate(batch._envs):
        env.unwrapped.length = (3, 5)[i % 2]
    return ShiftedBatch(batch, parse_all(shift), seeds)


def test_a_shift_at_reset_takes_hold_in_each_environment_when_its_own_next_episode_begins():
    """Silent failure: one environment's reset shifts all, or the change waits for a reset of the whole run.

    Episodes of 3 and 5 steps; the profile changes at step 4 of the run, before call 2. Environment 0 ends in call 2 and resets
    in call 3, environment 1 ends in call 4 and resets in call 5.
    """
    rows = truth_by_call(uneven("reward_scale:values=1/2,at=4,apply=reset"), 8)
    assert [r["shift/reward_scale"][0].tolist() for r in rows] == [[1, 1]] * 3 + [[2, 1]] * 2 + [[2, 2]] * 3
    assert [r["reward"][0].tolist() for r in rows] == [[1, 1]] * 3 + [[0, 1], [2, 1], [2, 0], [2, 2], [0, 2]]
    assert [r["shift/regime"][0].tolist() for r in rows] == [[0, 0]] * 3 + [[1, 0]] * 2 + [[1, 1]] * 3
    # The reset that brings the value and the first step with it both count as a change.
    assert [r["shift/changed"][0].tolist() for r in rows] == [
        [False, False],
        [False, False],
        [False, False],
        [True, False],
        [True, False],
        [False, True],
        [False, True],
        [False, False],
    ]


def test_an_episode_cut_by_the_time_limit_is_one_that_ended():
    """Silent failure: only episodes that terminate are counted, or bring a shift at reset: none in CartPole once it is solved."""
    batch = SerialBatch("TestLine-v0", (0,), 1, {"max_episode_steps": 2})
    shifts = "reward_scale:values=1/2,at=1,apply=reset reward_offset:values=0/10,at=2,clock=episodes"
    env = ShiftedBatch(batch, parse_all(shifts), (0,))
    env.reset()
    steps = [env.step(np.zeros((1, 1), np.int64)) for _ in range(8)]
    assert [float(s.rewards[0, 0]) for s in steps] == [1, 1, 0, 2, 2, 0, 12, 12]
    assert [bool(s.truncated[0, 0]) for s in steps] == [False, True, False, False, True, False, False, True]
    assert not any(s.terminated.any() for s in steps)


def test_a_shift_now_takes_hold_everywhere_at_once_and_ends_no_episode():
    """Silent failure: a change resets the environments, and the agent sees it in the episode's length."""
    rows = truth_by_call(uneven("reward_scale:values=1/2,at=4"), 8)
    plain = truth_by_call(uneven("reward_scale:profile=none"), 8)
    assert [r["shift/reward_scale"][0].tolist() for r in rows] == [[1, 1]] * 2 + [[2, 2]] * 6
    assert [r["shift/changed"][0].tolist() for r in rows] == [[call == 2] * 2 for call in range(8)]
    for ours, theirs in zip(rows, plain, strict=True):
        assert ours["over"].tolist() == theirs["over"].tolist()
        assert ours["valid"].tolist() == theirs["valid"].tolist()


def test_a_change_during_an_environments_reset_is_reported_at_its_next_step():
    """Silent failure: the only call reported as a change is one that was no step, and whoever masks resets never sees it."""
    rows = truth_by_call(uneven("reward_scale:values=1/2,at=6"), 6)  # before call 3 are 6 steps; then environment 0 resets
    assert [r["shift/changed"][0].tolist() for r in rows] == [[False, False]] * 3 + [[True, True], [True, False], [False, False]]
    assert [r["valid"][0].tolist() for r in rows[3:5]] == [[False, True], [True, True]]


def test_a_reset_of_everything_lets_shifts_at_reset_take_hold():
    """Silent failure: reset() in the middle of episodes is not an episode's beginning."""
    env = make("TestLine-v0", (0,), 2, parse_all("reward_scale:values=1/2,at=4,apply=reset"))
    env.reset()
    for _ in range(3):
        assert env.step(np.zeros((1, 2), np.int64)).rewards.tolist() == [[1, 1]]
    env.reset()
    assert env.counts["steps"].tolist() == [6]
    assert env.step(np.zeros((1, 2), np.int64)).rewards.tolist() == [[2, 2]]


def test_two_shifts_have_one_number_of_their_regimes():
    """Silent failure: two different pairs of regimes have the same number: A has 3 values, B 2, so 6 numbers."""
    env = make(
        "TestLine-v0", (0,), 1, parse_all("reward_scale:values=1/2/3,at=2/4 reward_offset:profile=recurring,values=0/9,every=1")
    )
    numbers = {}
    for row in truth_by_call(env, 20):
        pair = float(row["shift/reward_scale"][0, 0]), float(row["shift/reward_offset"][0, 0])
        assert numbers.setdefault(pair, int(row["shift/regime"][0, 0])) == int(row["shift/regime"][0, 0])
    assert env.regime.tolist() == [numbers[pair]]
    assert len(set(numbers.values())) == len(numbers) >= 5
    assert max(numbers.values()) < 6


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        ("reward_scale:values=1/2/1,at=2/6", 2),
        ("reward_scale:profile=ramp,values=1/2,at=2/11", 1),
        ("reward_scale:profile=sine,values=1/2,period=4", 1),
        ("reward_scale:profile=pulse,values=1/2,at=2,length=3", 2),
        ("reward_scale:values=2/2,at=3", 0),
        ("reward_scale:values=2/3,at=0", 0),
        ("reward_scale:values=1/2,at=3 reward_offset:values=0/2,at=3", 1),
        ("reward_scale:values=1/2,at=3 reward_offset:values=0/2,at=4", 2),
        ("reward_scale:profile=square,values=1/2,period=4", 7),
        ("reward_scale:profile=walk,first=1,low=0,high=2,sd=0.1,every=5", 3),
        ("reward_scale:profile=none", 0),
        ("reward_scale:values=1/2,at=3,apply=reset", 1),
    ],
)
def test_onsets_are_changes_that_begin(shift, expected):
    """Silent failure: each step of a ramp, or each pause in it while the only environment resets, counts as a shift.

    One environment with episodes of 4 steps: 19 calls are 16 steps, of which 15 come before the last.
    """
    env = make("TestLine-v0", (0, 1), 1, parse_all(shift))
    env.reset()
    for _ in range(19):
        env.step(np.zeros((2, 1), np.int64))
    assert env.onsets.tolist() == [expected] * 2


# Time that stands still ------------------------------------------------------------------------------------------------------


def test_time_stands_still_where_it_is_held():
    """Silent failure: a policy is evaluated in the environment of the beginning, or in one that shifts meanwhile."""
    counts = {"steps": np.array([0, 100, 5000]), "episodes": np.array([0, 3, 9]), "updates": np.array([2, 2, 2])}
    shifts = parse_all("reward_scale:values=1/2/3,at=100/200 reward_offset:values=0/10,at=3,clock=episodes")
    env = make("TestLine-v0", (0, 1, 2), 2, shifts, frozen_at=counts)
    rows = truth_by_call(env, 30)
    for row in rows:
        assert row["reward"][row["valid"].all(1)].tolist() == [[1, 1], [12, 12], [13, 13]][: row["valid"].all(1).sum()]
        assert row["shift/t"][:, 0].tolist() == [0, 100, 5000]
        assert not row["shift/changed"].any()
    env.count_update()
    assert {name: count.tolist() for name, count in env.counts.items()} == {n: c.tolist() for n, c in counts.items()}
    assert env.onsets.tolist() == [0, 0, 0]


def test_held_random_times_are_those_of_the_training():
    """Silent failure: the evaluation of a run stands in the regime of another."""
    shifts = parse_all("reward_scale:profile=walk,first=1,low=0,high=2,sd=0.3,every=7 obs_noise:values=0.5,at=none")
    training = make("TestLine-v0", (5, 6, 7), 2, shifts)
    truth_by_call(training, 40)
    held = make("TestLine-v0", (15, 16, 17), 4, shifts, frozen_at=training.counts, shift_seeds=(5, 6, 7))
    np.testing.assert_array_equal(truth_by_call(held, 2)[-1]["shift/reward_scale"][:, 0], training.values["reward_scale"][:, 0])
    first = held.reset()
    other = make("TestLine-v0", (25, 26, 27), 4, shifts, frozen_at=training.counts, shift_seeds=(5, 6, 7))
    truth_by_call(other, 2)
    assert (other.reset() != first).all()  # noise is the evaluation's own


def test_clocks_that_are_not_all_held_are_refused():
    """Silent failure: a clock left out starts at 0, and the evaluation is in the environment of the beginning."""
    with pytest.raises(ValueError, match="frozen_at must give steps, episodes, updates, got steps"):
        make("TestLine-v0", (0,), 1, parse_all("reward_scale:values=1/2,at=1"), frozen_at={"steps": np.array([5])})


# What passes between ---------------------------------------------------------------------------------------------------------


def generators(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def test_noise_has_the_standard_deviation_asked_for_in_each_run():
    """Silent failure: variance for standard deviation, one noise for all environments or runs."""
    sd = np.array([[0.5] * 4, [2.0] * 4])
    noise = {"reward_noise": generators(0, 1), "obs_noise": generators(0, 1)}
    rewards = np.array([change_rewards(np.zeros((2, 4)), {"reward_noise": sd}, noise) for _ in range(4000)])
    observations = np.array([change_observations(np.zeros((2, 4, 3)), {"obs_noise": sd}, noise) for _ in range(2000)])
    for x in (rewards, observations.mean(-1) * math.sqrt(3)):
        np.testing.assert_allclose(x.std((0, 2)), [0.5, 2.0], rtol=0.04)
        assert np.abs(np.corrcoef(x.reshape(len(x), -1).T)[np.triu_indices(8, 1)]).max() < 0.1
    assert np.abs(np.corrcoef(observations[:, 0, 0].T)[np.triu_indices(3, 1)]).max() < 0.1


def test_random_actions_come_as_often_as_asked_and_are_uniform():
    """Silent failure: a random action is never the agent's own, or the chance is that of another one."""
    space, chance = gym.spaces.Discrete(4), np.array([[0.2, 0.8, 0.0]])
    noise = {"action_noise": generators(3)}
    actions = np.array([change_actions(np.full((1, 3), 2), {"action_noise": chance}, space, noise) for _ in range(8000)])[:, 0]
    for n, share in enumerate(chance[0]):
        expected = share / 4 + (1 - share) * (np.arange(4) == 2)
        np.testing.assert_allclose(np.bincount(actions[:, n], minlength=4) / 8000, expected, atol=0.02)


def test_continuous_actions_turn_blur_and_stay_in_their_box():
    """Silent failure: the sign of a Box that is not symmetric, or noise in other units than half ranges."""
    space = gym.spaces.Box(np.array([0, -1], np.float32), np.array([4, 1], np.float32))
    one = np.ones((1, 1))
    turned = change_actions(np.array([[[1.0, 0.25]]], np.float32), {"action_sign": -one}, space, {})
    assert turned.tolist() == [[[3.0, -0.25]]]
    assert turned.dtype == np.float32
    noise = {"action_noise": generators(0)}
    actions = np.array(
        [change_actions(np.array([[[2.0, 0.0]]], np.float32), {"action_noise": 0.1 * one}, space, noise) for _ in range(4000)]
    )[:, 0, 0]
    np.testing.assert_allclose(actions.std(0), [0.2, 0.1], rtol=0.05)
    wild = np.array([change_actions(np.zeros((1, 1, 2)), {"action_noise": 5 * one}, space, noise) for _ in range(100)])
    assert (wild >= space.low).all()
    assert (wild <= space.high).all()
    assert change_actions(np.array([[[7, 0]]]), {"action_noise": 0 * one}, space, noise).tolist() == [[[7, 0]]]


def test_where_a_value_is_the_usual_one_not_a_bit_changes():
    """Silent failure: −0.0 + 0 is 0.0, so that a run beside a shifted one is not the run alone."""
    x = np.array([[[-0.0, 1e-45]], [[-0.0, 1e-45]]], np.float32)
    both = {"obs_gain": np.array([[1.0], [2.0]]), "obs_bias": np.array([[0.0], [1.0]]), "obs_noise": np.array([[0.0], [1.0]])}
    both |= {"obs_permutation": np.array([[0.0], [1.0]]), "obs_dropout": np.array([[0.0], [1.0]])}
    observations = change_observations(x, both, {"obs_noise": generators(0, 1)})
    assert observations[0].tobytes() == x[0].tobytes()
    assert observations[1].tobytes() != x[1].tobytes()
    rewards = np.array([[-0.0], [-0.0]], np.float32)
    shifted = change_rewards(
        rewards, {"reward_offset": np.array([[0.0], [2.0]]), "reward_noise": np.zeros((2, 1))}, {"reward_noise": generators(0, 1)}
    )
    assert shifted[0].tobytes() == rewards[0].tobytes()
    assert shifted[1, 0] == 2


def test_observations_that_are_not_flat_are_numbered_through():
    """Silent failure: a sensor of a picture is a whole row of it."""
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    one = np.ones((1, 2))
    dropped = change_observations(x, {"obs_dropout": 2 * one}, {})
    assert dropped[0, 1].ravel().tolist() == [6, 0, 8, 9, 10, 11]
    swapped = change_observations(x, {"obs_permutation": one}, {})
    assert swapped.shape == x.shape
    assert swapped[0, 0].ravel().tolist() == [0, 1, 2, 3, 5, 4]


@pytest.mark.parametrize("n", range(1, 6))
def test_reorderings_are_numbered_in_lexicographic_order(n):
    """Silent failure: a number names no permutation, or two name the same."""
    assert [permutation(k, n) for k in range(math.factorial(n))] == list(itertools.permutations(range(n)))


def test_a_reordering_of_many_places_is_found_at_once():
    """Silent failure: a picture's reordering takes the factorials of all its pixels."""
    assert permutation(5, 30_000) == (*range(29_997), 29_999, 29_998, 29_997)
    assert permutation(0, 3) == (0, 1, 2)


def test_actions_of_a_space_that_does_not_start_at_zero_are_reordered_within_it():
    """Silent failure: action −1 is taken for the last one."""

    class Echo(Line):
        action_space = gym.spaces.Discrete(3, start=-1)

    gym.register("TestEcho-v0", entry_point=Echo)
    try:
        env = make("TestEcho-v0", (0,), 3, parse_all("action_sign:values=-1,at=none"))
        env.reset()
        env.step(np.array([[0, 1, 2]]))
        assert [e.unwrapped.received for e in env._batch._envs] == [[1], [0], [-1]]
    finally:
        gym.registry.pop("TestEcho-v0")


def test_a_batch_says_that_shifted_observations_have_no_bounds():
    """Silent failure: whoever normalizes by the space's bounds clips what shifted."""
    assert make("CartPole-v1", (0,), 1, parse_all("obs_gain:values=1/9,at=5")).observation_space == gym.spaces.Box(
        -np.inf, np.inf, (4,)
    )
    plain = make("CartPole-v1", (0,), 1)
    assert make("CartPole-v1", (0,), 1, parse_all("gravity:values=1/9,at=5")).observation_space == plain.observation_space


def test_a_shift_sets_its_first_value_from_the_beginning():
    """Silent failure: the environment keeps its own value until the first change."""
    env = make("CartPole-v1", (0,), 2, parse_all("gravity:values=3/25,at=1000"))
    assert env.dynamics().get("gravity").tolist() == [3, 3]
    assert env.truth()["shift/gravity"].tolist() == [[3, 3]]
    assert make("CartPole-v1", (0,), 2, parse_all("gravity:profile=none")).truth()["shift/gravity"].tolist() == [[9.8, 9.8]]


def test_a_shifter_counts_the_steps_of_environments_out_of_sight():
    """Silent failure: with n_envs the shift comes n_envs times too late."""
    env = Line()
    shifts = (Shift("reward_scale", Abrupt((1.0, 2.0), (8,))),)
    shifter = Shifter(shifts, PerEnvDynamics([]), env.action_space, (0,), 1, steps_per_call=4)
    rewards = []
    for _ in range(4):
        shifter.before_step()
        shifter.after_step(np.zeros((1, 1), bool), np.ones((1, 1), bool))
        rewards.append(float(shifter.reward(np.ones((1, 1)), np.ones((1, 1), bool))[0, 0]))
    assert rewards == [1, 1, 2, 2]


# Bad input ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "shift", "message"),
    [
        (
            "CartPole-v1",
            "gravty:values=9.8/25,at=1",
            "CartPole-v1 has no parameter 'gravty' that can shift: did you mean gravity?",
        ),
        ("Acrobot-v1", "gravity:values=9.8/25,at=1", "Acrobot-v1 has no parameter 'gravity' that can shift"),
        ("CartPole-v1", "gravity:values=9.8/5000,at=1", "gravity must be from -100 to 1000, got 5000: acceleration"),
        ("CartPole-v1", "gravity:values=9.8/nan,at=1", "gravity must be from -100 to 1000, got nan"),
        ("CartPole-v1", "masspole:values=0.1/0,at=1", "masspole must be from 0.001 to 1000, got 0: mass of the pole"),
        ("LunarLander-v3", "gravity:values=-10/-13,at=1", "gravity must be from -12 to 0, got -13"),
        ("LunarLander-v3", "failed_engine:values=0/1.5,at=1", "failed_engine must be a whole number, got 1.5"),
        ("LunarLander-v3", "failed_engine:profile=ramp,values=0/3,at=1/5", "no values in between"),
        ("CartPole-v1", "reward_sign:values=1/0.5,at=1", "reward_sign must be 1 or -1, got 0.5"),
        ("CartPole-v1", "reward_sign:profile=sine,values=1/-1,period=9", "no values in between"),
        ("CartPole-v1", "action_permutation:values=0/2,at=1", "action_permutation must be at most 1 here, got 2"),
        ("CartPole-v1", "obs_permutation:values=0/24,at=1", "obs_permutation must be at most 23 here, got 24"),
        ("CartPole-v1", "obs_dropout:values=0/5,at=1", "obs_dropout must be at most 4 here, got 5"),
        ("CartPole-v1", "tau:profile=walk,first=0.02,low=0,high=1,sd=1", "tau must be from 0.0001 to 1, got 0"),
    ],
)
def test_an_impossible_shift_is_refused_in_one_line(env_id, shift, message):
    """Silent failure: a mistyped parameter never shifts; an impossible value fails in the middle of the training."""
    for refuse in (lambda: make(env_id, (0,), 1, parse_all(shift)), lambda: check_env_id(env_id, parse_all(shift))):
        with pytest.raises(ValueError) as error:  # noqa: PT011  # the message is checked below
            refuse()
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_a_parameter_given_twice_is_refused():
    """Silent failure: of two shifts of one parameter the second wins."""
    with pytest.raises(ValueError, match="each parameter may shift once, got gravity twice"):
        parse_all("gravity:values=9.8/25,at=1 gravity:values=9.8/25,at=5")
    with pytest.raises(ValueError, match="got tau twice"):
        parse_all(["tau:values=0.02/0.03,at=1", Shift("tau", Abrupt((1.0, 2.0), (3,)))])


def test_shifts_may_be_given_in_every_form():
    """Silent failure: of several shifts in one text only the first is read."""
    one, other = "gravity:values=9.8/25,at=1", "length:values=0.5/1,at=3"
    expected = (*parse_all(one), *parse_all(other))
    for form in (f"{one} {other}", f"{one};{other}", f" {one} ; {other}\n", [one, other], (expected[0], other), expected):
        assert parse_all(form) == expected
    assert parse_all("") == parse_all(()) == ()
