"""The demonstration: the whole loop on one machine, watched live, gone without a trace afterwards."""
