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
# # 06 Competing methods and controls
#
# Methods that the paper's reference list makes natural competitors, and controls that must stand in
# the same table. All see the same patients: fitted on the training patients of a fold, everything
# chosen (setting, epoch, threshold) on its validation patients, test patients scored once.
#
# **Budget.** Every competing method gets the same budget of tuning, spent on the training and
# validation patients of the fold alone; no test patient takes part in any choice. Every network is
# trained by the loop that trains ours, once for each candidate setting of the optimiser. Where the
# profile lists a `search`, the candidates are those that our own network chooses among, each for as
# many epochs as ours; where it lists none, ours trains once, and others once for each of two
# settings, each for half of our epochs. On a small set an epoch has one or two optimiser steps;
# there competing methods get more epochs than ours, up to five times as many, so that none takes
# fewer than five steps for each of our epochs (column `epochs`: "of" is what each could use). A
# support vector machine tries four values of C, naive Bayes four smoothings. The best on validation
# patients is kept. Controls and variants of ours are trained exactly as our exact twin, with our
# epochs and the setting that the fold chose for ours. How the list of candidates came about is told
# in notebook 02; it is in nobody's budget.
#
# **Size.** These are re-implementations from the published descriptions, scaled down to frames of
# this size and to so few patients (column "here"). Methods published with pretrained weights train
# from scratch unless a file `weights/<method>.pt` lies in the data folder. A large pretrained
# network may do better than what stands here under its name.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import pandas as pd
from IPython.display import Markdown

from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.figures.tables import interval_cells, show_comparison
from heclstm_lib.figures.training import plot_forest
from heclstm_lib.methods.registry import METHODS, describe_methods
from heclstm_lib.stages.evidence import OURS, Evidence, family_of
from heclstm_lib.stages.method_tables import fit_table, method_metrics, our_rows
from heclstm_lib.stages.methods import fit_methods, order_evidence
from heclstm_lib.stages.notebook import open_stage, show_text
from heclstm_lib.stages.remarks import below_chance

stage = open_stage("06_competing_methods", profile, dataset, out, data)
names, bootstrap = stage.study.methods, stage.study.bootstrap
if not names:
    print("This profile lists no `methods` for the data set: only our own networks stand below.")
show_text(describe_methods(names))

# %% [markdown]
# ## Fit every method on every fold
# What was chosen on validation patients (in how many folds; which epochs), and how long it took.
# Finished fits are kept and taken up.

# %%
others, fits = fit_methods(stage.space, names)
fit_table(stage.write_table("fits", fits))

# %%
if "weights" in fits:
    used = fits.weights.dropna().value_counts()
    print(
        "Weights of networks:", ", ".join(f"{name} ({count} fits)" for name, count in used.items())
    )

# %% [markdown]
# ## Main results
# AUC of every method, and its paired difference from our HE-friendly network on the same patients
# (bootstrap over patients). p values are corrected (Holm) in three families, one for each question:
# competing methods, controls, and our own variants. `exact` is our network before the polynomials;
# `cubic_gates`, `sru` and `bi_lstm, HE-friendly` are its variants of notebook 05; the method
# `bi_lstm` of this notebook is exact. Where notebook 04 evaluated every test sequence encrypted,
# the decrypted scores of the HE-friendly network have a row of their own. Where folds are seeds of
# one official split, the ensemble is the mean score of our networks; all else are single networks.

# %%
evidence = Evidence(stage.store)
everything = pd.concat([our_rows(evidence), others], ignore_index=True)
stage.write_table("predictions", everything)
comparison = compare_methods(everything, OURS, bootstrap, family_of)
kinds = {name: method.kind for name, method in METHODS.items()}
comparison["kind"] = comparison.method.map(kinds).fillna("ours")
comparison["family"] = comparison.method.map(family_of)
stage.write_table("comparison", comparison)
show_comparison(comparison, OURS).join(comparison.set_index("method")[["kind", "family"]])

# %%
plot_forest(comparison, "method", "AUC", reference=0.5)

# %% [markdown]
# **What you should see:** where the intervals lie against ours, and that a competitor is called
# better or worse only where its difference excludes 0 after correction. The intervals cover the
# choice of test patients, not that of the training patients.

# %%
Markdown(below_chance(comparison))

# %% [markdown]
# ## At the operating point
# Thresholds were chosen on validation patients for the study's target sensitivity. A Brier score
# needs probabilities. Margins of support vector machines have no scale of probability, logits of
# networks trained on balanced classes are those of another prevalence, naive Bayes overconfident:
# so all methods, ours too, get Platt scaling, fitted on the fold's validation patients. It changes
# no decision, and no AUC. For our variants of notebook 05 no validation scores are kept, and no
# Brier score is given.

# %%
metrics = stage.write_table("metrics", method_metrics(everything, bootstrap))
shown = ["accuracy", "sensitivity", "missed_diagnosis_rate", "specificity", "f1", "brier"]
cells = metrics.assign(cell=interval_cells(metrics, "estimate", "ci_low", "ci_high"))
wide = cells.pivot(index="method", columns="metric", values="cell")
wide.loc[list(comparison.method), shown]

# %% [markdown]
# **What you should see:** a missed-diagnosis rate together with the specificity it costs. A control
# that misses nothing by calling everyone ill has specificity 0.
#
# ## Does the order of the frames matter?
# Our exact network against the same network on shuffled frames, and without recurrence. A control
# with the same AUC means that what our network knows can be had without the order.

# %%
order, verdict = order_evidence(everything, bootstrap)
stage.write_table("order", order)
Markdown(f"**{verdict}**")

# %% [markdown]
# ## Limits
# - One small budget for all competing methods: none is tuned as its authors would.
# - On a few dozen patients a validation AUC is noisy, and so is every choice made by it.
# - A re-implementation is not the authors' code; where a paper was not at hand its module says so.

# %%
rivals = comparison[comparison.family == "competing"]
controls = comparison[comparison.family == "control"]
worse, better = (
    rivals[(rivals.p_holm < 0.05) & (sign * rivals.difference > 0)] for sign in (-1, 1)
)
headline = [
    {
        "label": "Competing methods",
        "value": f"{len(worse)} of {len(rivals)} worse",
        "detail": f"AUC below our HE-friendly network's at Holm-corrected p < 0.05; "
        f"{len(better)} above it: {', '.join(better.method) or 'none'}",
    }
]
if len(controls):
    best = controls.nlargest(1, "estimate").iloc[0]
    headline.append(
        {
            "label": "Best control",
            "value": f"AUC {best.estimate:.3f}",
            "detail": f"{best.method}, 95 % CI {best.ci_low:.3f} to {best.ci_high:.3f}. {verdict}",
        }
    )
stage.finish(
    headline=headline,
    comparison=comparison.to_dict("records"),
    metrics=metrics.to_dict("records"),
    order=verdict,
)
