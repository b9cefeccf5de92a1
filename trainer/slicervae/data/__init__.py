"""From a folder of patients to images in the model's space, split by patient."""
