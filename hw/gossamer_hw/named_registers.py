"""Registers of a machine by their names, over a bus that knows byte offsets."""

from enum import IntEnum
from typing import Protocol, TypeVar

from gossamer_models.errors import GossamerError
from gossamer_models.registers import REGISTERS

__all__ = ["AsyncBus", "Bus", "NamedRegisters", "member", "part"]

_Member = TypeVar("_Member", bound=IntEnum)


class Bus(Protocol):
    """Registers, as a PCIe BAR or PYNQ's MMIO gives them."""

    def read32(self, offset: int, /) -> int:
        """Read the register at a byte offset."""

    def write32(self, offset: int, value: int, /) -> None:
        """Write the register at a byte offset."""


class AsyncBus(Protocol):
    """The same in coroutines, as a bench's bus master gives them."""

    async def read32(self, offset: int, /) -> int:
        """Read the register at a byte offset."""

    async def write32(self, offset: int, value: int, /) -> None:
        """Write the register at a byte offset."""


class NamedRegisters:
    """Reads and writes registers by name.

    Parameters
    ----------
    bus : accesses them by byte offset.
    """

    def __init__(self, bus: AsyncBus) -> None:
        self._bus = bus

    async def read(self, name: str) -> int:
        """Read a register.

        Raises
        ------
        GossamerError
            It has bits that do not exist: what answers, if anything does, is no machine.
        """
        register = REGISTERS[name]
        value = await self._bus.read32(register.offset)
        if value >> register.width_bits:
            raise GossamerError(f"no machine answers on this bus: {name} reads {value:#x}, bits that it does not have")
        return value

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        await self._bus.write32(REGISTERS[name].offset, value)

    async def read_wide(self, name: str) -> int:
        """Read both halves of a value; again if the high one has moved on meanwhile."""
        high = await self.read(f"{name}_HIGH")
        while True:
            low = await self.read(f"{name}_LOW")
            again = await self.read(f"{name}_HIGH")
            if again == high:
                return high << 32 | low
            high = again

    async def write_wide(self, name: str, value: int) -> None:
        """Write both halves of a value, low half first."""
        await self.write(f"{name}_LOW", value & 0xFFFFFFFF)
        await self.write(f"{name}_HIGH", value >> 32)


def part(register: str, name: str, value: int) -> int:
    """Field of a register's value."""
    field = next(field for field in REGISTERS[register].fields if field.name == name)
    return value >> field.offset_bits & ((1 << field.width_bits) - 1)


def member(kind: type[_Member], register: str, name: str, value: int) -> _Member:
    """Field of a register's value that is one of a few numbers.

    Raises
    ------
    GossamerError
        It is none of them: what answers is no machine.
    """
    number = part(register, name, value)
    if number not in set(kind):
        raise GossamerError(f"no machine answers on this bus: {register} reads {value:#x}, whose {name} is none")
    return kind(number)
