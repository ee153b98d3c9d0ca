"""Files of other forms made into ``MarketEvents``."""

from kit.storage.importers.errors import BadFile as BadFile
from kit.storage.importers.raw import import_raw as import_raw

__all__ = ["BadFile", "import_raw"]
