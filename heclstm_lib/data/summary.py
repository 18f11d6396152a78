"""Tables that describe a data set: its card, and what was read against what was expected."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.data.manifest import Manifest
from heclstm_lib.data.sequences import SequenceSet


def manifest_card(manifest: Manifest) -> pd.DataFrame:
    """Title, licence, citation and rules of a data set, one row each."""
    rows = {
        "title": manifest.title,
        "licence": f"{manifest.licence.name}: {manifest.licence.terms}",
        "citation": manifest.citation,
        "homepage": manifest.homepage,
        "sequence": manifest.sequence,
        "label": manifest.label_rule,
        "files in the manifest": str(len(manifest.resources)),
        "manifest sha256": manifest.digest,
    }
    return pd.DataFrame({"value": rows})


def counts_table(sequences: SequenceSet, manifest: Manifest) -> pd.DataFrame:
    """One row a class: sequences read, cases the manifest names, real frames, padding."""
    rows = []
    for name, expected in manifest.expected.classes.items():
        chosen = sequences.labels == expected.label
        lengths = sequences.lengths[chosen]
        frames = sequences.frames.shape[1]
        rows.append(
            {
                "class": name,
                "label": expected.label,
                "sequences": int(chosen.sum()),
                "in the manifest": expected.cases,
                "frames, median": float(np.median(lengths)) if len(lengths) else np.nan,
                "padded sequences": int((lengths < frames).sum()),
            }
        )
    return pd.DataFrame(rows)


def left_out_table(sequences: SequenceSet) -> pd.DataFrame:
    """Skipped items with the reason, missing patients, unverified files, notes on the data."""
    rows = [("skipped", skip.item, skip.reason) for skip in sequences.skipped]
    rows += [("missing", patient, "in the manifest, not on disk") for patient in sequences.missing]
    rows += [("unverified", item, "on disk, not in the manifest") for item in sequences.unverified]
    rows += [("note", sequences.name, note) for note in sequences.notes]
    return pd.DataFrame(rows, columns=["what", "item", "reason"])
