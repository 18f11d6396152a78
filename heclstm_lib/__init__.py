"""HE-CLSTM: diagnosis of encrypted medical image sequences with a convolutional LSTM under CKKS."""

__version__ = "0.1.0"
