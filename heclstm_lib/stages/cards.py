"""Model card (Mitchell et al., FAccT 2019), from results.

Every number comes from the stored results of the same study; nothing is typed in by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from heclstm_lib.config import DatasetStudy, ModelConfig
from heclstm_lib.evaluation.ensemble import ENSEMBLE
from heclstm_lib.files import replacing
from heclstm_lib.stages.evidence import ENCRYPTED, TRAINING, Evidence

RECURRENCE_NAMES = {"lstm": "LSTM", "bi_lstm": "Bi-LSTM", "sru": "SRU"}
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

{table_text([*_parts(study), *_choices(study, evidence)], ("part", "value"))}

## Intended use
Research and teaching: what encrypted inference costs, and what it does to accuracy. **Not a medical
device.** No decision on a patient may rest on it; it has seen no hospital but those of the data.

## Results on test patients
{table_text(_metric_rows(metrics), ("metric", *(f"{name} (95 % CI)" for name in _twins(metrics))))}

{_ensemble(metrics)}Every interval is over test patients and does not cover the choice of seed, of
training patients or of candidate settings.
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
    recurrence = RECURRENCE_NAMES[model.recurrence] if model.lstm else "no recurrence"
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


def _choices(study: DatasetStudy, evidence: Evidence) -> list[tuple[str, ...]]:
    """What was tried on validation patients, and how often each setting was taken."""
    if not study.search:
        return [("settings searched", "none within folds: the profile fixes the setting")]
    tried = "; ".join(map(str, study.search))
    how = "in each fold, by validation AUC of the polynomial twin; the list was drawn up after "
    how += "earlier runs on this data set"
    rows: list[tuple[str, ...]] = [("settings searched", f"{tried} ({how})")]
    table = evidence.table(TRAINING, "search")
    if table is not None and "chosen" in table:
        taken = table[table.chosen].setting.value_counts()
        folds = "; ".join(f"{name} in {count} fold(s)" for name, count in taken.items())
        rows.append(("settings chosen", folds))
    return rows


def _twins(metrics: pd.DataFrame) -> dict[str, str]:
    """Column head -> twin of the table of results; the ensemble only where there is one."""
    found = {"exact": "exact", "HE-friendly": "polynomial"}
    return found | ({"HE-friendly ensemble": ENSEMBLE} if ENSEMBLE in set(metrics.twin) else {})


def _metric_rows(metrics: pd.DataFrame) -> list[tuple[str, ...]]:
    found = metrics.set_index(["twin", "metric"])

    def cell(twin: str, name: str) -> str:
        row = found.loc[(twin, name)]
        return f"{row.estimate:.3f} ({row.ci_low:.3f} to {row.ci_high:.3f})"

    return [(name, *(cell(twin, name) for twin in _twins(metrics).values())) for name in SHOWN]


def _ensemble(metrics: pd.DataFrame) -> str:
    """What the ensemble is, as a paragraph; empty without one."""
    if ENSEMBLE not in set(metrics.twin):
        return ""
    return (
        "The ensemble is the mean score of the HE-friendly networks of all folds, which differ by\n"
        "their seed, with a threshold of its own from validation patients.\n\n"
    )


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
