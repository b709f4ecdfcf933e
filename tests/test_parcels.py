"""Files that travel between a worker's scratch folder and the study's folder, and what a transfer that was cut off leaves."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_rmsprop.storage.atomic import Damaged
from rl_rmsprop.study.execution import parcels
from rl_rmsprop.study.execution.parcels import Piece, Sender

TABLE, EVENTS = "E/arm/seed_0000/metrics.csv", "E/arm/seed_0000/events.out.tfevents.1"
STATE, MANIFEST = "E/arm/batch_0000/00000001/state.json", "E/arm/batch_0000/00000001/manifest.json"
WEIGHTS, CONFIG = "E/arm/seed_0000/checkpoint/weights.npz", "E/arm/seed_0000/config.json"
WHOLE = (STATE, MANIFEST, WEIGHTS, CONFIG)
OUTPUTS = ("E/arm/seed_0000", "E/arm/batch_0000")


def outputs(folder: Path) -> list[Path]:
    """Those of the task."""
    return [folder / output for output in OUTPUTS]


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files with what is in them, and all folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def append(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


def replace(folder: Path, name: str, data: bytes) -> None:
    (folder / name).unlink(missing_ok=True)
    append(folder, name, data)


def remove(folder: Path, name: str, _: bytes) -> None:
    (folder / name).unlink(missing_ok=True)


def make_empty(folder: Path, name: str, _: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)


change = st.one_of(
    st.tuples(st.just(append), st.sampled_from([TABLE, EVENTS]), st.binary(min_size=1, max_size=40)),
    st.tuples(
        st.sampled_from([replace, remove, make_empty]),
        st.sampled_from([STATE, MANIFEST, WEIGHTS, CONFIG]),
        st.binary(max_size=40),
    ),
)


@given(st.lists(st.lists(change, max_size=5), min_size=1, max_size=4), st.booleans())
def test_what_arrives_is_what_was_sent(rounds: list[list[tuple[Callable, str, bytes]]], restarts: bool) -> None:
    """After each transfer; a new sender, as of another attempt, knows nothing of what is there."""
    with tempfile.TemporaryDirectory() as home:
        here, there = Path(home, "here"), Path(home, "there")
        here.mkdir()
        there.mkdir()
        sender = Sender(here, outputs(here))
        for changes in rounds:
            for apply, name, data in changes:
                apply(here, name, data)
            if restarts:
                sender = Sender(here, outputs(here))
            for piece in itertools.chain.from_iterable(sender.parcels()):
                parcels.write(there, piece)
            parcels.match(there, outputs(there), parcels.listing(here, outputs(here)))
            assert {k: v for k, v in tree(there).items() if k.startswith(OUTPUTS)} == {
                k: v for k, v in tree(here).items() if k.startswith(OUTPUTS)
            }


def test_only_what_is_new_of_a_table_is_sent(tmp_path: Path) -> None:
    sender = Sender(tmp_path, outputs(tmp_path))
    append(tmp_path, TABLE, b"step,return\n")
    assert list(sender.parcels()) == [[Piece(TABLE, 0, b"step,return\n", whole=True, complete=True)]]
    append(tmp_path, TABLE, b"128,21.0\n")
    assert list(sender.parcels()) == [[Piece(TABLE, 12, b"128,21.0\n", whole=False, complete=True)]]
    assert list(sender.parcels()) == []


def test_what_says_that_others_are_whole_comes_last(tmp_path: Path) -> None:
    """Silent failure: a transfer that was cut off leaves weights without their tables, and the run counts as finished."""
    for name in (WEIGHTS, MANIFEST, STATE, CONFIG, TABLE):
        append(tmp_path, name, b"x")
    (parcel,) = Sender(tmp_path, outputs(tmp_path)).parcels()
    assert [piece.path for piece in parcel] == [TABLE, STATE, CONFIG, MANIFEST, WEIGHTS]


def test_a_large_file_has_its_name_when_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "LARGEST", 4)
    here, there = tmp_path / "here", tmp_path / "there"
    append(here, WEIGHTS, b"0123456789")
    pieces = list(itertools.chain.from_iterable(Sender(here, outputs(here)).parcels()))
    assert [piece.data for piece in pieces] == [b"0123", b"4567", b"89"]
    for piece in pieces:
        assert not (there / WEIGHTS).exists()
        parcels.write(there, piece)
    assert (there / WEIGHTS).read_bytes() == b"0123456789"


def test_a_table_of_which_the_beginning_is_missing_is_damaged(tmp_path: Path) -> None:
    """Silent failure: a hole in a table is filled with zeros."""
    parcels.write(tmp_path, Piece(TABLE, 0, b"abc", whole=False, complete=True))
    for offset, name in ((4, TABLE), (1, EVENTS)):
        with pytest.raises(Damaged, match="is shorter than it was"):
            parcels.write(tmp_path, Piece(name, offset, b"x", whole=False, complete=True))
