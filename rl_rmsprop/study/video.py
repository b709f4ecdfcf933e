"""Videos of trained policies: for each arm the first episode of the evaluation of one of its runs.

    environments of the evaluation → a picture after the reset and each step → ffmpeg → DIR/videos/<env>/<arm>.mp4

What is filmed is the evaluation itself, in the same environments with the same actions, so that a video shows what was scored.
One difference remains: classic control is evaluated in arrays, which cannot be drawn, so that its video begins in another state.

Gymnasium's RecordVideo is not used: its MoviePy works only with a Pillow older than 12, and this package is tested with a newer
one. imageio-ffmpeg, which MoviePy itself stands on, brings the program ffmpeg along and pipes pictures to it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

import envs
from agents.evaluation import episode_returns
from envs.rendering import MODE, frame_rate
from rl_rmsprop.storage import atomic
from rl_rmsprop.study.evaluation import load_runs
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_files import WEIGHTS
from rl_rmsprop.study.spec.seeds import written_seeds
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.policies import evaluation_envs, evaluation_noise

FOLDER = "videos"
"""In a study's folder."""
INSTALL = "pip install 'rl-rmsprop[video]'"


@dataclass(frozen=True)
class Shot:
    """One video that will be made."""

    spec: BatchSpec
    """The arm in its environment, with the one run that is filmed."""
    frames_per_second: float

    @property
    def path(self) -> Path:
        """Where it goes."""
        return self.spec.folder / FOLDER / atomic.env_folder(self.spec.env_id) / f"{self.spec.arm.name}.mp4"


def plan(study: Study, seed: int | None = None) -> list[Shot]:
    """A video of every arm that has a finished run: of the one with this seed, or of its first.

    ValueError, with a remedy, for a seed that is not the study's, and unless all that the videos need is installed.
    """
    if seed is not None and seed not in study.seeds:
        raise ValueError(f"video_seed must be one of the study's seeds, {written_seeds(study.seeds)}, got {seed}")
    wanted = study.seeds if seed is None else (seed,)
    runs: list[BatchSpec] = []
    for env_id in study.env_ids:
        for arm in study.arms:
            spec = study.batch(env_id, arm, wanted)
            finished = [s for s in wanted if (spec.run_folder(s) / WEIGHTS).is_file()]
            runs += [study.batch(env_id, arm, (s,)) for s in finished[:1]]
    if not runs:
        whose = "" if seed is None else f" with seed {seed}"
        raise ValueError(f"{study.folder} has no trained policy{whose} yet")
    import_ffmpeg()
    envs.import_modules(envs.modules_of(study.env_ids))
    rates = {spec.env_id: frame_rate(spec.env_id, **spec.made_with) for spec in runs}
    return [Shot(spec, rates[spec.env_id]) for spec in runs]


def film_all(shots: list[Shot], episodes: int, stochastic: bool, console: Console, seed: int | None = None) -> list[str]:
    """Make the videos, one after the other, of an evaluation with these settings; see `evaluate_study`.

    Returns a line for each whose environment failed.
    """
    torch.set_num_threads(1)
    failures = []
    for shot in shots:
        try:
            with console.status(f"filming {shot.spec.label}"):  # a robot's 1000 steps take minutes without a GPU
                outcome, steps = film(shot, episodes, stochastic, () if seed is None else (seed,))
        except envs.EnvironmentFailure as error:
            failures.append(f"not filmed: {shot.spec.label}: {error}")
            continue
        run = f"seed {shot.spec.seeds[0]}, return {outcome:.6g}, {steps} steps"
        console.print(f"video: {shot.path} ({run})", soft_wrap=True)
    return failures


def film(shot: Shot, episodes: int, stochastic: bool, variant: tuple[int, ...] = ()) -> tuple[float, int]:
    """Make one video; returns the episode's return and length."""
    saved = load_runs(shot.spec, shot.spec.seeds)
    env = evaluation_envs(saved.spec, episodes, saved.clocks, variant, render_mode=MODE)
    atomic.disk.make_folder(shot.path.parent)
    try:
        with video_file(shot.path, shot.frames_per_second) as writer:
            filmed = FilmedEnvs(env, writer)
            outcome = float(episode_returns(filmed, saved.policy, 1, evaluation_noise(saved.spec, stochastic, variant))[0, 0])
    finally:
        env.close()
    return outcome, filmed.steps


class FilmedEnvs:
    """Environments of one run, the first of which is filmed until its first episode ends; see `agents.environments`."""

    def __init__(self, env: envs.EnvBatch, writer: Writer) -> None:
        self._env, self._writer = env, writer
        self.runs, self.envs_per_run, self.max_episode_steps = env.runs, env.envs_per_run, env.max_episode_steps
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.steps = 0
        """Steps of the filmed episode so far."""

    def reset(self) -> NDArray[np.float32]:
        observations = self._env.reset()
        self._film()
        return observations

    def step(self, actions: NDArray) -> envs.Step:
        step = self._env.step(actions)
        self.steps += 1
        self._film()
        return step

    def truncate(self, which: NDArray[np.bool_]) -> None:
        self._env.truncate(which)

    def _film(self) -> None:
        self._writer.add(self._env.render())  # type: ignore[attr-defined]  # environments with a render mode have it


# Files -----------------------------------------------------------------------------------------------------------------------


class Writer:
    """Pictures of one size that become a video."""

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._path, self._rate = path, frames_per_second
        self._pipe: Generator[None, Any, None] | None = None  # to ffmpeg, which must know the size of its pictures

    def add(self, picture: NDArray[np.uint8]) -> None:
        """The next picture [height, width, 3]."""
        if self._pipe is None:
            height, width, _ = picture.shape
            self._pipe = import_ffmpeg().write_frames(
                str(self._path), (width, height), fps=self._rate, quality=QUALITY, macro_block_size=1,
                ffmpeg_log_level="error", output_params=["-vf", EVEN],
            )  # fmt: skip
            self._pipe.send(None)
        self._pipe.send(np.ascontiguousarray(picture))

    def close(self) -> None:
        """Wait until ffmpeg has written the last picture."""
        if self._pipe is not None:
            self._pipe.close()


QUALITY = 7
"""From 1 to 10: lines stay sharp, and 500 steps of CartPole are 50,000 bytes."""
EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
"""Players want an even height and width; a picture of another size gets one row or column more."""


@contextmanager
def video_file(path: Path, frames_per_second: float) -> Iterator[Writer]:
    """A video that is written whole or, after an error, not at all."""
    with TemporaryDirectory() as folder:
        part = Path(folder) / path.name
        writer = Writer(part, frames_per_second)
        try:
            yield writer
        finally:
            writer.close()
        atomic.write_bytes(path, part.read_bytes())


def import_ffmpeg() -> Any:
    """imageio-ffmpeg itself; ValueError with a remedy if it, or the program ffmpeg, is not installed."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise ValueError(f"a video needs a package that is not installed ({error}): {INSTALL}") from error
    return imageio_ffmpeg
