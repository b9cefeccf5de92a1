"""What a model made, as DICOM: maps and reconstructions beside the patient's images, samples as nobody's."""
