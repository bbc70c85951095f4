"""Where events come from: a file, a list, a Kafka topic; each mirrors a sink of the same name."""
