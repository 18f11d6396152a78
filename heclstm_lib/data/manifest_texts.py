"""Titles, terms, citations and rules of the manifests: the part that no program can find out."""

from __future__ import annotations

from typing import Any

_CC_BY = "https://creativecommons.org/licenses/by/4.0/"

TEXTS: dict[str, dict[str, Any]] = {
    "iarc": {
        "title": "IARC Atlas of Colposcopy: cases on hand",
        "description": "Colposcopic examinations: speculum, saline, green filter and acetic acid "
        "over time, 800x600 JPEG, with histopathology.",
        "licence": {
            "name": "IARC/WHO, all rights reserved; non-commercial educational use",
            "url": "https://screening.iarc.fr/atlascolpo.php",
            "terms": "Copyright International Agency for Research on Cancer / WHO. Free for "
            "non-commercial educational use with attribution; check the terms on the atlas' site "
            "before any other use. The images are not redistributed with this project.",
        },
        "citation": "Basu P., Sankaranarayanan R. Atlas of Colposcopy: Principles and Practice. "
        "IARC CancerBase No. 13. Lyon: International Agency for Research on Cancer, 2017.",
        "homepage": "https://screening.iarc.fr/atlascolpo.php",
        "folder": "iarc_colposcopy_atlas",
        "sequence": "one examination (case); order is the number in the file name, the position in "
        "the atlas' list; which stages make frames: heclstm_lib.data.iarc",
        "label_rule": "1: HSIL or worse by histopathology (images_high_grade); 0: LSIL",
        "notes": [
            (
                "a part of the atlas' cases; cases on disk that are not listed here are read and "
                "reported as unverified"
            ),
            "Lugol's iodine images are in the atlas' lists but not among these files",
        ],
    },
    "annocerv": {
        "title": "AnnoCerv, acetowhite series at 384x384: cases on hand",
        "description": "One to six colposcopic images a case after acetic acid, in time order, "
        "with the Swede score; resized from 2976x1984 by the processed repository.",
        "licence": {
            "name": "CC BY 4.0",
            "url": _CC_BY,
            "terms": "Use, change and redistribution with attribution.",
        },
        "citation": "AnnoCerv, repository iclx/AnnoCerv (annotated colposcopic images with Swede "
        "score), CC BY 4.0; resized copy: bhabigel/colposcopy-digital-atlas-processed.",
        "homepage": "https://github.com/iclx/AnnoCerv",
        "folder": "annocerv_384",
        "sequence": "one case; order is image_index, the time order after acetic acid",
        "label_rule": "1: Swede score >= 5, the usual referral threshold; the score is kept, so "
        "that other thresholds can be reported",
        "notes": [
            (
                "a part of the cases; cases on disk that are not listed here are read and reported "
                "as unverified"
            ),
        ],
    },
    "breakhis": {
        "title": "BreaKHis v1: breast cancer histopathology",
        "description": "7,909 RGB images (700x460) of breast tumours at 40X, 100X, 200X and 400X; "
        "about 4 GB as an archive.",
        "licence": {
            "name": "CC BY 4.0",
            "url": _CC_BY,
            "terms": "Use, change and redistribution with attribution.",
        },
        "citation": "Spanhol F.A., Oliveira L.S., Petitjean C., Heutte L. A Dataset for Breast "
        "Cancer Histopathological Image Classification. IEEE Transactions on Biomedical "
        "Engineering 63(7):1455-1462, 2016.",
        "homepage": "https://web.inf.ufpr.br/vri/databases/"
        "breast-cancer-histopathological-database-breakhis/",
        "folder": "breakhis",
        "sample_folder": "breakhis_sample",
        "sequence": "one patient's 40 -> 100 -> 200 -> 400X, or T images at one magnification; "
        "built inside a patient, so never across a split: heclstm_lib.data.breakhis",
        "label_rule": "1: malignant (SOB_M), 0: benign (SOB_B)",
        "expected": {
            "images": 7909,
            "sequences": None,
            "patients": 82,
            "classes": {
                "malignant": {"label": 1, "cases": 58, "images": 5429},
                "benign": {"label": 0, "cases": 24, "images": 2480},
            },
        },
        "notes": [
            (
                "layout of the archive: BreaKHis_v1/histology_slides/breast/<benign|malignant>/SOB/"
                "<subtype>/<slide>/<40X|100X|200X|400X>/*.png"
            ),
            (
                "official five folds: dsfold1.txt .. dsfold5.txt, lines "
                "<file>|<magnification>|<fold>|<train|test>"
            ),
            (
                "the 82 patients are slide folders; the group here is the number of the slide, so "
                "slides of one number (13412 under DC and LC, 22549AB/CD/G) are one patient"
            ),
            (
                "the 12 files of role 'fixture' are a sample that shows the format; they are no "
                "data set"
            ),
        ],
    },
    "adrenalmnist3d": {
        "title": "AdrenalMNIST3D (MedMNIST v2)",
        "description": "Shape masks 28x28x28 of 1,584 adrenal glands from abdominal CT.",
        "licence": {
            "name": "CC BY 4.0",
            "url": _CC_BY,
            "terms": "Use, change and redistribution with attribution.",
        },
        "citation": "Yang J. et al. MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D "
        "biomedical image classification. Scientific Data 10:41, 2023. "
        "doi:10.5281/zenodo.10519652",
        "homepage": "https://medmnist.com/",
        "folder": "medmnist",
        "sequence": "T slabs along the first axis of one gland: order in space, not in time",
        "label_rule": "1: abnormal (adrenal mass or hyperplasia), 0: normal",
        "expected": {
            "images": 1584,
            "sequences": 1584,
            "patients": 1584,
            "classes": {
                "abnormal": {"label": 1, "cases": 350},
                "normal": {"label": 0, "cases": 1234},
            },
        },
        "notes": [
            "official split 1,188 / 98 / 298 (train / val / test), made by patient by its authors",
            (
                "the file has no patient ids: a gland is counted as a patient here, although both "
                "glands of one patient may stand in the same part"
            ),
        ],
    },
    "embedded": {
        "title": "Embedded set: generated acetowhitening-like sequences",
        "description": "A cervix-like scene whose lesion goes on whitening (disease) or whitens "
        "early and fades (benign), under camera motion, glare, drifting light and noise.",
        "licence": {
            "name": "same as this project",
            "url": None,
            "terms": "Generated by this project's code; no patient is shown.",
        },
        "citation": "This project, module heclstm_lib.data.synthetic.",
        "homepage": "heclstm_lib/data/synthetic.py",
        "folder": None,
        "sequence": "T frames evenly over the time after acetic acid, one sequence a patient",
        "label_rule": "1: the lesion goes on whitening, 0: it whitens early and fades",
        "expected": {
            "images": 2400,
            "sequences": 600,
            "patients": 600,
            "classes": {
                "whitening": {"label": 1, "cases": 300, "images": 1200},
                "fading": {"label": 0, "cases": 300, "images": 1200},
            },
        },
        "notes": ["for teaching and tests; it says nothing about medical accuracy"],
    },
}
