"""Planted bugs: one wrong line each, and the test that must notice it.

Golden, simulator and RTL share the ISA, the numerics, the timing formulas and the compiler, so an error there agrees
with itself everywhere. Each fault below is such an error, or one that a single executor could hide.
"""

from tests.planted.fault import Fault
from tests.planted.hardware_faults import HARDWARE_FAULTS
from tests.planted.render_faults import RENDER_FAULTS

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
        "a short chunk waits one step too few for its drain",
        "models/gossamer_models/timing/gemm.py",
        "np.maximum(drain_steps - entries, 0)",
        "np.maximum(drain_steps - 1 - entries, 0)",
        "tests/models/timing/test_gemm.py::test_boxes_chunks_and_cycles_equal_the_walk[0]",
    ),
    Fault(
        "the last tap inside the image is taken for padding",
        "models/gossamer_models/timing/gemm.py",
        "min(final + 1, extent)",
        "min(final, extent)",
        "tests/models/timing/test_gemm.py::test_boxes_chunks_and_cycles_equal_the_walk[0]",
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
        "np.uint32(0x7FFFFFFF)",
        "np.uint32(0x7FFF0000)",
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
        "an instruction does not take the tokens that it waits for",
        "models/gossamer_models/golden/executor.py",
        "for semaphore in _semaphores(instruction.wait):\n            self._tokens[semaphore] -= 1",
        "for semaphore in _semaphores(instruction.wait):\n            self._tokens[semaphore] -= 0",
        "tests/models/golden/test_executor.py::test_any_order_that_tokens_allow_gives_the_same_bits",
    ),
)

_COMPILER = (
    Fault(
        "random words of a pruned gradient begin anew in every tile",
        "compiler/gossamer_compiler/sampled.py",
        'step(Prune, "word", level, pixels * words)',
        'step(Prune, "word", level, 0)',
        "tests/system/test_training_step.py::test_digits_cnn[bdwp-mvue]",
    ),
    Fault(
        "a phase of decay prunes FF all the same",
        "compiler/gossamer_compiler/training.py",
        "if method.prunes_forward and not phase.factor else DENSE",
        "if method.prunes_forward else DENSE",
        "tests/system/test_training_step.py::test_random_networks_in_every_phase[300-mdgf]",
    ),
    Fault(
        "height and width of a convolution are swapped",
        "compiler/gossamer_compiler/geometry.py",
        "((a.height, a.width)[axis] for a",
        "((a.width, a.height)[axis] for a",
        "tests/system/test_training_step.py::test_random_networks",
    ),
    Fault(
        "a phase of a strided BP loses its last tap",
        "compiler/gossamer_compiler/geometry.py",
        "-(-(kernel - first) // stride)",
        "(kernel - first) // stride",
        "tests/system/test_training_step.py::test_random_networks",
    ),
    Fault(
        "BP walks its taps forwards",
        "compiler/gossamer_compiler/geometry.py",
        "step=1, direction=-1",
        "step=1, direction=1",
        "tests/system/test_training_step.py::test_random_networks",
    ),
    Fault(
        "chunks of a long reduction are filled up instead of evened out",
        "models/gossamer_models/roles.py",
        "return -(-words // chunks)",
        "return min(words, limit)",
        "tests/models/test_roles.py::test_channel_chunks_are_even_and_short_enough",
    ),
    Fault(
        "WU takes chunks of a fixed length instead of the layer's own",
        "compiler/gossamer_compiler/emit_gradient.py",
        "chunk_words=gradient_chunk_words(self.gemm.gradient.pixels, BLOCK)",
        "chunk_words=512",
        "tests/compiler/test_training_chunks.py::test_chunks_belong_to_the_layer",
    ),
    Fault(
        "interleave slots of a store stand in the wrong order of digits",
        "compiler/gossamer_compiler/channel_tiles.py",
        "mapping.li * array.rows * array.columns * 2\n",
        "array.rows * array.columns * 2\n",
        "tests/system/test_metamorphic.py::test_schedule_changes_no_bit",
    ),
    Fault(
        "a later strip of rows starts at its output row, not at its input row",
        "compiler/gossamer_compiler/emit_channels.py",
        "y_step, x_step = self.mapping.rows * y.step,",
        "y_step, x_step = self.mapping.rows,",
        "tests/system/test_metamorphic.py::test_schedule_changes_no_bit",
    ),
    Fault(
        "a residual without activation passes no gradient on",
        "compiler/gossamer_compiler/training.py",
        "self.gradients.setdefault(node.residual, []).append(gradient)",
        "self.gradients.setdefault(node.residual, [])",
        "tests/system/test_training_step.py::test_random_networks",
    ),
    Fault(
        "of several gradients of one tensor the last one is left out",
        "compiler/gossamer_compiler/training.py",
        "enumerate(parts[1:], 1)",
        "enumerate(parts[1:-1], 1)",
        "tests/system/test_training_step.py::test_random_networks",
    ),
    Fault(
        "a query does not see its own token under a causal mask",
        "models/gossamer_models/golden/vector_attention.py",
        "key > query if",
        "key >= query if",
        "tests/models/golden/test_vector_attention.py::test_every_bit",
    ),
    Fault(
        "the gradient of the queries is made of queries in place of keys",
        "compiler/gossamer_compiler/attention.py",
        "self._tokens(scores, self.keys, queries, turned=False)",
        "self._tokens(scores, self.queries, queries, turned=False)",
        "tests/system/test_transformer_step.py::test_part_of_a_language_model",
    ),
    Fault(
        "the class token gets no gradient",
        "compiler/gossamer_compiler/token_maps.py",
        "in self.tokens and start == 0:",
        "in self.tokens and start == 1:",
        "tests/system/test_transformer_step.py::test_vision",
    ),
    Fault(
        "the sweeps over rows do not overlap",
        "models/gossamer_models/timing/vector_rows.py",
        "(groups + _SWEEPS[VectorOp(g.op)] - 1)",
        "(groups * _SWEEPS[VectorOp(g.op)])",
        "tests/models/timing/test_vector.py::test_rows",
    ),
    Fault(
        "weights step on a gradient that is not finite",
        "models/gossamer_models/golden/vector_elementwise.py",
        "v.found_mode != FoundMode.OBEY or v.found not in machine.found",
        "v.found_mode != FoundMode.OBEY or True",
        "tests/system/test_found_inf.py::test_only_layers_with_finite_gradients_step",
    ),
    Fault(
        "the schedule predicted slowest is chosen",
        "compiler/gossamer_compiler/families.py",
        "for place in np.lexsort(np.concatenate(costs, axis=1)):",
        "for place in np.lexsort(np.concatenate(costs, axis=1))[::-1]:",
        "tests/compiler/test_mapping_choice.py::test_narrow_layers_leave_no_column_idle",
    ),
    Fault(
        "pixels that no tap of a strided BP reaches are left as they were",
        "compiler/gossamer_compiler/multiply.py",
        "emit_zero_phase(builder, phase.y, phase.x, self._any_gemm(real))",
        "pass",
        "tests/system/test_dirty_memory.py::test_old_activations_change_no_bit",
    ),
    Fault(
        "a B buffer is handed back while rows of its last batch block are to come",
        "compiler/gossamer_compiler/emit_channels.py",
        'last(Gemm, "signal", inner, S.B_FREE)',
        'last(Gemm, "signal", inner[:1], S.B_FREE)',
        "tests/compiler/test_training_tokens.py::test_tokens_end_where_they_began",
    ),
)

_SIMULATOR = (
    Fault(
        "a token arrives in the cycle in which it is sent",
        "sim/gossamer_sim/dataflow.py",
        " tokens[bit].append(end + 1)",
        " tokens[bit].append(end)",
        "tests/sim/test_machine.py::test_tokens_arrive_one_cycle_later",
    ),
    Fault(
        "a queue's slot is free in the cycle in which it is emptied",
        "sim/gossamer_sim/dataflow.py",
        "slots.append(start + 1)",
        "slots.append(start)",
        "tests/sim/test_machine.py::test_full_queue_blocks_the_sequencer",
    ),
    Fault(
        "with a clock, a token arrives in the cycle in which it is sent",
        "sim/gossamer_sim/machine.py",
        "tokens.put(now + 1)",
        "tokens.put(now)",
        "tests/sim/test_machine.py::test_tokens_arrive_one_cycle_later",
    ),
    Fault(
        "with a clock, a queue's slot is free in the cycle in which it is emptied",
        "sim/gossamer_sim/machine.py",
        "unit.slots.put(now + 1)",
        "unit.slots.put(now)",
        "tests/sim/test_machine.py::test_full_queue_blocks_the_sequencer",
    ),
    Fault(
        "the barrier does not fetch the stage's header",
        "models/gossamer_models/timing/sequencer.py",
        "BARRIER_CYCLES + _fetch_cycles(address, INSTRUCTION_BYTES, width, transactions)",
        "BARRIER_CYCLES",
        "tests/sim/test_machine.py::test_barrier_fetches_the_stage",
    ),
    Fault(
        "the ledger forgets the barrier",
        "sim/gossamer_sim/stage.py",
        "barrier=run.barrier_cycles,",
        "barrier=0,",
        "tests/sim/test_executor.py::test_ledger_accounts_for_every_cycle",
    ),
    Fault(
        "the periodic shortcut skips one iteration too many",
        "sim/gossamer_sim/walk.py",
        "(last + 1 - index) // period",
        "(last + 2 - index) // period",
        "tests/sim/test_sequencer.py::test_an_image_strip_is_one_kind_inside",
    ),
    Fault(
        "with a clock, the periodic shortcut skips one iteration too many",
        "sim/gossamer_sim/sequencer.py",
        "(last + 1 - index) // period",
        "(last + 2 - index) // period",
        "tests/sim/test_sequencer.py::test_shortcut_equals_the_long_way",
    ),
    Fault(
        "without a clock, what remains of a burst when the pace changes counts as done",
        "sim/gossamer_sim/lanes.py",
        "lane.bursts - amount // lane.pace",
        "lane.bursts + -amount // lane.pace",
        "tests/sim/test_sequencer.py::test_shortcut_equals_the_long_way",
    ),
    Fault(
        "a skipped period adds the time of its own engines alone",
        "sim/gossamer_sim/dataflow.py",
        "pieces.append((0, last - period, 1 << place))",
        "pieces.append((0, 0, 1 << place))",
        "tests/sim/test_sequencer.py::test_shortcut_equals_the_long_way",
    ),
    Fault(
        "what remains of a burst when the pace changes counts as done",
        "sim/gossamer_sim/memory.py",
        "elapsed * self._units.per_cycle // stream.pace",
        "-(-elapsed * self._units.per_cycle // stream.pace)",
        "tests/sim/test_memory.py::test_closed_form_equals_the_long_way",
    ),
    Fault(
        "a write that overlaps a read is charged to neither's channel",
        "models/gossamer_models/timing/dram.py",
        "alike = max(read.channel_pace + write.mean_pace, read.mean_pace + write.channel_pace)",
        "alike = max(read.channel_pace, write.channel_pace)",
        "tests/models/timing/test_dram.py::test_sharing_costs_both_and_the_turns",
    ),
    Fault(
        "channels are folded over one bit less than there is",
        "models/gossamer_models/timing/dram_address.py",
        "channel ^= chunk % self.channels",
        "channel ^= chunk % self.channels // 2",
        "tests/models/timing/test_dram_address.py::test_busiest_channel_against_counting",
    ),
    Fault(
        "the reference forgets the window of four activates",
        "sim/gossamer_sim/bank_channel.py",
        'latest[-1] + apart, latest[0] + t["faw"]',
        "latest[-1] + apart",
        "tests/sim/test_bank_channel.py::test_commands_keep_all_distances",
    ),
    Fault(
        "the reference closes a row before what was written is in it",
        "sim/gossamer_sim/bank_channel.py",
        'closing = end + t["wr"]',
        "closing = end",
        "tests/sim/test_bank_channel.py::test_commands_keep_all_distances",
    ),
    Fault(
        "a run's bursts are counted as if it began with one",
        "sim/gossamer_sim/bank_bursts.py",
        "counts = (starts + sizes - 1) // burst_bytes - first + 1",
        "counts = (sizes - 1) // burst_bytes + 1",
        "tests/sim/test_bank_bursts.py::test_runs_become_bursts_of_their_channels",
    ),
)

FAULTS = (*_ISA, *_TIMING, *_NUMERICS, *_GOLDEN, *_COMPILER, *_SIMULATOR, *RENDER_FAULTS, *HARDWARE_FAULTS)
