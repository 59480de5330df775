"""Crystals to numbers and back: `import crystal_nb as cn`. Nothing is loaded before it is asked for."""
__version__ = "0.11.0"

_HOMES = dict(  # name -> the module that defines it
    load="apps.session", read="apps.session", fit="apps.session",
    presets="training", Config="training", prototypes="crystals",
    search="apps.neighbours", find_duplicates="apps.neighbours", alter="altering", CrystalFeaturizer="features",
    predict="prediction", score="apps.score",
    explore="apps.explorer", will_it_survive="apps.survival_view")

def __getattr__(name):
    "Load a name from its module when it is first used (PEP 562)."
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    globals()[name] = value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value

def __dir__():
    "What a user finds by the tab key."
    return sorted([*_HOMES, "__version__", "__doc__"])
