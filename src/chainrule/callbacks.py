"""The callbacks of `chainrule.train` under Keras's name of their module."""

from .train.listeners.callbacks import Callback as Callback
from .train.listeners.early_stopping import EarlyStopping as EarlyStopping
from .train.listeners.keras import LambdaCallback as LambdaCallback
from .train.listeners.keras import LearningRateScheduler as LearningRateScheduler
from .train.listeners.keras import ReduceLROnPlateau as ReduceLROnPlateau
from .train.listeners.recording import CSVLogger as CSVLogger
from .train.listeners.recording import ModelCheckpoint as ModelCheckpoint
