"""Tensors and parameters: everything that scores and learns, in columns."""
