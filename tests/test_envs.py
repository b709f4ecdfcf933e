"""Environment batches against Gymnasium's scalar CartPole and its SyncVectorEnv, bit for bit."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from envs import ClassicControlBatch, SerialBatch, check_env_id, make, seed_sequence
from envs.classic_control.cartpole import CartPoles

with warnings.catch_warnings():
    # Box2D's C module warns while it is being built; a warning turned into an error there is a segmentation fault.
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401

TABLE = ("CartPole-v1", "Acrobot-v1", "LunarLander-v3")


def play(env, calls: int, seed: int = 0, change_ignored: bool = False) -> list[list[np.ndarray]]:
    """Everything that `calls` calls with random actions return, first observations included.

    `change_ignored` gives other actions wherever the call is only going to reset an environment.
    """
    rng = np.random.default_rng(seed)
    shape, n = (env.runs, env.envs_per_run), int(env.action_space.n)
    outputs = [[env.reset()]]
    over = np.zeros(shape, bool)
    for _ in range(calls):
        actions = rng.integers(0, n, shape)
        if change_ignored:
            actions = np.where(over, (actions + 1) % n, actions)
        step = env.step(actions)
        over = step.terminated | step.truncated
        outputs.append(list(step))
    return outputs


def assert_same(outputs, expected) -> None:
    for call, (ours, theirs) in enumerate(zip(outputs, expected, strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"call {call}")


# The contract of every batch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("env_id", "limit"), [("CartPole-v1", 500), ("Acrobot-v1", 500), ("LunarLander-v3", 1000)])
def test_batches_look_the_same_from_outside(env_id, limit):
    """Silent failure: float64 rewards or actions of another run's shape broadcast instead of failing."""
    env = make(env_id, (3, 8), 3)
    single = gym.make(env_id)
    assert (env.runs, env.envs_per_run, env.max_episode_steps) == (2, 3, limit)
    assert env.observation_space == single.observation_space
    assert env.action_space == single.action_space
    observations = env.reset()
    step = env.step(np.zeros((2, 3), np.int64))
    for array, dtype, size in zip(
        (observations, *step),
        (np.float32, np.float32, np.float32, bool, bool, bool),
        (single.observation_space.shape, single.observation_space.shape, (), (), (), ()),
        strict=True,
    ):
        assert array.dtype == dtype
        assert array.shape == (2, 3, *size)
        assert array.flags.c_contiguous  # torch.from_numpy shares it
    assert step.valid.all()
    env.close()


@pytest.mark.parametrize("env_id", TABLE)
def test_what_a_step_returned_stays_as_it_was(env_id):
    """Silent failure: a buffer reused inside the environment rewrites the rollout that is being recorded."""
    env = make(env_id, (1, 2), 2)
    rng = np.random.default_rng(0)
    outputs = [[env.reset()]]
    copies = [[a.copy() for a in outputs[0]]]
    for _ in range(60):
        outputs.append(list(env.step(rng.integers(0, 2, (2, 2)))))
        copies.append([a.copy() for a in outputs[-1]])
    assert_same(outputs, copies)


@pytest.mark.parametrize("env_id", TABLE)
def test_a_run_does_not_depend_on_its_neighbours(env_id):
    """Silent failure: one generator for all poles, so that a seed gives another run in every study."""
    calls, seeds = (200 if env_id != "Acrobot-v1" else 510), (4, 7, 11)
    actions = np.random.default_rng(1).integers(0, 2, (calls, 3, 2))
    batched = make(env_id, seeds, 2)
    first, steps = batched.reset(), [batched.step(a) for a in actions]
    assert any((s.terminated | s.truncated).any() for s in steps)
    for r, seed in enumerate(seeds):
        alone = make(env_id, (seed,), 2)
        np.testing.assert_array_equal(alone.reset()[0], first[r])
        for a, step in zip(actions, steps, strict=True):
            for ours, theirs in zip(alone.step(a[r : r + 1]), step, strict=True):
                np.testing.assert_array_equal(ours[0], theirs[r])


@pytest.mark.parametrize("env_id", TABLE)
def test_every_environment_starts_differently_every_time(env_id):
    """Silent failure: environments that share a stream see the same episode N times; a reset that starts over repeats it."""
    env = make(env_id, (0, 1, 2), 4)
    starts = np.concatenate([env.reset().reshape(12, -1) for _ in range(3)])
    assert len(np.unique(starts, axis=0)) == 36


@pytest.mark.parametrize("env_id", TABLE)
def test_the_same_seeds_give_the_same_episodes(env_id):
    """Silent failure: a stream seeded from the operating system."""
    assert_same(play(make(env_id, (5, 6), 2), 120), play(make(env_id, (5, 6), 2), 120))


@pytest.mark.parametrize("env_id", ["CartPole-v1", "LunarLander-v3"])
def test_reset_steps_ignore_the_action_pay_nothing_and_end_nothing(env_id):
    """Silent failure: the call after an episode's end acts in the new one, or counts as a step of it."""
    outputs = play(make(env_id, (0, 1), 3), 260)
    assert_same(outputs, play(make(env_id, (0, 1), 3), 260, change_ignored=True))
    over, resets = np.zeros((2, 3), bool), 0
    for _, rewards, terminated, truncated, valid in outputs[1:]:
        np.testing.assert_array_equal(valid, ~over)
        assert not rewards[~valid].any()
        assert not (terminated | truncated)[~valid].any()
        over = terminated | truncated
        resets += (~valid).sum()
    assert resets >= 6


def test_reset_in_the_middle_starts_every_episode_anew():
    """Silent failure: an old step counter cuts the first episode after a reset short."""
    arrays = ClassicControlBatch(CartPoles, (0, 1), 2, max_episode_steps=5)
    for env in (arrays, SerialBatch("Acrobot-v1", (0, 1), 2, {"max_episode_steps": 5})):
        env.reset()
        for _ in range(5):
            step = env.step(np.zeros((2, 2), np.int64))
        assert step.truncated.all()
        env.reset()  # also forgets that a reset was due
        for t in range(5):
            step = env.step(np.zeros((2, 2), np.int64))
            assert step.valid.all()
            assert step.truncated.all() == step.truncated.any() == (t == 4)


# CartPole ----------------------------------------------------------------------------------------------------------------


class ScalarPoles:
    """The same runs with Gymnasium's scalar CartPole-v1 and its own time limit, pole by pole.

    Starts come from a generator of the run, drawn in the order of the poles that start at the same call.
    """

    def __init__(self, seeds, envs_per_run):
        self.generators = [np.random.default_rng(seed_sequence(s, "env")) for s in seeds]
        self.poles = [[gym.make("CartPole-v1") for _ in range(envs_per_run)] for _ in seeds]
        self.over = np.zeros((len(seeds), envs_per_run), bool)

    def start(self, r, n):
        pole = self.poles[r][n]
        pole.reset()
        pole.unwrapped.state = self.generators[r].uniform(-0.05, 0.05, 4)
        return np.array(pole.unwrapped.state, np.float32)

    def reset(self):
        return np.array([[self.start(r, n) for n in range(len(row))] for r, row in enumerate(self.poles)])

    def step(self, actions):
        rows = []
        for r, n in np.ndindex(self.over.shape):
            if self.over[r, n]:
                rows.append((self.start(r, n), 0.0, False, False, False))
            else:
                rows.append((*self.poles[r][n].step(int(actions[r, n]))[:4], True))
        columns = [np.array(c).reshape(*self.over.shape, *np.shape(c[0])) for c in zip(*rows, strict=True)]
        self.over = columns[2] | columns[3]
        return columns


def balance(observations):
    """A linear controller that keeps a pole up beyond the time limit."""
    return (observations @ np.array([0.1, 0.4, 1.0, 1.0]) > 0).astype(np.int64)


def test_cartpole_equals_gymnasiums_scalar_one_bit_for_bit():
    """Silent failure: physics, time limit, reset order or the random stream differ from the environment everybody knows.

    Some poles are balanced to the time limit of 500, some pushed at random, some pushed at random half of the time.
    """
    seeds, N, calls = (0, 123), 3, 620
    ours, theirs = make("CartPole-v1", seeds, N), ScalarPoles(seeds, N)
    assert isinstance(ours, ClassicControlBatch)
    rng = np.random.default_rng(0)
    observations = ours.reset()
    np.testing.assert_array_equal(observations, theirs.reset())
    lengths = {"terminated": 0, "truncated": 0}
    for call in range(calls):
        random = rng.random((2, N)) < np.array([0.0, 0.5, 1.0])
        actions = np.where(random, rng.integers(0, 2, (2, N)), balance(observations))
        step = ours.step(actions)
        for name, a, b in zip(step._fields, step, theirs.step(actions), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"{name} at call {call}")
        observations = step.observations
        lengths["terminated"] += step.terminated.sum()
        lengths["truncated"] += step.truncated.sum()
        if call == 499:
            assert step.truncated[:, 0].all()
    assert min(lengths.values()) >= 2
    np.testing.assert_array_equal(ours.reset(), theirs.reset())  # all of them, whichever were due


def test_a_pole_that_falls_at_the_time_limit_is_both_terminated_and_truncated():
    """Silent failure: a fall on the last step counts as truncation and is bootstrapped."""
    env = ClassicControlBatch(CartPoles, (0,), 1, max_episode_steps=10_000)
    env.reset()
    steps = 1
    while not env.step(np.ones((1, 1), np.int64)).terminated.any():
        steps += 1
    env = ClassicControlBatch(CartPoles, (0,), 1, max_episode_steps=steps)
    env.reset()
    for _ in range(steps):
        step = env.step(np.ones((1, 1), np.int64))
    assert step.terminated.all()
    assert step.truncated.all()


# Any environment ---------------------------------------------------------------------------------------------------------


def some_actions(space, rng, shape):
    """Actions as an agent gives them: numbers from 0, or vectors in the box."""
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(0, int(space.n), shape)
    return rng.uniform(space.low, space.high, (*shape, *space.shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("env_id", "calls"),
    [
        ("LunarLander-v3", 400),
        ("Acrobot-v1", 510),
        ("Pendulum-v1", 410),
        ("LunarLanderContinuous-v3", 300),
    ],
)
def test_serial_batch_equals_gymnasiums_sync_vector_env(env_id, calls):
    """Silent failure: next-step autoreset that is off by a call, or environments seeded other than Gymnasium does."""
    seeds, N = (2, 40), 2
    ours = SerialBatch(env_id, seeds, N)
    theirs = SyncVectorEnv([lambda: gym.make(env_id)] * (len(seeds) * N), autoreset_mode=AutoresetMode.NEXT_STEP)
    keys = [int(seed_sequence(s, "env", n).generate_state(1)[0]) for s in seeds for n in range(N)]
    first, _ = theirs.reset(seed=keys)
    np.testing.assert_array_equal(ours.reset().reshape(first.shape), first)
    rng, over, ends = np.random.default_rng(0), np.zeros(len(keys), bool), 0
    for call in range(calls):
        actions = some_actions(ours.action_space, rng, (len(seeds), N))
        step = ours.step(actions)
        observations, rewards, terminated, truncated, _ = theirs.step(actions.reshape(len(keys), *actions.shape[2:]))
        expected = (observations, rewards.astype(np.float32), terminated, truncated, ~over)
        for name, a, b in zip(step._fields, step, expected, strict=True):
            np.testing.assert_array_equal(a.reshape(b.shape), b, err_msg=f"{name} at call {call}")
        over = terminated | truncated
        ends += over.sum()
    assert ends >= 2
    ours.close()
    theirs.close()


class Echo(gym.Env):
    """Discrete actions from −1 to 1; the observation is the action that arrived."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gym.spaces.Discrete(3, start=-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.array([action], np.float32), float(action), False, False, {}


class Vector(Echo):
    """Two real numbers an action; overwrites what it got."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gym.spaces.Box(-1, 5, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        observation = action.astype(np.float32)
        action[:] = 0
        return observation, 0.0, False, False, {}


class Precise(Vector):
    """The same in double precision."""

    action_space = gym.spaces.Box(-1, 5, (2,), np.float64)


class Grid(Echo):
    """A matrix of real numbers an action."""

    action_space = gym.spaces.Box(-1, 1, (2, 2))


class Image(Echo):
    """An observation of pixels."""

    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)


@pytest.fixture
def registered():
    kinds = (Echo, Vector, Precise, Grid, Image)
    for kind in kinds:
        gym.register(f"Test{kind.__name__}-v0", entry_point=kind)
    yield
    for kind in kinds:
        gym.registry.pop(f"Test{kind.__name__}-v0")


@pytest.mark.usefixtures("registered")
def test_actions_of_a_space_that_does_not_start_at_zero_arrive_shifted():
    """Silent failure: the policy's action 0 is the space's 0, so that one action is never tried and one is invalid."""
    env = make("TestEcho-v0", (0,), 3)
    assert env.max_episode_steps is None
    env.reset()
    step = env.step(np.array([[0, 1, 2]]))
    assert step.observations.ravel().tolist() == [-1, 0, 1]
    assert step.rewards.ravel().tolist() == [-1, 0, 1]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("env_id", "dtype"), [("TestVector-v0", np.float32), ("TestPrecise-v0", np.float64)])
def test_vectors_arrive_in_the_precision_of_the_space_and_are_the_environments_own(env_id, dtype):
    """Silent failure: an environment that writes to its action rewrites the rollout that is being recorded."""
    env = make(env_id, (0, 1), 2)
    assert env.action_space.dtype == dtype
    env.reset()
    actions = np.random.default_rng(0).uniform(0, 1, (2, 2, 2)).astype(np.float32)
    original = actions.copy()
    np.testing.assert_array_equal(env.step(actions).observations, original)
    np.testing.assert_array_equal(actions, original)


# Bad input ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "nearest"),
    [
        ("LunarLander-v9", "LunarLander-v3"),
        ("CartPol-v1", "CartPole-v1"),
        ("Acrobat-v1", "Acrobot-v1"),
        ("Cart Pole-v1", "CartPole-v1"),
        ("ALE/CartPole-v1", "CartPole-v1"),
    ],
)
def test_an_unknown_environment_is_answered_with_the_nearest_one(env_id, nearest):
    """Silent failure: a typing error ends in a page of Gymnasium's traceback."""
    for refuse in (lambda: make(env_id, (0,), 1), lambda: check_env_id(env_id)):
        with pytest.raises(ValueError, match="registered Gymnasium id") as error:
            refuse()
        assert repr(env_id) in str(error.value)
        assert f"did you mean {nearest}?" in str(error.value)


def test_an_environment_like_no_other_is_answered_without_a_guess():
    """Silent failure: a guess that has nothing to do with what was meant."""
    with pytest.raises(ValueError, match="registered Gymnasium id, got 'zzzzzzzzqqqq'") as error:
        check_env_id("zzzzzzzzqqqq")
    assert "did you mean" not in str(error.value)


def test_a_module_that_is_not_there_is_bad_input_too():
    """Silent failure: Gymnasium's `module:id` form ends in ModuleNotFoundError, past everyone who catches bad input."""
    with pytest.raises(ValueError, match="no_such_module"):
        check_env_id("no_such_module:CartPole-v1")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("env_id", "rule", "remedy"),
    [
        ("TestGrid-v0", "action space must be Discrete, MultiDiscrete, MultiBinary, or a Box of floats", "TransformAction"),
        ("TestImage-v0", "observations must not be images, TestImage-v0 has Box", "--wrapper"),
    ],
)
def test_spaces_that_the_agents_cannot_use_are_refused_with_a_remedy(env_id, rule, remedy):
    """Silent failure: a vector is taken for one number, or an index for a magnitude."""
    for refuse in (lambda: make(env_id, (0,), 1), lambda: SerialBatch(env_id, (0,), 1)):
        with pytest.raises(ValueError, match=remedy) as error:
            refuse()
        assert str(error.value).startswith(rule)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Acrobot-v1"])
def test_no_environment_at_all_is_refused(env_id):
    """Silent failure: a batch of nothing trains nothing, quickly."""
    with pytest.raises(ValueError, match="environments per run must be at least 1, got 0"):
        make(env_id, (0,), 0)


# Random streams ----------------------------------------------------------------------------------------------------------

PURPOSES = [("env",), ("env", 0), ("env", 1), ("policy",), ("init",), ("evaluation",), ("evaluation environments",)]


def test_every_purpose_of_every_run_has_a_stream_of_its_own():
    """Silent failure: two purposes share a stream, and what looks like independent noise is the same noise.

    SeedSequence pads short keys with zeros: [seed, x] and [seed, x, 0] are one stream unless the key says otherwise.
    """
    keys = [(seed, *purpose) for seed in (0, 1, 2**32, 2**32 + 1) for purpose in PURPOSES]
    streams = [tuple(seed_sequence(*key).generate_state(4)) for key in keys]
    shared = [(a, b) for i, a in enumerate(keys) for j, b in enumerate(keys[:i]) if streams[i] == streams[j]]
    assert not shared


def test_a_stream_is_a_function_of_seed_and_purpose():
    """Silent failure: streams spawned in order, so that a new one moves all the others."""
    first = seed_sequence(7, "env", 3).generate_state(4)
    seed_sequence(7, "something new")
    np.testing.assert_array_equal(seed_sequence(7, "env", 3).generate_state(4), first)


def test_actions_that_are_none_are_refused() -> None:
    """Silent failure: an action 2 counts as a push to the left."""
    env = make("CartPole-v1", (0,), 2)
    env.reset()
    with pytest.raises(ValueError, match="actions must be from 0 to 1"):
        env.step(np.array([[0, 2]]))
