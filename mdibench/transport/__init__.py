"""How messages travel: over MPI, over emulated links, or (simulated) over clocks alone."""
