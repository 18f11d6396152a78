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
# Each variant changes one thing, is trained on the same folds with the same budget, and is compared
# with the full network on the same test patients. All numbers are of polynomial twins, in clear
# (notebook 04 measures what encryption changes); the plan's depth says what a variant would cost
# encrypted.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import pandas as pd

from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.evaluation.metrics import metrics_by
from heclstm_lib.figures.tables import show_comparison, show_metrics
from heclstm_lib.figures.training import plot_forest
from heclstm_lib.models.variants import describe_variants
from heclstm_lib.stages.ablations import run_variants
from heclstm_lib.stages.notebook import open_stage, show_text

stage = open_stage("05_ablations", profile, dataset, out, data)
show_text(describe_variants(stage.study.ablations))

# %% [markdown]
# ## Train the variants

# %%
full = stage.store.load_table("02_plaintext_training.predictions")
full = full.query("part == 'test' and twin == 'polynomial'").assign(method="full")
variants, plans = run_variants(stage.space)
predictions = stage.write_table("predictions", pd.concat([full, variants]))

# %% [markdown]
# ## AUC, and the paired difference from the full network
# `difference` is variant minus full on the same patients (paired bootstrap over patients); `p_holm`
# is corrected for the number of variants (Holm).

# %%
comparison = compare_methods(predictions, reference="full", bootstrap=stage.study.bootstrap)
show_comparison(stage.write_table("comparison", comparison), "full")

# %%
plot_forest(comparison, "method", "AUC", reference=0.5)

# %% [markdown]
# **What you should see:** whether an interval of `difference` excludes 0. Where it does not, this
# data set cannot tell the variant from the full network, and we claim nothing.

# %%
differences = comparison[comparison.method != "full"].rename(columns={"estimate": "auc"})
renamed = {"difference": "estimate", "difference_low": "ci_low", "difference_high": "ci_high"}
plot_forest(
    differences.drop(columns=["ci_low", "ci_high"]).rename(columns=renamed),
    "method", "AUC difference from the full network", reference=0.0,
)  # fmt: skip

# %% [markdown]
# ## Missed diagnoses
# The claim of the paper is that weighted unit and voting lower the missed-diagnosis rate.
# Thresholds are chosen on validation patients; specificity at the same threshold stands beside it.

# %%
metrics = metrics_by(predictions, "method", stage.study.bootstrap)
stage.write_table("metrics", metrics)
wanted = metrics.metric.isin(["missed_diagnosis_rate", "specificity"])
show_metrics(metrics[wanted].rename(columns={"metric": "m", "method": "metric"}), "m")

# %% [markdown]
# ## What each variant would cost encrypted
# Plans of the first fold: depth, ring degree, scale and evaluation keys at 128-bit security.

# %%
stage.write_table("plans", plans)

# %% [markdown]
# **What you should see:** the LSTM takes most of the levels; cubic gates need five levels a step
# and leave fewer bits of scale for each; fewer frames need fewer levels and smaller keys.

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
)
