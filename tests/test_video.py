"""Videos: what is filmed is what was scored, picture by picture, and whatever is missing is said before anything is made."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import envs
from agents import A2C
from envs import rendering
from envs.registration import make_env
from rl_rmsprop.cli import main
from rl_rmsprop.storage.atomic import write_json
from rl_rmsprop.study.evaluation import evaluate_saved
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.run_files import SHIFT_CLOCKS, WEIGHTS
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.policies import evaluation_seed, make_policy, save_weights
from rl_rmsprop.study.video import video_file
from tests import odd_envs
from tests.builders import study_of

needed = pytest.mark.skipif(importlib.util.find_spec("imageio_ffmpeg") is None, reason="needs the extra video")
LANDER = "LunarLander-v3"
ROOT = Path(__file__).parents[1]


class Drawn(odd_envs.Plain):
    """Has a picture of whatever it is told to show."""

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 7}  # noqa: RUF012  (as in Gymnasium)
    shown: Any = np.zeros((8, 8, 3), np.uint8)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        return self.shown


if "Test/Drawn-v0" not in gym.registry:
    gym.register("Test/Drawn-v0", entry_point=Drawn)


def trained(folder: Path, env_id: str, always: int | None = None, unfinished: tuple[int, ...] = (), **options: Any) -> Study:
    """A study of the seeds 3, 4 and 5 whose two arms have policies that were drawn at random, or always act alike."""
    agent = A2C(n_envs=1, n_steps=8, hidden=(4,))
    study = study_of(folder, (env_id,), "a2c", (agent,), (Arm("0.9"), Arm("0.99")), (3, 4, 5), 8)
    study = replace(study, options=replace(study.options, **options))
    study.save()
    for spec in study.batches():
        env = envs.make(env_id, spec.seeds, 1, **spec.made_with)
        policy = make_policy(spec, env)
        env.close()
        if always is not None:
            policy.actor.layers[-1].weight.data.zero_()
            policy.actor.layers[-1].bias.data[..., always] = 9.0
        for run, seed in enumerate(spec.seeds):
            if seed not in unfinished:
                (spec.run_folder(seed) / WEIGHTS).parent.mkdir(parents=True)
                save_weights(spec.run_folder(seed) / WEIGHTS, policy, run)
                write_json(spec.run_folder(seed) / SHIFT_CLOCKS, {"steps": 1000, "episodes": 10, "updates": 100})
    return study


def pictures_of(path: Path) -> tuple[float, NDArray[np.int16]]:
    """A video's pictures a second, and its pictures [T, height, width, 3], as ffmpeg says and decodes them."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    width, height, rate = re.findall(r"Video: h264.* (\d+)x(\d+),.* ([\d.]+) fps", done.stderr.decode())[0]
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, int(height), int(width), 3)
    return float(rate), pictures.astype(np.int16)


def replayed(env: gym.Env, seed: int, action: int) -> tuple[float, NDArray[np.int16]]:
    """The return and the pictures of the first episode that the run with this seed is evaluated in, played by Gymnasium alone."""
    env.reset(seed=int(envs.seed_sequence(evaluation_seed(seed), "env", 0).generate_state(1)[0]))
    pictures, total, done = [env.render()], 0.0, False
    while not done:
        _, reward, terminated, truncated, _ = env.step(action)
        total, done = total + float(reward), terminated or truncated
        pictures.append(env.render())
    env.close()
    return total, np.stack(pictures).astype(np.int16)  # type: ignore[arg-type]


def assert_alike(filmed: NDArray[np.int16], drawn: NDArray[np.int16]) -> None:
    """Equal but for what compression costs; pictures of two successive steps differ by more."""
    assert filmed.shape == drawn.shape
    apart = np.abs(filmed - drawn).mean((1, 2, 3))
    successive = np.abs(filmed[1:] - drawn[:-1]).mean((1, 2, 3))
    assert (apart[1:] <= successive).mean() > 0.9
    assert apart.max() < 1


def returns_in(output: str) -> dict[str, float]:
    """Arm's video → the return that is printed beside it."""
    return {Path(path).stem: float(value) for path, value in re.findall(r"video: (\S+) \(.*return (\S+),", output)}


def refusal(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command line that is refused says."""
    assert main(line.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


# What is filmed --------------------------------------------------------------------------------------------------------------


@needed
def test_a_video_has_the_pictures_that_gymnasium_draws_of_the_first_episode_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: another episode than the one scored, or pictures late by a step, without the first or the last one."""
    trained(tmp_path, LANDER, always=2)
    assert main(["evaluate", str(tmp_path), "--video", "--episodes", "1"]) == 0
    total, drawn = replayed(gym.make(LANDER, render_mode="rgb_array"), 3, action=2)
    output = capsys.readouterr().out
    assert returns_in(output) == {"0.9": pytest.approx(total, rel=1e-5), "0.99": pytest.approx(total, rel=1e-5)}
    assert f"0.9.mp4 (seed 3, return {total:.6g}, {len(drawn) - 1} steps)" in output
    rate, filmed = pictures_of(tmp_path / "videos" / LANDER / "0.9.mp4")
    assert rate == 50
    assert_alike(filmed, drawn)


@needed
def test_a_shifted_run_is_filmed_in_the_world_at_the_end_of_its_training(tmp_path: Path) -> None:
    """Silent failure: the video shows the world before the shift, in which nobody evaluated."""
    study = trained(tmp_path, "CartPole-v1", always=1, shift=("force_mag:values=10/-4,at=500",))
    assert main(["evaluate", str(tmp_path), "--video", "--episodes", "1", "--video-seed", "4"]) == 0
    env = gym.make("CartPole-v1", render_mode="rgb_array")
    env.unwrapped.force_mag = -4.0  # type: ignore[attr-defined]
    _, drawn = replayed(env, 4, action=1)
    for spec in study.batches():
        assert_alike(pictures_of(tmp_path / "videos" / "CartPole-v1" / f"{spec.arm.name}.mp4")[1], drawn)


@needed
@pytest.mark.parametrize("options", [["--seed", "1"], ["--stochastic"]], ids=" ".join)
def test_the_policy_acts_in_the_video_as_in_the_evaluation(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a greedy video of a sampled score, or one of another --seed. Ten environments draw their noise at once."""
    study = trained(tmp_path, LANDER)
    assert main(["evaluate", str(tmp_path), "--video", "--episodes", "12", "--video-seed", "5", *options]) == 0
    variant = (1,) if "--seed" in options else ()
    for spec, printed in zip(study.batches(), returns_in(capsys.readouterr().out).values(), strict=True):
        assert printed == pytest.approx(evaluate_saved(spec, (5,), 12, "--stochastic" in options, variant)[0, 0], rel=1e-5)


@needed
def test_the_first_finished_run_of_an_arm_is_filmed_and_arms_without_one_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a study that is still in training has no video at all, because its first seed is not finished."""
    study = trained(tmp_path, "MountainCar-v0", unfinished=(3,), eval_episodes=1)
    for seed in (4, 5):
        (study.batch("MountainCar-v0", Arm("0.99"), (seed,)).run_folder(seed) / WEIGHTS).unlink()
    assert main(["evaluate", str(tmp_path), "--video", "--episodes", "1"]) == 0
    assert "0.9.mp4 (seed 4, " in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "videos" / "MountainCar-v0").iterdir()] == ["0.9.mp4"]


@needed
def test_a_robot_is_filmed_without_a_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: on a server MuJoCo asks for a screen, or the pictures are black."""
    pytest.importorskip("mujoco")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUJOCO_GL", "")  # which is put back afterwards
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    rendering.do_without_a_screen()
    try:
        rendering.check_opengl()
    except Exception as error:
        pytest.skip(f"neither EGL nor OSMesa works here: {error}")
    study = trained(tmp_path, "HalfCheetah-v5", env_kwargs=("max_episode_steps=4",))
    assert study.options.made_with("HalfCheetah-v5")["kwargs"] == {"max_episode_steps": 4}
    assert main(["evaluate", str(tmp_path), "--video", "--episodes", "1"]) == 0
    rate, filmed = pictures_of(tmp_path / "videos" / "HalfCheetah-v5" / "0.99.mp4")
    assert rate == 20
    assert len(filmed) == 5
    assert filmed.std((1, 2, 3)).min() > 20
    assert np.abs(filmed[-1] - filmed[0]).mean() > 0.1


# What is refused -------------------------------------------------------------------------------------------------------------


@needed
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--video-seed 3", "video_seed says which run is filmed, got 3 without --video: add it"),
        ("--video --video-seed 6", "video_seed must be one of the study's seeds, 3-5, got 6"),
        ("--video --video-seed 3", "has no trained policy with seed 3 yet"),
        ("--video", "environment Odd/Plain-v0 must have the render mode rgb_array to be filmed, and has no render modes"),
    ],
)
def test_what_cannot_be_filmed_is_said_before_anything_is_made(
    options: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a thousand episodes are evaluated before it turns out that there is nothing to film with."""
    trained(tmp_path, "Odd/Plain-v0", unfinished=(3,))
    assert message in refusal(f"evaluate {tmp_path} {options}", capsys)
    assert not {"report", "videos"} & {path.name for path in tmp_path.iterdir()}


def test_a_missing_package_is_named_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a traceback of imports after an hour of evaluation."""
    trained(tmp_path, "CartPole-v1")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    message = refusal(f"evaluate {tmp_path} --video", capsys)
    assert "a video needs a package that is not installed" in message
    assert message.endswith("pip install 'rl-rmsprop[video]'\n")
    assert not (tmp_path / "report").exists()


@needed
@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (None, "must return bytes of shape [height, width, 3], got NoneType"),
        (np.zeros((8, 8), np.uint8), "got uint8 of shape (8, 8)"),
        (np.zeros((8, 8, 3), np.float32), "got float32 of shape (8, 8, 3)"),
    ],
    ids=["nothing", "grey", "floats"],
)
def test_a_picture_that_is_none_is_refused_with_the_name_of_its_environment(
    shown: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: grey pictures are read as colours, and the video shows stripes."""
    monkeypatch.setattr(Drawn, "shown", shown)
    trained(tmp_path, "Test/Drawn-v0")
    said = refusal(f"evaluate {tmp_path} --video", capsys)
    assert "environment Test/Drawn-v0 cannot be drawn (ValueError: render() " in said
    assert message in said


def test_a_robot_that_cannot_be_drawn_says_what_draws_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: `'NoneType' object has no attribute 'glGetError'`, and nobody knows what to install."""
    pytest.importorskip("mujoco")
    monkeypatch.setenv("MUJOCO_GL", "no_such_backend")
    with pytest.raises(
        ValueError, match=r"HalfCheetah-v5 cannot be drawn .*install EGL or OSMesa .*MUJOCO_GL=egl or MUJOCO_GL=osmesa"
    ):
        rendering.frame_rate("HalfCheetah-v5")


NO_EGL = (
    "import ctypes.util, sys; ctypes.util.find_library = lambda name: None; from rl_rmsprop.cli import main; sys.exit(main())"
)


@needed
@pytest.mark.parametrize(
    ("chosen", "start", "message"),
    [
        ({"MUJOCO_GL": "no_such_backend"}, ["-m", "rl_rmsprop"], "MuJoCo cannot be imported with MUJOCO_GL=no_such_backend"),
        ({}, ["-c", NO_EGL], "environment HalfCheetah-v5 cannot be drawn"),
    ],
    ids=["chosen", "not chosen"],
)
def test_a_server_that_has_nothing_to_draw_with_is_told_so_in_one_line(
    chosen: dict[str, str], start: list[str], message: str, tmp_path: Path
) -> None:
    """Silent failure: MuJoCo cannot even be imported then, and says so in thirty lines."""
    pytest.importorskip("mujoco")
    if ctypes.util.find_library("OSMesa"):
        pytest.skip("OSMesa is installed, and draws")
    trained(tmp_path, "HalfCheetah-v5")
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, *start, "evaluate", str(tmp_path), "--video"]
    done = subprocess.run(command, env={**environment, "PYTHONPATH": str(ROOT), **chosen}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert "install EGL or OSMesa (Debian: libegl1, libosmesa6) and set MUJOCO_GL=egl or MUJOCO_GL=osmesa" in done.stderr
    assert done.stderr.count("\n") == 1


# Screens and files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "installed", "expected"),
    [
        ({}, "libEGL.so.1", {"MUJOCO_GL": "egl", "SDL_VIDEODRIVER": "dummy"}),
        ({"MUJOCO_GL": ""}, None, {"MUJOCO_GL": "osmesa", "SDL_VIDEODRIVER": "dummy"}),
        ({"MUJOCO_GL": "glfw", "SDL_VIDEODRIVER": "x11"}, "libEGL.so.1", {"MUJOCO_GL": "glfw", "SDL_VIDEODRIVER": "x11"}),
        ({"DISPLAY": ":0"}, "libEGL.so.1", {}),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "libEGL.so.1", {}),
    ],
)
def test_what_draws_is_chosen_only_where_there_is_no_screen_and_no_choice(
    given: dict[str, str], installed: str | None, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: a user's own choice is overwritten, or a workstation draws on its CPU beside an idle GPU."""
    environment = dict(given)
    monkeypatch.setattr(rendering.os, "environ", environment)  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: installed if name == "EGL" else None)
    rendering.do_without_a_screen()
    assert {name: environment[name] for name in environment if "DISPLAY" not in name} == expected


def test_the_rate_of_a_film_is_the_environments_and_a_render_mode_of_the_training_does_not_matter() -> None:
    """Silent failure: an environment of 7 pictures a second looks four times as fast; a study trained on a screen has no film."""
    assert rendering.frame_rate("Test/Drawn-v0", {"render_mode": "human"}) == 7
    assert rendering.frame_rate("FrozenLake-v1", {"map_name": "8x8"}, ["gymnasium.wrappers:FlattenObservation"]) == 4
    assert make_env("FrozenLake-v1").metadata["render_fps"] == 4


@needed
def test_pictures_of_any_size_keep_their_pixels(tmp_path: Path) -> None:
    """Silent failure: a picture of odd size is stretched, or refused by ffmpeg."""
    picture = np.zeros((33, 51, 3), np.uint8)
    picture[:16], picture[:, np.arange(51) % 6 < 3] = 90, 200  # stripes of three pixels
    with video_file(tmp_path / "x.mp4", 5.0) as writer:
        for _ in range(3):
            writer.add(picture)
    rate, filmed = pictures_of(tmp_path / "x.mp4")
    assert (rate, filmed.shape) == (5.0, (3, 34, 52, 3))
    assert np.abs(filmed[:, :33, :51] - picture.astype(np.int16)).max() < 30


@needed
def test_an_episode_that_fails_leaves_the_video_that_was_there(tmp_path: Path) -> None:
    """Silent failure: half a video replaces a whole one."""
    path = tmp_path / "x.mp4"
    path.write_bytes(b"whole")
    with pytest.raises(ZeroDivisionError):
        film_one_picture_and_fail(path)
    assert path.read_bytes() == b"whole"
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]


def film_one_picture_and_fail(path: Path) -> None:
    """As an environment may."""
    with video_file(path, 5.0) as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8))
        raise ZeroDivisionError
