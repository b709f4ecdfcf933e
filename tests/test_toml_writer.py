"""The writer of TOML, held to Python's own reader."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_rmsprop.storage import toml_writer

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)
scalars = texts | numbers | st.booleans()
tables = st.recursive(
    st.dictionaries(texts, scalars | st.lists(scalars, max_size=4), max_size=4),
    lambda inner: st.dictionaries(texts, scalars | inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(tables)
def test_what_is_written_is_read_back(table: dict) -> None:
    """A quote, a tab or an odd key in a study's settings would make a file that its own tool refuses."""
    assert tomllib.loads(toml_writer.write(table)) == table


@given(st.floats(allow_nan=False))
def test_numbers_keep_every_bit_and_their_type(x: float) -> None:
    """1e-5 that comes back as another number makes another study; 1.0 that comes back as 1 another type."""
    back = tomllib.loads(toml_writer.write({"x": x}))["x"]
    assert (back, type(back)) == (x, float)


def test_the_form_is_the_one_that_a_person_would_write() -> None:
    """A file that only a program can read will not be edited."""
    table = {"env": ("A-v1", "B/C-v0"), "on": True, "settings": {"A-v1": {"lr": 1e-3}, "B/C-v0": {"hidden": [64]}}}
    assert toml_writer.write(table) == (
        'env = ["A-v1", "B/C-v0"]\non = true\n\n[settings.A-v1]\nlr = 0.001\n\n[settings."B/C-v0"]\nhidden = [64]\n'
    )


def test_what_has_no_place_in_a_file_is_refused() -> None:
    """None written as a text would come back as one."""
    with pytest.raises(TypeError, match="string, number, truth value or list, got NoneType"):
        toml_writer.write({"x": None})
