/* A host in C99: runs Programs with nothing but the generated header and what a board offers.
 *
 * drive() returns 0, or the number of the line that found something else than it should.
 */
#include <stdint.h>

#include "gossamer.h"

/* What a board offers: registers, the interrupt's level (after at most so many cycles), DRAM by bytes and by files. */
uint32_t board_read32(uint32_t offset);
void board_write32(uint32_t offset, uint32_t value);
int board_interrupt(uint32_t cycles);
void board_write(uint64_t address, const uint8_t *data, uint32_t size_bytes);
void board_load(const char *name);
void board_save(const char *name);

int drive(const uint64_t *arguments);

/* Arguments: size of DRAM; Programs in the files "first" and "second"; the instruction of the first one's first stage
 * to spoil; where the Program written here lies, what it copies and where to; the values of the registers from 0 on. */
enum {
    MEMORY_BYTES, FIRST_BASE, FIRST_STAGES, SECOND_BASE, SECOND_STAGES, SPOILED, COPY_BASE, COPY_SOURCE, COPY_TARGET,
    COPY_WORDS, IDENTIFIERS, IDENTIFICATION
};

#define READ(name) board_read32(GOSSAMER_REG_##name)
#define WRITE(name, value) board_write32(GOSSAMER_REG_##name, (uint32_t)(value))
#define BIT(field) (1u << GOSSAMER_##field##_OFFSET)
#define PART(value, field) ((value) >> GOSSAMER_##field##_OFFSET & ((1u << GOSSAMER_##field##_BITS) - 1))
#define SET(instruction, field, value) \
    gossamer_set(instruction, GOSSAMER_##field##_OFFSET, GOSSAMER_##field##_BITS, (uint64_t)(value))
#define EXPECT(condition) \
    do { \
        if (!(condition)) \
            return __LINE__; \
    } while (0)
#define TRY(call) \
    do { \
        int line = (call); \
        if (line) \
            return line; \
    } while (0)

static const uint32_t PATIENCE = 10000000, QUIET = 100000;

static uint32_t state(void)
{
    return PART(READ(STATUS), STATUS_STATE);
}

static int identify(const uint64_t *arguments)
{
    EXPECT(READ(MAGIC) == GOSSAMER_MAGIC_VALUE);
    EXPECT(READ(ISA_VERSION) == GOSSAMER_ISA_VERSION);
    EXPECT(READ(FINGERPRINT) == GOSSAMER_BUILD_FINGERPRINT);
    for (uint32_t n = 0; n < arguments[IDENTIFIERS]; n++)
        EXPECT(board_read32(GOSSAMER_REG_MAGIC + 4 * n) == arguments[IDENTIFICATION + n]);
    EXPECT(state() == GOSSAMER_STATE_IDLE);
    return 0;
}

static void set_up(uint64_t base, uint64_t stages, uint64_t memory_bytes)
{
    WRITE(PROGRAM_BASE_LOW, base);
    WRITE(PROGRAM_BASE_HIGH, base >> 32);
    WRITE(PROGRAM_STAGES, stages);
    WRITE(MEMORY_SIZE_LOW, memory_bytes);
    WRITE(MEMORY_SIZE_HIGH, memory_bytes >> 32);
    WRITE(WATCHDOG, PATIENCE);
}

/* Start, and wait for the interrupt of a run that ends as it should. */
static int run(uint64_t stages)
{
    WRITE(INTERRUPT_ENABLE, BIT(INTERRUPT_ENABLE_DONE) | BIT(INTERRUPT_ENABLE_ERROR));
    EXPECT(!board_interrupt(0));
    WRITE(CONTROL, BIT(CONTROL_START));
    EXPECT(board_interrupt(PATIENCE));
    EXPECT(state() == GOSSAMER_STATE_DONE);
    EXPECT(READ(INTERRUPT_STATUS) == BIT(INTERRUPT_STATUS_DONE));
    EXPECT(PART(READ(FAULT), FAULT_CODE) == GOSSAMER_FAULT_NONE);
    EXPECT(READ(STAGES_DONE) == stages);
    EXPECT(READ(CYCLES_LOW) != 0 && READ(CYCLES_HIGH) == 0);
    WRITE(INTERRUPT_STATUS, BIT(INTERRUPT_STATUS_DONE));
    EXPECT(!board_interrupt(0));
    return 0;
}

/* Run the first Program with an instruction that does not exist: the error state, which only a soft reset leaves. */
static int run_spoiled(const uint64_t *arguments)
{
    uint8_t nothing[GOSSAMER_INSTRUCTION_BYTES] = {0};
    const uint64_t place = 1 + arguments[SPOILED];

    board_write(arguments[FIRST_BASE] + place * sizeof nothing, nothing, sizeof nothing);
    WRITE(CONTROL, BIT(CONTROL_START));
    EXPECT(board_interrupt(PATIENCE));
    EXPECT(state() == GOSSAMER_STATE_ERROR);
    EXPECT(READ(INTERRUPT_STATUS) == BIT(INTERRUPT_STATUS_ERROR));
    EXPECT(PART(READ(FAULT), FAULT_CODE) == GOSSAMER_FAULT_ILLEGAL);
    EXPECT(PART(READ(FAULT), FAULT_ENGINE) == GOSSAMER_ENGINE_SEQUENCER);
    EXPECT(READ(FAULT_INDEX) == arguments[SPOILED]);
    EXPECT(READ(STAGE) == 0);

    WRITE(INTERRUPT_STATUS, BIT(INTERRUPT_STATUS_ERROR));
    EXPECT(!board_interrupt(0));
    WRITE(CONTROL, BIT(CONTROL_START));
    EXPECT(!board_interrupt(QUIET));
    EXPECT(state() == GOSSAMER_STATE_ERROR);

    WRITE(CONTROL, BIT(CONTROL_SOFT_RESET));
    for (uint32_t polls = 0; state() != GOSSAMER_STATE_IDLE; polls++)
        EXPECT(polls < QUIET);
    EXPECT(READ(FAULT) == 0);
    EXPECT(READ(PROGRAM_BASE_LOW) == (uint32_t)arguments[FIRST_BASE]);
    return 0;
}

static void begin_transfer(uint8_t *instruction, uint64_t opcode, uint64_t address, uint64_t words)
{
    /* Loads and stores have the same fields, and the last of them is a list of structures. */
    uint8_t *transfer = instruction;
    const unsigned dim = GOSSAMER_LOAD_DIMS_OFFSET;

    gossamer_set(transfer, 0, GOSSAMER_OPCODE_BITS, opcode);
    SET(transfer, LOAD_BUFFER, GOSSAMER_BUFFER_PRM);
    SET(transfer, LOAD_FORMAT, GOSSAMER_FORMAT_FP32);
    SET(transfer, LOAD_INDEX_DIM, 15);
    SET(transfer, LOAD_INDEX_HIGH, 15);
    SET(transfer, LOAD_MEM_BASE, address);
    SET(transfer, LOAD_AXIS0_BOUND, 1);
    SET(transfer, LOAD_AXIS1_BOUND, 1);
    SET(transfer, LOAD_AXIS2_BOUND, 1);
    gossamer_set(transfer, dim + GOSSAMER_DIM_COUNT_OFFSET, GOSSAMER_DIM_COUNT_BITS, words);
    gossamer_set(transfer, dim + GOSSAMER_DIM_MEM_STRIDE_OFFSET, GOSSAMER_DIM_MEM_STRIDE_BITS, 4);
    gossamer_set(transfer, dim + GOSSAMER_DIM_BUF_STRIDE_OFFSET, GOSSAMER_DIM_BUF_STRIDE_BITS, 4);
    gossamer_set(transfer, dim + GOSSAMER_DIM_AXIS_OFFSET, GOSSAMER_DIM_AXIS_BITS, 3);
}

/* Write a Program of two stages by the header's macros: words to the buffer PRM, and from there back to DRAM. */
static void write_copy(const uint64_t *arguments)
{
    static uint8_t stages[4][GOSSAMER_INSTRUCTION_BYTES];

    for (int stage = 0; stage < 2; stage++) {
        uint8_t *header = stages[2 * stage];
        gossamer_set(header, 0, GOSSAMER_OPCODE_BITS, GOSSAMER_OPCODE_STAGE);
        SET(header, STAGE_LENGTH, 1);
    }
    begin_transfer(stages[1], GOSSAMER_OPCODE_LOAD, arguments[COPY_SOURCE], arguments[COPY_WORDS]);
    begin_transfer(stages[3], GOSSAMER_OPCODE_STORE, arguments[COPY_TARGET], arguments[COPY_WORDS]);
    board_write(arguments[COPY_BASE], stages[0], sizeof stages);
}

/* The same without the interrupt. */
static int run_polled(void)
{
    WRITE(INTERRUPT_ENABLE, 0);
    WRITE(CONTROL, BIT(CONTROL_START));
    for (uint32_t polls = 0; state() == GOSSAMER_STATE_RUNNING; polls++)
        EXPECT(polls < QUIET);
    EXPECT(state() == GOSSAMER_STATE_DONE);
    EXPECT(!board_interrupt(0));
    EXPECT(READ(INTERRUPT_STATUS) == BIT(INTERRUPT_STATUS_DONE));
    EXPECT(READ(EXECUTED) == 2);
    return 0;
}

int drive(const uint64_t *arguments)
{
    TRY(identify(arguments));

    board_load("first");
    set_up(arguments[FIRST_BASE], arguments[FIRST_STAGES], arguments[MEMORY_BYTES]);
    TRY(run(arguments[FIRST_STAGES]));
    board_save("first");

    TRY(run_spoiled(arguments));

    board_load("second");
    set_up(arguments[SECOND_BASE], arguments[SECOND_STAGES], arguments[MEMORY_BYTES]);
    TRY(run(arguments[SECOND_STAGES]));
    board_save("second");

    write_copy(arguments);
    set_up(arguments[COPY_BASE], 2, arguments[MEMORY_BYTES]);
    TRY(run_polled());
    board_save("copied");
    return 0;
}
