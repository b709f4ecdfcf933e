"""The text form of settings."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_rmsprop import grammar


@dataclass(frozen=True)
class Knobs:
    """One field of every kind that a text can hold."""

    size: float
    count: int = 3
    limit: float | None = None
    on: bool = False
    name: str = "plain"
    values: tuple[float, ...] = (0.5,)
    at: tuple[int, ...] = (2,)


finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(10**9), 10**9)
knobs = st.builds(
    Knobs,
    size=finite,
    count=whole,
    limit=st.none() | finite,
    on=st.booleans(),
    name=st.sampled_from(["plain", "beta", "window"]),
    values=st.lists(finite, min_size=1, max_size=4).map(tuple),
    at=st.lists(whole, min_size=1, max_size=4).map(tuple),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(knobs)
def test_text_is_read_back_as_the_same_settings(made):
    """A config.json whose rule reads back a little different repeats another experiment than the one it names."""
    spec = grammar.text("knobs", grammar.non_defaults(made))
    name, pairs = grammar.split(spec)
    assert name == "knobs"
    assert grammar.build(Knobs, pairs, spec) == made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.99, "0.99"),
        (50_000.0, "50000"),
        (-0.5, "-0.5"),
        (1e-8, "1e-08"),
        (1e300, "1e+300"),
        (7, "7"),
        (True, "true"),
        (None, "none"),
        ("window", "window"),
        ((0.9, 2.0), "0.9/2"),
    ],
)
def test_values_are_written_in_their_shortest_exact_form(value, expected):
    """Folder names come from texts: 50000 and 50000.0 must not become two folders, nor 0.99 be rounded."""
    assert grammar.value_text(value) == expected


def test_fields_at_their_default_are_left_out():
    """Two spellings of one rule would be two arms of a study."""
    assert grammar.text("knobs", grammar.non_defaults(Knobs(size=2.0))) == "knobs:size=2"
    assert grammar.text("knobs", grammar.non_defaults(Knobs(size=2.0, count=4))) == "knobs:size=2,count=4"


def test_spaces_around_keys_and_values_do_not_count():
    """A space typed on a command line must not become part of a key or a value."""
    assert grammar.split(" knobs: size = 1e-3 , at = 2/3 ") == ("knobs", {"size": "1e-3", "at": "2/3"})


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ({"size": "1e3"}, Knobs(1000.0)),
        ({"size": "1", "count": "1e3"}, Knobs(1.0, count=1000)),
        ({"size": "1", "limit": "none"}, Knobs(1.0)),
        ({"size": "1", "limit": "2"}, Knobs(1.0, limit=2.0)),
        ({"size": "1", "on": "True"}, Knobs(1.0, on=True)),
        ({"size": "1", "values": "0.9"}, Knobs(1.0, values=(0.9,))),
        ({"size": "1", "at": "10/1e3"}, Knobs(1.0, at=(10, 1000))),
        ({"size": "1", "count": "9007199254740993"}, Knobs(1.0, count=2**53 + 1)),  # no float
    ],
)
def test_written_values_get_the_type_of_their_field(pairs, expected):
    """A count read as a float, or a single entry as a number in place of a list, fails late or not at all."""
    built = grammar.build(Knobs, pairs, "knobs")
    assert built == expected
    assert [type(getattr(built, f)) for f in pairs] == [type(getattr(expected, f)) for f in pairs]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("knobs:size", ["name:key=value", "'size'"]),
        ("knobs:size=", ["name:key=value", "'size='"]),
        ("knobs:size=1,,count=2", ["name:key=value", "''"]),
        ("knobs:size=1,size=2", ["once", "size", "twice"]),
        ("knobs:count=2", ["needs size=…"]),
        ("knobs:size=1,cuont=2", ["'cuont'", "did you mean count?"]),
        ("knobs:size=1,zzz=2", ["'zzz'", "known are size, count"]),
        ("knobs:size=big", ["size", "a number", "'big'"]),
        ("knobs:size=1,count=2.5", ["count", "a whole number", "'2.5'"]),
        ("knobs:size=1,count=inf", ["count", "a whole number", "'inf'"]),
        ("knobs:size=1,on=yes", ["on", "true or false", "'yes'"]),
        ("knobs:size=1,values=0.5//0.9", ["values", "a number", "''"]),
    ],
)
def test_bad_text_is_refused_with_its_rule_value_and_remedy(spec, words):
    """A mistyped key that is ignored trains the default rule under the wished name."""
    with pytest.raises(ValueError, match="knobs") as error:
        grammar.build(Knobs, grammar.split(spec)[1], spec)
    for word in words:
        assert word in str(error.value)


def test_nearest_names_the_likely_word_or_all_of_them():
    """Without a remedy the reader has to open the source to find a name."""
    assert grammar.nearest("cusmu", ["cusum", "never"]) == "did you mean cusum?"
    assert grammar.nearest("x", ["cusum", "never"]) == "known are cusum, never"


@pytest.mark.parametrize(("text", "expected"), [("0.9", 0.9), (" 1e3 ", 1000.0), ("cusum", None), ("", None), ("0.9+0.99", None)])
def test_a_number_is_told_from_a_name(text, expected):
    """A rule that is read by what an error message says changes its meaning when the message is reworded."""
    assert grammar.number(text) == expected


# Values of other libraries --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked(grammar.Settings):
    """Settings that are validated."""

    size: float
    values: tuple[float, ...] = ()

    def validate(self) -> None:
        if self.size < 0:
            raise ValueError(f"size must be at least 0, got {self.size!r}")


@pytest.mark.parametrize(
    "half", [np.float64(0.5), np.float32(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2)], ids=lambda x: type(x).__name__
)
def test_scalars_of_other_libraries_become_plain_numbers(half):
    """`np.float64(0.5)` in the text of a rule cannot be read back: a checkpoint would be saved and never loaded."""
    settings = Checked(half, [half, 2])
    assert grammar.text("checked", grammar.non_defaults(settings)) == "checked:size=0.5,values=0.5/2"
    assert type(settings.size) is float
    assert hash(settings) == hash(Checked(0.5, (0.5, 2)))


def test_settings_are_validated_after_they_have_become_plain():
    """A check that sees the value of another library would compare a tensor, or miss it."""
    with pytest.raises(ValueError, match=r"size must be at least 0, got -1\.0$"):
        Checked(np.float64(-1.0))


@pytest.mark.parametrize("value", [True, None, "beta", np.ones(2), torch.ones(2, 1), 1 + 2j], ids=str)
def test_what_is_no_scalar_stays_as_it_is(value):
    """An array taken as a number would be one of its entries."""
    assert grammar.plain(value) is value
