"""Published sizes, their spread, and Hounsfield units of the phantom cohort, with PHANTOM_VERSION. **Frozen.**

Every number here comes from anatomy or physics literature, named beside it, or is marked *decided* where the
literature at hand gives none. No number may ever be tuned because a model does better or worse on the phantoms: a
wrong number is corrected, PHANTOM_VERSION is raised, and every result on phantoms is computed anew. The same holds for
the code of this package: whatever changes a voxel changes the version. ``tests/test_phantom_frozen.py`` guards it.

``Spread`` is (mean, standard deviation) of a normal distribution that is cut off at ``CUT`` deviations. Pairs named
``MALE``/``FEMALE`` differ by sex. Lengths are millimetres, volumes cm³, attenuation Hounsfield units (HU).

Sources
-------
[Gordon 2014] C. C. Gordon et al., 2012 Anthropometric Survey of U.S. Army Personnel (ANSUR II), NATICK/TR-15/007.
    Means, deviations and regressions computed from its public data (4,082 men, 1,986 women).
[Cheng 2019] T. Cheng et al., Int. J. COPD 14:1657: lung volume on CT against sex, height and weight.
[Yamada 2020] Y. Yamada et al., PMC7490509: right lung 53.6 ± 1.5 % of both, supine.
[Alghamdi 2021] S. Alghamdi et al., Int. J. Biomed. 11(2):206: width and dome height of the diaphragm, radiographs.
[ICRP 89] ICRP Publication 89 (2002): reference adults; heart with blood 840 g and 620 g.
[Westaby 2023] J. Westaby et al., normal hearts: 374 ± 64 g (men), 285 ± 55 g (women), hence the relative spread.
[BJC 2015] Br. J. Cardiol. 22(2), doi 10.5837/bjc.2015.016: cardiac long axis on CT 38.1 ± 7.8°.
[Rogers 2013] Framingham Heart Study, CT: ascending aorta 34.1 ± 3.9 / 31.9 ± 3.5, descending 25.8 ± 3.0 / 23.1 ± 2.6.
[Wolak 2008] A. Wolak et al., JACC Cardiovasc. Imaging 1(2):200: aorta grows with age; 33 ± 4 and 24 ± 3 overall.
[Lee 1988] D. H. Lee et al., J. Korean Radiol. Soc. 24:265: tracheal diameters on CT.
[Panjabi 1991] M. M. Panjabi et al., Spine 16(8):888: thoracic vertebrae, body, canal and heights, T1 to T12.
[Fletcher 2015] J. G. R. Fletcher et al., Eur. Spine J., doi 10.1007/s00586-015-3925-y: thoracic discs on CT.
[Frostell 2016] A. Frostell et al., Front. Neurol. 7:238: diameters of the spinal cord; T8 8.3 × 6.3 mm.
[Jang 2019] S. Jang et al., Radiology 291:360: L1 trabecular bone 226 ± 44 HU under 30 years, −2.5 HU per year, 120 kV.
[Holcombe 2019] S. A. Holcombe et al., J. Anat. 235:883: cortical bone of ribs, local maxima 0.9 to 2.6 mm, mean 1.4.
[Kadowaki 1985] T. Kadowaki, Showa Med. J. 45:237: subcutaneous fat 6.8–18.3 % (men) and 11.2–30.2 % (women) of the
    cross-section at the sternal angle, CT.
[Dong 2020] M. Dong et al., Am. J. Physiol. Heart 319:H432: pulmonary arteries on CT, Murray exponent 2.92.
[Prokop 2003] M. Prokop, M. Galanski, Spiral and Multislice CT of the Body, Thieme: HU of tissues; lung −850 to −910 in
    inspiration, fat −50 to −100, blood and liver 45 to 65, spleen 35 to 55, kidney 20 to 40, bone 700 and more.
[IJLM 2019] Int. J. Legal Med. 133:1861, doi 10.1007/s00414-019-02016-1: healthy liver 58.3 ± 8.9 HU, unenhanced.
[Park] Y. S. Park et al., Radiology, biopsy-proven nonsteatotic liver in adults: liver minus
    spleen 1 to 18 HU, unenhanced.
[Gümüş 2024] A. Gümüş et al., Clinics 79: pleural transudate 5.0 ± 3.4 HU, exudate 15.1 ± 5.1 HU.
[Chu 2019] Z. Chu et al., BMC Cancer 19:1060: solid lung cancers of up to 3 cm; most keep a gap from the pleura.
[Njeh 2012] C. F. Njeh et al., Radiat. Oncol. 7:190: couch top of carbon fibre 0.55 g/cm³ and foam 0.03 g/cm³.
"""

from typing import NamedTuple

PHANTOM_VERSION = "1.0"

CUT = 2.2  # standard deviations


class Spread(NamedTuple):
    """Mean and standard deviation."""

    mean: float
    deviation: float


class BySex(NamedTuple):
    """A quantity for men and for women."""

    male: Spread
    female: Spread


# --- The person ------------------------------------------------------------------------------------------------------
SHARE_OF_MEN = 0.5
AGE_YEARS = Spread(62.0, 11.0)  # decided: the ages at which a thorax is irradiated
STATURE = BySex(Spread(1756.0, 69.0), Spread(1629.0, 64.0))  # [Gordon 2014]
BODY_MASS_INDEX = BySex(Spread(27.7, 4.0), Spread(25.5, 3.5))  # kg/m² [Gordon 2014]
# Chest depth, skin to skin = a + b·stature + c·BMI, with the residual deviation [Gordon 2014]
CHEST_DEPTH_MALE = (-46.8, 0.0836, 5.556, 12.3)
CHEST_DEPTH_FEMALE = (-41.9, 0.0795, 6.271, 15.2)

# --- Thorax ----------------------------------------------------------------------------------------------------------
# Width between the costophrenic angles [Alghamdi 2021]. The radiographs magnify: decided 1.07 (thorax 12 cm before a
# detector at 180 cm).
INNER_WIDTH = BySex(Spread(291.7, 20.4), Spread(264.3, 21.2))
RADIOGRAPHIC_MAGNIFICATION = 1.07
INNER_WIDTH_STATURE_CORRELATION = 0.5  # decided
# Both lungs together = a + b·(1 for men) + c·stature in cm + d·weight in kg [Cheng 2019]. The paper's ±1766 cm³ is read
# as a 95 % interval.
LUNG_VOLUME = (-10150.0, 605.3, 92.61, -12.99)
LUNG_VOLUME_RESIDUAL = 900.0
LUNG_VOLUME_CUT = 1.3  # deviations; decided, because a scan of fixed length has to hold the lungs
LUNG_VOLUME_WIDTH_CORRELATION = 0.6  # of that residual with the width of the cage; decided
INFLATION = Spread(0.85, 0.06)  # share of that volume at the scan: planning scans are seldom taken at full inspiration
RIGHT_DOME_HEIGHT = BySex(Spread(55.4, 6.8), Spread(47.0, 12.2))  # dome above the lateral angle [Alghamdi 2021]
LEFT_DOME_LOWER_BY = Spread(13.0, 4.0)  # right minus left dome height [Alghamdi 2021]; its spread decided
# Subcutaneous fat at the sternal angle. Kadowaki's shares of the area, over a perimeter of 95 and 88 cm, are layers of
# 9 and 13 mm at a lean population's index of about 22; growth with the index decided.
FAT_THICKNESS = BySex(Spread(9.0, 2.0), Spread(13.0, 2.5))
FAT_PER_BMI = 0.9
FAT_REFERENCE_BMI = 22.0
SKIN_THICKNESS = 2.0  # decided
BREAST_THICKNESS = Spread(30.0, 9.0)  # supine, beyond the fat layer; decided

# --- Heart and vessels -----------------------------------------------------------------------------------------------
HEART_VOLUME = BySex(Spread(800.0, 136.0), Spread(590.0, 112.0))  # [ICRP 89] at 1.05 g/cm³, spread [Westaby 2023]
HEART_WEIGHT_CORRELATION = 0.4  # decided
HEART_AXIS_DEGREES = Spread(38.1, 7.8)  # long axis below the horizontal, frontal plane [BJC 2015]
ASCENDING_AORTA = BySex(Spread(34.1, 3.9), Spread(31.9, 3.5))  # diameter [Rogers 2013]
DESCENDING_AORTA = BySex(Spread(25.8, 3.0), Spread(23.1, 2.6))  # diameter [Rogers 2013]
AORTA_PER_YEAR = 0.12  # mm a year about 50 years; low end of what the sources of [Wolak 2008] give
AORTA_AGE = 50.0
TRACHEA_TRANSVERSE = BySex(Spread(17.7, 1.9), Spread(15.3, 1.2))  # [Lee 1988]
TRACHEA_SAGITTAL = BySex(Spread(18.9, 2.1), Spread(15.5, 1.3))  # [Lee 1988]
MURRAY_EXPONENT = 2.92  # [Dong 2020]

# --- Spine and ribs --------------------------------------------------------------------------------------------------
# T1 to T12 [Panjabi 1991], then L1 and L2 from its sequel, Spine 17(3):299 (1992)
VERTEBRA_HEIGHTS = (14.1, 15.6, 15.7, 16.2, 16.2, 17.4, 18.2, 18.7, 19.3, 20.2, 21.3, 22.7, 23.8, 24.3)
VERTEBRA_WIDTHS = (24.5, 24.9, 24.6, 24.5, 24.9, 26.2, 27.8, 29.5, 30.6, 31.9, 34.9, 39.0, 41.2, 42.6)
VERTEBRA_DEPTHS = (18.5, 19.6, 22.7, 23.3, 24.3, 26.0, 27.4, 27.9, 29.3, 30.5, 31.9, 32.8, 34.1, 34.6)
CANAL_WIDTHS = (21.8, 19.5, 18.3, 17.0, 17.2, 17.3, 17.3, 17.7, 17.8, 18.2, 19.4, 22.2, 23.7, 23.8)
CANAL_DEPTHS = (16.4, 15.5, 15.8, 16.1, 15.8, 16.0, 15.8, 15.9, 15.5, 15.5, 16.1, 18.1, 19.0, 18.2)
# Mean of anterior and posterior height over both sexes, from 2.7 (T4–5) to 5.4 (T10–11) [Fletcher 2015]
DISC_HEIGHTS = (3.4, 3.2, 2.9, 2.7, 3.0, 3.5, 4.0, 4.5, 5.0, 5.4, 5.8, 6.4, 7.2, 7.8)
SPINE_REFERENCE_STATURE = 1700.0  # decided: of the donors of [Panjabi 1991]
SPINE_SCALE = Spread(1.0, 0.03)  # relative to stature; decided
CORD_RADIUS = Spread(3.9, 0.3)  # geometric mean of the thoracic half-diameters [Frostell 2016]; spread decided
CORD_FLATNESS = 1.3  # transverse over sagittal diameter, 8.3/6.3 [Frostell 2016]
RIB_HEIGHT = BySex(Spread(13.5, 1.0), Spread(12.0, 1.0))  # decided
RIB_THICKNESS = BySex(Spread(7.5, 0.6), Spread(6.6, 0.6))  # decided
RIB_CORTEX = 1.1  # within 0.9 to 2.6 [Holcombe 2019]
KYPHOSIS_DEPTH = Spread(22.0, 5.0)  # how far the apex of the thoracic curve lies behind T1 when supine; decided

# --- Hounsfield units ------------------------------------------------------------------------------------------------
AIR_HU = -1000.0
LUNG_HU = Spread(-870.0, 14.0)  # parenchyma between the visible vessels, full inspiration [Prokop 2003]
LUNG_GRAVITY_HU = Spread(45.0, 12.0)  # dependent minus non-dependent parenchyma, full inspiration; decided
FAT_HU = Spread(-100.0, 5.0)  # [Prokop 2003]
MUSCLE_HU = Spread(52.0, 5.0)  # decided
BLOOD_HU = Spread(45.0, 3.5)  # [Prokop 2003], lower end: anaemia is common in patients
MYOCARDIUM_OVER_BLOOD_HU = 5.0  # decided
LIVER_HU = Spread(58.0, 6.0)  # [IJLM 2019], narrowed to exclude steatosis
SPLEEN_BELOW_LIVER_HU = 9.0  # centre of [Park]
KIDNEY_HU = 32.0  # [Prokop 2003]
STOMACH_CONTENT_HU = Spread(18.0, 8.0)  # decided
SPONGY_BONE_HU_AT_30 = 226.0  # [Jang 2019]
SPONGY_BONE_HU_PER_YEAR = -2.5  # [Jang 2019]
SPONGY_BONE_DEVIATION = 30.0  # [Jang 2019] gives 38 to 44 within an age; decided smaller, one scanner
CORTICAL_BONE_HU = Spread(1100.0, 80.0)  # [Prokop 2003]: 700 and more
CARTILAGE_HU = Spread(110.0, 20.0)  # decided: between muscle and its calcification with age
DISC_HU = 85.0  # decided
CORD_HU = 36.0  # decided
SKIN_HU = 45.0  # decided
GLAND_HU = 25.0  # decided
CARBON_FIBRE_HU = -450.0  # 0.55 g/cm³ [Njeh 2012]
FOAM_HU = -970.0  # 0.03 g/cm³ [Njeh 2012]

# --- Lesions ---------------------------------------------------------------------------------------------------------
NODULE_DIAMETER = (8.0, 30.0)  # uniform in this range: a nodule by definition has at most 30 mm
NODULE_HU = Spread(32.0, 9.0)  # decided: soft tissue, unenhanced
NODULE_PLEURAL_GAP = 3.0  # most keep a gap [Chu 2019]
EFFUSION_TRANSUDATE_HU = Spread(5.0, 3.4)  # [Gümüş 2024]
EFFUSION_EXUDATE_HU = Spread(15.1, 5.1)  # [Gümüş 2024]
EFFUSION_EXUDATE_SHARE = 255 / 380  # [Gümüş 2024]
EFFUSION_DEPTH = (25.0, 60.0)  # greatest thickness of the fluid; decided: small to moderate

# --- Scanner ---------------------------------------------------------------------------------------------------------
FIELD_OF_VIEW = 500.0
SCAN_LENGTH = 340.0
SCAN_TOP = 22.0  # above the apices of the lungs
NOISE_HU = Spread(12.0, 2.0)  # of a soft-tissue kernel in the middle of the body; decided
NOISE_PEAK_PER_MM = 0.25  # spatial frequency where the noise power of a soft-tissue kernel peaks; decided
WATER_ATTENUATION_PER_MM = 0.0195  # about 68 keV, the mean energy of a filtered 120 kV beam
POINT_SPREAD_SIGMA = 0.6  # of a soft-tissue kernel; decided
CALIBRATION_HU = Spread(0.0, 2.0)  # offset of a scanner's water value; ±4 HU is the usual tolerance
