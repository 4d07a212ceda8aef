"""Bit layouts of the numbers inside the array.

Two of them are not IEEE formats. They move work out of the processing element, where it would be paid
rows x columns times, to the edge of the array, where it is paid once per row, column or drain lane.
"""

from amaranth import unsigned
from amaranth.lib import data

__all__ = ["OPERAND_INFINITY", "OPERAND_NAN", "Half", "Operand", "Relaxed", "Single"]

OPERAND_INFINITY = 48
OPERAND_NAN = 49


class Half(data.Struct):
    """IEEE 754 binary16."""

    mantissa: unsigned(10)
    exponent: unsigned(5)
    sign: unsigned(1)


class Operand(data.Struct):
    """A binary16 number normalised for multiplication: every number of binary16 has exactly one code.

    Members
    -------
    mantissa
        Fraction behind a leading one that is always there; 0 for zero, infinity and NaN.
    exponent
        0 is zero, 8 to 47 is ``(1 + mantissa / 2**10) * 2**(exponent - 32)``,
        :data:`OPERAND_INFINITY` and :data:`OPERAND_NAN` are what they say.
        Bits 5 and 4 are both set in the last two only, and bits 5 to 3 are all clear in zero only.
    sign
        Sign of everything but NaN.
    """

    mantissa: unsigned(10)
    exponent: unsigned(6)
    sign: unsigned(1)


class Single(data.Struct):
    """IEEE 754 binary32."""

    mantissa: unsigned(23)
    exponent: unsigned(8)
    sign: unsigned(1)


class Relaxed(data.Struct):
    """binary32 in which exponent 255 is infinity whatever the mantissa, with NaN as a flag beside it.

    Members
    -------
    number : the value, unless ``nan`` is set.
    nan : not a number; ``number`` is then meaningless.
    """

    number: Single
    nan: unsigned(1)
