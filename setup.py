"""Packaging. The exact versions of everything, transitive ones too, stand in requirements.txt (`make lock`)."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# Why each is there. Ranges here, one locked set in requirements.txt.
INSTALL_REQUIRES = [
    "tensorflow>=2.20,<2.21",  # training, the feature transform graph, SavedModels
    "tf-keras>=2.20,<2.21",  # Keras 2: what TFRS and ParameterServerStrategy work with
    "tensorflow-recommenders==0.7.7",  # retrieval task, layers
    "tensorflow-serving-api>=2.20,<2.21",  # the protocol of TF Serving
    "grpcio>=1.70",  # the transport of that protocol
    "apache-beam[tfrecord]>=2.77,<2.78",  # transforms on one machine or on a cluster; [tfrecord] brings crc32c
    "crc32c>=2.7",  # hardware CRC of TFRecord frames
    "pyarrow>=18",  # columnar blocks: reading, dictionary encoding, intermediate files
    "numpy>=2,<3",
    "scipy>=1.14",  # sparse matrices of the counted models, distributions of the intervals and tests
    "pydantic>=2.10,<3",  # typed, frozen, strict configs and schema
    "PyYAML>=6",  # dataset.yaml and training configs
    "optuna>=4,<5",  # trainer.tune: samplers, pruners, and a study that outlives its process
    "rich>=13",  # progress bars and tables
    "matplotlib>=3.10",  # plots in the pages of transforms.statistics and transforms.validate
    "Jinja2>=3.1",  # the template of those pages, with every value escaped
]

DEV_REQUIRES = [
    "boto3>=1.40,<2",  # what Beam opens s3:// with, as apache-beam[aws] asks for
    "flask>=3",  # what moto serves with
    "flask-cors>=5",
    "hypothesis>=6",  # laws of the encoder and of the metrics
    "moto[s3]>=5,<6",  # an S3 server on loopback
    "mypy>=1.15",
    "pytest>=8",
    "pytest-xdist>=3",  # two cores, two test processes
    "ruff>=0.9",
    "scikit-learn>=1.5",  # independent implementations of AUC and log loss
    "types-PyYAML",
    "zstandard>=0.22",  # writes compressed logs for the tests; reading them is PyArrow's
    "types-protobuf",
]

version: dict[str, str] = {}
for line in (HERE / "tfrec" / "__init__.py").read_text().splitlines():
    if line.startswith("__version__"):
        exec(line, version)

setup(
    name="tfrec",
    version=version["__version__"],
    description="Recommenders from interaction logs to TF Serving: Beam transforms, Keras models, one schema.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["tfrec*", "trainer*", "transforms*", "serving*"]),
    package_data={"transforms": ["presets/*.yaml", "page/*.html"], "trainer": ["presets/*.yaml", "report/page/*.html"]},
    install_requires=INSTALL_REQUIRES,
    extras_require={"dev": DEV_REQUIRES, "scann": ["scann==1.4.2"]},
)
