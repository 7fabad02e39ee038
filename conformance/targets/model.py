"""The model book as a target: the oracle goes through the same suites as everyone else."""

from __future__ import annotations

from importlib.metadata import version

from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.messages import Command, Event
from matchmark.conformance.targets.base import Instruments, Target, TargetInfo
from matchmark.reference.model import ModelEngine


class ModelTarget(Target):
    """Also the base of every mutant: `engine_class` is what they replace."""

    engine_class: type[ModelEngine] = ModelEngine

    def __init__(self, name: str = "model", instruments: Instruments | None = None) -> None:
        instruments = instruments or Instruments()
        self.info = TargetInfo(name, version("matchmark"), frozenset(MATCHING_CAPABILITIES), instruments)
        self.engine = self.engine_class(
            instruments.symbols,
            price_max=instruments.price_max_ticks,
            quantity_max=instruments.quantity_max_lots,
            emit_top=True,
        )

    def submit(self, command: Command) -> list[Event]:
        return self.engine.submit(command)

    def reset(self) -> None:
        self.engine.reset()
