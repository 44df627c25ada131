"""Works that the methods cite. A text marks them as in pandoc, `[@key]` or `[@key; @other]`."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SOFTWARE = "mlip_pipeline"
_ACCENTS = {"á": r"{\'a}", "ç": r"{\c{c}}", "é": r"{\'e}", "ï": r"{\"\i}", "ö": r"{\"o}", "ü": r"{\"u}"}
_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
          "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **_ACCENTS}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """One entry of BibTeX. `authors` are "Family, Given"; "others" as the last one stands for the rest."""

    key: str
    kind: str
    authors: tuple[str, ...]
    title: str  # braces keep capitals
    year: int
    fields: tuple[tuple[str, str], ...]  # where it appeared

    @property
    def label(self) -> str:
        """Return the label for running text: Cuturi, 2013; Zhou and Yu, 2023; He et al., 2022."""
        families = [author.partition(",")[0].strip("{}") for author in self.authors]
        names = " and ".join(families) if len(families) < 3 and "others" not in families else f"{families[0]} et al."
        return f"{names}, {self.year}"

    @property
    def plain_title(self) -> str:
        """Return the title without braces."""
        return self.title.replace("{", "").replace("}", "")

    def bibtex(self) -> str:
        """Return the entry in BibTeX's format."""
        fields = [("author", " and ".join(self.authors)), ("title", self.title), *self.fields, ("year", str(self.year))]
        lines = ",\n".join(f"  {name} = {{{_accented(value)}}}" for name, value in fields)
        return f"@{self.kind}{{{self.key},\n{lines}\n}}"


def software(commit: str | None, year: int) -> Reference:
    """Return the reference to this pipeline, in the state that ran."""
    fields = (("howpublished", f"Software, commit {commit}" if commit else "Software"),)
    title = "{MLIP}: a pipeline for medical language-image pre-training with masked local representation learning"
    return Reference(SOFTWARE, "misc", ("{The MLIP pipeline developers}",), title, year, fields)


def cited(texts: Iterable[str], known: dict[str, Reference]) -> list[Reference]:
    """Return the works that some texts cite, each once, in the order of their first mention."""
    keys = dict.fromkeys(key for text in texts for mark in _MARK.findall(text) for key in _keys(mark, known))
    return [known[key] for key in keys]


def as_prose(text: str, known: dict[str, Reference]) -> str:
    """Return a text with (Cuturi, 2013) for each mark."""
    return _replaced(text, known, str, lambda keys: f"({'; '.join(known[key].label for key in keys)})")


def as_latex(text: str, known: dict[str, Reference]) -> str:
    r"""Return a text for LaTeX, with \cite{key} for each mark and everything else escaped."""
    return _replaced(text, known, _escaped, lambda keys: rf"\cite{{{','.join(keys)}}}")


_MARK = re.compile(r"\[@([^\]]+)\]")


def _keys(mark: str, known: dict[str, Reference]) -> list[str]:
    keys = [key.strip().removeprefix("@") for key in mark.split(";")]
    return keys if all(key in known for key in keys) else []  # otherwise a text from outside that looks like a mark


def _replaced(
    text: str, known: dict[str, Reference], plain: Callable[[str], str], mark: Callable[[list[str]], str]
) -> str:
    parts, end = [], 0
    for found in _MARK.finditer(text):
        if keys := _keys(found.group(1), known):
            parts += [plain(text[end : found.start()]), mark(keys)]
            end = found.end()
    return "".join([*parts, plain(text[end:])])


def _accented(text: str) -> str:
    return "".join(_ACCENTS.get(letter, letter) for letter in text)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _paper(key: str, authors: str, title: str, year: int, **fields: str) -> Reference:
    kind = "article" if "journal" in fields else "inproceedings" if "booktitle" in fields else "misc"
    return Reference(key, kind, tuple(authors.split(" and ")), title, year, tuple(fields.items()))


_ENTRIES = (
    _paper(
        "liu2024mlip",
        "Liu, Jiarun and Zhou, Hong-Yu and Li, Cheng and Huang, Weijian and Yang, Hao and Liang, Yong and "
        "Wang, Shanshan",
        "{MLIP}: Medical Language-Image Pre-training with Masked Local Representation Learning",
        2024,
        booktitle="IEEE International Symposium on Biomedical Imaging (ISBI)",
        note="arXiv:2401.01591",
    ),
    _paper(
        "molder2021snakemake",
        "Mölder, Felix and Jablonski, Kim Philipp and Letcher, Brice and others",
        "Sustainable data analysis with {Snakemake}",
        2021,
        journal="F1000Research",
        volume="10",
        pages="33",
    ),
    _paper(
        "dosovitskiy2021vit",
        "Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and others",
        "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
        2021,
        booktitle="International Conference on Learning Representations (ICLR)",
    ),
    _paper(
        "devlin2019bert",
        "Devlin, Jacob and Chang, Ming-Wei and Lee, Kenton and Toutanova, Kristina",
        "{BERT}: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        2019,
        booktitle="North American Chapter of the Association for Computational Linguistics (NAACL)",
    ),
    _paper(
        "alsentzer2019clinicalbert",
        "Alsentzer, Emily and Murphy, John and Boag, William and others",
        "Publicly Available Clinical {BERT} Embeddings",
        2019,
        booktitle="Clinical Natural Language Processing Workshop",
    ),
    _paper(
        "radford2021clip",
        "Radford, Alec and Kim, Jong Wook and Hallacy, Chris and others",
        "Learning Transferable Visual Models From Natural Language Supervision",
        2021,
        booktitle="International Conference on Machine Learning (ICML)",
    ),
    _paper(
        "huang2024maco",
        "Huang, Weijian and Li, Cheng and Zhou, Hong-Yu and others",
        "Enhancing representation in radiography-reports foundation model: a granular alignment algorithm using "
        "masked contrastive learning",
        2024,
        journal="Nature Communications",
        volume="15",
        pages="7620",
    ),
    _paper(
        "gao2021gradcache",
        "Gao, Luyu and Zhang, Yunyi and Han, Jiawei and Callan, Jamie",
        "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
        2021,
        booktitle="Workshop on Representation Learning for NLP (RepL4NLP)",
    ),
    _paper(
        "cuturi2013sinkhorn",
        "Cuturi, Marco",
        "Sinkhorn Distances: Lightspeed Computation of Optimal Transport",
        2013,
        booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
    ),
    _paper(
        "chizat2018unbalanced",
        "Chizat, Lénaïc and Peyré, Gabriel and Schmitzer, Bernhard and Vialard, François-Xavier",
        "Scaling algorithms for unbalanced optimal transport problems",
        2018,
        journal="Mathematics of Computation",
        volume="87",
        number="314",
        pages="2563--2609",
    ),
    _paper(
        "he2022mae",
        "He, Kaiming and Chen, Xinlei and Xie, Saining and Li, Yanghao and Dollár, Piotr and Girshick, Ross",
        "Masked Autoencoders Are Scalable Vision Learners",
        2022,
        booktitle="IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)",
    ),
    _paper(
        "loshchilov2019adamw",
        "Loshchilov, Ilya and Hutter, Frank",
        "Decoupled Weight Decay Regularization",
        2019,
        booktitle="International Conference on Learning Representations (ICLR)",
    ),
    _paper(
        "johnson2019mimiccxr",
        "Johnson, Alistair E. W. and Pollard, Tom J. and Berkowitz, Seth J. and others",
        "{MIMIC-CXR}, a de-identified publicly available database of chest radiographs with free-text reports",
        2019,
        journal="Scientific Data",
        volume="6",
        pages="317",
    ),
    _paper(
        "goldberger2000physionet",
        "Goldberger, Ary L. and Amaral, Luis A. N. and Glass, Leon and others",
        "{PhysioBank}, {PhysioToolkit}, and {PhysioNet}: Components of a New Research Resource for Complex Physiologic "
        "Signals",
        2000,
        journal="Circulation",
        volume="101",
        number="23",
        pages="e215--e220",
    ),
    _paper(
        "wang2017chestxray",
        "Wang, Xiaosong and Peng, Yifan and Lu, Le and Lu, Zhiyong and Bagheri, Mohammadhadi and Summers, Ronald M.",
        "{ChestX-ray8}: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised Classification and "
        "Localization of Common Thorax Diseases",
        2017,
        booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    ),
    _paper(
        "shih2019rsna",
        "Shih, George and Wu, Carol C. and Halabi, Safwan S. and others",
        "Augmenting the {National Institutes of Health} Chest Radiograph Dataset with Expert Annotations of Possible "
        "Pneumonia",
        2019,
        journal="Radiology: Artificial Intelligence",
        volume="1",
        number="1",
    ),
    _paper(
        "zawacki2019siim",
        "Zawacki, Anna and Wu, Carol and Shih, George and others",
        "{SIIM-ACR} Pneumothorax Segmentation",
        2019,
        howpublished="Kaggle competition",
    ),
    _paper(
        "huang2021gloria",
        "Huang, Shih-Cheng and Shen, Liyue and Lungren, Matthew P. and Yeung, Serena",
        "{GLoRIA}: A Multimodal Global-Local Representation Learning Framework for Label-Efficient Medical Image "
        "Recognition",
        2021,
        booktitle="IEEE/CVF International Conference on Computer Vision (ICCV)",
    ),
    _paper(
        "wang2022mgca",
        "Wang, Fuying and Zhou, Yuyin and Wang, Shujun and Vardhanabhuti, Varut and Yu, Lequan",
        "Multi-Granularity Cross-modal Alignment for Generalized Medical Visual Representation Learning",
        2022,
        booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
    ),
    _paper(
        "zhou2023mrm",
        "Zhou, Hong-Yu and Lian, Chenyu and Wang, Liansheng and Yu, Yizhou",
        "Advancing Radiograph Representation Learning with Masked Record Modeling",
        2023,
        booktitle="International Conference on Learning Representations (ICLR)",
    ),
    _paper(
        "zhang2022convirt",
        "Zhang, Yuhao and Jiang, Hang and Miura, Yasuhide and Manning, Christopher D. and Langlotz, Curtis P.",
        "Contrastive Learning of Medical Visual Representations from Paired Images and Text",
        2022,
        booktitle="Machine Learning for Healthcare Conference (MLHC)",
    ),
    _paper(
        "wu2023medklip",
        "Wu, Chaoyi and Zhang, Xiaoman and Zhang, Ya and Wang, Yanfeng and Xie, Weidi",
        "{MedKLIP}: Medical Knowledge Enhanced Language-Image Pre-Training for X-ray Diagnosis",
        2023,
        booktitle="IEEE/CVF International Conference on Computer Vision (ICCV)",
    ),
    _paper(
        "zhou2024benchx",
        "Zhou, Yang and Tan, Li Hui Faith and Xu, Yanyu and Leng, Sicong and Xu, Xinxing and Liu, Yong and "
        "Goh, Rick Siow Mong",
        "{BenchX}: A Unified Benchmark Framework for Medical Vision-Language Pretraining on Chest X-Rays",
        2024,
        booktitle="Advances in Neural Information Processing Systems (NeurIPS), Datasets and Benchmarks Track",
    ),
    _paper(
        "zheng2021setr",
        "Zheng, Sixiao and Lu, Jiachen and Zhao, Hengshuang and others",
        "Rethinking Semantic Segmentation from a Sequence-to-Sequence Perspective with Transformers",
        2021,
        booktitle="IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)",
    ),
    _paper(
        "xiao2018upernet",
        "Xiao, Tete and Liu, Yingcheng and Zhou, Bolei and Jiang, Yuning and Sun, Jian",
        "Unified Perceptual Parsing for Scene Understanding",
        2018,
        booktitle="European Conference on Computer Vision (ECCV)",
    ),
    _paper(
        "zhang2018excitation",
        "Zhang, Jianming and Bargal, Sarah Adel and Lin, Zhe and Brandt, Jonathan and Shen, Xiaohui and Sclaroff, Stan",
        "Top-Down Neural Attention by Excitation Backprop",
        2018,
        journal="International Journal of Computer Vision",
        volume="126",
        number="10",
        pages="1084--1102",
    ),
    _paper(
        "boecking2022biovil",
        "Boecking, Benedikt and Usuyama, Naoto and Bannur, Shruthi and Castro, Daniel C. and others",
        "Making the Most of Text Semantics to Improve Biomedical Vision-Language Processing",
        2022,
        booktitle="European Conference on Computer Vision (ECCV)",
    ),
    _paper(
        "efron1979bootstrap",
        "Efron, Bradley",
        "Bootstrap Methods: Another Look at the Jackknife",
        1979,
        journal="The Annals of Statistics",
        volume="7",
        number="1",
    ),
    _paper(
        "guo2017calibration",
        "Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.",
        "On Calibration of Modern Neural Networks",
        2017,
        booktitle="International Conference on Machine Learning (ICML)",
    ),
    _paper(
        "holm1979",
        "Holm, Sture",
        "A Simple Sequentially Rejective Multiple Test Procedure",
        1979,
        journal="Scandinavian Journal of Statistics",
        volume="6",
        number="2",
    ),
)
REFERENCES = {entry.key: entry for entry in _ENTRIES}
METHODS = {  # by the name under which others quote it
    "MaCo": "huang2024maco",
    "MRM": "zhou2023mrm",
    "MedKLIP": "wu2023medklip",
    "GLoRIA": "huang2021gloria",
    "ConVIRT": "zhang2022convirt",
    "MGCA-ViT": "wang2022mgca",
}
