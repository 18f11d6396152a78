"""Profiles: frozen dataclasses read from YAML; an unknown key is an error."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from heclstm_lib.errors import ConfigError
from heclstm_lib.typed import ABOVE_ZERO, build, check_choices, check_ranges, switched

RECURRENCES = ("lstm", "bi_lstm", "sru")
FIT_METHODS = ("learned", "least_squares", "chebyshev", "minimax")
ACTIVATIONS = ("quadratic", "square")
UNITS = ("per_feature", "scalar", "off")
VOTES = ("learned", "equal", "last")


@dataclass(frozen=True)
class DataConfig:
    """What the reader makes of a data set: sequences [B, T, C, H, W] in [0, 1]."""

    frames: int = 4
    image_size: int = 28
    colour: str = "rgb"  # "rgb" (C=3) or "gray" (C=1)
    sequences: int | None = None  # generated (embedded set) or kept at most (real sets)
    seed: int = 2021  # of the generator or of the subsample
    magnification: int | None = None  # BreaKHis only; None: 40 -> 100 -> 200 -> 400X
    slices: int = 1  # AdrenalMNIST3D only: a frame's channels, parts of its slab along the depth

    def __post_init__(self) -> None:
        check_ranges(self, frames=(1, math.inf), image_size=(8, math.inf), slices=(1, 28))


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of the ConvLSTM; both twins share one configuration."""

    conv_channels: tuple[int, ...] = (8,)
    kernel_size: int = 5
    stride: int = 3
    pool: int = 2
    hidden: int = 16
    gate_degree: int = 2
    fit: str = "learned"  # polynomials: fitted and trained on; the other methods' stay as fitted
    activation: str = "quadratic"  # of the CNN: fitted to ReLU; "square": x^2 in both twins
    recurrence: str = "lstm"  # "bi_lstm": both ways; "sru": gates do not read h
    lstm: bool = True  # off: no recurrence of any kind, z_t = s_t
    weighted_unit: str = switched("per_feature", "off")  # or "scalar": one alpha; off: z_t = h_t
    voting: str = switched("learned", "last")  # or "equal": mean of the frames; "last" alone

    def __post_init__(self) -> None:
        names = ("conv_channels", "kernel_size", "stride", "pool", "hidden")
        check_ranges(self, **dict.fromkeys(names, (1, math.inf)), gate_degree=(2, 3))
        check_choices(
            self, recurrence=RECURRENCES, fit=FIT_METHODS, activation=ACTIVATIONS,
            weighted_unit=UNITS, voting=VOTES,
        )  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation; the seed fixes initialisation, order and augmentation."""

    epochs: int = 60
    polynomial_epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 1e-2
    polynomial_learning_rate: float = 3e-3  # lower: polynomials diverge where sigmoids saturate
    weight_decay: float = 1e-3
    range_penalty: float = 0.1
    patience: int = 15
    target_sensitivity: float = 0.9
    augment: bool = True
    symmetries: bool = True  # augment by flips and quarter turns too; off if orientation matters
    class_weights: bool = True  # the loss weighs diseased and healthy sequences alike
    distillation: float = 0.0  # share of the polynomial twin's loss that asks for the exact score
    pretrain_epochs: int = 0  # on training frames without their labels (models.pretrain)
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("epochs", "polynomial_epochs", "patience")
        rates = ("learning_rate", "polynomial_learning_rate")
        check_ranges(
            self,
            **dict.fromkeys(counts, (1, math.inf)),
            **dict.fromkeys(rates, (ABOVE_ZERO, math.inf)),
            batch_size=(2, math.inf),
            weight_decay=(0, math.inf),
            range_penalty=(0, math.inf),
            distillation=(0, 1),
            pretrain_epochs=(0, math.inf),
            target_sensitivity=(ABOVE_ZERO, 1),
        )


@dataclass(frozen=True)
class Setting:
    """One setting of AdamW that a search tries; an open rate of the twin is the study's."""

    learning_rate: float
    weight_decay: float
    polynomial_learning_rate: float | None = None

    def __post_init__(self) -> None:
        positive = (ABOVE_ZERO, math.inf)
        check_ranges(self, learning_rate=positive, polynomial_learning_rate=positive)
        check_ranges(self, weight_decay=(0, math.inf))

    def __str__(self) -> str:
        return f"rate {self.learning_rate:g}, decay {self.weight_decay:g}"


@dataclass(frozen=True)
class HEConfig:
    """CKKS parameters; the modulus chain is [first, scale x levels, special].

    Sizes left open are chosen by the planner: the largest that 128-bit security allows.
    """

    poly_degree: int = 32768
    scale_bits: int | None = None
    first_bits: int | None = None
    special_bits: int | None = None
    sequences: int | None = None  # evaluated together in one set of ciphertexts; None: planned
    memory_gb: float = 12.0  # all server processes together
    latency_s: float | None = None  # the longest a batch may take
    evaluate_at_most: int | None = None  # test sequences evaluated encrypted; None: all
    workers: int = 1  # server processes; each holds the evaluation keys
    open_end: bool = True  # False: every level keeps the whole scale, for a level more
    refresh: bool = False  # the client re-encrypts the masked LSTM state between frames
    bfv: bool = False  # CryptoNets, if listed, also as published, under BFV: minutes a fold

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("sequences", "evaluate_at_most", "workers"), (1, math.inf))
        bits = dict.fromkeys(("scale_bits", "first_bits", "special_bits"), (1, 60))
        positive = dict.fromkeys(("memory_gb", "latency_s"), (0, math.inf))
        check_ranges(self, **counts, **bits, **positive)


@dataclass(frozen=True)
class DatasetStudy:
    """One data set's way through the study."""

    dataset: str
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    he: HEConfig = field(default_factory=HEConfig)
    folds: tuple[int, ...] = (0,)
    search: tuple[Setting, ...] = ()  # tried in every fold, on its validation patients; () : none
    ablations: tuple[str, ...] = ()  # rows of the grid, or axis:NAME for all rows of an axis
    grid: str | None = None  # a grid file of one's own, beside the profile; None: the shipped one
    methods: tuple[str, ...] = ()  # competing methods and controls (heclstm_lib.methods.registry)
    bootstrap: int = 2000
    show_examples: bool = False  # single patients' images in the reports; else class averages

    def __post_init__(self) -> None:
        check_ranges(self, folds=(0, math.inf), bootstrap=(10, math.inf))


@dataclass(frozen=True)
class Profile:
    """A named set of data set studies."""

    name: str
    studies: tuple[DatasetStudy, ...]

    @property
    def datasets(self) -> list[str]:
        """The studies' data sets, in order."""
        return [study.dataset for study in self.studies]

    def study(self, dataset: str) -> DatasetStudy:
        """Return the study of one data set; ConfigError names those there are."""
        for study in self.studies:
            if study.dataset == dataset:
                return study
        known = ", ".join(self.datasets)
        raise ConfigError(f"profile '{self.name}' has no data set '{dataset}'; it has: {known}.")


def list_profiles() -> list[str]:
    """Names of the profiles shipped with the library."""
    folder = resources.files("heclstm_lib") / "profiles"
    return sorted(p.name[:-4] for p in folder.iterdir() if p.name.endswith(".yml"))


def load_profile(name_or_path: str) -> Profile:
    """Read a shipped profile by name, or any YAML file by path.

    Raises ConfigError for an unknown profile, unreadable YAML, key, type or value out of range.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yml", ".yaml"}:
        if name_or_path not in list_profiles():
            raise ConfigError(
                f"unknown profile '{name_or_path}'; shipped: {', '.join(list_profiles())}. "
                "Give one of these names or the path of a .yml file."
            )
        path = Path(str(resources.files("heclstm_lib") / "profiles" / f"{name_or_path}.yml"))
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read profile {path}: {error}") from error
    profile: Profile = build(Profile, raw, path.name)
    studies = tuple(_located(study, path.parent) for study in profile.studies)
    return dataclasses.replace(profile, studies=studies)


def _located(study: DatasetStudy, folder: Path) -> DatasetStudy:
    """With the grid file, given relative to the profile's folder, where it lies."""
    if study.grid is None:
        return study
    return dataclasses.replace(study, grid=str(folder / study.grid))


def to_dict(config: Any) -> dict[str, Any]:
    """The resolved configuration as plain JSON-ready values."""
    return dataclasses.asdict(config)
