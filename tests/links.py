"""Saved states and changes that lie in memory, and what they come to together."""

from __future__ import annotations

from learners.state_arrays import Arrays
from learners.state_deltas import Link, merged_part


def in_memory(arrays: Arrays) -> Link:
    return Link(arrays.keys(), lambda names: {name: arrays[name].copy() for name in names})


def merged(base: Arrays, changes: list[Arrays]) -> Arrays:
    links = [in_memory(arrays) for arrays in (base, *changes)]
    result: Arrays = {}
    for part in links[-1].parts():
        result |= merged_part(part, links)
    return result
