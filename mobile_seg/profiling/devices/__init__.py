"""Where a model is measured: this machine, or phones and boards behind adb. One file each, one interface."""
