"""What the libraries that load models raise, as one error that says what to do."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from types import ModuleType

from infoplane.errors import ModelError
from infoplane.models.running import out_of_memory


def needed_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModelError(f"running a model needs the package {name}: pip install 'infoplane[hf]'") from None


@contextlib.contextmanager
def as_model_error(name: str, expected: str = "the folder or hub id of a decoder-only model") -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # the loaders raise OSError, ValueError, KeyError, SafetensorError and more
        if out_of_memory(error):
            raise ModelError(
                f"not enough memory to load {name}; try dtype bfloat16 or device_map auto",
                settings=("dtype", "device_map"),
            ) from None
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        if "above report" in reason:  # which is not shown
            reason = (
                "weights that make one of the model's could not be put together: one, such as an expert, is missing"
            )
        if isinstance(error, KeyError):  # its whole message is the key
            version = needed_package("transformers").__version__
            reason = (
                f"its config or files name {reason}, which transformers {version} does not know: of an older or a "
                "newer version; convert the config, or use that version"
            )
        if isinstance(error, ImportError):
            raise ModelError(f"cannot load {name!r}: a package is missing: {reason}") from None
        raise ModelError(f"cannot load {name!r}: {reason}; expected {expected}") from None
