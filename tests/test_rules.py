"""β rules: what sets β at each update, and their text form."""

import copy
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rl_rmsprop import AdaptiveRMSprop, grammar, rules
from rl_rmsprop.detectors import (
    DETECTORS,
    OFFLINE,
    Cusum,
    Ewma,
    Never,
    Oracle,
    PageHinkley,
    Periodic,
    Random,
    ShiryaevRoberts,
    TrackingSignal,
)
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.laws import LAWS, Asymmetric, Mixture
from rl_rmsprop.reactions import REACTIONS, Drop, Reset, Restart, Soft
from rl_rmsprop.rules import Adaptive, parse, text
from rl_rmsprop.schedules import SCHEDULES, Constant, Cosine, Harmonic, Join, Linear, Piecewise, Power, Schedule
from rl_rmsprop.signals import SIGNALS
from tests import references
from tests.test_schedules import NEAR_ONE, any_schedule, decays, single

torch.set_num_threads(1)


def recorded(folder: Path) -> Path:
    """An arm's folder with the recorded alarms of two runs."""
    for seed in (0, 1):
        (folder / f"seed_{seed:04d}").mkdir(exist_ok=True)
        (folder / f"seed_{seed:04d}" / "alarms.csv").write_text(f"update,step\n{2 * seed + 1},{8 * (2 * seed + 1)}\n")
    return folder


# Text form ------------------------------------------------------------------------------------------------------------

several = st.floats(1.5, 1e9)
counts = st.integers(2, 10**6)
sequential = {"arl": several, "burn_in": counts, "memory": several, "standardize": st.booleans()}
any_detector = st.one_of(
    st.builds(Cusum, **sequential, k=st.floats(0.01, 5.0)),
    st.builds(PageHinkley, **sequential, delta=several, limit=st.none() | several, alpha=st.floats(0.1, 1.0), min_samples=counts),
    st.builds(Ewma, **{**sequential, "arl": st.floats(1.5, 1e9)}, gain=st.floats(0.02, 1.0)),
    st.builds(ShiryaevRoberts, **sequential),
    st.builds(TrackingSignal, **sequential, gain=st.sampled_from([0.05, 0.1, 0.2])),
    st.builds(Never),
    st.builds(Periodic, every=counts),
    st.builds(Random, every=several),
    st.builds(Oracle, at=st.none() | st.lists(counts, min_size=1, max_size=4).map(tuple)),
)
any_reaction = st.one_of(
    st.builds(Restart),
    st.builds(Drop, low=decays, recover=several),
    st.builds(Reset),
    st.builds(Soft, low=decays, dead=st.floats(0, 0.99), recover=several),
)
decays_in_single = decays.filter(lambda beta: np.float32(beta) < 1)
any_rule = st.one_of(
    st.builds(Constant, decays),
    st.builds(Asymmetric, decays_in_single, decays_in_single),
    st.builds(Mixture, st.lists(decays, min_size=2, max_size=5).map(tuple), st.floats(0, 0.99), st.floats(0.01, 100)),
    any_schedule.filter(lambda s: not isinstance(s, Constant)).map(lambda s: Adaptive(Never(), s)),
    st.builds(Adaptive, any_detector, single, any_reaction, st.sampled_from(sorted(SIGNALS))),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(any_rule)
def test_text_of_a_rule_is_read_back_as_the_same_rule(rule):
    """Command line, study files, checkpoints and reports name rules by text: one that reads back otherwise is another arm."""
    assert parse(text(rule)) == rule
    assert text(parse(text(rule))) == text(rule)


def betas_of(rule: rules.Rule) -> torch.Tensor:
    """Every β that a rule has at clocks up to the largest, on signals fair and foul."""
    if isinstance(rule, Constant):
        return rule(torch.ones(1, dtype=torch.float64))
    if not isinstance(rule, Adaptive):
        return torch.cat([betas_of_law(rule, dtype) for dtype in (torch.bfloat16, torch.float32, torch.float64)])
    state, made = rules.init(rule, torch.arange(5)), []
    state["clock"] = torch.tensor([0.0, 1.0, 1e6, 1e15, 2.0**53], dtype=torch.float64)
    for x in (0.3, float("nan"), 40.0, -1e308, 0.0, 7.0):
        made.append(rules.advance(rule, state, torch.full((5,), x, dtype=torch.float64)))
        state = made[-1].state
    return torch.cat([output.beta for output in made])


def betas_of_law(law: rules.Rule, dtype: torch.dtype) -> torch.Tensor:
    """The mean β of a law's updates of many parameters."""
    p = torch.nn.Parameter(torch.zeros(1000, dtype=dtype))
    optimizer, means = AdaptiveRMSprop([p], alpha=law), []
    for size in (1.0, 100.0, 0.01, 0.0):
        p.grad = torch.full_like(p, size)
        optimizer.step()
        means.append(optimizer.param_groups[0]["alpha"])
    return torch.stack(means)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(any_rule)
@example(Mixture((NEAR_ONE[-1],) * 3, share=0.0025))  # whose weights sum to more than 1
def test_no_text_leads_to_a_beta_of_1(rule):
    """β = 1 by the back door: E stands still, the first small gradient is divided by √E = 0, and weights explode unannounced."""
    beta = betas_of(parse(text(rule)))
    assert ((beta >= 0) & (beta < 1)).all()


@pytest.mark.parametrize(
    "rule",
    [
        Adaptive(Oracle((5, 9)), Piecewise((0.5, 0.9), (7,))),
        Adaptive(Oracle()),
        Adaptive(Never(), Constant(0.9)),
    ],
    ids=["two parts with a key at", "an oracle that is told", "a constant that never restarts"],
)
def test_text_of_a_rule_with_a_part_of_its_own_is_read_back_too(rule):
    """A rule that prints but does not read fails when a checkpoint is loaded, hours after it was accepted."""
    assert parse(text(rule)) == rule


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ("0.99", Constant(0.99)),
        ("0", Constant(0.0)),
        ("linear", Adaptive(Never(), Linear(0.5, 0.99))),
        ("linear:start=0.9,end=0.999", Adaptive(Never(), Linear(0.9, 0.999))),
        ("harmonic", Adaptive(Never(), Harmonic())),
        ("power:c=1,max=0.9", Adaptive(Never(), Power(1.0, 0.9))),
        ("piecewise:values=0.9/0.99,at=1000", Adaptive(Never(), Piecewise((0.9, 0.99), (1000,)))),
        ("cusum", Adaptive()),
        ("cusum:max=0.999", Adaptive(Cusum(), Harmonic(0.999))),
        ("cusum:arl=1000,k=0.25,signal=grad_norm", Adaptive(Cusum(arl=1000, k=0.25), signal="grad_norm")),
        ("page_hinkley:low=0.2,recover=50,reaction=drop", Adaptive(PageHinkley(), reaction=Drop(0.2, 50))),
        ("periodic:every=5,beta=0.9,reaction=reset,schedule=constant", Adaptive(Periodic(5), Constant(0.9), Reset())),
        ("oracle:at=100/200", Adaptive(Oracle((100, 200)))),
        ("random", Adaptive(Random())),
        ("oracle", Adaptive(Oracle())),
        ("ewma:gain=0.2", Adaptive(Ewma(gain=0.2))),
        ("e_sr:arl=1000", Adaptive(ShiryaevRoberts(arl=1000))),
        ("tracking_signal", Adaptive(TrackingSignal(), reaction=Soft())),
        ("tracking_signal:low=0.8,recover=50", Adaptive(TrackingSignal(), reaction=Soft(0.8, recover=50))),
        ("tracking_signal:reaction=restart", Adaptive(TrackingSignal(), reaction=Restart())),
        ("cusum:dead=0.3,reaction=soft", Adaptive(Cusum(), reaction=Soft(dead=0.3))),
        ("asymmetric", Asymmetric()),
        ("asymmetric:rise=0,fall=0.99", Asymmetric(0.0, 0.99)),
        ("mixture", Mixture()),
        ("mixture:betas=0.5/0.9/0.99,share=0.02,rate=0.5", Mixture((0.5, 0.9, 0.99), 0.02, 0.5)),
        (
            "linear:start=0,end=0.9,steps=1000+cosine:start=0.9,end=0.999",
            Adaptive(Never(), Join((Linear(0.0, 0.9, 1000), Cosine(0.9, 0.999)))),
        ),
        ("linear:start=0,end=0.9,steps=1000+0.99", Adaptive(Never(), Join((Linear(0.0, 0.9, 1000), Constant(0.99))))),
    ],
)
def test_rules_and_their_shortest_texts(spec, rule):
    """The texts of README, DESIGN and reports; a renamed key breaks every study file there is."""
    assert parse(spec) == rule
    assert text(rule) == spec


def test_a_plus_in_a_number_does_not_join():
    """1e+3 is how Python itself prints some numbers."""
    assert parse("linear:start=0,end=0.9,steps=1e+3+0.99") == parse("linear:start=0,end=0.9,steps=1000+0.99")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("1.0", ["[0, 1)", "1.0", "use 0.999"]),
        ("-0.1", ["[0, 1)", "-0.1"]),
        ("nan", ["[0, 1)", "nan"]),
        ("1.5", ["[0, 1)", "1.5"]),
        ("", ["number in [0, 1) or a known rule", "''"]),
        ("liner:start=0.5,end=0.9", ["'liner'", "did you mean linear?"]),
        ("cusmu", ["'cusmu'", "did you mean cusum?"]),
        ("xyz", ["'xyz'", "known are constant", "cusum", "asymmetric"]),
        ("piecewise", ["needs values=… and at=…"]),
        ("linear:start=0.5,end=1.2", ["end", "[0, 1)", "1.2"]),
        ("linear:start=0.5,end=0.9,stesp=5", ["'stesp'", "did you mean steps?"]),
        ("half_life", ["needs updates=…"]),
        ("cusum:arls=5", ["'arls'", "did you mean arl?"]),
        ("cusum:arl=many", ["arl", "a number", "'many'"]),
        ("cusum:arl=5,arl=6", ["once", "arl"]),
        ("cusum:max=1.0", ["max", "[0, 1)", "1.0"]),
        ("cusum:low=0.5", ["'low'"]),
        ("cusum:reaction=jump", ["reaction", "'jump'", "known are restart, drop, reset, soft"]),
        ("cusum:schedule=harmonc", ["schedule", "'harmonc'", "did you mean harmonic?"]),
        ("cusum:schedule=piecewise", ["needs values=… and at=…"]),
        ("cusum:signal=norm", ["signal", "surprise, peak_surprise, grad_norm, cosine", "'norm'"]),
        ("cusum:reaction=drop,low=1", ["low", "[0, 1)", "1"]),
        ("cusum:reaction=drop,recover=0", ["recover", "greater than 0", "0"]),
        ("cusum:reaction=soft,dead=1", ["dead", "[0, 1)", "1", "drop"]),
        ("oracle:at=/", ["at", "whole number"]),
        ("yoked", ["needs runs=…"]),
        ("adwin", ["'adwin'", "replay recorded signals", "page_hinkley"]),
        ("adwin:delta=0.1", ["'adwin'", "replay recorded signals", "page_hinkley"]),
        ("half_life:updates=1e30", ["updates=1e+30", "[0, 1)", "1.0", "use 0.999"]),
        ("linear:start=0.5,end=0.9,steps=1e300", ["steps", "whole number of updates from 1 to 2^53"]),
        ("asymmetric:rise=1", ["rise", "[0, 1)", "1"]),
        ("asymmetric:fall=0.99999999", ["fall=0.99999999 in single precision", "[0, 1)", "1.0"]),
        ("asymmetric:up=0.5", ["'up'", "known are rise, fall"]),
        ("mixture:betas=0.9", ["betas", "at least two", "0.9"]),
        ("mixture:betas=0.9/1", ["betas", "[0, 1)", "1"]),
        ("mixture:share=1", ["share", "[0, 1)", "1", "use 0.01"]),
        ("mixture:share=-0.1", ["share", "[0, 1)", "-0.1"]),
        ("mixture:rate=0", ["rate", "greater than 0", "0"]),
        ("mixture:beta=0.5/0.9", ["'beta'", "did you mean betas?"]),
        ("0.9+0.99", ["before a +", "steps=…", "0.9"]),
        ("linear:start=0,end=0.9+0.99", ["before a +", "steps=…"]),
    ],
)
def test_bad_texts_are_refused_with_rule_value_and_remedy(spec, words):
    """A rule that is guessed at trains something else under the name that was typed."""
    with pytest.raises(ValueError, match=r".") as error:
        parse(spec)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "spec",
    [
        "cusum:arl=1000,max=0.9+0.99",
        "cusum:arl=1000+linear:start=0,end=0.9,steps=5",
        "asymmetric:rise=0.5+0.9",
        "never+0.99",
        "linear:start=0,end=0.9,steps=5+cusum:arl=1000",
    ],
)
def test_only_schedules_can_be_joined(spec):
    """The part after the + must not be dropped without a word, nor the remedy be the word that was typed."""
    with pytest.raises(ValueError, match=r"\+|schedule") as error:
        parse(spec)
    assert "did you mean cusum?" not in str(error.value)


def test_a_rule_of_ones_own_has_no_text_but_says_so():
    """A user's schedule that took the name of a known one would be restored from a checkpoint as that one."""

    class Mine(Schedule):
        pass

    with pytest.raises(ValueError, match=r"Mine has no text form: known are constant"):
        text(Adaptive(Never(), Mine()))
    assert rules.text_or_none(Adaptive(Never(), Mine())) is None
    assert rules.text_or_none(Constant(0.9)) == "0.9"


def test_a_rule_is_data_and_its_files_are_checked_where_it_is_asked_for(tmp_path):
    """Read when it is made, a config.json of last year could not be shown once its folder is gone; not read at the border, a
    wrong folder would be found by every worker.
    """
    rule = parse(f"yoked:runs={tmp_path}")
    assert parse(text(rule)) == rule
    for refuse in (lambda: rules.check(rule), lambda: rules.init(rule, torch.arange(2))):
        with pytest.raises(ValueError, match=r"runs must be an arm's folder with recorded alarms .*train the arm"):
            refuse()
    recorded(tmp_path)
    rules.check(rule)
    assert [bool(d.alarm) for d in decisions(rule, 4)] == [False, False, True, False]


@pytest.mark.parametrize(("name", "kind"), [*SCHEDULES.items(), *DETECTORS.items(), *LAWS.items()])
def test_every_rule_carries_an_example_of_itself(name, kind):
    """`rl-rmsprop rules` draws the examples: a rule without one, or with another's, does not exist for its users."""
    if name == "yoked":  # needs a folder
        assert not kind.example
        return
    rule = parse(kind.example)
    parts = [rule, rule.schedule, rule.detector] if isinstance(rule, Adaptive) else [rule]
    assert kind in [type(part) for part in parts]
    assert kind.example == "0.99" or grammar.split(kind.example)[0] == name


# What kind of β was given ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "rule"),
    [
        (0.9, Constant(0.9)),
        (0, Constant(0.0)),
        ("0.9", Constant(0.9)),
        ("cusum", Adaptive()),
        (Constant(0.9), Constant(0.9)),
        (Harmonic(), Adaptive(Never(), Harmonic())),
        (Adaptive(), Adaptive()),
        (Asymmetric(), Asymmetric()),
    ],
)
def test_numbers_texts_schedules_and_rules_are_all_rules(alpha, rule):
    """The drop-in takes any of them in place of torch's number."""
    assert rules.as_rule(alpha) == rule


@pytest.mark.parametrize("number", [np.float32, np.float64, np.array, torch.tensor, lambda x: Fraction(round(x * 8), 8)])
def test_scalars_of_other_libraries_are_numbers(number):
    """Rates come from np.linspace, from a search over tensors, from a configuration: torch takes them all."""
    assert rules.as_rule(number(0.875)) == Constant(0.875)
    assert type(rules.as_rule(number(0.875)).beta) is float


@pytest.mark.parametrize(
    "alpha", [None, True, False, np.True_, [0.9], Cusum(), torch.tensor(True), torch.tensor([0.9]), 1j], ids=repr
)
def test_anything_else_is_refused(alpha):
    """True is 1 to Python, and a detector alone has no β."""
    with pytest.raises(TypeError, match=rf"alpha must be a number in \[0, 1\), a rule or its text, got {type(alpha).__name__}"):
        rules.as_rule(alpha)


def test_a_missing_length_is_filled_in_inside_a_rule():
    """A detector's schedule must end with the training as a plain schedule does."""
    rule = Adaptive(Cusum(), Linear(0.5, 0.99))
    assert rules.resolve(rule, 700) == Adaptive(Cusum(), Linear(0.5, 0.99, 700))
    assert rules.resolve(Constant(0.9), 700) == Constant(0.9)
    assert rules.resolve(Asymmetric(), 700) == Asymmetric()


def test_controls_are_told_from_detectors(tmp_path):
    """Reports put control arms beside detectors; a schedule is neither."""
    control = {"random": True, "periodic": True, "oracle:at=5": True, "oracle": True, f"yoked:runs={recorded(tmp_path)}": True}
    control |= {
        "cusum": False,
        "page_hinkley": False,
        "tracking_signal": False,
        "never": False,
        "0.9": False,
        "harmonic": False,
        "asymmetric": False,
    }
    assert {spec: rules.is_control(parse(spec)) for spec in control} == control


def test_bad_signals_are_refused():
    """A detector of an unknown signal would listen to nothing and never alarm."""
    with pytest.raises(
        ValueError,
        match=r"signal must be one of surprise, peak_surprise, .*, td_error, kl, got 'norm'",
    ):
        Adaptive(signal="norm")


# Reactions ------------------------------------------------------------------------------------------------------------

T = 40
ALARMS = (1, 7, 8, 25)


def decisions(rule: Adaptive, steps: int = T, keys: torch.Tensor | None = None) -> list[rules.RuleOutput]:
    """What the rule says at each update to a signal of zeros."""
    state = rules.init(rule, torch.zeros((), dtype=torch.int64) if keys is None else keys)
    made = []
    for _ in range(steps):
        made.append(rules.advance(rule, state, torch.zeros_like(state["clock"])))
        state = made[-1].state
    return made


def alarmed(at: tuple[int, ...]) -> list[bool]:
    return [n in at for n in range(1, T + 1)]


@pytest.mark.parametrize("at", [(), (1,), ALARMS])
def test_restart_makes_the_window_the_time_since_the_alarm(at):
    """A clock that starts again at 2, or one update late, keeps half of the old E that the alarm has refuted."""
    got = decisions(Adaptive(Oracle(at or (10**6,)), Harmonic(0.95), Restart()))
    expected = references.restarted(alarmed(at), lambda n: min(1 - 1 / n, 0.95))
    assert [d.beta.item() for d in got] == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert [d.state["clock"].item() for d in got] == references.clocks(alarmed(at))
    assert [bool(d.alarm) for d in got] == alarmed(at)


@pytest.mark.parametrize("at", [(), (1,), ALARMS])
def test_drop_falls_to_low_and_recovers_while_the_clock_goes_on(at):
    """A drop that also restarted the clock, or never came back, would be another rule of the same name."""
    got = decisions(Adaptive(Oracle(at or (10**6,)), Linear(0.2, 0.99, 20), Drop(0.5, 10)))

    def schedule(n: int) -> float:
        return 0.2 + 0.79 * min((n - 1) / 19, 1.0)

    expected = references.dropped(alarmed(at), schedule, 0.5, 10)
    assert [d.beta.item() for d in got] == pytest.approx(expected, rel=1e-9)
    assert [d.state["clock"].item() for d in got] == list(range(1, T + 1))


def test_drop_never_raises_beta():
    """Low = 0.5 on a schedule at 0.2 must not lengthen the memory at the very moment it should be short."""
    got = decisions(Adaptive(Oracle((5,)), Constant(0.2), Drop(0.5, 10)))
    assert [d.beta.item() for d in got] == pytest.approx([0.2] * T)


def test_reset_clears_E_and_leaves_clock_and_beta():
    """Clearing E and restarting the clock are two reactions; doing both would hide which of them helps."""
    got = decisions(Adaptive(Oracle(ALARMS), Power(0.5), Reset()))
    assert [d.beta.item() for d in got] == pytest.approx([1 - n**-0.5 for n in range(1, T + 1)], abs=1e-15)
    assert {name: reaction().clears_E for name, reaction in REACTIONS.items()} == {
        "restart": False,
        "drop": False,
        "reset": True,
        "soft": False,
    }


def answered(reaction: Soft, beta: list[float], m: list[float], nearness: list[float]) -> list[float]:
    """β of a reaction for several runs at once."""
    return reaction.beta(*(torch.tensor(v, dtype=torch.float64) for v in (beta, m, nearness))).tolist()


def test_soft_bends_beta_by_the_statistic_and_not_only_at_alarms():
    """A bend in the wrong unit of the statistic is either no reaction at all or a constant β = low."""
    never = [float("inf")] * 5
    got = answered(Soft(low=0.5, dead=0.5), [0.99] * 5, never, [0.0, 0.5, 0.75, 1.0, 7.0])
    assert got == pytest.approx([0.99, 0.99, 0.99 - 0.49 * 0.5**1.5, 0.5, 0.5], rel=1e-12)


def test_soft_recovers_after_an_alarm_while_the_detector_learns_anew():
    """The statistic is 0 all through the burn-in: following it alone β would be back the moment after the alarm."""
    got = answered(Soft(low=0.5, recover=100), [0.9] * 4, [0.0, 50.0, 100.0, 1000.0], [1.2, 0.0, 0.0, 0.0])
    assert got == pytest.approx([0.5, 0.9 - 0.4 * 0.5**1.5, 0.9, 0.9], rel=1e-12)


def test_soft_never_raises_beta_and_takes_no_nan():
    """A schedule below `low` must not be lengthened at a shift, and one NaN in a signal must not become β."""
    assert answered(Soft(low=0.5), [0.2], [0.0], [2.0]) == [0.2]
    assert answered(Soft(low=0.5), [0.9], [float("inf")], [float("nan")]) == [0.9]


def test_soft_gets_the_statistic_of_its_detector_in_units_of_the_threshold():
    """With the raw statistic of a CUSUM (threshold near 10) β would be `low` half of the time."""
    rule = Adaptive(TrackingSignal(standardize=False), Constant(0.99), Soft(dead=0.0))
    state = rules.init(rule, torch.tensor(0))
    for x in (0.5, -0.2, 0.8, 1.1):
        decision = rules.advance(rule, state, torch.tensor(x, dtype=torch.float64))
        state = decision.state
        s = state["statistic"].item() / rule.detector.threshold
        assert 0 < s < 1
        assert decision.beta.item() == pytest.approx(0.99 - 0.49 * s**1.5, rel=1e-12)


def test_a_rule_without_a_reaction_has_the_usual_one_of_its_detector():
    """In Python and in texts alike: a soft statistic that restarts a clock is another method."""
    assert Adaptive(TrackingSignal()).reaction == Soft()
    assert Adaptive(Cusum()).reaction == Restart()
    assert Adaptive(TrackingSignal(), reaction=Restart()) == parse("tracking_signal:reaction=restart")


@pytest.mark.parametrize("detector", [kind() for kind in OFFLINE.values()], ids=str)
def test_rules_refuse_detectors_whose_state_is_not_tensors(detector):
    """Accepted, it would train for hours and fail at the first checkpoint."""
    with pytest.raises(ValueError, match=rf"state of tensors, got {type(detector).__name__}: .*page_hinkley"):
        Adaptive(detector)


def test_an_oracle_without_times_listens_to_the_shift():
    """It must hear of shifts whatever signal the user chose, and no other rule may."""
    assert Adaptive(Oracle(), signal="cosine").listens_to == "shifted"
    assert Adaptive(Oracle((5,))).listens_to is None
    assert Adaptive(Never()).listens_to is None
    assert Adaptive(Cusum(), signal="cosine").listens_to == "cosine"
    with pytest.raises(ValueError, match="signal must be one of"):
        Adaptive(signal="shifted")
    state = rules.init(Adaptive(Oracle()), torch.arange(2))
    raised = []
    for x in ([0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.5, 0.0]):
        decision = rules.advance(Adaptive(Oracle()), state, torch.tensor(x, dtype=torch.float64))
        state = decision.state
        raised.append(decision.alarm.tolist())
    assert raised == [[False, False], [False, True], [False, False], [True, False]]
    assert state["clock"].tolist() == [1, 3]


def test_every_run_has_a_clock_of_its_own():
    """With one clock for the batch one seed's alarm would restart all of them."""
    rule = Adaptive(Random(every=8), Harmonic(0.95))
    batch = decisions(rule, keys=torch.arange(4))
    assert len({tuple(d.alarm[r].item() for d in batch) for r in range(4)}) == 4
    for r in range(4):
        raised = [bool(d.alarm[r]) for d in batch]
        assert any(raised)
        assert [d.state["clock"][r].item() for d in batch] == references.clocks(raised)
        assert batch[-1].state["alarms"][r] == sum(raised)
        alone = decisions(rule, keys=torch.tensor(r))
        assert all(torch.equal(a.beta, b.beta[r]) for a, b in zip(alone, batch, strict=True))


def test_a_notified_run_reacts_once_and_counts_no_alarm():
    """`notify_shift` is the user's word, not the detector's: counted as alarms it would spoil the false-alarm rate."""
    rule = Adaptive(Never(), Harmonic(0.99))
    state = decisions(rule, 10, torch.arange(3))[-1].state
    received = {**state, "notified": torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)}
    first = rules.advance(rule, received, torch.zeros(3, dtype=torch.float64))
    second = rules.advance(rule, first.state, torch.zeros(3, dtype=torch.float64))
    assert first.state["clock"].tolist() == [11, 1, 11]
    assert first.alarm.tolist() == [False, True, False]
    assert second.state["clock"].tolist() == [12, 2, 12]
    assert second.state["alarms"].tolist() == [0, 0, 0]


def test_advance_leaves_the_state_it_was_given_as_it_was():
    """`nonfinite="skip"` puts the old state back; written to in place it would not be old."""
    rule = Adaptive(Cusum(arl=20, burn_in=5), Harmonic(0.95), Drop())
    state = decisions(rule, 10, torch.arange(3))[-1].state
    before = copy.deepcopy(state)
    rules.advance(rule, state, torch.full((3,), 9.0, dtype=torch.float64))
    assert all(torch.equal(state[k], before[k]) for k in before)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_state_of_a_rule_holds_tensors_only_with_the_run_first(name, tmp_path):
    """weights_only=True refuses anything else, at the end of a long run; skipped updates are undone along the first axis."""
    rule = parse(f"yoked:runs={recorded(tmp_path)}" if name == "yoked" else name)
    for state in (rules.init(rule, torch.arange(3)), decisions(rule, 3, torch.arange(3))[-1].state):
        assert all(isinstance(v, torch.Tensor) and v.shape[0] == 3 for v in state.values())


@settings(max_examples=50, deadline=None, derandomize=True)
@given(any_rule)
def test_rules_are_values(rule):
    """Specs travel to worker processes and are compared with those of a folder to be resumed."""
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert hash(pickle.loads(pickle.dumps(rule))) == hash(rule)


# The law of each parameter --------------------------------------------------------------------------------------------


def share(rise: float, fall: float, square: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """1 − β of `asymmetric` where g² is `square` and Ê is `mean`."""
    w = torch.ones_like(mean, dtype=torch.promote_types(mean.dtype, torch.float32))
    slot = Slot(mean, square.sqrt(), mean, w, torch.ones(()), None, None, {"weight": w})
    return Asymmetric(rise, fall).share(slot, square, {"initial_accumulator_value": 0.0})


def test_asymmetric_rises_where_the_square_exceeds_the_mean():
    """The comparison the other way round follows the lower envelope and takes steps far too long."""
    square, mean = torch.tensor([4.0, 1.0, 2.0, 0.0]), torch.tensor([1.0, 4.0, 2.0, 0.0])
    assert share(0.25, 0.75, square, mean).tolist() == [0.75, 0.25, 0.25, 0.25]


def test_asymmetric_has_the_precision_of_the_parameter():
    """β = 0.9 rounded to single is another β for a model in double; 1 − 0.999 in single is wrong in its fifth digit."""
    one, two = torch.ones(1, dtype=torch.float64), torch.full((1,), 2.0, dtype=torch.float64)
    assert share(0.9, 0.999, two, one).item() == 1 - 0.9
    assert share(0.9, 0.999, one, two).item() == 1 - 0.999
    assert share(0.9, 0.999, one.float(), two.float()).item() == pytest.approx(1 - 0.999, rel=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_asymmetric_forgets_in_every_precision(dtype):
    """0.999 is 1 in bfloat16, and β = 1 is what the rule refuses: w would stand still and E never fall."""
    assert share(0.9, 0.999, torch.zeros(1, dtype=dtype), torch.ones(1, dtype=dtype)).item() == pytest.approx(0.001)
