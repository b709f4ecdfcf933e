"""The command line `rl-rmsprop VERB`: reads the arguments, calls the package, turns errors into exit codes.

Exit codes: 0 done; 2 bad input, in one line, with nothing created; 3 some runs failed; 74 input or output failed;
130 interrupted, 143 terminated. Everything heavier than the parser is imported by the verb that needs it, so that --help
answers at once.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

BAD_INPUT, SOME_FAILED, IO_FAILED, INTERRUPTED, TERMINATED = 2, 3, 74, 130, 143

# Verbs and their options ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunOptions:
    """What is run, and where its results go."""

    agent: Literal["a2c", "ppo", "reinforce"] = "a2c"
    """Learning algorithm."""
    seeds: str = "0-4"
    """One run per seed: 0-9, or 0,2,5-7."""
    steps: int = 500_000
    """Environment steps per run."""
    eval_episodes: int = 100
    """Episodes of the final evaluation, with the greedy policy."""
    shift: Annotated[tuple[str, ...], arg(metavar="SHIFT [SHIFT ...]", help_behavior_hint="")] = ()
    """What changes in the environment, such as gravity:values=9.8/25,at=100000; `rl-rmsprop envs ID` lists what can."""
    record_signals: bool = False
    """Keep the signals of every update for `rl-rmsprop replay`."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/ and a name made of the settings)")] = None
    """The study's folder."""
    overwrite: bool = False
    """Replace the study that the folder holds."""
    workers: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: one per core)")] = None
    """Worker processes."""
    bias_correction: bool = True
    """Divide E by the weight it has received."""
    eps: float = 1e-5
    """ε of the optimizer."""


def preset(metavar: str) -> Any:
    """How --help shows an option whose default depends on agent and environment."""
    return arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Settings:
    """The agent's settings; one left out has the value of the environment's tuned preset, or else the agent's default."""

    lr: Annotated[float | None, preset("FLOAT")] = None
    """Step size."""
    lr_schedule: Annotated[Literal["constant", "linear"] | None, preset("{constant,linear}")] = None
    """Constant, or falling linearly to 0."""
    n_envs: Annotated[int | None, preset("INT")] = None
    """Environments per run."""
    n_steps: Annotated[int | None, preset("INT")] = None
    """Steps of each environment before the agent learns from them."""
    gamma: Annotated[float | None, preset("FLOAT")] = None
    """Discount per step."""
    gae_lambda: Annotated[float | None, preset("FLOAT")] = None
    """λ of the advantage estimate (a2c, ppo)."""
    n_epochs: Annotated[int | None, preset("INT")] = None
    """How often the steps are gone through (ppo)."""
    batch_size: Annotated[int | None, preset("INT")] = None
    """Steps per optimizer update (ppo)."""
    clip_range: Annotated[float | None, preset("FLOAT")] = None
    """How far the ratio of an action's probabilities may move (ppo)."""
    vf_coef: Annotated[float | None, preset("FLOAT")] = None
    """Weight of the value loss."""
    ent_coef: Annotated[float | None, preset("FLOAT")] = None
    """Weight of the entropy bonus."""
    max_grad_norm: Annotated[float | None, preset("FLOAT")] = None
    """Longest gradient of a run."""
    reward_scale: Annotated[float | None, preset("FLOAT")] = None
    """Factor on rewards for learning; reported returns are unscaled."""
    observation_scale: Annotated[tuple[float, ...] | None, preset("FLOAT [FLOAT ...]")] = None
    """Typical size of each sensor, by which observations are divided."""
    normalize_observations: Annotated[bool | None, preset("{True,False}")] = None
    """Shift and scale observations by their running mean and standard deviation."""
    normalize_rewards: Annotated[bool | None, preset("{True,False}")] = None
    """Divide rewards, for learning, by the running standard deviation of the discounted return."""
    normalize_advantage: Annotated[bool | None, preset("{True,False}")] = None
    """Scale advantages to mean 0 and standard deviation 1."""
    log_std_init: Annotated[float | None, preset("FLOAT")] = None
    """Initial ln σ of continuous actions."""
    hidden: Annotated[tuple[int, ...] | None, preset("INT [INT ...]")] = None
    """Widths of the hidden layers."""


@dataclass(frozen=True)
class ReportOptions:
    """How arms are compared."""

    metric: Annotated[str, arg(help_behavior_hint="(default: area)")] = "area"
    """Score that decides: area, final, steps_to_threshold, or after shifts drop, recovery or regret."""
    baseline: Annotated[str | None, arg(metavar="ARM", help_behavior_hint="(default: the fixed β with the best score)")] = None
    """Arm that the others are compared with."""
    threshold: Annotated[tuple[str, ...], arg(metavar="[ID=]RETURN ...", help_behavior_hint="(default: Gymnasium's)")] = ()
    """Return that counts as solved."""


@dataclass(frozen=True)
class Train:
    """Train one arm over some seeds: one β rule, or one optimizer of torch."""

    env: Annotated[str, arg(help_behavior_hint="(needed)")] = ""
    """Gymnasium id of the environment, such as CartPole-v1."""
    beta: Annotated[str | None, arg(metavar="RULE", help_behavior_hint="(default: 0.99)")] = None
    """β rule: a number, or one of those that `rl-rmsprop rules` lists."""
    optimizer: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Train with this optimizer of torch instead: sgd, momentum, adagrad, rmsprop, adam, amsgrad or adamax."""
    run: OmitArgPrefixes[RunOptions] = RunOptions()
    settings: OmitArgPrefixes[Settings] = Settings()

    def __call__(self) -> int:
        if self.beta is not None and self.optimizer is not None:
            raise ValueError(f"train has one arm, got --beta {self.beta} and --optimizer {self.optimizer}: compare takes several")
        arm = ("0.99" if self.beta is None else self.beta, False) if self.optimizer is None else (self.optimizer, True)
        return run_study(self.run, self.settings, [self.env] if self.env else [], [arm])


@dataclass(frozen=True)
class Compare:
    """Compare arms over the same seeds and report: the main job."""

    env: Annotated[tuple[str, ...], arg(metavar="ID [ID ...]", help_behavior_hint="(needed)")] = ()
    """Gymnasium ids of the environments."""
    betas: Annotated[tuple[str, ...], arg(metavar="RULE [RULE ...]", help_behavior_hint="")] = ()
    """β rules, such as 0.9 0.99 linear:start=0.5,end=0.99 cusum:arl=50000,max=0.99."""
    baselines: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="")] = ()
    """Optimizers of torch to compare with: sgd, momentum, adagrad, rmsprop, adam, amsgrad, adamax."""
    report: OmitArgPrefixes[ReportOptions] = ReportOptions()
    run: OmitArgPrefixes[RunOptions] = RunOptions()
    settings: OmitArgPrefixes[Settings] = Settings()

    def __call__(self) -> int:
        arms = [(b, False) for b in self.betas] + [(b, True) for b in self.baselines]
        return run_study(self.run, self.settings, list(self.env), arms, self.report)


@dataclass(frozen=True)
class Report:
    """Make a study's report again from its files; options replace those that it was made with."""

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
    """The study's folder."""
    report: OmitArgPrefixes[ReportOptions] = ReportOptions()

    def __call__(self) -> int:
        from rl_rmsprop.study import report, spec

        study = spec.load(self.dir)
        settings = report.make_settings(study, **vars(self.report)) if self.report != ReportOptions() else None
        made = report.write_report(study, settings)
        announce(study, made)
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Evaluate the trained policies of a study in fresh episodes."""

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
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

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
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

    rules: Annotated[
        tuple[str, ...], Positional, arg(metavar="[RULE ...]", help_behavior_hint="(default: an example of each)")
    ] = ()
    """Rules to draw."""
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

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
    """The study's folder."""
    twins: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the updates before the first change)")] = None
    """The same study without --shift."""
    detectors: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: this package's)")] = ()
    """Detectors, such as cusum ewma adwin."""
    betas: Annotated[tuple[str, ...], arg(metavar="RULE [RULE ...]", help_behavior_hint="(default: one of each kind)")] = ()
    """β rules whose forecasts of g² are scored."""
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

    env: Annotated[str, Positional, arg(metavar="[ID]", help_behavior_hint="")] = ""
    """Gymnasium id of the environment to look into."""

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
        raise ValueError(f"{complaint(verb, rest, said.getvalue())}; rl-rmsprop {name} --help explains the options") from None


def complaint(verb: type[Any], rest: Sequence[str], said: str) -> str:
    """What the parser's message says in one line; values of the wrong type in words of our own."""
    words = " ".join(re.sub(r"[╭╮╰╯│─]+|-{4,}", " ", said).split())
    wrong = re.search(r"Error parsing --([\w-]+):", words)
    if wrong:
        kind = str(options(verb)[wrong[1]].type)
        wanted = next(what for name, what in KINDS.items() if name in kind)
        return f"--{wrong[1]} must be {wanted}, got {' '.join(dict(typed(rest))[wrong[1]])!r}"
    text = re.split(r" (?:Argument helptext|For full helptext)", words)[0]
    return re.sub(r"^(?:Value error|Invalid choice|Missing argument|Unrecognized options) (?=\S)", "", text).rstrip(".")


KINDS = {
    "tuple[float": "numbers such as 1 0.5",
    "tuple[int": "whole numbers such as 64 64",
    "float": "a number such as 0.001",
    "int": "a whole number written in digits",
}
"""Part of an option's type → what its value must be."""


def check_flags(name: str, verb: type[Any], rest: Sequence[str]) -> None:
    """ValueError for an option that the verb does not have or that is given twice, or a folder that is missing."""
    known = options(verb)
    negated = {f"no-{flag}": flag for flag, field in known.items() if field.type == "bool"}
    seen: set[str] = set()
    for flag, _ in typed(rest)[1:]:
        if flag not in known and flag not in negated:
            raise ValueError(f"rl-rmsprop {name} has no option --{flag}{suggest(flag, [*known, *negated], '--')}")
        flag = negated.get(flag, flag)
        if flag in seen:  # the parser would drop all but the last without a word
            several = ": write its values behind one another" if "tuple" in str(known[flag].type) else ""
            raise ValueError(f"each option may be given once, got --{flag} twice{several}")
        seen.add(flag)
    needed = [f.name for f in fields(verb) if f.default is MISSING and f.default_factory is MISSING]
    if needed and not any(values for _, values in typed(rest)):
        raise ValueError(f"rl-rmsprop {name} needs {' and '.join(n.upper() for n in needed)}: the study's folder")


def options(verb: type[Any]) -> dict[str, Field[Any]]:
    """A verb's options by name, those of its groups included."""
    found: dict[str, Field[Any]] = {}
    for field in fields(verb):
        found |= options(type(field.default)) if is_dataclass(field.default) else {field.name.replace("_", "-"): field}
    return found


def typed(rest: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The options as they were typed, each with the words behind it; those before the first one stand under ''."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for word in rest:
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            found.append((flag.replace("_", "-"), [value] if equals else []))
        else:
            found[-1][1].append(word)
    return found


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

    width = None if sys.stdout.isatty() else 120
    return Console(highlight=False, markup=False, width=width)  # no markup: [brackets] are intervals here


# train and compare ---------------------------------------------------------------------------------------------------------


def run_study(
    run: RunOptions,
    settings: Settings,
    env_ids: list[str],
    arms: list[tuple[str, bool]],
    compared: ReportOptions = ReportOptions(),
) -> int:
    """Check everything, run all batches, write the report, say what came out."""
    from rl_rmsprop.study import display, report, runner

    if run.workers is not None and run.workers < 1:
        raise ValueError(f"workers must be at least 1, got {run.workers}")
    study = make_study(run, settings, env_ids, arms)
    reported = report.make_settings(study, **vars(compared))
    prepare_folder(study.folder, run.overwrite)
    study.save()
    report.save_settings(reported, study.folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # workers are ended on the way out
    workers = run.workers or runner.default_workers()
    specs = study.batches(workers)
    out = console()
    sizes = ((study.arms, "arm"), (study.env_ids, "environment"), (study.seeds, "seed"))
    what = " × ".join(f"{len(things)} {name}{'s' * (len(things) > 1)}" for things, name in sizes)
    out.print(f"{what} → {study.folder}", soft_wrap=True)
    failures = display.follow(runner.run_batches(specs, min(workers, len(specs))), specs, out)
    for failure in failures:
        print(failure, file=sys.stderr)
    try:
        announce(study, report.write_report(study))
    except report.NothingFinished:  # the failures above say why
        out.print("no run finished")
    return SOME_FAILED if failures else 0


def make_study(run: RunOptions, settings: Settings, env_ids: list[str], arms: list[tuple[str, bool]]) -> Any:
    """The study that the options describe; ValueError for whatever cannot be run."""
    from rl_rmsprop.study import presets, spec
    from rl_rmsprop.study.optimizers import make_arm

    if not env_ids:
        raise ValueError("an environment is needed: --env CartPole-v1; rl-rmsprop envs lists the known ones")
    if not arms:
        raise ValueError("at least one arm is needed: --betas 0.9 0.99 …; rl-rmsprop rules lists them")
    if not 0 <= run.eps < float("inf"):
        raise ValueError(f"eps must be at least 0 and finite, got {run.eps}")
    made = tuple(make_arm(text, base, eps=run.eps, bias_correction=run.bias_correction) for text, base in arms)
    seeds = spec.parse_seeds(run.seeds)
    overrides = {name: value for name, value in vars(settings).items() if value is not None}
    agents = tuple(presets.make_agent(run.agent, env_id, overrides) for env_id in env_ids)
    folder = run.out or spec.default_folder(env_ids, run.agent, made, seeds, run.steps, run.shift)
    return spec.Study(
        folder, tuple(env_ids), run.agent, agents, made, seeds, run.steps, run.eval_episodes,
        command=shlex.join(["rl-rmsprop", *sys.argv[1:]]), shifts=run.shift, record_signals=run.record_signals,
    )  # fmt: skip


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make room for a study; ValueError if the folder holds something that must not be lost."""
    import shutil

    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is not a folder: choose another --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "study.json").is_file():
        raise ValueError(f"{folder} holds files that are not a study's: choose another --out")
    if not overwrite:
        raise ValueError(f"{folder} holds a study already: choose another --out, or --overwrite to replace it")
    shutil.rmtree(folder)


def announce(study: Any, made: Any) -> None:
    """The table of arms, the finding, what to beware of, where the files are, how to look at them."""
    from rl_rmsprop.study import display, viewer

    out = console()
    for analysis in made.analyses:
        out.print(display.arms_table(analysis))
    for sentence in made.findings:
        out.print(sentence, soft_wrap=True)
    for warning in made.warnings:
        out.print(f"Beware: {warning}", soft_wrap=True)
    folder = shlex.quote(str(study.folder))
    out.print(f"report: {study.folder}/report/report.html", soft_wrap=True)
    out.print(f"curves: tensorboard --logdir {folder} --samples_per_plugin scalars=3000", soft_wrap=True)
    out.print(f"    or: rl-rmsprop tensorboard {folder}", soft_wrap=True)
    if len(study.env_ids) * len(study.arms) * (len(study.seeds) + 1) > viewer.MOST_RUNS:
        out.print(
            f"With more than {viewer.MOST_RUNS} runs TensorBoard shows none until its run filter says _agg, or a run's name."
        )
