"""The measuring room: a log through the pipeline, each event foreseen before it is learned, beside its peers."""
