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
# # 08 Decisions: missed diagnoses, calibration, where accuracy is lost, and what we can claim
#
# Nothing is trained or encrypted here. The scores that the notebooks before this one stored are
# weighed: what a clinic would get from them, which part of the network earns its place, where
# accuracy is lost between the best other method and the encrypted network, and which claims of the
# paper hold on this data set.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.evaluation.calibration import (
    calibration_table,
    choose_bins,
    platt_scaling,
    reliability,
)
from heclstm_lib.evaluation.decision import (
    benefit_curve,
    operating_point,
    referral_curve,
    referrals_for,
)
from heclstm_lib.evaluation.paired import auc_tests, compare_decisions, contribution_table
from heclstm_lib.evaluation.published import published_table
from heclstm_lib.evaluation.waterfall import waterfall_table
from heclstm_lib.figures.decision import (
    plot_benefit,
    plot_contributions,
    plot_referral,
    plot_reliability,
)
from heclstm_lib.figures.tables import interval_cells
from heclstm_lib.figures.waterfall import plot_waterfall
from heclstm_lib.stages.cards import model_card, write_card
from heclstm_lib.stages.claims import claims_table
from heclstm_lib.stages.data_card import data_card, split_counts
from heclstm_lib.stages.evidence import (
    FULL,
    METHOD_STAGE,
    OURS,
    Evidence,
    beside_published,
    decision_rows,
    family_of,
    strongest_competitor,
    waterfall_steps,
)
from heclstm_lib.stages.notebook import open_stage, show_text
from heclstm_lib.stages.remarks import calibration_remark, disagreement

stage = open_stage("08_decisions", profile, dataset, out, data)
evidence, bootstrap = Evidence(stage.store), stage.study.bootstrap
ours, exact = evidence.twin("polynomial"), evidence.twin("exact")
best = strongest_competitor(evidence)
if best is None:
    print("Notebook 06 stored no competing method: its sections are left out below.")

# %% [markdown]
# ## Missed diagnoses against referrals
# A patient is *referred* when the score reaches the threshold. The curve shows every threshold on
# test patients; the dot is the one chosen on validation patients, the only one that could have been
# used. Patients are ranked within their fold, whose network scores on a scale of its own, and the
# same share of every fold is referred. Bands are pointwise 95 % intervals over patients.

# %%
shown = {OURS: ours, "exact": exact} | ({} if best is None else {f"best other: {best[0]}": best[1]})
curves = {name: referral_curve(rows, bootstrap) for name, rows in shown.items()}
stage.write_table(
    "referral", pd.concat([c.assign(method=name) for name, c in curves.items()], ignore_index=True)
)
plot_referral(curves, {name: operating_point(rows) for name, rows in shown.items()})

# %% [markdown]
# **What you should see:** a useful method lies well below the dotted line, on which patients are
# referred by lot. A missed-diagnosis rate says nothing without the referral rate that it costs. The
# table has both, and how many must be referred `to miss at most` so many of the ill.

# %%
points = pd.DataFrame(
    {
        name: operating_point(rows)
        | {f"to miss at most {t:.0%}": referrals_for(rows, t) for t in (0.05, 0.1, 0.2)}
        for name, rows in shown.items()
    }
).T
points

# %% [markdown]
# ## Decisions side by side
# McNemar's exact test, among the ill (missed diagnoses) and among the well (needless referrals).
# `method_only` counts sequences that only the other method has right, `g` is Cohen's effect size
# (0.05 small, 0.15 medium, 0.25 large). The test takes sequences as independent and knows no
# repeats: a sequence that several folds score counts once, with the first of them, and two of one
# patient count as two. Claims rest on the bootstrap, over patients and all folds. p values are
# Holm-corrected over the competing methods; our exact network is a family of its own, here and
# below.

# %%
rows = decision_rows(evidence)
stage.write_table("mcnemar", compare_decisions(rows, OURS, family_of))

# %% [markdown]
# ## AUC: DeLong's test and effect sizes
# Over pairs within folds; the variance is over patients, each with all sequences and all folds
# that test them as one unit (Obuchowski 1997), so that repeats and seeds are no new patients. The
# networks are taken as given. `d` is the distance between the classes in standard deviations that
# the AUC amounts to (0.2 small, 0.5 medium, 0.8 large). The bootstrap over patients (notebooks 02,
# 05, 06) is the main analysis; this is its check.

# %%
delong = stage.write_table("delong", auc_tests(rows, OURS, family_of))
delong

# %%
compared = evidence.table(METHOD_STAGE, "comparison")
Markdown(disagreement(delong, compared) if compared is not None else "Notebook 06 was not run.")

# %% [markdown]
# ## What the parts contribute
# Full network minus variant, paired over patients. Each has its own threshold, so that a lower
# missed-diagnosis rate may only mean more referrals; `missed at equal referral` refers as many as
# the full network does, the same share in every fold. p values are Holm-corrected over the
# variants, in each metric by itself. Intervals are percentiles of the resamples; where folds are
# small, patients drawn twice move that rate a little, so that its interval need not be centred.

# %%
contributions = None
if evidence.ablations is None:
    print("Notebook 05 stored no ablations, so contributions cannot be told.")
else:
    contributions = contribution_table(evidence.ablations, FULL, bootstrap)
    stage.write_table("contributions", contributions)
    display(plot_contributions(contributions))

# %% [markdown]
# **What you should see:** for AUC and specificity, right of the line means that the part helps; for
# both rates of missed diagnoses, left of it does. An interval across the line claims nothing.

# %%
if contributions is not None:
    parts = contributions[contributions.variant.isin(["no_weighted_unit", "no_voting"])]
    cells = parts.assign(difference=interval_cells(parts, "estimate", "ci_low", "ci_high"))
    display(cells[["variant", "metric", "difference", "p", "p_holm", "n_patients"]])

# %% [markdown]
# ## Calibration
# Training weights the classes alike, so that raw probabilities are those of a clinic with as many
# ill as well. Platt scaling on each fold's validation patients corrects that; the hospital can do
# it after decryption, and no decision changes. All methods of notebook 06 are scaled in this way;
# the strongest of them stands beside ours. Repeats and seeds score a sequence several times
# (`n_decisions`); bars of the figure are Wilson's intervals for the distinct sequences of a bin,
# intervals of the table are over patients.

# %%
labels = ours.label.to_numpy()
raw = 1 / (1 + np.exp(-np.clip(ours.score.to_numpy(), -500, 500)))
scaled = platt_scaling(evidence.twin("polynomial", "val"), ours)
bins = choose_bins(ours.sequence_id.nunique())
calibrated = {"raw": (raw, ours), "scaled": (scaled, ours)}
if best is not None:
    calibrated[f"best other: {best[0]}, scaled"] = (best[1].probability.to_numpy(), best[1])
plot_reliability(
    {
        name: reliability(p, rows.label.to_numpy(), bins, rows.sequence_id.to_numpy())
        for name, (p, rows) in calibrated.items()
    }
)

# %%
tables = {
    name: calibration_table(p, rows.label.to_numpy(), rows.patient_id.to_numpy(), bootstrap, bins,
                            rows.sequence_id.to_numpy())
    for name, (p, rows) in calibrated.items()
}  # fmt: skip
calibration = pd.concat(
    [table.assign(probability=name) for name, table in tables.items()], ignore_index=True
)
stage.write_table("calibration", calibration)

# %% [markdown]
# **What you should see:** a calibrated score would lie on the diagonal, with an intercept of 0 and
# a slope of 1. A `brier_skill` of 0 is that of a clinic that tells everyone the prevalence; below 0
# is worse.

# %%
Markdown(calibration_remark(tables["scaled"]))

# %% [markdown]
# ## Would referring by the score help?
# The net benefit (Vickers and Elkin 2006) weighs needless referrals by the odds of the threshold:
# at 10 % nine needless referrals are as bad as one missed patient.

# %%
benefit = benefit_curve({OURS: scaled}, labels, np.linspace(0.02, 0.9, 45))
plot_benefit(stage.write_table("benefit", benefit))

# %% [markdown]
# **What you should see:** the score is of use at those thresholds where its line lies above both
# grey ones: better than referring everybody, and than referring nobody.
#
# ## Where accuracy is lost
# Each bar is measured on the same test sequences. *Quantised* rounds every encoded number as CKKS
# does, without encryption noise; *encrypted* is what the client decrypts. The best other method is
# the one with the highest AUC on test patients, a choice in its favour.

# %%
waterfall = waterfall_table(waterfall_steps(evidence), bootstrap)
plot_waterfall(stage.write_table("waterfall", waterfall))

# %%
changes = waterfall.assign(
    AUC=interval_cells(waterfall, "estimate", "ci_low", "ci_high"),
    change=interval_cells(waterfall, "change", "change_low", "change_high"),
)
changes[["step", "AUC", "change", "p_holm", "missed", "flips", "flip_rate_high", "score_change",
         "n_decisions", "n_sequences"]].set_index("step")  # fmt: skip

# %% [markdown]
# **What you should see:** where the large steps are. Flips count decisions that differ from the
# step before, each step at the threshold it would use; the interval of their rate counts a sequence
# that several networks decide on once.
#
# An AUC that stays may hide an operating point that moves. What the polynomials alone change
# (HE-friendly minus exact, paired over patients): missed diagnoses and specificity at each
# network's own threshold, and missed diagnoses where both refer as many. p values are uncorrected.

# %%
polynomials = contribution_table(rows[rows.method.isin([OURS, "exact"])], OURS, bootstrap)
stage.write_table("polynomials", polynomials)
cells = polynomials.assign(difference=interval_cells(polynomials, "estimate", "ci_low", "ci_high"))
cells[["metric", "difference", "p", "n_patients"]]

# %% [markdown]
# ## Beside published numbers

# %%
published, own = published_table(dataset), None
if published.empty:
    print("No published number with a split by patient is known for this data set.")
else:
    own = stage.write_table("beside_published", beside_published(evidence, bootstrap))
    display(pd.concat([published, own], ignore_index=True))

# %% [markdown]
# Their accuracies are at a probability of 0.5, ours are at the validation-chosen threshold, so
# that only the AUC is set beside them. They give no intervals; ours are over test patients.
#
# ## Claims
# "Supported" and "contradicted" need an interval or a corrected p value that says so; all else is
# undecided. What no measurement here can show (privacy) holds "by assumption". The order of the
# frames counts only where shuffling them costs AUC too. Verdicts are on this data set, with our
# reading of the network: they are none on the authors' private images.

# %%
claims = claims_table(evidence, contributions, published, own, polynomials)
show_text(stage.write_table("claims", claims))

# %% [markdown]
# ## Model card and data card
# The same texts stand beside this report as `model_card.md` and `data_card.md`.

# %%
card = model_card(stage.study, evidence, tables["scaled"])
written = write_card(stage.out / dataset / "model_card.md", card)
Markdown(card.replace("\n## ", "\n#### ").replace("# Model card", "### Model card", 1))

# %%
splits = split_counts({fold: stage.space.sets(fold) for fold in stage.study.folds})
card = data_card(stage.space.sequences, load_manifest(dataset), splits)
written = write_card(stage.out / dataset / "data_card.md", card)
Markdown(card.replace("\n## ", "\n#### ").replace("# Data card", "### Data card", 1))

# %%
verdicts = claims.verdict.value_counts()
point = operating_point(ours)
stage.finish(
    headline=[
        {
            "label": "Claims of the paper",
            "value": f"{verdicts.get('supported', 0)} of {len(claims)} supported",
            "detail": ", ".join(f"{count} {word}" for word, count in verdicts.items()),
        },
        {
            "label": "Missed diagnoses against referrals",
            "value": f"{point['missed']:.3f} missed",
            "detail": f"with {point['referral']:.3f} of all patients referred; "
            f"{points.loc[OURS].iloc[3]:.3f} must be referred to miss at most 10 %",
        },
    ],
    claims=claims.to_dict("records"),
    waterfall=waterfall.to_dict("records"),
    calibration=calibration.to_dict("records"),
)
