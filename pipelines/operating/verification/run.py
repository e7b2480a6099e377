"""`finflow verify`: the chain, its heads, every decision's figures and verdict, and the files of its version, recomputed from what is kept.

It reads files alone: no server, no network, no training; and on a copy of a lake nothing but that copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.lake.decided_losses import DecidedLosses
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.looks import Looks
from finflow.pipelines.lake.promotions import Examined, PromotionRow, Promotions
from finflow.pipelines.operating.verification.figures import FAILED, PASSED, check_losses
from finflow.pipelines.operating.verification.manifests import Artifacts, check_version, find_artifacts
from finflow.pipelines.registry.aliases import remembered_fault
from finflow.pipelines.tracking.store import database_file


@dataclass(frozen=True)
class VerifiedDecision(JsonRecord):
    """A decision and what was checked of it: each `passed`, `FAILED: why`, or in words why it cannot be said."""

    sequence: int
    recorded_at: str
    verdict: str
    candidate: str
    version: int | None
    chain: str
    losses: str
    figures: str
    files: str

    @property
    def faults(self) -> tuple[str, ...]:
        checks = {"chain": self.chain, "losses": self.losses, "figures": self.figures, "version": self.files}
        return tuple(f"decision {self.sequence}, {part}: {text}" for part, text in checks.items() if text.startswith(FAILED))


@dataclass(frozen=True)
class Verified(JsonRecord):
    """The record of a definition.

    Attributes:
        ok: nothing failed.
        faults: everything that did, in words; those of the whole table first.
        notes: what was not looked at, and why.
        head: the last decision's sequence and digest: what a person may write down elsewhere.
    """

    ok: bool
    definition: str
    lake: str
    decisions: tuple[VerifiedDecision, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    head: str | None


def verify(home: Home, name: str) -> Verified:
    """Verify a definition's record on the machine that keeps it."""
    promotions = Promotions(Lake(home.lake), name, home.heads)
    there = home.mlflow / "artifacts"
    notes: tuple[str, ...] = () if there.is_dir() else (f"versions' files are not looked at: they are not in {there}",)
    found = promotions.examine()
    local = database_file(home)
    remembered = None
    if local is not None and local.is_file():
        remembered = remembered_fault(home, name, found.rows)
    elif local is None:
        notes += ("the registry's tag was not looked at: MLflow is a server, and verifying asks none (training and scoring do)",)
    further = [remembered] if remembered and not found.broken else []
    return _verified(promotions, found, find_artifacts(there), notes, [*further, *_looks_faults(Looks(promotions.lake, home.heads))])


def verify_copy(location: str, name: str, artifacts: Path | None = None) -> Verified:
    """Verify a definition's record on a copy of the lake.

    Args:
        location: the copy: a folder, or an object-store URL.
        artifacts: a folder that holds versions' files, or None.

    Raises:
        FinflowError: nothing of that definition was ever decided there.
    """
    promotions = Promotions(Lake(location), name)
    found = promotions.examine()
    if found.version is None and not found.broken and not found.refused:
        raise FinflowError(f"{location} holds no decision about {name}: is it a copy of the lake (HOME/lake), and the name right?")
    notes: tuple[str, ...] = ("a copy: its head is the copy's own, so ask for the head of who keeps the original, and compare",)
    notes += () if artifacts else ("versions' files are not looked at: give a copy of them with --artifacts FOLDER",)
    return _verified(promotions, found, find_artifacts(artifacts), notes, _looks_faults(Looks(promotions.lake)))


def _looks_faults(looks: Looks) -> list[str]:
    fault = looks.changed() or looks.lost()
    return [fault] if fault else []


def _verified(promotions: Promotions, found: Examined, artifacts: Artifacts, notes: tuple[str, ...], further: list[str]) -> Verified:
    kept = DecidedLosses(promotions.lake, promotions.name)
    decisions = tuple(_decision(promotions.name, row, place, found, kept, artifacts) for place, row in enumerate(found.rows))
    whole = [found.broken[-1]] if -1 in found.broken else []
    whole += [f"{fault} (the head in {place})" for place, (_, fault) in found.refused.items()]
    faults = (*whole, *further, *(fault for one in decisions for fault in one.faults))
    last = found.rows[-1] if found.rows else None
    head = f"{last.sequence} {last.digest}" if last is not None and last.digest else None
    return Verified(not faults, promotions.name, promotions.lake.location, decisions, faults, notes, head)


def _decision(name: str, row: PromotionRow, place: int, found: Examined, kept: DecidedLosses, artifacts: Artifacts) -> VerifiedDecision:
    broken = found.broken.get(place)
    chain = f"{FAILED}: {broken}" if broken else PASSED if row.digest else "before the chain"
    losses, figures = check_losses(kept, row) if not broken else ("not looked at", "not looked at")
    return VerifiedDecision(
        sequence=row.sequence,
        recorded_at=row.recorded_at,
        verdict=row.verdict,
        candidate=row.candidate,
        version=row.version,
        chain=chain,
        losses=losses,
        figures=figures,
        files=check_version(name, row, found.rows, artifacts),
    )
