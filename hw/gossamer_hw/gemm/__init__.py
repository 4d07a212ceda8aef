"""The gemm engine: address generation, operand buffers, array and drain behind one instruction port."""
