"""Controls as arms: which arms have them, and that each differs from its arm in the one thing that its name says."""

import json
from pathlib import Path

import numpy as np
import pytest

from rl_rmsprop import rules
from rl_rmsprop.cli import main
from rl_rmsprop.detectors import Never, Oracle, Random, Yoked
from rl_rmsprop.reactions import Drop
from rl_rmsprop.rules import Adaptive
from rl_rmsprop.schedules import Harmonic
from rl_rmsprop.study.execution import pipeline
from rl_rmsprop.study.execution.local_pool import Pool
from rl_rmsprop.study.spec import controls
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import Study, load_study
from rl_rmsprop.study.training import control_rules
from rl_rmsprop.telemetry.csv_table import read_table
from tests.builders import study_of


def texts(betas: list[str], shifting: bool = True, seeds: int = 5) -> list[str]:
    """The arms of a study with all controls that fit."""
    return [arm.text for arm in controls.make_arms(betas, ["adam"], seeds, shifting, all_controls=True)]


def test_every_adaptive_arm_gets_the_controls_that_fit_it() -> None:
    """A detector compared with fixed β alone may owe its lead to any of the things that the controls hold constant."""
    plain = ["0.9", "linear:start=0.5,end=0.99", "cusum:max=0.99", "asymmetric", "tracking_signal", "periodic"]
    added = ["oracle@cusum", "yoked@cusum", "random@cusum", "mean_beta@cusum", "mean_beta@asymmetric"]
    soft = ["oracle@tracking_signal", "mean_beta@tracking_signal"]
    assert texts(plain) == [*plain, *added, *soft, "adam"]
    assert "oracle@cusum" not in texts(plain, shifting=False)
    assert "yoked@cusum" not in texts(plain, seeds=1)
    assert texts(["0.9", "harmonic"]) == ["0.9", "harmonic", "adam"]


def test_controls_name_their_arm_by_as_much_as_is_needed() -> None:
    """`yoked@cusum` of two cusums would be yoked to either."""
    both = ["cusum:max=0.99", "cusum:max=0.999"]
    assert texts(both, shifting=False)[2:-1] == [f"{kind}@{arm}" for arm in both for kind in ("yoked", "random", "mean_beta")]
    arms = controls.make_arms([*both, "yoked@cusum:max=0.999"], [], 2, False)  # one is the other's beginning
    assert arms[2].control_of == "cusum:max=0.999"
    assert controls.make_arms(["yoked@cusum:max=0.9", "cusum:max=0.99"], [], 2, False)[0].control_of == "cusum:max=0.99"


def test_a_control_that_is_asked_for_twice_is_there_once() -> None:
    """Two arms of one meaning in two folders would count twice in every table."""
    asked = ["cusum:max=0.99", "yoked@cusum:max"]
    assert texts(asked, shifting=False) == [*asked, "random@cusum", "mean_beta@cusum", "adam"]
    twice = controls.make_arms([*asked, "yoked@cusum"], [], 2, False)
    with pytest.raises(ValueError, match="each of the arms may be given once, got yoked@cusum twice"):
        study(Path("x"), twice)


def test_a_control_is_no_fixed_beta() -> None:
    """As a fixed β it would be the rival that a finding names."""
    arm, control = controls.make_arms(["cusum", "mean_beta@cusum"], [], 2, False)
    assert [Arm("0.9").is_fixed, arm.is_fixed, control.is_fixed, Arm("adam").is_fixed] == [True, False, False, False]
    assert control.name == "mean_beta@cusum"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yokd@cusum", "control must be oracle, yoked, random, mean_beta, got 'yokd' in 'yokd@cusum': did you mean yoked?"),
        ("yoked@csum", "yoked@csum must name an arm of the study, got 'csum': did you mean cusum"),
        ("yoked@", "yoked@ must name an arm of the study, got ''"),
        ("yoked@adam", "must name an arm of the study"),
        ("yoked@random@cusum", "must name an arm of the study"),
        ("yoked@cu", "yoked@cu must name one arm, but cusum and cusum:k=1 begin so: write more of it"),
        ("yoked@0.9", "yoked@0.9: yoked needs an arm whose detector listens to the gradients, such as cusum, and 0.9 has none"),
        ("random@periodic", "random needs an arm whose detector listens"),
        ("oracle@mixture", "oracle needs an arm whose detector listens"),
        ("oracle@ewma", "oracle needs an environment that changes: give --shift"),
        ("yoked@tracking", "the statistic bends β without waiting for one: use mean_beta"),
        ("mean_beta@0.9", "mean_beta needs a β that changes, and 0.9 does not"),
    ],
)
def test_a_control_that_could_not_do_what_its_name_says_is_refused(text: str, words: str) -> None:
    """An oracle that never alarms looks like a finding about oracles."""
    arms = ["0.9", "cusum", "cusum:k=1", "ewma", "mixture", "periodic", "tracking_signal"]
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the words are tested below
        controls.make_arms([*arms, text], ["adam"], 3, False)
    assert words in str(raised.value)
    with pytest.raises(ValueError, match="give at least two seeds"):
        controls.make_arms(["cusum", "yoked@cusum"], [], 1, False)


def runs(folder: Path, alarms: dict[int, list[int]], betas: dict[int, list[float]], updates: int = 100) -> list[Path]:
    """Folders of finished runs with these alarms and logged βs."""
    folders = []
    for seed in alarms:
        path = folder / f"seed_{seed:04d}"
        path.mkdir(parents=True)
        (path / "alarms.csv").write_text("\n".join(["update,step", *(f"{u},{u * 8}" for u in alarms[seed]), ""]))
        rows = [f"{k},{beta}" for k, beta in enumerate(betas[seed])]
        (path / "metrics.csv").write_text("\n".join(["step,optim/beta", *rows, ""]))
        (path / "config.json").write_text(json.dumps({"updates": updates}))
        folders.append(path)
    return folders


def test_a_control_keeps_schedule_and_reaction_and_takes_its_alarms_from_elsewhere(tmp_path: Path) -> None:
    """Silent failure: a control that also has another cap or another reaction is another rule, not a control."""
    folders = runs(tmp_path, {0: [10, 20, 30], 3: [50]}, {0: [0.5, 0.9], 3: [0.75, 0.75]})
    played = "cusum:signal=grad_norm,reaction=drop,low=0.25,max=0.995"

    def made(kind: str) -> rules.Rule:
        return rules.parse(control_rules.control_rule(Arm(f"{kind}@cusum", control_of="cusum"), played, folders))

    expected = {"oracle": Oracle(), "yoked": Yoked(str(tmp_path)), "random": Random(2 * 100 / 4)}
    for kind, detector in expected.items():
        assert made(kind) == Adaptive(detector, Harmonic(0.995), Drop(low=0.25))
    assert made("mean_beta") == rules.Constant(0.725)  # (0.7 + 0.75)/2


def test_an_arm_that_never_alarmed_has_controls_that_never_do(tmp_path: Path) -> None:
    """1/0 updates between alarms."""
    folders = runs(tmp_path, {0: [], 1: []}, {0: [0.5], 1: [0.5]})
    rule = control_rules.control_rule(Arm("random@cusum", control_of="cusum"), "cusum:max=0.9", folders)
    assert rules.parse(rule) == Adaptive(Never(), Harmonic(0.9))


def study(folder: Path, arms: tuple[Arm, ...], **options: object) -> Study:
    from rl_rmsprop.study.spec.presets import make_agent

    agent = make_agent("a2c", "CartPole-v1", {})
    return study_of(folder, ("CartPole-v1",), "a2c", (agent,), arms, (0, 1), 1000, 1, **options)  # type: ignore[arg-type]


def test_a_control_whose_arm_has_no_finished_run_is_a_failure_with_a_name(tmp_path: Path) -> None:
    """Silent failure: a control is missing from the table and nobody knows why."""
    arms = controls.make_arms(["cusum", "yoked@cusum"], [], 2, False)
    choices, failures = pipeline.choose_for_controls(study(tmp_path, arms), arms)
    assert choices == []
    assert failures == ["failed: CartPole-v1 · yoked@cusum needs a finished run of cusum, and there is none"]


def test_a_failed_arm_takes_its_controls_with_it_and_leaves_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: a control trains on its own name as a rule, and five tracebacks hide the one that matters."""
    asked: list[str] = []

    def fail(specs, workers, console):  # type: ignore[no-untyped-def]
        asked.extend(getattr(work, "file", work.arm.text) for work in specs)
        for work in specs:
            work.error_file.parent.mkdir(parents=True, exist_ok=True)
            work.error_file.write_text("the lights went out")
        return [f"failed: {work.label}" for work in specs]

    monkeypatch.setattr(pipeline, "run_tasks", fail)
    arms = controls.make_arms(["0.9", "cusum", "yoked@cusum", "mean_beta@cusum"], [], 2, False)
    given = study(tmp_path, arms, match_update_rms="0.9", tune_seeds=(7,))
    after, failures = pipeline.train_study(given, Pool(1))
    assert not after.choices
    assert not any("@" in what for what in asked)
    assert len([line for line in failures if "needs a finished run of cusum" in line]) == 2
    reasons = sorted(path.read_text() for path in (tmp_path / "trials").rglob("*.error.txt"))
    assert reasons == ["the lights went out"] * 3  # two arms in the first round, one in the second


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a detector that alarms often, with all of its controls, in an environment that changes once."""
    folder = tmp_path_factory.mktemp("runs") / "study"
    line = "compare --env CartPole-v1 --betas 0.9 cusum:arl=4,burn_in=3,max=0.97 --controls --seeds 0-2 --steps 1200"
    options = "--shift force_mag:values=10/-10,at=600 --eval-episodes 1 --workers 2 --hidden 8 --n-envs 4 --n-steps 4"
    assert main([*line.split(), *options.split(), "--out", str(folder)]) == 0
    return folder


ARM = "cusum_arl4_burn_in3_max0.97"


def alarms(folder: Path, arm: str) -> list[list[int]]:
    """The alarms of each run."""
    return [read_table(folder / "CartPole-v1" / arm / f"seed_{s:04d}" / "alarms.csv")["update"].tolist() for s in range(3)]


def test_yoked_runs_alarm_when_the_run_of_the_next_seed_did(finished: Path) -> None:
    """Silent failure: a run is yoked to itself, and timing by its own data passes for timing by chance."""
    own = alarms(finished, ARM)
    assert sum(map(len, own)) > 3
    assert alarms(finished, "yoked@cusum") == [own[1], own[2], own[0]]


def test_random_runs_alarm_as_often_and_oracle_runs_at_the_change(finished: Path) -> None:
    """Silent failure: the control restarts at another rate, and rate passes for timing."""
    saved = json.loads((finished / "study.json").read_text())
    rule = {choice["arm"]: choice["rule"] for choice in saved["choices"]}
    every = 3 * 75 / sum(map(len, alarms(finished, ARM)))  # 1200 / 16 updates
    assert rules.parse(rule["random@cusum"]) == Adaptive(Random(every), Harmonic(0.97))
    shifts = [read_table(finished / "CartPole-v1" / ARM / f"seed_{s:04d}" / "shifts.csv")["update"].tolist() for s in range(3)]
    assert alarms(finished, "oracle@cusum") == shifts
    assert [len(of_run) for of_run in shifts] == [1, 1, 1]


def test_the_fixed_control_has_the_mean_beta_of_its_arm(finished: Path) -> None:
    """Silent failure: the window of the control is another one, and memory passes for timing."""
    arm, control = (
        [read_table(finished / "CartPole-v1" / name / f"seed_{s:04d}" / "metrics.csv")["optim/beta"] for s in range(3)]
        for name in (ARM, "mean_beta@cusum")
    )
    assert np.unique(control) == pytest.approx(np.mean(arm), abs=1e-6)
    config = json.loads((finished / "CartPole-v1" / "mean_beta@cusum" / "seed_0001" / "config.json").read_text())
    assert float(config["arm"]["trained_as"]) == np.unique(control)


def test_a_study_with_controls_is_loaded_evaluated_and_reported_again(finished: Path) -> None:
    """Silent failure: a control's text is parsed as a β rule by whatever reads the study later."""
    loaded = load_study(finished)
    assert [arm.control_of for arm in loaded.arms] == ["", "", *["cusum:arl=4,burn_in=3,max=0.97"] * 4]
    assert {spec.trained_arm.text for spec in loaded.batches()} == {
        "0.9", "cusum:arl=4,burn_in=3,max=0.97", *(choice.rule for choice in loaded.choices)
    }  # fmt: skip
    before = (finished / "report" / "results.csv").read_bytes()
    assert main(["report", str(finished)]) == 0
    assert (finished / "report" / "results.csv").read_bytes() == before
    assert main(["evaluate", str(finished), "--episodes", "1"]) == 0
