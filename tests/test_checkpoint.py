"""Checkpoints hold plain data and nothing else, and are taken whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl_rmsprop.storage import atomic, checkpoint
from rl_rmsprop.storage.atomic import Damaged
from rl_rmsprop.storage.checkpoint import load, pack, save, unpack
from tests.faults import storage

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**130), 2**130), st.floats(), st.text(max_size=5),
    st.sampled_from([np.float32, np.float64, np.int64, np.bool_, np.uint8]).flatmap(
        lambda kind: st.lists(st.integers(0, 1), max_size=4).map(lambda x: np.array(x, kind))
    ),
    st.lists(st.floats(width=32), max_size=4).map(lambda x: torch.tensor(x, dtype=torch.bfloat16)),
)  # fmt: skip
TREES = st.recursive(
    LEAVES, lambda x: st.one_of(st.lists(x, max_size=3), st.dictionaries(st.text(max_size=3) | st.integers(0, 9), x, max_size=3))
)


def alike(a: Any, b: Any) -> bool:
    """Whether two trees are the same, bits and types of leaves included."""
    if isinstance(a, (np.ndarray, torch.Tensor)):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and raw(a) == raw(b)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    return type(a) is type(b) and (a == b or a != a) and str(a) == str(b)


def raw(x: Any) -> bytes:
    return x.tobytes() if isinstance(x, np.ndarray) else x.view(torch.uint8).numpy().tobytes() if x.numel() else b""


@given(TREES)
def test_a_tree_comes_back_as_it_was(tree: Any) -> None:
    """Silent failure: −0.0, a NaN, a bfloat16 or a 128-bit state of a generator is another number after a resume."""
    rest, tensors = pack(tree)
    assert alike(unpack(json.loads(json.dumps(rest, allow_nan=False)), tensors), tree)


def test_only_plain_data_is_saved(tmp_path: Path) -> None:
    """Silent failure: an object is saved as its text, and comes back as one."""
    with pytest.raises(TypeError, match="plain data, got object"):
        save(tmp_path, 1, {"x": object()})


def test_two_generations_stay(tmp_path: Path) -> None:
    """A disk filled by old checkpoints stops the study that they were to save."""
    for number in (1, 2, 30):
        save(tmp_path, number, {"number": number})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000002", "00000030"]
    assert [tree["number"] for tree in load(tmp_path) if isinstance(tree, dict)] == [30, 2]


def test_what_a_checkpoint_promises_is_kept_on_a_failing_disk() -> None:
    """The short version of `python -m tests.faults storage`."""
    for row in storage.rows(quick=True):
        assert row.kept, row


def hostile(kind: str, home: Path, outside: Path) -> None:
    """Make of a generation something that nobody should take."""
    tensors, manifest = home / checkpoint.TENSORS, home / checkpoint.MANIFEST

    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (outside,))

    def announce(data: bytes, **more: Any) -> None:
        tensors.write_bytes(data)
        content = json.loads(manifest.read_text())
        content["files"][checkpoint.TENSORS] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}
        atomic.write_json(manifest, content)

    if kind == "a pickle":
        announce(pickle.dumps(Bomb()))
    elif kind == "torch's pickle":
        torch.save({"x": Bomb()}, tensors)
        announce(tensors.read_bytes())
    elif kind == "a claim of 10 GB":
        header = json.dumps({"00000": {"dtype": "F32", "shape": [2_500_000_000], "data_offsets": [0, 10_000_000_000]}}).encode()
        announce(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    elif kind == "a header of 10 GB":
        announce((10_000_000_000).to_bytes(8, "little") + b"{}")
    elif kind == "a manifest that claims 10 GB":
        announce(tensors.read_bytes(), bytes=10_000_000_000)
    elif kind == "a symlink out of the folder":
        outside.write_bytes(tensors.read_bytes())
        tensors.unlink()
        tensors.symlink_to(outside)
    elif kind == "a pipe":
        tensors.unlink()
        os.mkfifo(tensors)
    elif kind == "a folder":
        tensors.unlink()
        tensors.mkdir()
    elif kind == "a key twice":
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 1, "format": 1'))
    elif kind == "a newer format":
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    elif kind == "deep nesting":
        manifest.write_text("[" * 30_000 + "}\n")
    elif kind == "a huge manifest":
        manifest.write_text('{"format": 1, "x": "' + "x" * 100_000 + '"}\n')
    elif kind == "other tensors":
        import safetensors.torch

        announce(safetensors.torch.save({"other": torch.zeros(1)}))


@pytest.mark.parametrize(
    "kind",
    [
        "a pickle", "torch's pickle", "a claim of 10 GB", "a header of 10 GB", "a manifest that claims 10 GB",
        "a symlink out of the folder", "a pipe", "a folder", "a key twice", "a newer format", "deep nesting", "a huge manifest",
        "other tensors",
    ],
)  # fmt: skip
def test_what_is_not_a_checkpoint_is_refused_and_nothing_runs(kind: str, tmp_path: Path) -> None:
    """Silent failure: a folder from somebody else runs their code, or fills the memory."""
    save(tmp_path / "x", 1, {"w": torch.ones(3)})
    hostile(kind, tmp_path / "x" / "00000001", outside=tmp_path / "outside")
    before = (tmp_path / "outside").exists()
    (found,) = load(tmp_path / "x")
    assert isinstance(found, Damaged)
    assert str(tmp_path / "x" / "00000001") in str(found)
    assert (tmp_path / "outside").exists() == before


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: a reader finds half of a study.json, and the study is lost."""
    atomic.write_text(tmp_path / "x", "old")

    class Full(atomic.Disk):
        def sync(self, handle: int) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "disk", Full())
    with pytest.raises(atomic.Unwritable, match=r"No space left on device \(3 bytes\): .*/x"):
        atomic.write_text(tmp_path / "x", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"
