"""Bytes and brokers: rows come in and leave here."""
