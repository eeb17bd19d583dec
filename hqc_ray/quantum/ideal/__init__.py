"""The ideal circuit in torch: exact probabilities, a trainable layer, samples."""
