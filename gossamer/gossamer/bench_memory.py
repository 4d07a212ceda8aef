"""The epoch models of DRAM against their bank-level reference, stage by stage; writes ``docs/memory-error.md``."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossamer.bench_record import BENCH, Measurement, provenance, table

if TYPE_CHECKING:
    from gossamer_models.architecture import Architecture
    from gossamer_models.dram import DramTable
    from gossamer_models.program import Program, StageProgram

__all__ = ["StageError", "document", "memory_errors", "sample_stages", "stage_errors"]

_DOCUMENT: Final = Path("docs") / "memory-error.md"
_NETWORKS: Final = (
    "resnet18-64", "resnet18-224", "resnet50-224", "resnet9-32", "vgg19-32", "mobilenetv2-224", "vit-32", "bert-base",
)  # fmt: skip
_KINDS: Final = ("ddr4", "lpddr4", "hbm2")
_ARCHITECTURE: Final = "vcu1525-32x32"
_BATCH: Final = 32
_STAGES: Final = 12
_MOST_BURSTS: Final = 1_500_000
_BOUND: Final = 0.03
_FEW_REFRESHES: Final = 20
_LEAST_MOMENTS: Final = 8
_MET_REFRESHES: Final = 32


@dataclass(frozen=True, slots=True)
class StageError:
    """One layer's stage by both models.

    Members
    -------
    bursts : of 64 bytes that the stage moves.
    dram_share : part of the epoch model's cycles in which DRAM alone works.
    epoch_cycles, reference_cycles : of the stage, barrier included.
    """

    network: str
    layer: str
    stage: str
    bursts: int
    dram_share: float
    epoch_cycles: int
    reference_cycles: float

    @property
    def error(self) -> float:
        """Relative error of the epoch model."""
        return self.epoch_cycles / self.reference_cycles - 1


def sample_stages(program: "Program", count: int, seed: int) -> "list[StageProgram]":
    """Draw stages at random, of equal ones but one."""
    unlike = {(stage.stage, stage.macs, len(stage.instructions)): stage for stage in program.stages}
    return random.Random(seed).sample(list(unlike.values()), min(count, len(unlike)))


def stage_errors(
    network: str,
    batch: int,
    count: int,
    architecture: "Architecture",
    kind: str = "ddr4",
    *,
    most_bursts: int = _MOST_BURSTS,
    seed: int = 0,
) -> Iterator[StageError]:
    """Simulate randomly drawn stages of a training iteration, BDWP 2:8, by both models.

    Where a stage sees few refreshes it matters when the first one comes: the reference is the mean over so many moments
    that all of them together meet some dozens.

    Parameters
    ----------
    count : stages, of those that move at most ``most_bursts``.
    kind : of memory.
    """
    from gossamer_compiler.training import compile_training
    from gossamer_models.dram import load_dram
    from gossamer_models.methods import METHODS
    from gossamer_models.network import load_network
    from gossamer_models.sparsity import Pattern
    from gossamer_models.timing.dram import Dram
    from gossamer_sim.memory import EpochMemory
    from gossamer_sim.stage import ledger, run_stage

    program = compile_training(load_network(network), batch, METHODS["bdwp"], Pattern.parse("2:8"), architecture)
    dram = load_dram(kind)
    epochs = EpochMemory(Dram(architecture, dram))
    left = count
    for stage in sample_stages(program, len(program.stages), seed):
        run = run_stage(stage, architecture, epochs)
        account = ledger(stage, run, architecture.array.macs_per_cycle)
        moved = run.per_engine(lambda work: work.size_bytes)
        bursts = sum(moved.values()) // dram.burst_bytes
        if bursts > most_bursts:
            continue
        found = _reference_cycles(stage, architecture, dram, account.total)
        yield StageError(network, stage.layer, stage.stage, bursts, account.dram / account.total, account.total, found)
        left -= 1
        if not left:
            return


def _reference_cycles(stage: "StageProgram", architecture: "Architecture", dram: "DramTable", about: int) -> float:
    from gossamer_sim.bank_memory import BankMemory
    from gossamer_sim.stage import run_stage

    starts = _first_refreshes(dram.refresh_clocks.interval, about * dram.clock_hz // architecture.clock_hz)
    runs = [run_stage(stage, architecture, BankMemory(architecture, dram, start)) for start in starts]
    return sum(run.barrier_cycles + sum(run.occupancy) for run in runs) / len(runs)


def _first_refreshes(interval: int, about: int) -> Sequence[int | None]:
    """Clocks to the first refresh of every run of a stage of about so many; None if it meets many anyway."""
    if about >= _FEW_REFRESHES * interval:
        return [None]
    moments = max(_LEAST_MOMENTS, -(-_MET_REFRESHES * interval // about))
    return [(2 * number + 1) * interval // (2 * moments) for number in range(moments)]


def document(found: Mapping[str, Sequence[StageError]]) -> str:
    """Return a table per kind of memory in Markdown, the largest error first, and what all was measured with."""
    lines = [
        "# Epoch models against the bank-level reference",
        "",
        f"Written by `{BENCH}`: {_STAGES} stages drawn at random of each of {len(_NETWORKS)} networks, among those",
        f"that move at most {_MOST_BURSTS / 1e6:g} million bursts; one training iteration by BDWP 2:8, batch {_BATCH},",
        f"on `{_ARCHITECTURE}`. A model charges a stage in closed form; its reference walks every burst, by the same",
        "rules for all three kinds. [memory.md](memory.md) says what both do.",
        "",
    ]
    header = ("layer", "stage", "bursts", "DRAM alone", "cycles", "cycles of the reference", "error")
    for kind, errors in found.items():
        rows = [
            (
                f"{e.network} {e.layer}", e.stage, f"{e.bursts:,}", f"{e.dram_share:.0%}",
                f"{e.epoch_cycles:,}", f"{e.reference_cycles:,.0f}", f"{e.error:+.2%}",
            )
            for e in sorted(errors, key=lambda e: -abs(e.error))
        ]  # fmt: skip
        lines += [f"## {kind}", "", summary(errors), "", *table(header, rows), ""]
    return "\n".join([*lines, *provenance()]) + "\n"


def summary(errors: Sequence[StageError]) -> str:
    """Return the mean, the worst and how many are within the bound, in one line."""
    worst = max(errors, key=lambda e: abs(e.error))
    mean = sum(abs(e.error) for e in errors) / len(errors)
    within = sum(abs(e.error) <= _BOUND for e in errors)
    return (
        f"{within} of {len(errors)} layers within {_BOUND:.0%}; mean error {mean:.2%}, "
        f"worst {worst.error:+.2%} ({worst.network} {worst.layer}, {worst.stage})"
    )


def memory_errors() -> Iterator[Measurement]:
    """Compare each closed form with its reference on sampled stages of the ready networks, and write all down."""
    from gossamer_models.architecture import load_architecture

    architecture = load_architecture(_ARCHITECTURE)
    found = dict[str, list[StageError]]()
    for kind in _KINDS:
        errors = [e for network in _NETWORKS for e in stage_errors(network, _BATCH, _STAGES, architecture, kind)]
        found[kind] = errors
        yield Measurement(
            f"memory model {kind} against its bank-level reference, {len(_NETWORKS)} networks, batch {_BATCH}, "
            f"{_ARCHITECTURE}; every layer in {_DOCUMENT}",
            summary(errors),
            f"at least 50 layers within {_BOUND:.0%}",
        )
    _DOCUMENT.write_text(document(found), encoding="utf-8")
