"""From an environment's id, the arguments that it is made with, and wrappers around it to one Gymnasium environment.

    id, arguments → gymnasium.make → wrappers, the first one innermost → observations as one vector (envs/spaces.py)

An id may name the module that registers it, `module:id`. A module can register several environments; the processes that train one
of them know its id only if they import the module too, so a study hands its modules on: `import_modules(modules_of(env_ids))`.
Modules are looked for in the working directory as well, behind all other places.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import get_env_id, load_env_creator, parse_env_id

from envs.mujoco_states import redirect_messages
from envs.spaces import with_vector_observations
from rl_rmsprop import grammar

OF_MAKE = ("max_episode_steps", "render_mode")
"""Arguments of `gymnasium.make` that a user may give beside those of the environment."""
RESERVED = ("id", "disable_env_checker", "vectorization_mode", "vector_kwargs")
"""Arguments of `gymnasium.make` that are set here."""


def modules_of(env_ids: Iterable[str]) -> tuple[str, ...]:
    """The modules that ids name, each once, in their order.

    >>> modules_of(["CartPole-v1", "mine:Walk-v0", "mine:Run-v0", "others:Swim-v0"])
    ('mine', 'others')
    """
    return tuple(dict.fromkeys(env_id.partition(":")[0] for env_id in env_ids if ":" in env_id))


def import_modules(modules: Iterable[str], what: str = "environment") -> None:
    """Import modules that register environments, or hold `what`; ValueError naming the one that cannot be imported.

    >>> import_modules(["envs"])
    >>> import_modules(["no_such_module"])
    Traceback (most recent call last):
    ValueError: environment must be in a module that can be imported, got 'no_such_module': No module named 'no_such_module'
    """
    for module in modules:
        look_into_the_working_directory()
        try:
            importlib.import_module(module)
        except (ImportError, ValueError) as error:  # ValueError: of a name that is none
            raise ValueError(f"{what} must be in a module that can be imported, got {module!r}: {error}") from error
        except (Exception, SystemExit) as error:  # a module is anybody's code
            raise ValueError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error


def look_into_the_working_directory() -> None:
    """Let Python find modules there too, and workers that are started later; last, so that no file there hides another module.

    `python -m` looks there anyway, an installed command such as `rl-rmsprop` does not.
    """
    with suppress(OSError):  # the directory may be gone
        if (folder := os.getcwd()) not in sys.path:
            sys.path.append(folder)


def make_env(env_id: str, kwargs: Mapping[str, Any] | None = None, wrappers: Sequence[str] = ()) -> gym.Env:
    """One environment from Gymnasium, its observations as one vector; ValueError with a remedy if that cannot be.

    `kwargs` are passed on to `gymnasium.make`; `wrappers` are classes, written module:Class, put around it one after the other.

    >>> make_env("FrozenLake-v1", {"map_name": "8x8"}).observation_space.shape
    (64,)
    >>> make_env("CartPole-v1", wrappers=["gymnasium.wrappers:FlattenObservation"])
    <FlattenObservation<TimeLimit<OrderEnforcing<CartPoleEnv<CartPole-v1>>>>>
    """
    env = without_wrappers(env_id, dict(kwargs or {}))
    for name in wrappers:
        wrapper = wrapper_class(name)
        try:
            env = wrapper(env)
        except (Exception, SystemExit) as error:  # a wrapper is anybody's code
            raise ValueError(f"wrapper {name} cannot be put around {env_id}: {type(error).__name__}: {error}") from error
    return with_vector_observations(env)


def without_wrappers(env_id: str, kwargs: dict[str, Any]) -> gym.Env:
    """The environment as Gymnasium makes it."""
    import_modules(modules_of([env_id]))
    check_version(env_id)
    redirect_messages(env_id)
    if reserved := [key for key in kwargs if key in RESERVED]:
        raise ValueError(f"env_kwargs must be arguments of the environment, got {reserved[0]}, which is set here: leave it out")
    try:
        with warnings.catch_warnings():  # of versions that are not the newest: see `newest_version`
            warnings.simplefilter("ignore")
            return gym.make(env_id, disable_env_checker=True, **kwargs)
    except gym.error.DependencyNotInstalled as error:
        raise ValueError(f"environment {env_id} needs a package that is not installed: {error}") from error
    except gym.error.Error as error:
        known = [name for name in gym.registry if ("/" in name) == ("/" in env_id)]  # ALE/Pong-v5 is nothing like Ant-v5
        bare = env_id.rpartition("/")[2]
        near = [bare] if bare in gym.registry else difflib.get_close_matches(env_id, known, n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]}?" if near else "rl-rmsprop envs lists some; one that a module registers is written module:id"
        )
        raise ValueError(f"environment must be a registered Gymnasium id, got {env_id!r}: {hint}") from error
    except (Exception, SystemExit) as error:  # an environment is anybody's code
        if unknown := unknown_argument(env_id, kwargs):
            raise ValueError(unknown) from error
        given = f" with {', '.join(f'{key}={value!r}' for key, value in kwargs.items())}" if kwargs else ""
        raise ValueError(f"environment {env_id!r} cannot be made{given}: {type(error).__name__}: {error}") from error


def unknown_argument(env_id: str, kwargs: Mapping[str, Any]) -> str:
    """What is wrong with the first argument that a registered environment does not take; empty if it may take them all."""
    entry_point = gym.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    parameters = inspect.signature(creator).parameters if creator is not None else {}
    if not kwargs or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return ""
    known = list(dict.fromkeys((*parameters, *OF_MAKE)))
    wrong = next((key for key in kwargs if key not in known), None)
    return f"environment {env_id} takes no argument {wrong!r}: {grammar.nearest(wrong, known)}" if wrong else ""


def wrapper_class(name: str) -> type[gym.Wrapper]:
    """The class of a wrapper, written module:Class; ValueError if there is none.

    >>> wrapper_class("gymnasium.wrappers:FlattenObservation").__name__
    'FlattenObservation'
    >>> wrapper_class("gymnasium.wrappers:FlatenObservation")
    Traceback (most recent call last):
    ValueError: gymnasium.wrappers has no wrapper 'FlatenObservation': did you mean FlattenObservation?
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ValueError(f"wrapper must be written module:Class, got {name!r}: gymnasium.wrappers:FlattenObservation is one")
    import_modules([module], "wrapper")
    found = getattr(sys.modules[module], attribute, None)
    if found is None:
        raise ValueError(f"{module} has no wrapper {attribute!r}{grammar.suggestion(attribute, vars(sys.modules[module]))}")
    if not (isinstance(found, type) and issubclass(found, gym.Wrapper)):
        raise ValueError(f"wrapper must be a class that inherits from gymnasium.Wrapper, got {name}, which is no such class")
    return found


def check_version(env_id: str) -> None:
    """ValueError for an id without the version that it has; Gymnasium would take the newest, for which no preset may be tuned.

    >>> check_version("CartPole")
    Traceback (most recent call last):
    ValueError: environment must be given with its version, got 'CartPole': did you mean CartPole-v1?
    """
    with suppress(gym.error.Error):  # of an id that is none at all: `make_env` says so
        if parse_env_id(env_id.rpartition(":")[2])[2] is None and (newest := newest_version(env_id)) != env_id:
            raise ValueError(f"environment must be given with its version, got {env_id!r}: did you mean {newest}?")


def newest_version(env_id: str) -> str:
    """The registered id of the newest version of this environment: itself, if there is no newer one.

    >>> newest_version("CartPole-v0"), newest_version("CartPole-v1")
    ('CartPole-v1', 'CartPole-v1')
    """
    namespace, name, version = parse_env_id(env_id.rpartition(":")[2])
    known = [spec.version for spec in gym.registry.values() if (spec.namespace, spec.name) == (namespace, name)]
    newest = max((v for v in known if v is not None), default=version)
    return env_id if newest == version else get_env_id(namespace, name, newest)
