"""Training: the Trainer, metrics, callbacks, checkpoints."""

import typing as _typing

from ..habits import answers_of as _answers_of
from .inspect.diagnosis import Diagnosis as Diagnosis
from .inspect.lr_finder import LRSearch as LRSearch
from .inspect.sentinel import NonFiniteLossError as NonFiniteLossError
from .listeners.callbacks import Callback as Callback
from .listeners.early_stopping import EarlyStopping as EarlyStopping
from .listeners.keras import LambdaCallback as LambdaCallback
from .listeners.keras import LearningRateScheduler as LearningRateScheduler
from .listeners.keras import ReduceLROnPlateau as ReduceLROnPlateau
from .listeners.recording import CSVLogger as CSVLogger
from .listeners.recording import ModelCheckpoint as ModelCheckpoint
from .listeners.watch import TrainingWarning as TrainingWarning
from .measure.batch import Batch as Batch
from .measure.history import History as History
from .measure.metric import Metric as Metric
from .measure.metrics import AUC as AUC
from .measure.metrics import F1 as F1
from .measure.metrics import METRICS as METRICS
from .measure.metrics import R2 as R2
from .measure.metrics import Accuracy as Accuracy
from .measure.metrics import MeanAbsoluteError as MeanAbsoluteError
from .measure.metrics import MeanSquaredError as MeanSquaredError
from .measure.metrics import Precision as Precision
from .measure.metrics import Recall as Recall
from .measure.metrics import RootMeanSquaredError as RootMeanSquaredError
from .measure.metrics import TopKAccuracy as TopKAccuracy
from .pretrain import fit_rbm as fit_rbm
from .pretrain import pretrain as pretrain
from .pretrain import unroll as unroll
from .seeds.history import SeedHistory as SeedHistory
from .seeds.trainer import SeedTrainer as SeedTrainer
from .sensitivity import Sensitivity as Sensitivity
from .sensitivity import sensitivity as sensitivity
from .state.checkpoint import Checkpoint as Checkpoint
from .trainer import Trainer as Trainer

if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.train")
