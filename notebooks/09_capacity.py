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
# # 09 Capacity: from one batch to a thousand million sequences
#
# What would it take to serve a country? The model goes from what was measured here (seconds of each
# primitive, bytes of each message, memory of a worker) to machines, hours, money, network and
# storage. It is held against real encrypted runs with one and two workers on one machine; beyond
# that, up to 10,000 workers, only against a simulation. Nothing is evaluated here.

# %% tags=["parameters"]
profile = "default"
dataset = "embedded"
out = "../reports/default"
data = ""

# %%
import dataclasses

import pandas as pd
from IPython.display import Markdown

from heclstm_lib.capacity.accuracy import kept_validation, listed_errors
from heclstm_lib.capacity.machines import read_machines
from heclstm_lib.capacity.tables import layout_facts, readable_layouts
from heclstm_lib.figures.capacity import (
    plot_deadline,
    plot_scaling,
    plot_simulation,
    plot_traffic,
    plot_validation,
)
from heclstm_lib.stages.capacity import committed_validation, measured_here, plan_study_layouts
from heclstm_lib.stages.evidence import Evidence
from heclstm_lib.stages.notebook import open_stage
from heclstm_lib.stages.remarks import batches_remark

stage = open_stage("09_capacity", profile, dataset, out, data)
machine = read_machines()["eight-cores-large-memory"]
hospitals, sequences, fleet = 100, 1_000_000, 10
price_unit = "1 unit: an hour of one machine"
pd.DataFrame({"machine": dataclasses.asdict(machine)}).T

# %% [markdown]
# The machine is an example that nobody measured: its cores are taken to be like the one that the
# costs below come from. Its price is **1 unit an hour**, no provider's price. Money below is
# therefore machine hours; with your own machine and prices: `heclstm capacity --machine FILE.yml`.
#
# ## The layouts of this network
# `together` sequences share one set of ciphertexts; each row is the fastest plan for that number
# that keeps enough precision. `load_s` is what another hospital's keys and the model take;
# `reserved_GB` is set aside for a worker without its plaintexts, somewhat more than it will use.
# Look at `batch_s` over `together`, and at the bytes of a request.

# %%
capacity = plan_study_layouts(stage.space)
facts = stage.write_table("layouts", layout_facts(capacity.layouts))
print("Costs:", capacity.source)
readable_layouts(facts)

# %% [markdown]
# **What you should see:** a batch takes longer the more it holds, though less than in proportion,
# so that each sequence takes less; only where a layout needs far fewer plaintexts may a larger
# batch be faster. But a batch holds one hospital's sequences only, since it has one key.

# %%
Markdown(batches_remark(facts))

# %% [markdown]
# ### This network's own batches
# Notebook 04 measured batches of this network, with its workers and its client at work on the same
# processor at once, which costs memory bandwidth. `error` is predicted over measured, minus one;
# where it is below 0, hours and money below are too low by as much for machines loaded like that.

# %%
own = stage.write_table("own_batches", measured_here(stage.space, Evidence(stage.store), capacity))
own if len(own) else "no measured batch: notebook 04 was not run, or no layout has its size"

# %% [markdown]
# ## Hours and money against the number of sequences
# A hundred hospitals, ten machines. Look at the left end of the lines: with few sequences a
# hospital, the places of large batches stay empty, and small layouts win.

# %%
scaling = stage.write_table("scaling", capacity.scaling(machine, fleet, hospitals))
plot_scaling(scaling, f"{fleet} machines of {machine.words}, {hospitals} hospitals", price_unit)

# %% [markdown]
# **What you should see:** flat price lines on the right, where batches are full; to the left of the
# point where a hospital's sequences fill one batch, the price rises as one over their number.
#
# ### The cheapest layout for each number of sequences, and what binds it

# %%
best = scaling[scaling.verdict == "cheapest"]
best = best[["sequences", "together", "filled", "hours", "machine_hours", "money_per_million",
             "in_TB", "stored_TB", "workers", "binds"]]  # fmt: skip
stage.write_table("cheapest", best.reset_index(drop=True))

# %% [markdown]
# ## Machines for a deadline
# A million sequences of a hundred hospitals. A line ends on the left where a single batch, with its
# keys to load, takes longer than the deadline.

# %%
deadlines = stage.write_table("deadlines", capacity.deadlines(machine, sequences, hospitals))
plot_deadline(deadlines, f"of {machine.words}; {sequences:,} sequences, {hospitals} hospitals")

# %% [markdown]
# **What you should see:** twice the time, half the machines, until one machine is enough.
#
# ## Network and storage
# One sequence alone in its ciphertexts costs the upload of a whole batch.

# %%
plot_traffic(scaling)

# %% [markdown]
# **What you should see:** straight lines where batches are full, and flat ones to the left, where
# each hospital sends one batch whatever it holds.
#
# ## How good is the closed formula?
# The same fleet, event by event: list scheduling of batches with an assumed spread of times, keys
# to load, machines that fail. Look at the largest error, and at how it falls with the number of
# batches a worker.

# %%
simulation = stage.write_table("simulation", capacity.simulated(machine, 8, hospitals))
plot_simulation(simulation)

# %%
worst = simulation.error.abs()
print(
    f"{len(simulation)} fleets of up to {simulation.workers.max():,} workers: mean error "
    f"{worst.mean():.1%}, largest {worst.max():.1%}; with twenty batches a worker "
    f"{worst[simulation.waves >= 20].max():.1%}."
)

# %% [markdown]
# **What you should see:** the largest errors where each worker has a few batches, so that the last
# ones, and who loads which keys for them, decide; a few per cent with twenty.
#
# ## How good are the predictions of real runs?
# `heclstm capacity --validate` ran real 128-bit batches through `heclstm evaluate`'s machinery,
# each predicted before. These are the committed runs (`reports/capacity`), of the networks, the
# machine and the versions named there, not of this study. `error` is predicted over measured, minus
# one. `load_s` is here what a worker's first batch takes beyond its later ones: keys, model, fresh
# memory. `memory_bytes` is what a worker is expected to use, `reserved_bytes` what the model sets
# aside for it: an estimate from above on purpose, so its error should be above 0.

# %%
validation = committed_validation()
if validation:
    runs, summary, contention = validation
    stage.write_table("validation", summary)
summary if validation else listed_errors(None)

# %%
plot_validation(summary) if validation else None

# %%
contention if validation else None

# %% [markdown]
# **What you should see:** points near the diagonal. The last table is how much longer a batch takes
# with a second worker beside it, memory being shared; the model assumes `full_slowdown` (1.05), the
# more cautious where the table shows less. Two constants (start of a process, unpacking of bytes)
# were fitted on earlier runs of profile smoke, so that its seconds are no independent test of them.
#
# ## Limits
# - Beyond two workers only the simulation speaks. How much workers on a machine of many cores slow
#   each other down (`full_slowdown`) is measured for two cores and taken to be the same for more.
# - Costs are those of the processor named under the layouts; `speed` scales them all alike.
# - Requests are taken to be there when a worker wants one, and traffic and evaluation to overlap.
# - Traffic and storage have no price here, and the hospitals' own time is not counted: encryption
#   takes about as long for each ciphertext whatever it holds.
# - Failures take machines, not data: a lost batch begins again.

# %%
kept = kept_validation()
run_errors = kept["largest_errors"] if kept else {}
million = best[best.sequences == sequences].iloc[0]
stage.finish(
    headline=[
        {
            "label": "A million sequences",
            "value": f"{million.machine_hours:.3g} machine hours",
            "detail": f"{hospitals} hospitals, {million.together} sequences a batch, "
            f"{machine.cores} cores a machine; network {million.in_TB:.3g} TB; formula within "
            f"{worst.max():.0%} of simulation; largest errors against real runs: "
            f"{listed_errors(kept)}",
        }
    ],
    cheapest=best.to_dict("records"),
    simulation_error=float(worst.max()),
    run_errors=run_errors,
)
