"""The command line `rl-rmsprop VERB`: reads the arguments, calls the package, turns errors into exit codes.

Exit codes: 0 done; 2 bad input, in one line, with nothing created; 3 some runs failed; 74 input or output failed;
130 interrupted. Everything heavier than the parser is imported by the verb that needs it, so that --help answers at once.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

BAD_INPUT, SOME_FAILED, IO_FAILED, INTERRUPTED = 2, 3, 74, 130

# Verbs and their options ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgentOptions:
    """Options that `train` and `compare` share; an option left out has the value of the environment's tuned preset."""

    agent: Literal["a2c", "reinforce"] = "a2c"
    """Learning algorithm."""
    seeds: str = "0-4"
    """One run per seed: 0-9, or 0,2,5-7."""
    steps: int = 500_000
    """Environment steps per run."""
    out: Path | None = None
    """The study's folder (default: runs/ and a name made from the settings)."""
    overwrite: bool = False
    """Replace the study that the folder holds."""
    workers: int | None = None
    """Worker processes (default: one per core)."""
    eval_episodes: int = 100
    """Episodes of the final evaluation, with the greedy policy."""
    shift: tuple[str, ...] = ()
    """What changes in the environment, such as gravity:values=9.8/25,at=100000; `rl-rmsprop envs ID` lists what can."""
    record_signals: bool = False
    """Keep the signals of every update for `rl-rmsprop replay`."""
    bias_correction: bool = True
    """Divide E by the weight it has received."""
    eps: float = 1e-5
    """ε of the optimizer."""
    lr: float | None = None
    """Step size."""
    lr_schedule: Literal["constant", "linear"] | None = None
    """Constant, or falling linearly to 0."""
    n_envs: int | None = None
    """Environments per run."""
    n_steps: int | None = None
    """Steps of each environment per update."""
    gamma: float | None = None
    """Discount per step."""
    gae_lambda: float | None = None
    """λ of the advantage estimate (a2c)."""
    vf_coef: float | None = None
    """Weight of the value loss."""
    ent_coef: float | None = None
    """Weight of the entropy bonus."""
    max_grad_norm: float | None = None
    """Longest gradient of a run."""
    reward_scale: float | None = None
    """Factor on rewards for learning; reported returns are unscaled."""
    observation_scale: tuple[float, ...] | None = None
    """Typical size of each sensor, by which observations are divided."""
    normalize_advantage: bool | None = None
    """Scale advantages to mean 0 and standard deviation 1."""
    hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers."""


SETTINGS = (
    "lr", "lr_schedule", "n_envs", "n_steps", "gamma", "gae_lambda", "vf_coef", "ent_coef", "max_grad_norm", "reward_scale",
    "observation_scale", "normalize_advantage", "hidden",
)  # fmt: skip


@dataclass(frozen=True)
class Train(AgentOptions):
    """Train one arm over some seeds: one β rule, or one optimizer of torch."""

    env: str = ""
    """Gymnasium id of the environment, such as CartPole-v1 (needed)."""
    beta: str = "0.99"
    """β rule: a number, or one of those that `rl-rmsprop rules` lists."""
    optimizer: str | None = None
    """Train with this optimizer of torch instead: sgd, momentum, adagrad, rmsprop, adam, amsgrad or adamax."""

    def __call__(self) -> int:
        arms = [(self.optimizer, True)] if self.optimizer else [(self.beta, False)]
        return run_study(self, [self.env] if self.env else [], arms)


@dataclass(frozen=True)
class Compare(AgentOptions):
    """Compare arms over the same seeds and report: the main job."""

    env: tuple[str, ...] = ()
    """Gymnasium ids of the environments (at least one)."""
    betas: tuple[str, ...] = ()
    """β rules, such as 0.9 0.99 linear:start=0.5,end=0.99 cusum:arl=50000,max=0.99."""
    baselines: tuple[str, ...] = ()
    """Optimizers of torch to compare with: sgd, momentum, adagrad, rmsprop, adam, amsgrad, adamax."""

    def __call__(self) -> int:
        return run_study(self, list(self.env), [(b, False) for b in self.betas] + [(b, True) for b in self.baselines])


@dataclass(frozen=True)
class Report:
    """Make a study's report again from its files."""

    dir: Annotated[Path, tyro.conf.Positional]
    """The study's folder."""

    def __call__(self) -> int:
        from rl_rmsprop.study import report, spec

        study = spec.load(self.dir)
        announce(study, report.write_report(study))
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Evaluate the trained policies of a study in fresh episodes."""

    dir: Annotated[Path, tyro.conf.Positional]
    """The study's folder."""
    episodes: int = 100
    """Episodes per run."""
    stochastic: bool = False
    """Sample actions instead of taking the most likely one."""

    def __call__(self) -> int:
        from rl_rmsprop.study import evaluation, spec

        if self.episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {self.episodes}")
        evaluation.evaluate_study(spec.load(self.dir), self.episodes, self.stochastic, console())
        return 0


@dataclass(frozen=True)
class Tensorboard:
    """Start TensorBoard on a study, on this machine only."""

    dir: Annotated[Path, tyro.conf.Positional]
    """The study's folder, or any folder above event files."""
    port: int = 6006
    """Port on 127.0.0.1; the next free one is taken if it is in use."""

    def __call__(self) -> int:
        from rl_rmsprop.study import viewer

        return viewer.serve(self.dir, self.port)


@dataclass(frozen=True)
class Walkthrough:
    """Work through the RMSProp post: its traces, its table of β and its five questions, with the numbers computed here."""

    def __call__(self) -> int:
        from rl_rmsprop.walkthrough import walkthrough

        print(walkthrough())
        return 0


@dataclass(frozen=True)
class Rules:
    """List the β rules and draw their curves."""

    rules: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Rules to draw (default: an example of each)."""
    updates: int = 1000
    """Updates to draw."""
    out: Path = Path("runs/rules.png")
    """Where the picture goes."""

    def __call__(self) -> int:
        from rl_rmsprop.study import rule_curves

        rule_curves.show(self.rules, self.updates, self.out, console())
        return 0


@dataclass(frozen=True)
class Replay:
    """Run detectors and β rules over the signals that a study recorded (--record-signals), without training."""

    dir: Annotated[Path, tyro.conf.Positional]
    """The study's folder."""
    twins: Path | None = None
    """The same study without --shift; default: the updates before the first change."""
    detectors: tuple[str, ...] = ()
    """Detectors, such as cusum ewma adwin (default: each of this package's)."""
    betas: tuple[str, ...] = ()
    """β rules whose forecasts of g² are scored (default: one of each kind)."""
    signal: str = "surprise"
    """What the detectors listen to: surprise, grad_norm or cosine, of all parameters or with _actor, _critic; episode_return."""
    rate: float = 1.0
    """Alarms per 1000 updates on the twins that every detector is tuned to."""

    def __call__(self) -> int:
        from rl_rmsprop.study import replay, spec

        if not 0 < self.rate < 1000:
            raise ValueError(f"rate must be between 0 and 1000 alarms per 1000 updates, got {self.rate}")
        twins = spec.load(self.twins) if self.twins is not None else None
        replay.replay(spec.load(self.dir), twins, self.detectors, self.betas, self.signal, self.rate, console())
        return 0


@dataclass(frozen=True)
class Envs:
    """List the environments, or what can shift in one: parameters with their usual value and tested range, and profiles."""

    env: Annotated[str, tyro.conf.Positional] = ""
    """Gymnasium id."""

    def __call__(self) -> int:
        from rl_rmsprop.study import environments

        if self.env:
            environments.show_shifts(self.env, console())
        else:
            environments.show(console())
        return 0


VERBS: dict[str, type[Any]] = {
    "train": Train,
    "compare": Compare,
    "report": Report,
    "evaluate": Evaluate,
    "tensorboard": Tensorboard,
    "walkthrough": Walkthrough,
    "rules": Rules,
    "envs": Envs,
    "replay": Replay,
}

OVERVIEW = """rl-rmsprop: an RMSProp whose forgetting rate β is a number, a schedule, or set by a detector of shifts.

usage: rl-rmsprop VERB [OPTIONS]        (rl-rmsprop VERB --help explains a verb's options)

{verbs}

examples:
  rl-rmsprop compare --env CartPole-v1 --betas 0.9 0.99 0.999 cusum:arl=50000,max=0.99 --seeds 0-9 --steps 200000
  rl-rmsprop train --env LunarLander-v3 --beta 0.999 --seeds 0-4 --steps 1000000
  rl-rmsprop tensorboard runs/
"""

# From arguments to a verb --------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not args or args[0] in ("-h", "--help"):
            print(OVERVIEW.format(verbs="\n".join(f"  {name:12} {first_line(verb)}" for name, verb in VERBS.items())))
            return 0
        if args[0] == "--version":
            from rl_rmsprop import __version__

            print(f"rl-rmsprop {__version__}")
            return 0
        return int(parse(args)())
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; Python would complain once more at exit
        return 0
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return IO_FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def parse(args: list[str]) -> Any:
    """The verb with its options; ValueError in one line for whatever is wrong with them."""
    name, rest = args[0], args[1:]
    if name not in VERBS:
        raise ValueError(f"verb must be one of {', '.join(VERBS)}, got {name!r}{suggest(name, VERBS)}")
    verb = VERBS[name]
    if not {"-h", "--help"} & set(rest):
        check_flags(name, verb, rest)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return tyro.cli(verb, args=rest, prog=f"rl-rmsprop {name}")
    except SystemExit as stop:
        if stop.code in (None, 0):  # --help
            print(said.getvalue(), end="")
            raise SystemExit(0) from None
        words = " ".join(re.sub(r"[╭╮╰╯│─]+|-{4,}", " ", said.getvalue()).split())
        text = re.split(r" (?:Argument helptext|For full helptext)", words)[0]
        text = re.sub(r"^(?:Parsing error|Value error|Invalid choice|Required options) ", "", text)
        raise ValueError(f"{text}; rl-rmsprop {name} --help explains the options") from None


def check_flags(name: str, verb: type[Any], rest: Sequence[str]) -> None:
    """ValueError for an option that the verb does not have, or a folder that is missing."""
    known = {f.name.replace("_", "-") for f in fields(verb)}
    known |= {f"no-{f.name.replace('_', '-')}" for f in fields(verb) if "bool" in str(f.type)}
    for word in rest:
        flag = word[2:].split("=")[0].replace("_", "-")
        if word.startswith("--") and flag not in known:
            raise ValueError(f"rl-rmsprop {name} has no option --{flag}{suggest(flag, known, '--')}")
    needed = [f.name for f in fields(verb) if f.default is MISSING and f.default_factory is MISSING]
    if needed and not [word for word in rest if not word.startswith("--")]:
        raise ValueError(f"rl-rmsprop {name} needs {' and '.join(n.upper() for n in needed)}: the study's folder")


def suggest(name: str, known: Sequence[str] | set[str] | dict[str, Any], prefix: str = "") -> str:
    """`: did you mean …?`, or nothing if no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {prefix}{near[0]}?" if near else ""


def first_line(verb: type[Any]) -> str:
    """The first sentence of a verb's docstring."""
    return (verb.__doc__ or "").split("\n")[0]


def console() -> Any:
    """Where tables and progress go; wide enough for a table when the output is not a terminal."""
    from rich.console import Console

    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=120)


# train and compare ---------------------------------------------------------------------------------------------------------


def run_study(options: AgentOptions, env_ids: list[str], arms: list[tuple[str, bool]]) -> int:
    """Check everything, run all batches, write the report, say what came out."""
    from rl_rmsprop.study import display, report, runner

    if options.workers is not None and options.workers < 1:
        raise ValueError(f"workers must be at least 1, got {options.workers}")
    study = make_study(options, env_ids, arms)
    prepare_folder(study.folder, options.overwrite)
    study.save()
    workers = options.workers or runner.default_workers()
    specs = study.batches(workers)
    out = console()
    out.print(f"{len(study.arms)} arms × {len(study.env_ids)} environments × {len(study.seeds)} seeds → {study.folder}")
    failures = display.follow(runner.run_batches(specs, min(workers, len(specs))), specs, out)
    try:
        announce(study, report.write_report(study))
    except ValueError:  # no run has finished: the failures below say why
        out.print("no run finished")
    for failure in failures:
        print(failure, file=sys.stderr)
    return SOME_FAILED if failures else 0


def make_study(options: AgentOptions, env_ids: list[str], arms: list[tuple[str, bool]]) -> Any:
    """The study that the options describe; ValueError for whatever cannot be run."""
    from rl_rmsprop.study import presets, spec
    from rl_rmsprop.study.optimizers import make_arm

    if not env_ids:
        raise ValueError("an environment is needed: --env CartPole-v1; rl-rmsprop envs lists the known ones")
    if not arms:
        raise ValueError("at least one arm is needed: --betas 0.9 0.99 …; rl-rmsprop rules lists them")
    if not 0 <= options.eps < float("inf"):
        raise ValueError(f"eps must be at least 0 and finite, got {options.eps}")
    made = tuple(make_arm(text, base, eps=options.eps, bias_correction=options.bias_correction) for text, base in arms)
    seeds = spec.parse_seeds(options.seeds)
    overrides = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    agents = tuple(presets.make_agent(options.agent, env_id, overrides) for env_id in env_ids)
    folder = options.out or spec.default_folder(env_ids, options.agent, made, seeds, options.steps, options.shift)
    return spec.Study(
        folder, tuple(env_ids), options.agent, agents, made, seeds, options.steps, options.eval_episodes,
        command=shlex.join(["rl-rmsprop", *sys.argv[1:]]), shifts=options.shift, record_signals=options.record_signals,
    )  # fmt: skip


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make room for a study; ValueError if the folder holds something that must not be lost."""
    import shutil

    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "study.json").is_file():
        raise ValueError(f"{folder} holds files that are not a study's: choose another --out")
    if not overwrite:
        raise ValueError(f"{folder} holds a study already: choose another --out, or --overwrite to replace it")
    shutil.rmtree(folder)


def announce(study: Any, results: Any) -> None:
    """The table of arms, the finding, where the files are, how to look at them."""
    from itertools import groupby

    from rl_rmsprop.study import display, report

    out = console()
    for env_id, group in groupby(results, key=lambda result: result.env_id):
        out.print(display.arms_table(env_id, list(group)))
    for sentence in report.findings(results):
        out.print(sentence, soft_wrap=True)
    folder = shlex.quote(str(study.folder))
    out.print(f"report: {study.folder}/report/report.html", soft_wrap=True)
    out.print(f"curves: tensorboard --logdir {folder} --samples_per_plugin scalars=3000", soft_wrap=True)
    out.print(f"    or: rl-rmsprop tensorboard {folder}", soft_wrap=True)
