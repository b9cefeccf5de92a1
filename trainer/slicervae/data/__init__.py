"""From a folder of patients to slices in the model's space, split by patient."""
