"""Layer types, one file per family; importing this package registers them all."""

import importlib
import pkgutil

from caffe._layers.base import Layer, create, layer_type_list, register

__all__ = ["Layer", "create", "layer_type_list", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
