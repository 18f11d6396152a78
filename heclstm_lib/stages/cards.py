"""Model card (Mitchell et al., FAccT 2019) and data card (Gebru et al., CACM 2021), from results.

Every number comes from the stored results of the same study; nothing is typed in by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from heclstm_lib.config import DatasetStudy, ModelConfig
from heclstm_lib.data.manifest import Manifest
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.data.summary import counts_table, left_out_table
from heclstm_lib.files import replacing
from heclstm_lib.stages.evidence import ENCRYPTED, TRAINING, Evidence

SHOWN = ("auc", "missed_diagnosis_rate", "specificity", "accuracy", "f1", "brier")


def write_card(path: Path, text: str) -> Path:
    """Write one card as Markdown."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def table_text(rows: list[tuple[str, ...]], head: tuple[str, ...]) -> str:
    """A Markdown table; bars and line breaks in cells are made harmless."""

    def line(cells: tuple[str, ...]) -> str:
        clean = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
        return "| " + " | ".join(clean) + " |"

    return "\n".join([line(head), line(("---",) * len(head)), *map(line, rows)])


def model_card(study: DatasetStudy, evidence: Evidence, calibration: pd.DataFrame) -> str:
    """The model card of one data set's network as Markdown.

    calibration: of `evaluation.calibration.calibration_table`, with the scaled probabilities.
    """
    metrics = evidence.store.load_table(f"{TRAINING}.metrics")
    error = calibration.set_index("metric").loc["brier"]
    return f"""# Model card: HE-CLSTM on {study.dataset}

## Model
A convolutional LSTM for image sequences whose polynomial twin runs on CKKS ciphertexts; our
reading of Yue et al., ACM TOIT 2021 (doi 10.1145/3383779), whose formulas are not public.

{table_text(_parts(study), ("part", "value"))}

## Intended use
Research and teaching: what encrypted inference costs, and what it does to accuracy. **Not a medical
device.** No decision on a patient may rest on it; it has seen no hospital but those of the data.

## Results on test patients
{table_text(_metric_rows(metrics), ("metric", "exact (95 % CI)", "HE-friendly (95 % CI)"))}

Every interval is over test patients and does not cover the choice of seed or training patients.
Brier score after Platt scaling on validation patients: {error.estimate:.3f}
({error.ci_low:.3f} to {error.ci_high:.3f}).

## Encrypted
{_encrypted(evidence)}

## Limits and risks
- Small numbers: look at the intervals before any estimate. A group of patients that the data do
  not hold (age, skin, device, country) was not tested; no attribute to test it by is at hand.
- Logits are those of balanced classes; probabilities need the scaling above, and another
  prevalence needs it anew.
- Polynomials have no bounds: a sequence far from the training data can leave their interval (the
  ranges are in notebooks 02 and 03).
- Privacy holds against an honest-but-curious server, as long as no decrypted value leaves the
  hospital. Scores give the model away query by query, as they do in clear.
"""


def _parts(study: DatasetStudy) -> list[tuple[str, ...]]:
    model, train, data = study.model, study.train, study.data
    recurrence = model.recurrence.upper() if model.lstm else "no recurrence"
    channels = ", ".join(map(str, model.conv_channels))
    return [
        ("input", f"{data.frames} frames, {data.image_size} x {data.image_size}, {data.colour}"),
        ("network", f"convolution ({channels} channels), {recurrence}, {model.hidden} features, "
         f"weighted unit: {model.weighted_unit}, voting: {model.voting}"),
        ("HE-friendly twin", f"{_cnn_activation(model)} after convolutions, gates of degree "
         f"{model.gate_degree}, coefficients: {model.fit}"),
        ("training", f"at most {train.epochs} epochs exact, {train.polynomial_epochs} polynomial, "
         f"class-weighted cross entropy, early stopping on validation AUC, seed {train.seed} + "
         "the fold's number"),
        ("models", f"one for each of folds {', '.join(map(str, study.folds))}"),
        ("operating point", f"sensitivity {train.target_sensitivity} on validation patients"),
    ]  # fmt: skip


def _cnn_activation(model: ModelConfig) -> str:
    return "x^2" if model.activation == "square" else "polynomials of degree 2"


def _metric_rows(metrics: pd.DataFrame) -> list[tuple[str, ...]]:
    found = metrics.set_index(["twin", "metric"])

    def cell(twin: str, name: str) -> str:
        row = found.loc[(twin, name)]
        return f"{row.estimate:.3f} ({row.ci_low:.3f} to {row.ci_high:.3f})"

    return [(name, cell("exact", name), cell("polynomial", name)) for name in SHOWN]


def _encrypted(evidence: Evidence) -> str:
    numbers: dict[str, Any] = evidence.numbers(ENCRYPTED)
    found = numbers.get("agreement")
    if not found:
        return "Nothing was evaluated encrypted in this study."
    return (
        f"{found['n']} decisions on {found['n_sequences']} test sequences: {found['flips']} "
        f"decisions differ from the same network in float64 (95 % CI of the rate "
        f"{found['flip_rate_low']:.3f} to {found['flip_rate_high']:.3f}), "
        f"{found['precision_bits']:.1f} bits of precision, "
        f"{numbers['server_s_per_batch']:.1f} s of server time a batch."
    )


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
