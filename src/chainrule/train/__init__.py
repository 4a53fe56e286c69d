"""Training: the Trainer, metrics, callbacks, checkpoints."""

import typing as _typing

from ..habits import answers_of as _answers_of
from .callbacks import Callback as Callback
from .callbacks import EarlyStopping as EarlyStopping
from .checkpoint import Checkpoint as Checkpoint
from .diagnosis import Diagnosis as Diagnosis
from .history import History as History
from .keras_callbacks import LambdaCallback as LambdaCallback
from .keras_callbacks import LearningRateScheduler as LearningRateScheduler
from .keras_callbacks import ReduceLROnPlateau as ReduceLROnPlateau
from .lr_finder import LRSearch as LRSearch
from .metrics import AUC as AUC
from .metrics import F1 as F1
from .metrics import METRICS as METRICS
from .metrics import R2 as R2
from .metrics import Accuracy as Accuracy
from .metrics import MeanAbsoluteError as MeanAbsoluteError
from .metrics import MeanSquaredError as MeanSquaredError
from .metrics import Metric as Metric
from .metrics import Precision as Precision
from .metrics import Recall as Recall
from .metrics import RootMeanSquaredError as RootMeanSquaredError
from .metrics import TopKAccuracy as TopKAccuracy
from .pretrain import fit_rbm as fit_rbm
from .pretrain import pretrain as pretrain
from .pretrain import unroll as unroll
from .recording import CSVLogger as CSVLogger
from .recording import ModelCheckpoint as ModelCheckpoint
from .seeds.history import SeedHistory as SeedHistory
from .seeds.trainer import SeedTrainer as SeedTrainer
from .sensitivity import Sensitivity as Sensitivity
from .sensitivity import sensitivity as sensitivity
from .sentinel import NonFiniteLossError as NonFiniteLossError
from .trainer import Trainer as Trainer
from .watch import TrainingWarning as TrainingWarning

if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.train")
