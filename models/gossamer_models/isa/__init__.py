"""Instruction set: the one source of encoder, decoder, hardware layouts, C header and reference document."""
