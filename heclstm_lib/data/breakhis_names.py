"""File names of BreaKHis: `SOB_<B|M>_<type>-<year>-<slide>-<magnification>-<seq>.png`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heclstm_lib.errors import DataError

_NAME = re.compile(
    r"^SOB_(?P<cls>[BM])_(?P<type>A|F|PT|TA|DC|LC|MC|PC)-(?P<year>\d{2})-"
    r"(?P<number>\d+)(?P<part>[A-Z]*)-(?P<mag>40|100|200|400)-(?P<seq>\d{3})\.png$"
)


@dataclass(frozen=True)
class BreakhisName:
    """What a BreaKHis file name says."""

    label: int
    subtype: str
    patient: str  # the number of the slide
    slide: str
    magnification: int
    sequence: int


def parse_name(name: str) -> BreakhisName:
    """Read one file name; DataError with the expected pattern for anything else.

    >>> parse_name("SOB_B_PT-14-21998AB-40-001.png").patient
    '21998'
    """
    match = _NAME.match(name)
    if match is None:
        raise DataError(
            f"got file name '{name}', expected SOB_<B|M>_<A|F|PT|TA|DC|LC|MC|PC>-<yy>-<slide>-"
            "<40|100|200|400>-<nnn>.png. Remove the file or restore its original name."
        )
    return BreakhisName(
        label=int(match["cls"] == "M"),
        subtype=match["type"],
        patient=match["number"],
        slide=f"{match['year']}-{match['number']}{match['part']}",
        magnification=int(match["mag"]),
        sequence=int(match["seq"]),
    )
