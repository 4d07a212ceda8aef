"""Kinds of an instruction: the few different costs its iterations can have.

An instruction in a loop changes with the loop counters, but mostly in addresses, which take no time. A
:class:`Template` resolves the instruction once per *kind* and says over which iterations of a loop the kind cannot
change, from these rules:

- FIRST and LAST change the kind in the first and the last iteration alone.
- A STEP on the base of a bounded axis (transfer) or of a coordinate (gemm) does not change it as long as nothing is
  clipped on that axis, whatever the base. Bases that clip nothing form an interval.
- A STEP on any other field that takes part in timing may change it at every iteration.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from operator import mul, or_
from typing import TYPE_CHECKING

from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import NO_LEVEL, Gemm, Instruction, Load, ModifierKind, Store
from gossamer_models.isa.loops import field_names, resolve
from gossamer_models.timing.sequencer import Dealing
from gossamer_models.timing.transfer import axis_span
from gossamer_sim.places import TOKENS, timed_modifiers

if TYPE_CHECKING:
    from gossamer_sim.work import Kind

__all__ = ["Range", "Template"]

Range = tuple[int, int]
"""First and last, both included; empty if first > last."""

EVERYTHING: Range = (0, 1 << 62)
NOTHING: Range = (0, -1)

_BASES: dict[type[Instruction], tuple[str, ...]] = {
    Load: ("axis0_base", "axis1_base", "axis2_base"),
    Store: ("axis0_base", "axis1_base", "axis2_base"),
    Gemm: ("y_base", "x_base"),
}
_MAX_VARIANTS = 64


@dataclass(frozen=True, slots=True)
class _Rule:
    """A modifier that takes part in timing."""

    name: str
    kind: int
    levels: tuple[int, ...]
    value: int


@dataclass(frozen=True, slots=True)
class _Stepped:
    """A field as a linear function of the loop counters, and the values between which it clips nothing."""

    name: str
    constant: int
    slopes: tuple[int, ...]
    unclipped: Range

    def at(self, counters: list[int]) -> int | None:
        """Value at the counters, None where it clips nothing."""
        value = self.constant + sum(map(mul, self.slopes, counters))
        return None if self.unclipped[0] <= value <= self.unclipped[1] else value


@dataclass(slots=True)
class _Variant:
    """The instruction under one choice of FIRST and LAST modifiers that act."""

    stepped: tuple[_Stepped, ...]
    kinds: "dict[tuple[int | None, ...], Kind]" = field(default_factory=dict)


class Template:
    """An instruction of a stage, together with its kinds.

    Parameters
    ----------
    instruction : as it stands in the stage, modifiers included.
    counts : iterations of the loops around it, level to count.
    build : gives the kind of an instruction, whose modifiers it leaves alone.
    dealing : how the sequencer moves it.
    repeats : iterations that differ in places alone are of one kind; else every iteration is looked at.

    Members
    -------
    fixed : the kind of all iterations; None if there may be several.
    levels : of the loops that may tell kinds apart, a bit each.
    """

    def __init__(
        self,
        instruction: Instruction,
        counts: dict[int, int],
        build: "Callable[[Instruction], Kind]",
        *,
        dealing: Dealing,
        repeats: bool = True,
    ) -> None:
        names = field_names(type(instruction))
        self._instruction = instruction
        self._counts = dict(counts)
        self._build = build
        self._repeats = repeats
        self.slot_cycles = dealing.slot_cycles(instruction)
        rules = []
        timed = timed_modifiers(instruction)
        for modifier in timed:
            name = names[modifier.field]
            levels = tuple([level for level in range(4) if modifier.levels >> level & 1])
            rules.append(_Rule(name, modifier.kind, levels, modifier.value))
        self.rules = tuple(rules)
        # Where iterations that differ in places alone are of one kind, nobody asks for places.
        self._timed = changed(instruction, modifiers=timed) if repeats else instruction
        self._sensitive = {ModifierKind.STEP: 0, ModifierKind.FIRST: 0, ModifierKind.LAST: 0}
        for rule in rules:
            self._sensitive[ModifierKind(rule.kind)] |= sum([1 << level for level in rule.levels])
        self.levels = reduce(or_, self._sensitive.values())
        self._conditions = tuple(rule for rule in rules if rule.kind != ModifierKind.STEP)
        self._variants: dict[tuple[bool, ...], _Variant] = {}
        self._latest: tuple[list[int], Kind] | None = None
        fixed = not rules if repeats else not instruction.modifiers
        self.fixed = build(instruction) if fixed else None

    def kind(self, counters: list[int]) -> "Kind":
        """Kind of the iteration at the given counters (one per level, those not around it 0)."""
        if self.fixed is not None:
            return self.fixed
        if not self._repeats:
            return self._concrete(counters)
        if self._latest is not None and self._latest[0] == counters:
            return self._latest[1]  # of an equal instruction in the same iteration
        active = tuple([self._acts(rule, counters) for rule in self._conditions])
        variant = self._variant(active)
        key = tuple([stepped.at(counters) for stepped in variant.stepped])
        kind = variant.kinds.get(key)
        if kind is None:
            kind = variant.kinds[key] = self._concrete(counters)
        self._latest = counters.copy(), kind
        return kind

    def _concrete(self, counters: list[int]) -> "Kind":
        counts = {level: self._counts.get(level, 1) for level in range(4)}
        return self._build(resolve(self._timed, dict(enumerate(counters)), counts))

    def sensitive(self, kind: ModifierKind, level: int) -> bool:
        """Whether a modifier of this kind looks at this level."""
        return self._sensitive[kind] >> level & 1 > 0

    def unclipped_range(self, level: int, counters: list[int]) -> Range:
        """Iterations of ``level`` in which no stepped base clips, whatever the counters of the loops inside it.

        It holds between the first and the last iteration, where no FIRST or LAST modifier of the level acts, and for
        every choice of the others.
        """
        if not self.sensitive(ModifierKind.STEP, level):
            return EVERYTHING
        choices = [
            (False,) if rule.name in TOKENS or level in rule.levels else (False, True) for rule in self._conditions
        ]
        if sum(len(choice) > 1 for choice in choices) > _MAX_VARIANTS.bit_length() - 1:
            return NOTHING
        first, last = EVERYTHING
        for active in product(*choices):
            for stepped in self._variant(active).stepped:
                low, high = self._solve(stepped, level, counters)
                first, last = max(first, low), min(last, high)
        return first, last

    def _solve(self, stepped: _Stepped, level: int, counters: list[int]) -> Range:
        slope = stepped.slopes[level]
        if not slope:
            return EVERYTHING
        low = high = stepped.constant
        for other, other_slope in enumerate(stepped.slopes):
            if other < level:
                low += other_slope * counters[other]
                high += other_slope * counters[other]
            elif other > level and other_slope:
                reach = other_slope * (self._counts[other] - 1)
                low, high = low + min(reach, 0), high + max(reach, 0)
        down, up = stepped.unclipped[0] - low, stepped.unclipped[1] - high
        if slope < 0:
            slope, down, up = -slope, -up, -down
        return max(-(-down // slope), 0), up // slope

    def _acts(self, rule: _Rule, counters: list[int]) -> bool:
        if rule.kind == ModifierKind.FIRST:
            return not any(counters[level] for level in rule.levels)
        return all(counters[level] == self._counts[level] - 1 for level in rule.levels)

    def _variant(self, active: tuple[bool, ...]) -> _Variant:
        variant = self._variants.get(active)
        if variant is None:
            variant = self._variants[active] = _Variant(self._stepped(active))
        return variant

    def _stepped(self, active: tuple[bool, ...]) -> tuple[_Stepped, ...]:
        constants: dict[str, int] = {}
        slopes: dict[str, list[int]] = {}
        acting = iter(active)
        for rule in self.rules:
            if rule.kind == ModifierKind.STEP:
                slopes.setdefault(rule.name, [0] * 4)[rule.levels[0]] += rule.value
            elif next(acting) and rule.name not in TOKENS:
                constants[rule.name] = rule.value
                slopes.pop(rule.name, None)
        shape = changed(self._instruction, modifiers=(), **constants)
        only_bases = all(name in _BASES.get(type(shape), ()) for name in slopes)
        return tuple(
            _Stepped(
                name, getattr(shape, name), tuple(slopes[name]), _unclipped(shape, name) if only_bases else NOTHING
            )
            for name in slopes
        )


def _unclipped(shape: Instruction, name: str) -> Range:
    """Values of a base at which nothing is clipped on its axis."""
    if isinstance(shape, Load | Store):
        axis = axis_span(shape, int(name.removeprefix("axis")[0]))
        return 0, axis.bound - 1 - axis.span
    if isinstance(shape, Gemm):
        low, high = _reach(shape, name[0])
        size = shape.y_size if name[0] == "y" else shape.x_size
        return -low, size - 1 - high
    return NOTHING


def _reach(g: Gemm, axis: str) -> Range:
    """Least and greatest coordinate relative to its base, over all tiles, slots and words."""
    level, shift = getattr(g, f"{axis}_level"), getattr(g, f"{axis}_shift")
    terms = [getattr(g, f"{axis}_{name}") * (getattr(g, name) - 1) for name in ("i2", "i1", "i0", "li")]
    if level != NO_LEVEL:
        taps = ((g.r0, g.r1, g.r2)[level] - 1) << shift
        terms.append(-taps if getattr(g, f"{axis}_negative") else taps)
    return sum(min(term, 0) for term in terms), sum(max(term, 0) for term in terms)
