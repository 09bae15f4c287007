"""Read models, rebuilt from the journal at start and moved by durable blocks only. Whoever asks, asks here."""
