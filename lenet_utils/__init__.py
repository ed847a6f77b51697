"""The tested package behind the LeNet book: a flat core that all chapters share, a folder for each part of the book.

Data flows one way: :mod:`~lenet_utils.data` -> :mod:`~lenet_utils.models` -> :mod:`~lenet_utils.training` ->
:mod:`~lenet_utils.evaluation` -> :mod:`~lenet_utils.plotting`.  Folders import the core, the core imports no folder.
Import the module you need; importing the package itself loads nothing heavy.
"""

__version__ = "0.1.0"
