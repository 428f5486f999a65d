"""What lint looks at: specs, rows and their faults; no torch."""
