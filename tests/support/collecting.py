"""Collections as another process or another server would make them."""

from __future__ import annotations

from build_cascade.predict import Collection


def changed(collection, **fields):
    """As another process would make it."""
    return Collection(**{name: getattr(collection, name) for name in collection.__dataclass_fields__} | fields)


def changed_config(collection, **parameters):
    """As of a server that runs something else under this name."""
    config = type(collection.config)()
    config.CopyFrom(collection.config)
    config.backend = parameters.pop("backend", config.backend)
    for name, value in parameters.items():
        config.parameters[name].string_value = value
    return config
