"""The callbacks of `chainrule.train` under Keras's name of their module."""

from .train.callbacks import Callback as Callback
from .train.callbacks import EarlyStopping as EarlyStopping
from .train.keras_callbacks import LambdaCallback as LambdaCallback
from .train.keras_callbacks import LearningRateScheduler as LearningRateScheduler
from .train.keras_callbacks import ReduceLROnPlateau as ReduceLROnPlateau
from .train.recording import CSVLogger as CSVLogger
from .train.recording import ModelCheckpoint as ModelCheckpoint
