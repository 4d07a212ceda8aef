"""What the render engine of a Program is told, and what it does with it."""
