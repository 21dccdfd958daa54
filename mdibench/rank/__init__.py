"""What makes the state machines run: MPI ranks in real time, or one process in virtual time."""
