"""From a row to one logit a task: experts that mix (one kind a file), towers on top, put together in `heads`."""
