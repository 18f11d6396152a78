"""Errors for users. Each message says what, got, expected, where, and what to do."""

from __future__ import annotations


class HeclstmError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(HeclstmError):
    """A profile, option or notebook parameter is unknown or out of range."""


class ManifestError(HeclstmError):
    """A manifest does not satisfy the schema or contradicts itself."""


class DataError(HeclstmError):
    """A data set on disk is not what its manifest or its reader expects."""


class IntegrityError(DataError):
    """Bytes on disk do not match the manifest's size or sha256."""


class LeakageError(DataError):
    """A patient stands in more than one part of a split."""


class TrainingError(HeclstmError):
    """Training cannot start or go on (bad checkpoint, non-finite loss)."""


class DivergenceError(TrainingError):
    """The loss of a training became infinite or not a number."""


class PlanError(HeclstmError):
    """A plan cannot be built or does not fit its parameters."""


class DepthBudgetExceeded(PlanError):
    """The network needs more levels than the modulus chain has."""


class SecurityError(PlanError):
    """The parameters give less than 128-bit security."""


class WireError(HeclstmError):
    """Bytes that crossed between client and server cannot be accepted."""


class SecretError(HeclstmError):
    """A secret bundle is not safe to use: readable by others, locked, damaged, or at a server."""


class InputRangeWarning(UserWarning):
    """Frames to encrypt leave the range of values that the model was calibrated on."""


class ImplausibleWarning(UserWarning):
    """Decrypted outputs are so large that they are most likely noise of another key."""


class StrandError(HeclstmError):
    """Workers that share one evaluation cannot go on: one failed, is missing or too slow."""


class StorageError(HeclstmError, OSError):
    """An object store or folder cannot be read or written; it may be so for a while only."""


class BatchError(HeclstmError):
    """A folder of requests cannot be evaluated: nothing there, or it belongs to another batch."""


class ServiceError(HeclstmError):
    """The HTTP service refuses a request, cannot start, or cannot be reached.

    `status` is the HTTP status (0: none came), `code` one word for programs, `retry_s` the seconds
    after which another try may do (None: it will not).
    """

    def __init__(
        self, message: str, status: int = 0, code: str = "failed", retry_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_s = status, code, retry_s


class ReportError(HeclstmError):
    """A notebook failed or a report cannot be rendered."""


class BenchError(HeclstmError):
    """A contender of the benchmark failed, or a benchmark's record cannot be read."""


class ContenderAbsent(BenchError):
    """A contender of the benchmark is not installed; it is left out."""
