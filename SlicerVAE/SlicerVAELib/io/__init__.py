"""Files to volumes and back: DICOM, NIfTI, NRRD and MetaImage."""
