// The machine's bench in Verilator as a board for driver.c: AXI4-Lite on the pins, DRAM through files.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

static const unsigned WORD_BYTES = PORT_BYTES, RESET_CYCLES = 4, BUS_CYCLES = 100;
static const char *const LOADED = "memory.load", *const DUMPED = "memory.dump";

static Vtop *top;
static uint64_t memory_bytes;

// Inputs change while the clock is low.
static void cycle() {
    top->clk = 1;
    top->eval();
    top->clk = 0;
    top->eval();
}

static void pulse(CData &signal) {
    signal = 1;
    cycle();
    signal = 0;
    cycle();
}

[[noreturn]] static void fail(const std::string &text) {
    std::fprintf(stderr, "%s\n", text.c_str());
    std::exit(2);
}

static void wait_for(const CData &signal) {
    for (unsigned waited = 0; !signal; waited++) {
        if (waited == BUS_CYCLES) fail("the register bus hangs");
        cycle();
    }
}

// No ready depends on anything in the same cycle.
static void offer(CData &valid, const CData &ready) {
    valid = 1;
    wait_for(ready);
    cycle();
    valid = 0;
}

extern "C" uint32_t board_read32(uint32_t offset) {
    top->s_axil_araddr = offset;
    offer(top->s_axil_arvalid, top->s_axil_arready);
    wait_for(top->s_axil_rvalid);
    if (top->s_axil_rresp) fail("a read was refused");
    const uint32_t value = top->s_axil_rdata;
    cycle();
    return value;
}

extern "C" void board_write32(uint32_t offset, uint32_t value) {
    top->s_axil_awaddr = offset;
    top->s_axil_wdata = value;
    offer(top->s_axil_awvalid, top->s_axil_awready);
    offer(top->s_axil_wvalid, top->s_axil_wready);
    wait_for(top->s_axil_bvalid);
    if (top->s_axil_bresp) fail("a write was refused");
    cycle();
}

extern "C" int board_interrupt(uint32_t cycles) {
    for (; !top->irq && cycles; cycles--) cycle();
    return top->irq;
}

extern "C" void board_write(uint64_t address, const uint8_t *data, uint32_t size_bytes) {
    if (address % WORD_BYTES || size_bytes % WORD_BYTES) fail("only whole words can be written");
    {
        std::ofstream file(LOADED);
        char text[24];
        for (uint32_t word = 0; word < size_bytes; word += WORD_BYTES) {
            std::snprintf(text, sizeof text, "@%llx ", static_cast<unsigned long long>((address + word) / WORD_BYTES));
            file << text;
            for (unsigned byte = WORD_BYTES; byte-- > 0;) {
                std::snprintf(text, sizeof text, "%02x", data[word + byte]);
                file << text;
            }
            file << '\n';
        }
    }
    pulse(top->load);
}

extern "C" void board_load(const char *name) {
    std::filesystem::copy_file(std::string(name) + ".load", LOADED, std::filesystem::copy_options::overwrite_existing);
    pulse(top->load);
}

extern "C" void board_save(const char *name) {
    top->first = 0;
    top->last = memory_bytes / WORD_BYTES - 1;
    pulse(top->dump);
    std::filesystem::rename(DUMPED, std::string(name) + ".dump");
}

extern "C" int drive(const uint64_t *arguments);

int main(int count, char **values) {
    std::vector<uint64_t> arguments;
    for (int n = 1; n < count; n++) arguments.push_back(std::strtoull(values[n], nullptr, 0));
    memory_bytes = arguments.at(0);
    top = new Vtop;
    top->s_axil_wstrb = 0xF;
    top->s_axil_bready = top->s_axil_rready = 1;
    top->rst = 1;
    top->eval();
    for (unsigned n = 0; n < RESET_CYCLES; n++) cycle();
    top->rst = 0;
    cycle();
    const int line = drive(arguments.data());
    if (line) fail("driver.c, line " + std::to_string(line) + ": not as expected");
    if (top->violation) fail("the AXI port's checker complains: " + std::to_string(top->violation));
    top->final();
    delete top;
    return 0;
}
