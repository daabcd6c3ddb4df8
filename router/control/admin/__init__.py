"""The office: HTTP in, a verb of the controller, JSON out. No policy lives here."""
