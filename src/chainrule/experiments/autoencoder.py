from .dbn import EXPERIMENT as _E
import dataclasses
EXPERIMENT=dataclasses.replace(_E,name="autoencoder")
