"""Where events go: a file, a list, a Kafka topic; each mirrors a source of the same name."""
