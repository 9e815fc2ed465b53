# Checks.
