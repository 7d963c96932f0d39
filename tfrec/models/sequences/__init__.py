"""Models that read users' events in their order: encoders of sequences, what goes into them, what is learnt by."""
