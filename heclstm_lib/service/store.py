"""The service's folder: every bundle, job and result, whole or not at all, also after a kill.

<state>/service.json               the plan these are of
<state>/uploads/                   what is not whole yet; emptied at every start
<state>/model/                     the encoded model, for the workers
<state>/<bundles|jobs>/<owner>/<sha256>/  record.json, body, response
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from heclstm_lib.errors import ServiceError
from heclstm_lib.files import replacing
from heclstm_lib.service.records import Bundle, Job, Key, Record

RECORD, BODY, RESPONSE = "record.json", "body", "response"


class Store:
    """Records in memory and on disk; one service at a time has the folder."""

    def __init__(self, root: Path, plan_digest: str) -> None:
        """Take the folder; ServiceError when another service has it, or it is another plan's."""
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)
        self._lock = _locked(root)
        try:
            _settle(root / "service.json", plan_digest)
        except BaseException:
            self.close()
            raise
        shutil.rmtree(root / "uploads", ignore_errors=True)
        self.records: dict[Key, Record] = {}
        for kind in (Bundle, Job):
            for folder in sorted((root / kind.folder).glob("*/*")):
                self._remember(kind, folder)

    def _remember(self, kind: type[Record], folder: Path) -> None:
        """Take up what lies in a folder; without a readable record it is cleared away."""
        try:
            record = kind.from_text((folder / RECORD).read_text(encoding="utf-8"))
        except (ValueError, TypeError, OSError):
            self._discard(folder)
        else:
            self.records[record.key] = record

    @property
    def model(self) -> Path:
        """Folder of the encoded model."""
        return self.root / "model"

    def place(self, record: Record) -> Path:
        """The folder of a record."""
        return self.root.joinpath(*record.key)

    def fresh(self) -> Path:
        """A new folder for an upload."""
        folder = self.root / "uploads" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        return folder

    def adopt(self, upload: Path, record: Record) -> None:
        """Make an upload's folder, with its body, the record's, in one step."""
        _write(upload / RECORD, record)
        target = self.place(record)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # what lies there has no readable record
            self._discard(target)
        upload.rename(target)
        self.records[record.key] = record

    def holds(self, record: Record) -> bool:
        """Whether a record is still there, and was not removed and made anew since."""
        kept = self.records.get(record.key)
        return kept is not None and kept.created == record.created

    def put(self, record: Record) -> None:
        """Keep a record's new state; one that was removed or made anew meanwhile stays so."""
        if self.holds(record):
            self.records[record.key] = record
            _write(self.place(record) / RECORD, record)

    def remove(self, record: Record) -> None:
        """Forget a record and delete its files."""
        del self.records[record.key]
        self._discard(self.place(record))

    def owned(self, kind: type[Record], owner: str) -> list[Record]:
        """An owner's records of a kind, oldest first."""
        found = [r for r in self.records.values() if isinstance(r, kind) and r.owner == owner]
        return sorted(found, key=lambda record: record.created)

    def close(self) -> None:
        """Let another service have the folder."""
        os.close(self._lock)

    def _discard(self, folder: Path) -> None:
        """Out of sight at once, even if deleting gigabytes is stopped half way."""
        with suppress(OSError):  # no room for a grave, or nothing there: deleted where it lies
            folder = folder.rename(self.fresh() / "old").parent
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, record: Record) -> None:
    with replacing(path) as part:
        part.write_text(record.to_text(), encoding="utf-8")


def _locked(root: Path) -> int:
    handle = os.open(root / "service.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ServiceError(
            f"{root}: another service has this folder. Stop it, or give this one another --state."
        ) from None
    return handle


def _settle(path: Path, plan_digest: str) -> None:
    if not path.exists():
        with replacing(path) as part:
            part.write_text(json.dumps({"plan": plan_digest}), encoding="utf-8")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["plan"]
    except (ValueError, KeyError, TypeError):
        found = "unreadable"
    if found != plan_digest:
        raise ServiceError(
            f"{path.parent}: its bundles and jobs are of plan {str(found)[:12]}, this service has "
            f"{plan_digest[:12]}. Serve that plan, or give another --state."
        )
