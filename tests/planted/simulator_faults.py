"""Planted bugs of the cycle simulator and its memories."""

from tests.planted.fault import Fault

__all__ = ["SIMULATOR_FAULTS"]

SIMULATOR_FAULTS = (
    Fault(
        "what is known of a stage serves one with other modifiers of addresses",
        "sim/gossamer_sim/executor.py",
        "return cls, read(instruction), modifiers, deal_cycles(instruction)",
        "return cls, read(instruction), modifiers",
        "tests/sim/test_places.py::test_modifiers_of_addresses_cost_their_own",
    ),
    Fault(
        "what is known of a softmax serves one with other rows",
        "sim/gossamer_sim/places.py",
        '{"advance", "parameter", "samples",',
        '{"advance", "channel_low", "parameter", "samples",',
        "tests/sim/test_places.py::test_softmaxes_of_other_rows_cost_their_own",
    ),
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
