"""Versions and their provenance; `mlflow_addon` keeps an MLflow registry in step."""
