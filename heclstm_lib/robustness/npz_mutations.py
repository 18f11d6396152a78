"""A .npz file changed behind its checksums: members are changed and packed again."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np

from heclstm_lib.robustness.mutations import Random, change_bytes, change_json

DTYPES = ("<i8", ">f8", "<f4", "<u8", "<c16", "|b1", "<M8[s]")


def change_npz(data: bytes, rng: Random) -> bytes:
    """The archive with one member changed (bytes, type, shape, JSON), left out or renamed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = str(rng.choice(sorted(members)))
    kind = rng.integers(8)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[f"x{name}"] = members.pop(name)
    elif kind <= 3:
        members[name] = change_bytes(members[name], rng)
    elif kind == 4:
        members[name] = change_bytes(members[name][:128], rng) + members[name][128:]
    else:
        members[name] = _changed_array(members[name], rng)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return sink.getvalue()


def _changed_array(content: bytes, rng: Random) -> bytes:
    """A text with a changed JSON value, or numbers that pass for those of another type or value."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.kind == "U":
        array = np.array(json.dumps(change_json(json.loads(str(array)), rng)))
    elif rng.integers(2):
        array = array.view(DTYPES[int(rng.integers(2))])
    elif rng.integers(2):
        array = array.astype(DTYPES[int(rng.integers(len(DTYPES)))])
    else:
        array = array.copy()
        array.flat[rng.integers(array.size)] = rng.choice([np.nan, np.inf, 0.0, -1.0, 1e300])
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()
