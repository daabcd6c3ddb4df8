"""The facts about a version apart from its role: journal entries in; origin, history and quarantine out.

provenance        origin of a version, and when it was registered, accepted and rolled back
active_periods    the periods in which each version was active
quarantine        a quarantine that is lifted for a time
model_uri         names of a model registry (`models:/fraud/3`) and their tags
registry_updates  updates that MLflow must still receive
"""
