"""Versions and their provenance; `mlflow_addon` updates an MLflow registry."""
