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
# # Diagnosing encrypted image sequences: the story, and CKKS in ten minutes
#
# A hospital has a *sequence* of images of one patient: a cervix before and after acetic acid, a
# biopsy at four magnifications, a stack of CT slabs. A remote server has a model. The hospital
# does not want to show the images; the server does not want to give the model away. Here the
# hospital **encrypts** the sequence, the server runs a convolutional LSTM **on the ciphertexts**,
# and only the hospital can read the verdict.
#
# The study re-implements Yue et al., *Privacy-preserving Time-series Medical Images Analysis Using
# a Hybrid Deep Learning Framework* (ACM TOIT 2021, doi 10.1145/3383779). Its formulas, parameters
# and splits are not public; every reading of ours is stated where it is used.
#
# | notebook | question it answers |
# |---|---|
# | 01 data preparation | What are the sequences, who is in which split, what was left out? |
# | 02 plaintext training | How well does the network do in clear, exact and with polynomials? |
# | 03 HE conversion | What exactly will the server compute, and is it 128-bit secure? |
# | 04 encrypted evaluation | Do encrypted and clear verdicts agree, and what does it cost? |
# | 05 ablations | What do weighted unit, voting, LSTM, gates and encryption values contribute? |
# | 06 competing methods | How do published methods and trivial controls do on the same patients? |
# | 07 encrypted competitors | What do methods that others ran encrypted cost, and reach, here? |
# | 08 decisions | Missed diagnoses, calibration, where accuracy is lost: what can we claim? |
# | 09 capacity | How many machines, hours and bytes would a million sequences take? |

# %% tags=["parameters"]
profile = "default"
out = "../reports/default"

# %%
import numpy as np

from heclstm_lib.config import load_profile
from heclstm_lib.figures.he import plot_slots
from heclstm_lib.figures.overview import plot_protocol, plot_security
from heclstm_lib.he.params import CkksParameters, security_report
from heclstm_lib.he.sandbox import Sandbox
from heclstm_lib.provenance import collect_provenance
from heclstm_lib.results import ResultStore

# %% [markdown]
# ## Who sees what
#
# Look at which arrows carry ciphertexts: everything that reaches the server is encrypted or public.

# %%
plot_protocol()

# %% [markdown]
# **What you should see:** the secret key never leaves the left box. The server is *honest but
# curious*: it follows the protocol and tries to learn from what it sees.

# %% [markdown]
# ## CKKS in ten minutes
#
# CKKS (Cheon, Kim, Kim, Song, Asiacrypt 2017) encrypts a whole **vector** of real numbers at once,
# one number per *slot*. With ring degree N there are N / 2 slots. We make a small but fully secure
# key: N = 8192 and a modulus of 190 bits.

# %%
small = CkksParameters(poly_degree=8192, levels=2, scale_bits=40, first_bits=50, special_bits=60)
security_report(small)

# %% [markdown]
# Two published tables bound the modulus for 128-bit security; the study keeps to the stricter one.

# %%
plot_security(load_profile(profile))

# %% [markdown]
# **What you should see:** the table of 2024 is the stricter one at every N; notebook 03 sets each
# plan's modulus against it.
#
# ### Slots
# The sandbox plays hospital and server at once (only here: elsewhere they are different types in
# different modules, and the server cannot even import the secret key's type).

# %%
box = Sandbox(small, rotations=(1,))
x = np.array([1.0, 2.0, 3.0, 4.0])
y = np.array([0.5, 0.5, 2.0, 2.0])
x_ct, y_ct = box.encrypt(x), box.encrypt(y)
x_ct

# %% [markdown]
# ### Adding and multiplying act on all slots at once
# One addition adds 4096 pairs of numbers.

# %%
sums = {"x": x, "y": y, "decrypt(x_ct + y_ct)": box.decrypt(x_ct + y_ct, 4)}
plot_slots(sums, "One homomorphic addition, slot by slot")

# %% [markdown]
# ### Scale and rescaling
# A number v is stored as the integer v times the *scale*, here 2^40. A product has scale 2^80:

# %%
product = x_ct * y_ct
product

# %% [markdown]
# *Rescaling* divides by one prime of the modulus chain (about 2^40): the scale is back, and one
# **level** is gone. Levels are the budget of the whole study: a chain of L primes allows L
# multiplications in a row, then no more.

# %%
product = product.rescale()
product

# %%
plot_slots({"x": x, "y": y, "decrypt(x_ct * y_ct)": box.decrypt(product, 4)}, "One product")

# %% [markdown]
# ### Rotation
# Slots cannot be addressed, only rotated, and each rotation needs its own *Galois key*. Matrix
# products are rotations, products and sums; choosing few rotations is the art of notebook 03.

# %%
plot_slots({"x": x, "rotate(x_ct, 1)": box.decrypt(x_ct.rotate(1), 4)}, "One rotation to the left")

# %% [markdown]
# ### CKKS is approximate
# Encryption adds a little noise, as rounding does. We count correct **bits**.

# %%
error = np.abs(box.decrypt(product, 4) - x * y)
bits_of_precision = -np.log2(error.mean())
print(f"mean error {error.mean():.2e}: {bits_of_precision:.1f} bits of precision")

# %% [markdown]
# ### What the server sees
# The same four numbers, encrypted twice, as the coefficients of the two ciphertexts' polynomials.

# %%
from heclstm_lib.figures.overview import plot_coefficients

plot_coefficients(x_ct.coefficients(), box.encrypt(x).coefficients(), small.primes[0])

# %% [markdown]
# **What you should see:** two flat histograms and no visible relation. Without the secret key a
# ciphertext cannot be told from random numbers (ring learning with errors, 128-bit security).
#
# ### Why polynomials
# Only additions and products exist. ReLU, sigmoid and tanh become polynomials of degree 2 or 3, and
# the network is trained *with* them. Each LSTM step with quadratic gates costs four levels (the
# first three), and a convolutional block, unpacking and the vote take some more: four frames need
# about twenty, which notebook 03 counts layer by layer. They fit N = 32768 within 868 bits,
# **without any decryption in between**.

# %% [markdown]
# ## What is protected, and what is not
#
# * **The images and the verdict** are protected from an honest-but-curious server, at 128-bit
#   security by both tables, as long as no decrypted value leaves the hospital: a CKKS ciphertext
#   together with its approximate decryption reveals the secret key (Li and Micciancio, ePrint
#   2020/1533), and SEAL adds no flooding noise against that.
# * **The model** stays on the server, but the result is not flooded: its noise depends on the
#   weights, there is no circuit privacy, and many queries with chosen inputs can extract a model
#   from its scores as they can in clear. The client also learns the plan's signature: sizes,
#   layout, rotations.
# * **A dishonest server** is outside the model: ciphertexts are not authenticated, and it may
#   compute something else.

# %%
studies = [study.dataset for study in load_profile(profile).studies]
_ = ResultStore(f"{out}/results").write_result(
    "00_overview",
    {
        "headline": [],
        "numbers": {"sandbox_precision_bits": float(bits_of_precision), "datasets": studies},
        "provenance": collect_provenance(),
    },
)
