"""The convolutional LSTM of the paper: exact and HE-friendly twins, their training and folding."""
