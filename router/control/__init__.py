"""The control plane: it judges, decides, publishes, records and answers operators. The data plane never waits for it."""
