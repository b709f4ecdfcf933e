"""Shifted environments as plain Gymnasium: its checker, its vector environments, Stable-Baselines3 and loops like CleanRL's."""

from __future__ import annotations

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_checker import check_env as check_sb3
from stable_baselines3.common.env_util import make_vec_env

from envs import ShiftWrapper, VectorShiftWrapper
from envs.dynamics import BY_CLASS
from tests.builders import BASE_IDS

with warnings.catch_warnings():
    # Box2D's C module warns while it is being built; a warning turned into an error there is a segmentation fault.
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401

GRAVITY = "gravity:values=9.8/25,at=10"
SHIFTS = {
    "CartPole-v1": "gravity:values=9.8/25,at=10 push:profile=sine,values=0/3,period=20",
    "LunarLander-v3": "gravity:values=-10/-3,at=10 wind_power:values=0/9,at=5 main_engine_power:values=13/6,at=10,apply=reset",
    "LunarLanderContinuous-v3": "failed_engine:values=0/2,at=10 turbulence_power:values=0/1,at=5",
    "Acrobot-v1": "torque:values=1/-1,at=10 link_length_1:profile=walk,first=1,low=0.5,high=2,sd=0.1,every=3",
    "Pendulum-v1": "g:profile=poisson,values=10/15,every=5",
    "MountainCar-v0": "gravity:profile=poisson,values=0.0025/0.004,every=5",
    "MountainCarContinuous-v0": "power:profile=poisson,values=0.0015/0.003,every=5",
}
BETWEEN = "obs_noise:values=0/0.1,at=3 obs_gain:values=1/2,at=5 reward_scale:values=1/3,at=4 action_noise:values=0/0.5,at=6"
QUIET = [
    "ignore:.*is different from the unwrapped version:UserWarning",  # of any wrapper
    "ignore:.*A Box observation space (min|max)imum value is:UserWarning",
    "ignore:.*For Box action spaces, we recommend:UserWarning",
    "ignore:.*not possible to test alternative render modes:UserWarning",
]


def wrapped(env_id: str, shift: str, **kwargs) -> ShiftWrapper:
    return ShiftWrapper(gym.make(env_id, **kwargs), shift)


def play(env, calls: int, seed: int | None = 0, actions_seed: int = 0) -> list[tuple]:
    """All that a scalar environment shows in `calls` calls, with its own resets; random actions of the seed."""
    env.action_space.seed(actions_seed)
    outputs = [env.reset(seed=seed)]
    for _ in range(calls):
        step = env.step(env.action_space.sample())
        outputs.append(step)
        if step[2] or step[3]:
            outputs.append(env.reset())
    return outputs


def play_vector(env, calls: int, seed: int | None = 0) -> list[tuple]:
    env.action_space.seed(0)
    outputs = [env.reset(seed=seed)]
    return outputs + [env.step(env.action_space.sample()) for _ in range(calls)]


def same(outputs, expected) -> bool:
    return len(outputs) == len(expected) and all(
        data_equivalence(a, b, exact=True) for a, b in zip(outputs, expected, strict=True)
    )


def bare(outputs) -> list[tuple]:
    """Without what infos say of shifts."""
    return [(*step[:-1], {k: v for k, v in step[-1].items() if "shift/" not in k}) for step in outputs]


# Checkers ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", ["", BETWEEN])
@pytest.mark.parametrize("env_id", BASE_IDS)
@pytest.mark.filterwarnings(*QUIET)
def test_gymnasiums_checker_accepts_a_shifted_environment(env_id, between):
    """Silent failure: an observation outside its space, a reset that is not determined by its seed, data that is reused."""
    check_env(wrapped(env_id, f"{SHIFTS[env_id]} {between}"), skip_render_check=True)
    check_env(gym.make(f"Shifted/{env_id}", shift=f"{SHIFTS[env_id]} {between}"), skip_render_check=True)


@pytest.mark.parametrize("env_id", BASE_IDS)
@pytest.mark.filterwarnings(*QUIET, "ignore:We recommend you to use a symmetric and normalized Box action space:UserWarning")
def test_stable_baselines_checker_accepts_a_shifted_environment(env_id):
    """Silent failure: Stable-Baselines3 refuses, or silently casts, what Gymnasium lets pass."""
    check_sb3(gym.make(f"Shifted/{env_id}", shift=f"{SHIFTS[env_id]} {BETWEEN}"), skip_render_check=True)


def vectors(shift: str, n: int = 3) -> dict[str, gym.vector.VectorEnv]:
    """The same poles as Gymnasium vectorizes them."""
    return {
        "array": VectorShiftWrapper(gym.make_vec("CartPole-v1", n), shift),
        "sync": VectorShiftWrapper(gym.make_vec("CartPole-v1", n, "sync"), shift),
        "inside": SyncVectorEnv([lambda: ShiftWrapper(gym.make("CartPole-v1"), shift, n_envs=n, shift_seed=7) for _ in range(n)]),
    }


@pytest.mark.parametrize("kind", ["array", "sync", "inside"])
@pytest.mark.parametrize("shift", [SHIFTS["CartPole-v1"], f"{GRAVITY} {BETWEEN}"])
def test_a_shifted_vector_environment_keeps_gymnasiums_contract(kind, shift):
    """Silent failure: arrays of another shape or type, infos without masks, buffers that later calls overwrite."""
    env, n = vectors(shift)[kind], 3
    plain = gym.make_vec("CartPole-v1", n, "vector_entry_point" if kind == "array" else "sync")
    assert env.observation_space == gym.vector.utils.batch_space(env.single_observation_space, n)
    assert env.action_space == plain.action_space
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert (env.single_observation_space == plain.single_observation_space) == ("obs" not in shift)
    outputs, again = play_vector(env, 60), play_vector(env, 60)
    assert same(outputs, again)
    expected = play_vector(plain, 60)
    for ours, theirs in zip(outputs, expected, strict=True):
        assert ours[0] in env.observation_space
        assert [(a.shape, a.dtype) for a in ours[:-1]] == [(a.shape, a.dtype) for a in theirs[:-1]]
        info = ours[-1]
        assert set(info) == {k for key in info if key[0] != "_" for k in (key, f"_{key}")}
        for key in [k for k in info if k[0] != "_"]:
            assert info[key].shape == info[f"_{key}"].shape == (n,)
            assert info[f"_{key}"].all()
        assert (info["shift/t"].dtype, info["shift/changed"].dtype, info["shift/gravity"].dtype) == (int, bool, float)
    arrays = [a for step in outputs for a in step[:-1]]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


# Twins ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", BASE_IDS)
def test_a_wrapper_whose_shift_comes_after_the_end_changes_nothing(env_id):
    """Silent failure: wrapping alone moves the environment: rewards of another type, observations cast, one number drawn."""
    family = "LunarLander" if env_id.startswith("LunarLander") else type(gym.make(env_id).unwrapped).__name__
    late = " ".join(f"{p.name}:values={p.default}/{p.tested[1]},at=1e9" for p in BY_CLASS[family].parameters)
    noise = "reward_noise:values=0/1,at=1e9 obs_noise:values=0/1,at=1e9 action_noise:values=0/1,at=1e9"
    plain = play(gym.make(env_id), 150)
    outputs = bare(play(wrapped(env_id, late), 150))
    assert same(outputs, plain)
    assert [type(step[1]) for step in outputs] == [type(step[1]) for step in plain]
    for ours, theirs in zip(play(wrapped(env_id, f"{late} {noise}"), 150), plain, strict=True):
        assert ours[0].tobytes() == theirs[0].tobytes()
        assert ours[1:-1] == theirs[1:-1]


@pytest.mark.parametrize("kind", ["array", "sync", "inside"])
def test_a_vector_wrapper_whose_shift_comes_after_the_end_changes_nothing(kind):
    """Silent failure: as above, with many."""
    late = "gravity:values=9.8/25,at=1e9 push:values=0/4,at=1e9 obs_bias:values=0/1,at=1e9 action_sign:values=1/-1,at=1e9"
    plain = play_vector(gym.make_vec("CartPole-v1", 3, "vector_entry_point" if kind == "array" else "sync"), 80)
    assert same(bare(play_vector(vectors(late)[kind], 80)), plain)


def test_observations_and_actions_that_are_no_arrays_pass_untouched():
    """Silent failure: a tuple comes out as an array, a dictionary as an array of one dictionary."""

    class Odd(gym.Env):
        observation_space = gym.spaces.Tuple((gym.spaces.Discrete(3), gym.spaces.Dict(a=gym.spaces.Discrete(2))))
        action_space = gym.spaces.Dict(push=gym.spaces.MultiDiscrete([2, 3]))

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return (1, {"a": 0}), {"own": 1}

        def step(self, action):
            return (2, {"a": action["push"][1]}), 2, False, False, {"own": 2}

    env = ShiftWrapper(Odd(), "reward_scale:values=1/3,at=1")
    assert env.observation_space == Odd.observation_space
    assert env.reset()[0] == (1, {"a": 0})
    action = {"push": np.array([1, 2])}
    outputs = [env.step(action) for _ in range(2)]
    assert [s[0] for s in outputs] == [(2, {"a": 2})] * 2
    assert [s[1] for s in outputs] == [2, 6]
    assert outputs[0][4]["own"] == 2


# Truth ------------------------------------------------------------------------------------------------------------------------


def test_infos_of_resets_and_steps_have_the_truth():
    """Silent failure: t is that after the step, a change is reported a step late, or not at all where a reset comes between.

    Pendulum cut after 4 steps, by hand: shifts before the 5th step (with a reset between) and before the 7th.
    """
    env = ShiftWrapper(gym.make("Pendulum-v1", max_episode_steps=4), "g:values=10/5,at=4 m:values=1/2,at=6")
    infos = [env.reset(seed=3)[1]]
    actual = []
    for _ in range(9):
        *_, over, info = env.step(env.action_space.sample())
        actual.append((env.unwrapped.g, env.unwrapped.m))
        infos.append(info)
        if over:
            infos.append(env.reset()[1])
            actual.append((env.unwrapped.g, env.unwrapped.m))
    keys = ("shift/t", "shift/regime", "shift/changed", "shift/g", "shift/m")
    assert [tuple(info[key] for key in keys) for info in infos] == [
        (0, 0, False, 10, 1),  # reset
        (0, 0, False, 10, 1),
        (1, 0, False, 10, 1),
        (2, 0, False, 10, 1),
        (3, 0, False, 10, 1),
        (4, 1, True, 5, 1),  # reset: what the first step will have
        (4, 1, True, 5, 1),
        (5, 1, False, 5, 1),
        (6, 3, True, 5, 2),
        (7, 3, False, 5, 2),
        (8, 3, False, 5, 2),  # reset
        (8, 3, False, 5, 2),
    ]
    assert actual == [tuple(info[key] for key in keys[-2:]) for info in infos[1:]]
    assert [type(infos[0][key]) for key in keys] == [int, int, bool, float, float]


def test_infos_of_a_vector_have_the_truth_over_resets():
    """Silent failure: the call that resets a pole counts as a step of the run, or hides the change."""
    env = VectorShiftWrapper(gym.make_vec("CartPole-v1", 2, max_episode_steps=3), "gravity:values=9.8/25,at=6")
    _, info = env.reset(seed=0)
    infos = [info] + [env.step(np.array([0, 1]))[-1] for _ in range(6)]  # 3 steps, a reset, 2 steps
    assert [i["shift/t"].tolist() for i in infos] == [[t] * 2 for t in (0, 0, 2, 4, 6, 6, 8)]
    assert [bool(i["shift/changed"].all()) for i in infos] == [False, False, False, False, True, True, False]
    assert [bool(i["shift/changed"].any()) for i in infos] == [bool(i["shift/changed"].all()) for i in infos]
    assert [float(i["shift/gravity"][0]) for i in infos] == [9.8] * 4 + [25] * 3


def test_shifts_at_reset_and_by_episodes_in_one_environment():
    """Silent failure: a change waits for a reset that has been, or an episode is counted at its beginning."""
    env = ShiftWrapper(
        gym.make("Pendulum-v1", max_episode_steps=3), "g:values=10/5,at=4,apply=reset m:values=1/2,at=2,clock=episodes"
    )
    actual = []
    for _ in range(3):
        env.reset()
        for _ in range(3):
            env.step(np.zeros(1, np.float32))
            actual.append((env.unwrapped.g, env.unwrapped.m))
    assert actual == [(10, 1)] * 6 + [(5, 2)] * 3


def test_a_partial_reset_of_a_vector_leaves_the_others_alone():
    """Silent failure: resetting one sub-environment brings shifts at reset to all."""
    env = VectorShiftWrapper(gym.make_vec("CartPole-v1", 2, "sync"), "gravity:values=9.8/25,at=2,apply=reset")
    env.reset(seed=0)
    env.step(np.array([0, 1]))
    _, info = env.reset(options={"reset_mask": np.array([False, True])})
    assert info["shift/gravity"].tolist() == [9.8, 25]
    *_, info = env.step(np.array([0, 1]))
    assert info["shift/gravity"].tolist() == [9.8, 25]
    assert [e.unwrapped.gravity for e in env.unwrapped.envs] == [9.8, 25]


def test_the_optimizers_updates_can_be_the_clock():
    """Silent failure: clock=updates never moves outside this package."""
    for env in (
        ShiftWrapper(gym.make("CartPole-v1"), "gravity:values=9.8/25,at=2,clock=updates"),
        VectorShiftWrapper(gym.make_vec("CartPole-v1", 1), "gravity:values=9.8/25,at=2,clock=updates"),
    ):
        env.reset(seed=0)
        for expected in (9.8, 9.8, 25):
            action = 0 if isinstance(env, ShiftWrapper) else np.array([0])
            assert np.all(env.step(action)[-1]["shift/gravity"] == expected)
            env.count_update()


# Seeds ------------------------------------------------------------------------------------------------------------------------

RANDOM = "length:profile=poisson,values=0.5/1,every=20 obs_noise:profile=walk,first=0.1,low=0,high=1,sd=0.1,every=5"


@pytest.mark.parametrize("env_id", BASE_IDS)
def test_a_seeded_reset_starts_everything_anew(env_id):
    """Silent failure: an environment begins in the regime, the wind and the push in which it ended before."""
    env = wrapped(env_id, f"{SHIFTS[env_id]} {BETWEEN}")
    first = play(env, 60, seed=4)
    assert first[-1][-1]["shift/regime"] > 0
    assert same(play(env, 60, seed=4), first)
    assert same(play(wrapped(env_id, f"{SHIFTS[env_id]} {BETWEEN}"), 60, seed=4), first)
    other = play(env, 60, seed=5)
    assert not same(other, first)
    assert other[0][1]["shift/t"] == 0


def test_a_reset_without_a_seed_goes_on():
    """Silent failure: every episode starts the clock anew."""
    env = wrapped("CartPole-v1", GRAVITY)
    steps = play(env, 100)
    assert [s[-1]["shift/t"] for s in steps if len(s) == 5] == list(range(100))
    assert sum(len(s) == 2 for s in steps) > 3
    assert [s[-1]["shift/gravity"] for s in steps if len(s) == 5] == [9.8] * 10 + [25.0] * 90


@pytest.mark.parametrize("kind", ["array", "sync"])
def test_a_seeded_reset_of_a_vector_starts_everything_anew(kind):
    """Silent failure: as above, with many."""
    shift = f"{SHIFTS['CartPole-v1']} {RANDOM}"
    env = vectors(shift)[kind]
    first = play_vector(env, 60, seed=4)
    assert same(play_vector(env, 60, seed=4), first)
    assert same(play_vector(vectors(shift)[kind], 60, seed=4), first)
    assert play_vector(env, 60, seed=None)[0][1]["shift/t"].min() > 100
    if kind == "sync":
        listed = play_vector(env, 60, seed=[4, 5, 6])
        assert same(listed, first)


def test_the_times_of_shifts_do_not_move_the_environment():
    """Silent failure: profile and environment share a generator: another profile is another set of episodes."""
    starts = []
    for shift in ("reward_scale:profile=none", "reward_scale:profile=poisson,values=1/2,every=2", "reward_noise:values=0/1,at=0"):
        outputs = play(wrapped("CartPole-v1", shift), 100, seed=9)
        starts.append([s[0].tolist() for s in outputs])
    assert starts[0] == starts[1] == starts[2]


def test_environments_that_train_together_shift_together():
    """Silent failure: with a seed each, each of them has random times of its own; with a clock each, n times too late."""
    shift = "l:profile=poisson,values=0.5/1/2/3,every=30 obs_noise:values=0.1,at=none g:values=10/25,at=12"

    first, second = (ShiftWrapper(gym.make("Pendulum-v1"), shift, n_envs=4, shift_seed=77) for _ in range(2))
    one, other = play(first, 60, seed=1), play(second, 60, seed=2)
    assert [s[-1] for s in one] == [s[-1] for s in other]
    assert len({s[-1]["shift/l"] for s in one}) == 4
    assert [s[-1]["shift/g"] for s in one[1:]] == [10.0] * 3 + [25.0] * 57
    noise = [a[0] - b[0] for a, b in zip(one, other, strict=True)]
    assert all(np.abs(n).max() > 0 for n in noise)


def test_what_one_of_several_environments_cannot_know_is_refused():
    """Silent failure: each environment counts its own episodes, or draws its own times, and they shift one after another."""
    env = gym.make("CartPole-v1")
    with pytest.raises(ValueError, match="clock=episodes of gravity depends on all 4 environments: use VectorShiftWrapper"):
        ShiftWrapper(env, "gravity:values=9.8/25,at=3,clock=episodes", n_envs=4)
    with pytest.raises(
        ValueError, match="random times of gravity differ between 4 environments: give all of them the same shift_seed"
    ):
        ShiftWrapper(env, "gravity:profile=poisson,values=9.8/25,every=30", n_envs=4)
    with pytest.raises(ValueError, match="n_envs must be at least 1, got 0"):
        ShiftWrapper(env, GRAVITY, n_envs=0)


# Registered ids ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", BASE_IDS)
def test_registered_twins_are_what_they_say(env_id):
    """Silent failure: the twin has no time limit, or two, or goes by the name of the environment that it is not."""
    base, spec = gym.spec(env_id), gym.spec(f"Shifted/{env_id}")
    assert (spec.max_episode_steps, spec.reward_threshold) == (base.max_episode_steps, base.reward_threshold)
    env = gym.make(f"Shifted/{env_id}", shift=SHIFTS[env_id])
    assert env.spec.id == f"Shifted/{env_id}"
    assert env.unwrapped.spec.id == f"Shifted/{env_id}"
    assert env.spec.max_episode_steps == base.max_episode_steps
    limits = [w for w in layers(env) if isinstance(w, gym.wrappers.TimeLimit)]
    assert len(limits) == 1
    assert type(env.unwrapped) is type(gym.make(env_id).unwrapped)
    outputs = play(env, 60)
    assert same(outputs, play(wrapped(env_id, SHIFTS[env_id]), 60))
    assert same(bare(play(gym.make(f"Shifted/{env_id}"), 60)), play(gym.make(env_id), 60))


def layers(env) -> list[gym.Env]:
    chain = [env]
    while isinstance(chain[-1], gym.Wrapper):
        chain.append(chain[-1].env)
    return chain


@pytest.mark.parametrize("env_id", BASE_IDS)
def test_an_environment_is_made_again_from_its_spec(env_id):
    """Silent failure: the copy that a library makes for evaluation does not shift, or shifts twice."""
    for env in (
        gym.make(f"Shifted/{env_id}", shift=SHIFTS[env_id], n_envs=1, shift_seed=5),
        ShiftWrapper(gym.make(env_id), SHIFTS[env_id], shift_seed=5),
    ):
        outputs = play(env, 40)
        for spec in (env.spec, pickle.loads(pickle.dumps(env.spec)), gym.envs.registration.EnvSpec.from_json(env.spec.to_json())):
            again = gym.make(spec)
            assert same(play(again, 40), outputs)
            assert [type(w) for w in layers(again)].count(ShiftWrapper) == 1
            assert again.spec == env.spec


def test_a_vector_is_made_again_from_its_spec():
    """Silent failure: as above, with many."""
    env = gym.make_vec("envs:Shifted/CartPole-v1", 3, shift=GRAVITY)
    assert isinstance(env, VectorShiftWrapper)
    assert env.spec.id == "Shifted/CartPole-v1"
    again = gym.make_vec(env.spec)
    assert same(play_vector(again, 40), play_vector(env, 40))
    assert again.num_envs == 3


def test_a_pickled_environment_goes_on_where_it_was():
    """Silent failure: the copy has lost its clock, its noise or its dynamics."""
    env = wrapped("CartPole-v1", f"{GRAVITY} {BETWEEN} {RANDOM.split()[0]}")
    play(env, 25)
    copy = pickle.loads(pickle.dumps(env))
    assert same(play(copy, 40, seed=None), play(env, 40, seed=None))


def test_every_way_to_the_same_poles_shifts_alike():
    """Silent failure: one of Gymnasium's ways to vectorize ignores the shift."""
    for mode in ("sync", "async", "vector_entry_point"):
        env = gym.make_vec("envs:Shifted/CartPole-v1", 2, mode, shift="gravity:values=9.8/25,at=8", n_envs=2)
        values = [step[-1]["shift/gravity"].tolist() for step in play_vector(env, 8)[1:]]
        env.close()
        assert values == [[9.8] * 2] * 4 + [[25.0] * 2] * 4
    with pytest.raises(ValueError, match="n_envs must be num_envs, 2, or left out, got 3"):
        gym.make_vec("envs:Shifted/CartPole-v1", 2, shift=GRAVITY, n_envs=3)


# Others' training loops ---------------------------------------------------------------------------------------------------------


class TruthRecorder(BaseCallback):
    """Records the truth that Stable-Baselines3 gets."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple]] = []

    def _on_step(self) -> bool:
        self.rows.append([(i["shift/t"], i["shift/gravity"], i["shift/changed"]) for i in self.locals["infos"]])
        return True


@pytest.mark.parametrize("algorithm", [sb3.A2C, sb3.PPO], ids=["A2C", "PPO"])
def test_stable_baselines_learns_in_a_shifted_environment(algorithm):
    """Silent failure: through Monitor and VecEnv the shift comes n_envs times too late, or its truth gets lost."""
    env = make_vec_env("envs:Shifted/CartPole-v1", 4, seed=1, env_kwargs={"shift": "gravity:values=9.8/25,at=64", "n_envs": 4})
    recorder = TruthRecorder()
    extra = {"batch_size": 32, "n_epochs": 1} if algorithm is sb3.PPO else {}
    algorithm("MlpPolicy", env, n_steps=8, device="cpu", seed=1, **extra).learn(128, callback=recorder)
    assert [t for t, _, _ in (row[0] for row in recorder.rows)] == list(range(0, 128, 4))
    assert recorder.rows == [[(4 * call, 9.8 if call < 16 else 25.0, call == 16)] * 4 for call in range(32)]


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_a_loop_like_cleanrls_trains_in_a_shifted_environment(mode):
    """Silent failure: Gymnasium's statistics of episodes, around shifted environments, miss or miscount them."""
    kwargs = {"shift": "force_mag:values=10/-10,at=120", "n_envs": 2}
    envs = gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec("envs:Shifted/CartPole-v1", 2, mode, **kwargs))
    observations, _ = envs.reset(seed=1)
    lengths, forces = [], []
    for _ in range(120):
        actions = (observations[:, 2] + observations[:, 3] > 0).astype(int)
        observations, *_, infos = envs.step(actions)
        forces.append(infos["shift/force_mag"].tolist())
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    assert forces[0] == [10, 10]
    assert forces[-1] == [-10, -10]
    assert len(lengths) > 4
    assert np.mean(lengths[2:]) < 20  # a policy that balanced the pole tips it over once the force has turned
    envs.close()


def test_asynchronous_environments_shift_in_their_own_processes():
    """Silent failure: a worker's environment is made without its shift."""
    env = AsyncVectorEnv([lambda: ShiftWrapper(gym.make("CartPole-v1"), GRAVITY, n_envs=2) for _ in range(2)])
    outputs = play_vector(env, 12)
    env.close()
    inside = SyncVectorEnv([lambda: ShiftWrapper(gym.make("CartPole-v1"), GRAVITY, n_envs=2) for _ in range(2)])
    assert same(outputs, play_vector(inside, 12))
    assert outputs[-1][-1]["shift/gravity"].tolist() == [25, 25]


def test_what_passes_between_can_shift_in_asynchronous_environments_from_outside():
    """Silent failure: refused altogether, although only the dynamics are out of reach."""
    env = VectorShiftWrapper(AsyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2), "reward_scale:values=1/3,at=4")
    assert [step[1].tolist() for step in play_vector(env, 4)[1:]] == [[1, 1]] * 2 + [[3, 3]] * 2
    env.close()


# Bad input ---------------------------------------------------------------------------------------------------------------------


def test_dynamics_out_of_reach_are_refused_with_a_remedy():
    """Silent failure: attributes are set in this process, and the environments are in others."""
    env = AsyncVectorEnv([lambda: gym.make("CartPole-v1")])
    with pytest.raises(
        ValueError, match="dynamics of AsyncVectorEnv are out of reach: use SyncVectorEnv, or ShiftWrapper with n_envs"
    ):
        VectorShiftWrapper(env, GRAVITY)
    env.close()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_other_ways_to_reset_are_refused(mode):
    """Silent failure: which calls only reset is read from the wrong step, and the clock is off."""
    env = SyncVectorEnv([lambda: gym.make("CartPole-v1")], autoreset_mode=mode)
    with pytest.raises(
        ValueError, match=r"autoreset must be on the next step, got .*: make the vector environment with NEXT_STEP"
    ):
        VectorShiftWrapper(env, GRAVITY)


class Spaces(gym.Env):
    """An environment of given spaces, never stepped."""

    def __init__(self, observation, action) -> None:
        self.observation_space, self.action_space = observation, action


BOX, FEW = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)


@pytest.mark.parametrize(
    ("observation", "action", "shift", "message"),
    [
        (FEW, FEW, "obs_gain:values=1/2,at=1", "Spaces cannot shift obs_gain: observations must be a Box of floats"),
        (gym.spaces.Box(0, 255, (2,), np.uint8), FEW, "obs_bias:values=0/1,at=1", "observations must be a Box of floats"),
        (
            BOX,
            gym.spaces.MultiDiscrete([2, 2]),
            "action_sign:values=1/-1,at=1",
            "Spaces cannot shift action_sign: actions must be Disc",
        ),
        (BOX, gym.spaces.MultiBinary(3), "action_noise:values=0/1,at=1", "actions must be Discrete, or a bounded Box of floats"),
        (BOX, gym.spaces.Box(-np.inf, np.inf, (1,)), "action_noise:values=0/1,at=1", "a bounded Box of floats"),
        (BOX, BOX, "action_permutation:values=0/1,at=1", "Spaces cannot shift action_permutation: actions must be Discrete"),
        (BOX, FEW, "gravity:values=1/2,at=1", "Spaces has no parameter 'gravity' that can shift"),
        (BOX, FEW, "reward_scal:values=1/2,at=1", "did you mean reward_scale?"),
    ],
)
def test_a_shift_that_the_spaces_do_not_allow_is_refused(observation, action, shift, message):
    """Silent failure: the shift is accepted and does nothing."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the message is checked below
        ShiftWrapper(Spaces(observation, action), shift)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mistake_in_a_registered_id_is_reported_in_one_line():
    """Silent failure: Gymnasium's traceback names its own internals, not the shift."""
    with pytest.raises(ValueError, match=r"^CartPole-v1 has no parameter 'gravty' that can shift: did you mean gravity"):
        gym.make("envs:Shifted/CartPole-v1", shift="gravty:values=9.8/25,at=1")
    with pytest.raises(ValueError, match="each parameter may shift once, got gravity twice"):
        gym.make("envs:Shifted/CartPole-v1", shift=[GRAVITY, GRAVITY])
