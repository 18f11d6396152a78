"""All competing methods and controls by name."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from heclstm_lib.errors import ConfigError
from heclstm_lib.methods import (
    bi_lstm,
    chabanne_cnn,
    cnn3d,
    controls,
    cryptonets,
    factorised_cnn3d,
    fcn_bilstm,
    gaussian_nb,
    linear_svm,
    lrcn,
    multi_column_cnn,
    multi_feature_svm,
    multi_view_lstm,
    residual_lstm,
    temporal_rnn,
    two_stream,
)
from heclstm_lib.methods.budget import MethodBudget, budget_of
from heclstm_lib.methods.interface import Fitted, Method
from heclstm_lib.models import baselines

__all__ = ["METHODS", "Fitted", "Method", "MethodBudget", "budget_of", "describe_methods",
           "find_method"]  # fmt: skip


def _control(name: str, shows: str, fit: object) -> Method:
    return Method(name, "control", False, shows, fit)  # type: ignore[arg-type]


_METHODS = (
    Method("lrcn", "sequence", False, "LRCN (Donahue et al., TPAMI 2017)", lrcn.fit,
           "two convolutions, 32 units", pretrained=True),
    Method("residual_lstm", "sequence", False, "SV-RCNet (Jin et al., TMI 2018)",
           residual_lstm.fit, "three residual blocks, 32 units", pretrained=True),
    Method("cnn3d", "sequence", False, "3D CNN (Ji et al., TPAMI 2013)", cnn3d.fit,
           "two 3D convolutions; differences for optical flow"),
    Method("factorised_cnn3d", "sequence", False,
           "asymmetric 3D CNN (Yang et al., Pattern Recognit. 2019)", factorised_cnn3d.fit,
           "two units, space then time"),
    Method("two_stream", "sequence", False, "hidden two-stream (Zhu et al., ACCV 2018)",
           two_stream.fit, "flow at one coarse scale, two convolutions a stream", pretrained=True),
    Method("fcn_bilstm", "sequence", False, "FCN + Bi-LSTM (Budak et al., Appl. Soft Comput. 2019)",
           fcn_bilstm.fit, "2 x 2 places of every frame, 16 units a direction", pretrained=True),
    Method("multi_view_lstm", "sequence", False, "multi-view LSTM (Ma et al., TMM 2019)",
           multi_view_lstm.fit, "two convolutions, 32 units, trained in one go", pretrained=True),
    Method("temporal_rnn", "sequence", False, "temporal RNN (Azizi et al., TMI 2018)",
           temporal_rnn.fit, "7 x 7 blocks of every frame, two layers of 32 units"),
    Method("bi_lstm", "sequence", False, "variant of ours: LSTM in both directions, exact",
           bi_lstm.fit, "as ours"),
    Method("multi_feature_svm", "image", False,
           "PHOG, PLBP, PLAB + SVM (Xu et al., Pattern Recognit. 2017)", multi_feature_svm.fit,
           "two pyramid levels, linear kernel; frames vote"),
    Method("multi_column_cnn", "image", False, "multi-column CNN (after Ciresan et al., CVPR 2012)",
           multi_column_cnn.fit, "three columns of two convolutions; frames vote"),
    Method("cryptonets", "image", True, "CryptoNets (Gilad-Bachrach et al., ICML 2016)",
           cryptonets.fit, "one logit for ten digits; frames vote"),
    Method("chabanne_cnn", "image", True, "polynomial CNN (Chabanne et al., ePrint 2017/035)",
           chabanne_cnn.fit, "two activations of degree 2; frames vote"),
    Method("linear_svm", "classical", True,
           "linear SVM (Gonzalez-Serrano et al., Pattern Recognit. 2017)", linear_svm.fit,
           "trained in clear; frames averaged to 7 x 7"),
    Method("gaussian_nb", "classical", True, "naive Bayes (Gao et al., Inf. Sci. 2018)",
           gaussian_nb.fit, "Gaussian densities; frames averaged to 7 x 7"),
    _control("class_prior", "no information", controls.regression(baselines.constant)),
    _control("number_of_frames", "a bias of the collection",
             controls.regression(baselines.frame_count)),
    _control("mean_colour", "mean of each channel (volume, for masks)",
             controls.regression(baselines.mean_colour)),
    _control("mean_image", "regression on the mean of the frames",
             controls.regression(baselines.mean_image)),
    _control("best_single_frame", "regression on the frame best on validation patients",
             controls.fit_best_frame),
    _control("first_frame", "our exact network on the first frame", controls.fit_first),
    _control("last_frame", "our exact network on the last frame", controls.fit_last),
    _control("first_and_last", "our exact network on two frames", controls.fit_first_and_last),
    _control("mean_logit", "ours without recurrence, equal votes: no order",
             controls.fit_mean_logit),
    _control("shuffled_order", "our exact network, frames shuffled in training and test",
             controls.fit_shuffled),
    _control("frozen_random", "our exact network on random convolutions", controls.fit_frozen),
)  # fmt: skip

METHODS: dict[str, Method] = {method.name: method for method in _METHODS}
"""Name -> method, in the order of the methods table."""

ORDERLESS = ("shuffled_order", "mean_logit")
"""Controls that hide the order of the frames and nothing else, or the recurrence with it."""


def find_method(name: str) -> Method:
    """One method; ConfigError names those there are."""
    if name not in METHODS:
        raise ConfigError(
            f"unknown method '{name}'; there are: {', '.join(METHODS)}. "
            "Correct `methods` in the profile."
        )
    return METHODS[name]


def describe_methods(names: Sequence[str]) -> pd.DataFrame:
    """The methods table: method, kind, source, what we scaled down, encrypted, pretrained."""
    rows = []
    for method in map(find_method, names):
        encrypted = "polynomial: can be" if method.encrypted else "no"
        rows.append((method.name, method.kind, method.source, method.scaled, encrypted,
                     "published with, local file only" if method.pretrained else ""))  # fmt: skip
    columns = ["method", "kind", "source", "here", "encrypted", "pretrained weights"]
    return pd.DataFrame(rows, columns=columns)
