"""A study: arms × environments × seeds, as data.

What the runs of an arm train with in one environment is the arm's own rule and the lr of the agent's settings, unless the study
has a `ChosenSetting` for them: made by tuning, by matching, or, for a control, by the results of the arm that it is a control of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import envs
from agents.config import check_scale
from agents.kernels import check_kernel
from rl_rmsprop.storage.atomic import env_folder, write_json
from rl_rmsprop.storage.json_tables import convert, from_table, read_json
from rl_rmsprop.study.spec import env_kwargs
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.folders import LONGEST_NAME
from rl_rmsprop.study.spec.names import STUDY_FILE, check_holds_study
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import AGENTS, Agent
from rl_rmsprop.study.spec.search_space import open_keys
from rl_rmsprop.study.spec.seeds import LARGEST_SEED, MOST_SEEDS, written_seeds

LARGEST_BATCH = 64
MOST_DRAWS = 10_000


@dataclass(frozen=True)
class ChosenSetting:
    """What the runs of one arm train with in one environment."""

    env_id: str
    arm: str
    """The arm's text."""
    rule: str
    """Text of the β rule or of the baseline."""
    lr: float
    """Step size."""


@dataclass(frozen=True)
class Study:
    """What `train` and `compare` run."""

    folder: Path
    env_ids: tuple[str, ...]
    agents: tuple[Agent, ...]
    """Settings, one per environment."""
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    options: TrainingOptions = TrainingOptions()
    """What all runs share."""
    command: str = ""
    """The command line that made it."""
    tune: int = 0
    """Random draws of lr and open keys that every arm is tuned with (see tuning/draws.py); 0 to tune nothing."""
    tune_seeds: tuple[int, ...] = ()
    """Seeds of the runs that tuning and matching look at, none of them among `seeds`."""
    match_update_rms: str = ""
    """Text of the arm whose root mean square update the others are brought to by their lr (see tuning/matching.py)."""
    batch_size: int = LARGEST_BATCH
    """Runs of an arm that are trained together, at most; changes how fast they are and nothing else."""
    choices: tuple[ChosenSetting, ...] = ()
    """What tuning, matching and finished arms have settled so far."""

    def __post_init__(self) -> None:
        for what, values in (("environments", self.env_ids), ("seeds", self.seeds), ("arms", self._meanings())):
            if not values:
                raise ValueError(f"a study needs at least one of its {what}, got none")
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ValueError(f"each of the {what} may be given once, got {twice[0]} twice")
        if len(self.seeds) > MOST_SEEDS:
            raise ValueError(f"a study may have at most {MOST_SEEDS} seeds, got {len(self.seeds)}")
        self._check_names()
        self._check_tuning()
        self.options.check()
        env_kwargs.check_environments(self.options.env_kwargs, self.env_ids)
        if not 1 <= self.batch_size <= LARGEST_BATCH:
            raise ValueError(f"batch_size must be from 1 to {LARGEST_BATCH} runs, got {self.batch_size}")
        wrong = [seed for seed in (*self.seeds, *self.tune_seeds) if not 0 <= seed <= LARGEST_SEED]
        if wrong:
            raise ValueError(f"seeds must be whole numbers from 0 to {LARGEST_SEED}, got {wrong[0]}")
        if len(self.agents) != len(self.env_ids):
            raise ValueError(f"settings must be one for each environment, got {len(self.agents)} for {len(self.env_ids)}")
        _ = self.options.shifts, self.options.step_size  # parsed here, where an error has a place to go
        self._check_baselines()

    def _meanings(self) -> list[str]:
        """What each arm stands for; with tuning an open key stands for another value than its default."""
        opened = [", ".join(f"{key} tuned" for key in open_keys(arm.text)) if self.tune else "" for arm in self.arms]
        return [f"{arm.canonical} ({keys})" if keys else arm.canonical for arm, keys in zip(self.arms, opened, strict=True)]

    def check_environments(self) -> None:
        """ValueError unless every environment can be made here, fits the agents, and can shift so.

        Apart from the rest, since to make an environment can mean to import the module that its id names: `report` must not.
        """
        envs.import_modules(envs.modules_of(self.env_ids))
        for env_id, agent in zip(self.env_ids, self.agents, strict=True):
            made_with = self.options.made_with(env_id)
            envs.check_env_id(env_id, self.options.shifts, self.options.backend, **made_with)
            if agent.observation_scale:
                env = envs.make(env_id, (0,), 1, **made_with)
                env.close()
                check_scale(agent.observation_scale, env.observation_space.shape[0])

    def check_machine(self) -> None:
        """ValueError unless this machine has the device and the kernel.

        Apart from the rest, since to report or evaluate a study takes none of them.
        """
        check_kernel(self.options.kernel)
        if self.options.device == "cuda" and not torch.cuda.is_available():
            remedy = "torch sees no GPU; leave --device out to train on the CPU"
            raise ValueError(f"device must be one that this machine has, got {self.options.device}: {remedy}")

    def _check_baselines(self) -> None:
        """ValueError for a baseline under settings that need the E of a β rule."""
        baselines = [arm.text for arm in self.arms if arm.is_baseline]
        step_size = self.options.step_size
        needs = [f"lr_rule={self.options.lr_rule}"] if step_size is not None and step_size.needs_E else []
        needs += ["clip=numerator"] if any(agent.clip == "numerator" for agent in self.agents) else []
        if needs and baselines:
            other = ", or take lr_rule=trac, which goes around any optimizer" if needs[0].startswith("lr_rule") else ""
            remedy = f"compare it with β rules in a study without this setting{other}"
            raise ValueError(f"{needs[0]} needs the E of a β rule, and {baselines[0]} is an optimizer of torch: {remedy}")

    def _check_names(self) -> None:
        """ValueError for folders of arms or environments that no disk could tell apart, or hold."""
        for what, names in (("arms", [arm.name for arm in self.arms]), ("environments", list(map(env_folder, self.env_ids)))):
            if len({name.lower() for name in names}) < len(names):
                raise ValueError(f"two {what} have the same folder name: write one of them in another way")
            for name in names:
                if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
                    raise ValueError(f"names of {what} must have at most {LONGEST_NAME} bytes, being folders, got {name!r}")

    def _check_tuning(self) -> None:
        """ValueError for settings of tuning and matching that contradict each other."""
        if not 0 <= self.tune <= MOST_DRAWS:
            raise ValueError(f"tune must be from 0 to {MOST_DRAWS} draws an arm, got {self.tune}")
        if self.tune and self.match_update_rms:
            raise ValueError("tune chooses every arm's lr, and match_update_rms another: give one of them")
        if not (self.tune or self.match_update_rms):
            return
        if self.match_update_rms and self.match_update_rms not in [arm.text for arm in self.arms if not arm.control_of]:
            raise ValueError(f"match_update_rms must be one of the arms, got {self.match_update_rms!r}")
        if len(set(self.tune_seeds)) < max(len(self.tune_seeds), 1):
            raise ValueError(f"tune_seeds must be at least one seed, each given once, got {written_seeds(self.tune_seeds)!r}")
        both = set(self.seeds) & set(self.tune_seeds)
        if both:
            raise ValueError(
                f"tune_seeds must be others than seeds, got {min(both)} in both: a choice must be tested on fresh seeds"
            )

    def choice(self, env_id: str, arm: Arm) -> ChosenSetting:
        """What the arm trains with in this environment; of a control, its own text until its arm has trained."""
        settled = {(choice.env_id, choice.arm): choice for choice in self.choices}
        return settled.get((env_id, arm.text), ChosenSetting(env_id, arm.text, arm.text, self.agent_in(env_id).lr))

    def is_settled(self, env_id: str, arm: Arm) -> bool:
        """Whether it is known what the arm trains with in this environment: of a control, once its arm has trained."""
        return not arm.control_of or self.choice(env_id, arm).rule != arm.text

    def agent_in(self, env_id: str) -> Agent:
        """The agent's settings in this environment."""
        return self.agents[self.env_ids.index(env_id)]

    def with_choices(self, choices: Iterable[ChosenSetting]) -> Study:
        """The same study with these choices settled, in place of earlier ones for the same arm and environment."""
        settled = {(choice.env_id, choice.arm): choice for choice in (*self.choices, *choices)}
        return replace(self, choices=tuple(settled.values()))

    def is_same(self, other: Study) -> bool:
        """Whether both describe the same runs, whatever has been chosen so far, and however batches are cut."""
        return replace(self, **UNESSENTIAL) == replace(other, **UNESSENTIAL)

    def cut_for(self, workers: int) -> Study:
        """The same study with an arm's seeds together, or cut up further if that keeps more workers busy."""
        arms = len(self.env_ids) * len(self.arms)
        pieces = max(-(-len(self.seeds) // LARGEST_BATCH), min(-(-workers // arms), len(self.seeds)))
        return replace(self, batch_size=-(-len(self.seeds) // pieces))

    def batches(self, some: Sequence[Arm] | None = None) -> list[BatchSpec]:
        """The study, or some of its arms, cut into batches."""
        chosen = self.arms if some is None else some
        chunks = [self.seeds[i : i + self.batch_size] for i in range(0, len(self.seeds), self.batch_size)]
        return [
            self.batch(env_id, arm, chunk, aggregated=len(self.seeds) > 1)
            for env_id in self.env_ids
            for arm in chosen
            for chunk in chunks
        ]

    def batch(self, env_id: str, arm: Arm, seeds: tuple[int, ...], aggregated: bool = False) -> BatchSpec:
        """The runs of one arm in one environment with these seeds."""
        choice = self.choice(env_id, arm)
        agent = replace(self.agent_in(env_id), lr=choice.lr)
        trained_arm = arm if choice.rule == arm.text else Arm(choice.rule)
        modules = envs.modules_of(self.env_ids)
        return BatchSpec(self.folder, env_id, agent, arm, trained_arm, seeds, self.options, aggregated, modules)

    def save(self, **more: object) -> None:
        """Write study.json, from which `report` and `evaluate` know what to look for, and what else a reader should know."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {**asdict(self), "agents": [asdict(a) for a in self.agents], **more}
        write_json(self.folder / STUDY_FILE, {k: v for k, v in content.items() if k != "folder"})


UNESSENTIAL: dict[str, Any] = {"folder": Path(), "command": "", "batch_size": LARGEST_BATCH, "choices": ()}
"""Fields that do not say what a study is, with a value for all."""


def load_study(folder: Path) -> Study:
    """The study that a folder holds; ValueError if it holds none."""
    check_holds_study(folder)
    path = folder / STUDY_FILE
    try:
        content = read_json(path)
        content.pop("search_space", None)  # follows from the rest
        options = content.get("options")
        name = options.get("agent") if isinstance(options, dict) else None
        if not isinstance(name, str) or name not in AGENTS:
            raise ValueError(f"options.agent must be one of {', '.join(AGENTS)}, got {name!r}")
        agents = tuple(
            from_table(AGENTS[name], table, "agents") for table in convert(content.pop("agents", None), list, "agents")
        )
        return from_table(Study, content, "study.json", folder=folder, agents=agents)
    except ValueError as error:
        raise ValueError(f"{path} does not describe a study of this version: {error}") from error
