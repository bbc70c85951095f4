"""Numbers a human looks at: metrics, progressive validation, drift."""
