"""What `rl-rmsprop envs` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, fields

import gymnasium as gym
from rich.console import Console
from rich.table import Table

import envs
from envs.dynamics import family_of, with_dynamics
from envs.dynamics.base import DynamicsWrapper, layers
from envs.parameters import parameters_of
from envs.registration import make_env
from envs.severity import LEVELS, load
from envs.shifts.profiles import PROFILES
from rl_rmsprop import grammar
from rl_rmsprop.cli.environment_ids import gymnasium_ids, tuned_ids
from rl_rmsprop.study.spec import env_kwargs
from rl_rmsprop.study.spec.presets import PRESETS


def show(console: Console) -> None:
    """Environments with tuned settings first, then every registered one that the agents can use."""
    tuned = tuned_ids()
    table = Table("environment", "observation", "actions", "longest episode", "solved at", "tuned for", title_justify="left")
    for env_id in [*tuned, *(e for e in usable() if e not in tuned)]:
        agents = ", ".join(agent for agent, tuned_id in PRESETS if tuned_id == env_id)
        if not fits(env_id):  # its package is an extra
            table.add_row(env_id, "not installed", "–", "–", "–", agents)
            continue
        spec, env = gym.spec(env_id), make_env(env_id)
        observation, action = envs.check_spaces(env)
        env.close()
        limit, solved = spec.max_episode_steps, spec.reward_threshold
        cells = (env_id, str(observation.shape[0]), kind_of(action), str(limit or "–"), str(solved or "–"), agents or "–")
        table.add_row(*cells)
    console.print(table)
    console.print(
        "Any other registered id works too whose observations flatten to numbers (Box, Discrete, MultiDiscrete, MultiBinary, "
        "Dict, Tuple, but no images) and whose actions are Discrete, MultiDiscrete, MultiBinary or a Box of one axis; one that a "
        "module of yours registers is written module:id.",
        soft_wrap=True,
    )
    console.print("What can shift in one: rl-rmsprop envs CartPole-v1", soft_wrap=True)


def kind_of(action: gym.Space) -> str:
    """The number of discrete actions, of each of several choices, or of the real numbers of a continuous action."""
    if isinstance(action, gym.spaces.MultiDiscrete):
        return " × ".join(map(str, action.nvec.ravel()))
    if isinstance(action, gym.spaces.MultiBinary):
        return f"{math.prod(action.shape)} × 2"
    return str(action.n) if isinstance(action, gym.spaces.Discrete) else f"{math.prod(action.shape or ())} continuous"


def show_one(env_id: str, console: Console, arguments: Sequence[str] = (), wrappers: Sequence[str] = ()) -> None:
    """One environment as a training would have it, made with `arguments` inside `wrappers`, and what can shift in it."""
    env_kwargs.check_environments(arguments, [env_id])
    env = make_env(env_id, env_kwargs.kwargs_of(arguments, env_id), wrappers)
    try:
        description, parameters, values = described(env), parameters_of(env), values_of(env)
    finally:
        env.close()
    if (newest := envs.newest_version(env_id)) != env_id:
        console.print(f"{env_id} is an old version; the newest is {newest}", soft_wrap=True)
    given = ", ".join(env_kwargs.of_environment(arguments, env_id))
    made = (f" with {given}" if given else "") + (f" in {', '.join(wrappers)}" if wrappers else "")
    console.print(f"{env_id}{made}: {description}", soft_wrap=True)
    table = Table(
        "parameter", "meaning", "unshifted", "tested from", "to", title=f"What can shift in {env_id}", title_justify="left"
    )
    for parameter in parameters.values():
        numbers = [f"{x:g}" for x in (values.get(parameter.name, parameter.default), *parameter.tested)]
        table.add_row(parameter.name, parameter.meaning, *numbers)
    console.print(table)
    if not made:  # losses were measured in the environment as it is
        show_severity(env_id, console)
    show_profiles(console)
    console.print(SYNTAX, soft_wrap=True)


def described(env: gym.Env) -> str:
    """What an agent meets in an environment: its spaces, the longest episode, and the return that counts as solved."""
    observation, action = envs.check_spaces(env)
    limit, solved = (env.spec.max_episode_steps, env.spec.reward_threshold) if env.spec else (None, None)
    longest = f"episodes of at most {limit} steps" if limit else "episodes without a time limit"
    spaces = f"observations of {observation.shape[0]} numbers, {kind_of(action)} actions"
    return f"{spaces}, {longest}{'' if solved is None else f', solved at {solved:g}'}"


def values_of(env: gym.Env) -> dict[str, float]:
    """The parameters of the dynamics, by name, as the environment was made."""
    env = with_dynamics(env)
    dynamics = next(layer for layer in layers(env) if isinstance(layer, DynamicsWrapper))
    return {parameter.name: dynamics.get(parameter.name) for parameter in family_of(env.unwrapped).parameters}


def show_profiles(console: Console) -> None:
    """How a parameter can shift over time."""
    profiles = Table("profile", "keys", "what it does", title="How it shifts over time", title_justify="left")
    for name, kind in PROFILES.items():
        keys = ", ".join(f.name if f.default is MISSING else f"{f.name}={grammar.value_text(f.default)}" for f in fields(kind))
        profiles.add_row(name, keys, (kind.__doc__ or "").split(". ")[0].rstrip("."))
    console.print(profiles)


def show_severity(env_id: str, console: Console) -> None:
    """How much shifts cost a trained policy, where it was measured."""
    rows = load(env_id)
    if not rows:
        return
    levels = [f"{name}, {loss:.0%}" for name, loss in LEVELS.items()]
    title = "Shifts that cost a trained policy a share of its lead"
    table = Table("parameter", "direction", *levels, title=title, title_justify="left")
    for parameter, direction in dict.fromkeys((row.parameter, row.direction) for row in rows):
        by_level = {row.level: row for row in rows if (row.parameter, row.direction) == (parameter, direction)}
        cells = [f"{by_level[level].value:g} ({by_level[level].loss:.0%})" if level in by_level else "–" for level in LEVELS]
        table.add_row(parameter, direction, *cells)
    console.print(table)
    console.print(SEVERITY, soft_wrap=True)


SEVERITY = (
    "In brackets the measured share of its lead over random actions that a trained policy loses at this value, if it does not go "
    "on learning; –: no value in the tested range comes near. Parameters that are not listed cost less. Rewards are not listed: "
    "they change the score and not the policy. Measured by python -m tests.benchmarks.severity."
)
SYNTAX = (
    "Written PARAMETER:profile=…,KEY=…; the profile is abrupt if none is named. clock=steps|episodes|updates is the unit of "
    "`at`, `every` and `period`, counted over the whole run; apply=now|reset: at once, or when the next episode begins. "
    "Example: --shift gravity:values=9.8/25,at=100000"
)


def usable() -> list[str]:
    """Those of Gymnasium's own environments whose spaces the agents can use."""
    return [env_id for env_id in gymnasium_ids() if fits(env_id)]


def fits(env_id: str) -> bool:
    """Whether the agents can use this environment here."""
    try:
        envs.check_env_id(env_id)
    except ValueError:
        return False
    return True
