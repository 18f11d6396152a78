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
# # 04 Encrypted evaluation: the whole network on ciphertexts
#
# A client makes keys and encrypts test sequences; servers in processes of their own evaluate the
# plan on bytes; the client decrypts one score per sequence. No value is decrypted in between and
# no layer runs at the client.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import numpy as np
import pandas as pd

from heclstm_lib.evaluation.agreement import agreement, check_agreement
from heclstm_lib.evaluation.cost import bytes_table, time_by
from heclstm_lib.evaluation.floor import floor_table
from heclstm_lib.evaluation.metrics import metric_table
from heclstm_lib.evaluation.primitives import load_primitives
from heclstm_lib.figures.he import plot_agreement, plot_bytes, plot_candidates, plot_time
from heclstm_lib.figures.tables import show_metrics
from heclstm_lib.figures.training import plot_votes
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.paths import cache_root
from heclstm_lib.stages.encrypted_ensemble import ensemble_costs, evaluate_ensemble_encrypted
from heclstm_lib.stages.encryption import encrypted_ensemble, evaluate_fold_encrypted
from heclstm_lib.stages.notebook import open_stage
from heclstm_lib.stages.quantised import quantised_scores
from heclstm_lib.stages.two_folders import walk_fold

stage = open_stage("04_encrypted_evaluation", profile, dataset, out, data)
space = stage.space

# %% [markdown]
# ## The chosen plan and its runners-up
# Plans differ in how many sequences share a ciphertext and in the form of the gates. The planner
# predicts each one's time from the measured cost of every primitive, and takes the one that ends
# the whole task first within the limits on memory and latency. Look at the first row.

# %%
candidates = stage.store.load_table("03_he_conversion.candidates")
candidates = candidates[candidates.fold == stage.study.folds[0]].drop(columns="fold")
candidates.head(8)

# %%
plot_candidates(candidates)

# %% [markdown]
# **What you should see:** more sequences in a batch make it slower and each sequence cheaper; the
# chosen plan is where the number of test sequences is best served.

# %% [markdown]
# ## Run the protocol on every fold's test sequences
# Keys are made per fold. Progress counts batches of encrypted sequences.

# %%
runs = {fold: evaluate_fold_encrypted(space, fold) for fold in stage.study.folds}
scores = pd.concat([table for table, _, _ in runs.values()], ignore_index=True)
stage.write_table("scores", scores).head()

# %% [markdown]
# ## Do encrypted and clear scores agree?
# The reference is the same polynomial network in float64. Scores are shown relative to each fold's
# threshold, so that 0 is the decision line. The notebook fails below 10 bits of precision.

# %%
clear = scores.score - scores.threshold
encrypted = scores.encrypted - scores.threshold
names = scores.sequence_id.tolist()  # a sequence that several networks score is one trial
agreed = agreement(clear.to_numpy(), encrypted.to_numpy(), 0.0, names)
check_agreement(agreed, bits=10)
stage.write_table("agreement", pd.DataFrame([agreed]))

# %%
plot_agreement(clear.to_numpy(), encrypted.to_numpy(), scores.label.to_numpy(), threshold=0.0)

# %% [markdown]
# **What you should see:** points on the diagonal and errors below 2^-10. A difference here is the
# price of encryption alone; what polynomials cost is in notebook 02.

# %%
print(
    f"{agreed['flips']} of {agreed['n']} decisions on {agreed['n_sequences']} sequences differ "
    "between encrypted and clear."
)

# %% [markdown]
# ### Of which the scales alone
# The same plan on all test sequences, with inputs and weights rounded as CKKS encodes them, but
# without encryption noise. Notebook 08 puts both losses into one figure.

# %%
rounded = stage.write_table("quantised", quantised_scores(space))
rounding = agreement(
    (rounded.score - rounded.threshold).to_numpy(),
    (rounded.quantised - rounded.threshold).to_numpy(),
    0.0,
    rounded.sequence_id.tolist(),
)
pd.DataFrame({"encrypted": agreed, "rounded only": rounding})

# %% [markdown]
# ## The verdicts, from decrypted scores

# %%
metrics = metric_table(scores.assign(score=scores.encrypted), bootstrap=stage.study.bootstrap)
show_metrics(stage.write_table("metrics", metrics))

# %% [markdown]
# ## The ensemble, one decryption
# Where folds are seeds of one official split, all networks take the same encrypted input and their
# mean is linear: the server adds up the result ciphertexts. The hospital makes one key set, sends
# each batch once, decrypts one score a sequence and learns no network's own. (A plan with refreshes
# cannot be added; there the hospital averages what it decrypted.) The threshold comes from
# validation patients (notebook 02).

# %%
joint = evaluate_ensemble_encrypted(space, stage.store, scores)
together = encrypted_ensemble(stage.store, scores) if joint is None else joint.table
stage.write_table("ensemble", together)
ensemble = metric_table(together, bootstrap=stage.study.bootstrap) if len(together) else None
show_metrics(ensemble) if ensemble is not None else "no ensemble: folds test different patients"

# %% [markdown]
# Does the mean that stayed encrypted agree with the mean in float64? Beside it the mean of scores
# that were decrypted one by one, as they stand above.

# %%
together_agreed = None
if joint:
    limit, exact = float(together.threshold.iloc[0]), together.clear.to_numpy()
    together_agreed = agreement(exact, together.score.to_numpy(), limit)
    check_agreement(together_agreed, bits=10)
    apart_agreed = agreement(exact, joint.separate, limit)
    shown = pd.DataFrame({"one decryption": together_agreed, "decrypted one by one": apart_agreed})
    stage.write_table("ensemble_agreement", shown.T.rename_axis("mean").reset_index())
shown if joint else "no ensemble that stays encrypted"

# %%
if joint:
    costs = ensemble_costs(joint, [run for _, run, _ in runs.values()])
    stage.write_table("ensemble_costs", costs)
costs if joint else "no ensemble that stays encrypted"

# %% [markdown]
# **What you should see:** the server's time is that of all networks, what the hospital does and
# sends that of a single one. One decryption has at most log2 of the number of networks fewer bits:
# each network's score is a share of the mean, and the noise of its last operations is no smaller
# for that. Where noise comes from the steps before, as in deep networks, nothing is lost.

# %% [markdown]
# ## Where the time goes
# Medians over the batches in the table. A worker loads the keys and encodes the model once, before
# its first batch (`load_s`).

# %%
batches = pd.concat(
    [
        run.batches.assign(fold=fold, bundle_bytes=run.bundle_bytes)
        for fold, (_, run, _) in runs.items()
    ]
)
operations = pd.concat(
    [
        run.operations.assign(batch=run.operations.batch + 1e6 * fold)
        for fold, (_, run, _) in runs.items()
    ]
)
stage.write_table("batches", batches)

# %%
plot_time(time_by(operations, "layer"), time_by(operations, "kind"))

# %% [markdown]
# **What you should see:** rotations take the most time, above all those that lead the features to
# the gates (`lstm.input`); at N = 32768 the loading of ciphertexts (`input`) comes next. From the
# second LSTM step on, which has the first product with h, each costs less than the one before it,
# since it works at lower levels.

# %% [markdown]
# ## Distance to the floor
# The floor counts this plan's operations at every level and multiplies them with the measured cost
# of each primitive on this processor, on one thread: what this plan cannot go below on SEAL.

# %%
_, run, plan = runs[stage.study.folds[0]]
floor = stage.write_table("floor", floor_table(plan, load_primitives(plan.params, cache_root())))
floor

# %% [markdown]
# ## What crosses between hospital and server

# %%
sizes = bytes_table(
    plan,
    run.bundle_bytes,
    int(run.batches.request_bytes.iloc[0]),
    int(run.batches.response_bytes.iloc[0]),
    int(run.batches.refresh_bytes.iloc[0]),
)
stage.write_table("bytes", sizes)

# %%
plot_bytes(sizes)

# %% [markdown]
# ## Hospital and server apart: two folders, two processes
# The same once more with the commands that hospital and server use, `heclstm keygen`, `encrypt`,
# `evaluate` and `decrypt`: each is a process in its own party's folder, and between the folders
# only the files of this table are copied. The hospital needs the plan's signature and its frames
# in [0, 1]. A plan with refreshes needs a client that answers meanwhile, so it is left out.

# %%
first = stage.study.folds[0]
mine = scores[scores.fold == first].head(plan.layout.sequences)
walk = None if plan.refreshes else walk_fold(space, first, len(mine))
if walk:
    stage.write_table("crossed", walk.crossed)
walk.crossed if walk else "left out: this plan has refreshes"

# %% [markdown]
# Every file on either side at the end, with its bytes there. What did not cross stayed with its
# owner: the frames, the secret key and the scores with the hospital, the model with the server.

# %%
walk.files if walk else "left out"

# %%
if walk:
    apart = np.abs(walk.scores - mine.score.to_numpy())
    print(f"{len(mine)} scores came back; the largest error is {apart.max():.1e}.")

# %% [markdown]
# **What you should see:** `secret.bundle`, `frames.npy` and `scores.csv` on the hospital's side
# only, and `plan.npz`, which holds the weights, on the server's only.

# %% [markdown]
# ## How the frames vote
# The learned weights of the voting layer, one line a fold.

# %%
models = {fold: load_bundle(space.fold(fold) / "polynomial.pt").model for fold in stage.study.folds}
plot_votes(models)

# %% [markdown]
# **What you should see:** how much each frame contributes to the sequence's score. Equal bars would
# mean plain averaging.

# %%
full = batches[batches.sequences == plan.layout.sequences]
counted = full if len(full) else batches
typical, quarter, upper = counted.server_s.quantile([0.5, 0.25, 0.75])
processor = float(counted.server_cpu_s.median())
to_floor = processor / float(floor.floor_s.sum())
stage.finish(
    headline=[
        {
            "label": "Agreement, encrypted vs clear",
            "value": f"{agreed['precision_bits']:.1f} bits",
            "detail": f"max error {agreed['max_error']:.1e}, flips {agreed['flips']} of "
            f"{agreed['n']} on {agreed['n_sequences']} sequences "
            f"(95 % CI of the rate up to {agreed['flip_rate_high']:.3f})",
        },
        {
            "label": "Server time",
            "value": f"{typical:.1f} s per batch",
            "detail": f"median of {len(counted)} batches of {plan.layout.sequences} sequences "
            f"(middle half {quarter:.1f} to {upper:.1f} s), {stage.study.he.workers} worker(s); "
            f"processor time {to_floor:.2f} x the floor",
        },
    ],
    agreement=agreed,
    rounding=rounding,
    metrics=metrics.to_dict("records"),
    ensemble=ensemble.to_dict("records") if ensemble is not None else [],
    ensemble_agreement=together_agreed,
    ensemble_costs=costs.to_dict("records") if joint else [],
    server_s_per_batch=float(typical),
    server_cpu_s_per_batch=processor,
    floor_s_per_batch=float(floor.floor_s.sum()),
    key_s=run.key_s,
    load_s=float(batches.load_s.max()),
    encrypt_s_per_batch=float(batches.encrypt_s.median()),
    decrypt_s_per_batch=float(batches.decrypt_s.median()),
    bytes=sizes.to_dict("records"),
)
