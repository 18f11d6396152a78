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
# # 07 Encrypted competitors: the same protocol, other methods
#
# Methods that others have evaluated on encrypted data run through the same client and server as
# ours: CryptoNets and a polynomial CNN with batch norm, which see single frames and have the frames
# vote, and two classical scores on pooled features. Each has a plan and keys of its own, in the
# smallest ring that serves it at 128-bit security; folds, training patients and thresholds are
# those of notebook 06.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
from IPython.display import Markdown

from heclstm_lib.figures.encrypted_methods import plot_method_costs, plot_method_errors
from heclstm_lib.figures.tables import show_comparison, show_metrics
from heclstm_lib.figures.training import plot_forest
from heclstm_lib.stages.encrypted_methods import encrypted_names, run_encrypted_methods
from heclstm_lib.stages.encrypted_tables import (
    OURS,
    agreement_by_method,
    auc_by_method,
    compare_encrypted,
    cost_table,
    with_ours,
)
from heclstm_lib.stages.notebook import open_stage
from heclstm_lib.stages.remarks import encryption_remark

stage = open_stage("07_encrypted_competitors", profile, dataset, out, data)
names = encrypted_names(stage.space)
print("Evaluated encrypted:", ", ".join(names) or "none; this profile lists no such method.")

# %% [markdown]
# ## How each method is evaluated
#
# | Method | What the client encrypts | What the server computes |
# |---|---|---|
# | cryptonets, chabanne_cnn | every frame as an image | convolution, square, dense, square, dense |
# | cryptonets (BFV) | pixels of 6 bits, one a ciphertext | the same, weights of 6 bits, exactly |
# | linear_svm | pooled, standardised features | a product by a plaintext, a fold |
# | gaussian_nb | the same | a square, two products by plaintexts, a fold |
#
# Batch norm, pooling and the activations' coefficients are folded into the dense layers. Under BFV
# images fill the slots, and the network runs modulo several plaintext primes, which together hold
# every score. Of naive Bayes the log-likelihood ratio is evaluated, a quadratic form.
#
# The frames' vote, the mean of their logits, is taken by the client after decryption. It is linear,
# so the server could take it too; but all frames come back in one ciphertext either way, and adding
# them up there would cost rotations and keys. The client sees a logit a frame.

# %%
predictions, costs = run_encrypted_methods(stage.space)
predictions, costs = with_ours(stage.space, stage.store, predictions, costs)
stage.write_table("predictions", predictions)
stage.write_table("costs", costs)

# %% [markdown]
# ## Do encrypted and clear scores agree?
# `precision_bits` is -log2 of the mean error of a score; `relative_bits` counts the error relative
# to the spread of the method's scores, since a margin, a logit and a log-likelihood ratio have
# different units. BFV is exact: its bits are infinite. `n` is the number of decisions on scores
# that were evaluated encrypted, `n_sequences` that of distinct test sequences: repeats and seeds
# score a sequence several times, and the interval of the flip rate counts it once.

# %%
agreed = stage.write_table("agreement", agreement_by_method(predictions))
agreed[["method", "n", "n_sequences", "relative_bits", "precision_bits", "worst_bits", "flips",
        "flip_rate_high"]]  # fmt: skip

# %%
plot_method_errors(predictions)

# %% [markdown]
# **What you should see:** most errors left of the dotted line, 2^-10 of the spread of a method's
# scores. The plan was asked for 10 bits of what the server computes, on average and as simulated on
# some validation inputs; single errors, and those of scores that the client scales up, may lie
# right of it. The whole numbers of BFV are exact, but they were rounded before: `fold_error` below
# is what rounding changes of a score.

# %%
Markdown(encryption_remark(agreed, predictions))

# %% [markdown]
# ## AUC, in clear and encrypted
# Intervals are bootstrap over patients, of the sequences that were evaluated encrypted: fewer than
# in notebook 06 where the profile limits them.

# %%
areas = stage.write_table("auc", auc_by_method(predictions, stage.study.bootstrap))
show_metrics(areas.rename(columns={"method": "metric"}), "scores")

# %%
encrypted = areas[areas.scores == "encrypted"]
plot_forest(encrypted, "method", "AUC of decrypted scores", reference=0.5)

# %% [markdown]
# The same as differences from ours, paired over patients; p values are corrected (Holm) over the
# methods of this table, a family of their own. Notebook 08 takes its claim from here.

# %%
comparison = stage.write_table("comparison", compare_encrypted(predictions, stage.study.bootstrap))
show_comparison(comparison, OURS) if len(comparison) else "Nothing to compare."

# %% [markdown]
# **What you should see:** about the same areas as in notebook 06. With few sequences the intervals
# are wide; a difference is claimed only where the corrected p is below 0.05.

# %% [markdown]
# ## What it costs
# Seconds of a server process and megabytes a sequence: as measured on these sequences, and in a
# full batch (`_full`; `batch` is how many sequences fit one). Medians over folds; ring, modulus and
# levels are the largest of any fold. Ours is notebook 04's evaluation, where several processes may
# share the processor (`he.workers`); the others run one. `server_cpu_s` is processor time.

# %%
table = stage.write_table("cost_table", cost_table(costs))
table

# %%
plot_method_costs(costs)

# %% [markdown]
# **What you should see:** scores on features cost milliseconds; networks on single frames need few
# levels and a small ring, ours the levels of its recurrence and larger keys. One ciphertext a pixel
# makes CryptoNets under BFV slow for a few images and cheap for thousands: its time does not depend
# on their number. It takes minutes a fold, so that only profiles with `bfv: true` run it.

# %%
costs[[c for c in ("method", "fold", "bits_predicted", "budget_bits", "fold_error") if c in costs]]

# %% [markdown]
# `fold_error` is the largest difference between a score as the method was trained and the network
# that is evaluated, both in clear: rounding of single precision under CKKS, rounding to 6 bits
# under BFV. `budget_bits` is the noise budget that BFV had left.

# %%
others = agreed[agreed.method != OURS]
worst = float(others.relative_bits.min()) if len(others) else float("nan")
stage.finish(
    headline=[
        {
            "label": "Encrypted competitors",
            "value": f"{len(others)} methods",
            "detail": f"at least {worst:.1f} bits relative to the scores' spread, "
            f"{int(others.flips.sum())} flips of {int(others.n.sum())}"
            if len(others)
            else "this profile lists none",
        }
    ],
    agreement=agreed.to_dict("records"),
    auc=areas.to_dict("records"),
    comparison=comparison.to_dict("records"),
    costs=table.to_dict("records"),
)
