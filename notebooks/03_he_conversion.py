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
# # 03 HE conversion: from a trained network to a plan
#
# The polynomial twin is folded (batch norm, pooling, activation coefficients, weighted unit and
# votes disappear into linear maps) and compiled into a **plan**: every homomorphic operation in
# order, with its level, scale and rotation. Everything here is checked before a key exists.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import pandas as pd

from heclstm_lib.figures.he import plot_levels, plot_operations
from heclstm_lib.figures.training import plot_ranges
from heclstm_lib.he.check import check_plan
from heclstm_lib.he.clear import layer_ranges
from heclstm_lib.he.params import security_report
from heclstm_lib.he.store import load_plan
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.stages.conversion import convert_folds, normalised
from heclstm_lib.stages.notebook import open_stage, show_text

stage = open_stage("03_he_conversion", profile, dataset, out, data)
space, fold = stage.space, stage.study.folds[0]

# %% [markdown]
# ## Convert every fold
# `clear_error` compares the plan, run on plain numbers, with torch in float64: the compiler is
# right if it is rounding error. `predicted_bits` is the precision that the noise model expects.

# %%
conversion, candidates = convert_folds(space)
stage.write_table("candidates", candidates)
stage.write_table("conversion", conversion)
conversion.astype(object).set_index("fold").T

# %% [markdown]
# ## The plan of the first fold, layer by layer

# %%
plan = load_plan(space.fold(fold) / "plan.npz")
check_plan(plan)
stage.write_table("layers", pd.DataFrame(plan.layer_rows()))

# %% [markdown]
# ## Where the levels go
# Look for the staircase: each LSTM step goes down four levels with quadratic gates, five with cubic
# ones (the first step one less), and the result arrives exactly at level 0.

# %%
plot_levels(plan)

# %% [markdown]
# **What you should see:** no operation below level 0, and the steps of the recurrence one behind
# the other: the hidden state of a frame is an input of the next, no reordering saves levels.

# %% [markdown]
# ## Where the work is
# With one special prime a rotation costs about the square of its level: look at the high levels.

# %%
plot_operations(plan)

# %% [markdown]
# ## Security, before any key
# The whole modulus, special prime included, against both tables; `secure` needs the stricter one.

# %%
show_text(
    pd.DataFrame(
        {"value": security_report(plan.params) | {"coeff_bits": str(plan.params.coeff_bits)}}
    )
)

# %%
summary = plan.summary()
facts = {k: str(v) for k, v in summary.items() if k not in ("security", "operations")}
show_text(pd.DataFrame({"value": facts}))

# %% [markdown]
# ## Ranges: do activations stay where the polynomials were fitted?
# The intervals were fitted on training patients. Bars show the test patients' extremes.

# %%
ranges = stage.store.load_table("02_plaintext_training.ranges")
plot_ranges(ranges[ranges.fold == fold])

# %% [markdown]
# **What you should see:** how far test extremes leave the fitted intervals. The next table shows
# the largest slot value of each layer for a batch of validation sequences; the `headroom_bits` of
# the first table say how much room the modulus leaves above them.

# %%
trained = load_bundle(space.fold(fold) / "polynomial.pt")
frames = normalised(trained, space.sets(fold)["val"])[: plan.layout.sequences]
pd.DataFrame({"largest slot value": layer_ranges(plan, frames)})

# %%
security = summary["security"]
stage.finish(
    headline=[
        {
            "label": "Security",
            "value": "128 bits" if security["secure"] else "INSECURE",
            "detail": f"N={security['poly_degree']}, log2(QP)={security['total_bits']} of "
            f"{security['limit_2024_bits']} (2024), {security['limit_2018_bits']} (2018)",
        },
        {
            "label": "Depth",
            "value": f"{summary['depth']} levels",
            "detail": f"{len(plan.ops)} operations, {summary['galois_keys']} Galois keys, "
            f"scale 2^{summary['scale_bits']}, no interaction",
        },
    ],
    plan=summary,
    clear_error=float(conversion.clear_error.max()),
    predicted_bits=float(conversion.predicted_bits.min()),
)
