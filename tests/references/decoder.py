"""Second decoder of the instruction set, independent of the first.

Written from the reference document: its tables are copied here by hand (name, offset in bits, width in bits, ``s`` if
signed) and nothing of the project is imported, so that a field that moves without notice fails a test.
"""

Fields = dict[str, int]
Decoded = dict[str, int | list[Fields]]

INSTRUCTION_BYTES = 192

_HEADER = "wait 8 18 | signal 26 18 | advance 44 8"
_MODIFIER = "field 0 7 | kind 7 2 | levels 9 4 | value 13 40s"
_DIM = "count 0 16 | mem_stride 16 32 | buf_stride 48 24 | axis 72 2 | weight 74 16"
# First bit, bits from one to the next, number of them.
_MODIFIERS = (52, 53, 10)
_DIMS = (802, 90, 8)

_OPCODES: dict[int, tuple[str, str]] = {
    1: (
        "STAGE",
        """
    length 582 16 | credits 598 72
    """,
    ),
    2: (
        "LOOP",
        """
    level 582 2 | count 584 32
    """,
    ),
    3: (
        "END_LOOP",
        """
    level 582 2
    """,
    ),
    16: (
        "LOAD",
        """
    buffer 582 4 | format 586 2 | index_dim 588 4 | transpose 592 1 | convert 593 1 | mem_base 594 40s
    buf_base 634 24 | axis0_base 658 24s | axis0_bound 682 24 | axis1_base 706 24s | axis1_bound 730 24
    axis2_base 754 24s | axis2_bound 778 24 | index_high 1522 4
    """,
    ),
    17: (
        "STORE",
        """
    buffer 582 4 | format 586 2 | index_dim 588 4 | transpose 592 1 | convert 593 1 | mem_base 594 40s
    buf_base 634 24 | axis0_base 658 24s | axis0_bound 682 24 | axis1_base 706 24s | axis1_bound 730 24
    axis2_base 754 24s | axis2_bound 778 24 | index_high 1522 4
    """,
    ),
    32: (
        "GEMM",
        """
    log2_li 582 3 | log2_lj 585 3 | entries 588 5 | entries_last 593 5 | last_level 598 2 | chunk_words 600 10
    accumulate 610 1 | i2 611 16 | i1 627 16 | i0 643 16 | j 659 16 | r2 675 16 | r1 691 16 | r0 707 16
    li_last 723 5 | rows_level 728 2 | rows_last 730 9 | a_base 739 24s | a_i2 763 24s | a_i1 787 24s
    a_i0 811 24s | a_li 835 24s | a_j 859 24s | a_r2 883 24s | a_r1 907 24s | a_r0 931 24s | b_base 955 24
    b_j 979 24 | b_r2 1003 24s | b_r1 1027 24s | b_r0 1051 24 | acc_base 1075 24 | y_base 1099 20s | y_i2 1119 16s
    y_i1 1135 16s | y_i0 1151 16s | y_li 1167 16s | y_level 1183 2 | y_shift 1185 3 | y_negative 1188 1
    y_size 1189 20 | x_base 1209 20s | x_i2 1229 16s | x_i1 1245 16s | x_i0 1261 16s | x_li 1277 16s
    x_level 1293 2 | x_shift 1295 3 | x_negative 1298 1 | x_size 1299 20 | dataflow 1319 1 | log2_lr 1320 2
    a_lr 1322 24s | b_lr 1346 24 | y_lr 1370 16s
    """,
    ),
    48: (
        "PRUNE",
        """
    keep 582 5 | of 587 5 | axis 592 1 | n2 593 16 | n1 609 16 | n0 625 16 | valid 641 24 | source 665 24
    values 689 24 | metadata 713 24 | mode 737 3 | seed 740 32 | word 772 32 | factor 804 16
    """,
    ),
    64: (
        "VECTOR",
        """
    op 582 6 | flags 588 12 | format 600 2 | count 602 32 | source0 634 24 | source1 658 24 | source2 682 24
    target0 706 24 | target1 730 24 | target2 754 24 | parameter 778 24 | channels 802 24 | channel_low 826 16
    channel_mid_period 842 32 | channel_mid_count 874 16 | channel_high_period 890 32 | size 922 32
    samples 954 24 | sample_period 978 32 | height 1010 16 | width 1026 16 | kernel 1042 8 | kernel_x 1050 8
    stride 1058 8 | padding 1066 8 | keep 1074 5 | of 1079 5 | scalar0 1084 32 | scalar1 1116 32
    scalar2 1148 32 | scalar3 1180 32 | scalar4 1212 32 | found 1244 12 | found_mode 1256 2
    """,
    ),
}


def decode(data: bytes) -> tuple[str, Decoded]:
    """Name and fields of an instruction; structures behind the last one in use are left out."""
    if len(data) != INSTRUCTION_BYTES:
        raise ValueError(f"{len(data)} bytes")
    name, table = _OPCODES[data[0]]
    fields: Decoded = {**_scalars(data, _HEADER, 0), **_scalars(data, table, 0)}
    fields["modifiers"] = _array(data, _MODIFIER, *_MODIFIERS)
    if name in ("LOAD", "STORE"):
        fields["dims"] = _array(data, _DIM, *_DIMS)
    return name, fields


def _array(data: bytes, table: str, first: int, step: int, count: int) -> list[Fields]:
    items = [_scalars(data, table, first + number * step) for number in range(count)]
    while items and not any(items[-1].values()):
        items.pop()
    return items


def _scalars(data: bytes, table: str, base: int) -> Fields:
    fields = {}
    for cell in table.replace("\n", "|").split("|"):
        if cell.strip():
            name, offset, width = cell.split()
            fields[name] = _bits(data, base + int(offset), int(width.rstrip("s")), width.endswith("s"))
    return fields


def _bits(data: bytes, offset: int, width: int, signed: bool) -> int:
    value = 0
    for position in range(width):
        byte, bit = divmod(offset + position, 8)
        value += (data[byte] >> bit & 1) * (1 << position)
    return value - (1 << width) if signed and value >= 1 << (width - 1) else value
