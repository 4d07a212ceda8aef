"""Planted bugs: one wrong line each, and the test that must notice it.

Golden, simulator and RTL share the ISA, the numerics, the timing formulas and the compiler, so an error there agrees
with itself everywhere. Each fault below is such an error, or one that a single executor could hide.
"""

from tests.planted.compiler_faults import COMPILER_FAULTS
from tests.planted.fault import Fault
from tests.planted.hardware_faults import HARDWARE_FAULTS
from tests.planted.render_engine_faults import RENDER_ENGINE_FAULTS
from tests.planted.render_faults import RENDER_FAULTS
from tests.planted.simulator_faults import SIMULATOR_FAULTS

__all__ = ["FAULTS"]

_ISA = (
    Fault(
        "opcode takes nine bits in encoder and decoder alike",
        "models/gossamer_models/isa/encoding.py",
        "OPCODE_BITS = 8",
        "OPCODE_BITS = 9",
        "tests/models/isa/test_encoding.py::test_loop_by_hand",
    ),
    Fault(
        "negative fields are decoded without their sign",
        "models/gossamer_models/isa/encoding.py",
        "raw >> (width - 1):",
        "raw >> width:",
        "tests/models/isa/test_encoding.py::test_decoding_undoes_encoding",
    ),
    Fault(
        "a LAST modifier acts one iteration too late",
        "models/gossamer_models/isa/loops.py",
        "counters[level] == counts[level] - 1",
        "counters[level] == counts[level]",
        "tests/models/isa/test_loops.py::test_first_and_last_need_all_their_levels",
    ),
    Fault(
        "a modifier of a mask replaces the bits that were set",
        "models/gossamer_models/isa/loops.py",
        "old | modifier.value if name",
        "modifier.value if name",
        "tests/models/isa/test_loops.py::test_first_and_last_need_all_their_levels",
    ),
)

_TIMING = (
    Fault(
        "chunks beside others end when these do",
        "models/gossamer_models/timing/pipeline.py",
        " + last_drain + (chunks - 1) * slots",
        " + last_drain",
        "tests/models/timing/test_gemm.py::test_boxes_chunks_and_cycles_equal_the_walk[0]",
    ),
    Fault(
        "a short chunk waits one step too few for its drain",
        "models/gossamer_models/timing/gemm.py",
        "np.maximum(drain_steps - entries, 0)",
        "np.maximum(drain_steps - 1 - entries, 0)",
        "tests/models/timing/test_gemm.py::test_boxes_chunks_and_cycles_equal_the_walk[0]",
    ),
    Fault(
        "the last tap inside the image is taken for padding",
        "models/gossamer_models/timing/boxes.py",
        "min(final + 1, self.extent)",
        "min(final, self.extent)",
        "tests/models/timing/test_gemm.py::test_boxes_chunks_and_cycles_equal_the_walk[0]",
    ),
    Fault(
        "weights come back for a sum that has just left the chain",
        "models/gossamer_models/timing/weight_stationary.py",
        "array.rows * array.add_latency_cycles + 2,",
        "array.rows * array.add_latency_cycles + 1,",
        "tests/models/timing/test_weight_stationary.py::test_bits_and_cycles_equal_the_stepped_array",
    ),
    Fault(
        "a weight gradient forgets how many input channels there are in the last rows",
        "compiler/gossamer_compiler/gradient_tiles.py",
        "return min(array.rows, unit.in_blocks * BLOCK - (blocks - 1) * array.rows)",
        "return min(array.rows, unit.in_blocks * BLOCK - blocks * array.rows + 8)",
        "tests/system/test_dataflows.py::test_a_step_has_the_same_bits",
    ),
    Fault(
        "a gemm instruction starts one cycle early",
        "models/gossamer_models/timing/pipeline.py",
        "GEMM_START_CYCLES = 11",
        "GEMM_START_CYCLES = 10",
        "tests/hw/gemm/test_machine.py::test_instructions_on_a_machine[2x4]",
    ),
    Fault(
        "elements on the upper bound of an axis are not counted",
        "models/gossamer_models/timing/transfer.py",
        "range(decided, min(count, limit // weight + 1))",
        "range(decided, min(count, limit // weight))",
        "tests/models/timing/test_transfer.py::test_bytes_equal_enumeration",
    ),
    Fault(
        "the last beats of a transfer cost nothing",
        "models/gossamer_models/timing/transfer.py",
        "-(-shape.pieces(memory.port_bits // 8) // memory.ports)",
        "shape.pieces(memory.port_bits // 8) // memory.ports",
        "tests/models/timing/test_transfer.py::test_ideal_cycles",
    ),
    Fault(
        "groups that do not fill the prune lanes cost nothing",
        "models/gossamer_models/timing/prune.py",
        "steps = -(-_WORDS * blocks // lanes)",
        "steps = _WORDS * blocks // lanes",
        "tests/models/timing/test_prune_remainder.py::test_last_cycle_may_be_part_full",
    ),
)

_NUMERICS = (
    Fault(
        "of equal magnitudes the higher index survives",
        "models/gossamer_models/sparsity.py",
        "(m - 1 - np.arange(length) % m)",
        "np.arange(length) % m",
        "tests/models/test_sparsity.py::test_ties_go_to_the_lower_index_and_nan_wins",
    ),
    Fault(
        "a ragged last word keeps more than N",
        "models/gossamer_models/sparsity.py",
        "min(pattern.n, rest)",
        "rest",
        "tests/models/test_sparsity.py::test_entries_in_last_word_by_hand",
    ),
    Fault(
        "an entry's index counts within its group of M, not within the word",
        "models/gossamer_models/sparsity.py",
        "np.where(valid, order, 0)",
        "np.where(valid, order % pattern.m, 0)",
        "tests/models/test_sparsity.py::test_round_trip_keeps_every_bit",
    ),
    Fault(
        "exact sums round ties away from zero",
        "models/gossamer_models/numerics/exact.py",
        "shift and kept & 1)",
        "shift)",
        "tests/models/numerics/test_exact.py::test_ties_go_to_even",
    ),
    Fault(
        "bf16 rounds ties away from zero",
        "models/gossamer_models/numerics/formats.py",
        "(np.uint32(0x7FFF) + ((pattern >> np.uint32(16)) & np.uint32(1)))",
        "np.uint32(0x8000)",
        "tests/models/numerics/test_formats.py::test_to_bf16_by_hand",
    ),
    Fault(
        "a NaN keeps the pattern that the host's processor gives it",
        "models/gossamer_models/numerics/accumulate.py",
        "canonical(np.add(product, acc, dtype=np.float32))",
        "np.add(product, acc, dtype=np.float32)",
        "tests/models/numerics/test_accumulate.py::test_specials",
    ),
    Fault(
        "magnitudes of fp32 compare by their upper bits only",
        "models/gossamer_models/numerics/formats.py",
        "x.astype(np.float32, copy=False).view(np.uint32) & np.uint32(0x7FFFFFFF)",
        "x.astype(np.float32, copy=False).view(np.uint32) & np.uint32(0x7FFF0000)",
        "tests/models/test_sparsity.py::test_mask_of_fp32_sees_all_its_bits",
    ),
    Fault(
        "the reciprocal leaves out its last correction",
        "models/gossamer_models/numerics/special.py",
        "(e * (_ONE + e * (_ONE + e)))",
        "(e * (_ONE + e))",
        "tests/models/numerics/test_special.py::test_reciprocal_of_every_significand[0]",
    ),
    Fault(
        "a merged exact sum forgets the infinities of its second part",
        "models/gossamer_models/numerics/exact.py",
        "self.plus | other.plus",
        "self.plus",
        "tests/models/numerics/test_exact_merge.py::test_a_special_term_of_either_part_stays",
    ),
)

_GOLDEN = (
    Fault(
        "chunks side by side are added the other way round",
        "models/gossamer_models/golden/gemm_engine.py",
        "np.arange(r0.size) // length % g.lr",
        "(-1 - np.arange(r0.size) // length) % g.lr",
        "tests/models/golden/test_gemm_engine.py::test_chunks_side_by_side_are_added_in_their_order",
    ),
    Fault(
        "entries of a word's second block have the index of the first one's",
        "models/gossamer_models/golden/transfer.py",
        "BLOCK * int(indexed and number == instruction.index_high)",
        "0 * int(indexed and number == instruction.index_high)",
        "tests/models/golden/test_transfer.py::test_words_of_sixteen_have_their_index_from_two_dimensions",
    ),
    Fault(
        "masters are ranked within blocks of eight where groups are larger",
        "models/gossamer_models/golden/vector_elementwise.py",
        "if v.of <= BLOCK:",
        "if v.keep <= BLOCK:",
        "tests/system/test_training_step.py::test_masters_are_ranked_in_groups_of_sixteen",
    ),
    Fault(
        "later chunks replace the sum of the earlier ones",
        "models/gossamer_models/golden/gemm.py",
        "acc if total is None else add(acc, total)",
        "acc",
        "tests/models/golden/test_gemm.py::test_chunks_are_counted_in_positions_and_change_the_sum",
    ),
    Fault(
        "padding is multiplied, so 0 times infinity appears",
        "models/gossamer_models/golden/gemm.py",
        "product[a_skip[:, word]] = 0",
        "product[a_skip[:, word]] *= 0",
        "tests/models/golden/test_gemm.py::test_invalid_words_and_entries_never_multiply",
    ),
    Fault(
        "accumulator slots are numbered li * Lj + lj",
        "models/gossamer_models/golden/gemm_engine.py",
        "reshape(-1, g.lj, g.li, array.rows, array.columns)",
        "reshape(-1, g.li, g.lj, array.rows, array.columns).swapaxes(1, 2)",
        "tests/models/golden/test_gemm_engine.py::test_random_instructions",
    ),
    Fault(
        "a transfer bounds its second axis by the first one's limit",
        "models/gossamer_models/golden/transfer.py",
        "instruction.axis1_base, instruction.axis1_bound",
        "instruction.axis1_base, instruction.axis0_bound",
        "tests/models/golden/test_transfer.py::test_load_follows_the_loops",
    ),
    Fault(
        "a piece of fp16 that becomes fp32 takes a whole data word of DRAM",
        "models/gossamer_models/timing/dma.py",
        "most = width_bytes * min(transfer.memory_format.bytes, size_bytes) // size_bytes",
        "most = width_bytes",
        "tests/models/timing/test_dma.py::test_plan",
    ),
    Fault(
        "pruning runs along the other axis of a block",
        "models/gossamer_models/golden/prune.py",
        "(0, 2, 4, 1, 3) if p.axis == 0",
        "(0, 2, 3, 1, 4) if p.axis == 0",
        "tests/models/golden/test_prune.py::test_prune",
    ),
    Fault(
        "an element is drawn that begins behind the last point",
        "models/gossamer_models/sampling.py",
        "(below <= point) & (point < above)",
        "(below <= point) & (point <= above)",
        "tests/models/test_sampling.py::test_every_bit_by_the_definition",
    ),
    Fault(
        "a group takes a larger part of the random word than there is",
        "models/gossamer_models/sampling.py",
        "start = random * total >> RANDOM_BITS",
        "start = random * total >> RANDOM_BITS - 1",
        "tests/models/test_sampling.py::test_mean_of_adversarial_groups",
    ),
    Fault(
        "sampled lines along the first axis take the random words of the second",
        "models/gossamer_models/golden/prune.py",
        "parts.transpose((0, 2, 3, 1, 4) if p.axis == 0",
        "parts.reshape(p.n2, p.n0, p.n1, 8, -1).transpose((0, 1, 3, 2, 4) if p.axis == 0",
        "tests/models/golden/test_prune.py::test_unbiased_prune_takes_each_group_with_its_own_random_word",
    ),
    Fault(
        "of equal elements in a pooling window the last one wins",
        "models/gossamer_models/golden/vector_pool.py",
        "(value > best)",
        "(value >= best)",
        "tests/models/golden/test_vector_pool.py::test_max_pool_and_gradient",
    ),
    Fault(
        "what lies between bytes that are written counts as written",
        "models/gossamer_models/golden/state.py",
        "written[places] = True",
        "written[_around(places)] = True",
        "tests/models/golden/test_state.py::test_a_scattered_load_leaves_gaps",
    ),
    Fault(
        "a stage finds what the one before has written",
        "models/gossamer_models/golden/state.py",
        "self._written[buffer][:] = False",
        "self._written[buffer][:] |= False",
        "tests/models/golden/test_state.py::test_a_stage_forgets_all_but_parameters",
    ),
    Fault(
        "entries of words that count in no row must have been written",
        "models/gossamer_models/golden/gemm_engine.py",
        "address[used & words[:, None, None]]",
        "address[used]",
        "tests/models/golden/test_state.py::test_a_product_uses_what_counts",
    ),
    Fault(
        "an element without parameters counts as written",
        "models/gossamer_models/golden/vector_operands.py",
        "return factors[:, channels], known[channels]",
        "return factors[:, channels], known[channels] | True",
        "tests/models/golden/test_state.py::test_elements_without_parameters_are_not_written",
    ),
    Fault(
        "an instruction does not take the tokens that it waits for",
        "models/gossamer_models/golden/executor.py",
        "for semaphore in _semaphores(instruction.wait):\n            self._tokens[semaphore] -= 1",
        "for semaphore in _semaphores(instruction.wait):\n            self._tokens[semaphore] -= 0",
        "tests/models/golden/test_executor.py::test_any_order_that_tokens_allow_gives_the_same_bits",
    ),
)

FAULTS = (
    *_ISA, *_TIMING, *_NUMERICS, *_GOLDEN, *COMPILER_FAULTS, *SIMULATOR_FAULTS, *RENDER_FAULTS, *HARDWARE_FAULTS,
    *RENDER_ENGINE_FAULTS,
)  # fmt: skip
