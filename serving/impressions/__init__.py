"""What was shown to whom, with which probability, and what came of it: served answers as training data.

`Exploration` draws what is shown and says how probable it was, `ImpressionLog` writes it down beside the requests, and
`python -m serving.impressions` joins it with the outcomes into a log that `transforms` reads (docs/clients.md).
"""

from serving.impressions.exploration import Exploration, Shown
from serving.impressions.log import ImpressionLog

__all__ = ["Exploration", "ImpressionLog", "Shown"]
