"Everything about the package is in `settings.ini`; this reads it."
import shlex
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read("settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
name = cfg["lib_name"]
# `NAME_requirements` defines the extra NAME; `requirements` alone is what every user needs
extras = {k.removesuffix("_requirements"): shlex.split(v) for k, v in cfg.items() if k.endswith("_requirements")}

setup(
    name=name, version=cfg["version"], description=cfg["description"], author=cfg["author"], keywords=cfg["keywords"],
    long_description=Path("README.md").read_text(encoding="utf-8"), long_description_content_type="text/markdown",
    license="Apache-2.0", license_files=["LICENSE"], python_requires=f">={cfg['min_python']}",
    install_requires=shlex.split(cfg["requirements"]), extras_require=extras,
    packages=find_packages(include=[name, f"{name}.*"]),
    package_data={name: [f"weights/**/*.{ext}" for ext in ("safetensors", "npz", "json", "md")] + ["js/*"]},
    entry_points={"console_scripts": shlex.split(cfg["console_scripts"]), "nbdev": [f"{name}={name}._modidx:d"]},
    classifiers=["Development Status :: 3 - Alpha", "Intended Audience :: Science/Research",
                 "Programming Language :: Python :: 3"],
    zip_safe=False,
)
