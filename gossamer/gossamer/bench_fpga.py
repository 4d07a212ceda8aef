"""What ``make bench-fpga`` runs: resources and clock of whole machines on FPGAs; writes ``docs/fpga.md``.

The first run takes hours; what the tools find is cached by the text that it comes from. A machine that is not measured
keeps its section.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossamer.bench_record import Measurement, provenance, sections, table
from gossamer.commands import PASSED, Parser, command, read_arguments
from gossamer.printing import Printer

if TYPE_CHECKING:
    from gossamer_hw.fpga.parts import Part, Use
__all__ = ["clocks", "main", "resources", "whole_machines"]

_DOCUMENT: Final = Path("docs") / "fpga.md"
_SMALL: Final = ("tiny-4x4", "wide-4x4", "lean-4x4")
_LARGE: Final = ("vu9p-32x32",)
_PLACED: Final = ("tiny-4x4", "lean-4x4")
_COMMAND: Final = "make bench-fpga"
_WARNING: Final = 0.75
_GOAL_HZ: Final = 80e6
_HEADER: Final = ("part of the machine", "LUT", "FF", "DSP", "block RAM", "UltraRAM")


def resources(uses: Mapping[str, "Use"], part: "Part") -> list[str]:
    """Return a table: a row per engine, their sum, what the part has, shares; a warning for those above 75 %."""
    from gossamer_hw.fpga.parts import Use, shares

    total = sum(uses.values(), Use())
    found = shares(total, part)
    rows = [*uses.items(), ("sum", total), (f"{part.name} has", part.has)]
    lines = [(_plain(name), *map(_number, _amounts(use))) for name, use in rows]
    lines.append(("share", *(f"{found[name]:.0%}" if name in found else "-" for name in _HEADER[1:])))
    text = table(_HEADER, lines)
    for name, share in found.items():
        if share > 1:
            text += ["", f"**Does not fit**: {share:.0%} of the {name}s that {part.name} has."]
        elif share > _WARNING:
            text += ["", f"**Warning**: {share:.0%} of the {name}s that {part.name} has."]
    return text


def clocks(
    verilog: str, uses: Mapping[str, "Use"], part: "Part", engines: Sequence[str | None], *, seed: int = 1
) -> list[str]:
    """Place and route engines alone; return a table of clocks and of what is taken, or nothing.

    Parameters
    ----------
    uses : what the engines take.
    engines : instances to place alone; None is the whole machine, left out where it does not fit.
    seed : of the placer; rows name it unless it is 1.
    """
    from gossamer_hw.fpga.parts import Use, placed, shares
    from gossamer_hw.fpga.resources import SynthesisError
    from gossamer_hw.generate import TOP_MODULE

    fits = max(shares(sum(uses.values(), Use()), part).values()) <= 1
    rows = []
    for engine in engines if fits else filter(None, engines):
        start = time.monotonic()
        try:
            found = placed(verilog, top=TOP_MODULE, engine=engine, seed=seed, goal_hz=_GOAL_HZ)
            clock, amounts = _clock(found.clock_hz), [_number(amount) for amount in _amounts(found.use)[:4]]
        except SynthesisError as error:
            clock, amounts = _reason(error), ["-"] * 4
        name = _plain(engine or "whole machine") + (f", seed {seed}" if seed != 1 else "")
        rows.append((name, clock, _clock(_GOAL_HZ, 0), *amounts))
        Printer(highlight=False, markup=False).print(f"{time.monotonic() - start:4.0f} s  {', '.join(rows[-1])}")
    return table(("placed and routed", "clock", "target", *_HEADER[1:5]), rows) if rows else []


def whole_machines() -> Iterator[Measurement]:
    """Place and route small machines on an LFE5U-85F, most of an hour each if no cache has it."""
    from gossamer_hw.fpga.parts import LFE5U_85F, placed, shares
    from gossamer_hw.fpga.resources import SynthesisError
    from gossamer_hw.generate import TOP_MODULE

    for name in _PLACED:
        verilog, _ = _measure(name, LFE5U_85F)
        try:
            found = placed(verilog, top=TOP_MODULE, goal_hz=_GOAL_HZ)
        except SynthesisError as error:
            figure = _reason(error)
        else:
            share, amounts = shares(found.use, LFE5U_85F), dict(zip(_HEADER[1:], _amounts(found.use), strict=True))
            taken = (f"{_number(amounts[what])} {what} ({share[what]:.0%})" for what in _HEADER[1:5])
            figure = f"{_clock(found.clock_hz)}; {', '.join(taken)}"
        yield Measurement(
            f"the whole of {name}, placed and routed on an {LFE5U_85F.name}",
            figure,
            _clock(_GOAL_HZ, 0),
            f"python -m gossamer.bench_fpga {name}",
        )


@command
def main() -> int:
    """Measure, then write the document."""
    parser = Parser(prog="python -m gossamer.bench_fpga", description=__doc__)
    known = (*_SMALL, *_LARGE)
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=f"{', '.join(known)}; default all of them")
    parser.add_argument("--clock", action="append", default=[], metavar="ENGINE", help="place this engine alone too")
    parser.add_argument("--unplaced", action="store_true", help="do not place the whole machine")
    parser.add_argument("--seed", type=int, default=1, help="of the placer: another one where the router stands still")
    arguments = read_arguments(parser, None)
    if unknown := sorted(set(arguments.machines) - set(known)):
        parser.error(f"there is no machine {unknown[0]!r} here: {', '.join(known)}")
    from gossamer_hw.fpga.parts import LFE5U_85F, VU9P

    found = sections(_DOCUMENT.read_text(encoding="utf-8")) if _DOCUMENT.exists() else {}
    for name in arguments.machines or known:
        part = LFE5U_85F if name in _SMALL else VU9P
        verilog, uses = _measure(name, part)
        lines = [f"## {name} on {part.name}", "", *resources(uses, part), ""]
        instances = {_plain(engine): engine for engine in uses}
        if strange := sorted(set(arguments.clock) - instances.keys()):
            parser.error(f"{name} has no engine {strange[0]!r}: {', '.join(instances)}")
        placing = [*(instances[engine] for engine in arguments.clock), *([] if arguments.unplaced else [None])]
        if part is LFE5U_85F and (found_clocks := clocks(verilog, uses, part, placing, seed=arguments.seed)):
            lines += [*found_clocks, ""]
        found |= sections("\n".join([*lines, *provenance()]))
    ordered = [text for name in known for title, text in found.items() if title.startswith(f"{name} ")]
    _DOCUMENT.write_text("\n".join([*_introduction(), *ordered]), encoding="utf-8")
    return PASSED


def _measure(name: str, part: "Part") -> tuple[str, dict[str, "Use"]]:
    from gossamer_hw.cosim.texts import cached_text
    from gossamer_hw.fpga.parts import machine_use
    from gossamer_hw.generate import TOP_MODULE, machine_verilog
    from gossamer_models.architecture import load_architecture

    architecture = load_architecture(name)
    verilog = cached_text(lambda: machine_verilog(architecture), architecture.model_dump_json(), "machine")
    return verilog, machine_use(verilog, part, top=TOP_MODULE)


def _introduction() -> list[str]:
    return [
        "# Machines on FPGAs",
        "",
        f"Written by `{_COMMAND}`, or one by one by `python -m gossamer.bench_fpga MACHINE`: open synthesis,",
        "place and route. Engines of ECP5 are synthesised flat, one by one, without multiplexers between lookup",
        "tables. On UltraScale+ modules are synthesised one by one and not flattened, large ones once and alone,",
        "so lookup tables are an upper estimate; buffers are counted by arithmetic: a memory takes UltraRAM where",
        "one stands for at least four block RAMs (of 36 kbit; halves are 18 kbit). Block RAM of ECP5 has 18 kbit,",
        "and a DSP is one multiplier of 18 x 18. A machine without a table of clocks is mapped only. Clocks are",
        "those of speed grade 8, of a module between registers that feed its ports, which count. What is placed",
        "takes its carry chains' ends too.",
        "",
    ]


def _amounts(use: "Use") -> tuple[float, ...]:
    return use.luts, use.flip_flops, use.dsps, use.block_rams, use.ultra_rams


def _plain(engine: str) -> str:
    """Two engines of the same form have numbers behind their names."""
    return engine.partition("$")[0]


def _clock(hertz: float, digits: int = 1) -> str:
    return f"{hertz / 1e6:.{digits}f} MHz"


def _reason(error: Exception) -> str:
    """Why there is no clock."""
    return str(error).splitlines()[-1]


def _number(amount: float) -> str:
    return f"{amount:,.1f}".removesuffix(".0")


if __name__ == "__main__":
    raise SystemExit(main())
