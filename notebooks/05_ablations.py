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
# # 05 Ablations: what each part contributes
#
# Each row of the ablation grid is one change (column `fields`). A row that trains is trained on the
# same folds with the same budget and compared with the full network on the same test patients, in
# clear (notebook 04 measures what encryption changes); its plan says what it would cost encrypted.
# Other recurrences and gates are also evaluated encrypted, on test sequences of the first fold, and
# so is the full network under other encryption. Every row is planned anew, so that levels and
# layout may change with it. Rows found finished are taken up; the others are run here.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
from IPython.display import Markdown

from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.evaluation.metrics import metrics_by
from heclstm_lib.figures.ablations import plot_axes
from heclstm_lib.figures.tables import show_comparison, show_metrics
from heclstm_lib.figures.training import plot_forest
from heclstm_lib.grid import load_grid
from heclstm_lib.stages.ablation_tables import (
    comparison_by_axis,
    encrypted_table,
    full_encrypted,
    joined_predictions,
    list_rows,
    plan_table,
)
from heclstm_lib.stages.ablations import rows_folder, run_rows
from heclstm_lib.stages.notebook import open_stage, show_text
from heclstm_lib.stages.remarks import same_area
from heclstm_lib.stages.row_facts import plan_row

stage = open_stage("05_ablations", profile, dataset, out, data)
rows = load_grid(stage.study.grid).chosen(stage.study)
show_text(list_rows(rows))

# %% [markdown]
# ## Run the rows, or take them up

# %%
full = stage.store.load_table("02_plaintext_training.predictions")
full = full.query("part == 'test' and twin == 'polynomial'")
results = run_rows(stage.space, rows, rows_folder(stage.out, dataset))
predictions = stage.write_table("predictions", joined_predictions(full, results))
for one in results:
    if one.record["diverged"]:
        print(f"{one.row.name}: no network, {one.record['diverged']}")

# %% [markdown]
# ## AUC, and the paired difference from the full network
# `difference` is row minus full on the same patients (paired bootstrap over patients); `p_holm`
# is corrected for the number of rows that train (Holm).

# %%
comparison = compare_methods(predictions, reference="full", bootstrap=stage.study.bootstrap)
show_comparison(stage.write_table("comparison", comparison), "full")

# %%
plot_forest(comparison, "method", "AUC", reference=0.5)

# %% [markdown]
# **What you should see:** how far the rows' intervals overlap with the full network's.

# %%
Markdown(same_area(comparison, predictions, "full"))

# %% [markdown]
# ## The differences, axis by axis
# Look for intervals that exclude 0, and for dots that are full.

# %%
by_axis = stage.write_table("by_axis", comparison_by_axis(comparison, results))
plot_axes(by_axis, "AUC difference from the full network") if len(by_axis) else "no row trains"

# %% [markdown]
# **What you should see:** which changes move the AUC. Where an interval holds 0, this data set
# cannot tell the row from the full network, and we claim nothing.
#
# ## Missed diagnoses
# The claim of the paper is that weighted unit and voting lower the missed-diagnosis rate.
# Thresholds are chosen on validation patients; specificity at the same threshold stands beside it.

# %%
metrics = metrics_by(predictions, "method", stage.study.bootstrap)
stage.write_table("metrics", metrics)
wanted = metrics.metric.isin(["missed_diagnosis_rate", "specificity"])
show_metrics(metrics[wanted].rename(columns={"metric": "m", "method": "metric"}), "m")

# %% [markdown]
# ## What each row would cost encrypted
# Plans of the first fold: depth, ring degree, scale and evaluation keys at 128-bit security, and
# the predicted seconds of a batch on one thread.

# %%
own_plan = plan_row(stage.space)
plans = stage.write_table("plans", plan_table(own_plan, results))
plans

# %% [markdown]
# **What you should see:** the LSTM takes most of the levels; cubic gates need five levels a step
# and leave fewer bits of scale for each; fewer frames need fewer levels and smaller keys. How
# polynomials are fitted costs nothing.
#
# ## Other networks, and the same one under other encryption, evaluated encrypted
# The first fold's test sequences (as many as notebook 04 may evaluate), encrypted and compared with
# float64. Rows that change scale, scheme or packing alone take the study's own network. `full` is
# notebook 04's evaluation, of all folds. Where its chain has an open end (notebook 03), it takes a
# level less; a fixed scale closes the end, so that such rows stand beside `closed_end` where that
# is listed.

# %%
encrypted = encrypted_table(full_encrypted(stage.store, own_plan), results)
encrypted = stage.write_table("encrypted", encrypted)
encrypted if len(encrypted) else "no row evaluates encrypted"

# %% [markdown]
# **What you should see:** among rows of one network and equal `levels`, bits of precision follow
# the bits of scale. With refreshes a smaller ring does, at the price of round trips. A Bi-LSTM
# takes the levels of an LSTM and twice its steps; cubic gates take more levels, an SRU few. Compare
# seconds between rows of equal `sequences` only.

# %%
changed = comparison[(comparison.method != "full") & (comparison.p_holm < 0.05)]
stage.finish(
    headline=[
        {
            "label": "Ablations",
            "value": f"{len(changed)} of {len(comparison) - 1} differ",
            "detail": "AUC differs from the full network at Holm-corrected p < 0.05: "
            + (", ".join(changed.method) or "none"),
        }
    ],
    comparison=comparison.to_dict("records"),
    metrics=metrics.to_dict("records"),
    plans=plans.to_dict("records"),
    encrypted=encrypted.to_dict("records"),
)
