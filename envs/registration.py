"""From an environment's id to one Gymnasium environment.

An id may name the module that registers it, `module:id`. A module can register several environments; the processes that train one
of them know its id only if they import the module too, so a study hands its modules on: `import_modules(modules_of(env_ids))`.
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Iterable
from contextlib import suppress

import gymnasium as gym
from gymnasium.envs.registration import get_env_id, parse_env_id

from envs.mujoco_states import redirect_messages


def modules_of(env_ids: Iterable[str]) -> tuple[str, ...]:
    """The modules that ids name, each once, in their order.

    >>> modules_of(["CartPole-v1", "mine:Walk-v0", "mine:Run-v0", "others:Swim-v0"])
    ('mine', 'others')
    """
    return tuple(dict.fromkeys(env_id.partition(":")[0] for env_id in env_ids if ":" in env_id))


def import_modules(modules: Iterable[str]) -> None:
    """Import modules that register environments; ValueError naming the one that cannot be imported.

    >>> import_modules(["envs"])
    >>> import_modules(["no_such_module"])
    Traceback (most recent call last):
    ValueError: environment must be in a module that can be imported, got 'no_such_module': No module named 'no_such_module'
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"environment must be in a module that can be imported, got {module!r}: {error}") from error
        except (Exception, SystemExit) as error:  # a module is anybody's code
            raise ValueError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error


def make_env(env_id: str) -> gym.Env:
    """One environment from Gymnasium; ValueError with a remedy if there is none of that id."""
    import_modules(modules_of([env_id]))
    check_version(env_id)
    redirect_messages(env_id)
    try:
        with warnings.catch_warnings():  # of versions that are not the newest: see `newest_version`
            warnings.simplefilter("ignore")
            return gym.make(env_id, disable_env_checker=True)
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
        raise ValueError(f"environment {env_id!r} cannot be made: {type(error).__name__}: {error}") from error


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
