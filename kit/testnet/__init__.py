"""An exchange on loopback that speaks real exchanges' wire protocols."""
