"""How much each task's gradient counts: one method a file, all behind `weighting.Weighting`, named in `registry`."""
