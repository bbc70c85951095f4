"""Time, keys, order, batching, retries: turns rows into columns, runs the pipeline, owns Faust and the commands."""
