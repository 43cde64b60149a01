//! The command line, as the real program speaks it.
