"""Data card (Gebru et al., CACM 2021) of a data set, from its manifest and what was read."""

from __future__ import annotations

import pandas as pd

from heclstm_lib.data.manifest import Manifest
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.data.summary import counts_table, left_out_table
from heclstm_lib.stages.cards import table_text


def data_card(sequences: SequenceSet, manifest: Manifest, split: pd.DataFrame) -> str:
    """The data card of one data set, as it was read, as Markdown.

    split: patients and sequences per fold and part (`split_counts`).
    """
    counts = counts_table(sequences, manifest)
    left = left_out_table(sequences)
    frames, channels, size = (sequences.frames.shape[k] for k in (1, 2, 3))
    return f"""# Data card: {manifest.title}

## Origin and terms
{
        table_text(
            [
                ("citation", manifest.citation),
                ("homepage", manifest.homepage),
                ("licence", f"{manifest.licence.name}: {manifest.licence.terms}"),
                ("files in the manifest", str(len(manifest.resources))),
                ("manifest sha256", manifest.digest),
                ("sequences sha256", sequences.digest),
            ],
            ("field", "value"),
        )
    }

{manifest.description}

## What one sequence is
{manifest.sequence}. Here: {frames} frames of {size} x {size} pixels, {channels} channel(s), values
in [0, 1]. Label: {manifest.label_rule}.

## What was read
{table_text(_rows(counts), tuple(counts.columns))}

Left out or remarkable: {_left_out(left)}

## Splits by patient
{table_text(_rows(split), tuple(split.columns))}

No patient stands in two parts of a fold; that is checked each time a split is used.

## Known limits
{_notes(manifest)}
- Nothing is known here of the patients' consent beyond the source's own terms, and no attribute
  such as age is at hand, so that no subgroup can be examined.
- Images are not redistributed with this project unless the terms say so; reports show averages of
  a class, no single patient.
"""


def split_counts(space_sets: dict[int, dict[str, SequenceSet]]) -> pd.DataFrame:
    """One row a fold: "ill / all" sequences and patients of train, val and test."""
    rows = []
    for fold, sets in space_sets.items():
        cells: dict[str, object] = {"fold": fold}
        for part, found in sets.items():
            people = len(set(found.patient_ids))
            cells[part] = f"{int(found.labels.sum())} ill of {len(found)}, {people} patients"
        rows.append(cells)
    return pd.DataFrame(rows)


def _rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return [tuple(map(str, row)) for row in table.itertuples(index=False)]


def _left_out(left: pd.DataFrame) -> str:
    numbers = left.what.value_counts()
    return ", ".join(f"{count} {what}" for what, count in numbers.items()) or "nothing"


def _notes(manifest: Manifest) -> str:
    return "\n".join(f"- {note}." for note in manifest.notes) or "- None is noted by the manifest."
