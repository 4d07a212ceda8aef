"""Planted bugs of the hardware, each caught by a leaf or an engine alone in Amaranth's simulator."""

from tests.planted.fault import Fault

__all__ = ["HARDWARE_FAULTS"]

_GEMM = (
    Fault(
        "the adder rounds ties away from zero",
        "hw/gossamer_hw/numerics/adder.py",
        "value[3] & (value[:3].any() | value[4])",
        "value[3]",
        "tests/hw/numerics/test_numerics.py::test_adder_rounds_like_numpy[3]",
    ),
    Fault(
        "alignment forgets the bits that it shifts out",
        "hw/gossamer_hw/numerics/bits.py",
        "lost = value[: step + 1].any()",
        "lost = value[step]",
        "tests/hw/numerics/test_numerics.py::test_adder_rounds_like_numpy[3]",
    ),
    Fault(
        "a subnormal operand is half of what it should be",
        "hw/gossamer_hw/numerics/convert.py",
        "17 - zeros",
        "16 - zeros",
        "tests/hw/numerics/test_numerics.py::test_multiplier_is_exact[1]",
    ),
    Fault(
        "the controller closes a short chunk one step early",
        "hw/gossamer_hw/gemm/steps.py",
        "issued + 1 >= self._drain_steps",
        "issued + 2 >= self._drain_steps",
        "tests/hw/gemm/test_controller.py::test_steps_are_those_of_the_loops_walked_literally",
    ),
    Fault(
        "the controller never stores, it always accumulates",
        "hw/gossamer_hw/gemm/words.py",
        "word.store.eq(first_chunk & ~g.accumulate)",
        "word.store.eq(first_chunk & g.accumulate)",
        "tests/hw/gemm/test_controller.py::test_steps_are_those_of_the_loops_walked_literally",
    ),
    Fault(
        "sums drain to the rows from the first to the last",
        "hw/gossamer_hw/array/sequencer.py",
        "row.eq(row - 1)",
        "row.eq(row + 1)",
        "tests/hw/array/test_array.py::test_banks_hold_every_bit[shape5-parameters5]",
    ),
    Fault(
        "a bank adds to the chunk what it held whether it should or not",
        "hw/gossamer_hw/array/lane.py",
        "Mux(accumulate, found.as_value(), Const(0, 32))",
        "found.as_value()",
        "tests/hw/array/test_array.py::test_banks_hold_every_bit[shape1-parameters1]",
    ),
    Fault(
        "results always go to the first half of the accumulators",
        "hw/gossamer_hw/gemm/engine.py",
        "chunk.block.eq(Cat(block, half))",
        "chunk.block.eq(Cat(block, half & 0))",
        "tests/hw/gemm/test_machine_halves.py::test_every_instruction_advances_all_buffers",
    ),
)

_MACHINE = (
    Fault(
        "a semaphore that gives and gets a token in one cycle loses one",
        "hw/gossamer_hw/control/semaphores.py",
        "with m.Elif(take & ~give):",
        "with m.Elif(take):",
        "tests/hw/control/test_semaphores.py::test_tokens_are_counted",
    ),
    Fault(
        "a loop's last iteration comes one too late",
        "hw/gossamer_hw/control/loops.py",
        "left[level].eq(self.count - 1)",
        "left[level].eq(self.count)",
        "tests/hw/control/test_loops.py::test_every_iteration",
    ),
    Fault(
        "an engine gives its tokens when it starts",
        "hw/gossamer_hw/control/queue.py",
        "self.give.eq(Mux(ended, signal, 0))",
        "self.give.eq(Mux(started, head.signal, 0))",
        "tests/hw/control/test_control.py::test_hand_computed",
    ),
    Fault(
        "an odometer's carry resets only the dimension below",
        "hw/gossamer_hw/dma/odometer.py",
        "with m.Elif(counting[k + 1 :].any()):",
        "with m.Elif(counting[k + 1 : k + 2].any()):",
        "tests/hw/dma/test_odometer.py::test_walk",
    ),
    Fault(
        "a burst from the middle of 4 KiB may run across their end",
        "hw/gossamer_hw/dma/requests.py",
        "boundary - first[:place_bits]",
        "boundary",
        "tests/hw/dma/test_requests.py::test_bursts",
    ),
    Fault(
        "the strobe of a piece's last byte is missing",
        "hw/gossamer_hw/dma/beats.py",
        "Cat(last_byte >= n for",
        "Cat(last_byte > n for",
        "tests/hw/dma/test_beats.py::test_rotation_and_mask",
    ),
    Fault(
        "a piece of fp16 is always taken from the lower half of a data word",
        "hw/gossamer_hw/dma/convert.py",
        "chosen = Mux(upper, word[half:], word[:half])",
        "chosen = word[:half]",
        "tests/hw/dma/test_convert.py::test_pieces_of_a_word",
    ),
    Fault(
        "both halves of a buffer of bytes are the first one",
        "hw/gossamer_hw/scratchpads/bytes.py",
        "return Cat(row, command.half)",
        "return Cat(row, command.half & 0)",
        "tests/hw/test_scratchpads.py::test_vin[tiny]",
    ),
    Fault(
        "the prune engine takes every mode for the largest",
        "hw/gossamer_hw/prune/engine_checks.py",
        "(p.mode != PruneMode.LARGEST) | ~pattern",
        "~pattern",
        "tests/hw/prune/test_engine.py::test_faults_write_nothing[4]",
    ),
    Fault(
        "of equal magnitudes the network keeps the higher index",
        "hw/gossamer_hw/prune/topn.py",
        "_magnitude(ports.word[j]) > _magnitude(ports.word[i])",
        "_magnitude(ports.word[j]) >= _magnitude(ports.word[i])",
        "tests/hw/prune/test_topn.py::test_equal_magnitudes_keep_the_lower_indices",
    ),
    Fault(
        "a sum of a feature map rounds ties away from zero",
        "hw/gossamer_hw/vector/exact.py",
        "normal[0] & (rest | normal[1])",
        "normal[0]",
        "tests/hw/vector/test_reduce.py::test_rounding",
    ),
    Fault(
        "a block of drained rows is summed before its last group",
        "hw/gossamer_hw/vector/reduce_rows.py",
        "drained.valid & (number == groups - 1)",
        "drained.valid & (number == 0)",
        "tests/hw/vector/test_reduce_rows.py::test_statistics[8-16]",
    ),
    Fault(
        "the last line of a second output meets one of the first",
        "hw/gossamer_hw/vector/stream_writer.py",
        "alone.eq(output.half & ~output.odd & output.last)",
        "alone.eq(0)",
        "tests/hw/vector/test_stream.py::test_second_output_of_any_length",
    ),
    Fault(
        "a sticky flag is cleared by the next number that is finite",
        "hw/gossamer_hw/vector/engine.py",
        "after = now | ((mode == FoundMode.SET) & flag)",
        "after = now",
        "tests/hw/vector/test_engine.py::test_flags_stay_until_they_are_cleared",
    ),
)

_RENDER = (
    Fault(
        "the end of a quarter turn lies in its first cell",
        "hw/gossamer_hw/render/waves.py",
        "| end.replicate(8)",
        "",
        "tests/hw/render/test_waves.py::test_waves",
    ),
    Fault(
        "a corner of a point meets the sum of the point before",
        "hw/gossamer_hw/render/interpolation.py",
        "delayed(m, part, k * ADD_CYCLES",
        "delayed(m, part, max(k - 1, 0) * ADD_CYCLES",
        "tests/hw/render/test_interpolation.py::test_products_of_a_field",
    ),
    Fault(
        "a pixel's next sample may enter a cycle before its last one's light can be read",
        "hw/gossamer_hw/render/light.py",
        "for age in range(1, COMPOSE_CYCLES):",
        "for age in range(1, COMPOSE_CYCLES - 1):",
        "tests/hw/render/test_light.py::test_light[2-0.0]",
    ),
    Fault(
        "a rank counts its own bit",
        "hw/gossamer_hw/render/search.py",
        "eq(below + counts[place - 1] if place else below)",
        "eq(below + counts[place])",
        "tests/hw/render/test_search.py::test_ranks_are_the_ones_below[16]",
    ),
    Fault(
        "numbers that spread take their distance from the place that they come from",
        "hw/gossamer_hw/render/networks.py",
        "Mux(distance[p][level], items[p - step], item)",
        "Mux(distance[p - step][level], items[p - step], item)",
        "tests/hw/render/test_rows.py::test_decoder_reads_what_golden_reads_and_refuses_what_it_refuses[16]",
    ),
    Fault(
        "a block of encoded rows begins where its first row ends",
        "hw/gossamer_hw/render/row_encoder.py",
        "Mux(opens, 0, self.end) + length",
        "Mux(opens, 0, self.end + length)",
        "tests/hw/render/test_rows.py::test_encoder_writes_the_table[16]",
    ),
    Fault(
        "coordinates that repeat pass for a row",
        "hw/gossamer_hw/render/row_decoder.py",
        "(coordinates[n] >= coordinates[n + 1])",
        "(coordinates[n] > coordinates[n + 1])",
        "tests/hw/render/test_rows.py::test_decoder_reads_what_golden_reads_and_refuses_what_it_refuses[48]",
    ),
    Fault(
        "the cell of a power is that of the number behind it",
        "hw/gossamer_hw/render/exponential.py",
        "p.at(shifted, curve.cycle - 1)",
        "p.at(shifted, curve.cycle - 2)",
        "tests/hw/render/test_exponential.py::test_powers",
    ),
    Fault(
        "a pixel is finished with the light that was left for the pixel before it",
        "hw/gossamer_hw/render/compositor.py",
        "Mux(finishes, light.transmittance.as_value(), amount.as_value())",
        "Mux(finishes, delayed(m, light.transmittance, 1, name='late').as_value(), amount.as_value())",
        "tests/hw/units/test_stream_unit.py::test_pixels_under_pauses[0-0-2]",
    ),
    Fault(
        "a pixel's colour is read where the pixel behind it lies",
        "hw/gossamer_hw/render/colour.py",
        "delayed(m, self.pixel, _MULTIPLY - 1,",
        "delayed(m, self.pixel, _MULTIPLY - 2,",
        "tests/hw/units/test_stream_unit.py::test_pixels_under_pauses[0-0-2]",
    ),
    Fault(
        "a result is offered again while its unit waits for items",
        "hw/gossamer_hw/units/stream_unit.py",
        "self.m_axis_tvalid.eq(result & ~taken)",
        "self.m_axis_tvalid.eq(result)",
        "tests/hw/units/test_stream_unit.py::test_the_element_loses_no_turn_under_pauses[0.5-0]",
    ),
)

HARDWARE_FAULTS = (*_GEMM, *_MACHINE, *_RENDER)
