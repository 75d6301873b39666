"""Files: arrays with a hash, atomic writes, and checks of zip files."""
