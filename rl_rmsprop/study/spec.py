"""A study: arms × environments × seeds, as data."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import envs
from agents.networks import check_scale
from envs.shifts import parse_all
from rl_rmsprop.study.batch import BatchSpec, write_json
from rl_rmsprop.study.optimizers import Arm
from rl_rmsprop.study.presets import AGENTS, Agent

LARGEST_BATCH = 32
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Study:
    """What `train` and `compare` run."""

    folder: Path
    env_ids: tuple[str, ...]
    agent_name: str
    agents: tuple[Agent, ...]
    """Settings, one per environment."""
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    steps: int
    """Environment steps per run."""
    eval_episodes: int = 100
    command: str = ""
    """The command line that made it."""
    shifts: tuple[str, ...] = ()
    """What changes in the environments, and when, as text (see envs/shifts.py)."""
    record_signals: bool = False
    """Keep the signals of every update of every run, for `replay`."""

    def __post_init__(self) -> None:
        for what, values in (("environments", self.env_ids), ("seeds", self.seeds), ("arms", [a.canonical for a in self.arms])):
            if not values:
                raise ValueError(f"a study needs at least one of its {what}, got none")
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ValueError(f"each of the {what} may be given once, got {twice[0]} twice")
        names = [arm.name.lower() for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError("two arms have the same folder name: write one of them in another way")
        for name in ("steps", "eval_episodes"):
            if not 1 <= getattr(self, name) <= 10**12:
                raise ValueError(f"{name} must be from 1 to 10¹², got {getattr(self, name)}")
        for env_id, agent in zip(self.env_ids, self.agents, strict=True):
            envs.check_env_id(env_id, parse_all(self.shifts))
            if agent.observation_scale:
                env = envs.make(env_id, (0,), 1)
                env.close()
                check_scale(agent.observation_scale, env.observation_space.shape[0])

    def batches(self, workers: int) -> list[BatchSpec]:
        """The study cut into batches: an arm's seeds together, cut up further if that keeps more workers busy."""
        arms = len(self.env_ids) * len(self.arms)
        pieces = max(-(-len(self.seeds) // LARGEST_BATCH), min(-(-workers // arms), len(self.seeds)))
        size = -(-len(self.seeds) // pieces)
        chunks = [self.seeds[i : i + size] for i in range(0, len(self.seeds), size)]
        common = {
            "steps": self.steps,
            "eval_episodes": self.eval_episodes,
            "aggregated": len(self.seeds) > 1,
            "shifts": self.shifts,
            "record_signals": self.record_signals,
        }
        return [
            BatchSpec(str(self.folder), env_id, self.agent_name, agent, arm, chunk, **common)  # type: ignore[arg-type]
            for env_id, agent in zip(self.env_ids, self.agents, strict=True)
            for arm in self.arms
            for chunk in chunks
        ]

    def save(self) -> None:
        """Write the study's description, from which `report` and `evaluate` know what to look for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {**asdict(self), "folder": None, "agents": [asdict(a) for a in self.agents]}
        write_json(self.folder / "study.json", {k: v for k, v in content.items() if k != "folder"})


def load(folder: Path) -> Study:
    """The study that a folder holds; ValueError if it holds none."""
    path = folder / "study.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no study: there is no study.json in it; rl-rmsprop train or compare makes one")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind = AGENTS[content["agent_name"]]
        arms = tuple(Arm(**arm) for arm in content.pop("arms"))
        saved: list[dict[str, Any]] = content.pop("agents")
        settings = tuple(make_settings(kind, a) for a in saved)
        content |= {name: tuple(content[name]) for name in ("env_ids", "seeds", "shifts")}
        return Study(folder, agents=settings, arms=arms, **content)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} does not describe a study of this version: {error}") from error


def make_settings(kind: type[Agent], saved: dict[str, Any]) -> Agent:
    """Settings out of JSON, which knows lists but no tuples."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()}
    return kind(**values)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text: `0-9`, `3`, `0,2,5-7`.

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise ValueError(f"seeds must be whole numbers from 0 and ranges such as 0-9 or 0,2,5-7, got {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"a range of seeds must rise, got {part.strip()!r}: write {last}-{first}")
        if last > 2**32 - 1:
            raise ValueError(f"seeds must be at most 4294967295, got {last}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"a study may have at most {MOST_SEEDS} seeds, got more with {part.strip()!r}")
        seeds.extend(range(first, last + 1))
    return tuple(seeds)


def default_folder(
    env_ids: Sequence[str], agent: str, arms: Sequence[Arm], seeds: Sequence[int], steps: int, shifts: Sequence[str] = ()
) -> Path:
    """A folder name made from the settings: `runs/cartpole-v1_a2c_0.99_500000x10`, with what shifts before the numbers."""
    what = arms[0].name if len(arms) == 1 else f"{len(arms)}arms"
    shifting = [shift.parameter for shift in parse_all(shifts)]
    environments = "-".join(env_ids).lower().replace("/", "-")
    return Path("runs") / "_".join([environments, agent, what, *shifting, f"{steps}x{len(seeds)}"])
