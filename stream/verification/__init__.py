"""Whether the state is what the events make of it: counted again, compared, told. No model is needed."""
