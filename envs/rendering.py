"""Pictures of environments where there is no screen, as on a server: whether they can be drawn, and how fast a film of them runs.

Gymnasium draws classic control, Box2D and its grids with pygame, and MuJoCo's robots with OpenGL. Both look for a screen first.
Where there is none, they are told what draws without: SDL's driver `dummy`, and EGL, or OSMesa where EGL is not installed.
"""

from __future__ import annotations

import ctypes.util
import importlib
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.mujoco_states import MODULE, OPENGL
from envs.registration import make_env

MODE = "rgb_array"
"""The render mode in which `render` returns a picture: bytes [height, width, 3]."""
USUAL_RATE = 30.0
"""Pictures a second of an environment that does not say it."""


def frame_rate(env_id: str, kwargs: Mapping[str, Any] | None = None, wrappers: Sequence[str] = ()) -> float:
    """Pictures a second at which the environment looks as fast as it is; ValueError with a remedy if it cannot be drawn here.

    It is made as in `make_env`, reset and drawn once, so that whatever is missing is missed before hours of work.

    >>> frame_rate("CartPole-v1")
    50.0
    """
    env = make_env(env_id, kwargs, wrappers)
    env.close()
    do_without_a_screen()  # after MuJoCo's import, which fails if what is chosen does not work
    if MODE not in (modes := env.metadata.get("render_modes") or ()):
        known = f"has the render modes {', '.join(modes)}" if modes else "has no render modes"
        raise ValueError(f"environment {env_id} must have the render mode {MODE} to be filmed, and {known}: leave --video out")
    is_robot = any(kind.__module__.startswith(MODULE) for kind in type(env.unwrapped).__mro__)
    env = make_env(env_id, {**(kwargs or {}), "render_mode": MODE}, wrappers)
    try:
        with warnings.catch_warnings():  # of GLFW, before the error that says it all
            warnings.simplefilter("ignore")
            if is_robot:
                check_opengl()
            env.reset(seed=0)
            check_picture(env.render())
    except (Exception, SystemExit) as error:  # an environment is anybody's code
        remedy = OPENGL if is_robot else "leave --video out"
        raise ValueError(f"environment {env_id} cannot be drawn ({type(error).__name__}: {error}): {remedy}") from error
    finally:
        env.close()
    return float(env.metadata.get("render_fps") or USUAL_RATE)


def do_without_a_screen() -> None:
    """Choose what draws pictures, unless there is a screen or the user has chosen; only Linux may have no screen."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if not os.environ.get("MUJOCO_GL"):  # which may be empty, but no program draws with that
        os.environ["MUJOCO_GL"] = "egl" if ctypes.util.find_library("EGL") else "osmesa"


def check_opengl() -> None:
    """Raise what MuJoCo raises if its way to draw is missing here; Gymnasium's own attempt would leave a broken object behind."""
    if backend := os.environ.get("MUJOCO_GL"):
        importlib.import_module(f"mujoco.{backend}").GLContext(8, 8).free()


def check_picture(picture: Any) -> None:
    """ValueError unless this is a picture.

    >>> check_picture(np.zeros((400, 600, 3), np.uint8))
    >>> check_picture([])
    Traceback (most recent call last):
    ValueError: render() must return bytes of shape [height, width, 3], got list
    """
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3):
        shown = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise ValueError(f"render() must return bytes of shape [height, width, 3], got {shown}")
