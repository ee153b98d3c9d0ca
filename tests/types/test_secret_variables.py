from kit.types.secret_variables import without_keys


def test_keys_are_left_out_and_nothing_else():
    kept = {"PATH": "/bin", "KIT_STATE": "s", "KIT_CONFIG": "c", "KITTEN_KEY": "k", "AWS_SECRET": "a", "KIT_KEY": "k"}
    keys = {
        "KIT_BINANCE_KEY": "k",
        "KIT_BINANCE_SECRET": "s",
        "KIT_OKX_HEDGE_1_PASSWORD": "p",
        "KIT_PASSPHRASE": "four words are best",
    }
    assert without_keys(kept | keys) == kept
