# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 Data preparation: from files to patient-split sequences
#
# A manifest lists every file of a data set with its source, licence, size and sha256. A reader
# turns the files into sequences [B, T, C, H, W]: B sequences, T frames, C channels, H x W pixels in
# [0, 1]. A committed split assigns *patients* to train, validation and test, fold by fold.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import pandas as pd

from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.data.splits import find_split
from heclstm_lib.data.summary import counts_table, left_out_table, manifest_card
from heclstm_lib.figures.data import plot_course, plot_examples, plot_lengths, plot_split
from heclstm_lib.stages.notebook import open_stage, show_text

stage = open_stage("01_data_preparation", profile, dataset, out, data)
sequences = stage.space.sequences
manifest = load_manifest(dataset)
stage.study.data

# %% [markdown]
# ## Source and terms

# %%
show_text(manifest_card(manifest))

# %% [markdown]
# ## What was read, and what was not
# Nothing is dropped silently: look at the skipped and missing rows and the notes (patients who
# share images, labels that contradict) before trusting any number.

# %%
stage.write_table("counts", counts_table(sequences, manifest))

# %%
show_text(left_out_table(sequences))

# %% [markdown]
# ## What the sequences look like
# Time (or magnification, or depth) runs to the right. Reports that are published show no single
# patient: there, each row is the average of a class. Set `show_examples: true` in a profile of
# your own to see single sequences, one row a patient.

# %%
plot_examples(sequences, single=stage.study.show_examples)

# %% [markdown]
# **What you should see:** whether a frame alone would tell the classes apart; the baselines of
# notebook 02 measure it. The rules of the reader (which stages make the frames, padding of short
# sequences, sampling of long ones) stand in the documentation of `heclstm_lib.data`.

# %% [markdown]
# ## Course of brightness, and length
# If the mean intensity already separated the classes, no network would be needed. If the *number*
# of frames did, the data set would be biased: both stand as baselines in notebook 02.

# %%
plot_course(sequences)

# %%
plot_lengths(sequences)

# %% [markdown]
# **What you should see:** overlapping bands. Where they do not overlap, the trivial baselines of
# notebook 02 tell how far that alone goes.

# %% [markdown]
# ## Splits by patient
# A committed table assigns patients to parts; sets whose authors split them keep that split. For
# BreaKHis the official five folds are used where their files (`dsfold1.txt` .. `dsfold5.txt`) lie
# in the data folder; the notes above say so, and name patients whose slides its files put on both
# sides. Every use of a split is checked: a patient in two parts of a fold raises `LeakageError`.

# %%
parts = pd.concat(
    [
        pd.DataFrame(
            {
                "fold": fold,
                "patient_id": sequences.patient_ids,
                "label": sequences.labels,
                "part": pd.Series(sequences.patient_ids).map(
                    find_split(sequences, fold, stage.data)
                ),
            }
        )
        for fold in stage.study.folds
    ]
)
split = parts.groupby(["fold", "part", "label"]).patient_id.agg(
    sequences="count", patients="nunique"
)
stage.write_table("split", split.reset_index())

# %%
plot_split(parts)

# %% [markdown]
# **What you should see:** both classes in every part of every fold. Our own splits are stratified;
# an official split is taken as it is.

# %%
patients = len(set(sequences.patient_ids))
stage.finish(
    headline=[
        {
            "label": "Sequences",
            "value": f"{len(sequences.labels)}",
            "detail": f"{patients} patients, {int(sequences.labels.sum())} positive, "
            f"{len(sequences.skipped)} skipped, {len(sequences.missing)} missing",
        }
    ],
    patients=patients,
    sequences=len(sequences.labels),
    positive=int(sequences.labels.sum()),
    skipped=len(sequences.skipped),
    missing=list(sequences.missing),
    digest=sequences.digest,
)
