"""The benchmark: parts, each with peers that are measured in turn on one machine."""
