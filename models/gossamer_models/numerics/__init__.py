"""What every number is: formats, the accumulate step, exact reductions and elementary functions.

Each function here is the definition that the golden executor computes with and that hardware must
match bit for bit: round to nearest, ties to even, subnormals kept, and one canonical NaN per format.
"""
