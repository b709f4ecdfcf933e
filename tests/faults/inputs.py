"""Bad input: generated command lines, study files and texts of rules and shifts, each through the command line's own `main`.

    valid ones from the tables of options, rules and shifts → mutated → main() → accepted, or one line, exit 2, nothing created

What costs time is replaced behind the last check that a user's input passes: training by `accept`, which is called when the
study's folder has been made and study.json written; drawing curves and starting TensorBoard or a cluster by nothing; measuring a
rate by a look at three iterations. Whatever is accepted must also start: its optimizers take two updates, its environments three
steps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import random
import re
import shlex
import shutil
import signal
import string
import tempfile
import traceback
import typing
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch

import envs
from envs.shifts.profiles import PROFILES
from envs.shifts.shift import CLOCKS, parse_all
from rl_rmsprop import rules
from rl_rmsprop.baselines import BASELINES
from rl_rmsprop.cli import main, parse
from rl_rmsprop.cli.fields import Option, declared
from rl_rmsprop.cli.options import Settings
from rl_rmsprop.cli.study_file import keys_of as study_keys
from rl_rmsprop.cli.verbs import VERBS
from rl_rmsprop.cli.views import rules as rules_view
from rl_rmsprop.cli.views.rules import EXAMPLES
from rl_rmsprop.detectors import DETECTORS
from rl_rmsprop.diagnosis import examination
from rl_rmsprop.diagnosis.imports import Import
from rl_rmsprop.laws import LAWS
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.reactions import REACTIONS
from rl_rmsprop.schedules import SCHEDULES
from rl_rmsprop.storage import field_types, toml_writer
from rl_rmsprop.study import plan, report, run
from rl_rmsprop.study.execution import ray_cluster
from rl_rmsprop.study.execution.ray_executor import RayExecutor
from rl_rmsprop.study.execution.slurm_cluster import SlurmCluster
from rl_rmsprop.study.report import plotting
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.study.tuning import draws, trials
from tests.faults.table import Row

LONGEST = 10
"""Seconds after which an answer counts as none."""

# What may be written ---------------------------------------------------------------------------------------------------------

ENVIRONMENTS = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "LunarLander-v3")
SHIFTS = (
    "gravity:values=9.8/25,at=1000", "reward_scale:values=1/20,at=100", "reward_sign:profile=recurring,values=1/-1,every=50",
    "obs_noise:profile=sine,values=0/1,period=200", "obs_permutation:values=0/5,at=7", "action_sign:values=1/-1,at=5",
    "reward_offset:profile=walk,first=0,low=-1,high=1,sd=0.1", "reward_scale:profile=poisson,values=1/2,every=30,clock=updates",
)  # fmt: skip
ABSURD = (
    "0", "-0", "-1", "1", "1.5", "nan", "inf", "-inf", "1e30", "-1e30", "1e308", "1e400", "1e-320", "9" * 400, "0x10", "1_000",
    "True", "none", "", " ", "٣", "½", "β", "0.99·", "\u200b", "\x1b[31m", "\x01", "é" * 200, "a" * 5000, "[" * 300,
    "(" * 50 + ")" * 50, "{}", "a=b", "=", ":", ",", "/", "//", "..", "../..", "~", "~nobody", "-", "--", "---", "-h1", "@",
    "cusum@", "@cusum", "%s", "{0}", "$HOME", "`id`", "; rm -rf x", "\\", "'", '"', "\n", "\r\n", "\t", "😀", "１", "0.9/",
    "/0.9", "1-", "-1-2", "5-1", "0-4294967295", "4294967296", "18446744073709551616", "nowhere", "note", "finished", "/dev/null",
)  # fmt: skip
"""Words that nobody means, and some that only look right."""
PLACES = (
    "a",
    "a b",
    "β",
    "note",
    "note/x",
    "finished",
    ".",
    "..",
    "~x",
    "~/x",
    "x" * 300,
    "/dev/null",
    "/proc/x",
    "a\x01",
    "a,b",
)
"""Values of --out: free places, taken ones, impossible ones. `note` is a file, `finished` a study."""


def one_of(rng: random.Random, *kinds: Callable[[random.Random], str]) -> str:
    """What one of the generators makes."""
    return rng.choice(kinds)(rng)


def number(rng: random.Random) -> str:
    """A number that is likely to be allowed somewhere."""
    return repr(rng.choice([0, 1, 2, 5, 100, 1000, 0.5, 0.9, 0.99, 0.999, 0.01, round(rng.random(), 3)]))


def some_value(rng: random.Random, hint: Any) -> str:
    """A value of this type, as text."""
    inner = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) is tuple:
        return "/".join(some_value(rng, inner[0]) for _ in range(rng.randint(0, 3)))
    if inner and typing.get_origin(hint) is not typing.Literal:
        return some_value(rng, inner[0])
    if hint is int:
        return str(rng.choice([0, 1, 2, 10, 500]))
    return rng.choice(["true", "false"]) if hint is bool else number(rng) if hint is float else rng.choice(["beta", "window"])


def keys_of(rng: random.Random, kind: type[Any]) -> list[str]:
    """Some of a dataclass's fields with values."""
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING or rng.random() < 0.4]
    return [f"{name}={some_value(rng, hints[name])}" for name in names]


def rule(rng: random.Random) -> str:
    """A β rule's text, right in form and often in substance."""
    if rng.random() < 0.8:
        return rng.choice(list(EXAMPLES.values()))
    name, kind = rng.choice([*SCHEDULES.items(), *LAWS.items(), *DETECTORS.items()])
    keys = keys_of(rng, kind)
    if name in DETECTORS and rng.random() < 0.5:
        reaction, schedule = rng.choice(list(REACTIONS)), rng.choice(list(SCHEDULES))
        keys += [f"reaction={reaction}", *keys_of(rng, REACTIONS[reaction])]
        keys += [f"schedule={schedule}", *keys_of(rng, SCHEDULES[schedule])]
    text = f"{name}:{','.join(keys)}" if keys else name
    return f"{text}+{rule(rng)}" if rng.random() < 0.1 else text


def shift(rng: random.Random) -> str:
    """A shift's text."""
    if rng.random() < 0.8:
        return rng.choice(SHIFTS)
    name, kind = rng.choice(list(PROFILES.items()))
    parameter = rng.choice(SHIFTS).partition(":")[0]
    return f"{parameter}:{','.join([f'profile={name}', *keys_of(rng, kind), f'clock={rng.choice(CLOCKS)}'])}"


def baseline(rng: random.Random) -> str:
    """A baseline, often with one of its keys."""
    name = rng.choice(list(BASELINES))
    keys = list(BASELINES[name].keys.__dataclass_fields__)
    return f"{name}:{rng.choice(keys)}={rng.choice(('0', '0.5', '0.99', '1', 'x'))}" if keys and rng.random() < 0.5 else name


VALUES: dict[str, Callable[[random.Random], str]] = {
    "env": lambda rng: rng.choice(ENVIRONMENTS),
    "betas": rule,
    "beta": rule,
    "rules": rule,
    "baselines": baseline,
    "optimizer": baseline,
    "shift": shift,
    "agent": lambda rng: rng.choice(["a2c", "ppo", "reinforce"]),
    "seeds": lambda rng: rng.choice(["0", "0-4", "1,5-9", "3", "0,0"]),
    "tune_seeds": lambda rng: rng.choice(["7", "70-74"]),
    "match_update_rms": rule,
    "lr_schedule": lambda rng: rng.choice(["constant", "linear"]),
    "metric": lambda rng: rng.choice(["mean_return", "final", "regret", "steps_to_threshold"]),
    "baseline": rule,
    "threshold": lambda rng: rng.choice(["475", "CartPole-v1=475", "x"]),
    "out": lambda rng: rng.choice(PLACES),
    "dir": lambda rng: rng.choice(["nowhere", "note", "empty", ".", "finished", "~x"]),
    "twins": lambda rng: rng.choice(["nowhere", "empty", "finished"]),
    "folders": lambda rng: rng.choice(["nowhere", "empty", "finished", "note"]),
    "scales": lambda rng: rng.choice(["nowhere.toml", "study.toml", "note", "."]),
    "studies": lambda rng: rng.choice(["nowhere", "empty", "."]),
    "study": lambda rng: rng.choice(["study.toml", "nowhere.toml", "note", ".", "empty"]),
    "detectors": lambda rng: rng.choice([*DETECTORS, "adwin", "cusum:arl=9"]),
    "signal": lambda rng: rng.choice(["surprise", "grad_norm", "episode_return"]),
}
"""Name of an option → a value that may be allowed; of others a number, or a truth value."""


def words(rng: random.Random, verb: str) -> list[str]:
    """A command line that is right in form."""
    line = [verb]
    if verb in ("train", "compare"):
        line += ["--env", rng.choice(ENVIRONMENTS)]
        line += ["--betas", *{rule(rng) for _ in range(rng.randint(1, 3))}] if verb == "compare" else []
    known = declared(VERBS[verb])
    for option in rng.sample(known, min(len(known), rng.choice([0, 0, 1, 1, 1, 2, 3, len(known) // 2]))):
        if option.name in ("env", "betas") and verb in ("train", "compare"):
            continue
        values = [value_for(rng, option) for _ in range(rng.randint(1, 2) if option.is_list else 1)]
        if option.is_positional:
            line += values
        else:
            line += [option.flag] if option.is_switch and rng.random() < 0.5 else [option.flag, *values]
    return line


def kind_of(option: Option) -> Any:
    """The type of an option's value, or of each of them."""
    return field_types.entry_type(option.hint) or field_types.without_none(option.hint)


def value_for(rng: random.Random, option: Option) -> str:
    """A value for an option."""
    if option.name in VALUES:
        return VALUES[option.name](rng)
    if field_types.choices(kind_of(option)):
        return rng.choice(field_types.choices(kind_of(option)))
    if option.is_switch:
        return rng.choice(["True", "False"])
    return str(rng.choice([1, 2, 8, 64, 500])) if kind_of(option) is int else number(rng)


def table(rng: random.Random) -> dict[str, Any]:
    """A study file's content, right in form."""
    content: dict[str, Any] = {"env": [rng.choice(ENVIRONMENTS)], "betas": [rule(rng) for _ in range(rng.randint(1, 3))]}
    for option in study_keys(declared(VERBS["compare"])):
        if option.name not in content and rng.random() < 0.1:
            content[option.name] = typed(rng, option)
    own = {option.name: typed(rng, option) for option in declared(Settings) if rng.random() < 0.15}
    return content | ({"settings": own if rng.random() < 0.6 else {content["env"][0]: own}} if own else {})


def typed(rng: random.Random, option: Option) -> Any:
    """A value for a key of a study file, of the type that TOML has for it."""
    text, kind = value_for(rng, option), kind_of(option)
    value = {bool: lambda: text == "True", int: lambda: int(float(text)), float: lambda: float(text)}.get(kind, lambda: text)()
    return [value] if option.is_list else value


# What goes wrong with it -----------------------------------------------------------------------------------------------------


def spoiled_line(rng: random.Random, line: list[str]) -> list[str]:
    """A command line after up to three slips; NUL and lone surrogates cannot stand in one."""
    line = list(line)
    for _ in range(rng.choice([0, 0, 1, 1, 1, 2, 3])):
        i = rng.randrange(len(line))
        slip = rng.randrange(7)
        if slip == 0 and len(line) > 1:
            del line[i]
        elif slip == 1:
            line.insert(i, line[i])
        elif slip == 2:
            j = rng.randrange(len(line))
            line[i], line[j] = line[j], line[i]
        elif slip == 3:
            line[i] = rng.choice(ABSURD)
        elif slip == 4:
            line.insert(i + 1, rng.choice(ABSURD))
        elif slip == 5:
            line[i] = f"{line[i]}={rng.choice(ABSURD)}"
        else:
            line[i] = spoiled_text(rng, line[i])
    return [word.replace("\0", "") for word in line]


def spoiled_text(rng: random.Random, text: str, slips: int = 1) -> str:
    """A text after some slips of the keyboard, and worse."""
    for _ in range(slips):
        i, j = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        text = rng.choice(SLIPS)(rng, text, i, j)
    return text


SLIPS: tuple[Callable[[random.Random, str, int, int], str], ...] = (
    lambda _, t, i, j: t[:i] + t[i + 1 :],
    lambda _, t, i, j: t[:i] + t[i:j] * 2 + t[j:],
    lambda rng, t, i, j: t[:i] + rng.choice(ABSURD) + t[i:],
    lambda rng, t, i, j: t[:i] + rng.choice(ABSURD) + t[j:],
    lambda rng, t, i, j: t[:i] + rng.choice(string.printable) + t[i + 1 :],
    lambda rng, t, i, j: re.sub(r"[0-9.]+", lambda m: rng.choice(ABSURD) if rng.random() < 0.3 else m[0], t),
    lambda rng, t, i, j: t[:i] + "[" * rng.choice([1, 30, 3000]) + t[i:],
    lambda rng, t, i, j: t.replace(",", rng.choice([",,", ";", "/"]), 1),
)
"""What can happen to a text between two places i ≤ j."""


def spoiled_file(rng: random.Random, content: dict[str, Any]) -> bytes:
    """A study file's bytes after a wrong type, a wrong key, slips in its text, or bytes that are no text."""
    if rng.random() < 0.3 and content:
        key = rng.choice(list(content))
        wrong: list[Any] = [
            True,
            0,
            -1,
            10**30,
            1.5,
            float("nan"),
            float("inf"),
            "x",
            [],
            [[]],
            [True],
            {},
            {"x": {"y": 1}},
            [1, "a"],
        ]
        content[key if rng.random() < 0.8 else spoiled_text(rng, key)] = rng.choice(wrong)
    text = toml_writer.write(content)
    if rng.random() < 0.5:
        text = spoiled_text(rng, text, rng.choice([1, 1, 2, 4]))
    if rng.random() < 0.03:
        text += f"x = {'[' * 5000}{']' * 5000}\n"
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        i = rng.randint(0, len(data))
        data = data[:i] + rng.choice([b"\xff", b"\x00", b"\x92", b"\xef\xbb\xbf", b"\r\n", b"\r"]) + data[i:]
    return data


# Trying it -------------------------------------------------------------------------------------------------------------------


class Accepted(BaseException):
    """The study that would now be trained."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.study = study


class Hang(BaseException):
    """No answer within LONGEST seconds."""


def accept(study: Study, *_: Any, **__: Any) -> Any:
    """In the place of the training."""
    raise Accepted(study)


def hang(*_: Any) -> None:
    """When the alarm rings."""
    raise Hang


class Attempt(NamedTuple):
    """How one input was taken."""

    verdict: str
    """`accepted`, `refused`, `explained` (help, lists); or what is wrong with it: see `FAULTS`."""
    detail: str
    """What was said, or the traceback."""
    study: Study | None = None


STILLBORN = "accepted, but does not start"
FAULTS = ("traceback", "hang", "wrong exit code", "not one line", "created something")


def attempt(line: Sequence[str]) -> Attempt:
    """`rl-rmsprop LINE` in the current folder, which is left as it was found."""
    before = listing()
    out, err = io.StringIO(), io.StringIO()
    old = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    study = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(line))
    except Accepted as accepted:
        code, study = 0, accepted.study
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except Hang:
        return Attempt("hang", f"{LONGEST} s")
    except BaseException:
        return Attempt("traceback", traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        created = sorted(listing() - before)
        for path in created:
            shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else Path(path).unlink(missing_ok=True)
    said = err.getvalue()
    if study is not None:
        return Attempt("accepted", said, study)
    if code == 0 or (code == 3 and line[0] == "doctor"):
        return Attempt("explained", said)
    if code not in (2, 74):
        return Attempt("wrong exit code", f"{code}: {said}")
    if said.count("\n") != 1 or not said.startswith("error: ") or len(said) < 12:
        return Attempt("not one line", said)
    return Attempt("created something", " ".join(created)) if created else Attempt("refused", said)


def listing() -> set[str]:
    """Everything below the current folder."""
    return {os.path.join(place, name) for place, folders, files in os.walk(".") for name in (*folders, *files)}


def start(study: Study) -> None:
    """What was accepted, for a moment: each arm's optimizer takes two updates, each environment three steps."""
    seeds = study.seeds[:2]
    for arm in study.arms:
        if arm.control_of:
            continue
        theta = torch.nn.Parameter(torch.zeros(len(seeds), 3))
        updates = study.batch(study.env_ids[0], arm, seeds).updates
        agent = study.agents[0]
        optimizer = make_optimizer(arm, [theta], agent.lr, updates, seeds, study.options, agent.steps_per_update)
        for _ in range(2):
            theta.grad = torch.ones_like(theta)
            if isinstance(optimizer, AdaptiveRMSprop):
                optimizer.observe(**dict.fromkeys(optimizer.listens_to & {"episode_return", "td_error", "kl"}, 1.0))
            optimizer.step()
    for env_id in study.env_ids:
        env = envs.make(env_id, seeds, 1, study.options.shifts)
        env.reset()
        space = env.action_space
        action = np.array([[space.sample()]] * len(seeds))
        for _ in range(3):
            env.step(action - getattr(space, "start", 0))
        env.close()


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """A folder with a file `note`, an empty folder, a study `finished`; training, drawing and TensorBoard replaced."""
    here, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.chdir(folder)
        stack.callback(os.chdir, here)
        stack.callback(signal.signal, signal.SIGTERM, handler)
        Path("note").write_text("mine")
        Path("empty").mkdir()
        keep_finished()
        stack.enter_context(mock.patch.object(run, "train_study", accept))
        stack.enter_context(mock.patch.object(RayExecutor, "check", no_cluster))
        stack.enter_context(mock.patch.object(SlurmCluster, "check"))
        stack.enter_context(mock.patch.object(plan, "measure", at_once(plan.measure)))
        stack.enter_context(mock.patch.object(rules_view, "draw"))
        stack.enter_context(mock.patch.object(rules_view, "beta_curve", few_updates(rules_view.beta_curve)))
        stack.enter_context(mock.patch.object(examination, "Attempt", NothingInstalled))
        stack.enter_context(mock.patch("os.execv", side_effect=SystemExit(0)))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")  # a warning is a line on the terminal, and seen once only
        yield


def no_cluster(executor: RayExecutor, study: Study) -> None:
    """In the place of starting or joining a cluster of Ray's, which takes ten seconds."""
    if executor._address:
        ray_cluster.check_address(executor._address)


class NothingInstalled:
    """In the place of imports by another process, which take ten seconds."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules

    def results(self) -> dict[str, Import]:
        """No module is there, so that nothing is tried out."""
        return {module: Import(module) for module in self._modules}


def at_once(measure: Callable[[Study, str, float], plan.Rate]) -> Callable[[Study, str, float], plan.Rate]:
    """The same rate from as few iterations as may be, however long the user wants to measure."""
    return lambda study, env_id, _: measure(study, env_id, 0.0)


def few_updates(curve: Callable[[str, int], Any]) -> Callable[[str, int], Any]:
    """The same curve for no more than three updates."""
    return lambda text, updates: curve(text, min(updates, 3))


def keep_finished() -> None:
    """A study's folder, which --overwrite may have replaced."""
    if not Path("finished/study.json").is_file():
        Path("finished").mkdir(exist_ok=True)
        silent, untrained = contextlib.redirect_stdout(io.StringIO()), mock.patch.object(run, "train_study", accept)
        with contextlib.suppress(Accepted), silent, untrained:
            main(["compare", "--env", "CartPole-v1", "--betas", "0.9", "0.99", "--out", "finished"])


# The table -------------------------------------------------------------------------------------------------------------------


def lines(count: int, seed: int) -> Iterator[tuple[list[str], bytes | None]]:
    """Command lines, and for one in three the study file that they name."""
    rng = random.Random(seed)
    verbs = [verb for verb in VERBS if verb != "walkthrough"]
    for k in range(count):
        if k % 3 == 0:
            file = spoiled_file(rng, table(rng))
            yield ["compare", "study.toml", *(["--print-config"] if rng.random() < 0.3 else [])], file
        else:
            verb = rng.choice([*verbs, *("train", "compare") * 2])
            yield spoiled_line(rng, words(rng, verb)), None


def try_all(count: int, seed: int = 0) -> tuple[Counter[str], list[tuple[list[str], bytes | None, Attempt]]]:
    """How often each verdict fell, and what went wrong."""
    counts: Counter[str] = Counter()
    wrong = []
    with scratch():
        start(parse(["compare", "--env", "LunarLander-v3", "--betas", "mixture", "cusum"]).described())  # imports take long, once
        for line, file in lines(count, seed):
            Path("study.toml").write_bytes(b'env = "CartPole-v1"\nbetas = [0.9]\n' if file is None else file)
            tried = attempt(line)
            keep_finished()
            if tried.study is not None:
                try:
                    start(tried.study)
                except Exception:
                    tried = Attempt(STILLBORN, traceback.format_exc())
            counts[tried.verdict] += 1
            if tried.verdict in FAULTS or tried.verdict not in ("accepted", "refused", "explained"):
                wrong.append((line, file, tried))
    return counts, wrong


def texts(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Rules and shifts, spoiled, each given to its parser: those that were answered by something else than a ValueError."""
    rng = random.Random(seed)
    wrong = []
    for k in range(count):
        made, parse = ((rule, lambda t: rules.text(rules.parse(t))), (shift, parse_all))[k % 2]
        text = spoiled_text(rng, made(rng), rng.choice([0, 1, 1, 2, 5]))
        try:
            parse(text)
        except ValueError:
            pass
        except Exception:
            wrong.append((text, traceback.format_exc()))
    return wrong


# Folders ---------------------------------------------------------------------------------------------------------------------


def finished_study(folder: Path) -> None:
    """A tiny study with everything that a study can leave: recorded signals, changes, draws of a tuning."""
    line = "compare --env CartPole-v1 --betas 0.9 cusum:arl=100 --seeds 0-1 --steps 3000 --eval-episodes 1 --record-signals"
    shifting = "--shift reward_scale:values=1/2,at=1000 --tune 2 --tune-seeds 70"
    study = parse([*line.split(), *shifting.split(), "--out", str(folder)]).described()
    study.save()
    report.save_settings(report.make_settings(study), folder)
    for batch in study.batches():
        train_batch(batch)
    drawn = [trials.Outcome("CartPole-v1", arm.text, k, 0.1, arm.text, 70, 20.0, 0.01) for arm in study.arms for k in range(2)]
    trials.write(folder / draws.FILE, drawn)
    for events in folder.rglob("events.*"):
        events.unlink()


def break_file(rng: random.Random, path: Path) -> str:
    """Something happens to a file; returns what."""
    data = path.read_bytes()
    kinds = ["cut", "garbage", "empty", "gone", "folder", "pickle", "byte", "slips"]
    how = rng.choice([*kinds, *["table"] * 8] if path.suffix == ".json" else kinds)
    if how in ("gone", "folder"):
        path.unlink()
        if how == "folder":
            path.mkdir()
        return how
    i = rng.randint(0, len(data))
    if how == "table":
        data = json.dumps(spoiled_table(rng, json.loads(data))).encode()
    elif how == "slips":
        data = spoiled_text(rng, data.decode("latin-1"), rng.choice([1, 3])).encode("latin-1", "replace")
    else:
        data = {
            "cut": data[:i],
            "garbage": rng.randbytes(200),
            "empty": b"",
            "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x06touch x\x85R.",
            "byte": data[:i] + rng.randbytes(1) + data[i + 1 :],
        }[how]
    path.write_bytes(data)
    return how


def spoiled_table(rng: random.Random, content: Any) -> Any:
    """JSON with one value, somewhere in it, of another kind or size, or missing."""
    wrong: list[Any] = [
        None, True, -1, 0, 1.5, 10**12, 10**40, math.nan, math.inf, "", "x", "../../x", "os:x", "\0", [], {}, [[]], {"a": 1},
        list(range(10_001)), "9" * 5000, [None],
    ]  # fmt: skip
    if isinstance(content, (dict, list)) and content and rng.random() < 0.8:
        content = content.copy()
        key = rng.choice(list(content) if isinstance(content, dict) else range(len(content)))
        if rng.random() < 0.1:
            del content[key]
        elif rng.random() < 0.1 and isinstance(content, dict):
            content[spoiled_text(rng, str(key))] = content.pop(key)
        else:
            content[key] = spoiled_table(rng, content[key])
        return content
    return rng.choice(wrong)


def try_folders(count: int, seed: int = 2) -> tuple[Counter[str], list[tuple[list[str], str, Attempt]]]:
    """How often each verdict fell on studies' folders with a broken file, and what went wrong."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    wrong = []
    with scratch(), undrawn():
        finished_study(Path("whole"))
        files = sorted(p.relative_to("whole") for p in Path("whole").rglob("*") if p.is_file() and "seed_0001" not in p.parts)
        for k in range(count):
            shutil.rmtree("broken", ignore_errors=True)
            shutil.copytree("whole", "broken")
            path = "broken" / (files[k % len(files)] if k % 3 else Path("study.json"))
            what = f"{path}: {break_file(rng, path)}"
            verbs = {"signals.npz": ["replay"], "weights.npz": ["evaluate"], "clocks.json": ["evaluate"], "study.json": READERS}
            verb = rng.choice(verbs.get(path.name, ["report", "report", "evaluate"]))
            options = {"evaluate": ["--episodes", "1"], "replay": ["--detectors", "cusum", "--betas", "0.9"]}.get(verb, [])
            tried = attempt([verb, "broken", *options])
            counts[tried.verdict] += 1
            if tried.verdict not in ("refused", "explained"):
                wrong.append(([verb], what, tried))
    return counts, wrong


READERS = ["report", "report", "evaluate", "replay", "tensorboard"]


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Figures, and curves for TensorBoard, are what a report takes its time for."""
    with contextlib.ExitStack() as stack:
        left_out = ((report.figures, "draw"), (report.aggregates, "write_aggregates"), (report.tensorboard_report, "write"))
        for module, name in left_out:  # the last one reads the figures
            stack.enter_context(mock.patch.object(module, name))
        stack.enter_context(mock.patch.object(report.page, "render", return_value=""))
        stack.enter_context(mock.patch.object(plotting, "save"))
        yield


def rows(quick: bool) -> list[Row]:
    """What came of it."""
    count, folders = (500, 20) if quick else (20_000, 600)
    counts, wrong = try_all(count)
    strange = texts(count)
    read, broken = try_folders(folders)
    for line, file, tried in [*wrong, *broken][:20]:
        print(shlex.join(line)[:300], file, tried.verdict, tried.detail[-600:], sep="\n", end="\n\n")
    bad = sum(counts[name] + read[name] for name in ("traceback", "hang"))
    other = sum(counts[name] + read[name] for name in FAULTS[2:])
    said = ", ".join(f"{counts[name]} {name}" for name in ("refused", "accepted", "explained"))
    return [
        Row(
            "bad input never makes a traceback or a hang",
            "0 of ≥ 20 000 command lines and study files",
            f"{bad} of {count} ({said}) and {folders} broken folders",
            not bad,
        ),
        Row("bad input is one line, exit 2 (74 from the disk), and nothing is created", "0 others", f"{other} others", not other),
        Row("what is accepted starts", "0 that do not", f"{counts[STILLBORN]} of {counts['accepted']}", not counts[STILLBORN]),
        Row("texts of rules and shifts are understood, or a ValueError", "0 others", f"{len(strange)} of {count}", not strange),
    ]
