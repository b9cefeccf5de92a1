"""What an image computed from another keeps of its headers.

That is what holds for any image of the same patient, study, frame of reference and acquisition. What belongs to the
stored pixels of the source (overlays, padding, icons), its signatures and everything private is left behind.
"""

_PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge")
_BODY = ("PatientSize", "PatientWeight", "ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization")
_SPECIES = ("PatientSpeciesDescription", "PatientSpeciesCodeSequence")
_BREED = ("PatientBreedDescription", "PatientBreedCodeSequence", "BreedRegistrationSequence")
_DEIDENTIFIED = ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence")
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber")
_ORDER = ("ReferringPhysicianName", "Modality", "BodyPartExamined", "AnatomicRegionSequence", "Laterality")
_FRAME = ("FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition")
_PLANE = ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "SliceLocation")
_ACQUISITION = ("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "ContrastBolusAgent", "ScanOptions")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType")
_WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")
_CT = ("KVP", "DataCollectionDiameter", "ReconstructionDiameter", "ConvolutionKernel", "GantryDetectorTilt")
_MR = ("ScanningSequence", "SequenceVariant", "SequenceName", "MRAcquisitionType", "SpacingBetweenSlices")
_MR_TIMES = ("RepetitionTime", "EchoTime", "EchoNumbers", "EchoTrainLength", "InversionTime", "TriggerTime")
_MR_SCANNER = ("FlipAngle", "MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "NumberOfAverages")

KEPT = (
    *(*_PATIENT, *_BODY, *_SPECIES, *_BREED, *_DEIDENTIFIED, *_STUDY, *_ORDER, *_FRAME, *_PLANE),
    *(*_ACQUISITION, *_LOSSY, *_RESCALE, *_WINDOW, *_CT, *_MR, *_MR_TIMES, *_MR_SCANNER),
)
# What CT and MR Image Storage want at least empty, and exports leave out at times.
CT_MAY_BE_EMPTY = ("KVP", "AcquisitionNumber", "SliceThickness", "PatientPosition")
MR_MAY_BE_EMPTY = ("ScanOptions", "EchoTime", "EchoTrainLength", "RepetitionTime", "SliceThickness", "PatientPosition")
