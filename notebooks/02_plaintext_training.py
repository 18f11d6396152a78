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
# # 02 Plaintext training: two twins of one network
#
# The formulas of the paper are not public; this is our reading, stated once and used everywhere:
#
# | part | formula |
# |---|---|
# | convolutional block | a_t = pool(act(BN(conv(x_t)))), shared over frames |
# | LSTM | i, f, o = sigmoid(W a_t + U h + b), g = tanh(...), c_t = f c + i g, h_t = o tanh(c_t) |
# | weighted unit | z_t = alpha s_t + (1 - alpha) h_t with s_t = P a_t + p, alpha learned |
# | sequence voting | y = sum_t v_t (w z_t + b), v = softmax of learned weights |
# | decision | y >= threshold, chosen on validation patients for a target sensitivity |
#
# The **exact** twin uses ReLU, sigmoid and tanh. The **polynomial** twin has the same layers with
# polynomials in their place, fitted on training patients, then trained on with a penalty for
# leaving the fitted interval. The polynomial twin is the one that will run encrypted. The exact
# twin's gates are penalised too for arguments beyond 4 (where polynomials could not follow), so
# exact minus polynomial is not the whole price of polynomials.
#
# **What is chosen, and on whom.** The epoch, the threshold, the polynomials' intervals and, where
# the profile lists a `search`, the setting of the optimiser: all inside a fold, by its validation
# patients alone; no test patient takes part in a choice. The *list* of candidate settings, which is
# the same for both small data sets, and the sizes and augmentation of the profile are no such
# choice: they were drawn up after earlier runs on the same data sets, whose test scores had been
# seen by then. On a data set with an official split the profile's values are held against
# alternatives by cross-validation of training and validation patients alone (`heclstm tune`, shown
# below). Intervals cover none of this.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import pandas as pd

from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.evaluation.ensemble import ENSEMBLE
from heclstm_lib.evaluation.metrics import metrics_by
from heclstm_lib.evaluation.roc import roc_band
from heclstm_lib.figures.tables import show_comparison, show_metrics
from heclstm_lib.figures.training import plot_fits, plot_forest, plot_history, plot_ranges, plot_roc
from heclstm_lib.stages.evidence import Evidence
from heclstm_lib.stages.notebook import open_stage
from heclstm_lib.stages.training import kept_epochs, run_baselines, train_folds

stage = open_stage("02_plaintext_training", profile, dataset, out, data)
stage.study.model, stage.study.train

# %% [markdown]
# ## Train every fold
# Training is deterministic for its seed and resumes from its checkpoints.

# %%
training = train_folds(stage.space)
test = training.predictions.query("part == 'test'")
stage.write_table("predictions", training.predictions).head()

# %% [markdown]
# ## The profile's values against alternatives
# Five-fold cross-validation inside the official training and validation patients; test patients are
# not among them. Look at the intervals of the differences: only an alternative that is surely
# better would be a reason to change the profile. Empty where no such comparison was made.

# %%
tuning = Evidence(stage.store).table("tuning", "candidates")
show_comparison(tuning, "full") if tuning is not None else "not made"

# %% [markdown]
# ## What the search chose
# One row a fold and candidate, with the validation AUC that decided (polynomial twin); empty where
# the profile lists no candidates.

# %%
stage.write_table("search", training.search)

# %% [markdown]
# **What you should see:** small differences. Where folds disagree, the choice is mostly noise, and
# an interval over test patients does not contain it.
#
# ## Learning curves
# Look for a gap between solid (training) and dashed (validation) lines: that is overfitting.

# %%
plot_history(stage.write_table("history", training.history))

# %% [markdown]
# **What you should see:** how training went; the epoch with the best validation AUC is kept.
# On a set of a few dozen patients validation is noisy, and the curves show it. The table says which
# epochs were kept. Where it is the first, later ones brought nothing that validation patients
# confirm: the network is one epoch away from its initial weights (the polynomial twin: from the
# fitted exact one), which on a small set is a step or two of the optimiser.

# %%
kept_epochs(training.history)

# %% [markdown]
# ## Polynomials against what they replace
# First fold. The fit is weighted by where training activations lie.

# %%
fits = stage.write_table("fits", training.fits)
plot_fits(fits[fits.fold == fits.fold.iloc[0]])

# %%
ranges = stage.write_table("ranges", training.ranges)
plot_ranges(ranges[ranges.fold == ranges.fold.iloc[0]])

# %% [markdown]
# **What you should see:** how close the curves are inside the interval, and how far the test
# activations (thin) leave the fitted interval (thick); the fraction outside stands beside it.
#
# ## Test results
# Every fold has its own model and threshold. Decisions are pooled over folds; the AUC compares
# pairs within a fold. `auc_pooled`, over all pairs of scores relative to the threshold, is only
# descriptive: folds score on scales of their own. Intervals are 95 % bootstrap intervals over test
# patients, at least as wide as Wilson's for proportions; they do not cover the choice of the seed
# or of the training patients. Where the data set has an official split, folds are seeds: `ensemble`
# is then the mean score of the polynomial twins. It is linear in them, so that it can stay
# encrypted (notebook 04).

# %%
metrics = metrics_by(test, "twin", stage.study.bootstrap)
show_metrics(stage.write_table("metrics", metrics), "twin")

# %%
bands = {twin: roc_band(rows, stage.study.bootstrap) for twin, rows in test.groupby("twin")}
plot_roc(bands)

# %% [markdown]
# **What you should see:** how wide the bands are: no number is more certain than they say. The
# curve is the mean of the folds' curves, weighted by pairs as the AUC is, which is the area under
# it; the next table has the twins' paired difference.
#
# ## Baselines that must stand beside it
# None of them looks at the order of the frames. All are fitted on training patients.

# %%
baselines = run_baselines(stage.space)
twins = test[test.twin != ENSEMBLE].rename(columns={"twin": "method"})
everything = pd.concat([twins, baselines])
comparison = compare_methods(everything, reference="polynomial", bootstrap=stage.study.bootstrap)
show_comparison(stage.write_table("comparison", comparison), "polynomial")

# %%
plot_forest(comparison, "method", "AUC", reference=0.5)

# %% [markdown]
# **What you should see:** where the network's interval lies against the baselines'. Where a
# baseline reaches it, we cannot show that the order of the frames adds anything on this data set.

# %%
headline_twin = ENSEMBLE if ENSEMBLE in set(metrics.twin) else "polynomial"
ours = metrics[metrics.twin == headline_twin].set_index("metric")
auc, missed, right = (ours.loc[m] for m in ("auc", "missed_diagnosis_rate", "specificity"))
best = comparison[~comparison.method.isin(["exact", "polynomial"])].nlargest(1, "estimate").iloc[0]
stage.finish(
    headline=[
        {
            "label": f"AUC, HE-friendly {'ensemble' if headline_twin == ENSEMBLE else 'network'}",
            "value": f"{auc.estimate:.3f}",
            "detail": f"95 % CI {auc.ci_low:.3f} to {auc.ci_high:.3f}, {auc.n_patients} test "
            f"patients; highest trivial baseline on test {best.estimate:.3f} ({best.method})",
        },
        {
            "label": "Missed-diagnosis rate",
            "value": f"{missed.estimate:.3f}",
            "detail": f"95 % CI {missed.ci_low:.3f} to {missed.ci_high:.3f}, at specificity "
            f"{right.estimate:.3f} ({right.ci_low:.3f} to {right.ci_high:.3f}); threshold from "
            f"validation patients for sensitivity {stage.study.train.target_sensitivity}",
        },
    ],
    metrics=metrics.to_dict("records"),
    comparison=comparison.to_dict("records"),
)
