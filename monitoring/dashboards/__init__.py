"""The Grafana dashboards, one a file, and their JSON; needs what `freshet[dev]` installs."""
