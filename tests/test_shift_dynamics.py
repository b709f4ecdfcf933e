"""Every parameter of every environment, against a twin that does not shift and one whose attributes are set by hand.

Twins have the same seed and the same actions. They are equal bit for bit up to the shift, and different in the very step of
the shift: all of these environments integrate before they observe, so that no effect comes an observation late.
"""

from __future__ import annotations

import itertools
import math
import pickle
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from envs import ShiftWrapper, VectorShiftWrapper, make
from envs.dynamics import BY_CLASS, with_dynamics
from envs.dynamics.base import PerEnvDynamics
from envs.dynamics.cartpole import CartPoleArrays
from envs.dynamics.parameter import Parameter
from envs.parameters import INTERFACE, parameters_of
from envs.shifts.shift import check, parse, parse_all
from tests.builders import BASE_IDS

with warnings.catch_warnings():
    # Box2D's C module warns while it is being built; a warning turned into an error there is a segmentation fault.
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401

from gymnasium.envs.box2d import lunar_lander

AT, CALLS, SEED = 7, 12, 10
"""The call in which the shift comes, from 0; how many calls there are; the seed of all twins.

With this seed the random action at the shift is another one than the agent's in every environment.
"""

# What twins do and show -------------------------------------------------------------------------------------------------------


def action_of(env_id: str, parameter: str, value: float, call: int):
    """Actions that make every parameter visible at the shift, and move the environment before."""
    if env_id == "CartPole-v1":
        return call % 2
    if env_id in ("Acrobot-v1", "MountainCar-v0"):
        return (0, 2, 1)[call % 3] if call != AT else 0
    if env_id in ("Pendulum-v1", "MountainCarContinuous-v0"):
        return np.array([1.7 - 0.1 * call], np.float32)
    engine = {"main_engine_power": 2, "side_engine_power": 3, "failed_engine": int(value)}.get(parameter, 2)
    fired = engine if call == AT else (2, 1, 0, 3)[call % 4]
    if env_id == "LunarLander-v3":
        return fired
    return np.array([0.8 if fired == 2 else -1.0, {1: -0.9, 3: 0.9}.get(fired, 0.2)], np.float32)


def outputs_of(env: gym.Env, env_id: str, parameter: str, value: float, by_hand=None) -> list[tuple]:
    """Observation, reward, terminated and truncated of each call; `by_hand(env, action, call)` may change the twin."""
    env.reset(seed=SEED)
    outputs = []
    for call in range(CALLS):
        action = action_of(env_id, parameter, value, call)
        if by_hand is not None:
            action = by_hand(env.unwrapped, action, call)
        observation, reward, terminated, truncated, _ = env.step(action)
        outputs.append((np.asarray(observation).tobytes(), float(reward), terminated, truncated))
        assert not terminated
        assert not truncated
    return outputs


def first_difference(outputs, expected) -> int | None:
    return next((call for call, (a, b) in enumerate(zip(outputs, expected, strict=True)) if a != b), None)


def name(env_id: str) -> str:
    return "LunarLander" if env_id.startswith("LunarLander") else type(gym.make(env_id).unwrapped).__name__


def values_of(parameter: Parameter) -> list[float]:
    """Both ends of the tested range, and every value where there are few."""
    values = range(4) if parameter.name == "failed_engine" else parameter.tested
    return [float(value) for value in values if value != parameter.default]


ROWS = [
    (env_id, p.name, p.default, value) for env_id in BASE_IDS for p in BY_CLASS[name(env_id)].parameters for value in values_of(p)
]

# Attributes set by hand -------------------------------------------------------------------------------------------------------


def set_cartpole(env, parameter, value):
    setattr(env, parameter, value)
    env.total_mass = env.masscart + env.masspole
    env.polemass_length = env.masspole * env.length


def set_lander(env, parameter, value):
    setattr(env, parameter, value)
    env.world.gravity = (0, env.gravity)


def set_acrobot(env, parameter, value):
    number = parameter[-1]
    if parameter == "torque":
        env.AVAIL_TORQUE = [-value, 0.0, value]
    elif parameter.startswith("link_mass"):
        setattr(env, f"LINK_MASS_{number}", value)
    else:
        setattr(env, f"LINK_LENGTH_{number}", value)
        setattr(env, f"LINK_COM_POS_{number}", 0.5 * value)


WIND = ("wind_power", "turbulence_power")
SETTERS = {
    "CartPole-v1": set_cartpole,
    "Acrobot-v1": set_acrobot,
    "LunarLander-v3": set_lander,
    "LunarLanderContinuous-v3": set_lander,
}


def by_hand(env_id, parameter, value, monkeypatch):
    """What changes a plain environment at the shift, without this package."""

    def change(env, action, call):
        if call == AT and parameter.endswith("engine_power"):
            monkeypatch.setattr(lunar_lander, parameter.upper(), value)
        elif call == AT and parameter not in ("push", "failed_engine"):
            SETTERS.get(env_id, setattr)(env, parameter, value)
        if call >= AT and parameter == "push":
            env.force_mag = 10 + value if action == 1 else 10 - value
        if call >= AT and parameter == "failed_engine":
            return without(action, int(value))
        return action

    return change


def without(action, engine):
    """The action with one engine off."""
    if np.ndim(action) == 0:
        return 0 if action == engine else action
    main, side = action
    off = {1: side <= -0.5, 2: False, 3: side >= 0.5}[engine]
    return np.array([0.0 if engine == 2 else main, 0.0 if off else side], np.float32)


@pytest.mark.parametrize(("env_id", "parameter", "default", "value"), ROWS)
def test_a_parameter_acts_from_the_step_of_its_shift_on(env_id, parameter, default, value, monkeypatch):
    """Silent failure: a product of masses, a world or a module keeps the old value, and the shift does nothing, or only later."""
    wind = {"enable_wind": True, "wind_power": 0.0, "turbulence_power": 0.0} if parameter in WIND else {}
    shift = f"{parameter}:values={default}/{value},at={AT}"
    shifted = outputs_of(ShiftWrapper(gym.make(env_id, **wind), shift), env_id, parameter, value)
    plain = outputs_of(gym.make(env_id, **wind), env_id, parameter, value)
    changed = outputs_of(gym.make(env_id, **wind), env_id, parameter, value, by_hand(env_id, parameter, value, monkeypatch))
    assert first_difference(shifted, plain) == AT
    assert first_difference(shifted, changed) is None


@pytest.mark.parametrize(("env_id", "parameter", "default", "value"), [row for row in ROWS if row[0] == "CartPole-v1"])
@pytest.mark.parametrize("kind", ["vector", "sync", "batch"])
def test_poles_side_by_side_shift_as_one_alone_does(kind, env_id, parameter, default, value):
    """Silent failure: array physics takes another parameter than scalar physics, or a call late."""
    n, runs = 3, 2
    shift = f"{parameter}:values={default}/{value},at={AT * n}"
    actions = np.array([[(call + i) % 2 for i in range(n)] for call in range(CALLS)])

    def outputs(shifts: str) -> list[tuple[np.ndarray, np.ndarray]]:
        if kind == "batch":
            batch = make(env_id, (3, SEED), n, parse_all(shifts))
            batch.reset()
            steps = [batch.step(np.stack([a] * runs)) for a in actions]
            assert all(s.valid.all() for s in steps[: AT + 1])
            return [(s.observations, s.rewards) for s in steps]
        mode = "vector_entry_point" if kind == "vector" else "sync"
        env = gym.make_vec(env_id, n, mode)
        env = VectorShiftWrapper(env, shifts) if shifts else env
        env.reset(seed=SEED)
        return [env.step(a)[:2] for a in actions]

    shifted, plain = outputs(shift), outputs("")
    for call, ((a, _), (b, _)) in enumerate(zip(shifted, plain, strict=True)):
        same = (a == b).all(-1)
        assert same.all() if call < AT else not same.any()
        assert a.dtype == b.dtype
    before = np.moveaxis(plain[AT - 1][0].reshape(-1, 4).astype(float), -1, 0)
    acted = np.resize(actions[AT], before.shape[1])
    np.testing.assert_allclose(shifted[AT][0].reshape(-1, 4), cartpole(before, acted, {parameter: value}).T, rtol=2e-5, atol=2e-6)


def cartpole(state, action, changed):
    """One step of Barto, Sutton and Anderson's cart and pole (1983) by Euler's method, as in Gymnasium, with a push."""
    p = {"gravity": 9.8, "force_mag": 10, "length": 0.5, "masspole": 0.1, "masscart": 1, "tau": 0.02, "push": 0} | changed
    x, v, theta, omega = state
    force = np.where(action == 1, p["force_mag"], -p["force_mag"]) + p["push"]
    total = p["masscart"] + p["masspole"]
    common = (force + p["masspole"] * p["length"] * omega**2 * np.sin(theta)) / total
    turning = (p["gravity"] * np.sin(theta) - np.cos(theta) * common) / (
        p["length"] * (4 / 3 - p["masspole"] * np.cos(theta) ** 2 / total)
    )
    rolling = common - p["masspole"] * p["length"] * turning * np.cos(theta) / total
    return np.array([x + p["tau"] * v, v + p["tau"] * rolling, theta + p["tau"] * omega, omega + p["tau"] * turning])


@pytest.mark.parametrize(
    ("env_id", "parameter", "default", "value"), [r for r in ROWS if r[0] in ("LunarLander-v3", "Acrobot-v1")]
)
def test_environments_stepped_one_by_one_shift_together(env_id, parameter, default, value):
    """Silent failure: only the first environment of a batch shifts, or each by a clock of its own."""
    n = 2

    def outputs(shifts: str) -> list[np.ndarray]:
        batch = make(env_id, (3, SEED), n, parse_all(shifts))
        batch.reset()
        return [batch.step(np.full((2, n), action_of(env_id, parameter, value, call))).observations for call in range(CALLS)]

    shifted, plain = outputs(f"{parameter}:values={default}/{value},at={AT * n}"), outputs("")
    for call, (a, b) in enumerate(zip(shifted, plain, strict=True)):
        same = (a == b).all(-1)
        assert same.all() if call < AT else not same.any() or call > AT


# Values read back ------------------------------------------------------------------------------------------------------------


def actual_value(env, parameter):
    """What the environment's own attributes say."""
    if parameter == "gravity" and hasattr(env, "world"):
        return env.world.gravity[1]
    if parameter == "torque":
        assert env.AVAIL_TORQUE[0] == -env.AVAIL_TORQUE[2]
        return env.AVAIL_TORQUE[2]
    return getattr(env, parameter.upper() if parameter.startswith("link") else parameter)


@pytest.mark.parametrize("env_id", BASE_IDS)
def test_defaults_are_the_environments_own_and_every_value_reads_back(env_id):
    """Silent failure: the list of what can shift has another default than Gymnasium has; a set value is not in force."""
    own = BY_CLASS[name(env_id)].parameters
    env = with_dynamics(gym.make(env_id))
    env.reset(seed=0)
    dynamics = PerEnvDynamics([env])
    for parameter in own:
        assert dynamics.get(parameter.name).tolist() == [parameter.default]
        for value in (*parameter.tested, parameter.low, parameter.high, parameter.default):
            dynamics.set(parameter.name, np.array([value]))
            assert dynamics.get(parameter.name).tolist() == [value]
            if (
                parameter.name not in ("push", "wind_power", "turbulence_power", "failed_engine")
                and "engine" not in parameter.name
            ):
                assert actual_value(env.unwrapped, parameter.name) == pytest.approx(value, rel=1e-6)
    if env_id == "CartPole-v1":
        dynamics.set("masspole", np.array([2.0]))
        dynamics.set("length", np.array([3.0]))
        dynamics.set("masscart", np.array([5.0]))
        assert (env.unwrapped.total_mass, env.unwrapped.polemass_length) == (7.0, 6.0)


def test_defaults_of_engines_are_those_of_gymnasiums_module():
    """Silent failure: a new version of Gymnasium has other engines than the list."""
    defaults = {p.name: p.default for p in BY_CLASS["LunarLander"].parameters}
    assert defaults["main_engine_power"] == lunar_lander.MAIN_ENGINE_POWER
    assert defaults["side_engine_power"] == lunar_lander.SIDE_ENGINE_POWER


def test_each_pole_of_a_vector_has_its_own_values():
    """Silent failure: a value for one pole is everyone's."""
    poles = CartPoleVectorEnv(3)
    arrays = CartPoleArrays(poles)
    for parameter in BY_CLASS["CartPoleVectorEnv"].parameters:
        np.testing.assert_array_equal(arrays.get(parameter.name), [parameter.default] * 3)
        arrays.set(parameter.name, np.array([1.0, 2.0, 3.0]))
        np.testing.assert_array_equal(arrays.get(parameter.name), [1, 2, 3])
    np.testing.assert_array_equal(poles.total_mass, [2, 4, 6])
    np.testing.assert_array_equal(poles.polemass_length, [1, 4, 9])
    poles.reset(seed=0)
    arrays.before_step(np.array([1, 0, 1]))
    np.testing.assert_array_equal(poles.force_mag, [2, 0, 6])  # F + push to the right, F − push to the left
    arrays.set("push", np.zeros(3))
    np.testing.assert_array_equal(poles.force_mag, [1, 2, 3])


def test_two_ways_to_the_dynamics_of_one_environment_agree():
    """Silent failure: a second wrapper has a push of its own, and the two undo each other."""
    env = with_dynamics(gym.make("CartPole-v1"))
    assert with_dynamics(gym.wrappers.TimeLimit(env, 10)).env is env
    one, other = PerEnvDynamics([env]), PerEnvDynamics([with_dynamics(env)])
    one.set("push", np.array([3.0]))
    assert other.get("push").tolist() == [3.0]
    batch = make("CartPole-v1", (0,), 2, parse_all("push:values=0/3,at=0"))
    assert batch.dynamics().get("push").tolist() == [3.0, 3.0]


# LunarLander -----------------------------------------------------------------------------------------------------------------


def lander(shift: str, **kwargs) -> gym.Env:
    env = ShiftWrapper(gym.make("LunarLander-v3", **kwargs), shift)
    env.reset(seed=SEED)
    return env


def powers() -> tuple[float, float]:
    """What every lander in the process has for engines."""
    return lunar_lander.MAIN_ENGINE_POWER, lunar_lander.SIDE_ENGINE_POWER


def test_gravity_pulls_in_the_very_next_step():
    """Silent failure: gravity is that of the world built at reset, until the next one.

    Speeds are observed in units of 50/(400/30/2) m/s, a step takes 1/50 s: Δg = 8 gives 8/50 · (400/30/2)/50 at once.
    """
    free, light = lander("gravity:values=-10/-10,at=3"), lander("gravity:values=-10/-2,at=3")
    for _ in range(3):
        assert free.step(0)[0][3] == light.step(0)[0][3]
    gain = light.step(0)[0][3] - free.step(0)[0][3]
    assert gain == pytest.approx(8 / 50 * (400 / 30 / 2) / 50, rel=1e-3)


def test_engines_of_other_landers_keep_their_power():
    """Silent failure: the power of one lander's engines is a global that every other lander then has."""
    usual = powers()
    weak = lander("main_engine_power:values=13/2,at=0 side_engine_power:values=0.6/0,at=0")
    plain, beside = gym.make("LunarLander-v3"), gym.make("LunarLander-v3")
    plain.reset(seed=SEED)
    beside.reset(seed=SEED)
    for call in range(20):
        weak.step(2 + call % 2)
        assert plain.step(2 + call % 2)[0].tolist() == beside.step(2 + call % 2)[0].tolist()
        assert usual == powers()
    with pytest.raises(AssertionError, match="invalid"):
        weak.step(99)
    assert usual == powers()


@pytest.mark.parametrize(("engine", "fuel"), [(1, 0.03), (2, 0.3), (3, 0.03)])
def test_a_failed_engine_burns_no_fuel(engine, fuel):
    """Silent failure: an engine without thrust still costs, and the reward shows which action failed.

    Reward is a difference of potentials less fuel: doing nothing and firing a failed engine move and pay alike.
    """
    idle = lander("failed_engine:profile=none")
    failed = lander(f"failed_engine:values={engine},at=none")
    powerless = lander("main_engine_power:values=0,at=none side_engine_power:values=0,at=none")
    for call in range(5):
        pay = idle.step(0)[1]
        assert failed.step(engine)[1] == pay
        assert powerless.step(engine)[1] == pytest.approx(pay - fuel, abs=1e-6), f"call {call}"


@pytest.mark.parametrize("engine", [1, 2, 3])
def test_a_failed_engine_of_the_continuous_lander_is_off_and_the_others_are_not(engine):
    """Silent failure: left and right are mistaken for each other, or a failed main engine takes the side engines with it."""
    actions = {1: (0.0, -0.9), 2: (0.7, 0.0), 3: (0.0, 0.9)}
    for fired, action in actions.items():
        failed = lander(f"failed_engine:values={engine},at=none", continuous=True)
        idle, plain = (lander("failed_engine:profile=none", continuous=True) for _ in range(2))
        outputs = failed.step(np.array(action, np.float32))[:2]
        expected = (idle.step(np.zeros(2, np.float32)) if fired == engine else plain.step(np.array(action, np.float32)))[:2]
        assert outputs[0].tolist() == expected[0].tolist()
        assert outputs[1] == expected[1]


@pytest.mark.parametrize("parameter", ["wind_power", "turbulence_power"])
def test_wind_that_rises_in_an_episode_takes_no_random_number(parameter):
    """Silent failure: the wind draws from the environment's generator, and all later terrains are others than the twin's."""
    windy, calm = lander(f"{parameter}:values=0/15,at={AT}"), lander(f"{parameter}:profile=none")
    for episode in range(3):
        for call in range(40):
            outputs, expected = windy.step(0), calm.step(0)
            blows = episode > 0 or call >= AT
            assert (outputs[0].tolist() != expected[0].tolist()) == blows
        states = [env.unwrapped.np_random.bit_generator.state for env in (windy, calm)]
        assert states[0] == states[1]
        windy.reset()
        calm.reset()
        assert windy.unwrapped.sky_polys == calm.unwrapped.sky_polys


def test_wind_blows_differently_in_every_episode_and_the_same_with_the_same_seed():
    """Silent failure: every episode begins at the same place in the gusts, and the wind can be learned by heart."""

    def places(seed: int) -> list[int]:
        env = ShiftWrapper(gym.make("LunarLander-v3"), "wind_power:values=9,at=none")
        phases = []
        for episode in range(4):
            env.reset(seed=seed if episode == 0 else None)
            phases.append(env.unwrapped.wind_idx)
        return phases

    assert len(set(places(1))) == 4
    assert places(1) == places(1)
    assert places(1)[0] != places(2)[0]


def test_a_lander_made_with_wind_keeps_its_own_wind_until_that_shifts():
    """Silent failure: wrapping a windy lander stills its wind, or its random numbers go astray when the wind dies down."""
    wind = {"enable_wind": True, "wind_power": 12.0, "turbulence_power": 1.0}
    env = lander(f"wind_power:values=12/0,at={AT}", **wind)
    plain = gym.make("LunarLander-v3", **wind)
    plain.reset(seed=SEED)
    assert env.unwrapped.wind_power == 12
    assert env.unwrapped.turbulence_power == 1
    for call in range(30):
        assert (env.step(0)[0].tolist() == plain.step(0)[0].tolist()) == (call < AT)
    env.reset()
    plain.reset()
    assert env.unwrapped.sky_polys == plain.unwrapped.sky_polys
    assert env.unwrapped.np_random.bit_generator.state == plain.unwrapped.np_random.bit_generator.state
    other = lander("gravity:values=-10/-9,at=1000", **wind)
    assert (other.unwrapped.enable_wind, other.unwrapped.wind_power) == (True, 12)


def test_a_lander_of_a_class_of_ones_own_shifts_too():
    """Silent failure: the engines of a subclass are looked for in the subclass's module."""

    class Own(lunar_lander.LunarLander):
        pass

    env = with_dynamics(Own())
    env.reset(seed=0)
    dynamics = PerEnvDynamics([env])
    dynamics.set("main_engine_power", np.array([0.0]))
    assert "MAIN_ENGINE_POWER" not in vars(sys.modules[Own.__module__])
    env.step(2)


def test_a_lander_from_a_pickle_goes_on_with_the_values_in_force():
    """Silent failure: Gymnasium makes a pickled lander anew, with the usual gravity, while the truth says another."""
    env = lander("gravity:values=-10/-3,at=2 main_engine_power:values=13/5,at=2")
    for _ in range(4):
        env.step(0)
    copy = pickle.loads(pickle.dumps(env))
    _, info = copy.reset()
    assert (info["shift/t"], info["shift/gravity"], copy.unwrapped.world.gravity[1]) == (4, -3, -3)
    env.reset()
    copy.unwrapped.np_random = env.unwrapped.np_random
    assert copy.step(2)[4] == env.step(2)[4]


# What passes between -----------------------------------------------------------------------------------------------------------

FIRST = {  # what the parameter does, one number at a time: (rewards, observations) → the same after the shift
    "reward_scale": lambda v, r, o: (r * v, o),
    "reward_sign": lambda v, r, o: (-r, o),
    "reward_offset": lambda v, r, o: (r + v, o),
    "obs_gain": lambda v, r, o: (r, [x * v for x in o]),
    "obs_bias": lambda v, r, o: (r, [x + v for x in o]),
    "obs_dropout": lambda v, r, o: (r, [0.0 if i + 1 == v else x for i, x in enumerate(o)]),
    "obs_permutation": lambda v, r, o: (r, [o[i] for i in nth_ordering(int(v), len(o))]),
}


def nth_ordering(k: int, n: int) -> tuple[int, ...]:
    """The k-th ordering in lexicographic order, by counting."""
    return next(itertools.islice(itertools.permutations(range(n)), k, None))


def fitting(env: gym.Env, shift: str) -> bool:
    try:
        check(parse_all(shift), parameters_of(env), env, "here")
    except ValueError:
        return False
    return True


def everywhere() -> list[tuple[str, str, float]]:
    """Every environment × parameter × end of its tested range; places are limited to those that the environment has."""
    rows = []
    for env_id in BASE_IDS:
        env = gym.make(env_id)
        sensors, actions = env.observation_space.shape[0], getattr(env.action_space, "n", 0)
        most = {"obs_dropout": sensors, "obs_permutation": math.factorial(sensors) - 1}
        most |= {"action_permutation": math.factorial(actions) - 1}
        known = parameters_of(env)
        for parameter in INTERFACE:
            if parameter.name in known:
                rows += [(env_id, parameter.name, min(v, most.get(parameter.name, v))) for v in values_of(parameter)]
    return rows


@pytest.mark.parametrize(("env_id", "parameter", "value"), everywhere())
def test_what_passes_between_agent_and_environment_changes_from_the_shift_on(env_id, parameter, value):
    """Silent failure: noise that draws before it sets in, a sign that comes a step late, a bias that moves the state itself."""
    default = next(p.default for p in INTERFACE if p.name == parameter)
    shifted = ShiftWrapper(gym.make(env_id), f"{parameter}:values={default}/{value},at={AT}")
    plain = gym.make(env_id)
    assert fitting(plain, f"{parameter}:values={default}/{value},at={AT}")
    shifted.reset(seed=SEED)
    plain.reset(seed=SEED)
    for call in range(AT + 3):
        action = action_of(env_id, parameter, value, call)
        ours, reward, *_ = shifted.step(action)
        theirs, expected, *_ = plain.step(action)
        assert ours.dtype == theirs.dtype
        if call < AT:
            assert ours.tobytes() == theirs.tobytes()
            assert reward == expected
        elif parameter in FIRST:
            expected_reward, expected_observation = FIRST[parameter](value, float(expected), theirs.tolist())
            assert reward == pytest.approx(expected_reward, rel=1e-12)
            np.testing.assert_allclose(ours, np.array(expected_observation, np.float32), rtol=1e-6)
        elif parameter == "reward_noise":
            assert ours.tobytes() == theirs.tobytes()
            assert reward != expected
        elif parameter == "obs_noise":
            assert (ours != theirs).all()
            assert reward == expected
        else:  # an action: the state itself goes another way
            assert ours.tobytes() != theirs.tobytes()
        if call == AT and parameter in FIRST:
            assert (reward, *ours) != (expected, *theirs)


def test_every_parameter_is_in_one_of_the_tables():
    """Silent failure: a new parameter is listed and never tried."""
    covered = {(row[0], row[1]) for row in ROWS} | {row[:2] for row in everywhere()}
    expected = {(env_id, p) for env_id in BASE_IDS for p in parameters_of(gym.make(env_id))}
    assert covered == expected
    assert parse("gravity:values=9.8/25,at=1").parameter in {row[1] for row in ROWS}
