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
    "grpcio-health-checking>=1.70,<1.80",  # its health service; from 1.80 on it wants protobuf 7
    "waitress>=3,<4",  # HTTP of the REST interface: bounded buffers, threads, no dependencies of its own
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
    "flask>=3",  # the pages of serving.explore
    "Jinja2>=3.1",  # the template of those pages, with every value escaped
]

DEV_REQUIRES = [
    "boto3>=1.40,<2",  # what Beam opens s3:// with, as apache-beam[aws] asks for
    "check-jsonschema>=0.33",  # carries the schema of the Compose specification, for compose.yaml of serving.deploy
    "cryptography>=42",  # certificates for the tests of TLS
    "flask-cors>=5",
    "hypothesis>=6",  # laws of the encoder and of the metrics
    "jsonschema>=4.18",  # validates by that schema
    "kubernetes-validate>=1.30",  # the manifests of serving.deploy against Kubernetes' own schemas
    "moto[s3]>=5,<6",  # an S3 server on loopback
    "mypy>=1.15",
    "pandas>=2.2",  # as the extra of the same name
    "pytest>=8",
    "pytest-xdist>=3",  # two cores, two test processes
    "redis>=5",  # as the extra of the same name, against Debian's redis-server
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
    package_data={
        "transforms": ["presets/*.yaml", "page/*.html"],
        "trainer": ["presets/*.yaml", "report/page/*.html"],
        "serving": ["deploy/templates/*.jinja", "loadtest/page/*.html", "explore/page/*"],
    },
    install_requires=INSTALL_REQUIRES,
    extras_require={
        "dev": DEV_REQUIRES,
        "scann": ["scann==1.4.2"],
        "redis": ["redis>=5"],  # users of many machines at request time (serving.users); SQLite needs nothing
        "pandas": ["pandas>=2.2"],  # ScoredBatch.to_pandas alone
    },
)
