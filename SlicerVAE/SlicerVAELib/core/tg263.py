"""Standard names of structures after AAPM TG-263, with what clinics call them in English, German and French.

Umlauts, accents, case and separators need not be repeated: names are compared without them. Two names are the report's
own spelling, Colon_Decending and Hypothalmus; the couch is not in it and has its usual names here.
"""

import dataclasses

# Standard name: synonyms. The same form as a site's own file.
SINGLE = """
Anus:
A_Aorta: Aorta, Aorte
A_LAD: LAD, LADCA, RIVA, IVA, left anterior descending artery, Ramus interventricularis anterior
A_Pulmonary: pulmonary artery, Pulmonalarterie, Arteria pulmonalis, artère pulmonaire
Bag_Bowel: bowel bag, peritoneal bag, Darmsack, sac intestinal
BileDuct_Common: common bile duct, CBD, Ductus choledochus, Choledochus, cholédoque
Bladder: urinary bladder, Blase, Harnblase, vessie
Bolus:
Bone_Mandible: mandible, mandibula, lower jaw, Unterkiefer, mandibule
Bone_Pelvic: pelvic bone, pelvic bones, Beckenknochen, os du bassin
BoneMarrow: bone marrow, Knochenmark, moelle osseuse
Bowel: bowels, intestine, intestines, Darm, Därme, intestin, intestins
Bowel_Large: large bowel, large intestine, Dickdarm, gros intestin
Bowel_Small: small bowel, small intestine, Dünndarm, intestin grêle, grêle
Brain: whole brain, Hirn, Gehirn, cerveau, encéphale
Brainstem: Hirnstamm, tronc cérébral
Bronchus_Prox: proximal bronchial tree, prox bronchial tree, PBT, Bronchialbaum, arbre bronchique proximal
Canal_Anal: anal canal, Analkanal
Carina: Karina
CaudaEquina: cauda, queue de cheval
Cavity_Oral: oral cavity, mouth, Mundhöhle, cavité buccale, cavité orale
Cecum: caecum, Zökum, Blinddarm
Cerebellum: Kleinhirn, cervelet
Cerebrum: Großhirn
Cervix: Zervix, Cervix uteri, Gebärmutterhals, col utérin
Chestwall: Brustwand, Thoraxwand, paroi thoracique
Colon: Kolon
Colon_Ascending: ascending colon, Colon ascendens
Colon_Decending: Colon_Descending, descending colon, Colon descendens
Colon_Sigmoid: sigmoid, sigmoid colon, Sigma, Colon sigmoideum, sigmoïde
Colon_Transverse: transverse colon, Colon transversum
CouchInterior: inner couch, couch inside, couch foam
CouchSurface: couch, table, couch shell, outer couch, treatment couch, Tisch, Bestrahlungstisch, table de traitement
Cricopharyngeus: cricopharyngeal muscle, cricopharynx, Musculus cricopharyngeus
Diaphragm: Zwerchfell, Diaphragma, diaphragme
Duodenum: Zwölffingerdarm
Esophagus: oesophagus, esoph, Ösophagus, Speiseröhre, œsophage
Esophagus_S: cervical esophagus, cervical oesophagus, zervikaler Ösophagus, œsophage cervical
External: body, body contour, body outline, outer contour, Außenkontur, Körper, Körperkontur, contour externe
Gallbladder: Gallenblase, vésicule biliaire
Genitals: Genitalien, external genitalia, organes génitaux
Glnd_Thymus: thymus
Glnd_Thyroid: thyroid, thyroid gland, Schilddrüse, thyroïde, Glandula thyreoidea, Thyreoidea
Glottis: glottic larynx, glotte
GreatVes: great vessels, große Gefäße, gros vaisseaux
Hardpalate: palate hard, harter Gaumen, palais dur
Heart: Herz, cœur, Cor
Hypothalmus: hypothalamus
Ileum: Krummdarm, iléon
Jejunum: Leerdarm, jéjunum
Larynx: Kehlkopf
Larynx_SG: supraglottic larynx, supraglottis, supraglottischer Larynx, larynx supraglottique
Lips: Lippen, lèvres
Liver: Leber, Hepar, foie
Markers: fiducials, gold markers, Goldmarker, Marker, fiduciels
Maxilla: upper jaw, Oberkiefer, maxillaire
Mediastinum: médiastin
Musc_Constrict: constrictor, constrictor muscles, pharyngeal constrictor, PCM, Konstriktor, muscles constricteurs
Musc_Constrict_I: inferior constrictor, inferior pharyngeal constrictor, constrictor inferior
Musc_Constrict_M: middle constrictor, middle pharyngeal constrictor, constrictor middle
Musc_Constrict_S: superior constrictor, superior pharyngeal constrictor, constrictor superior
Nasopharynx: Nasenrachen, rhinopharynx
OpticChiasm: chiasm, chiasma, optic chiasma, Chiasma opticum, Sehnervenkreuzung, chiasme, chiasme optique
Oropharynx: Mundrachen
Pacemaker: Schrittmacher, Herzschrittmacher, stimulateur cardiaque
Palate_Soft: soft palate, weicher Gaumen, voile du palais, palais mou
Pancreas: Pankreas, Bauchspeicheldrüse
PenileBulb: bulb of penis, Bulbus penis, Penisbulbus, bulbe pénien
Pericardium: Perikard, Herzbeutel, péricarde
Perineum: Damm, périnée
Pharynx: Rachen
Pituitary: pituitary gland, hypophysis, Hypophyse
Pons: Brücke
Prostate: prostate gland, Prostata, Vorsteherdrüse
ProstateBed: prostatic bed, prostatic fossa, Prostataloge, loge prostatique
Prosthesis: Prothese, prothèse
PubicSymphys: pubic symphysis, Symphyse, symphyse pubienne
Rectum: Rektum, Mastdarm, Enddarm
SacralPlex: sacral plexus, Plexus sacralis, plexus sacré
Sacrum: Kreuzbein
Scar: Narbe, cicatrice
SeminalVes: seminal vesicles, seminal vesicle, sem ves, Samenblase, Samenblasen, vésicules séminales
Skin: Haut, peau
Skull: Schädel, crâne
Sphincter_Anal: anal sphincter, Analsphinkter, sphincter anal
SpinalCanal: vertebral canal, Spinalkanal, Wirbelkanal, canal médullaire, canal rachidien
SpinalCord: cord, Myelon, Rückenmark, Medulla spinalis, moelle, moelle épinière
Spleen: Milz, rate
Sternum: Brustbein
Stomach: Magen, estomac
SurgicalBed: surgical cavity, surgical bed, Operationshöhle
ThecalSac: thecal sac, dural sac, Duralsack, sac dural
Tongue: Zunge, langue
Tongue_Base: base of tongue, Zungengrund, base de langue
Trachea: Luftröhre, trachée
TumorBed: tumour bed, Tumorbett, lit tumoral
Urethra: Harnröhre, urètre
Uterus: Gebärmutter
Vagina: Scheide, vagin
V_Portal: portal vein, Vena portae, Pfortader, veine porte
V_Venacava_I: IVC, inferior vena cava, Vena cava inferior, untere Hohlvene, veine cave inférieure
V_Venacava_S: SVC, superior vena cava, Vena cava superior, obere Hohlvene, veine cave supérieure
Vulva: vulve
"""


@dataclasses.dataclass(frozen=True)
class Paired:
    """A structure of both sides: ``base`` becomes base_L and base_R. ``both`` is the name of the two together, empty
    where there is none. Synonyms are of one of the two, by language, because abbreviations of sides differ; ``plural``
    has those of both, in any language."""

    base: str
    both: str = ""
    english: str = ""
    german: str = ""
    french: str = ""
    plural: str = ""


PAIRED = (
    Paired("A_Carotid", "", "carotid, carotid artery", "Carotis, Karotis, Arteria carotis", "carotide"),
    Paired("Atrium", "", "heart atrium", "Vorhof, Atrium", "oreillette"),
    Paired("BrachialPlex", "BrachialPlexs", "brachial plexus", "Plexus brachialis, Armplexus", "plexus brachial"),
    Paired("Breast", "Breasts", "", "Brust, Mamma", "sein", "Brüste, Mammae, seins"),
    Paired("Bronchus", "", "main bronchus", "Bronchus, Hauptbronchus", "bronche"),
    Paired("Chestwall", "", "", "Brustwand, Thoraxwand", "paroi thoracique"),
    Paired("Clavicle", "", "collarbone", "Klavikula, Clavicula, Schlüsselbein", "clavicule"),
    Paired("Cochlea", "", "inner ear cochlea", "Cochlea, Hörschnecke, Schnecke", "cochlée, cochlea"),
    Paired("Cornea", "", "", "Cornea, Kornea, Hornhaut", "cornée"),
    Paired("Ear_External", "Ear_Externals", "external ear, outer ear", "Außenohr, äußeres Ohr", "oreille externe"),
    Paired("Ear_Internal", "Ear_Internals", "internal ear, inner ear", "Innenohr", "oreille interne"),
    Paired("Ear_Middle", "", "middle ear", "Mittelohr", "oreille moyenne"),
    Paired(
        "Eye", "Eyes", "eyeball, globe", "Auge, Augapfel, Bulbus, Bulbus oculi", "œil, globe oculaire", "Augen, yeux"
    ),
    Paired("Femur", "Femurs", "thigh bone", "Femur, Oberschenkelknochen", "fémur", "femora, fémurs"),
    Paired(
        "Femur_Head",
        "",
        "femoral head, fem head, head of femur",
        "Femurkopf, Hüftkopf, Caput femoris",
        "tête fémorale, tête du fémur",
    ),
    Paired("Femur_Neck", "", "femoral neck", "Femurhals, Schenkelhals", "col fémoral"),
    Paired(
        "Glnd_Adrenal", "Glnd_Adrenals", "adrenal, adrenal gland", "Nebenniere", "surrénale", "adrenals, Nebennieren"
    ),
    Paired(
        "Glnd_Lacrimal",
        "Glnd_Lacrimals",
        "lacrimal, lacrimal gland",
        "Tränendrüse, Glandula lacrimalis",
        "glande lacrymale",
        "lacrimal glands, Tränendrüsen, glandes lacrymales",
    ),
    Paired(
        "Glnd_Subling",
        "Glnd_Sublings",
        "sublingual, sublingual gland",
        "Unterzungendrüse, Glandula sublingualis",
        "glande sublinguale",
        "sublingual glands",
    ),
    Paired(
        "Glnd_Submand",
        "Glnd_Submands",
        "submandibular, submandibular gland, submand, SMG",
        "Submandibularis, Glandula submandibularis, Unterkieferdrüse",
        "glande sous-maxillaire, sous-maxillaire, glande submandibulaire, submandibulaire",
        "submandibulars, submandibular glands, Submandibulardrüsen, glandes sous-maxillaires",
    ),
    Paired("Hippocampus", "Hippocampi", "", "Hippocampus, Hippokampus", "hippocampe", "hippocampes"),
    Paired("Humerus", "", "", "Humerus, Oberarmknochen", "humérus"),
    Paired("Humerus_Head", "", "humeral head, head of humerus", "Humeruskopf, Oberarmkopf", "tête humérale"),
    Paired("Joint_TM", "", "temporomandibular joint, TM joint, TMJ", "Kiefergelenk", "ATM"),
    Paired("Kidney", "Kidneys", "", "Niere", "rein", "Nieren, reins"),
    Paired("Lens", "", "eye lens", "Linse, Augenlinse", "cristallin"),
    Paired("Lobe_Frontal", "", "frontal lobe", "Frontallappen, Stirnlappen", "lobe frontal"),
    Paired("Lobe_Temporal", "", "temporal lobe", "Temporallappen, Schläfenlappen", "lobe temporal"),
    Paired("Lung", "Lungs", "", "Lunge, Lungenflügel", "poumon", "Lungen, poumons"),
    Paired("Musc_Masseter", "", "masseter, masseter muscle", "Masseter, Kaumuskel", "masséter"),
    Paired("OpticNrv", "", "optic nerve, opt nerve", "Nervus opticus, N opticus, Sehnerv", "nerf optique"),
    Paired("Orbit", "", "eye socket", "Orbita, Augenhöhle", "orbite"),
    Paired("Ovary", "Ovaries", "", "Ovar, Eierstock", "ovaire", "Ovarien, Eierstöcke, ovaires"),
    Paired(
        "Parotid",
        "Parotids",
        "parotid gland",
        "Parotis, Ohrspeicheldrüse, Glandula parotis",
        "parotide, glande parotide",
        "parotid glands, Parotiden, parotides, glandes parotides",
    ),
    Paired("Retina", "Retinas", "", "Retina, Netzhaut", "rétine", "rétines"),
    Paired("Scapula", "", "shoulder blade", "Skapula, Schulterblatt", "omoplate"),
    Paired("Testis", "", "testicle", "Hoden", "testicule"),
    Paired("Tonsil", "", "", "Tonsille, Mandel", "amygdale"),
    Paired("Ureter", "Ureters", "", "Harnleiter", "uretère", "Ureteren, Harnleiter beidseits, uretères"),
    Paired("Ventricle", "", "heart ventricle", "Herzkammer", "ventricule"),
)
