"""Second decoder of the instruction set, independent of the first.

Written from the reference document: its tables are copied here by hand (name, offset in bits, width in bits, ``s`` if
signed) and nothing of the project is imported, so that a field that moves without notice fails a test.
"""

Fields = dict[str, int]
Decoded = dict[str, int | list[Fields]]

INSTRUCTION_BYTES = 192

_HEADER = "wait 8 16 | signal 24 16 | advance 40 8"
_MODIFIER = "field 0 7 | kind 7 2 | levels 9 4 | value 13 40s"
_DIM = "count 0 16 | mem_stride 16 32 | buf_stride 48 24 | axis 72 2 | weight 74 16"
# First bit, bits from one to the next, number of them.
_MODIFIERS = (48, 53, 10)
_DIMS = (798, 90, 8)

_OPCODES: dict[int, tuple[str, str]] = {
    1: (
        "STAGE",
        """
    length 578 16 | credits 594 64
    """,
    ),
    2: (
        "LOOP",
        """
    level 578 2 | count 580 32
    """,
    ),
    3: (
        "END_LOOP",
        """
    level 578 2
    """,
    ),
    16: (
        "LOAD",
        """
    buffer 578 4 | format 582 2 | index_dim 584 4 | transpose 588 1 | convert 589 1 | mem_base 590 40s
    buf_base 630 24 | axis0_base 654 24s | axis0_bound 678 24 | axis1_base 702 24s | axis1_bound 726 24
    axis2_base 750 24s | axis2_bound 774 24 | index_high 1518 4
    """,
    ),
    17: (
        "STORE",
        """
    buffer 578 4 | format 582 2 | index_dim 584 4 | transpose 588 1 | convert 589 1 | mem_base 590 40s
    buf_base 630 24 | axis0_base 654 24s | axis0_bound 678 24 | axis1_base 702 24s | axis1_bound 726 24
    axis2_base 750 24s | axis2_bound 774 24 | index_high 1518 4
    """,
    ),
    32: (
        "GEMM",
        """
    log2_li 578 3 | log2_lj 581 3 | entries 584 5 | entries_last 589 5 | last_level 594 2 | chunk_words 596 10
    accumulate 606 1 | i2 607 16 | i1 623 16 | i0 639 16 | j 655 16 | r2 671 16 | r1 687 16 | r0 703 16
    li_last 719 5 | rows_level 724 2 | rows_last 726 9 | a_base 735 24s | a_i2 759 24s | a_i1 783 24s
    a_i0 807 24s | a_li 831 24s | a_j 855 24s | a_r2 879 24s | a_r1 903 24s | a_r0 927 24s | b_base 951 24
    b_j 975 24 | b_r2 999 24 | b_r1 1023 24 | b_r0 1047 24 | acc_base 1071 24 | y_base 1095 20s | y_i2 1115 16s
    y_i1 1131 16s | y_i0 1147 16s | y_li 1163 16s | y_level 1179 2 | y_shift 1181 3 | y_negative 1184 1
    y_size 1185 20 | x_base 1205 20s | x_i2 1225 16s | x_i1 1241 16s | x_i0 1257 16s | x_li 1273 16s
    x_level 1289 2 | x_shift 1291 3 | x_negative 1294 1 | x_size 1295 20 | dataflow 1315 1
    """,
    ),
    48: (
        "PRUNE",
        """
    keep 578 5 | of 583 5 | axis 588 1 | n2 589 16 | n1 605 16 | n0 621 16 | valid 637 24 | source 661 24
    values 685 24 | metadata 709 24 | mode 733 2 | seed 735 32 | word 767 32 | factor 799 16
    """,
    ),
    64: (
        "VECTOR",
        """
    op 578 6 | flags 584 10 | format 594 2 | count 596 32 | source0 628 24 | source1 652 24 | source2 676 24
    target0 700 24 | target1 724 24 | target2 748 24 | parameter 772 24 | channels 796 24 | channel_low 820 16
    channel_mid_period 836 32 | channel_mid_count 868 16 | channel_high_period 884 32 | size 916 32
    samples 948 24 | sample_period 972 32 | height 1004 16 | width 1020 16 | kernel 1036 8 | kernel_x 1044 8
    stride 1052 8 | padding 1060 8 | keep 1068 5 | of 1073 5 | scalar0 1078 32 | scalar1 1110 32
    scalar2 1142 32 | scalar3 1174 32 | scalar4 1206 32 | found 1238 12 | found_mode 1250 2
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
