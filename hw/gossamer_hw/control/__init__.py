"""Control unit: registers, fetch, sequencer, queues and semaphores."""
