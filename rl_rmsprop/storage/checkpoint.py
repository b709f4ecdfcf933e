"""Checkpoints: a tree of plain data on disk, in two generations, each of which is whole or is rejected.

    dicts, lists, numbers, texts, arrays, tensors → state.json + state.safetensors + manifest.json → the same tree

    batch_0000-0031/00000012/state.safetensors     arrays and tensors, in a format that holds no code
                             state.json            all the rest, with the arrays' names in their places
                             manifest.json         format, size and SHA-256 of both; written last: it makes the generation

A generation is loaded if its manifest is there and both files are what it says; else the one before. Nothing is read that a
manifest does not list, and nothing bigger than it says: a foreign file may be rejected, and is never run.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from rl_rmsprop.storage import atomic, json_tables
from rl_rmsprop.storage.atomic import Damaged

FORMAT = 1
KEEP = 2
"""Generations that stay."""
MANIFEST, TENSORS, REST = "manifest.json", "state.safetensors", "state.json"
LARGEST_MANIFEST = 1 << 16
LARGEST_FILE = 1 << 34
"""Bytes that a checkpoint's file may have."""
KIND = "__kind__"
"""Key of the dicts that represent in state.json what JSON has no type for."""


def save(folder: Path, number: int, tree: Mapping[str, Any]) -> None:
    """Write generation `number` (≥ 0, later ones higher), then remove all but the last `KEEP`."""
    home = folder / f"{number:08d}"
    with atomic.named_errors(home):
        if home.exists():  # of an attempt that was cut off, or that is being made once more
            atomic.disk.remove(home)
        atomic.disk.make_folder(home)
    rest, tensors = pack(tree)
    parts = {
        TENSORS: safetensors.torch.save(tensors),
        REST: json.dumps(rest, ensure_ascii=False, allow_nan=False).encode("utf-8"),
    }
    for name, data in parts.items():
        atomic.write_bytes(home / name, data)
    manifest = {
        "format": FORMAT,
        "files": {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in parts.items()},
    }
    atomic.write_json(home / MANIFEST, manifest)
    atomic.sync_folder(folder)
    for old in generations(folder)[KEEP:]:
        with suppress(OSError):  # one too many does no harm
            atomic.disk.remove(old)


def load(folder: Path) -> Iterator[dict[str, Any] | Damaged]:
    """Every generation, the newest first: its tree, or what is wrong with it."""
    for home in generations(folder):
        try:
            yield read(home)
        except Damaged as error:
            yield error


def generations(folder: Path) -> list[Path]:
    """The folders of all generations that were begun, the newest first."""
    if not folder.is_dir() or folder.is_symlink():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit() and len(path.name) == 8), reverse=True)


def read(home: Path) -> dict[str, Any]:
    """The tree of one generation; Damaged if it is not whole, not ours, or of another format."""
    if home.is_symlink() or not home.is_dir():
        raise Damaged(f"{home} is not a folder of this study")
    listed = read_file(home / MANIFEST, LARGEST_MANIFEST)
    if not listed.endswith(b"}\n"):
        raise Damaged(f"{home / MANIFEST} is cut off")
    manifest = table(listed, home / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise Damaged(f"{home / MANIFEST} has format {manifest.get('format')!r}, this version reads {FORMAT}")
    parts = {}
    for name in (TENSORS, REST):
        try:
            size, sha256 = int(manifest["files"][name]["bytes"]), manifest["files"][name]["sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{home / MANIFEST} does not list {name}") from error
        data = read_file(home / name, min(size, LARGEST_FILE))
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(f"{home / name} is damaged: its SHA-256 is not that of its manifest")
        parts[name] = data
    try:
        tensors = safetensors.torch.load(parts[TENSORS])
    except (SafetensorError, ValueError, KeyError) as error:
        raise Damaged(f"{home / TENSORS} is not a file of tensors: {error}") from error
    try:
        tree = unpack(table(parts[REST], home / REST), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{home / REST} is not a checkpoint's: {error}") from error
    return tree


def read_file(path: Path, most: int) -> bytes:
    """A plain file of at most `most` bytes; Damaged if it is missing, longer, or something else."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from error
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_size > most:
        os.close(handle)
        raise Damaged(f"{path} is not a file of at most {most:,} bytes")
    with os.fdopen(handle, "rb") as file:
        return file.read(most)


def table(data: bytes, path: Path) -> dict[str, Any]:
    """What a JSON file of a checkpoint holds; Damaged if it cannot be read."""
    try:
        return json_tables.parsed(data, path)
    except ValueError as error:
        raise Damaged(str(error)) from error


# Trees and their form ---------------------------------------------------------------------------------------------------------


def pack(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """A tree that JSON can hold, and the tensors whose names it has; TypeError for anything that is not plain data."""
    tensors: dict[str, Tensor] = {}

    def put(x: Any) -> Any:
        if x is None or isinstance(x, (bool, str)):
            return x
        if isinstance(x, (int, np.integer)):
            return int(x)
        if isinstance(x, (float, np.floating)):
            return float(x) if math.isfinite(x) else {KIND: "float", "is": repr(float(x))}
        if isinstance(x, (np.ndarray, Tensor)):
            name = f"{len(tensors):05d}"
            tensors[name] = torch.from_numpy(np.array(x, order="C")) if isinstance(x, np.ndarray) else plain(x)
            return {KIND: "array" if isinstance(x, np.ndarray) else "tensor", "is": name}
        if isinstance(x, (list, tuple)):
            return [put(item) for item in x]
        if isinstance(x, dict):
            if all(isinstance(key, str) for key in x) and KIND not in x:
                return {key: put(item) for key, item in x.items()}
            return {KIND: "dict", "is": [[put(key), put(item)] for key, item in x.items()]}
        raise TypeError(f"a checkpoint holds plain data, got {type(x).__name__}")

    return put(tree), tensors


def plain(x: Tensor) -> Tensor:
    """A tensor on its own, without gradient."""
    return x.detach().cpu().clone(memory_format=torch.contiguous_format)


def unpack(x: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree again; lists in place of tuples."""
    if isinstance(x, list):
        return [unpack(item, tensors) for item in x]
    if not isinstance(x, dict):
        return x
    if KIND not in x:
        return {key: unpack(item, tensors) for key, item in x.items()}
    kind, value = x[KIND], x["is"]
    if kind == "float":
        return float(value)
    if kind in ("array", "tensor"):
        return tensors[value].numpy() if kind == "array" else tensors[value]
    if kind == "dict":
        return {unpack(key, tensors): unpack(item, tensors) for key, item in value}
    raise ValueError(f"unknown kind {kind!r}")
