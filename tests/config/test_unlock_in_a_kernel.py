"""The passphrase asked for by a cell of a real kernel."""

import os
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from kit.config.encrypted_file import EncryptedFile
from kit.config.key_names import KeyName
from kit.types.ports import Credentials

PHRASE = "four words are best"
CELL = """
import kit.config
try:
    kit.config.unlock()
except kit.KitError as error:
    print(type(error).__name__)
else:
    print(kit.config.find_credentials("binance").api_key[:3])
"""


# jupyter_client leaves its own sockets to the garbage collector.
@pytest.mark.filterwarnings("default::ResourceWarning")
def test_unlock_asks_by_a_box_that_does_not_show_what_is_typed(tmp_path: Path):
    file = EncryptedFile(tmp_path / "keys.json", work=2**4)
    file.unlock(PHRASE)
    file.put(KeyName("binance"), Credentials("the-key", "the-secret"))
    manager, client = start_new_kernel(startup_timeout=300, env={**os.environ, "KIT_CONFIG": str(tmp_path)})
    asked, printed = [], []

    def answer(message):
        asked.append(message["content"])
        client.input(PHRASE)

    def note(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    try:
        client.execute_interactive("import kit\n" + CELL, allow_stdin=False, output_hook=note, timeout=300)
        client.execute_interactive(CELL, stdin_hook=answer, output_hook=note, timeout=300)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "".join(printed).split() == ["NotReady", "the"]
    assert [content["password"] for content in asked] == [True]
    assert PHRASE not in "".join(printed)
